"""Where a point is, as numbers that a network can read."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.core.grid import Grid

COORDINATES = ("none", "positions", "index", "angles")


def chosen(coordinates: str | None, grid: Grid, who: str) -> str:
    """A kind of coordinates: by default none on periodic domains, where they would break translation symmetry, else positions."""
    if coordinates is None:
        return "none" if all(grid.periodic) else "positions"
    if coordinates not in COORDINATES:
        raise InputError(f"{who}: coordinates={coordinates!r} given; choose one of {', '.join(COORDINATES)}, or None for what suits the domain.")
    return coordinates


def channels_of(kind: str, grid: Grid) -> int:
    """Number of channels that :func:`fields` makes."""
    return 0 if kind == "none" else feature_count(grid) if kind == "angles" else grid.ndim


def fields(kind: str, grid: Grid) -> Tensor:
    """Coordinates on the grid, ``(channels, *shape)``: positions as fractions of the lengths, indices as fractions of the counts, or angles.

    The first two are the same on periodic axes, where they jump at the end of the period. On bounded axes positions are those of cell
    centres, and "index" is j/n, which is what weights trained elsewhere may expect. "angles" are :func:`features`, smooth on periodic axes.
    """
    if kind == "angles":
        return features(grid.points(), grid).movedim(-1, 0)
    counted = [torch.arange(n, dtype=grid.dtype, device=grid.device) / n for n in grid.shape]
    axes = fractions(grid.axes(), grid) if kind == "positions" else counted
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def fractions(points: Sequence[Tensor], grid: Grid) -> list[Tensor]:
    """Positions per axis as fractions of the domain's lengths."""
    return [(x - o) / length for x, o, length in zip(points, grid.origin, grid.lengths, strict=True)]


def features(points: Sequence[Tensor], grid: Grid) -> Tensor:
    r"""What a network reads of points, ``(*points, features)``: :math:`\cos, \sin` of the angle on periodic axes, -1..1 on bounded ones."""
    columns: list[Tensor] = []
    for x, periodic in zip(fractions(points, grid), grid.periodic, strict=True):
        columns += [(2 * math.pi * x).cos(), (2 * math.pi * x).sin()] if periodic else [2 * x - 1]
    return torch.stack(columns, -1)


def feature_count(grid: Grid) -> int:
    """Number of features of a point."""
    return sum(2 if periodic else 1 for periodic in grid.periodic)


def check_points(points: Sequence[Tensor], grid: Grid, who: str) -> int:
    """The number of scattered points; raise unless they are one tensor ``(n,)`` per axis, of the grid's dtype."""
    if len(points) != grid.ndim or any(not isinstance(p, Tensor) or p.ndim != 1 or p.shape != points[0].shape for p in points):
        shapes = [tuple(getattr(p, "shape", ())) for p in points]
        raise InputError(f"{who}: points of shapes {shapes} given; {grid.ndim} tensors of one common shape (n,), one per axis, are needed.")
    if any(p.dtype != grid.dtype for p in points):
        raise InputError(f"{who}: points are {[str(p.dtype) for p in points]} and the model is {grid.dtype}; convert one of them.")
    return len(points[0])
