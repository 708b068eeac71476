r"""Implicit steps of nonlinear, possibly degenerate diffusion, :math:`u_t = \nabla\cdot(k(u)\nabla u)`.

One axis at a time (locally one-dimensional splitting; Yanenko, The Method of Fractional Steps (1971), chapter 2), each
axis by backward Euler,

.. math:: v_j = u_j + \frac{\Delta t}{h}\,(F_{j+1/2} - F_{j-1/2}),\qquad F_{j+1/2} = k_{j+1/2}(v)\,\frac{v_{j+1} - v_j}{h},

solved by Picard iteration: the coefficient is taken from the last iterate and a tridiagonal system with non-negative
inverse gives the next. Every iterate keeps sign and bounds; the result is written in the flux form above, so that mass is
conserved to rounding wherever the iteration stops.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sciml.core.conservation import ConservationLaw
from sciml.core.domain import Dirichlet
from sciml.derivatives.finite_volume import FiniteVolume
from sciml.solvers.tridiagonal import solve_tridiagonal

ITERATIONS = 200


def backward_euler(law: ConservationLaw, engine: FiniteVolume, u: Tensor, dt: float, axis: int) -> Tensor:
    """The state after one step ``dt`` of diffusion along ``axis``; ``engine`` carries the time at the end of the step."""
    tolerance = torch.finfo(u.dtype).eps ** (2 / 3)
    guess = u
    for _ in range(ITERATIONS):
        field = engine.field(guess)
        coefficient = law.diffusivity(field)
        k = engine.face_coefficient(coefficient, axis)
        solved = _frozen_step(engine, k, u, dt, axis)
        change = (solved - guess).detach().abs().amax()
        guess = solved
        if bool(change <= tolerance * solved.detach().abs().amax()):
            break
    flux = k * engine.face_gradient(engine.field(guess), axis)
    return u + dt * engine.face_difference(flux, axis)


def _frozen_step(engine: FiniteVolume, k: Tensor, u: Tensor, dt: float, axis: int) -> Tensor:
    """The solution of ``v = u + dt (k v_x)_x`` for a coefficient k given on the faces."""
    dim, h, n = axis - engine.ndim, engine.grid.spacing[axis], u.shape[axis - engine.ndim]
    coupling = (k * dt / (h * engine.face_distance(axis))).expand(torch.broadcast_shapes(k.shape, (*u.shape[:dim], n + 1, *u.shape[dim:][1:])))
    inside = torch.ones(n + 1, dtype=u.dtype, device=u.device)
    excess, rhs = torch.ones_like(u), u
    if not engine.grid.periodic[axis]:
        inside[0] = inside[-1] = 0
        for side, cell in ((0, 0), (1, n - 1)):
            at_wall = torch.zeros(n, dtype=u.dtype, device=u.device)
            at_wall[cell] = 1
            at_wall = at_wall.view((-1,) + (1,) * (-1 - dim))
            conductance, value = coupling.narrow(dim, side * n, 1), engine.prescribed(axis, side)
            if isinstance(engine.boundaries[axis][side], Dirichlet):
                excess = excess + at_wall * conductance
            else:  # the slope at the wall is known: value * distance is the difference across the face
                value = value * (h / 2 if side else -h / 2)
            rhs = rhs + at_wall * conductance * value
    coupling = (coupling * inside.view((-1,) + (1,) * (-1 - dim))).movedim(dim, -1)
    solved = solve_tridiagonal(coupling[..., :-1], coupling[..., 1:], excess.movedim(dim, -1), rhs.movedim(dim, -1))
    return solved.movedim(-1, dim)
