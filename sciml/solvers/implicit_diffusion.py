r"""Nonlinear, possibly degenerate diffusion, :math:`u_t = \nabla\cdot(k(u)\nabla u)`: rates, and implicit steps of any size.

Steps go one axis at a time (locally one-dimensional splitting; Yanenko, The Method of Fractional Steps (1971), chapter 2),
each axis by backward Euler,

.. math:: v_j = u_j + \frac{\Delta t}{h}\,(F_{j+1/2} - F_{j-1/2}),\qquad F_{j+1/2} = k_{j+1/2}(v)\,\frac{v_{j+1} - v_j}{h}.

The last stage is always a Picard step: with the coefficient frozen a tridiagonal system with non-negative inverse gives v,
which keeps sign and bounds, and the result is written in the flux form above, so that mass is conserved to rounding
wherever the iteration stops. Before it comes Picard iteration or, where the potential :math:`\Phi' = k` is known and walls
are of Dirichlet type or closed, Newton's method for :math:`v - \Delta t\,\Phi(v)_{xx} = u`, which also converges where k jumps
(systems of this kind: Brugnano & Casulli, SIAM J. Sci. Comput. 30 (2008) 463).

Order 2 in time, splitting included, comes from Richardson extrapolation: twice two half steps minus one whole step, as fluxes
that are added to the half steps by :func:`corrected` only where no new extremum arises.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.core.conservation import ConservationLaw
from sciml.core.domain import Neumann
from sciml.core.field import Field
from sciml.derivatives.finite_volume import FiniteVolume
from sciml.derivatives.ghosts import joined, wrapped
from sciml.derivatives.stencil import own
from sciml.solvers.flux_correction import corrected
from sciml.solvers.tridiagonal import solve_tridiagonal

ITERATIONS = 100


@dataclass(frozen=True)
class Diffusion:
    """The diffusive part of a conservation law on a finite-volume grid.

    Parameters
    ----------
    law : has a diffusivity.
    integral : take face coefficients as difference quotients of the potential; otherwise by the engine's mean.
    order : in time, of implicit steps: 1 or 2.
    """

    law: ConservationLaw
    integral: bool
    order: int = 2

    def coefficient(self, engine: FiniteVolume, u: Field, axis: int) -> Tensor:
        """k on the N + 1 faces of ``axis``."""
        k = self.law.diffusivity(u)
        return engine.secant_coefficient(self.law.potential(u), k, u, axis) if self.integral else engine.face_coefficient(k, axis)

    def rate(self, engine: FiniteVolume, u: Field) -> Tensor:
        r""":math:`\nabla\cdot(k(u)\nabla u)` on the cells."""
        parts = [engine.face_difference(self.coefficient(engine, u, a) * engine.face_gradient(u, a), a) for a in range(engine.ndim)]
        return torch.stack(parts).sum(0)

    def step(self, engine: FiniteVolume, u: Tensor, time: float, dt: float) -> Tensor:
        """The state after ``dt`` of diffusion from ``time`` on."""
        end = engine.at(time + dt)
        coarse, whole = self._sweep(end, u, dt)
        if self.order == 1:
            return coarse
        half, first = self._sweep(engine.at(time + dt / 2), u, dt / 2)
        fine, second = self._sweep(end, half, dt / 2)
        extra = [(a + b) / 2 - c for a, b, c in zip(first, second, whole, strict=True)]
        return corrected(end, fine, u, extra, dt)

    def _sweep(self, engine: FiniteVolume, u: Tensor, dt: float) -> tuple[Tensor, list[Tensor]]:
        """Backward Euler along one axis after the other: the new state and the fluxes k u_x that made it."""
        fluxes = []
        for axis in range(engine.ndim):
            fluxes.append(self._backward_euler(engine, u, dt, axis))
            u = u + dt * engine.face_difference(fluxes[-1], axis)
        return u, fluxes

    def _backward_euler(self, engine: FiniteVolume, u: Tensor, dt: float, axis: int) -> Tensor:
        newton = self.integral and _closed_walls(engine, axis)
        v = self._newton(engine, u, dt, axis) if newton else u
        tolerance = torch.finfo(u.dtype).eps ** (2 / 3)
        for _ in range(1 if newton else ITERATIONS):
            field, last = engine.field(v), v
            k = self.coefficient(engine, field, axis)
            slope_flux = k * engine.face_gradient(field, axis)
            v = _solve(engine, axis, dt, u, torch.ones_like(u), k, field, slope_flux)
            if _close(v, last, tolerance):
                break
        return _fluxes(engine, axis, v, k, field, slope_flux)

    def _newton(self, engine: FiniteVolume, u: Tensor, dt: float, axis: int) -> Tensor:
        """The root of v - dt Phi(v)_xx = u.

        Iterates are kept within the bounds of u and the walls, which the root obeys. From u itself a front moves by one
        cell per iteration; where that is too slow the iteration starts again from the upper bound and descends. The
        last step alone is differentiated: at the root its derivative is that of the implicit function.
        """
        eps, dim = torch.finfo(u.dtype).eps, axis - engine.ndim
        with torch.no_grad():
            extended = engine.with_walls(engine.field(u.detach()), axis)
            low, high = extended.amin(dim, keepdim=True), extended.amax(dim, keepdim=True)
            top = torch.maximum(high, u.detach())
            stiffness = dt * engine.values(self.law.diffusivity(engine.field(top))).amax() / engine.grid.spacing[axis] ** 2
            tolerance = eps**0.75 + 4 * eps * float(stiffness)  # rounding of u + dt Phi_xx
            for v, iterations in ((u.detach(), 15), (top, ITERATIONS)):
                for _ in range(iterations):
                    last, v = v, self._newton_step(engine, u, v, dt, axis).clamp(low, high)
                    if _close(v, last, tolerance):
                        break
                else:
                    continue
                break
        return self._newton_step(engine, u, v, dt, axis)

    def _newton_step(self, engine: FiniteVolume, u: Tensor, v: Tensor, dt: float, axis: int) -> Tensor:
        r"""Linear in :math:`\varphi = \Phi(v) + k(v)\,\delta v`: :math:`\varphi - k\Delta t\,\varphi_{xx} = \Phi(v) + k(u - v)`, free of 1/k."""
        field = engine.field(v)
        potential, k = own(self.law.potential(field)), engine.values(self.law.diffusivity(field))
        one = torch.ones((), dtype=u.dtype, device=u.device)
        no_flux = torch.zeros_like(engine.face_distance(axis))  # through closed walls
        phi = _solve(engine, axis, dt, potential.value + k * (u - v), k, one, potential, no_flux)
        return u + dt * engine.face_difference(_fluxes(engine, axis, phi, one, potential, no_flux), axis)


def _solve(engine: FiniteVolume, axis: int, dt: float, rhs: Tensor, row: Tensor, k: Tensor, wall: Field, slope_flux: Tensor) -> Tensor:
    r"""x with :math:`x - \mathrm{row}\,\Delta t\,(k x_x)_x = \mathrm{rhs}`.

    ``k`` lives on faces, ``row`` on cells. Dirichlet walls take the wall values of the field ``wall``, Neumann walls the
    fluxes in ``slope_flux``.
    """
    dim, h, n = axis - engine.ndim, engine.grid.spacing[axis], engine.grid.shape[axis]
    conductance = k * dt / (h * engine.face_distance(axis))
    lower, upper = row * conductance.narrow(dim, 0, n), row * conductance.narrow(dim, 1, n)
    excess = torch.ones_like(rhs)
    if not engine.grid.periodic[axis]:
        index = torch.arange(n, device=rhs.device).view((-1,) + (1,) * (engine.ndim - 1 - axis))
        for side, at_wall in enumerate((index == 0, index == n - 1)):
            link = torch.where(at_wall, (lower, upper)[side], torch.zeros_like(rhs))
            if isinstance(engine.boundaries[axis][side], Neumann):
                inflow = slope_flux.narrow(dim, side * n, 1) * (dt / h if side else -dt / h)
                rhs = rhs + torch.where(at_wall, row * inflow, torch.zeros_like(rhs))
            else:
                excess, rhs = excess + link, rhs + link * own(wall).trace(axis, side)
        lower = torch.where(index == 0, torch.zeros_like(lower), lower)
        upper = torch.where(index == n - 1, torch.zeros_like(upper), upper)
    return solve_tridiagonal(*(t.movedim(dim, -1) for t in torch.broadcast_tensors(lower, upper, excess, rhs))).movedim(-1, dim)


def _fluxes(engine: FiniteVolume, axis: int, x: Tensor, k: Tensor, wall: Field, slope_flux: Tensor) -> Tensor:
    """k x_x on the N + 1 faces with the wall data of :func:`_solve`."""
    dim, n = axis - engine.ndim, engine.grid.shape[axis]
    if engine.grid.periodic[axis]:
        return k * torch.diff(wrapped(x, dim, 1), dim=dim) / engine.face_distance(axis)
    extended = joined([own(wall).trace(axis, 0), x, own(wall).trace(axis, 1)], dim)
    flux = k * torch.diff(extended, dim=dim) / engine.face_distance(axis)
    ends = [(slope_flux if isinstance(b, Neumann) else flux).narrow(dim, s * n, 1) for s, b in enumerate(engine.boundaries[axis])]
    return joined([ends[0], flux.narrow(dim, 1, n - 1), ends[1]], dim)


def _closed_walls(engine: FiniteVolume, axis: int) -> bool:
    """Whether no flux is prescribed that depends on the unknown: Newton's method leaves the k of k(u) u_x on a Neumann wall as it was."""
    return not any(isinstance(b, Neumann) and (callable(b.value) or b.value != 0) for b in engine.boundaries[axis])


def _close(v: Tensor, last: Tensor, tolerance: float) -> bool:
    return bool((v - last).detach().abs().amax() <= tolerance * v.detach().abs().amax())
