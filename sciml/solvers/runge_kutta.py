"""Explicit Runge-Kutta schemes by the method of lines."""

from __future__ import annotations

import copy
from typing import Self

from torch import Tensor

from sciml.core.checks import check_step
from sciml.core.derivatives import Derivatives
from sciml.core.equation import Equation
from sciml.core.grid import Grid
from sciml.core.propagator import Stepper
from sciml.solvers.lines import semi_discrete


class RK4(Stepper):
    r"""The classical fourth-order scheme [Kutta 1901; Hairer, Norsett & Wanner I, table II.1.2].

    Explicit: stable only while :math:`h|\lambda| \lesssim 2.8` for every eigenvalue of the semi-discrete operator.

    Parameters
    ----------
    equation : any :class:`sciml.Equation`, an ordinary system included.
    grid : periodic (Fourier engine) or bounded (stencil engine), unless ``engine`` is given.
    dt : time step.
    engine : derivative engine on ``grid``.
    dealias : as for :class:`sciml.ETDRK4`; used with the Fourier engine only.
    """

    order = 4

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

    def encode(self, u: Tensor, time: float = 0.0) -> Tensor:
        return self.lines.encode(u)

    def decode(self, state: Tensor) -> Tensor:
        return self.lines.decode(state)

    def advance(self, state: Tensor, time: float = 0.0) -> Tensor:
        f, h = self.lines.slope, self.dt
        k1 = f(state, time)
        k2 = f(state + (h / 2) * k1, time + h / 2)
        k3 = f(state + (h / 2) * k2, time + h / 2)
        k4 = f(state + h * k3, time + h)
        return state + (h / 6) * (k1 + 2 * (k2 + k3) + k4)
