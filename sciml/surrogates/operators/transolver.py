r"""Transolver: attention among a few learned slices of the domain instead of among all points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.surrogates.base import Common, Surrogate
from sciml.surrogates.operators import coordinates as places
from sciml.surrogates.operators.pointwise import activation_of


class Transolver(Surrogate):
    r"""Layers :math:`v\leftarrow v+A(\mathrm{LN}\,v)`, :math:`v\leftarrow v+\mathrm{MLP}(\mathrm{LN}\,v)` on points, A physics attention.

    It works on points, in any order and number (:meth:`at`); a grid is one set of them. The cost is linear in their
    number. Wu et al., ICML 2024 (arXiv 2402.02366), eqs. (1)-(5).

    Parameters
    ----------
    grid, channels : where fields live, and how many there are.
    width, depth : hidden channels and number of layers.
    heads : of the attention; must divide ``width``.
    slices : number of slices (tokens) per head.
    expansion : hidden width of each layer's perceptron, as a multiple of ``width``.
    activation : as for :class:`sciml.FNO`.

    Good values: width 128, depth 8, heads 8, slices 32 to 64.
    """

    def __init__(
        self,
        grid: Grid,
        channels: int = 1,
        *,
        width: int = 128,
        depth: int = 4,
        heads: int = 8,
        slices: int = 32,
        expansion: int = 1,
        activation: str = "gelu",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(grid, channels, **common)
        if min(width, depth, heads, slices, expansion) < 1 or width % heads:
            raise InputError(
                f"Transolver: width={width}, depth={depth}, heads={heads}, slices={slices}, expansion={expansion} given; "
                "at least 1 is needed, and width must be a multiple of heads."
            )
        self.width, self.depth, self.heads, self.slices = int(width), int(depth), int(heads), int(slices)
        self.expansion, self.activation = int(expansion), activation
        read = self.channels + self.inputs + places.feature_count(grid)
        self.lift = self._perceptron(read, 2 * width, width)
        self.attention = nn.ModuleList([PhysicsAttention(width, heads, slices) for _ in range(depth)])
        self.mix = nn.ModuleList([self._perceptron(width, expansion * width, width) for _ in range(depth)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2 * depth + 1)])
        self.project = nn.Linear(width, self.out_channels)
        self.to(grid.device, grid.dtype)

    def operate(self, v: Tensor) -> Tensor:
        where = [x.flatten() for x in self.grid.points()]
        return self._on_points(v.flatten(2), where).unflatten(-1, self.grid.shape)

    def at(self, u: Tensor, points: Sequence[Tensor], inputs: Tensor | None = None) -> Tensor:
        """The map on scattered points: values ``(*batch, channels, n)`` -> ``(*batch, out_channels, n)``.

        ``points`` are one tensor ``(n,)`` of positions per axis, anywhere in the domain; given fields are ``(*batch, inputs, n)``. On the
        grid's own points it is what a call returns. Every point has the same weight, so that they should cover the domain evenly.
        """
        count = places.check_points(points, self.grid, "Transolver.at")
        inputs = self._taken(inputs)
        for name, values, number in (("values", u, self.channels), ("given fields", inputs, self.inputs)):
            if values is not None and (values.ndim < 2 or tuple(values.shape[-2:]) != (number, count) or values.dtype != self.grid.dtype):
                raise InputError(
                    f"Transolver.at: {name} of shape {tuple(values.shape)} and {values.dtype} for {count} points; "
                    f"(*batch, {number}, {count}) in {self.grid.dtype} is needed."
                )
        y = self._on_points(self._prepared(u, inputs, 1), points)
        return self._finished(y, u.shape[:-2], u if self.residual else None)

    def options(self) -> dict[str, Any]:
        return {
            "width": self.width,
            "depth": self.depth,
            "heads": self.heads,
            "slices": self.slices,
            "expansion": self.expansion,
            "activation": self.activation,
        }

    def _on_points(self, v: Tensor, points: Sequence[Tensor]) -> Tensor:
        """``(batch, channels + inputs, n)`` -> ``(batch, out_channels, n)``."""
        where = places.features(points, self.grid)
        x = self.lift(torch.cat([v.transpose(1, 2), where.to(v.dtype).expand(len(v), *where.shape)], -1))
        for n, (attention, mix) in enumerate(zip(self.attention, self.mix, strict=True)):
            x = x + attention(self.norms[2 * n](x))
            x = x + mix(self.norms[2 * n + 1](x))
        return torch.as_tensor(self.project(self.norms[-1](x))).transpose(1, 2)

    def _perceptron(self, read: int, hidden: int, written: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(read, hidden), activation_of(self.activation, "Transolver"), nn.Linear(hidden, written))


class PhysicsAttention(nn.Module):
    r"""Attention among the tokens :math:`z_m=\sum_i w_{im}x_i/\sum_i w_{im}` of slices :math:`w=\mathrm{softmax}(xW_s/\tau)`.

    What comes out goes back to the points as :math:`\sum_m w_{im}z'_m`. Eqs. (1)-(4) of arXiv 2402.02366, for every head;
    ``(batch, n, width)`` to the same shape.
    """

    def __init__(self, width: int, heads: int, slices: int) -> None:
        super().__init__()
        self.heads, size = heads, width // heads
        self.fields, self.keys = nn.Linear(width, width), nn.Linear(width, width)
        self.slicing = nn.Linear(size, slices)
        nn.init.orthogonal_(self.slicing.weight)  # slices that differ from the start
        self.temperature = nn.Parameter(torch.full((heads, 1, 1), 0.5))
        self.query, self.key, self.value = (nn.Linear(size, size, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        fields, keys = self._split(self.fields(x)), self._split(self.keys(x))
        weights = (self.slicing(keys) / self.temperature.clamp(0.1, 5.0)).softmax(-1)
        total = weights.sum(-2).unsqueeze(-1)
        tokens = weights.transpose(-1, -2) @ fields / total.clamp_min(torch.finfo(total.dtype).eps)
        q, k, v = self.query(tokens), self.key(tokens), self.value(tokens)
        tokens = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1) @ v
        return torch.as_tensor(self.out((weights @ tokens).transpose(1, 2).flatten(2)))

    def _split(self, x: Tensor) -> Tensor:
        """``(batch, n, width)`` -> ``(batch, heads, n, width / heads)``."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
