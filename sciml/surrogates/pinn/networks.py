"""Networks from features of a point to values: plain, gated, and residual with gates that start closed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from sciml.core.checks import check_whole
from sciml.core.errors import InputError
from sciml.surrogates.pinn.series import VALUE, Series, cosine_series, sine_series, swish_series, tanh_series

SLOPE_GAIN = 10.0
"""Adaptive slopes are 10 times a parameter that starts at 0.1, so that they move ten times as fast as other weights."""


class Activation(nn.Module):
    r""":math:`\sigma(10 a x)` with a parameter a that starts at 0.1 if ``adaptive``, :math:`\sigma(x)` if not; tanh, sine or swish.

    Adaptive slopes: A. D. Jagtap, K. Kawaguchi & G. E. Karniadakis, Proc. R. Soc. A 476 (2020) 20200334.
    """

    KINDS = {"tanh": tanh_series, "sine": sine_series, "swish": swish_series}

    def __init__(self, kind: str, adaptive: bool) -> None:
        super().__init__()
        self.kind = kind
        self.slope = nn.Parameter(torch.tensor(1.0 / SLOPE_GAIN)) if adaptive else None

    def forward(self, x: Series) -> Series:
        return (x if self.slope is None else x.scaled(SLOPE_GAIN * self.slope)).apply(self.KINDS[self.kind])

    def extra_repr(self) -> str:
        return f"{self.kind}, adaptive={self.slope is not None}"


class Layer(nn.Module):
    """A linear map and its activation."""

    def __init__(self, linear: nn.Linear, activation: Activation) -> None:
        super().__init__()
        self.linear, self.activation = linear, activation

    def forward(self, x: Series) -> Series:
        out: Series = self.activation(x.linear(self.linear.weight, self.linear.bias))
        return out


class FourierFeatures(nn.Module):
    r""":math:`(\cos Bv, \sin Bv)` with fixed B, of entries :math:`N(0,\text{scale}^2)`.

    M. Tancik et al., NeurIPS 2020, arXiv 2006.10739.
    """

    matrix: Tensor

    def __init__(self, inputs: int, count: int, scale: float) -> None:
        super().__init__()
        self.register_buffer("matrix", scale * torch.randn(inputs, count))
        self.scale = scale

    def forward(self, v: Tensor) -> Tensor:
        angle = v @ self.matrix
        return torch.cat([torch.cos(angle), torch.sin(angle)], -1)

    def series(self, v: Series) -> Series:
        """The same of a series."""
        angle = v.linear(self.matrix.mT, torch.zeros_like(self.matrix[0]))
        return Series(torch.cat([angle.apply(cosine_series).c, angle.apply(sine_series).c], -1), v.table)

    def extra_repr(self) -> str:
        return f"{self.matrix.shape[0]} -> {2 * self.matrix.shape[1]}, scale={self.scale:g}"


class PointNetwork(nn.Module, ABC):
    """A network on the last axis of its argument, of any number of points, written for series: of values alone, or with derivatives.

    Parameters
    ----------
    inputs, outputs : sizes of the last axis.
    width, depth : neurons per layer, number of hidden layers (of blocks for :class:`PirateNet`).
    activation : "tanh", "sine" or "swish".
    adaptive : whether every activation has a slope to be learned.
    fourier : ``(count, scale)`` of random Fourier features, or None.
    frequency : by which the first layer's weights are multiplied, so that the network starts with more waves.
    """

    last: nn.Linear
    embedding: nn.Module

    def __init__(
        self, inputs: int, outputs: int, width: int, depth: int, activation: str, adaptive: bool, fourier: tuple[int, float] | None, frequency: float
    ) -> None:
        super().__init__()
        self.width, self.activation, self.adaptive = width, activation, adaptive
        self.embedding = nn.Identity() if fourier is None else FourierFeatures(inputs, *fourier)
        self.build(inputs if fourier is None else 2 * fourier[0], outputs, width, depth)
        with torch.no_grad():
            for layer in self.first():
                layer.weight.mul_(frequency)

    @abstractmethod
    def build(self, inputs: int, outputs: int, width: int, depth: int) -> None:
        """Make the layers, the linear ``last`` one among them."""

    @abstractmethod
    def first(self) -> list[nn.Linear]:
        """The layers that read the features."""

    @abstractmethod
    def hidden(self, v: Series) -> Series:
        """What the last, linear layer reads."""

    def embedded(self, v: Series) -> Series:
        """The embedded features' series from that of the features."""
        return self.embedding.series(v) if isinstance(self.embedding, FourierFeatures) else v

    def series(self, v: Series) -> Series:
        """The values' series from that of the embedded features."""
        return self.hidden(v).linear(self.last.weight, self.last.bias)

    def forward(self, v: Tensor) -> Tensor:
        """The values of features ``(..., inputs)``, ``(..., outputs)``."""
        return self.series(Series(self.embedding(v).unsqueeze(0), VALUE)).c.squeeze(0)

    def linear(self, inputs: int, outputs: int) -> nn.Linear:
        r"""A layer with weights of variance :math:`2/(n_\text{in}+n_\text{out})`, or uniform in :math:`\pm\sqrt{6/n_\text{in}}` for sines."""
        layer = nn.Linear(inputs, outputs)
        if self.activation == "sine" and outputs == self.width:
            bound = math.sqrt(6 / inputs)
            nn.init.uniform_(layer.weight, -bound, bound)
        else:
            nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer

    def layer(self, inputs: int) -> Layer:
        return Layer(self.linear(inputs, self.width), Activation(self.activation, self.adaptive))


