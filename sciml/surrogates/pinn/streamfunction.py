"""Equations that invert the Laplacian of their unknown: the network gives the potential, and the unknown follows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sciml.core.equation import ResidualForm
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.grid import Grid
from sciml.derivatives.functional import Functional
from sciml.surrogates.pinn.states import BandLimited


def shift_of(equation: ResidualForm, ndim: int, *, who: str) -> float | None:
    r"""s if the equation inverts :math:`\Delta - s` on its unknown; None if it inverts nothing.

    Raises UnsupportedError for several unknowns, several shifts, and for an inverse of anything but the unknown.
    """
    asked: list[tuple[Any, Any]] = []

    def note(u: Any, shift: Any) -> Any:
        asked.append((u, shift))
        return u

    d = Functional(ndim, inverse_laplacian=note)
    u = d.unknown(lambda z: z[:1].expand(len(equation.fields)), len(equation.fields))
    equation.residual(u, d)
    if not asked:
        return None
    shifts = {float(shift) for _, shift in asked}
    if len(equation.fields) > 1 or len(shifts) > 1 or any(field is not u for field, _ in asked):
        raise UnsupportedError(
            f"{who}: {type(equation).__name__} inverts the Laplacian of more than its one unknown, or with several shifts, which a single potential "
            "cannot give; write the equation for the potentials themselves."
        )
    return shifts.pop()


def potential_state(w: Tensor, grid: Grid, shift: float, *, who: str) -> nn.Module:
    r""":math:`\psi_0` with :math:`\Delta\psi_0 - s\,\psi_0 = w_0`, from samples of :math:`w_0`, ``(1, *grid.shape)``, on a periodic grid."""
    return BandLimited(w, grid, inverse_symbol(w, grid, shift, who=who))


def inverse_symbol(w: Tensor, grid: Grid, shift: float, *, who: str) -> Tensor:
    r""":math:`1/(-|k|^2-s)` on the half spectrum, 0 where that is infinite.

    Raises UnsupportedError on bounded axes, and InputError for a state ``w`` whose mean has no periodic potential.
    """
    if grid.ndim == 0 or not all(grid.periodic):
        raise UnsupportedError(
            f"{who}: the equation inverts the Laplacian of its unknown, and what its potential does on bounded axes is not known; "
            "use a periodic domain, or write the equation for the potential."
        )
    mean, size = float(w.mean()), float(w.abs().max())
    if shift == 0 and abs(mean) > 1e-10 * size:
        raise InputError(f"{who}: the initial state has the mean {mean:.3g}; a periodic potential has a Laplacian of mean zero only.")
    symbol = -sum((k**2 for k in grid.wavenumbers()), start=torch.zeros((), dtype=grid.dtype, device=grid.device)) - shift
    return torch.where(symbol == 0, torch.zeros_like(symbol), 1 / symbol)
