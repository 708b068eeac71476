"""What the tests of data sets share: a small data set, what it should hold, and ways to interrupt and to count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import sciml
from sciml.generation import generate
from sciml.generation.draws import sample_generator
from sciml.generation.job import Asked, make_job
from sciml.generation.recipe import Recipe
from sciml.generation.work import one_thread

CASE = "burgers:li2021"
SMALL: dict[str, Any] = {"points": 32, "end": 0.02, "times": 2, "chunk": 2}


def expected(problem: sciml.Problem, samples: range, seed: int = 0, **options: Any) -> xr.Dataset:
    """What one chunk should hold, from the parts that it is made of."""
    grid = problem.grid(options.get("points"), dtype=options.get("dtype", torch.float64))
    with one_thread():
        states = torch.stack([problem.initial_state(grid, sample_generator(seed, i)) for i in samples])
        ds = sciml.solve(problem, initial=states, seed=seed, **options)
    return ds.assign_coords(sample=ds["sample"].copy(data=np.array(samples)))


def recipe(problem: sciml.Problem, samples: int = 4, chunk: int | None = 2, seed: int = 0, format: str = "netcdf", **asked: Any) -> Recipe:
    options: dict[str, Any] = {"points": 32, "dt": None, "end": 0.02, "times": 2, "method": None, "dtype": torch.float64, "device": "cpu"}
    return make_job(problem, Asked(**{**options, **asked}), samples, format, seed, chunk).recipe


def stop_at(fraction: float) -> Callable[[float], None]:
    """A progress function that interrupts as Ctrl-C does."""

    def stop(done: float) -> None:
        if done >= fraction:
            raise KeyboardInterrupt

    return stop


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Notes every solved chunk by its number of samples; all are solved with one thread."""
    solved: list[int] = []
    original = generate.solve

    def solve(*args: Any, **options: Any) -> xr.Dataset:
        assert torch.get_num_threads() == 1
        solved.append(len(options["initial"]))
        return original(*args, **options)

    monkeypatch.setattr(generate, "solve", solve)
    return solved
