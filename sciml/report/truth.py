"""What a solution is compared with: an exact solution, a file made by others, or a certified run of our own."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr

from sciml.core.derivatives import AXES
from sciml.core.equation import Equation
from sciml.core.errors import InputError
from sciml.core.problem import Problem
from sciml.io.dataset import given_fields, grid_of, to_dataset, to_steady_dataset, to_tensor
from sciml.io.given import Reference
from sciml.report.lattice import on_lattice
from sciml.solvers.solve import solve

Array = np.ndarray

LONG = 120.0
"""Seconds from which on a certified run is announced with the time it will take."""


@dataclass(frozen=True)
class Pair:
    """A solution and the truth at the same times and points.

    Attributes
    ----------
    times : ``(T,)``.
    coords : one array of positions per space axis.
    predicted, true : ``(T, field, *space)``.
    """

    times: Array
    coords: tuple[Array, ...]
    predicted: Array
    true: Array


class Truth(ABC):
    """Something to compare with.

    Attributes
    ----------
    kind : two or three words for the table's caption.
    description : one sentence on where it comes from and how far it can be trusted.
    notes : what a reader of the report must know about it.
    """

    kind: str
    description: str
    notes: tuple[str, ...] = ()

    @abstractmethod
    def pair(self, ds: xr.Dataset) -> Pair:
        """A method's solution beside the truth, where the two can be compared best."""

    def uncertainty(self, times: Array) -> Array | None:
        """The truth's own relative error at ``times``; None if it is negligible or unknown."""
        return None

    def as_dataset(self, problem: Problem, ds: xr.Dataset) -> xr.Dataset | None:
        """The truth as a dataset like ``ds``, to be kept beside the results; None if it is a file already."""
        pair = self.pair(ds)
        grid, true = grid_of(ds).to(dtype=torch.float64), torch.as_tensor(pair.true)
        if problem.steady:
            return to_steady_dataset(true[0], given_fields(ds), grid, problem, {"method": self.kind})
        return to_dataset(true, pair.times.tolist(), grid, problem, {"method": self.kind})


class ExactSolution(Truth):
    """The problem's closed-form solution, evaluated at each method's own points."""

    kind = "exact solution"

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.description = f"The exact solution of {problem.name}, evaluated at each method's own grid points."
        self._states: dict[tuple[object, ...], Array] = {}

    def pair(self, ds: xr.Dataset) -> Pair:
        times, coords, predicted = _parts(ds)
        grid = grid_of(ds).to(dtype=torch.float64)
        key = (grid, tuple(times))
        if key not in self._states:
            self._states[key] = torch.stack([self.problem.exact_state(grid, float(t)) for t in times]).numpy()
        return Pair(times, coords, predicted, self._states[key])


class ReferenceFile(Truth):
    """A solution made by others; a method's solution is evaluated at the file's points."""

    kind = "reference file"

    def __init__(self, problem: Problem, reference: Reference, end: float | None = None) -> None:
        fitted = reference.on(problem)
        self.source, self.notes, self.reading = fitted.source, fitted.notes, fitted.reading
        self.coords = fitted.coords
        names = list(problem.equation.fields)
        kept = np.ones(len(reference.times), dtype=bool) if end is None else reference.times <= end * (1 + 1e-12)
        self.times = reference.times[kept]
        if not problem.steady and (len(self.times) < 2 or self.times[0] < 0):
            span = f"{reference.times[0]:g} to {reference.times[-1]:g}"
            raise InputError(f"Reference {reference.source}: of its times, {span}, fewer than two lie between 0 and the end; give a longer run.")
        self.values = np.stack([fitted.fields[name][kept] for name in names], axis=1)
        shape = " x ".join(str(n) for n in self.values.shape[2:])
        span = "" if problem.steady else f", {len(self.times)} times up to t = {self.times[-1]:g}"
        self.description = (
            f"{reference.source.rsplit('/', 1)[-1]} ({', '.join(names)}: {shape} points{span}), "
            "made by others; each method's solution is evaluated at its points."
        )

    @property
    def output_times(self) -> list[float]:
        """The times that methods must deliver: the file's, after the initial one."""
        later = [float(t) for t in self.times if t > 0]
        return [0.0, *later]

    def pair(self, ds: xr.Dataset) -> Pair:
        times, _, predicted = _parts(ds)
        chosen = [int(np.abs(times - t).argmin()) for t in self.times]
        return Pair(self.times, self.coords, on_lattice(predicted[chosen], grid_of(ds), self.coords), self.values)

    def as_dataset(self, problem: Problem, ds: xr.Dataset) -> xr.Dataset | None:
        return None


