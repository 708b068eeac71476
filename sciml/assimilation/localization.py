"""Data act near where they were taken: tapers of distance, and the local domains of a grid with the data they see."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.core.grid import Grid

CURVATURE = math.sqrt(10 / 3)
"""Half-width of Gaspari-Cohn's function per radius for which it is curved at 0 as exp(-(d/radius)^2 / 2) is."""
LEAST = 1e-3
"""Weights below it are dropped."""
FULL = 4
"""Ratio of all data to those that a domain sees up to which all are taken along: one large product is faster than many small ones."""
CHUNK = 2**24
"""Distances held at once."""


def gaspari_cohn(d: Tensor) -> Tensor:
    r"""The fifth-order piecewise rational function of distances in radii; 0 beyond :math:`2\sqrt{10/3}`.

    Curved at 0 as :math:`e^{-d^2/2}`; at one radius it is 0.634. G. Gaspari & S. E. Cohn, Q. J. R. Meteorol. Soc. 125 (1999) 723, eq. 4.10.
    """
    z = d / CURVATURE
    near = 1 + z**2 * (-5 / 3 + z * (5 / 8 + z * (1 / 2 - z / 4)))
    far = 4 - 5 * z + z**2 * (5 / 3 + z * (5 / 8 + z * (-1 / 2 + z / 12))) - 2 / (3 * z.clamp_min(0.5))
    return torch.where(z < 1, near, torch.where(z < 2, far, 0.0)).clamp_min(0.0)


def gaussian(d: Tensor) -> Tensor:
    r""":math:`e^{-d^2/2}` of distances in radii."""
    return torch.exp(-d.square() / 2)


def exponential(d: Tensor) -> Tensor:
    r""":math:`e^{-d}` of distances in radii."""
    return torch.exp(-d)


def step(d: Tensor) -> Tensor:
    """1 up to one radius, 0 beyond."""
    return (d <= 1).to(d)


TAPERS: dict[str, Callable[[Tensor], Tensor]] = {"gaspari_cohn": gaspari_cohn, "gaussian": gaussian, "exponential": exponential, "step": step}

T = TypeVar("T", int, float)
Hook = Callable[[Grid, Tensor, Tensor], Tensor]
"""``(grid, points (p, ndim), locations (m, ndim))`` to weights ``(p, m)`` from 0 to 1."""


class Domains(NamedTuple):
    """Local domains, blocks of points of a grid, each with the data that it sees.

    Attributes
    ----------
    points : places of each block's points in the flattened grid, ``(blocks, size)``; smaller blocks repeat their last.
    data : numbers of the data that each sees, ``(blocks, most)``; None if the weights are those of all data, in order.
    weights : of these data, ``(blocks, most)``, 0 for fillers.
    """

    points: Tensor
    data: Tensor | None
    weights: Tensor


