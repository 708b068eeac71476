"""Weighted sums of a field's samples: interpolation to points and averages over boxes, made once and applied to whole ensembles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.spectral.resample import evaluate
from sciml.spectral.transforms import Transform

TRIGONOMETRIC, LINEAR = "trigonometric", "linear"
CHUNK = 2**24
"""Intermediate values held at once."""
ROUNDING = 1e-9
"""Part of an axis by which a point may lie outside a bounded domain, where positions are rounded."""


@dataclass(frozen=True, eq=False)
class Corners:
    """Sums over few samples: ``index`` ``(m, k)`` in the flattened grid and ``weight`` ``(m, k)``."""

    index: Tensor
    weight: Tensor

    def __call__(self, u: Tensor, grid: Grid) -> Tensor:
        """Of fields ``(..., *space)``, ``(..., m)``."""
        flat = u.flatten(u.ndim - grid.ndim)
        return (flat[..., self.index.to(u.device)] * self.weight.to(u)).sum(-1)


@dataclass(frozen=True, eq=False)
class Separable:
    """Products of sums along the axes: one matrix ``(m, n)`` per axis."""

    rows: tuple[Tensor, ...]

    def __call__(self, u: Tensor, grid: Grid) -> Tensor:
        """Of fields ``(..., *space)``, ``(..., m)``; the points in chunks, to bound memory."""
        rows = [row.to(u) for row in self.rows]
        chunk = max(1, CHUNK // max(1, u.numel() // grid.shape[-1]))
        return torch.cat([_contracted(u, part) for part in zip(*(row.split(chunk) for row in rows), strict=True)], -1)


Weights = Corners | Separable


def _contracted(u: Tensor, rows: tuple[Tensor, ...]) -> Tensor:
    value = u @ rows[-1].T
    for row in reversed(rows[:-1]):
        value = (value * row.T).sum(-2)
    return value


def interpolation(grid: Grid, points: Tensor, kind: str | None, who: str) -> Weights:
    """Weights that take a field to points ``(m, ndim)``.

    Trigonometric along periodic axes (exact for band-limited fields), linear along bounded ones (exact for linear functions; up to the wall by
    the line through the two nearest samples); ``kind`` asks for one of the two along all axes. Raises InputError for trigonometric
    interpolation along a bounded axis, and for points outside.
    """
    if kind == TRIGONOMETRIC and not all(grid.periodic):
        raise InputError(f"{who}: interpolation='trigonometric' given, but periodic={grid.periodic}; use 'linear' on bounded grids.")
    check_inside(grid, points, who)
    if kind == LINEAR or not any(grid.periodic):
        return _corners(grid, points)
    return Separable(tuple(_trigonometric(grid, a, x) if grid.periodic[a] else _dense(_linear(grid, a, x), grid.shape[a]) for a, x in _axes(points)))


def averages(grid: Grid, points: Tensor, widths: Sequence[float], who: str) -> Weights:
    """Weights of means over boxes of ``widths`` around points ``(m, ndim)``.

    Of the trigonometric interpolant along periodic axes, of the piecewise linear one along bounded axes, where boxes end at the walls.
    """
    check_inside(grid, points, who)
    for axis, (width, length) in enumerate(zip(widths, grid.lengths, strict=True)):
        if not 0 < width <= length * (1 + ROUNDING):
            raise InputError(f"{who}: width {width:g} given along axis {axis}, which is {length:g} long; a positive width that fits is needed.")
    return Separable(tuple(_wave_means(grid, a, x, widths[a]) if grid.periodic[a] else _line_means(grid, a, x, widths[a]) for a, x in _axes(points)))


def check_inside(grid: Grid, points: Tensor, who: str) -> None:
    """Raise InputError unless points are ``(m, ndim)``, finite, and inside along bounded axes; along periodic ones the field repeats."""
    if grid.ndim == 0:
        raise InputError(f"{who}: points given for an ordinary system, which has no space; use sciml.every(1, channels=...).")
    if points.ndim != 2 or points.shape[1] != grid.ndim:
        raise InputError(f"{who}: points of shape {tuple(points.shape)} given; (m, {grid.ndim}) is expected, one column per axis.")
    wrong = ~torch.isfinite(points)
    for axis, (low, length, periodic) in enumerate(zip(grid.origin, grid.lengths, grid.periodic, strict=True)):
        if not periodic:
            slack = ROUNDING * length
            wrong[:, axis] |= (points[:, axis] < low - slack) | (points[:, axis] > low + length + slack)
    if bool(wrong.any()):
        number, axis = wrong.nonzero()[0].tolist()
        low = grid.origin[axis]
        at = ", ".join(f"{x:.6g}" for x in points[number].tolist())
        raise InputError(
            f"{who}: point {number} at ({at}) is not in the domain, which reaches from {low:g} to {low + grid.lengths[axis]:g} along axis {axis}"
            f"{' (and repeats)' if grid.periodic[axis] else ''}; move or drop it."
        )


def _axes(points: Tensor) -> list[tuple[int, Tensor]]:
    return list(enumerate(points.to(torch.float64).unbind(1)))


def _trigonometric(grid: Grid, axis: int, x: Tensor) -> Tensor:
    line = _line(grid, axis)
    return evaluate(torch.eye(line.shape[0], dtype=torch.float64, device=x.device), line, [x]).T


def _wave_means(grid: Grid, axis: int, x: Tensor, width: float) -> Tensor:
    r"""The mean of :math:`e^{ikx}` over a box is :math:`\mathrm{sinc}(kw/2)` times its value in the middle."""
    line = _line(grid, axis)
    transform = Transform(line)
    damped = transform.forward(torch.eye(line.shape[0], dtype=torch.float64)) * torch.sinc(line.wavenumbers()[0] * (width / (2 * math.pi)))
    return evaluate(transform.inverse(damped).to(x.device), line, [x]).T


def _line_means(grid: Grid, axis: int, x: Tensor, width: float) -> Tensor:
    """Every piece of the interpolant is linear, so its integral is its length times its value in the middle."""
    n, low, length = grid.shape[axis], grid.origin[axis], grid.lengths[axis]
    left, right = (x - width / 2).clamp_min(low), (x + width / 2).clamp_max(low + length)
    ends = torch.cat([x.new_tensor([low]), _samples(grid, axis, x)[1:-1], x.new_tensor([low + length])])  # the outer pieces reach the walls
    a, b = torch.maximum(left.unsqueeze(1), ends[:-1]), torch.minimum(right.unsqueeze(1), ends[1:])
    share = (b - a).clamp_min(0) / (right - left).unsqueeze(1)
    theta = ((a + b) / 2 - _samples(grid, axis, x)[:-1]) / grid.spacing[axis]
    rows = x.new_zeros((len(x), n))
    rows[:, :-1] += share * (1 - theta)
    rows[:, 1:] += share * theta
    return rows


def _samples(grid: Grid, axis: int, like: Tensor) -> Tensor:
    shift = 0.0 if grid.periodic[axis] else 0.5
    return grid.origin[axis] + grid.spacing[axis] * (torch.arange(grid.shape[axis], dtype=like.dtype, device=like.device) + shift)


def _linear(grid: Grid, axis: int, x: Tensor) -> tuple[Tensor, Tensor]:
    """The two samples beside each point and their weights, ``(m, 2)``."""
    n = grid.shape[axis]
    s = (x - grid.origin[axis]) / grid.spacing[axis] - (0.0 if grid.periodic[axis] else 0.5)
    j = s.detach().floor() if grid.periodic[axis] else s.detach().floor().clamp(0, n - 2)
    both = torch.stack([j, j + 1], 1).long() % n
    return both, torch.stack([1 - (s - j), s - j], 1)


def _dense(sparse: tuple[Tensor, Tensor], n: int) -> Tensor:
    index, weight = sparse
    return weight.new_zeros((len(index), n)).scatter_add(1, index, weight)


def _corners(grid: Grid, points: Tensor) -> Corners:
    index, weight = torch.zeros((len(points), 1), dtype=torch.long, device=points.device), torch.ones_like(points[:, :1], dtype=torch.float64)
    for axis, x in _axes(points):
        beside, share = _linear(grid, axis, x)
        index = (index.unsqueeze(2) * grid.shape[axis] + beside.unsqueeze(1)).flatten(1)
        weight = (weight.unsqueeze(2) * share.unsqueeze(1)).flatten(1)
    return Corners(index, weight)


def _line(grid: Grid, axis: int) -> Grid:
    return Grid((grid.shape[axis],), (grid.lengths[axis],), (True,), (grid.origin[axis],), torch.float64)
