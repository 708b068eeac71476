"""Problems: what to solve, from what, until when, and how well others did."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sciml.core.domain import Domain
from sciml.core.equation import ResidualForm
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.steady import SteadyEquation


class Initial(ABC):
    """A rule that gives initial states."""

    @abstractmethod
    def sample(self, grid: Grid, generator: torch.Generator) -> Tensor:
        """One state of shape ``(*space)`` or ``(channel, *space)``."""


@dataclass(frozen=True)
class Profile(Initial):
    """A deterministic initial state, a function of the coordinates: ``function(x, y, ...)``."""

    function: Callable[..., Tensor]

    def __call__(self, *x: Tensor) -> Tensor:
        """The state at arbitrary points."""
        return self.function(*x)

    def sample(self, grid: Grid, generator: torch.Generator) -> Tensor:
        return self.function(*grid.points())


@dataclass(frozen=True)
class RandomLaw(Initial):
    """A random initial state: ``function(grid, generator)``; its values must not depend on the resolution's noise order."""

    function: Callable[[Grid, torch.Generator], Tensor]

    def sample(self, grid: Grid, generator: torch.Generator) -> Tensor:
        return self.function(grid, generator)


@dataclass(frozen=True)
class Problem:
    """One published case.

    Parameters
    ----------
    name : ``module:case``.
    equation : what is solved.
    domain : where, with its boundaries.
    initial : from what; for a steady equation the law of its given fields.
    horizon : until when; 0 for a steady equation.
    points, dt : the published resolution and step; ``sciml.solve`` uses them unless told otherwise.
    exact : ``exact(t, *x)``, the solution at time t (number; 0 for a steady equation) and points x, if known in closed form.
    scheme : name of the classical scheme to prefer; None lets ``sciml.solve`` choose.
    dealias : whether the published setting removes aliasing.
    filter : spectral multiplier applied after every step, ``filter(grid)`` on the half spectrum, or None.
    reference : citation of the case.
    scores : published figures, ``{method: {metric: value}}``.
    parameters : the values that the case was made with.
    """

    name: str
    equation: ResidualForm
    domain: Domain
    initial: Initial
    horizon: float
    points: tuple[int, ...]
    dt: float | None = None
    exact: Callable[..., Tensor] | None = None
    scheme: str | None = None
    dealias: bool = True
    filter: Callable[[Grid], Tensor] | None = None
    reference: str = ""
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.steady and self.horizon != 0:
            raise InputError(f"Problem {self.name}: horizon={self.horizon} for a steady equation, which knows no time; it must be 0.")
        if not self.steady and not self.horizon > 0:
            raise InputError(f"Problem {self.name}: horizon={self.horizon}; it must be positive.")
        if len(self.points) != self.domain.ndim:
            raise InputError(f"Problem {self.name}: points={self.points} for a domain with {self.domain.ndim} axes; give one entry per axis.")

    @property
    def steady(self) -> bool:
        """Whether the equation is steady: no time, and ``initial`` draws its given fields."""
        return isinstance(self.equation, SteadyEquation)

    def grid(self, points: int | Sequence[int] | None = None, *, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu") -> Grid:
        """A uniform grid on the domain; the published resolution unless ``points`` is given."""
        return self.domain.grid(self.points if points is None else points, dtype=dtype, device=device)

    def initial_state(self, grid: Grid, generator: torch.Generator | None = None, *, samples: int | None = None) -> Tensor:
        """Initial states on ``grid``: ``(channel, *space)``, or ``(samples, channel, *space)``.

        For a steady equation they are its given fields, one channel per name in ``equation.inputs``. Random laws draw
        from ``generator`` (seed 0 if none is given); deterministic ones repeat.
        """
        if samples is not None and samples < 1:
            raise InputError(f"{self.name}: samples={samples} given; at least 1 is needed.")
        source = generator if generator is not None else torch.Generator().manual_seed(0)
        names = self.equation.inputs if isinstance(self.equation, SteadyEquation) else self.equation.fields
        if not names:
            return torch.empty((*(() if samples is None else (samples,)), 0, *grid.shape), dtype=grid.dtype, device=grid.device)
        states = [self._channels(self.initial.sample(grid, source), grid, len(names)) for _ in range(samples or 1)]
        return states[0] if samples is None else torch.stack(states)

    def exact_state(self, grid: Grid, time: float) -> Tensor:
        """The exact solution on ``grid`` at ``time``, ``(channel, *space)``."""
        if self.exact is None:
            raise InputError(f"{self.name} has no exact solution; use sciml.solve at a high resolution as the reference.")
        return self._channels(self.exact(time, *grid.points()), grid, len(self.equation.fields))

    def _channels(self, value: Tensor, grid: Grid, channels: int) -> Tensor:
        value = torch.as_tensor(value, dtype=grid.dtype, device=grid.device)
        if value.ndim == grid.ndim:
            value = value.unsqueeze(0)
        expected = (channels, *grid.shape)
        if tuple(value.shape) != expected:
            raise InputError(f"{self.name}: a state of shape {tuple(value.shape)} was made; {expected} (channel, *space) is expected.")
        return value
