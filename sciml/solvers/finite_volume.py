"""Finite volumes for conservation laws on periodic and bounded domains, with implicit treatment of degenerate diffusion."""

from __future__ import annotations

import math
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
from sciml.solvers.implicit_diffusion import Diffusion

CFL = 0.5
"""Courant number of :meth:`FiniteVolumeStepper.stable_dt`: the limit of the limited schemes, and safe for WENO5 with SSP-RK3."""


class FiniteVolumeStepper(Stepper):
    r"""Finite volumes for :math:`u_t + \nabla\cdot f(u) = \nabla\cdot(k(u)\nabla u) + s`.

    Flux and source: the third-order strong-stability-preserving Runge-Kutta scheme [Shu & Osher, J. Comput. Phys. 77 (1988) 439,
    eq. (2.18)] on the fluxes of :class:`FiniteVolume`. Diffusion: in the same scheme, or after it by the implicit step of
    :class:`Diffusion`, which is stable, conservative and positive for any step.

    Parameters
    ----------
    equation : a conservation law.
    grid : periodic or bounded; values are cell averages.
    dt : time step.
    boundaries : ``problem.domain.boundaries``; None for periodic grids.
    reconstruction : see :class:`FiniteVolume`.
    face_mean : of the diffusivity, "arithmetic", "harmonic", or "integral", the difference quotient of the equation's
        ``potential``, without which fronts oscillate (arithmetic) or lock (harmonic) where k jumps. None: "integral" if
        there is a potential, else "arithmetic".
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
        face_mean: str | None = None,
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
        empty = torch.zeros((self.channels, *grid.shape), dtype=grid.dtype, device=grid.device)
        self.engine = FiniteVolume(grid, boundaries, reconstruction, face_mean if face_mean not in (None, "integral") else "arithmetic")
        has_potential = equation.potential(self.engine.field(empty)) is not None
        if face_mean == "integral" and not has_potential:
            raise InputError(f'FiniteVolumeStepper: face_mean="integral" needs {type(equation).__name__}.potential; define it or use "arithmetic".')
        coefficient = equation.diffusivity(self.engine.field(empty))
        integral = has_potential and face_mean in (None, "integral")
        self.diffusion = None if coefficient is None else Diffusion(equation, integral)
        self.implicit = self.diffusion is not None and (self._should_be_implicit(coefficient) if implicit is None else implicit)
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
        if self.implicit and self.diffusion is not None:
            u = self.diffusion.step(self.engine.at(time + dt), u, dt)
        return u

    def stable_dt(self, u: Tensor, time: float = 0.0) -> float:
        r"""The largest safe step at state ``u``.

        Courant number 0.5, and for explicit diffusion :math:`1/\sum_i 2k/h_i^2`. Implicit diffusion is stable for any step; the
        step that keeps its error near that of the grid is :math:`1/\sum_i k/(h_iL_i)`. Wall values that are functions of time
        count as they are at ``time`` and one ``dt`` later. Infinite where nothing limits the step.
        """
        check_state(u, self.grid, self.channels, who="FiniteVolumeStepper.stable_dt")
        with torch.no_grad():
            rate = max(self._fastest(self.engine.at(t), u) for t in (time, time + self.dt))
        return 1 / rate if rate > 0 else math.inf

    def _fastest(self, engine: FiniteVolume, u: Tensor) -> float:
        """The inverse of the limit at one instant."""
        law, field = self.equation, engine.field(u)
        rate = 0.0
        for axis, (h, length) in enumerate(zip(self.grid.spacing, self.grid.lengths, strict=True)):
            if law.flux(field) is not None:
                speeds = [engine.component(law.velocity(ValueField(engine, s)), axis) for s in engine.face_states(field, axis)]
                rate += max(float(s.abs().amax()) for s in speeds) / (CFL * h)
            if self.diffusion is not None:
                k = float(self.diffusion.coefficient(engine, field, axis).amax())
                rate += k / (h * length) if self.implicit else 2 * k / h**2
        return rate

    def _rate(self, u: Tensor, time: float) -> Any:
        """The right-hand side, without the diffusion if that is implicit; None if nothing is left."""
        engine, law = self.engine.at(time), self.equation
        field = engine.field(u)
        rate = None
        if law.flux(field) is not None:
            rate = -engine.values(engine.flux_divergence(law.flux, field, law.velocity))
        if self.diffusion is not None and not self.implicit:
            diffused = self.diffusion.rate(engine, field)
            rate = diffused if rate is None else rate + diffused
        source = law.source(field, engine)
        if source is not None:
            rate = engine.values(source) if rate is None else rate + engine.values(source)
        return rate

    def _should_be_implicit(self, coefficient: Any) -> bool:
        if isinstance(coefficient, Field):
            return True
        largest = float(torch.as_tensor(coefficient).detach().abs().amax())
        return self.dt * sum(2 * largest / h**2 for h in self.grid.spacing) > 1
