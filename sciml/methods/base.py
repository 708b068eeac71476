"""What a method is: something that turns a problem into a trajectory, at a measured cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import final

import torch
import xarray as xr

from sciml.core.errors import UnsupportedError
from sciml.core.problem import Problem
from sciml.io.dataset import to_tensor
from sciml.methods.measure import Meter

Progress = Callable[[float], None]
"""Called with the fraction done, from 0 to 1."""

LADDERS: Mapping[int, tuple[int, ...]] = {1: (16, 32, 64, 128, 256), 2: (8, 16, 32, 64), 3: (8, 16, 32)}
"""Points per axis when no sizes are asked for, by the number of axes."""

POINTS = "points"
"""What the sizes of a method on a grid count: points per axis."""
WIDTH = "width"
"""What the sizes of a network count: hidden units per layer."""


@dataclass(frozen=True)
class Settings:
    """What every method is asked for alike.

    Attributes
    ----------
    points : samples per axis; None for the problem's own.
    dt : time step; None lets the method choose.
    times : output times, increasing, starting at 0.
    device, dtype : None for the method's own precision (float64 for solvers, float32 for networks).
    seed : of every random choice; equal seeds give equal initial states to all methods.
    budget : seconds that a method with something to train may spend on it; None for its own default.
    width : hidden units per layer of a method that is a network; None for its own default.
    """

    times: Sequence[float]
    points: int | Sequence[int] | None = None
    dt: float | None = None
    device: str = "cpu"
    dtype: torch.dtype | None = None
    seed: int = 0
    budget: float | None = None
    width: int | None = None


@dataclass(frozen=True)
class MethodResult:
    """A finished run.

    Attributes
    ----------
    dataset : the trajectory at the asked times.
    wall_s : wall time of the whole run, everything that the method had to do included.
    peak_bytes : memory at the worst moment above what was in use before the run.
    notes : one sentence on what was run.
    cost : named parts of the cost, such as ``steps`` or ``training_s``; always with ``state_bytes``, the memory of all that stands for the fields
        at one time.
    """

    dataset: xr.Dataset
    wall_s: float
    peak_bytes: int
    notes: str = ""
    cost: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """What :meth:`Method.solve` hands back: the trajectory, and what the method has to say about it.

    A method whose state is not the samples in the dataset gives ``cost["state_bytes"]``, and one with a trained model ``cost["model_bytes"]``.
    """

    dataset: xr.Dataset
    notes: str = ""
    cost: Mapping[str, float] = field(default_factory=dict)


class Method(ABC):
    """A way to solve problems. A new one is a file in ``sciml/methods`` with a module-level tuple ``METHODS``.

    Attributes
    ----------
    name : by which the command line knows it.
    description : one line.
    default : whether ``sciml compare`` runs it when no methods are named.
    size_is : what the sizes of :meth:`sized` count, in a word.
    """

    name: str
    description: str
    default: bool = True
    size_is: str = POINTS

    @abstractmethod
    def applies(self, problem: Problem) -> str | None:
        """None if the method can run this problem, else the reason why it cannot."""

    @abstractmethod
    def solve(self, problem: Problem, settings: Settings, progress: Progress | None = None) -> Run:
        """The trajectory, without any measuring."""

    def warm_up(self, problem: Problem, settings: Settings) -> None:
        """Load what is loaded on first use (compiled code, transform plans), before anything is measured; by default nothing."""

    def ladder(self, problem: Problem) -> Sequence[int]:
        """Sizes to run a problem with, increasing, when none are asked for."""
        return LADDERS[problem.domain.ndim]

    def sized(self, settings: Settings, size: int) -> Settings:
        """The settings for a size: the points per axis, unless the method says otherwise."""
        return replace(settings, points=size)

    @final
    def run(self, problem: Problem, settings: Settings, progress: Progress | None = None) -> MethodResult:
        """Warm up, then solve, and measure wall time and peak memory of that.

        Raises :class:`UnsupportedError` if the method does not apply.
        """
        reason = self.applies(problem)
        if reason is not None:
            raise UnsupportedError(f"{self.name} does not apply to {problem.name}: {reason}.")
        self.warm_up(problem, settings)
        with Meter(settings.device) as meter:
            run = self.solve(problem, settings, progress)
        cost = {"state_bytes": float(samples_bytes(run.dataset)), **run.cost}
        return MethodResult(run.dataset, meter.wall_s, meter.peak_bytes, run.notes, cost)


def samples_bytes(ds: xr.Dataset) -> int:
    """Memory of a dataset's fields at one time: samples times channels times bytes of a number."""
    values = to_tensor(ds)
    return (values[0] if "time" in ds.dims else values).nbytes
