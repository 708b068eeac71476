"""Fixed steps from output time to output time, with an automatic step that is shortened when it must be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Any

import torch
from torch import Tensor

from sciml.core.checks import check_finite
from sciml.core.conservation import ConservationLaw
from sciml.core.equation import Equation, ResidualForm
from sciml.core.errors import BlowUpError
from sciml.core.grid import Grid
from sciml.core.problem import Problem
from sciml.core.propagator import Stepper
from sciml.io.checkpoint import Reached
from sciml.solvers.choice import STEP_FRACTION, engine_of, explicit_rate
from sciml.solvers.filtered import Filtered
from sciml.solvers.finite_volume import FiniteVolumeStepper
from sciml.solvers.ritz import Ritz
from sciml.solvers.schemes import EXPLICIT, SPECTRAL

CHECK_EVERY = 50
"""Steps between looks for a blow-up, which are also the places where a run can be gone on with."""
RETRIES = 4
"""How often an automatic step is cut to a quarter after a blow-up."""


@dataclass(frozen=True)
class Run:
    """What one integration needs: where, with what, how finely, and whom to tell.

    ``report`` is called with the time reached, ``note`` with a place from which the run could be gone on with, and ``resumed`` is such a
    place from an earlier process.
    """

    problem: Problem
    equation: ResidualForm
    grid: Grid
    method: str
    dt: float | None
    dt_reason: str
    report: Callable[[float], None]
    note: Callable[[Reached], None]
    resumed: Reached | None


@dataclass(frozen=True)
class Position:
    """Everything besides the states at output times that the next step of :func:`march` depends on.

    Attributes
    ----------
    dt : the step before it is fitted into an interval.
    within : steps taken since the last output time.
    step_dt : step of the stepper in use, which may be that of an earlier interval; None if none is in use.
    state : its working state.
    smallest, steps, retries : of the run so far.
    """

    dt: float
    within: int = 0
    step_dt: float | None = None
    state: Any = None
    smallest: float = math.inf
    steps: int = 0
    retries: int = 0


def make_stepper(problem: Problem, grid: Grid, method: str, dt: float) -> Stepper:
    """The scheme ``method`` for a problem on a grid, with the problem's filter after every step if it has one."""
    equation = problem.equation
    if method == "ritz":
        return Ritz(problem, grid, dt)
    assert isinstance(equation, Equation)
    if method in SPECTRAL:
        kind: Any = SPECTRAL[method]
        step: Stepper = kind(equation, grid, dt, dealias=problem.dealias)
    elif method == "finite_volume":
        assert isinstance(equation, ConservationLaw)  # by check_method
        step = FiniteVolumeStepper(equation, grid, dt, boundaries=problem.domain.boundaries)
    else:
        explicit: Any = EXPLICIT[method]
        step = explicit(equation, grid, dt, engine=engine_of(problem, grid), dealias=problem.dealias)
    return step if problem.filter is None else Filtered(step, problem.filter(grid))


def march(run: Run, u: Tensor, instants: list[float]) -> tuple[Tensor, dict[str, Any]]:
    """The states at ``instants``, ``(time, *batch, channel, *space)``, and what there is to say about the steps.

    An automatic step is known to hold where the rate of the explicit part was measured. If the solution still blows up under it, the
    interval is taken again with a quarter of it, up to :data:`RETRIES` times in all.
    """
    automatic = run.dt is None
    limit = 1e8 * max(1.0, float(u.abs().max()))
    if run.resumed is None:
        states, at = [u], Position(_automatic_step(run, u, 0.0) if run.dt is None else run.dt)
    else:
        states, at = run.resumed.states, Position(**run.resumed.working)
    step = None if at.step_dt is None else make_stepper(run.problem, run.grid, run.method, at.step_dt)
    for start, stop in islice(pairwise(instants), len(states) - 1, None):
        if automatic and at.within == 0:
            at = replace(at, dt=min(at.dt, _automatic_step(run, states[-1], start)))
        while True:
            count = max(1, math.ceil((stop - start) / at.dt - 1e-9))
            h = (stop - start) / count
            if step is None or abs(step.dt - h) > 1e-12 * h:
                step = make_stepper(run.problem, run.grid, run.method, h)
                at = replace(at, within=0, step_dt=step.dt, state=step.encode(states[-1], start))
            try:
                at, u = _interval(run, step, at, states, start, count, limit)
                break
            except BlowUpError:
                if not automatic or at.retries == RETRIES:
                    raise
                at, step = replace(at, dt=h / 4, within=0, step_dt=None, state=None, retries=at.retries + 1), None
        states.append(u)
        at = replace(at, within=0, smallest=min(at.smallest, h), steps=at.steps + count)
        run.note(Reached(states, stop, vars(at)))
    reason = "from the rate of the explicit part" if automatic else run.dt_reason
    return torch.stack(states), {"dt": at.smallest, "dt_reason": reason, "steps": at.steps}


def _interval(run: Run, step: Stepper, at: Position, states: list[Tensor], start: float, count: int, limit: float) -> tuple[Position, Tensor]:
    """The position ``count`` steps after ``start`` and its field, looked at for a blow-up on the way."""
    for n in range(at.within, count, CHECK_EVERY):
        stop = min(n + CHECK_EVERY, count)
        at = replace(at, within=stop, state=step.march(at.state, start + n * step.dt, stop - n))
        u, now = step.decode(at.state), start + stop * step.dt
        check_finite(u, run.grid, time=now, dt=step.dt, fields=run.equation.fields, scheme=run.method, limit=limit)
        run.report(now)
        if stop < count:
            run.note(Reached(states, now, vars(at)))
    # in one layout, so that what is computed from a state does not depend on whether it comes from a transform or from a file
    return at, u.contiguous()


def _automatic_step(run: Run, u: Tensor, time: float) -> float:
    return automatic_step(run.problem, run.grid, run.method, u, time)


def automatic_step(problem: Problem, grid: Grid, method: str, u: Tensor, time: float = 0.0) -> float:
    """A step for a scheme from the rate of the explicitly treated part at the state u."""
    if method == "ritz":  # implicit; a two hundredth of the horizon resolves the motion at large
        return float(problem.horizon) / 200
    if method == "finite_volume":
        probe = make_stepper(problem, grid, method, 1.0)
        assert isinstance(probe, FiniteVolumeStepper)
        # Implicit diffusion has no limit of stability; two hundred steps to the horizon keep its error in time small.
        return min(float(probe.stable_dt(u)), float(problem.horizon) / 200)
    rate = explicit_rate(problem, grid, method, u, time)
    # Without an explicit part the horizon alone sets the scale; a hundredth of it resolves a forced linear response.
    return STEP_FRACTION[method] / max(rate, 100.0 * STEP_FRACTION[method] / float(problem.horizon))
