r"""What lies beyond the edge of a grid: continuation across periodic faces, polynomials through the wall on bounded ones.

Near a wall the field is the polynomial of degree p through the wall value and the first p samples. With the wall at 0,
the samples at :math:`(j + 1/2)h` and everything in units of h, each quantity is a fixed combination of those numbers.
A Neumann condition gives the wall value first: the polynomial then has the prescribed slope.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from sciml.core.domain import Boundary, Periodic, check_imposed
from sciml.core.errors import InputError
from sciml.core.grid import Grid

Pair = tuple[Boundary, Boundary]


def check_boundaries(boundaries: Sequence[Pair] | None, grid: Grid, *, who: str) -> tuple[Pair, ...]:
    """One pair of conditions per axis that agrees with the grid; None stands for periodic ones."""
    if boundaries is None:
        if not all(grid.periodic):
            raise InputError(f"{who}: the grid has periodic={grid.periodic} but no boundaries were given; pass boundaries=problem.domain.boundaries.")
        return ((Periodic(), Periodic()),) * grid.ndim
    pairs = tuple((low, high) for low, high in boundaries)
    if len(pairs) != grid.ndim:
        raise InputError(f"{who}: {len(pairs)} boundary pairs given for a grid with {grid.ndim} axes; give one (lower, upper) pair per axis.")
    for axis, (pair, periodic) in enumerate(zip(pairs, grid.periodic, strict=True)):
        if any(isinstance(b, Periodic) != periodic for b in pair):
            raise InputError(
                f"{who}: axis {axis} has the boundaries {pair} but the grid has periodic={periodic} there; make the grid with problem.grid(points)."
            )
    check_imposed(pairs, who=who)
    return pairs


def wrapped(u: Tensor, dim: int, width: int) -> Tensor:
    """``u`` with ``width`` samples of the other end in front and behind along ``dim``."""
    n = u.shape[dim]
    return torch.cat([u.narrow(dim, n - width, width), u, u.narrow(dim, 0, width)], dim=dim)


def joined(parts: Sequence[Tensor], dim: int) -> Tensor:
    """Concatenation along ``dim``; every other axis is broadcast, so that a wall value per sample meets a single state."""
    # torch.broadcast_shapes costs more than the concatenation
    axes = max(p.ndim for p in parts)
    shape = [max(p.shape[i] if i >= -p.ndim else 1 for p in parts) for i in range(-axes, 0)]
    return torch.cat([p.expand([*shape[:dim], p.shape[dim], *shape[dim:][1:]]) for p in parts], dim=dim)


def nearest(u: Tensor, dim: int, side: int, count: int) -> Tensor:
    """The ``count`` samples next to the wall (``side`` 0 lower, 1 upper), the nearest first."""
    return u.narrow(dim, 0, count) if side == 0 else u.narrow(dim, u.shape[dim] - count, count).flip(dim)


def ghosts_from_trace(trace: Tensor, u: Tensor, dim: int, side: int, width: int, points: int) -> Tensor:
    """The ``width`` ghost samples beyond a wall with value ``trace``, in the order of the axis; error O(h^(points + 1))."""
    values = combine(_weights("value", points, tuple(-0.5 - j for j in range(width))), trace, nearest(u, dim, side, points), dim)
    return values.flip(dim) if side == 0 else values


def trace_from_slope(slope: Tensor, u: Tensor, dim: int, side: int, points: int, h: float) -> Tensor:
    """The wall value of the polynomial with ``slope`` (along the axis) at the wall; error O(h^(points + 1))."""
    inward = slope * h if side == 0 else -slope * h
    return combine(_weights("slope", points, (0.0,)), inward, nearest(u, dim, side, points), dim)


def trace_from_samples(u: Tensor, dim: int, side: int, points: int) -> Tensor:
    """The wall value of the polynomial through the nearest samples alone; error O(h^points)."""
    return combine(_weights("none", points, (0.0,)), None, nearest(u, dim, side, points), dim)


def combine(weights: tuple[tuple[float, ...], ...], datum: Tensor | None, samples: Tensor, dim: int) -> Tensor:
    """One slice per row of weights: the weighted sum of the wall datum (if any) and of the samples along ``dim``."""
    parts = [] if datum is None else [datum]
    parts += torch.split(samples, 1, dim=dim)
    rows = []
    for row in weights:
        total = row[0] * parts[0]
        for weight, part in zip(row[1:], parts[1:], strict=True):
            total = total + weight * part
        rows.append(total)
    return torch.cat(rows, dim=dim)


@lru_cache(maxsize=256)
def _weights(condition: str, points: int, targets: tuple[float, ...]) -> tuple[tuple[float, ...], ...]:
    """Row i: the value at ``targets[i]`` from (the wall datum,) the samples at 1/2, 3/2, ..."""
    degrees = torch.arange(points + (condition != "none"), dtype=torch.float64)
    rows = [(0.5 + j) ** degrees for j in range(points)]
    if condition != "none":
        rows.insert(0, (degrees == (1 if condition == "slope" else 0)).double())
    basis = torch.stack(rows)
    wanted = torch.stack([torch.tensor(x, dtype=torch.float64) ** degrees for x in targets])
    return tuple(map(tuple, torch.linalg.solve(basis.T, wanted.T).T.tolist()))
