"""``sciml.solve``: a problem in, a labelled trajectory out, with the classical scheme that suits it."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from sciml.core.checks import check_device, check_step
from sciml.core.equation import Equation
from sciml.core.errors import InputError
from sciml.core.loading import load_problem
from sciml.core.problem import Problem
from sciml.io.checkpoint import Checkpoint, Plan, Reached
from sciml.io.dataset import to_dataset
from sciml.io.recipe import code_version, content_of
from sciml.solvers.adaptive import DormandPrince, Position
from sciml.solvers.choice import STEP_FRACTION, check_method, choose_method, engine_of, explicit_rate
from sciml.solvers.march import Run, march
from sciml.solvers.schemes import SPECTRAL
from sciml.solvers.scipy_bridge import scipy_solve
from sciml.solvers.steady_problem import solve_steady_problem

SOURCES = ("core", "spectral", "derivatives", "solvers")
"""Folders of this package on whose code the bits of a solution depend."""
LABELS = ("Conventions", "title", "references", "source", "date")
"""Attributes that say nothing on how a solution is computed, or say it twice."""


def solve(
    problem: Problem | str,
    *,
    points: int | Sequence[int] | None = None,
    dt: float | None = None,
    times: int | Sequence[float] | None = None,
    end: float | None = None,
    method: str | None = None,
    initial: Tensor | None = None,
    samples: int | None = None,
    seed: int = 0,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    progress: bool | Callable[[float], None] = False,
    checkpoint: Checkpoint | None = None,
) -> xr.Dataset:
    """Solve a problem by a classical scheme.

    Parameters
    ----------
    problem : what to solve, or its name (``module:case``, or a Python file).
    points : samples per axis; the published resolution by default.
    dt : time step. By default the published one where the grid is not finer than the published grid (and the scheme is
        exponential, implicit-explicit or the default one of fixed step), else a step from the rate of the explicitly treated part,
        watched and shortened when that rate grows. A step that does not divide the interval between two output times
        is shortened until it does.
    times : number of equal output intervals in [0, end] (entry 0 is the initial state), or the output times
        themselves, increasing from 0; 50 intervals by default.
    end : final time; the problem's horizon by default.
    method : one of ``sciml list``; chosen from the problem by default.
    initial : initial state ``(channel, *space)`` or ``(sample, channel, *space)`` instead of the problem's law; for a steady
        problem its given fields, one channel per name in ``equation.inputs``.
    samples : number of initial states to draw; None for one, without a sample axis.
    seed, generator : of random initial laws.
    dtype, device : of the computation.
    progress : True shows a bar on standard error; a function is called with the fraction done.
    checkpoint : keeps the run while it is unfinished, see :class:`sciml.Checkpoint`.

    Returns
    -------
    xarray.Dataset with one variable per field and the scheme, the step and the reason for both in its attributes. Steady
    problems (``problem.steady``) take no dt, times or end and need no checkpoint; they give no time axis, and their given fields as variables.

    Raises
    ------
    InputError, UnsupportedError : what was asked does not fit the problem.
    BlowUpError : the solution stopped being finite or grew without bound.
    """
    if isinstance(problem, str):
        problem = load_problem(problem)
    if not isinstance(problem, Problem):
        raise InputError(f"solve: a {type(problem).__name__} given; a sciml.Problem, or the name of one, is needed.")
    grid = problem.grid(points, dtype=dtype, device=check_device(device))
    if problem.steady:
        refused = {"dt": dt, "times": times, "end": end}
        settings: dict[str, Any] = {"method": method, "initial": initial, "samples": samples, "seed": seed, "generator": generator}
        return solve_steady_problem(problem, grid, **settings, progress=progress, refused=refused)
    chosen, reason = choose_method(problem, grid)
    if method is not None and method != chosen:
        chosen, reason = method, "asked for"
    check_method(chosen, problem, grid)
    equation = problem.equation
    instants = output_times(problem.horizon if end is None else end, 50 if times is None else times)
    if initial is None:
        source = generator if generator is not None else torch.Generator().manual_seed(seed)
        initial = problem.initial_state(grid, source, samples=samples)
    dt_reason = "asked for"
    published = chosen in SPECTRAL or (method is None and chosen != "dopri5")  # which controls its error
    if dt is None and problem.dt is not None and published and all(n <= m for n, m in zip(grid.shape, problem.points, strict=True)):
        dt, dt_reason = problem.dt, "published with the problem"
    if dt is not None:
        dt = check_step(dt, who="solve")
    initial = initial.contiguous()
    used = {"method": chosen, "method_reason": reason, "seed": None if generator is not None else seed}
    resumed = None
    if checkpoint is not None:
        label = partial(to_dataset, grid=grid, problem=problem, attrs=used)
        asked = {"dt": dt, "times": instants, "device": str(grid.device), "dealias": problem.dealias, "initial": content_of(initial)}
        asked["threads"] = torch.get_num_threads()  # sums in another order round differently
        recipe = {**label(initial[None], [0.0]).attrs, **asked, "code": code_version(problem, SOURCES)}
        plan = Plan({key: value for key, value in recipe.items() if key not in LABELS}, equation.fields, instants, label)
        resumed = checkpoint.begin(plan, grid.device)

    started = clock.perf_counter() - (0.0 if checkpoint is None else checkpoint.elapsed)
    layout = "{l_bar}{bar}| {elapsed}<{remaining}"
    begun = 0.0 if resumed is None else 100 * resumed.time / instants[-1]
    with tqdm(
        total=100, initial=begun, disable=progress is not True, desc=f"{problem.name} {chosen}", unit="%", bar_format=layout, mininterval=0.5
    ) as bar:

        def report(reached: float) -> None:
            bar.update(100 * reached / instants[-1] - bar.n)
            if callable(progress):
                progress(reached / instants[-1])

        run = Run(problem, equation, grid, chosen, dt, dt_reason, report, _forget if checkpoint is None else checkpoint.note, resumed)
        with torch.no_grad(), np.errstate(all="ignore"):  # a blow-up is reported by check_finite
            states, facts = _integrate(run, initial, instants)
    return to_dataset(states, instants, grid, problem, {**used, **facts, "wall_seconds": clock.perf_counter() - started})


def output_times(end: float, times: int | Sequence[float]) -> list[float]:
    """The output times for :func:`solve`."""
    if isinstance(times, int):
        if times < 1:
            raise InputError(f"solve: times={times} given; at least 1 output interval is needed.")
        if not (end > 0 and math.isfinite(end)):
            raise InputError(f"solve: end={end} given; a positive, finite time is needed.")
        return [float(end) * i / times for i in range(times + 1)]
    listed = [float(t) for t in times]
    if len(listed) < 2 or listed[0] != 0.0 or any(not b > a for a, b in pairwise(listed)):
        raise InputError(f"solve: times={listed[:4]}... given; output times must start at 0 and increase strictly, two or more of them.")
    return listed


def _integrate(run: Run, u: Tensor, instants: list[float]) -> tuple[Tensor, dict[str, Any]]:
    grid, problem = run.grid, run.problem
    if run.method == "ritz":
        return march(run, u, instants)
    assert isinstance(run.equation, Equation)  # by check_method
    if run.method == "scipy":
        states = scipy_solve(run.equation, grid, u, instants, engine=engine_of(problem, grid))
        return states, {"dt_reason": "error control, rtol 1e-9"}
    if run.method == "dopri5" and run.dt is None:
        first = STEP_FRACTION["dopri5"] / max(explicit_rate(problem, grid, "dopri5", u), 1.0 / instants[-1])
        pair = DormandPrince(
            run.equation, grid, min(first, instants[-1]), rtol=1e-8, atol=1e-10, engine=engine_of(problem, grid), dealias=problem.dealias
        )
        resumed = None if run.resumed is None else (run.resumed.states, Position(**run.resumed.working))
        states = pair.integrate(u, instants, callback=run.report, note=lambda kept, at: run.note(Reached(kept, at.time, vars(at))), resumed=resumed)
        return states, {"dt_reason": "error control, rtol 1e-8"}
    return march(run, u, instants)


def _forget(reached: Reached) -> None:
    """Nothing is kept of a run without a checkpoint."""
