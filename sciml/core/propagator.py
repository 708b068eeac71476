"""Propagators: whatever carries a state from t to t + dt, be it a solver, a network or both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Protocol, final, runtime_checkable

from torch import Tensor

from sciml.core.checks import check_state
from sciml.core.grid import Grid


@runtime_checkable
class Propagator(Protocol):
    """Maps u(t) to u(t + dt) for states ``(*batch, channel, *space)``; batched and differentiable."""

    dt: float
    grid: Grid

    def __call__(self, u: Tensor) -> Tensor: ...


@runtime_checkable
class Solution(Protocol):
    """A function of space-time, such as a trained physics-informed network."""

    def __call__(self, t: Tensor, *x: Tensor) -> Tensor: ...


class TwoStepState(NamedTuple):
    """The working state of a two-step scheme: the state now, and the slope one step ago (None at the start)."""

    current: Tensor
    slope: Tensor | None


class Stepper(ABC):
    """A propagator whose working state need not be the field on the grid.

    Spectral solvers work on coefficients, multi-step schemes on a history, implicit neural representations on
    weights. :func:`sciml.rollout` encodes once, advances many times, and decodes only what is kept.

    Attributes
    ----------
    dt : time step.
    grid : on which :meth:`__call__` takes and returns fields.
    channels : number of unknowns.
    """

    dt: float
    grid: Grid
    channels: int

    @abstractmethod
    def encode(self, u: Tensor, time: float = 0.0) -> Any:
        """The working state for the field u at ``time``."""

    @abstractmethod
    def advance(self, state: Any, time: float = 0.0) -> Any:
        """The working state one step later; pure."""

    @abstractmethod
    def decode(self, state: Any) -> Tensor:
        """The field of a working state."""

    def march(self, state: Any, time: float, steps: int) -> Any:
        """The working state ``steps`` steps later; schemes with a cheaper loop provide their own."""
        for n in range(steps):
            state = self.advance(state, time + n * self.dt)
        return state

    def bind(self) -> Stepper:
        """This stepper with everything that depends on parameters alone computed once (kept in the graph)."""
        return self

    @final
    def __call__(self, u: Tensor, time: float = 0.0) -> Tensor:
        """u(t) -> u(t + dt)."""
        check_state(u, self.grid, self.channels, who=type(self).__name__)
        return self.decode(self.advance(self.encode(u, time), time))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dt={self.dt:g}, shape={self.grid.shape}, channels={self.channels})"
