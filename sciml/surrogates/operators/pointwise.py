"""Maps that act at every point alike: channel mixing, activations and skip connections on ``(batch, channel, *space)``."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from sciml.core.errors import InputError

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "identity": nn.Identity,
}


def activation_of(name: str, who: str) -> nn.Module:
    """The activation called ``name``; raise :class:`InputError` for one that is not known."""
    if name not in ACTIVATIONS:
        raise InputError(f"{who}: activation={name!r} given; choose one of {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[name]()


class Pointwise(nn.Module):
    """``W v + b`` at every point, ``(batch, in_channels, *space)`` -> ``(batch, out_channels, *space)``.

    A batched matrix product over whole fields, which on CPUs takes a third of the time of a convolution of width 1.
    """

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_channels)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound)) if bias else None

    def forward(self, v: Tensor) -> Tensor:
        batch, _, *space = v.shape
        flat, weight = v.flatten(2), self.weight.expand(batch, *self.weight.shape)
        out = torch.bmm(weight, flat) if self.bias is None else torch.baddbmm(self.bias.unsqueeze(1), weight, flat)
        return out.view(batch, self.weight.shape[0], *space)

    def added(self, v: Tensor, to: Tensor) -> Tensor:
        """``to + W v`` in one pass over memory; the bias is left to the caller."""
        batch, _, *space = v.shape
        return torch.baddbmm(to.flatten(2), self.weight.expand(batch, *self.weight.shape), v.flatten(2)).view(batch, self.weight.shape[0], *space)


class ChannelMLP(nn.Module):
    """``W_2 a(W_1 v + b_1) + b_2`` at every point; one linear map if ``hidden`` is 0."""

    def __init__(self, in_channels: int, hidden: int, out_channels: int, activation: str, who: str) -> None:
        super().__init__()
        layers: list[nn.Module] = [Pointwise(in_channels, hidden or out_channels)]
        if hidden:
            layers += [activation_of(activation, who), Pointwise(hidden, out_channels)]
        self.layers = nn.Sequential(*layers)

    def forward(self, v: Tensor) -> Tensor:
        for layer in self.layers:
            v = layer(v)
        return v


class Skip(nn.Module, ABC):
    """A connection past a layer: adds some simple map of the layer's argument to its result."""

    def __init__(self, width: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, v: Tensor, to: Tensor) -> Tensor:
        """``to`` plus this connection's map of ``v``."""


class Linear(Skip):
    """A matrix on the channels."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.map = Pointwise(width, width, bias=False)

    def forward(self, v: Tensor, to: Tensor) -> Tensor:
        return self.map.added(v, to)


class Gate(Skip):
    """One factor per channel, 1 at the start."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, v: Tensor, to: Tensor) -> Tensor:
        return torch.addcmul(to, self.weight.view(-1, *(1,) * (v.ndim - 2)), v)


class Identity(Skip):
    """The argument itself."""

    def forward(self, v: Tensor, to: Tensor) -> Tensor:
        return to + v


class Absent(Skip):
    """No connection."""

    def forward(self, v: Tensor, to: Tensor) -> Tensor:
        return to


SKIPS: dict[str, type[Skip]] = {"linear": Linear, "gate": Gate, "identity": Identity, "none": Absent}


def skip_of(name: str, width: int, who: str) -> Skip:
    """The skip connection called ``name``; raise :class:`InputError` for one that is not known."""
    if name not in SKIPS:
        raise InputError(f"{who}: skip={name!r} given; choose one of {', '.join(SKIPS)}.")
    return SKIPS[name](width)
