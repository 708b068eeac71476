"""The implicit neural representation as a method: a network's weights carried from step to step."""

from __future__ import annotations

import importlib
import time as clock
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from sciml.core.errors import InputError, UnsupportedError
from sciml.core.problem import Problem
from sciml.methods.base import WIDTH, Method, Progress, Run, Settings

if TYPE_CHECKING:
    from sciml.surrogates.inr.stepper import INRStepper

CHANGE = 0.04
"""Part of itself by which the field may change in a step that the method chooses; larger changes are fitted much worse."""
START = 1e-7
"""Relative error of the start; less takes longer than all steps."""
FEWEST = 10
"""Steps at least."""
TOLERANCE = 1e-3
"""Misfit beyond which a step that the method chose is taken again as two halves."""
SIZES: dict[int, dict[str, Any]] = {1: {"width": 16, "depth": 2}, 2: {"width": 20, "depth": 2}, 3: {"width": 20, "depth": 2}}
"""Of the network, by the number of axes."""
WIDTHS = (6, 9, 13, 18)
"""Of a ladder when no sizes are asked for; each has about twice the weights of the one before."""


@dataclass(frozen=True, repr=False)
class ImplicitRepresentation(Method):
    """:class:`sciml.INRStepper` with its usual integrator; nothing is trained in advance, so ``budget`` does not concern it."""

    name: str = "inr"
    description: str = "implicit neural representation: the weights of a small network, stepped in time"
    default: bool = False
    size_is: str = WIDTH

    def ladder(self, problem: Problem) -> Sequence[int]:
        return WIDTHS

    def sized(self, settings: Settings, size: int) -> Settings:
        return replace(settings, width=size)

    def make(self, problem: Problem, settings: Settings, dt: float) -> INRStepper:
        """The stepper for a problem as it is asked for."""
        from sciml.surrogates.inr.stepper import INRStepper

        dtype = settings.dtype or torch.float64
        grid = problem.grid(settings.points, dtype=dtype)
        size = SIZES[problem.domain.ndim] | ({} if settings.width is None else {"width": settings.width})
        return INRStepper(problem, dt, **size, grid=grid, seed=settings.seed, start_tolerance=START, dtype=dtype)

    def applies(self, problem: Problem) -> str | None:
        if problem.steady:
            return "it follows problems in time; sciml.PINN solves steady ones"
        if problem.domain.ndim == 0 or getattr(problem.equation, "lattice", False):
            return "it needs at least one space axis, and this is an ordinary system"
        try:
            self.make(problem, Settings((0.0, problem.horizon)), problem.horizon)
        except (InputError, UnsupportedError) as error:
            return str(error).rstrip(".")
        return None

    def warm_up(self, problem: Problem, settings: Settings) -> None:
        for module in ("sciml.surrogates.inr.run", "torch.func"):
            importlib.import_module(module)

    def solve(self, problem: Problem, settings: Settings, progress: Progress | None = None) -> Run:
        from sciml.surrogates.inr.field import NeuralField
        from sciml.surrogates.inr.run import evolve

        if torch.device(settings.device).type != "cpu":
            raise InputError(f"{self.name} works on the CPU, but device={settings.device}; give --device cpu, or leave the method out.")
        end = float(settings.times[-1])
        before = clock.perf_counter()
        first = self.make(problem, settings, end / FEWEST if settings.dt is None else settings.dt)
        state = first.start(torch.Generator().manual_seed(settings.seed))
        started = clock.perf_counter() - before
        dt, tolerance, reason = settings.dt, None, "asked for"
        if dt is None and problem.dt is not None and not isinstance(first.field, NeuralField):
            # flows and bodies may move much while no rate tells
            dt, reason, tolerance = min(problem.dt, end / FEWEST), f"published with the problem, {FEWEST} at least", first.limit
        elif dt is None:
            rate = first.rate(state)
            dt, reason = min(CHANGE / rate if rate else end, end / FEWEST), f"{100 * CHANGE:g} % of the field changes in it at the start"
            tolerance = TOLERANCE
        step = first if dt == first.dt else self.make(problem, settings, dt)
        run = evolve(step, settings.times, state=state, tolerance=tolerance, progress=progress or False)
        ds = run.solution()
        steps, worst = ds.attrs["steps"], max((row.misfit for row in run.rows if row.taken), default=0.0)
        taken = min(row.dt for row in run.rows if row.taken)
        notes = (
            f"{step.size:,} weights, {str(step.grid.dtype).removeprefix('torch.')}; {steps} steps of {step.named_integrator}; step: {reason}; "
            f"start fitted to {run.start:.1e}, steps to {worst:.1e} or better"
        )
        cost = {
            "start_s": started,
            "steps": float(steps),
            "dt": taken,
            "weights": float(step.size),
            "state_bytes": float(run.bytes),
            "step_s": run.seconds / steps,
        }
        return Run(ds.assign_attrs(method=self.name, seed=settings.seed), notes, cost)


METHODS = (ImplicitRepresentation(),)
