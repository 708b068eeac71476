"""The explicit second-order Adams-Bashforth scheme by the method of lines."""

from __future__ import annotations

from torch import Tensor

from sciml.core.propagator import TwoStepState
from sciml.solvers.lines import ExplicitStepper


class AB2(ExplicitStepper):
    r""":math:`u_{n+1} = u_n + \tfrac h2(3f_n - f_{n-1})`, started by one Euler step [Hairer, Norsett & Wanner I, eq. (III.1.6)].

    One evaluation a step; much of the geophysical literature was computed with it. Unstable on the imaginary axis,
    so waves need some dissipation. A single call, which has no history, is an Euler step.

    Parameters: see :class:`ExplicitStepper`.
    """

    order = 2

    def encode(self, u: Tensor, time: float = 0.0) -> TwoStepState:
        return TwoStepState(self.lines.encode(u), None)

    def advance(self, state: TwoStepState, time: float = 0.0) -> TwoStepState:
        slope = self.lines.slope(state.current, time)
        combined = slope if state.slope is None else 1.5 * slope - 0.5 * state.slope
        return TwoStepState(state.current + self.dt * combined, slope)

    def decode(self, state: TwoStepState) -> Tensor:
        return self.lines.decode(state.current)
