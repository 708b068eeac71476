"""What a method is: something that turns a problem into a trajectory, at a measured cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
import xarray as xr

from sciml.core.errors import UnsupportedError
from sciml.core.problem import Problem
from sciml.methods.measure import Meter

Progress = Callable[[float], None]
"""Called with the fraction done, from 0 to 1."""


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
    """

    times: Sequence[float]
    points: int | Sequence[int] | None = None
    dt: float | None = None
    device: str = "cpu"
    dtype: torch.dtype | None = None
    seed: int = 0
    budget: float | None = None


@dataclass(frozen=True)
class MethodResult:
    """A finished run.

    Attributes
    ----------
    dataset : the trajectory at the asked times.
    wall_s : wall time of the whole run, everything that the method had to do included.
    peak_bytes : memory at the worst moment above what was in use before the run.
    notes : one sentence on what was run.
    cost : named parts of the cost, such as ``steps`` or ``training_s``.
    """

    dataset: xr.Dataset
    wall_s: float
    peak_bytes: int
    notes: str = ""
    cost: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """What :meth:`Method.solve` hands back: the trajectory, and what the method has to say about it."""

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
    """

    name: str
    description: str
    default: bool = True

    @abstractmethod
    def applies(self, problem: Problem) -> str | None:
        """None if the method can run this problem, else the reason why it cannot."""

    @abstractmethod
    def solve(self, problem: Problem, settings: Settings, progress: Progress | None = None) -> Run:
        """The trajectory, without any measuring."""

    def warm_up(self, problem: Problem, settings: Settings) -> None:
        """Load what is loaded on first use (compiled code, transform plans), before anything is measured; by default nothing."""

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
        return MethodResult(run.dataset, meter.wall_s, meter.peak_bytes, run.notes, run.cost)
