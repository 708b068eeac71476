"""``sciml.solve``: a problem in, a labelled trajectory out, with the classical scheme that suits it."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from sciml.core.checks import check_device, check_finite, check_step
from sciml.core.conservation import ConservationLaw
from sciml.core.equation import Equation
from sciml.core.errors import BlowUpError, InputError
from sciml.core.grid import Grid
from sciml.core.problem import Problem
from sciml.core.propagator import Stepper
from sciml.io.dataset import to_dataset
from sciml.solvers.adaptive import DormandPrince
from sciml.solvers.choice import STEP_FRACTION, check_method, choose_method, engine_of, explicit_rate
from sciml.solvers.filtered import Filtered
from sciml.solvers.finite_volume import FiniteVolumeStepper
from sciml.solvers.schemes import EXPLICIT, SPECTRAL
from sciml.solvers.scipy_bridge import scipy_solve

CHECK_EVERY = 50
"""Steps between looks for a blow-up."""
RETRIES = 4
"""How often an automatic step is cut to a quarter after a blow-up."""


@dataclass(frozen=True)
class Run:
    """What one integration needs: where, with what, how finely."""

    problem: Problem
    equation: Equation
    grid: Grid
    method: str
    dt: float | None
    dt_reason: str
    report: Callable[[float], None]


def solve(
    problem: Problem,
    *,
    points: int | Sequence[int] | None = None,
    dt: float | None = None,
    times: int | Sequence[float] = 50,
    end: float | None = None,
    method: str | None = None,
    initial: Tensor | None = None,
    samples: int | None = None,
    seed: int = 0,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    progress: bool | Callable[[float], None] = False,
) -> xr.Dataset:
    """Integrate a problem by a classical scheme.

    Parameters
    ----------
    problem : what to solve.
    points : samples per axis; the published resolution by default.
    dt : time step. By default the published one where the grid is not finer than the published grid (and the scheme is
        exponential, implicit-explicit or the default one of fixed step), else a step from the rate of the explicitly treated part,
        watched and shortened when that rate grows. A step that does not divide the interval between two output times
        is shortened until it does.
    times : number of equal output intervals in [0, end] (entry 0 is the initial state), or the output times
        themselves, increasing from 0.
    end : final time; the problem's horizon by default.
    method : one of ``sciml list``; chosen from the problem by default.
    initial : initial state ``(channel, *space)`` or ``(sample, channel, *space)`` instead of the problem's law.
    samples : number of initial states to draw; None for one, without a sample axis.
    seed, generator : of random initial laws.
    dtype, device : of the computation.
    progress : True shows a bar on standard error; a function is called with the fraction done.

    Returns
    -------
    xarray.Dataset with one variable per field and the scheme, the step and the reason for both in its attributes.

    Raises
    ------
    InputError, UnsupportedError : what was asked does not fit the problem.
    BlowUpError : the solution stopped being finite or grew without bound.
    """
    grid = problem.grid(points, dtype=dtype, device=check_device(device))
    chosen, reason = choose_method(problem, grid)
    if method is not None and method != chosen:
        chosen, reason = method, "asked for"
    check_method(chosen, problem, grid)
    equation = problem.equation
    assert isinstance(equation, Equation)
    instants = output_times(problem.horizon if end is None else end, times)
    if initial is None:
        source = generator if generator is not None else torch.Generator().manual_seed(seed)
        initial = problem.initial_state(grid, source, samples=samples)
    dt_reason = "asked for"
    published = chosen in SPECTRAL or (method is None and chosen != "dopri5")  # which controls its error
    if dt is None and problem.dt is not None and published and all(n <= m for n, m in zip(grid.shape, problem.points, strict=True)):
        dt, dt_reason = problem.dt, "published with the problem"
    if dt is not None:
        check_step(dt, who="solve")

    started = clock.perf_counter()
    layout = "{l_bar}{bar}| {elapsed}<{remaining}"
    with tqdm(total=100, disable=progress is not True, desc=f"{problem.name} {chosen}", unit="%", bar_format=layout, mininterval=0.5) as bar:

        def report(reached: float) -> None:
            bar.update(100 * reached / instants[-1] - bar.n)
            if callable(progress):
                progress(reached / instants[-1])

        run = Run(problem, equation, grid, chosen, dt, dt_reason, report)
        with torch.no_grad(), np.errstate(all="ignore"):  # a blow-up is reported by check_finite
            states, facts = _integrate(run, initial, instants)
    facts = {"method": chosen, "method_reason": reason, "seed": None if generator is not None else seed, **facts}
    return to_dataset(states, instants, grid, problem, {**facts, "wall_seconds": clock.perf_counter() - started})


def output_times(end: float, times: int | Sequence[float]) -> list[float]:
    """The output times for :func:`solve`."""
    if isinstance(times, int):
        if times < 1:
            raise InputError(f"solve: times={times} given; at least 1 output interval is needed.")
        if not (end > 0 and math.isfinite(end)):
            raise InputError(f"solve: end={end} given; a positive, finite time is needed.")
        return [end * i / times for i in range(times + 1)]
    listed = [float(t) for t in times]
    if len(listed) < 2 or listed[0] != 0.0 or any(not b > a for a, b in pairwise(listed)):
        raise InputError(f"solve: times={listed[:4]}... given; output times must start at 0 and increase strictly, two or more of them.")
    return listed


def make_stepper(problem: Problem, grid: Grid, method: str, dt: float) -> Stepper:
    """The scheme ``method`` for a problem on a grid, with the problem's filter after every step if it has one."""
    equation = problem.equation
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


