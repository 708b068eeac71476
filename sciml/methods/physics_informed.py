"""Physics-informed networks as methods: trained on the equation alone within a budget of seconds."""

from __future__ import annotations

import importlib
import time as clock
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from sciml.core.errors import InputError, UnsupportedError
from sciml.core.problem import Problem
from sciml.methods.base import WIDTH, Method, Progress, Run, Settings

if TYPE_CHECKING:
    from sciml.surrogates.pinn.base import PointModel

BUDGET = 60.0
"""Seconds of training when no budget is given."""
WIDTHS = (8, 12, 16, 24)
"""Of a ladder of networks when no sizes are asked for."""


class PhysicsInformed(Method):
    """A network trained by Gauss-Newton steps on the problem's own equation, from the asked initial state; no data."""

    default = False
    size_is = WIDTH

    @abstractmethod
    def make(self, problem: Problem, **options: Any) -> PointModel:
        """The untrained network."""

    def applies(self, problem: Problem) -> str | None:
        if problem.steady:
            return "it follows problems in time here; sciml.PINN solves steady ones"
        if problem.domain.ndim == 0 or getattr(problem.equation, "lattice", False):
            return "it needs at least one space axis, and this is an ordinary system"
        try:
            with torch.random.fork_rng(devices=[]):
                self.make(problem, width=2, depth=1)
        except (InputError, UnsupportedError) as error:
            return str(error).rstrip(".")
        return None

    def ladder(self, problem: Problem) -> Sequence[int]:
        return WIDTHS

    def sized(self, settings: Settings, size: int) -> Settings:
        return replace(settings, width=size)

    def warm_up(self, problem: Problem, settings: Settings) -> None:
        for module in ("sciml.training.fit", "sciml.optim.gauss_newton"):
            importlib.import_module(module)

    def solve(self, problem: Problem, settings: Settings, progress: Progress | None = None) -> Run:
        from sciml.optim.gauss_newton import GaussNewton
        from sciml.training.fit import fit

        tell = progress or (lambda fraction: None)
        budget = BUDGET if settings.budget is None else settings.budget
        if not budget > 0:
            raise InputError(f"{self.name} needs time to learn, but budget={budget:g}; give --budget 60.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            state = torch.Generator().manual_seed(settings.seed)
            dtype = settings.dtype or torch.float64
            size = {} if settings.width is None else {"width": settings.width}
            model = self.make(problem, end=float(settings.times[-1]), points=settings.points, generator=state, dtype=dtype, **size)
        optimizer = GaussNewton()
        history = fit(
            model, budget=budget, optimizer=optimizer, seed=settings.seed, device=settings.device, progress=lambda fraction: tell(0.95 * fraction)
        )
        before = clock.perf_counter()
        ds = model.cpu().solution(problem.grid(settings.points, dtype=dtype), settings.times)
        count = sum(p.numel() for p in model.parameters())
        last = history.epochs[-1]
        notes = (
            f"{count:,} parameters, {str(dtype).removeprefix('torch.')}; {last.epoch} Gauss-Newton steps; mean square of residuals {last.loss:.2e}"
            f"{self.remark(model)}"
        )
        cost = {"training_s": last.seconds, "evaluation_s": clock.perf_counter() - before, "parameters": float(count)}
        cost["state_bytes"] = float(sum(p.nbytes for p in model.parameters()))  # which hold the fields at all times at once
        return Run(ds.assign_attrs(method=self.name, seed=settings.seed), notes, cost)

    def remark(self, model: PointModel) -> str:
        """What else is to be said of a trained network; nothing by default."""
        return ""


@dataclass(frozen=True, repr=False)
class TrainedPINN(PhysicsInformed):
    """:class:`sciml.PINN`."""

    name: str = "pinn"
    description: str = "physics-informed network, trained on the equation within --budget seconds (60)"

    def make(self, problem: Problem, **options: Any) -> PointModel:
        from sciml.surrogates.pinn.pinn import PINN

        return PINN(problem, **{"width": 20, "depth": 3, **options})


@dataclass(frozen=True, repr=False)
class TrainedLPINN(PhysicsInformed):
    """:class:`sciml.LPINN`."""

    name: str = "lpinn"
    description: str = "Lagrangian physics-informed network: characteristics and the state on them, trained within --budget seconds (60)"

    def make(self, problem: Problem, **options: Any) -> PointModel:
        from sciml.surrogates.lpinn.lpinn import LPINN

        return LPINN(problem, **{"width": 16, "depth": 3, "path_width": options.get("width", 16), **options})

    def remark(self, model: PointModel) -> str:
        from sciml.surrogates.lpinn.lpinn import LPINN

        return f"; smallest J = dx/dX {model.smallest_stretch():.3g}" if isinstance(model, LPINN) else ""


METHODS = (TrainedPINN(), TrainedLPINN())
