"""What operators with spectral layers share: coordinates, lifting, domain continuation, projection."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Unpack, final

import torch
from torch import Tensor, nn

from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.surrogates.base import Common, Surrogate
from sciml.surrogates.operators import coordinates as places

MARGIN = 0.125
"""Continuation at each end of a bounded axis, as a fraction of its length."""


class FourierOperator(Surrogate):
    """Lift to ``width`` channels, layers on a periodic grid, project; :class:`sciml.FNO` says what the arguments mean.

    A class makes ``self.lift`` and ``self.project`` and provides :meth:`layers`.
    """

    lift: nn.Module
    project: nn.Module

    def __init__(
        self,
        grid: Grid,
        channels: int,
        *,
        modes: int | Sequence[int],
        width: int,
        depth: int,
        coordinates: str | None,
        padding: float | Sequence[float] | None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(grid, channels, **common)
        who = type(self).__name__
        if width < 1 or depth < 1:
            raise InputError(f"{who}: width={width}, depth={depth} given; at least 1 is needed.")
        self.modes = _per_axis(modes, grid, "modes", who)
        if min(self.modes) < 1:
            raise InputError(f"{who}: modes={modes} given; at least 1 per axis is needed.")
        self.width, self.depth = int(width), int(depth)
        self.coordinates = places.chosen(coordinates, grid, who)
        # whole cells of this grid, so that a grid of a multiple of its points continues the same domain by the same length
        self.padding = tuple(round(p * n) / n for p, n in zip(_margins(padding, grid, who), grid.shape, strict=True))
        self.check_grid(grid)

    @abstractmethod
    def layers(self, v: Tensor) -> Tensor:
        """``(batch, width, *padded)`` -> the same shape, on a periodic grid."""

    @final
    def operate(self, v: Tensor) -> Tensor:
        if self.coordinates != "none":
            where = places.fields(self.coordinates, self.grid).to(v.dtype)
            v = torch.cat([v, where.expand(len(v), *where.shape)], 1)
        v = self.lift(v)
        margins = [round(p * n) for p, n in zip(self.padding, self.grid.shape, strict=True)]
        if any(margins):
            v = nn.functional.pad(v, [m for margin in reversed(margins) for m in (margin, margin)])
        v = self.layers(v)
        for axis, (margin, n) in enumerate(zip(margins, self.grid.shape, strict=True)):
            v = v.narrow(axis + 2, margin, n)
        return torch.as_tensor(self.project(v))

    @final
    def check_grid(self, grid: Grid) -> None:
        padded = tuple(n + 2 * round(p * n) for n, p in zip(grid.shape, self.padding, strict=True))
        if any(n < 2 * m - 1 for n, m in zip(padded, self.modes, strict=True)):
            what = f"{padded} points (with padding)" if padded != grid.shape else f"{padded} points"
            most = tuple((n + 1) // 2 for n in padded)
            raise InputError(f"{type(self).__name__}: a grid of {what} cannot hold modes={self.modes}; use modes of at most {most}, or a finer grid.")

    @property
    def lifted(self) -> int:
        """Number of channels that are lifted: fields, given fields and coordinates."""
        return self.channels + self.inputs + places.channels_of(self.coordinates, self.grid)

    def options(self) -> dict[str, Any]:
        return {
            "modes": list(self.modes),
            "width": self.width,
            "depth": self.depth,
            "coordinates": self.coordinates,
            "padding": list(self.padding),
        }


def _per_axis(value: int | Sequence[int], grid: Grid, name: str, who: str) -> tuple[int, ...]:
    values = (value,) * grid.ndim if isinstance(value, int) else tuple(int(v) for v in value)
    if len(values) != grid.ndim:
        raise InputError(f"{who}: {name}={value} given for a grid of {grid.ndim} axes; give one number, or one per axis.")
    return values


def _margins(padding: float | Sequence[float] | None, grid: Grid, who: str) -> tuple[float, ...]:
    if padding is None:
        return tuple(0.0 if periodic else MARGIN for periodic in grid.periodic)
    if isinstance(padding, int | float):
        margins = tuple(0.0 if periodic else float(padding) for periodic in grid.periodic)
        if padding and all(grid.periodic):
            margins = (float(padding),) * grid.ndim
    else:
        margins = tuple(float(p) for p in padding)
    if len(margins) != grid.ndim or any(not 0 <= p <= 1 for p in margins):
        raise InputError(f"{who}: padding={padding} given; fractions of the length in 0..1 are needed, one for all bounded axes or one per axis.")
    if any(p > 0 and periodic for p, periodic in zip(margins, grid.periodic, strict=True)):
        raise InputError(f"{who}: padding={padding} on a grid with periodic={grid.periodic}; pad bounded axes only.")
    return margins
