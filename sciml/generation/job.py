"""What a data set asks of the solver, checked before time is spent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sciml.core.checks import check_device, check_step
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.problem import Problem
from sciml.core.steady import SteadyEquation
from sciml.generation.draws import MOST_SAMPLES, check_random
from sciml.generation.layouts import LAYOUTS, check_layout
from sciml.generation.recipe import Recipe, recipe_of
from sciml.solvers.choice import check_method, choose_method
from sciml.solvers.solve import output_times

CHUNK_BYTES = 64 * 2**20
"""Most bytes of trajectories in a chunk, if that is left to us; solving and writing one takes several times as much memory."""
INTERVALS = 50
"""Output intervals of a trajectory if none are asked for."""
CHUNKS = 20
"""Number of chunks, at least, if that is left to us and there are as many samples."""


@dataclass(frozen=True)
class Asked:
    """What :func:`sciml.solve` is asked for in every chunk."""

    points: int | Sequence[int] | None
    dt: float | None
    end: float | None
    times: int | Sequence[float] | None
    method: str | None
    dtype: torch.dtype
    device: torch.device | str


@dataclass(frozen=True)
class Job:
    """A problem, the grid, what to ask of the solver, and the recipe that records it."""

    problem: Problem
    grid: Grid
    asked: Asked
    recipe: Recipe


def make_job(problem: Problem, asked: Asked, samples: int, format: str, seed: int, chunk: int | None) -> Job:
    """Check everything that was asked for before time is spent, and write the recipe."""
    for name, value in (("samples", samples), ("chunk", chunk)):
        if value is not None and not (isinstance(value, int) and 1 <= value <= MOST_SAMPLES):
            raise InputError(f"generate: {name}={value} given; a whole number from 1 to {MOST_SAMPLES} is needed.")
    if not (isinstance(seed, int) and 0 <= seed < 2**63):
        raise InputError(f"generate: seed={seed} given; a whole number from 0 to 2^63 - 1 is needed.")
    if format not in LAYOUTS:
        raise InputError(f"generate: format={format!r} is not known; use {', '.join(LAYOUTS)}.")
    grid = problem.grid(asked.points, dtype=asked.dtype, device=check_device(asked.device))
    check_random(problem, grid, seed, samples)
    end, times = _times(problem, asked)
    if end is not None:
        check_method(choose_method(problem, grid)[0] if asked.method is None else asked.method, problem, grid)
    check_layout(format, problem, grid, min(samples, 10))
    if chunk is None:
        inputs = len(problem.equation.inputs) if isinstance(problem.equation, SteadyEquation) else 0
        instants = 1 if times is None else times + 1 if isinstance(times, int) else len(times)
        each = (instants * len(problem.equation.fields) + inputs) * math.prod(grid.shape) * grid.dtype.itemsize
        chunk = max(1, min(CHUNK_BYTES // each, -(-samples // CHUNKS)))
    recipe = recipe_of(
        problem,
        grid,
        samples,
        dt=asked.dt,
        end=end,
        times=times,
        method=asked.method,
        seed=seed,
        chunk=min(chunk, samples),
        format=format,
    )
    return Job(problem, grid, asked, recipe)


def _times(problem: Problem, asked: Asked) -> tuple[float | None, int | Sequence[float] | None]:
    """The final time and the output times, or None twice for a steady problem."""
    if problem.steady:
        given = [name for name in ("dt", "end", "times") if getattr(asked, name) is not None]
        if given:
            raise InputError(f"generate: {', '.join(given)} given, but {problem.name} is steady and knows no time; leave it out.")
        return None, None
    if asked.dt is not None:
        check_step(asked.dt, who="generate")
    times = INTERVALS if asked.times is None else asked.times
    return output_times(problem.horizon if asked.end is None else asked.end, times)[-1], times
