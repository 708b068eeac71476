"""Ritz's method for elastic bodies: polynomials of the place, the energy's own equations of motion, and symplectic steps."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sciml.core.checks import check_state, check_step
from sciml.core.domain import Boundary, Dirichlet, Periodic
from sciml.core.elastic import ElasticBody, Energy, check_body
from sciml.core.errors import BlowUpError, UnsupportedError
from sciml.core.grid import Grid
from sciml.core.problem import Problem
from sciml.core.propagator import Stepper

Y = 1 / (2 - 2 ** (1 / 3))
SUBSTEPS = (Y, 1 - 2 * Y, Y)
"""Parts of a step, of which each is one of the implicit midpoint rule: order 4 [H. Yoshida, Phys. Lett. A 150 (1990) 262]."""
ITERATIONS = 30
"""Newton's, per part of a step."""
ACCURATE = 1e-13
"""Change of the velocity, relative to the largest so far, at which they end."""
ROUNDED = 1e-7
"""The same, below which changes that grow no smaller are rounding: strains are differences from 1, and the stiffness multiplies their last digit."""


class Line(NamedTuple):
    """The basis of one axis, orthonormal in the mean.

    Attributes
    ----------
    lower, length : of the axis.
    faces : of it.
    combine : functions from raw ones, ``(n, n)``.
    """

    lower: float
    length: float
    faces: tuple[Boundary, Boundary]
    combine: Tensor

    @classmethod
    def of(cls, lower: float, length: float, faces: tuple[Boundary, Boundary], count: int) -> Line:
        """The first ``count`` functions."""
        raw = cls(lower, length, faces, torch.eye(count, dtype=torch.float64))
        nodes, weights = raw.rule(2 * count + 2)
        values, _ = raw.at(lower + length * nodes)
        return raw._replace(combine=torch.linalg.inv(torch.linalg.cholesky((values.T * weights) @ values)).T)

    def rule(self, count: int) -> tuple[Tensor, Tensor]:
        """Points in [0, 1] for integrals, and their parts in a mean: those of Gauss, evenly spaced ones along a periodic axis."""
        if isinstance(self.faces[0], Periodic):
            return torch.arange(count, dtype=torch.float64) / count, torch.full((count,), 1 / count, dtype=torch.float64)
        nodes, weights = np.polynomial.legendre.leggauss(count)
        return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)

    def at(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """All functions and their slopes at coordinates ``(m,)``, each ``(m, n)``."""
        xi, count = 2 * (x.double() - self.lower) / self.length - 1, len(self.combine)
        if isinstance(self.faces[0], Periodic):
            order = torch.arange(count)
            angle = math.pi * xi.unsqueeze(1) * ((order + 1) // 2)
            cosine = order % 2 == 0
            value = torch.where(cosine, angle.cos(), angle.sin())
            slope = math.pi * ((order + 1) // 2) * torch.where(cosine, -angle.sin(), angle.cos())
        else:
            clamped = [isinstance(face, Dirichlet) for face in self.faces]
            factor = np.polynomial.Polynomial([1.0])
            for side, fixed in zip((1.0, -1.0), clamped, strict=True):
                factor = factor * np.polynomial.Polynomial([1.0, side] if fixed else [1.0])
            p = torch.from_numpy(np.polynomial.legendre.legvander(xi.numpy(), count - 1))
            differentiated = np.polynomial.legendre.legder(np.eye(count), axis=0) if count > 1 else np.zeros((1, 1))
            dp = torch.from_numpy(np.polynomial.legendre.legvander(xi.numpy(), len(differentiated) - 1) @ differentiated)
            b, db = (torch.from_numpy(np.asarray(f(xi.numpy()))).unsqueeze(1) for f in (factor, factor.deriv()))
            value, slope = b * p, db * p + b * dp
        return value @ self.combine, slope @ self.combine * (2 / self.length)


class Basis:
    """Products of the functions of the axes, orthonormal in the mean over the body, that vanish on clamped faces.

    Parameters
    ----------
    problem : of an elastic body.
    counts : functions per axis.
    """

    def __init__(self, problem: Problem, counts: tuple[int, ...]) -> None:
        domain = problem.domain
        self.lines = [Line.of(*axis) for axis in zip(domain.lower, domain.lengths, domain.boundaries, counts, strict=True)]
        self.size = math.prod(counts)

    def at(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values ``(n, size)`` and gradients ``(2, n, size)`` at points ``(n, 2)``."""
        (a, da), (b, db) = (line.at(c) for line, c in zip(self.lines, x.unbind(1), strict=True))

        def product(p: Tensor, q: Tensor) -> Tensor:
            return (p.unsqueeze(2) * q.unsqueeze(1)).flatten(1)

        return product(a, b), torch.stack([product(da, b), product(a, db)])

    def quadrature(self) -> tuple[Tensor, Tensor]:
        """Points ``(n, 2)``, two per function and axis, and their parts in a mean ``(n,)``."""
        rules = [line.rule(2 * len(line.combine)) for line in self.lines]
        axes = [line.lower + line.length * nodes for line, (nodes, _) in zip(self.lines, rules, strict=True)]
        points = torch.stack([c.flatten() for c in torch.meshgrid(*axes, indexing="ij")], 1)
        return points, torch.outer(rules[0][1], rules[1][1]).flatten()


class Ritz(Stepper):
    r"""An elastic body in n functions :math:`\phi_m` of the place, :math:`d=\sum_m q_m(t)\phi_m`, that move as its energy has it:

    .. math:: \rho\,\ddot q_m = \rho\langle b\,\phi_m\rangle - \langle P(F)\,\nabla\phi_m\rangle

    The functions are products of Legendre polynomials (waves along periodic axes) times what vanishes on clamped faces; integrals are sums of
    two points per function and axis. Faces without a condition are free of traction in the limit. Steps are three of the implicit midpoint rule,
    order 4, solved by Newton's method: symplectic, so that the energy does not drift.

    Parameters
    ----------
    problem : of an :class:`~sciml.core.elastic.ElasticBody`.
    grid : on which fields are taken and returned; bounded axes with n samples have :math:`2\sqrt n` polynomials, as many as n evenly spaced samples
        determine well, periodic ones n/2 waves.
    dt : time step.

    Raises
    ------
    UnsupportedError : faces that a body cannot have.
    BlowUpError : Newton's method finds no next state.

    W. Ritz, J. reine angew. Math. 135 (1909) 1.
    """

    def __init__(self, problem: Problem, grid: Grid, dt: float) -> None:
        body = problem.equation
        if not isinstance(body, ElasticBody):
            raise UnsupportedError(f"ritz needs an elastic body (an energy of the deformation); {type(body).__name__} is none.")
        check_body(problem, type(self).__name__)
        self.body, self.grid, self.dt, self.channels = body, grid, check_step(dt, who=type(self).__name__), len(body.fields)
        self.basis = Basis(problem, tuple(_count(n, periodic) for n, periodic in zip(grid.shape, grid.periodic, strict=True)))
        x, self.parts = self.basis.quadrature()
        phi, self.slopes = self.basis.at(x)
        self.points, self.values = x, phi
        self.weight = (body.load_at(x).T * self.parts) @ phi
        """The mean of b times each function, ``(2, size)``."""
        self.density = float(body.density)
        self.lattice, _ = self.basis.at(torch.stack([c.flatten() for c in grid.points()], 1).cpu())
        self.fitted = torch.linalg.pinv(self.lattice)

    # -- states are coefficients (*batch, 4, size), in float64 on the CPU ----------------------------------------------------

    def encode(self, u: Tensor, time: float = 0.0) -> Tensor:
        check_state(u, self.grid, self.channels, who=type(self).__name__)
        return u.detach().cpu().double().flatten(-2) @ self.fitted.T

    def decode(self, state: Tensor) -> Tensor:
        return (state @ self.lattice.T).unflatten(-1, self.grid.shape).to(self.grid.device, self.grid.dtype)

    def advance(self, state: Tensor, time: float = 0.0) -> Tensor:
        flat = state.reshape(-1, 2, 2, self.basis.size)
        for part in SUBSTEPS:
            flat = torch.stack([self._midpoint(q, part * self.dt, time) for q in flat])
        return flat.reshape(state.shape)

    # -- mechanics ----------------------------------------------------------------------------------------------------

    def gradient(self, q: Tensor) -> Tensor:
        """F at the points of the quadrature, ``(n, 2, 2)``, for displacements ``(2, size)``."""
        return torch.eye(2, dtype=q.dtype) + torch.einsum("jnm,im->nij", self.slopes, q)

    def forces(self, q: Tensor) -> Tensor:
        """The right-hand side of the equations of motion divided by the density, ``(2, size)``."""
        stress = self.body.stress_of(self.gradient(q)) * self.parts[:, None, None]
        return self.weight - torch.einsum("nij,jnm->im", stress, self.slopes) / self.density

    def energy(self, state: Tensor) -> Energy:
        """The energies of one state ``(4, size)``."""
        q, v = state.unflatten(0, (2, 2))
        return self.body.energy(self.points, self.parts, self.values @ q.T, self.values @ v.T, self.gradient(q) - torch.eye(2, dtype=q.dtype))

    def _midpoint(self, state: Tensor, h: float, time: float) -> Tensor:
        """The state ``(2, 2, size)`` a step of the implicit midpoint rule later."""
        q, v = state
        middle = v.clone()  # the velocity halfway, v + h/2 f(q + h/2 middle)
        size, last = max(float(v.norm()), abs(h) * float(self.weight.norm()), 1e-300), math.inf
        for _ in range(ITERATIONS):
            place = q + h / 2 * middle
            wrong = middle - v - h / 2 * self.forces(place)
            slope = torch.eye(q.numel(), dtype=q.dtype) + h * h / (4 * self.density) * self._stiffness(place)
            change = torch.linalg.solve(slope, wrong.flatten())
            middle = middle - change.view_as(q)
            size, now = max(size, float(middle.norm())), float(change.norm())
            if now <= ACCURATE * size or (now <= ROUNDED * size and now > last / 2):
                return torch.stack([q + h * middle, 2 * middle - v])
            last = now
        raise BlowUpError(f"ritz: no next state is found at t={time:.6g} with dt={self.dt:.3g}; take a smaller step (dt={self.dt / 4:.3g}).")

    def _stiffness(self, q: Tensor) -> Tensor:
        """The derivative of the elastic forces, ``(2 size, 2 size)``."""
        tangent = torch.func.vmap(torch.func.jacfwd(self.body.stress_of))(self.gradient(q)) * self.parts[:, None, None, None, None]
        blocks = torch.zeros((2, self.basis.size, 2, self.basis.size), dtype=q.dtype)
        for i in range(2):
            for k in range(2):
                for j in range(2):
                    scaled = sum(tangent[:, i, j, k, other, None] * self.slopes[other] for other in range(2))
                    blocks[i, :, k] += self.slopes[j].T @ scaled
        return blocks.view(2 * self.basis.size, -1)


def _count(samples: int, periodic: bool) -> int:
    """Functions along an axis with so many samples."""
    return max(1, samples // 2 - (samples // 2 + 1) % 2) if periodic else max(2, min(samples, round(2 * math.sqrt(samples))))
