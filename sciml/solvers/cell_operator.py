r"""Two-point fluxes for :math:`-\nabla\cdot(a\nabla u) = f` on cells: what leaves one cell enters the next."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sciml.core.domain import Neumann
from sciml.derivatives.finite_volume import FiniteVolume
from sciml.derivatives.ghosts import joined
from sciml.solvers.diffusion_operator import DiffusionOperator, sampled_coefficient


class CellOperator(DiffusionOperator):
    r"""Finite volumes on cell values.

    .. math:: (Au)_j = -\sum_i \frac{F_{j+1/2} - F_{j-1/2}}{h_i},\qquad F_{j+1/2} = a_{j+1/2}\frac{u_{j+1}-u_j}{h_i}

    The face coefficient is the harmonic mean of the two cells: the two half cells are resistances in series, so in one dimension
    the flux is exact where a jumps at the face; the arithmetic mean would overestimate it by the contrast. On a Dirichlet wall the
    distance is h/2; through a Neumann wall the flux is the prescribed slope times the wall's a.

    Parameters
    ----------
    engine : cells and boundary conditions, with ``face_mean="harmonic"``.
    a : the coefficient: a field of the engine, a number or a tensor per sample.
    """

    def __init__(self, engine: FiniteVolume, a: Any) -> None:
        super().__init__(engine.grid, engine.boundaries, sampled_coefficient(a, engine))
        self.engine = engine
        self._links = [engine.face_coefficient(a, axis) / (engine.face_distance(axis) * engine.grid.spacing[axis]) for axis in range(engine.ndim)]

    def apply(self, u: Tensor) -> Tensor:
        total = torch.zeros((), dtype=u.dtype, device=u.device)
        for axis, link in enumerate(self._links):
            dim, n = axis - self.grid.ndim, self.grid.shape[axis]
            inner = link.narrow(dim, 1, n - 1) * torch.diff(u, dim=dim)
            if self.grid.periodic[axis]:
                low = high = link.narrow(dim, 0, 1) * (u.narrow(dim, 0, 1) - u.narrow(dim, n - 1, 1))
            else:
                low, high = (self._through_wall(u, axis, side) for side in (0, 1))
            total = total - torch.diff(joined([low, inner, high], dim), dim=dim)
        return total

    def right_hand_side(self, f: Tensor) -> Tensor:
        for axis, link in enumerate(self._links):
            if self.grid.periodic[axis]:
                continue
            dim, n = axis - self.grid.ndim, self.grid.shape[axis]
            index = torch.arange(n, device=f.device).view((-1,) + (1,) * (self.grid.ndim - 1 - axis))
            for side in (0, 1):
                amount = link.narrow(dim, side * n, 1) * self.engine.prescribed(axis, side)
                if isinstance(self.boundaries[axis][side], Neumann):  # a link holds a over the distance h/2 and the width h
                    amount = amount * (self.grid.spacing[axis] / 2 * (1 if side else -1))
                f = f + torch.where(index == side * (n - 1), amount, torch.zeros_like(amount))
        return f

    def _eigenvalues(self) -> Tensor:
        return self.modes.difference_eigenvalues()

    def _through_wall(self, u: Tensor, axis: int, side: int) -> Tensor:
        """The flux through a wall at 0, in the direction of the axis."""
        dim, n = axis - self.grid.ndim, self.grid.shape[axis]
        beside = u.narrow(dim, side * (n - 1), 1)
        if isinstance(self.boundaries[axis][side], Neumann):
            return torch.zeros_like(beside)
        return self._links[axis].narrow(dim, side * n, 1) * beside * (-1 if side else 1)
