r"""Exponential time differencing Runge-Kutta schemes of order 1 to 4.

.. math:: U_i = e^{c_i z}u_n + h\sum_j a_{ij}(z)N(U_j),\qquad u_{n+1} = e^z u_n + h\sum_i b_i(z)N(U_i),\quad z = hL.

Cox & Matthews, J. Comput. Phys. 176 (2002) 430; coefficients as complex contour means after Kassam & Trefethen, SIAM
J. Sci. Comput. 26 (2005) 1214; matrix symbols by matrix :math:`\varphi` functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sciml.solvers.phi import phi_functions, phi_matrices
from sciml.solvers.small import SmallSteps
from sciml.solvers.spectral import Multiplier, SpectralStepper

Phi = dict[float, list[Tensor]]
Rows = list[list[Tensor | None]]


class ExponentialRungeKutta(SpectralStepper):
    """An explicit exponential Runge-Kutta scheme given by its tableau of functions of z."""

    nodes: tuple[float, ...]
    """c_i of the stages after the first (c_1 = 0)."""

    def _tableau(self, phi: Phi, product: Any) -> tuple[Rows, list[Tensor]]:
        """Rows a_ij of the stages after the first, and the weights b_i (without the factor h)."""
        raise TypeError(f"{type(self).__name__} defines no tableau")

    def _build(self, symbol: Tensor) -> Any:
        system = self.system
        value, diagonal = system.functions(symbol)
        functions, product = (phi_functions, torch.mul) if diagonal else (phi_matrices, torch.matmul)
        phi = {c: functions(c * self.dt * value, 3) for c in {*self.nodes, 1.0}}
        rows, weights = self._tableau(phi, product)

        def on_slope(value: Tensor | None) -> Multiplier | None:
            return None if value is None else system.absorb(system.finished(value * self.dt, diagonal))

        exponentials = {c: system.finished(phi[c][0], diagonal) for c in phi}
        return exponentials, [[on_slope(a) for a in row] for row in rows], [on_slope(b) for b in weights]

    @cached_property
    def _small(self) -> SmallSteps | None:
        """The scheme through NumPy, for small states."""
        if self._scheme is None or self.grid.ndim != 1 or self.grid.device.type != "cpu":
            return None
        return SmallSteps.of(self.system.program, self._scheme, self.nodes, self.grid.shape[0])

    def march(self, state: Tensor, time: float, steps: int) -> Tensor:
        if self._small is not None and steps > 0 and self._small.accepts(state):
            after = self._small.march(state, steps)
            if after is not None:
                return after
        for n in range(steps):
            state = self._advance(state, time + n * self.dt)
        return state

    def advance(self, state: Tensor, time: float = 0.0) -> Tensor:
        return self.march(state, time, 1)

    def _advance(self, state: Tensor, time: float) -> Tensor:
        exponentials, rows, weights = self.scheme
        slope = self.system.slope
        linear = {c: e(state) for c, e in exponentials.items()}
        slopes = [slope(state, time)]
        for i, (c, row) in enumerate(zip(self.nodes, rows, strict=True)):
            last = c != 1.0 and c not in self.nodes[i + 1 :]
            slopes.append(slope(_accumulate(linear[c], row, slopes, temporary=last), time + c * self.dt))
        return _accumulate(linear[1.0], weights, slopes, temporary=True)


def _accumulate(total: Tensor, multipliers: Sequence[Multiplier | None], slopes: Sequence[Tensor], *, temporary: bool) -> Tensor:
    """``total`` plus the multiplied slopes; overwrites ``total`` if it is a temporary."""
    for multiplier, slope in zip(multipliers, slopes, strict=True):
        if multiplier is not None:
            total = multiplier.added(total, slope, in_place=temporary)
            temporary = True
    return total


class ETDRK1(ExponentialRungeKutta):
    """First-order exponential Euler scheme [Cox & Matthews 2002, eq. (4)]."""

    order = 1
    nodes = ()

    def _tableau(self, phi: Phi, product: Any) -> tuple[Rows, list[Tensor]]:
        return [], [phi[1.0][1]]


class ETDRK2(ExponentialRungeKutta):
    """Second-order exponential Runge-Kutta scheme [Cox & Matthews 2002, eqs. (20)-(22)]."""

    order = 2
    nodes = (1.0,)

    def _tableau(self, phi: Phi, product: Any) -> tuple[Rows, list[Tensor]]:
        _, p1, p2, _ = phi[1.0]
        return [[p1]], [p1 - p2, p2]


class ETDRK3(ExponentialRungeKutta):
    """Third-order exponential Runge-Kutta scheme [Cox & Matthews 2002, eqs. (23)-(25)]."""

    order = 3
    nodes = (0.5, 1.0)

    def _tableau(self, phi: Phi, product: Any) -> tuple[Rows, list[Tensor]]:
        _, p1, p2, p3 = phi[1.0]
        half = phi[0.5][1] / 2
        return [[half], [-p1, 2 * p1]], [p1 - 3 * p2 + 4 * p3, 4 * p2 - 8 * p3, 4 * p3 - p2]


class ETDRK4(ExponentialRungeKutta):
    """Fourth-order exponential Runge-Kutta scheme [Cox & Matthews 2002, eqs. (26)-(29)]."""

    order = 4
    nodes = (0.5, 0.5, 1.0)

    def _tableau(self, phi: Phi, product: Any) -> tuple[Rows, list[Tensor]]:
        _, p1, p2, p3 = phi[1.0]
        e, half = phi[0.5][0], phi[0.5][1] / 2
        first = product(half, e) - half
        middle = 2 * p2 - 4 * p3
        return [[half], [None, half], [first, None, 2 * half]], [p1 - 3 * p2 + 4 * p3, middle, middle, 4 * p3 - p2]
