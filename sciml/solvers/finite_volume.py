"""Finite volumes for conservation laws on periodic and bounded domains, with implicit treatment of degenerate diffusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sciml.core.checks import check_state, check_step
from sciml.core.conservation import ConservationLaw
from sciml.core.errors import InputError
from sciml.core.field import Field, ValueField
from sciml.core.grid import Grid
from sciml.core.propagator import Stepper
from sciml.derivatives.finite_volume import FiniteVolume
from sciml.derivatives.ghosts import Pair
from sciml.solvers.implicit_diffusion import backward_euler

CFL = 0.5
"""Courant number of :meth:`FiniteVolumeStepper.stable_dt`: the limit of the limited schemes, and safe for WENO5 with SSP-RK3."""


class FiniteVolumeStepper(Stepper):
    r"""Finite volumes for :math:`u_t + \nabla\cdot f(u) = \nabla\cdot(k(u)\nabla u) + s`.

    Flux and source: the third-order strong-stability-preserving Runge-Kutta scheme [Shu & Osher, J. Comput. Phys. 77 (1988) 439,
    eq. (2.18)] on the fluxes of :class:`FiniteVolume`. Diffusion: in the same scheme, or implicitly by
    :func:`backward_euler` per axis after it, which is stable, conservative and positive for any step.

    Parameters
    ----------
    equation : a conservation law.
    grid : periodic or bounded; values are cell averages.
    dt : time step.
    boundaries : ``problem.domain.boundaries``; None for periodic grids.
    reconstruction, face_mean : see :class:`FiniteVolume`.
    implicit : treat diffusion implicitly. None: where k depends on u, or where ``dt`` exceeds the explicit limit
        :math:`1/\sum_i 2k/h_i^2`.

    Attributes
    ----------
    order : in time: 3 explicit, 1 implicit.

    States whose samples should keep their sign need "first_order" or a limiter for the flux; WENO5 may undershoot.
    """

    def __init__(
        self,
        equation: ConservationLaw,
        grid: Grid,
        dt: float,
        *,
        boundaries: Sequence[Pair] | None = None,
        reconstruction: str = "weno5",
        face_mean: str = "arithmetic",
        implicit: bool | None = None,
    ) -> None:
        if not isinstance(equation, ConservationLaw):
            raise InputError(
                f"FiniteVolumeStepper: got a {type(equation).__name__}; finite volumes need a sciml.ConservationLaw (flux, diffusivity, source). "
                "For other equations on bounded domains step the Stencil engine's right-hand side with a Runge-Kutta scheme."
            )
        if grid.ndim == 0:
            raise InputError("FiniteVolumeStepper: the grid has no axes (an ordinary system); use a Runge-Kutta scheme.")
        self.equation = equation
        self.grid = grid
        self.dt = check_step(dt, who="FiniteVolumeStepper")
        self.channels = len(equation.fields)
        self.engine = FiniteVolume(grid, boundaries, reconstruction, face_mean)
        self.implicit = self._should_be_implicit() if implicit is None else bool(implicit)
        self.order = 1 if self.implicit else 3

    def encode(self, u: Tensor, time: float = 0.0) -> Tensor:
        return u

    def decode(self, state: Tensor) -> Tensor:
        return state

    def advance(self, state: Tensor, time: float = 0.0) -> Tensor:
        dt, u = self.dt, state
        rate = self._rate(u, time)
        if rate is not None:
            first = u + dt * rate
            second = (3 * u + first + dt * self._rate(first, time + dt)) / 4
            u = (u + 2 * (second + dt * self._rate(second, time + dt / 2))) / 3
        if self.implicit:
            for axis in range(self.grid.ndim):
                u = backward_euler(self.equation, self.engine.at(time + dt), u, dt, axis)
        return u

    def stable_dt(self, u: Tensor, time: float = 0.0) -> float:
        r"""The largest safe step at state ``u``: Courant number 0.5 and, for explicit diffusion, :math:`1/\sum_i 2k/h_i^2`.

        Prescribed wall values at ``time`` count too. Infinite where nothing limits the step.
        """
        check_state(u, self.grid, self.channels, who="FiniteVolumeStepper.stable_dt")
        engine, law = self.engine.at(time), self.equation
        with torch.no_grad():
            field = engine.field(u)
            k = law.diffusivity(field)
            rate = torch.zeros((), dtype=u.dtype, device=u.device)
            advected = law.flux(field) is not None
            for axis, h in enumerate(self.grid.spacing):
                if advected:
                    speeds = [engine.component(law.velocity(ValueField(engine, s)), axis).abs().amax() for s in engine.face_states(field, axis)]
                    rate = rate + torch.stack(speeds).amax() / (CFL * h)
                if k is not None and not self.implicit:
                    rate = rate + 2 * engine.face_coefficient(k, axis).amax() / h**2
        return float(1 / rate) if bool(rate > 0) else float("inf")

    def _rate(self, u: Tensor, time: float) -> Any:
        """The right-hand side, without the diffusion if that is implicit; None if nothing is left."""
        engine, law = self.engine.at(time), self.equation
        if not self.implicit:
            return law.rhs(u, engine)
        field = engine.field(u)
        total = law.source(field, engine)
        if law.flux(field) is not None:
            divergence = engine.flux_divergence(law.flux, field, law.velocity)
            total = -divergence if total is None else total - divergence
        return None if total is None else engine.values(total)

    def _should_be_implicit(self) -> bool:
        empty = torch.zeros((self.channels, *self.grid.shape), dtype=self.grid.dtype, device=self.grid.device)
        k = self.equation.diffusivity(self.engine.field(empty))
        if k is None or isinstance(k, Field):
            return k is not None
        largest = float(torch.as_tensor(k).detach().abs().amax())
        return self.dt * sum(2 * largest / h**2 for h in self.grid.spacing) > 1
