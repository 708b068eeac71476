"""Implicit-explicit schemes: the linear part implicit in Fourier space, the nonlinear part explicit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sciml.core.propagator import TwoStepState
from sciml.solvers.spectral import Multiplier, SpectralStepper


class ImplicitSpectral(SpectralStepper):
    """What implicit-explicit schemes share: multiplication by L and by (1 - a dt L)^-1."""

    def _multiplier(self, matrix: Tensor, shift: float, scale: float, *, inverse: bool) -> Multiplier:
        """``(shift + scale L)`` or its inverse, elementwise or as small matrices."""
        value, diagonal = self.system.functions(matrix)
        if diagonal:
            total = shift + scale * value
            return self.system.finished(1 / total if inverse else total, True)
        total = shift * torch.eye(value.shape[-1], dtype=value.dtype, device=value.device) + scale * value
        return self.system.finished(torch.linalg.inv(total) if inverse else total, False)


class CNAB2(ImplicitSpectral):
    r"""Second-order Crank-Nicolson/Adams-Bashforth scheme [Ascher, Ruuth & Wetton, SIAM J. Numer. Anal. 32 (1995) 797, eq. (17)].

    .. math:: (1-\tfrac h2 L)u_{n+1} = (1+\tfrac h2 L)u_n + \tfrac h2(3N_n - N_{n-1}).

    The first step takes N from one explicit midpoint evaluation, so that the scheme is second order from the start
    and a single call is a second-order step.
    """

    order = 2

    def _build(self, symbol: Tensor) -> Any:
        h = self.dt
        return self._multiplier(symbol, 1.0, h / 2, inverse=False), self._multiplier(symbol, 1.0, -h / 2, inverse=True)

    def encode(self, u: Tensor, time: float = 0.0) -> TwoStepState:
        return TwoStepState(self.system.transform.forward(u), None)

    def advance(self, state: TwoStepState, time: float = 0.0) -> TwoStepState:
        explicit, implicit = self.scheme
        h, slope = self.dt, self.system.nonlinear(state.current, time)
        if state.slope is None:
            # backward Euler over half a step gives the midpoint value that N is evaluated at
            middle = implicit(state.current + (h / 2) * slope)
            extrapolated = self.system.nonlinear(middle, time + h / 2)
        else:
            extrapolated = 1.5 * slope - 0.5 * state.slope
        return TwoStepState(implicit(explicit(state.current) + h * extrapolated), slope)

    def decode(self, state: TwoStepState) -> Tensor:
        return self.system.transform.inverse(state.current)


class ARK3(ImplicitSpectral):
    """Third-order, four-stage, L-stable implicit-explicit Runge-Kutta scheme ARS(4,4,3).

    Ascher, Ruuth & Spiteri, Appl. Numer. Math. 25 (1997) 151, section 2.8. All implicit stages share one factor.
    """

    order = 3
    nodes = (0.0, 1 / 2, 2 / 3, 1 / 2, 1.0)
    implicit = ((), (1 / 2,), (1 / 6, 1 / 2), (-1 / 2, 1 / 2, 1 / 2), (3 / 2, -3 / 2, 1 / 2, 1 / 2))
    explicit = ((), (1 / 2,), (11 / 18, 1 / 18), (5 / 6, -5 / 6, 1 / 2), (1 / 4, 7 / 4, 3 / 4, -7 / 4))

    def _build(self, symbol: Tensor) -> Any:
        return self._multiplier(symbol, 0.0, 1.0, inverse=False), self._multiplier(symbol, 1.0, -self.dt / 2, inverse=True)

    def advance(self, state: Tensor, time: float = 0.0) -> Tensor:
        linear, solve = self.scheme
        h = self.dt
        slopes = [self.system.nonlinear(state, time)]
        stiff: list[Tensor] = []
        value = state
        for i in range(1, 5):
            total = state
            for weight, slope in zip(self.explicit[i], slopes, strict=True):
                total = total + (h * weight) * slope
            for weight, slope in zip(self.implicit[i][:-1], stiff, strict=True):
                total = total + (h * weight) * slope
            value = solve(total)
            if i < 4:
                stiff.append(linear(value))
                slopes.append(self.system.nonlinear(value, time + self.nodes[i] * h))
        return value  # stiffly accurate: the last stage is the new state
