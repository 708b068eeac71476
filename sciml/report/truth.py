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
from sciml.io.dataset import grid_of, to_dataset, to_tensor
from sciml.io.reference import Reference
from sciml.report.lattice import on_lattice
from sciml.solvers.solve import solve

Array = np.ndarray


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
    """

    kind: str
    description: str

    @abstractmethod
    def pair(self, ds: xr.Dataset) -> Pair:
        """A method's solution beside the truth, where the two can be compared best."""

    def uncertainty(self, times: Array) -> Array | None:
        """The truth's own relative error at ``times``; None if it is negligible or unknown."""
        return None

    def as_dataset(self, problem: Problem, ds: xr.Dataset) -> xr.Dataset | None:
        """The truth as a dataset like ``ds``, to be kept beside the results; None if it is a file already."""
        pair = self.pair(ds)
        return to_dataset(torch.as_tensor(pair.true), pair.times.tolist(), grid_of(ds).to(dtype=torch.float64), problem, {"method": self.kind})


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
        self.source = reference.source
        self.coords = reference.coords
        kept = np.ones(len(reference.times), dtype=bool) if end is None else reference.times <= end * (1 + 1e-12)
        fields = problem.equation.fields
        names = list(reference.fields)
        if len(reference.coords) != problem.domain.ndim:
            found, needed = len(reference.coords), problem.domain.ndim
            raise InputError(f"Reference {reference.source}: it has {found} space axes but {problem.name} has {needed}; give a matching file.")
        if set(fields) <= set(names):
            names = list(fields)
        elif len(names) != len(fields):
            held, needed_names = ", ".join(names), ", ".join(fields)
            raise InputError(f"Reference {reference.source}: it holds {held} but {problem.name} has the fields {needed_names}; name one for each.")
        bounds = zip(reference.coords, problem.domain.lower, problem.domain.upper, AXES, strict=False)
        for x, low, high, axis in bounds:
            slack = 1e-9 * (high - low)
            if x[0] < low - slack or x[-1] > high + slack:
                raise InputError(
                    f"Reference {reference.source}: {axis} runs from {x[0]:g} to {x[-1]:g} but {problem.name} lives on [{low:g}, {high:g}]; "
                    "the two must state the same problem."
                )
        self.times = reference.times[kept]
        if len(self.times) < 2 or self.times[0] < 0:
            span = f"{reference.times[0]:g} to {reference.times[-1]:g}"
            raise InputError(f"Reference {reference.source}: of its times, {span}, fewer than two lie between 0 and the end; give a longer run.")
        self.values = np.stack([reference.fields[name][kept] for name in names], axis=1)
        shape = " x ".join(str(n) for n in self.values.shape[2:])
        self.description = (
            f"{reference.source.rsplit('/', 1)[-1]} ({', '.join(names)}: {shape} points, {len(self.times)} times up to t = {self.times[-1]:g}), "
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

    def __init__(self, problem: Problem, points: Sequence[int], times: Sequence[float], seed: int, tick: Callable[[float], None]) -> None:
        base = solve(problem, points=points, times=times, seed=seed)
        tick(0.1)
        dt = base.attrs.get("dt")
        lattice = isinstance(problem.equation, Equation) and problem.equation.lattice  # its points are unknowns, not a resolution

        def refined(factor: float, divide: int) -> xr.Dataset:
            counts = list(points) if lattice else [2 * math.ceil(factor * n / 2) for n in points]
            step = None if dt is None else float(dt) / divide
            return solve(problem, points=counts, dt=step, times=times, seed=seed, method=str(base.attrs["method"]))

        check = refined(1.5, 2)
        tick(0.4)
        self.dataset = refined(2.0, 4)
        tick(1.0)
        coarse_times, coords, coarse = _parts(check)
        fine = on_lattice(_parts(self.dataset)[2], grid_of(self.dataset), coords)
        self._estimate = relative_l2(coarse, fine)
        self._times = coarse_times
        shape = " x ".join(str(n) for n in grid_of(self.dataset).shape) or "no"
        self.description = (
            f"A run of {base.attrs['method']} with {shape} points and a quarter of the step; a second refined run differs from it by "
            f"{self._estimate[-1]:.1e} (relative L2) at t = {self._times[-1]:g}, which bounds its error there."
        )

    def pair(self, ds: xr.Dataset) -> Pair:
        times, coords, predicted = _parts(ds)
        return Pair(times, coords, predicted, on_lattice(_parts(self.dataset)[2], grid_of(self.dataset), coords))

    def as_dataset(self, problem: Problem, ds: xr.Dataset) -> xr.Dataset | None:
        return self.dataset

    def uncertainty(self, times: Array) -> Array:
        return np.interp(times, self._times, self._estimate)


def relative_l2(predicted: Array, true: Array) -> Array:
    r""":math:`\|p - q\|_2/\|q\|_2` at each time, ``(T, field, *space)`` -> ``(T,)``; against the largest norm where q vanishes."""
    axes = tuple(range(1, true.ndim))
    size = np.sqrt((true**2).sum(axis=axes))
    top = float(size.max()) or 1.0
    return np.sqrt(((predicted - true) ** 2).sum(axis=axes)) / np.where(size > 1e-14 * top, size, top)


def _parts(ds: xr.Dataset) -> tuple[Array, tuple[Array, ...], Array]:
    coords = tuple(ds[a].values.astype(np.float64) for a in AXES if a in ds.dims)
    return ds["time"].values, coords, to_tensor(ds).to(torch.float64).numpy()
