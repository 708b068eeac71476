"""Explicit Runge-Kutta schemes by the method of lines."""

from __future__ import annotations

from torch import Tensor

from sciml.solvers.lines import ExplicitStepper


class RK4(ExplicitStepper):
    r"""The classical fourth-order scheme [Kutta 1901; Hairer, Norsett & Wanner I, table II.1.2].

    Explicit: stable only while :math:`h|\lambda| \lesssim 2.8` for every eigenvalue of the semi-discrete operator.

    Parameters: see :class:`ExplicitStepper`.
    """

    order = 4

    def advance(self, state: Tensor, time: float = 0.0) -> Tensor:
        f, h = self.lines.slope, self.dt
        k1 = f(state, time)
        k2 = f(state + (h / 2) * k1, time + h / 2)
        k3 = f(state + (h / 2) * k2, time + h / 2)
        k4 = f(state + h * k3, time + h)
        return state + (h / 6) * (k1 + 2 * (k2 + k3) + k4)
