"""How a step finds its weights: least squares on the tangent space, or gradient descent as first published."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sciml.core.checks import check_whole
from sciml.core.errors import InputError
from sciml.optim.damped import Normal
from sciml.optim.jacobian import PointwiseResiduals
from sciml.optim.vector import Flat
from sciml.training.pointwise import PointTerm

Residual = Callable[[Mapping[str, Tensor], Tensor], Tensor]
"""``(weights by name, one row)`` to residuals ``(r,)``."""
Rows = Callable[[torch.Generator | None], Tensor]
"""Rows to fit at: always the same for None, new ones for a generator."""


class Task(NamedTuple):
    r"""Find weights that make :math:`\langle|r|^2\rangle` small.

    Attributes
    ----------
    residual : r at a row.
    rows : where.
    scale : root mean square of what is fitted, by which errors are divided.
    weights : the network's parameters, as a vector and by name.
    names : of the parameters, in the order of ``weights``.
    """

    residual: Residual
    rows: Rows
    scale: float
    flat: Flat
    names: Mapping[str, Tensor]


class Fitted(NamedTuple):
    """Weights ``(size,)``, the relative root mean square of the residual at the rows of the fit, and how many iterations that took."""

    weights: Tensor
    error: float
    iterations: int


class Descent(NamedTuple):
    """Where a descent stands: weights, the residuals there, their mean square, and the damping that led there."""

    weights: Tensor
    values: list[Tensor]
    loss: float
    damping: float


class StepSolver(ABC):
    """A rule that finds the weights of a step."""

    @abstractmethod
    def session(self) -> Session:
        """What solves the fits of one step, one after the other."""


class Session(ABC):
    """The fits of one step; later ones may use what earlier ones have found out."""

    @abstractmethod
    def fit(self, task: Task, start: Tensor, generator: torch.Generator) -> Fitted:
        """Weights for a task, from ``start``."""

    def minimise(self, task: Task, start: Tensor, generator: torch.Generator) -> Fitted:
        r"""The same for residuals that no weights make small, such as those of an energy; by the same rule unless there is a better one."""
        return self.fit(task, start, generator)


LEAST, MOST, RATIO = 1e-14, 1e2, 10.0
"""The first and the last damping that are tried, relative to the largest squared column norm of J, and their ratio."""
ENOUGH = 0.2
"""Ratio of residuals with which a step is taken."""
APART = 0.1
"""Part of a step at which residuals are compared for their curvature along it."""
BENT = 4.0
"""Largest acceleration that is added to a step, relative to it."""
ROUNDING = 1e-16
"""Relative decrease of a sum of squares that cannot be told from rounding."""
STALLED = 0.95
"""Ratio of residuals at which a step with a new J shows that nothing more is to be gained."""


@dataclass(frozen=True)
class NaturalGradient(StepSolver):
    r"""Gauss-Newton steps :math:`\delta=\mathrm{argmin}\,|J\delta+r|^2+\lambda|\delta|^2`, :math:`J=\partial r/\partial\theta` exact.

    The first projects the update onto the tangent space of the fields that the network can make, as Neural Galerkin schemes do; the others
    remove what the curvature left over. For each J dampings are tried from the least upwards until one lowers the residual to a fifth; if none does,
    the best is taken. Little damping leads further in the end than what is best at once, which creeps along the walls of the valleys that
    networks have. Steps of time that change the field by a few percent are fitted to 1e-8 in some five iterations, longer ones much worse.

    Parameters
    ----------
    iterations : per fit, at most.
    tolerance : relative residual at which a fit ends.
    columns : of J that a step moves, drawn at random for each J; None for all. For larger networks: the cost of the system falls with its square.

    Y. Du & T. A. Zaki, Phys. Rev. E 104 (2021) 045303 and J. Bruna, B. Peherstorfer & E. Vanden-Eijnden, J. Comput. Phys. 496 (2024) 112588 (the
    projection); Z. Chen, J. McCarran, E. Vizcaino, M. Soljacic & D. Luo, arXiv 2404.10771 (corrections); J. Berman & B. Peherstorfer,
    arXiv 2310.04867 (random columns).
    """

    iterations: int = 8
    tolerance: float = 1e-9
    columns: int | None = None

    def __post_init__(self) -> None:
        check_whole(1, who="NaturalGradient", iterations=self.iterations)
        if self.columns is not None:
            check_whole(1, who="NaturalGradient", columns=self.columns)
        if not 0 <= self.tolerance < math.inf:
            raise InputError(f"NaturalGradient: tolerance={self.tolerance} given; a finite number of at least 0 is needed.")

    def session(self) -> Session:
        return Projections(self)


class Projections(Session):
    """The fits of one step by :class:`NaturalGradient`."""

    def __init__(self, settings: NaturalGradient) -> None:
        self.settings = settings

    def fit(self, task: Task, start: Tensor, generator: torch.Generator) -> Fitted:
        points = PointwiseResiduals([PointTerm("step", task.residual, task.rows(None))], task.names, task.flat)
        weights = start
        size = math.sqrt(points.loss(points.values(start))) / task.scale
        for count in range(self.settings.iterations):
            if not self.settings.tolerance < size < math.inf:
                return Fitted(weights, size, count)
            moved, found = self._best(points, weights, size, task.scale, generator)
            if not found < size:
                return Fitted(weights, size, count)
            weights, before, size = moved, size, found
            if size > STALLED * before:  # what is left is beyond the network
                return Fitted(weights, size, count + 1)
        return Fitted(weights, size, self.settings.iterations)

    def _best(self, points: PointwiseResiduals, weights: Tensor, size: float, scale: float, generator: torch.Generator) -> tuple[Tensor, float]:
        """The weights after one of several steps for one J, and the residual there."""
        chosen = self._chosen(weights, generator)
        rows = points.rows(weights)
        system = Normal(rows if chosen is None else ((j[:, chosen], r) for j, r in rows))
        unit = float(system.columns.max()) or 1.0
        tried: dict[float, tuple[Tensor, float]] = {}

        def attempt(damping: float) -> float:
            if damping not in tried:
                solved = system.solve(torch.full_like(system.columns, damping * unit))
                moved, found = weights, math.inf
                if solved is not None:
                    moved = self._moved(weights, solved.step, chosen)
                    found = math.sqrt(points.loss(points.values(moved))) / scale
                tried[damping] = moved, found if math.isfinite(found) else math.inf
            return tried[damping][1]

        damping = LEAST
        while damping < MOST and attempt(damping) > ENOUGH * size:
            damping *= RATIO
        return tried[min(tried, key=attempt)]

    def minimise(self, task: Task, start: Tensor, generator: torch.Generator) -> Fitted:
        points = PointwiseResiduals([PointTerm("step", task.residual, task.rows(None))], task.names, task.flat)
        values = points.values(start)
        at = Descent(start, values, points.loss(values), LEAST)
        changed = 0.0
        for count in range(self.settings.iterations):
            found = self._lower(points, at, generator)
            if not found.loss < at.loss:
                return Fitted(at.weights, changed, count)
            changed, at = math.sqrt(at.loss - found.loss) / task.scale, found
            if changed <= max(self.settings.tolerance, math.sqrt(ROUNDING * at.loss) / task.scale):
                return Fitted(at.weights, changed, count + 1)
        return Fitted(at.weights, changed, self.settings.iterations)

    def _lower(self, points: PointwiseResiduals, at: Descent, generator: torch.Generator) -> Descent:
        r"""The best of steps with several dampings, each with the acceleration :math:`-\tfrac12(J^TJ+\lambda)^{-1}J^Tr''(\delta,\delta)`."""
        chosen = self._chosen(at.weights, generator)
        rows = points.rows(at.weights)
        system = Normal(rows if chosen is None else ((j[:, chosen], r) for j, r in rows))
        unit = float(system.columns.max()) or 1.0
        best, worse = at, 0
        damping = max(LEAST, at.damping / RATIO)
        while damping < MOST and worse < 2:
            solved = system.solve(torch.full_like(system.columns, damping * unit))
            if solved is not None:
                ahead, behind = (points.values(self._moved(at.weights, side * APART * solved.step, chosen)) for side in (1, -1))
                curved = [(a - 2 * r + b) / APART**2 for a, r, b in zip(ahead, at.values, behind, strict=True)]
                gradient = points.back(at.weights, curved) / 2
                bend = solved.again(gradient if chosen is None else gradient[chosen])
                step = solved.step + bend if float(bend.norm()) <= BENT * float(solved.step.norm()) else solved.step
                moved = self._moved(at.weights, step, chosen)
                values = points.values(moved)
                found = Descent(moved, values, points.loss(values), damping)
                if found.loss < best.loss:
                    best, worse = found, 0
                elif best is not at:
                    worse += 1
            damping *= RATIO
        return best

    def _chosen(self, weights: Tensor, generator: torch.Generator) -> Tensor | None:
        """The columns of J that a step moves; None for all."""
        if self.settings.columns is None or self.settings.columns >= len(weights):
            return None
        return torch.randperm(len(weights), generator=generator)[: self.settings.columns].to(weights.device)

    def _moved(self, weights: Tensor, step: Tensor, chosen: Tensor | None) -> Tensor:
        """The weights after a step of the chosen ones."""
        return weights + step.to(weights.dtype) if chosen is None else weights.index_add(0, chosen, step.to(weights.dtype))


@dataclass(frozen=True)
class AdamFit(StepSolver):
    """Adam with new points in every iteration and a learning rate that falls on plateaus, until it is too small.

    H. Chen, R. Wu, E. Grinspun, C. Zheng & P. Y. Chen, ICML 2023, arXiv 2210.00124, with the settings of their code by default.

    Parameters
    ----------
    lr, least : first and last learning rate.
    factor, patience : by which it falls, after so many iterations without a lower loss.
    iterations : per fit, at most.
    """

    lr: float = 1e-4
    least: float = 1.1e-8
    factor: float = 0.1
    patience: int = 500
    iterations: int = 20_000

    def __post_init__(self) -> None:
        check_whole(1, who="AdamFit", iterations=self.iterations, patience=self.patience)
        if not (0 < self.least < self.lr < math.inf and 0 < self.factor < 1):
            raise InputError(f"AdamFit: lr={self.lr}, least={self.least}, factor={self.factor} given; 0 < least < lr and 0 < factor < 1 are needed.")

    def session(self) -> Session:
        return Descents(self)


class Descents(Session):
    """The fits of one step by :class:`AdamFit`."""

    def __init__(self, settings: AdamFit) -> None:
        self.settings = settings

    def fit(self, task: Task, start: Tensor, generator: torch.Generator) -> Fitted:
        settings = self.settings
        weights = start.clone().requires_grad_()
        adam = torch.optim.Adam([weights], lr=settings.lr)
        falling = torch.optim.lr_scheduler.ReduceLROnPlateau(adam, factor=settings.factor, patience=settings.patience, min_lr=settings.least / 2)
        at = torch.func.vmap(task.residual, in_dims=(None, 0))
        count = 0
        while count < settings.iterations and adam.param_groups[0]["lr"] > settings.least:
            count += 1
            adam.zero_grad()
            named = dict(zip(task.names, task.flat.split(weights), strict=True))
            loss = at(named, task.rows(generator)).square().mean()
            torch.autograd.backward(loss, inputs=[weights])  # not into trained coefficients
            adam.step()
            falling.step(loss.detach())
        points = PointwiseResiduals([PointTerm("step", task.residual, task.rows(None))], task.names, task.flat)
        final = weights.detach()
        return Fitted(final, math.sqrt(points.loss(points.values(final))) / task.scale, count)
