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
    eq. (2.18)] on the fluxes of :class:`FiniteVolume`. Diffusion: in the same scheme, or split from it by the implicit steps
    of :class:`Diffusion`, which are stable, conservative and positive whatever their size.

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
    implicit_order : order in time of implicit diffusion, 2 (with a flux limiter against new extrema) or 1 (backward Euler, a third
        of the cost).

    Attributes
    ----------
    order : in time: 3 where all is explicit, else ``implicit_order``.

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
        implicit_order: int = 2,
    ) -> None:
        if not isinstance(equation, ConservationLaw):
            raise InputError(
                f"FiniteVolumeStepper: got a {type(equation).__name__}; finite volumes need a sciml.ConservationLaw (flux, diffusivity, source). "
                "For other equations on bounded domains step the Stencil engine's right-hand side with a Runge-Kutta scheme."
            )
        if implicit_order not in (1, 2):
            raise InputError(f"FiniteVolumeStepper: implicit_order={implicit_order} given; implicit diffusion is offered in order 1 and 2.")
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
        self.diffusion = None if coefficient is None else Diffusion(equation, integral, implicit_order)
        self.implicit = self.diffusion is not None and (self._should_be_implicit(coefficient) if implicit is None else implicit)
        self.order = implicit_order if self.implicit else 3

    def encode(self, u: Tensor, time: float = 0.0) -> Tensor:
        return u

    def decode(self, state: Tensor) -> Tensor:
        return state

    def advance(self, state: Tensor, time: float = 0.0) -> Tensor:
        dt, u = self.dt, state
        if self.diffusion is None or not self.implicit:
            return self._explicit(u, time)
        if not self._forced(u):
            return self.diffusion.step(self.engine, u, time, dt)
        if self.order == 1:
            return self.diffusion.step(self.engine, self._explicit(u, time), time, dt)
        # symmetric splitting [Strang, SIAM J. Numer. Anal. 5 (1968) 506, eq. (16)]
        u = self.diffusion.step(self.engine, u, time, dt / 2)
        return self.diffusion.step(self.engine, self._explicit(u, time), time + dt / 2, dt / 2)

    def _explicit(self, u: Tensor, time: float) -> Tensor:
        dt = self.dt
        first = u + dt * self._rate(u, time)
        second = (3 * u + first + dt * self._rate(first, time + dt)) / 4
        return (u + 2 * (second + dt * self._rate(second, time + dt / 2))) / 3

    def _forced(self, u: Tensor) -> bool:
        """Whether there is anything besides diffusion."""
        field = self.engine.field(u)
        return self.equation.flux(field) is not None or self.equation.source(field, self.engine) is not None

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

    def _rate(self, u: Tensor, time: float) -> Tensor:
        """The right-hand side, without the diffusion if that is implicit."""
        engine, law = self.engine.at(time), self.equation
        field, terms = engine.field(u), []
        if law.flux(field) is not None:
            terms.append(-engine.values(engine.flux_divergence(law.flux, field, law.velocity)))
        if self.diffusion is not None and not self.implicit:
            terms.append(self.diffusion.rate(engine, field))
        source = law.source(field, engine)
        if source is not None:
            terms.append(engine.values(source))
        return torch.stack(torch.broadcast_tensors(*terms)).sum(0) if terms else torch.zeros_like(u)

    def _should_be_implicit(self, coefficient: Any) -> bool:
        if isinstance(coefficient, Field):
            return True
        largest = float(torch.as_tensor(coefficient).detach().abs().amax())
        return self.dt * sum(2 * largest / h**2 for h in self.grid.spacing) > 1
