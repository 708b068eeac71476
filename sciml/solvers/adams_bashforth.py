"""The explicit second-order Adams-Bashforth scheme by the method of lines."""

from __future__ import annotations

import copy
from typing import Self

from torch import Tensor

from sciml.core.checks import check_step
from sciml.core.derivatives import Derivatives
from sciml.core.equation import Equation
from sciml.core.grid import Grid
from sciml.core.propagator import Stepper, TwoStepState
from sciml.solvers.lines import semi_discrete


class AB2(Stepper):
    r""":math:`u_{n+1} = u_n + \tfrac h2(3f_n - f_{n-1})`, started by one Euler step [Hairer, Norsett & Wanner I, eq. (III.1.6)].

    One evaluation a step; much of the geophysical literature was computed with it. Unstable on the imaginary axis,
    so waves need some dissipation. A single call, which has no history, is an Euler step.

    Parameters
    ----------
    equation, grid, dt, engine, dealias : as for :class:`sciml.RK4`.
    """

    order = 2

    def __init__(self, equation: Equation, grid: Grid, dt: float, *, engine: Derivatives | None = None, dealias: bool = True) -> None:
        who = type(self).__name__
        self.equation = equation
        self.grid = grid
        self.dt = check_step(dt, who=who)
        self.channels = len(equation.fields)
        self.lines = semi_discrete(equation, grid, engine, dealias=dealias, who=who)

    def bind(self) -> Self:
        bound = copy.copy(self)
        bound.lines = self.lines.bind()
        return bound

    def encode(self, u: Tensor, time: float = 0.0) -> TwoStepState:
        return TwoStepState(self.lines.encode(u), None)

    def advance(self, state: TwoStepState, time: float = 0.0) -> TwoStepState:
        slope = self.lines.slope(state.current, time)
        combined = slope if state.slope is None else 1.5 * slope - 0.5 * state.slope
        return TwoStepState(state.current + self.dt * combined, slope)

    def decode(self, state: TwoStepState) -> Tensor:
        return self.lines.decode(state.current)