def _integrate(run: Run, u: Tensor, instants: list[float]) -> tuple[Tensor, dict[str, Any]]:
    grid, problem = run.grid, run.problem
    if run.method == "scipy":
        states = scipy_solve(run.equation, grid, u, instants, engine=engine_of(problem, grid))
        return states, {"dt_reason": "error control, rtol 1e-9"}
    if run.method == "dopri5" and run.dt is None:
        first = STEP_FRACTION["dopri5"] / max(explicit_rate(problem, grid, "dopri5", u), 1.0 / instants[-1])
        pair = DormandPrince(
            run.equation, grid, min(first, instants[-1]), rtol=1e-8, atol=1e-10, engine=engine_of(problem, grid), dealias=problem.dealias
        )
        return pair.integrate(u, instants, callback=run.report), {"dt_reason": "error control, rtol 1e-8"}
    return _march(run, u, instants)


def _march(run: Run, u: Tensor, instants: list[float]) -> tuple[Tensor, dict[str, Any]]:
    """Fixed steps between output times; an automatic step is shortened when the explicit part becomes faster.

    The rate is known where it was measured. If the solution still blows up under an automatic step, the interval is
    taken again with a quarter of it, up to :data:`RETRIES` times in all.
    """
    automatic = run.dt is None
    dt = _automatic_step(run, u, 0.0) if run.dt is None else run.dt
    smallest, steps, retries = math.inf, 0, 0
    limit = 1e8 * max(1.0, float(u.abs().max()))
    states = [u]
    step: Stepper | None = None
    state: Any = None
    for start, stop in pairwise(instants):
        if automatic:
            dt = min(dt, _automatic_step(run, states[-1], start))
        while True:
            count = max(1, math.ceil((stop - start) / dt - 1e-9))
            h = (stop - start) / count
            if step is None or abs(step.dt - h) > 1e-12 * h:
                step = make_stepper(run.problem, run.grid, run.method, h)
                state = step.encode(states[-1], start)
            try:
                state, u = _interval(run, step, state, start, count, limit)
                break
            except BlowUpError:
                retries += 1
                if not automatic or retries > RETRIES:
                    raise
                dt, step = h / 4, None
        states.append(u)
        smallest, steps = min(smallest, h), steps + count
    reason = "from the rate of the explicit part" if automatic else run.dt_reason
    return torch.stack(states), {"dt": smallest, "dt_reason": reason, "steps": steps}


def _interval(run: Run, step: Stepper, state: Any, start: float, count: int, limit: float) -> tuple[Any, Tensor]:
    """The working state and the field ``count`` steps later, looked at for a blow-up on the way."""
    u = None
    for n in range(0, count, CHECK_EVERY):
        stop = min(n + CHECK_EVERY, count)
        state = step.march(state, start + n * step.dt, stop - n)
        u, now = step.decode(state), start + stop * step.dt
        check_finite(u, run.grid, time=now, dt=step.dt, fields=run.equation.fields, scheme=run.method, limit=limit)
        run.report(now)
    assert u is not None
    return state, u


def _automatic_step(run: Run, u: Tensor, time: float) -> float:
    if run.method == "finite_volume":
        probe = make_stepper(run.problem, run.grid, run.method, 1.0)
        assert isinstance(probe, FiniteVolumeStepper)
        # Implicit diffusion has no limit of stability; two hundred steps to the horizon keep its error in time small.
        return min(float(probe.stable_dt(u)), run.problem.horizon / 200)
    rate = explicit_rate(run.problem, run.grid, run.method, u, time)
    # Without an explicit part the horizon alone sets the scale; a hundredth of it resolves a forced linear response.
    return STEP_FRACTION[run.method] / max(rate, 100.0 * STEP_FRACTION[run.method] / run.problem.horizon)
