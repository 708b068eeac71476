r"""The factorised Fourier neural operator: one spectral weight per axis, axes summed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.spectral.convolution import SpectralConv
from sciml.surrogates.base import Common
from sciml.surrogates.operators.fourier import FourierOperator
from sciml.surrogates.operators.pointwise import ChannelMLP, activation_of


class FactorisedFNO(FourierOperator):
    r""":math:`v\leftarrow v+a\big(W_2\,a(W_1\sum_i\mathcal F_i^{-1}[R^{(i)}_{k_i}\mathcal F_iv]+b_1)+b_2\big)`, ``depth`` times.

    The spectral weights grow with the sum of the modes over the axes, not with their product. Tran et al., ICLR 2023 (arXiv 2111.13802),
    eqs. (5)-(7).

    Parameters
    ----------
    grid, channels, modes, width, depth, activation, projection, coordinates, padding : as for :class:`sciml.FNO`; the default
        activation is smooth, the paper's is "relu".
    expansion : hidden width of the feed-forward map :math:`W_1`, as a multiple of ``width``.
    shared : whether all layers use the same spectral weights.

    Good values: modes 16, width 64, depth 4 to 24, ``residual=True`` or ``noise=0.01`` for long roll-outs.
    """

    def __init__(
        self,
        grid: Grid,
        channels: int = 1,
        *,
        modes: int | Sequence[int] = 16,
        width: int = 64,
        depth: int = 4,
        expansion: int = 2,
        shared: bool = False,
        activation: str = "gelu",
        projection: int | None = None,
        coordinates: str | None = None,
        padding: float | Sequence[float] | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(grid, channels, modes=modes, width=width, depth=depth, coordinates=coordinates, padding=padding, **common)
        hidden = 2 * width if projection is None else projection
        if expansion < 1 or hidden < 0:
            raise InputError(f"FactorisedFNO: expansion={expansion}, projection={projection} given; expansion starts at 1 and projection at 0.")
        self.expansion, self.shared, self.activation, self.projection = int(expansion), bool(shared), activation, int(hidden)
        self.lift = ChannelMLP(self.lifted, 0, width, activation, "FactorisedFNO")
        self.spectral = nn.ModuleList([AxisSums(width, self.modes) for _ in range(1 if shared else depth)])
        self.forwards = nn.ModuleList([ChannelMLP(width, expansion * width, width, activation, "FactorisedFNO") for _ in range(depth)])
        self.activate = activation_of(activation, "FactorisedFNO")
        self.project = ChannelMLP(width, self.projection, self.out_channels, activation, "FactorisedFNO")
        self.to(grid.device, grid.dtype)

    def layers(self, v: Tensor) -> Tensor:
        for n, forward in enumerate(self.forwards):
            v = v + self.activate(forward(self.spectral[0 if self.shared else n](v)))
        return v

    def options(self) -> dict[str, Any]:
        return {
            **super().options(),
            "expansion": self.expansion,
            "shared": self.shared,
            "activation": self.activation,
            "projection": self.projection,
        }


class AxisSums(nn.Module):
    """The sum over axes of a spectral layer along each, ``(batch, width, *space)`` to the same shape."""

    def __init__(self, width: int, modes: Sequence[int]) -> None:
        super().__init__()
        self.along = nn.ModuleList([SpectralConv(width, width, m) for m in modes])

    def forward(self, v: Tensor) -> Tensor:
        total = torch.zeros_like(v)
        for axis, layer in enumerate(self.along):
            # lines along one axis are fields in one dimension; the other axes join the batch
            lines = v.movedim(axis + 2, -1).movedim(1, -2)
            rows = layer(lines.reshape(-1, *lines.shape[-2:])).view(lines.shape)
            total = total + rows.movedim(-2, 1).movedim(-1, axis + 2)
        return total
