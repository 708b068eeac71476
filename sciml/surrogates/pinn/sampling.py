"""Where the equation is asked to hold: points drawn at random, evenly, or where the residual is large."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from sciml.core.checks import check_whole
from sciml.core.errors import InputError

ResidualSize = Callable[[Tensor], Tensor]
r"""Points ``(n, k)`` to the sizes of the residual there, ``(n,)``."""


@dataclass(frozen=True)
class Box:
    """A box in space-time; sides of no length (the time of a steady equation) have one coordinate.

    Attributes
    ----------
    lower, upper : corners, one entry per coordinate.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def place(self, unit: Tensor) -> Tensor:
        """Points of the unit cube ``(n, sides of positive length)`` in this box, ``(n, coordinates)``."""
        columns, taken = [], 0
        for low, high in zip(self.lower, self.upper, strict=True):
            if high > low:
                columns.append(low + (high - low) * unit[:, taken])
                taken += 1
            else:
                columns.append(torch.full_like(unit[:, 0], low))
        return torch.stack(columns, 1)

    @property
    def sides(self) -> int:
        """Number of sides of positive length."""
        return sum(high > low for low, high in zip(self.lower, self.upper, strict=True))


@dataclass(frozen=True)
class Sampler(ABC):
    """A rule for points; values to choose from, with no state of their own.

    Attributes
    ----------
    renews : whether all points are new after a refresh; if so, those of soft conditions are drawn anew too, else they stay.

    Parameters
    ----------
    n : number of points (at the start).
    every : steps of the optimiser between two looks at them; None leaves them as they are.
    """

    n: int
    every: int | None = None
    renews: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_whole(1, who=type(self).__name__, n=self.n)
        if self.every is not None:
            check_whole(1, who=type(self).__name__, every=self.every)

    def start(self, box: Box, generator: torch.Generator) -> Tensor:
        """The first points, ``(n, k)`` in float64: evenly spread ones."""
        return sobol(self.n, box, generator)

    def weights(self, box: Box) -> Tensor | None:
        """The parts of the first points in a mean over the box, ``(n,)``, for those that compute integrals; None for equal ones."""
        return None

    @abstractmethod
    def refresh(self, points: Tensor, box: Box, size: ResidualSize, generator: torch.Generator) -> Tensor:
        """The points that follow ``points``."""


@dataclass(frozen=True)
class Uniform(Sampler):
    """Independent points of uniform density, all new every ``every`` steps."""

    def start(self, box: Box, generator: torch.Generator) -> Tensor:
        return box.place(torch.rand((self.n, box.sides), generator=generator, dtype=torch.float64))

    def refresh(self, points: Tensor, box: Box, size: ResidualSize, generator: torch.Generator) -> Tensor:
        return self.start(box, generator)


@dataclass(frozen=True)
class Sobol(Sampler):
    """A scrambled Sobol sequence, which covers the box more evenly than independent points; scrambled anew every ``every`` steps."""

    def refresh(self, points: Tensor, box: Box, size: ResidualSize, generator: torch.Generator) -> Tensor:
        return self.start(box, generator)


@dataclass(frozen=True)
class RAD(Sampler):
    r"""All points new every ``every`` steps, drawn without replacement from candidates with :math:`p\propto|r|^k/\langle|r|^k\rangle+c`.

    C. Wu, M. Zhu, Q. Tan, Y. Kartha & L. Lu, Comput. Methods Appl. Mech. Eng. 403 (2023) 115671, algorithm 2.

    Parameters
    ----------
    n, every : as for :class:`Sampler`; the first points are evenly spread.
    k, c : of the density: k = 0 or large c is uniform, large k stays close to the largest residuals.
    candidates : number of them; 10 n by default.
    """

    every: int | None = 100
    k: float = 1.0
    c: float = 1.0
    candidates: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_density(type(self).__name__, self.k, self.c, self.n, self.candidates)

    def refresh(self, points: Tensor, box: Box, size: ResidualSize, generator: torch.Generator) -> Tensor:
        return drawn(self.n, box, size, self.k, self.c, self.candidates or 10 * self.n, generator)


