"""The finite-volume engine: divergences as differences of face fluxes, so that what leaves one cell enters the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sciml.core.derivatives import as_vector
from sciml.core.domain import Dirichlet, Neumann
from sciml.core.errors import InputError
from sciml.core.field import Field, ValueField, align
from sciml.core.grid import Grid
from sciml.derivatives.ghosts import Pair, joined, nearest, wrapped
from sciml.derivatives.reconstruction import SCHEMES, face_states
from sciml.derivatives.stencil import CellField, Stencil, own

FACE_MEANS = ("arithmetic", "harmonic")


class FiniteVolume(Stencil):
    r"""Face fluxes :math:`\nabla\cdot F \approx \sum_i (F_{j+1/2} - F_{j-1/2})/h_i`; other derivatives are central differences.

    Advection: local Lax-Friedrichs (Rusanov) fluxes of one-sided states, dimension by dimension,

    .. math:: F = \tfrac12 (f(u^-) + f(u^+)) - \tfrac12 \max(|f'(u^-)|, |f'(u^+)|)\,(u^+ - u^-)

    [LeVeque, Finite Volume Methods for Hyperbolic Problems (2002), eq. (12.12)]. The space error is that of the reconstruction
    for linear fluxes and second order for nonlinear ones, whose cell averages and point values differ by O(h^2).

    Diffusion: :math:`F = -k_{j+1/2}(u_{j+1} - u_j)/h`, second order. On a Dirichlet wall the coefficient is that of the
    prescribed value and the distance is h/2.

    Parameters
    ----------
    grid, boundaries : as for :class:`Stencil`.
    reconstruction : "weno5", "van_leer", "minmod", "superbee" or "first_order".
    face_mean : of the coefficient, "arithmetic" or "harmonic". The harmonic mean vanishes where either side does, so
        a front of a degenerate diffusion cannot enter an empty cell: use it for layered materials only.
    """

    def __init__(
        self, grid: Grid, boundaries: Sequence[Pair] | None = None, reconstruction: str = "weno5", face_mean: str = "arithmetic"
    ) -> None:
        super().__init__(grid, boundaries, order=2)
        if reconstruction not in SCHEMES:
            raise InputError(f"FiniteVolume: reconstruction={reconstruction!r} is unknown; choose one of {', '.join(SCHEMES)}.")
        if face_mean not in FACE_MEANS:
            raise InputError(f"FiniteVolume: face_mean={face_mean!r} is unknown; choose one of {', '.join(FACE_MEANS)}.")
        self.reconstruction = reconstruction
        self.face_mean = face_mean

    def flux_divergence(self, flux: Callable[[Field], Any], u: Field, velocity: Callable[[Field], Any]) -> Field:
        total = None
        for axis in range(self.ndim):
            left, right = self.face_states(u, axis)
            minus, plus = ValueField(self, left), ValueField(self, right)
            speed = torch.maximum(self.component(velocity(minus), axis).abs(), self.component(velocity(plus), axis).abs())
            mean = (self.component(flux(minus), axis) + self.component(flux(plus), axis)) / 2
            part = self.face_difference(mean - speed * (right - left) / 2, axis)
            total = part if total is None else total + part
        assert total is not None
        return CellField(self, total)

    def diffuse(self, coefficient: Any, u: Field) -> Field:
        total = None
        for axis in range(self.ndim):
            part = self.face_difference(self.face_coefficient(coefficient, axis) * self.face_gradient(u, axis), axis)
            total = part if total is None else total + part
        assert total is not None
        return CellField(self, total)

    def face_states(self, u: Field, axis: int) -> tuple[Tensor, Tensor]:
        """The one-sided values at the N + 1 faces of ``axis``; on a Dirichlet wall the outer one is the prescribed value."""
        dim, width = axis - self.ndim, 1 + SCHEMES[self.reconstruction][0]
        value = self.values(u)
        if value.shape[dim] < width:
            raise InputError(f"FiniteVolume: axis {axis} has {value.shape[dim]} cells; {self.reconstruction} needs at least {width}.")
        if self.grid.periodic[axis]:
            return face_states(wrapped(value, dim, width), dim, self.reconstruction)
        low, high = (self._mirrored(own(u), value, axis, side, width) for side in (0, 1))
        left, right = face_states(joined([low, value, high], dim), dim, self.reconstruction)
        n = value.shape[dim]
        if isinstance(self.boundaries[axis][0], Dirichlet):
            left = joined([own(u).trace(axis, 0), left.narrow(dim, 1, n)], dim)
        if isinstance(self.boundaries[axis][1], Dirichlet):
            right = joined([right.narrow(dim, 0, n), own(u).trace(axis, 1)], dim)
        return left, right

    def face_coefficient(self, coefficient: Any, axis: int) -> Tensor:
        """k at the N + 1 faces of ``axis``: the mean of the cells inside, the wall value on a wall; broadcasts if k is not a field."""
        if not isinstance(coefficient, Field):
            return align(torch.as_tensor(coefficient, dtype=self.grid.dtype, device=self.grid.device), self.trailing)
        k, dim = self.with_walls(coefficient, axis), axis - self.ndim
        a, b = k.narrow(dim, 0, k.shape[dim] - 1), k.narrow(dim, 1, k.shape[dim] - 1)
        mean = _divided(2 * a * b, a + b) if self.face_mean == "harmonic" else (a + b) / 2
        if self.grid.periodic[axis]:
            return mean
        n = mean.shape[dim] - 1
        return joined([k.narrow(dim, 0, 1), mean.narrow(dim, 1, n - 1), k.narrow(dim, n + 1, 1)], dim)

    def secant_coefficient(self, potential: Field, coefficient: Field, u: Field, axis: int) -> Tensor:
        r""":math:`\Delta\Phi/\Delta u` at the N + 1 faces, the exact mean of :math:`k = \Phi'` between the two values.

        Where they agree to half the digits the arithmetic mean is as accurate and free of cancellation. On a Neumann wall, which
        prescribes the slope there and no difference, it is k of the wall value.
        """
        value, phi, k = (self.with_walls(f, axis) for f in (u, potential, coefficient))
        dim = axis - self.ndim
        step, size = torch.diff(value, dim=dim), value.abs()
        faces = step.shape[dim]
        near = step.abs() <= torch.finfo(step.dtype).eps ** 0.5 * (size.narrow(dim, 0, faces) + size.narrow(dim, 1, faces))
        mean = (k.narrow(dim, 0, faces) + k.narrow(dim, 1, faces)) / 2
        secant = torch.where(near, mean, torch.diff(phi, dim=dim) / torch.where(near, torch.ones_like(step), step))
        if self.grid.periodic[axis]:
            return secant
        ends = [
            k.narrow(dim, side * faces, 1) if isinstance(b, Neumann) else secant.narrow(dim, side * (faces - 1), 1)
            for side, b in enumerate(self.boundaries[axis])
        ]
        return joined([ends[0], secant.narrow(dim, 1, faces - 2), ends[1]], dim)

    def face_gradient(self, u: Field, axis: int) -> Tensor:
        """The derivative along ``axis`` at its N + 1 faces."""
        return torch.diff(self.with_walls(u, axis), dim=axis - self.ndim) / self.face_distance(axis)

    def face_distance(self, axis: int) -> Tensor:
        """The distance between the two values that a face separates: h inside, h/2 on a wall; shaped to broadcast."""
        distance = torch.full((self.grid.shape[axis] + 1,), self.grid.spacing[axis], dtype=self.grid.dtype, device=self.grid.device)
        if not self.grid.periodic[axis]:
            distance[0] /= 2
            distance[-1] /= 2
        return distance.view((-1,) + (1,) * (self.ndim - 1 - axis))

    def face_difference(self, flux: Tensor, axis: int) -> Tensor:
        """The outflow of every cell through its two faces along ``axis``, per volume."""
        return torch.diff(flux, dim=axis - self.ndim) / self.grid.spacing[axis]

    def component(self, vector: Any, axis: int) -> Tensor:
        """The entry for ``axis`` of a flux or velocity as an array."""
        item = as_vector(vector)[axis]
        return item.value if isinstance(item, ValueField) else align(torch.as_tensor(item, dtype=self.grid.dtype), self.trailing)

    def with_walls(self, u: Field, axis: int) -> Tensor:
        """Cell values with one more at both ends of ``axis``: the wall value, or the cell at the other end."""
        value, dim = self.values(u), axis - self.ndim
        if self.grid.periodic[axis]:
            return wrapped(value, dim, 1)
        return joined([own(u).trace(axis, 0), value, own(u).trace(axis, 1)], dim)

    def _mirrored(self, u: CellField, value: Tensor, axis: int, side: int, width: int) -> Tensor:
        """Ghost cells by reflection: odd about a Dirichlet value, even apart from the slope for Neumann."""
        dim = axis - self.ndim
        inside = nearest(value, dim, side, width)
        if isinstance(self.boundaries[axis][side], Neumann):
            h = self.grid.spacing[axis] * (-1 if side == 0 else 1)
            steps = torch.arange(1, 2 * width, 2, dtype=value.dtype, device=value.device)
            ghosts = inside + self.prescribed(axis, side) * h * steps.view((-1,) + (1,) * (self.ndim - 1 - axis))
        else:
            ghosts = 2 * u.trace(axis, side) - inside
        return ghosts.flip(dim) if side == 0 else ghosts


def _divided(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b is 0; gradients stay finite."""
    zero = b == 0
    return torch.where(zero, torch.zeros_like(a), a / torch.where(zero, torch.ones_like(b), b))