class CertifiedRun(Truth):
    """The scheme of :func:`sciml.solve` at twice the points and a quarter of the step.

    A second run at one and a half times the points and half the step gives its error estimate: their difference is
    dominated by the error of the coarser one, so it bounds the error of the finer one wherever refinement converges.
    """

    kind = "certified run"

    def __init__(self, dataset: xr.Dataset, times: Sequence[float], estimate: Sequence[float]) -> None:
        self.dataset = dataset
        self._times, self._estimate = np.array(times), np.array(estimate)
        shape = " x ".join(str(n) for n in grid_of(self.dataset).shape) or "no"
        steady = "time" not in dataset.dims
        step, instant = ("", "") if steady else (" and a quarter of the step", f" at t = {self._times[-1]:g}")
        self.description = (
            f"A run of {dataset.attrs['method']} with {shape} points{step}; a second refined run differs from it by "
            f"{self._estimate[-1]:.1e} (relative L2){instant}, which bounds its error there."
        )

    @classmethod
    def make(cls, problem: Problem, points: Sequence[int], times: Sequence[float], seed: int, tell: Callable[[str, float], None]) -> CertifiedRun:
        """Compute it; ``tell`` gets what is being done and the fraction done, with the time it will take if that is long."""
        lattice = isinstance(problem.equation, Equation) and problem.equation.lattice  # its points are unknowns, not a resolution
        label, instants = "certified reference", None if problem.steady else times
        base = solve(problem, points=points, times=instants, seed=seed, progress=lambda done: tell(label, 0.1 * done))
        dt = base.attrs.get("dt")

        def counts(factor: float) -> list[int]:
            return list(points) if lattice else [2 * math.ceil(factor * n / 2) for n in points]

        def cost(factor: float, divide: int) -> float:
            return base.attrs["wall_seconds"] * math.prod(counts(factor)) / math.prod(points) * (1 if dt is None else divide)

        def refined(factor: float, divide: int, start: float, stop: float) -> xr.Dataset:
            step = None if dt is None else float(dt) / divide
            method = str(base.attrs["method"])

            def progress(done: float) -> None:
                tell(label, start + (stop - start) * done)

            return solve(problem, points=counts(factor), dt=step, times=instants, seed=seed, method=method, progress=progress)

        longer = cost(1.5, 2) + cost(2.0, 4)
        if longer > LONG:
            label += f", about {duration(longer)} (fewer points, a shorter end or a reference file shorten it)"
        check = refined(1.5, 2, 0.1, 0.3)
        fine = refined(2.0, 4, 0.3, 1.0)
        coarse_times, coords, coarse = _parts(check)
        estimate = relative_l2(coarse, on_lattice(_parts(fine)[2], grid_of(fine), coords))
        return cls(fine, coarse_times.tolist(), estimate.tolist())

    @property
    def facts(self) -> dict[str, list[float]]:
        """What, with the dataset, makes this object again."""
        return {"times": self._times.tolist(), "estimate": self._estimate.tolist()}

    def pair(self, ds: xr.Dataset) -> Pair:
        times, coords, predicted = _parts(ds)
        return Pair(times, coords, predicted, on_lattice(_parts(self.dataset)[2], grid_of(self.dataset), coords))

    def as_dataset(self, problem: Problem, ds: xr.Dataset) -> xr.Dataset | None:
        return self.dataset

    def uncertainty(self, times: Array) -> Array:
        return np.interp(times, self._times, self._estimate)


def duration(seconds: float) -> str:
    """A time to wait, in minutes, hours or days."""
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.0f} days"


def relative_l2(predicted: Array, true: Array) -> Array:
    r""":math:`\|p - q\|_2/\|q\|_2` at each time, ``(T, field, *space)`` -> ``(T,)``; against the largest norm where q vanishes."""
    axes = tuple(range(1, true.ndim))
    size = np.sqrt((true**2).sum(axis=axes))
    top = float(size.max()) or 1.0
    return np.sqrt(((predicted - true) ** 2).sum(axis=axes)) / np.where(size > 1e-14 * top, size, top)


def _parts(ds: xr.Dataset) -> tuple[Array, tuple[Array, ...], Array]:
    coords = tuple(ds[a].values.astype(np.float64) for a in AXES if a in ds.dims)
    values = to_tensor(ds).to(torch.float64).numpy()
    return (ds["time"].values, coords, values) if "time" in ds.dims else (np.zeros(1), coords, values[None])  # steady: one instant
