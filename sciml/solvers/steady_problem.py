"""A steady problem in, a labelled solution out: what ``sciml.solve`` does where there is no time."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Mapping
from typing import Any

import torch
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from sciml.core.checks import check_state
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.problem import Problem
from sciml.core.steady import SteadyEquation
from sciml.io.dataset import to_steady_dataset
from sciml.solvers.steady import TOLERANCE, choose_steady, solve_steady


def solve_steady_problem(
    problem: Problem,
    grid: Grid,
    *,
    method: str | None,
    initial: Tensor | None,
    samples: int | None,
    seed: int,
    generator: torch.Generator | None,
    progress: bool | Callable[[float], None],
    refused: Mapping[str, Any],
) -> xr.Dataset:
    """The solution and the given fields, with the solver, its iterations and its residual in the attributes.

    Parameters
    ----------
    problem, method, samples, seed, generator, progress : as for :func:`sciml.solve`.
    initial : the given fields, ``(input, *space)`` or ``(sample, input, *space)``; None draws them by the problem's law.
    refused : settings that only evolution problems have, None where not given.
    """
    if asked := [name for name, value in refused.items() if value is not None]:
        raise InputError(f"solve: {', '.join(asked)} given, but {problem.name} is steady and knows no time; leave it out.")
    equation = problem.equation
    assert isinstance(equation, SteadyEquation)
    if initial is None:
        source = generator if generator is not None else torch.Generator().manual_seed(seed)
        initial = problem.initial_state(grid, source, samples=samples)
    else:
        check_state(initial, grid, len(equation.inputs), who="solve (the given fields)")
        if initial.ndim > grid.ndim + 2 or not initial.numel():
            raise InputError(f"solve: given fields of shape {tuple(initial.shape)}; (input, *space) or (sample, input, *space) is expected.")
    stated = equation.with_inputs(initial) if equation.inputs else equation
    boundaries = problem.domain.boundaries
    chosen, reason = (problem.scheme, "the problem names it") if problem.scheme is not None else choose_steady(stated, grid, boundaries)
    if method is not None and method != chosen:
        chosen, reason = method, "asked for"
    started = clock.perf_counter()
    layout = "{l_bar}{bar}| {elapsed}<{remaining}"
    with tqdm(total=100, disable=progress is not True, desc=f"{problem.name} {chosen}", unit="%", bar_format=layout, mininterval=0.5) as bar:

        def report(fraction: float) -> None:
            bar.update(100 * fraction - bar.n)
            if callable(progress):
                progress(fraction)

        with torch.no_grad():
            u, convergence = solve_steady(stated, grid, boundaries, method=chosen, report=report)
        report(1.0)
    u = u.expand(*initial.shape[: initial.ndim - 1 - grid.ndim], len(equation.fields), *grid.shape)
    facts = {
        "method": chosen,
        "method_reason": reason,
        "seed": None if generator is not None else seed,
        "iterations": int(convergence.iterations.max()),
        "residual": float(convergence.residual.max()),
        "tolerance": TOLERANCE[grid.dtype],
        "wall_seconds": clock.perf_counter() - started,
    }
    return to_steady_dataset(u, initial, grid, problem, facts)
