r"""The Fourier neural operator in one to three dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, Unpack

import torch
from torch import Tensor, nn

from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.spectral.convolution import SpectralConv, weights_from
from sciml.spectral.mixing import Dense, Weights
from sciml.surrogates.base import Common
from sciml.surrogates.operators.fourier import FourierOperator
from sciml.surrogates.operators.neuraloperator import read_weights
from sciml.surrogates.operators.pointwise import ChannelMLP, activation_of, skip_of


class FNO(FourierOperator):
    r"""Lift, ``depth`` layers :math:`v\leftarrow a\big(\mathcal F^{-1}[R_k\hat v_k]_{|k_i|<m_i}+Wv+b\big)`, project; no activation in the last layer.

    Without coordinates it commutes with translations, as autonomous equations on periodic domains do. On any grid of the
    same domain (:meth:`on`) it is the same map of functions, up to what the activations alias.
    Li et al., ICLR 2021 (arXiv 2010.08895), eqs. (2)-(5).

    Parameters
    ----------
    grid, channels : where fields live, and how many there are.
    modes : m per axis (or one for all); modes :math:`|k_i|<m_i` are kept.
    width, depth : hidden channels and number of layers.
    activation : "gelu", "relu", "silu", "tanh" or "identity".
    skip : what W is: "linear" (a matrix), "gate" (a factor per channel), "identity" or "none".
    mlp : hidden width, as a fraction of ``width``, of a two-layer perceptron after each layer; 0 for none. What goes past
        it is ``mlp_skip``, and its activation that of the layers unless ``mlp_activation`` names another.
    twice : apply the activation of each layer a second time; weights trained elsewhere may expect it.
    lifting, projection : hidden width of the first and the last map; 0 makes it linear. 0 and ``2 * width`` by default.
    coordinates : "positions" appends the coordinates to the fields, "angles" on periodic axes their sine and cosine, which do not jump;
        "none" does not, "index" appends j/n whatever the grid's origin; by default "none" if all axes are periodic, else "positions".
    padding : continuation by zeros at each end of bounded axes, as a fraction of their length, taken off again at the
        end; an eighth by default. Rounded to whole points of ``grid``.
    weights : kind of spectral weights, :class:`Dense` by default.

    Good values: modes up to a third of the coarsest grid's points, width 32 to 64, depth 4.
    """

    def __init__(
        self,
        grid: Grid,
        channels: int = 1,
        *,
        modes: int | Sequence[int] = 16,
        width: int = 64,
        depth: int = 4,
        activation: str = "gelu",
        skip: str = "linear",
        mlp: float = 0.0,
        mlp_skip: str = "gate",
        mlp_activation: str | None = None,
        twice: bool = False,
        lifting: int = 0,
        projection: int | None = None,
        coordinates: str | None = None,
        padding: float | Sequence[float] | None = None,
        weights: Weights | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(grid, channels, modes=modes, width=width, depth=depth, coordinates=coordinates, padding=padding, **common)
        hidden = 2 * width if projection is None else projection
        if mlp < 0 or lifting < 0 or hidden < 0:
            raise InputError(f"FNO: mlp={mlp}, lifting={lifting}, projection={projection} given; 0 (none) or more is needed.")
        self.activation, self.skip, self.mlp, self.mlp_skip = activation, skip, float(mlp), mlp_skip
        self.mlp_activation = activation if mlp_activation is None else mlp_activation
        self.twice = bool(twice)
        self.lifting, self.projection = int(lifting), int(hidden)
        self.weights = Dense() if weights is None else weights
        self.lift = ChannelMLP(self.lifted, self.lifting, width, activation, "FNO")
        self.blocks = nn.ModuleList([FourierLayer(self, last=n == depth - 1) for n in range(depth)])
        self.project = ChannelMLP(width, self.projection, self.out_channels, activation, "FNO")
        self.to(grid.device, grid.dtype)

    def layers(self, v: Tensor) -> Tensor:
        for block in self.blocks:
            v = block(v)
        return v

    def options(self) -> dict[str, Any]:
        return {
            **super().options(),
            "activation": self.activation,
            "skip": self.skip,
            "mlp": self.mlp,
            "mlp_skip": self.mlp_skip,
            "mlp_activation": self.mlp_activation,
            "twice": self.twice,
            "lifting": self.lifting,
            "projection": self.projection,
            "weights": self.weights.config(),
        }

    @classmethod
    def revived(cls, options: dict[str, Any]) -> dict[str, Any]:
        return {**options, "weights": weights_from(options["weights"])}

    @classmethod
    def from_neuraloperator(
        cls,
        state_dict: Mapping[str, Any],
        grid: Grid,
        *,
        modes: Sequence[int] | None = None,
        activation: str | None = None,
        skip: str | None = None,
        mlp_skip: str | None = None,
        coordinates: bool | None = None,
        boundaries: Sequence[Sequence[float]] | None = None,
        padding: float | Sequence[float] | None = None,
        dt: float | None = None,
    ) -> Self:
        """The model whose weights neuraloperator's ``FNO.state_dict()`` holds, with the same outputs.

        What the weights do not show is read from the constructor's arguments that the state dict carries, if it does
        (entry ``_metadata``), or from the arguments here, which come first. Dense, separable, Tucker, CP and tensor-train weights
        are read; factorised ones become full matrices. Their n modes per axis are -n/2..n/2-1, ours -m+1..m-1 with
        m = n/2 + 1 and zero weight at n/2, so that the grid needs n + 1 points. On an odd number of points of an inner axis
        neuraloperator 2.0 shifts its modes by one; this class does not.

        Parameters
        ----------
        state_dict : names and tensors.
        grid : of the data; its domain, resolution and precision.
        modes : their ``n_modes``, if less than the weights hold.
        activation : "gelu" by default.
        skip, mlp_skip : "identity" or "none" where the weights hold no such connection.
        coordinates : whether the model appends grid coordinates; they do by default.
        boundaries : of these coordinates, ``((0, 1), ...)`` by default.
        padding : their ``domain_padding``; the grid must be bounded where it is not 0.
        dt : time step, for a propagator.

        Raises :class:`InputError` for what this class cannot represent: norms, complex data, preactivation, stabilisers, resolution scaling.
        """
        read = read_weights(
            state_dict,
            grid,
            modes=modes,
            activation=activation,
            skip=skip,
            mlp_skip=mlp_skip,
            coordinates=coordinates,
            boundaries=boundaries,
            padding=padding,
        )
        model = cls(grid, dt=dt, **cls.revived(read.arguments))
        model.load_state_dict(read.state)
        return model.eval()


class FourierLayer(nn.Module):
    """One layer of :class:`FNO`: spectral layer and skip, then the optional perceptron and its skip."""

    def __init__(self, model: FNO, *, last: bool) -> None:
        super().__init__()
        width = model.width
        self.conv = SpectralConv(width, width, model.modes, weights=model.weights)
        self.skip = skip_of(model.skip, width, "FNO")
        self.bias = nn.Parameter(torch.zeros(width))
        # an activation after the last layer would bound or fold what is projected
        self.activation = activation_of("identity" if last else model.activation, "FNO")
        self.twice = model.twice
        self.mlp = ChannelMLP(width, max(1, round(model.mlp * width)), width, model.mlp_activation, "FNO") if model.mlp else None
        self.mlp_skip = skip_of(model.mlp_skip, width, "FNO") if model.mlp else None

    def forward(self, v: Tensor) -> Tensor:
        y = self.skip(v, self.conv(v)) + self.bias.view(-1, *(1,) * (v.ndim - 2))
        y = self.activation(y)
        if self.mlp is not None and self.mlp_skip is not None:
            y = self.activation(self.mlp_skip(v, self.mlp(y)))
        if self.twice:
            y = self.activation(y)
        return torch.as_tensor(y)
