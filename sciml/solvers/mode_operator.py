r"""Spectral collocation for :math:`-\nabla\cdot(a\nabla u) = f`: derivatives in the basis of the walls, products at the points."""

from __future__ import annotations

import torch
from torch import Tensor

from sciml.core.domain import Dirichlet, Neumann, check_imposed
from sciml.core.errors import UnsupportedError
from sciml.core.field import align
from sciml.core.grid import Grid
from sciml.derivatives.ghosts import Pair
from sciml.solvers.diffusion_operator import DiffusionOperator


class ModeOperator(DiffusionOperator):
    r""":math:`A = \sum_i D_i^T\,a\,D_i + k_{N_i}^2\,P_i\,a\,P_i` with :math:`D_i` the spectral derivative along axis i.

    The transpose of :math:`D_i` is minus the derivative of a flux, so A is symmetric whatever the products alias to.
    :math:`P_i` projects on the Nyquist mode of the axis, which :math:`D_i` loses: without it that mode would be undetermined, and
    with it a constant a gives the exact symbol :math:`a|k|^2`.

    Exponentially accurate on periodic boxes with smooth data. Between walls the basis continues u oddly (Dirichlet) or evenly
    (Neumann) and a evenly; where that continuation is not smooth, convergence is algebraic.

    Parameters
    ----------
    grid, boundaries : where; prescribed slopes must be 0 and all prescribed values equal.
    a : the coefficient, broadcast over ``(*batch, 1, *space)``.
    """

    def __init__(self, grid: Grid, boundaries: tuple[Pair, ...], a: Tensor) -> None:
        super().__init__(grid, boundaries, a)
        self.level = common_value(grid, boundaries)
        self._nyquist = []
        for axis in range(grid.ndim):
            found = self.modes.lost(axis)
            if found is not None:
                dim = axis - grid.ndim
                mean = self.coefficient.mean(dim, keepdim=True) if self.coefficient.ndim >= grid.ndim else self.coefficient
                self._nyquist.append((dim, found[0], found[1] ** 2 * mean))

    def apply(self, u: Tensor) -> Tensor:
        c = self.modes.forward(u)
        total = torch.zeros((), dtype=u.dtype, device=u.device)
        for axis in range(self.grid.ndim):
            total = total + self.modes.adjoint(self.coefficient * self.modes.derivative(c, axis), axis)
        result = self.modes.inverse(total)
        for dim, wave, factor in self._nyquist:  # P a P along one axis: the wave's square is 1/N everywhere, so a enters by its mean
            result = result + factor * wave * (wave * u).sum(dim, keepdim=True)
        return result

    def right_hand_side(self, f: Tensor) -> Tensor:
        return f

    def finished(self, u: Tensor) -> Tensor:
        return self.level + self.centred(u)

    def _eigenvalues(self) -> Tensor:
        return self.modes.squared_wavenumbers()


def common_value(grid: Grid, boundaries: tuple[Pair, ...]) -> Tensor:
    """The one value prescribed on all Dirichlet walls (0 without any); raise where the bases cannot meet the conditions."""
    check_imposed(boundaries, who="spectral_cg")
    values = []
    for axis, pair in enumerate(boundaries):
        for side, face in enumerate(pair):
            if isinstance(face, Dirichlet | Neumann):
                value = align(torch.as_tensor(face.at(0.0), dtype=grid.dtype, device=grid.device), grid.ndim + 1)
                if isinstance(face, Neumann) and bool((value != 0).any()):
                    raise UnsupportedError(
                        f"spectral_cg: the {'upper' if side else 'lower'} wall of axis {axis} prescribes a slope other than 0; use finite_volume_cg."
                    )
                values += [value] if isinstance(face, Dirichlet) else []
    if any(v.shape != values[0].shape or not bool((v == values[0]).all()) for v in values):
        raise UnsupportedError("spectral_cg: the walls prescribe different values, but sine series need one value on all; use finite_volume_cg.")
    return values[0] if values else torch.zeros((), dtype=grid.dtype, device=grid.device)