@dataclass(frozen=True)
class RARD(Sampler):
    r"""Points added every ``every`` steps, drawn as in :class:`RAD`; those that are there stay.

    The same article, algorithm 3 (RAR-D).

    Parameters
    ----------
    n, every : number of points at the start; steps between additions.
    k, c, candidates : of the density of those added; 10 n candidates by default.
    add : how many at a time; n/100 by default.
    most : no more points than this; 2 n by default.
    """

    every: int | None = 100
    k: float = 2.0
    c: float = 0.0
    candidates: int | None = None
    add: int | None = None
    most: int | None = None
    renews: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.add is not None:
            check_whole(1, who="RARD", add=self.add)
        if self.most is not None:
            check_whole(self.n, who="RARD", most=self.most)
        check_density("RARD", self.k, self.c, self.add or 1, self.candidates)

    def refresh(self, points: Tensor, box: Box, size: ResidualSize, generator: torch.Generator) -> Tensor:
        count = min(self.add or -(-self.n // 100), (self.most or 2 * self.n) - len(points))
        if count < 1:
            return points
        new = drawn(count, box, size, self.k, self.c, self.candidates or 10 * self.n, generator)
        return torch.cat([points, new.to(points)])


@dataclass(frozen=True)
class Gauss(Sampler):
    """Gauss-Legendre points along every axis, as dense on each as on the others: for what is an integral, which has their weights too.

    Parameters
    ----------
    n : number of points at least; each axis gets as many as keep the spacings alike.
    """

    def start(self, box: Box, generator: torch.Generator) -> Tensor:
        lines = [(torch.as_tensor(nodes) + 1) / 2 for nodes, _ in self._rules(box)]
        return box.place(torch.stack([c.flatten() for c in torch.meshgrid(*lines, indexing="ij")], -1))

    def refresh(self, points: Tensor, box: Box, size: ResidualSize, generator: torch.Generator) -> Tensor:
        return points

    def weights(self, box: Box) -> Tensor | None:
        lines = [torch.as_tensor(weights) / 2 for _, weights in self._rules(box)]
        return torch.stack(torch.meshgrid(*lines, indexing="ij")).prod(0).flatten()

    def _rules(self, box: Box) -> list[tuple[Any, Any]]:
        sides = [high - low for low, high in zip(box.lower, box.upper, strict=True) if high > low]
        spacing = (math.prod(sides) / self.n) ** (1 / len(sides))
        return [np.polynomial.legendre.leggauss(max(1, math.ceil(side / spacing - 1e-9))) for side in sides]


def check_density(who: str, k: float, c: float, n: int, candidates: int | None) -> None:
    """Raise InputError for a density that is none, or too few candidates."""
    if not (0 <= k < math.inf and 0 <= c < math.inf):
        raise InputError(f"{who}: k={k}, c={c} given; finite numbers of at least 0 are needed.")
    if candidates is not None:
        check_whole(n, who=who, candidates=candidates)


def sobol(n: int, box: Box, generator: torch.Generator) -> Tensor:
    """The first n points of a scrambled Sobol sequence."""
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
    return box.place(torch.quasirandom.SobolEngine(box.sides, scramble=True, seed=seed).draw(n, dtype=torch.float64))


def drawn(n: int, box: Box, size: ResidualSize, k: float, c: float, candidates: int, generator: torch.Generator) -> Tensor:
    r"""n of uniform candidates, without replacement, with probabilities proportional to :func:`density`."""
    pool = box.place(torch.rand((candidates, box.sides), generator=generator, dtype=torch.float64))
    p = density(size(pool).double().cpu(), k, c)
    if int((p > 0).sum()) < n:  # c = 0 where most residuals vanish: uniform among the rest
        p = p + 1e-12 * (p.max() + 1e-300)
    return pool[torch.multinomial(p, n, generator=generator)]


def density(size: Tensor, k: float, c: float) -> Tensor:
    r""":math:`|r|^k/\langle|r|^k\rangle+c`, not normalised, for the sizes :math:`|r|` of residuals; 1 if they all vanish."""
    scaled = size / size.max() if bool(size.max() > 0) else torch.ones_like(size)  # no power under- or overflows
    raised = scaled**k
    return raised / raised.mean() + c