@dataclass(frozen=True)
class Localization:
    """Weights of data by their distance, along periodic axes by the shorter way.

    Parameters
    ----------
    radius : in units of length of the grid; one number, or one per axis.
    taper : "gaspari_cohn", "gaussian", "exponential", "step", or any function of distances in radii to weights.
    block : points per local domain along each axis; their distances are averaged, and they share one analysis.
    """

    radius: float | Sequence[float]
    taper: str | Callable[[Tensor], Tensor] = "gaspari_cohn"
    block: int | Sequence[int] = 1

    def __post_init__(self) -> None:
        radii = (self.radius,) if isinstance(self.radius, int | float) else tuple(self.radius)
        if not radii or not all(0 < r < math.inf for r in radii):
            raise InputError(f"Localization: radius={self.radius} given; positive lengths are needed (None switches localisation off).")
        if isinstance(self.taper, str) and self.taper not in TAPERS:
            raise InputError(f"Localization: taper={self.taper!r} given; choose {', '.join(TAPERS)}, or give a function of distances in radii.")
        blocks = (self.block,) if isinstance(self.block, int) else tuple(self.block)
        if not blocks or any(isinstance(b, bool) or not isinstance(b, int) or b < 1 for b in blocks):
            raise InputError(f"Localization: block={self.block} given; whole numbers of at least 1 are needed.")

    def __call__(self, grid: Grid, points: Tensor, locations: Tensor) -> Tensor:
        """Weights ``(blocks, m)`` of data at locations ``(m, ndim)`` for blocks of points ``(blocks, size, ndim)``."""
        taper = TAPERS[self.taper] if isinstance(self.taper, str) else self.taper
        radii = _per_axis(self.radius, grid.ndim, "radius")
        rows = []
        for part in points.split(max(1, CHUNK // (points.shape[1] * max(1, len(locations))))):
            square = part.new_zeros((*part.shape[:2], len(locations)))
            for i, (length, periodic, radius) in enumerate(zip(grid.lengths, grid.periodic, radii, strict=True)):
                d = (part[..., i, None] - locations[:, i]).abs()
                if periodic:
                    d = d % length
                    d = torch.minimum(d, length - d)
                square = square + (d / radius).square()
            rows.append(taper(square.sqrt().mean(1)))
        return torch.cat(rows)


def blocks_of(grid: Grid, block: int | Sequence[int]) -> Tensor:
    """Places of points in the flattened grid by blocks, ``(blocks, size)``; smaller blocks at the end of an axis repeat their last point."""
    if grid.ndim == 0:
        return torch.zeros((1, 1), dtype=torch.long)
    sizes = _per_axis(block, grid.ndim, "block")
    lines = [torch.arange(-(-n // b) * b).clamp_max(n - 1).reshape(-1, b) for n, b in zip(grid.shape, sizes, strict=True)]
    places = torch.zeros((1, 1), dtype=torch.long)
    for n, line in zip(grid.shape, lines, strict=True):
        places = (places[:, None, :, None] * n + line[None, :, None, :]).reshape(len(places) * len(line), -1)
    return places


def domains_of(grid: Grid, localization: Localization | Hook, locations: Tensor) -> Domains:
    """The blocks of a grid with the data at ``locations`` ``(m, ndim)`` that they see."""
    block = localization.block if isinstance(localization, Localization) else 1
    places = blocks_of(grid, block)
    points = torch.stack([x.flatten() for x in grid.points()], -1).cpu()[places]
    at = locations.to(points)
    weights = weights_of(grid, localization, points, at)
    most = int((weights > 0).sum(1).max()) if len(at) else 0
    if len(at) <= FULL * most:
        return Domains(places, None, weights)
    values, data = weights.topk(max(most, 1), dim=1, sorted=False) if len(at) else (weights, weights.long())
    return Domains(places, data, values)


def weights_of(grid: Grid, localization: Localization | Hook, points: Tensor, locations: Tensor) -> Tensor:
    """Weights ``(p, m)`` of data at ``locations`` ``(m, ndim)`` for blocks of points ``(p, size, ndim)``; those below ``LEAST`` are 0.

    Raises InputError for weights of another shape, or not from 0 to 1.
    """
    p, m = len(points), len(locations)
    weights = localization(grid, points if isinstance(localization, Localization) else points[:, 0], locations)
    if tuple(weights.shape) != (p, m) or not bool(((weights >= 0) & (weights <= 1 + 1e-9)).all()):
        raise InputError(
            f"localization: weights of shape {tuple(weights.shape)} given; ({p}, {m}) numbers from 0 to 1 are expected, one row per local domain and "
            "one column per observation."
        )
    return torch.where(weights >= LEAST, weights, 0.0)


def _per_axis(value: T | Sequence[T], ndim: int, name: str) -> tuple[T, ...]:
    if isinstance(value, Sequence):
        if len(value) != ndim:
            raise InputError(f"Localization: {name}={tuple(value)} given for {ndim} axes; give one number, or one per axis.")
        return tuple(value)
    return (value,) * ndim