class MLP(PointNetwork):
    """The plain one."""

    def build(self, inputs: int, outputs: int, width: int, depth: int) -> None:
        self.entrance = self.layer(inputs)
        self.layers = nn.ModuleList(self.layer(width) for _ in range(depth - 1))
        self.last = self.linear(width, outputs)

    def first(self) -> list[nn.Linear]:
        return [self.entrance.linear]

    def hidden(self, v: Series) -> Series:
        v = self.entrance(v)
        for layer in self.layers:
            v = layer(v)
        return v


class ModifiedMLP(PointNetwork):
    r"""Every layer mixes two encodings of the features: :math:`h\leftarrow(1-z)\odot U+z\odot V`, :math:`z=\sigma(Wh+b)`.

    S. Wang, Y. Teng & P. Perdikaris, SIAM J. Sci. Comput. 43 (2021) A3055.
    """

    def build(self, inputs: int, outputs: int, width: int, depth: int) -> None:
        self.u, self.v = (self.layer(inputs) for _ in range(2))
        self.entrance = self.layer(inputs)
        self.layers = nn.ModuleList(self.layer(width) for _ in range(depth - 1))
        self.last = self.linear(width, outputs)

    def first(self) -> list[nn.Linear]:
        return [self.u.linear, self.v.linear, self.entrance.linear]

    def hidden(self, v: Series) -> Series:
        first = self.u(v)
        difference = self.v(v) - first
        for layer in (self.entrance, *self.layers):
            v = first + layer(v) * difference
        return v


class PirateBlock(nn.Module):
    r"""Two gated layers, a third, and a step of size :math:`\alpha` towards the result; :math:`\alpha` starts at 0."""

    def __init__(self, network: PointNetwork) -> None:
        super().__init__()
        self.layers = nn.ModuleList(network.layer(network.width) for _ in range(3))
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, x: Series, second: Series, difference: Series) -> Series:
        h = x
        for layer in self.layers[:2]:
            h = second + layer(h) * difference
        return x + (self.layers[2](h) - x).scaled(self.alpha)


class PirateNet(PointNetwork):
    """Residual blocks that start as the identity, so that the network starts as a linear function of its features and deepens as it learns.

    S. Wang, B. Li, Y. Chen & P. Perdikaris, J. Mach. Learn. Res. 25 (2024), arXiv 2402.00326.
    """

    def build(self, inputs: int, outputs: int, width: int, depth: int) -> None:
        self.enter = None if inputs == width else self.linear(inputs, width)
        self.u, self.v = (self.layer(inputs) for _ in range(2))
        self.blocks = nn.ModuleList(PirateBlock(self) for _ in range(depth))
        self.last = self.linear(width, outputs)

    def first(self) -> list[nn.Linear]:
        return [self.u.linear, self.v.linear]

    def hidden(self, v: Series) -> Series:
        second = self.v(v)
        difference = self.u(v) - second
        v = v if self.enter is None else v.linear(self.enter.weight, self.enter.bias)
        for block in self.blocks:
            v = block(v, second, difference)
        return v


NETWORKS: dict[str, type[PointNetwork]] = {"mlp": MLP, "modified": ModifiedMLP, "pirate": PirateNet}


def make_network(
    kind: str,
    inputs: int,
    outputs: int,
    *,
    width: int,
    depth: int,
    activation: str,
    adaptive: bool,
    fourier: int | tuple[int, float] | None,
    frequency: float,
    who: str,
) -> PointNetwork:
    """The network called ``kind``; raises InputError for unknown names and sizes that make no network."""
    if kind not in NETWORKS:
        raise InputError(f"{who}: network={kind!r} given; choose {', '.join(NETWORKS)}.")
    if activation not in Activation.KINDS:
        raise InputError(f"{who}: activation={activation!r} given; choose {', '.join(Activation.KINDS)}.")
    check_whole(1, who=who, width=width, depth=depth)
    if not (isinstance(frequency, int | float) and 0 < frequency < math.inf):
        raise InputError(f"{who}: frequency={frequency!r} given; a positive, finite number is needed.")
    features = (fourier, 1.0) if isinstance(fourier, int) else fourier
    if features is not None:
        if not (isinstance(features, tuple | list) and len(features) == 2):
            raise InputError(f"{who}: fourier={fourier!r} given; a number of features, or a pair (number, scale), is needed.")
        check_whole(1, who=f"{who}: fourier", count=features[0])
        if not 0 < features[1] < math.inf:
            raise InputError(f"{who}: fourier={fourier!r} given; the scale must be positive and finite.")
        features = (int(features[0]), float(features[1]))
    return NETWORKS[kind](inputs, outputs, width, depth, activation, bool(adaptive), features, float(frequency))
