"""Instruments at points: scattered, moving, along lines, and averages around them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sciml.assimilation.operators import Operator, chosen_channels, numbered
from sciml.assimilation.weights import LINEAR, TRIGONOMETRIC, Weights, averages, check_inside, interpolation
from sciml.core.errors import InputError
from sciml.core.grid import Grid

Positions = Tensor | Sequence[float] | Sequence[Sequence[float]]


@dataclass(frozen=True, eq=False)
class Pointwise(Operator, ABC):
    """Weighted sums of samples around places; rules differ in places and weights. Observations are ordered by channel, then by place."""

    channels: Sequence[int] | None
    _kept: dict[str, tuple[Grid, Weights]] = field(default_factory=dict, init=False, repr=False)

    @abstractmethod
    def places(self, grid: Grid, time: float) -> Tensor:
        """Coordinates ``(points, ndim)``."""

    @abstractmethod
    def weights(self, grid: Grid, places: Tensor) -> Weights:
        """Of the samples, for these places."""

    def __call__(self, u: Tensor, grid: Grid, time: float) -> Tensor:
        kept = self._kept.get("latest")
        if kept is None or kept[0] != grid:
            kept = grid, self.weights(grid, self.places(grid, time))
            self._kept["latest"] = kept
        return kept[1](chosen_channels(u, grid, self.channels), grid).flatten(-2)

    def locations(self, grid: Grid, channels: int, time: float) -> Tensor | None:
        return self.places(grid, time).repeat(channels if self.channels is None else len(self.channels), 1)


@dataclass(frozen=True, eq=False)
class AtPoints(Pointwise):
    """See :func:`at_points`."""

    points: Tensor
    kind: str | None

    def places(self, grid: Grid, time: float) -> Tensor:
        check_inside(grid, self.points, "at_points")
        return self.points

    def weights(self, grid: Grid, places: Tensor) -> Weights:
        return interpolation(grid, places, self.kind, "at_points")


@dataclass(frozen=True, eq=False)
class Moving(Pointwise):
    """See :func:`moving`."""

    path: Callable[[float], Any]
    kind: str | None

    def __call__(self, u: Tensor, grid: Grid, time: float) -> Tensor:
        points = self._points(time)
        silent = points.isnan().any(1)
        seen = self.weights(grid, self._shown(grid, points))(chosen_channels(u, grid, self.channels), grid)
        return torch.where(silent.to(u.device), torch.nan, seen).flatten(-2)

    def places(self, grid: Grid, time: float) -> Tensor:
        points = self._shown(grid, self._points(time))
        check_inside(grid, points, "moving")
        return points

    def weights(self, grid: Grid, places: Tensor) -> Weights:
        return interpolation(grid, places, self.kind, "moving")

    def _points(self, time: float) -> Tensor:
        return as_points(self.path(time), f"moving, at t={time:.6g}")

    def _shown(self, grid: Grid, points: Tensor) -> Tensor:
        """With silent sensors put at the corner, where they do no harm: their data are missing."""
        if points.shape[1] != grid.ndim:
            return points  # check_inside says so
        return torch.where(points.isnan().any(1, keepdim=True), points.new_tensor(grid.origin), points)


@dataclass(frozen=True, eq=False)
class Lines(Pointwise):
    """See :func:`lines`."""

    axis: int
    positions: Tensor
    kind: str | None

    def places(self, grid: Grid, time: float) -> Tensor:
        if grid.ndim < 2 or self.axis >= grid.ndim or self.positions.shape[1] != grid.ndim - 1:
            raise InputError(
                f"lines: axis={self.axis} and positions of shape {tuple(self.positions.shape)} given for a grid with {grid.ndim} axes; a line needs "
                "an axis of the grid, and one position along each of the others."
            )
        along = grid.axes()[self.axis].to(torch.float64).cpu()
        others = self.positions.repeat_interleave(len(along), 0)
        points = torch.cat([others[:, : self.axis], along.repeat(len(self.positions)).unsqueeze(1), others[:, self.axis :]], 1)
        check_inside(grid, points, "lines")
        return points

    def weights(self, grid: Grid, places: Tensor) -> Weights:
        return interpolation(grid, places, self.kind, "lines")


@dataclass(frozen=True, eq=False)
class LocalAverage(Pointwise):
    """See :func:`local_average`."""

    width: float | tuple[float, ...]
    at: Tensor | None

    def places(self, grid: Grid, time: float) -> Tensor:
        if self.at is None and grid.ndim == 0:
            raise InputError("local_average: given for an ordinary system, which has no space; use sciml.every(1, channels=...).")
        points = torch.stack([x.flatten() for x in grid.points()], -1).to(torch.float64).cpu() if self.at is None else self.at
        check_inside(grid, points, "local_average")
        return points

    def weights(self, grid: Grid, places: Tensor) -> Weights:
        widths = self.width if isinstance(self.width, tuple) else (self.width,) * grid.ndim
        if len(widths) != grid.ndim:
            raise InputError(f"local_average: width={self.width} given for a grid with {grid.ndim} axes; give one number, or one per axis.")
        return averages(grid, places, widths, "local_average")


def at_points(x: Positions, interpolation: str | None = None, *, channels: Sequence[int] | None = None) -> Operator:
    """Values at scattered points.

    Parameters
    ----------
    x : coordinates ``(m, ndim)``, or ``(m,)`` in one dimension. Along periodic axes they may lie anywhere (the field repeats).
    interpolation : "trigonometric", exact for band-limited fields, on periodic grids; "linear", exact for linear functions, on any grid. By
        default trigonometric along periodic axes, linear along bounded ones.
    channels : numbers of the fields that are seen; None for all.

    Raises InputError for points outside a bounded domain, when the grid is known.
    """
    return AtPoints(numbered(channels), as_points(x, "at_points").detach(), _kind(interpolation, "at_points"))


def moving(path: Callable[[float], Any], interpolation: str | None = None, *, channels: Sequence[int] | None = None) -> Operator:
    """Values at points that move: ``path(time)`` gives their coordinates as in :func:`at_points`, as many at all times.

    A sensor whose coordinates are NaN is silent: what it shows is NaN, a missing observation.
    """
    if not callable(path):
        raise InputError(f"moving: {path!r} given; a function of time to coordinates (m, ndim) is needed (sciml.at_points is for points at rest).")
    return Moving(numbered(channels), path, _kind(interpolation, "moving"))


def lines(axis: int, positions: Positions, interpolation: str | None = None, *, channels: Sequence[int] | None = None) -> Operator:
    """All samples along lines parallel to an axis, such as tracks and masts, line by line.

    Parameters
    ----------
    axis : along which the lines run.
    positions : where they cross the other axes: ``(lines,)`` in two dimensions, ``(lines, 2)`` in three.
    interpolation, channels : see :func:`at_points`.
    """
    if isinstance(axis, bool) or not isinstance(axis, int) or axis < 0:
        raise InputError(f"lines: axis={axis!r} given; the number of an axis, 0, 1 or 2, is needed.")
    return Lines(numbered(channels), axis, as_points(positions, "lines").detach(), _kind(interpolation, "lines"))


def local_average(width: float | Sequence[float], at: Positions | None = None, *, channels: Sequence[int] | None = None) -> Operator:
    """Means over boxes, as of a satellite's footprint.

    Exact for every wave on periodic axes; on bounded axes the means of the piecewise linear interpolant, over what of a box is in the domain.

    Parameters
    ----------
    width : of the boxes, in the grid's unit of length; one number, or one per axis.
    at : their centres as in :func:`at_points`; every point of the grid by default.
    channels : numbers of the fields that are seen; None for all.
    """
    wide = float(width) if isinstance(width, int | float) else tuple(float(w) for w in width)
    if not all(0 < w < float("inf") for w in (wide if isinstance(wide, tuple) else (wide,))):
        raise InputError(f"local_average: width={width} given; positive lengths are needed.")
    return LocalAverage(numbered(channels), wide, None if at is None else as_points(at, "local_average").detach())


def as_points(x: Any, who: str) -> Tensor:
    """Coordinates as ``(m, ndim)`` in double precision; numbers alone are points on a line."""
    try:
        points = torch.as_tensor(x, dtype=torch.float64).cpu()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{who}: points of type {type(x).__name__} given; coordinates (m, ndim) are needed, as a tensor or lists.") from None
    points = points.unsqueeze(1) if points.ndim == 1 else points
    if points.ndim != 2 or not len(points):
        raise InputError(f"{who}: points of shape {tuple(points.shape)} given; (m, ndim) is expected, one column per axis and one point at least.")
    return points


def _kind(interpolation: str | None, who: str) -> str | None:
    if interpolation not in (None, TRIGONOMETRIC, LINEAR):
        raise InputError(f"{who}: interpolation={interpolation!r} given; choose 'trigonometric' or 'linear'.")
    return interpolation
