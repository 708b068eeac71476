"""A thin bridge to ``scipy.integrate.solve_ivp``: references that share no time-stepping code with this package."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from sciml.core.checks import check_state
from sciml.core.derivatives import Derivatives
from sciml.core.equation import Equation
from sciml.core.errors import BlowUpError
from sciml.core.grid import Grid
from sciml.derivatives.fourier import Fourier
from sciml.derivatives.stencil import Stencil


def scipy_solve(
    equation: Equation,
    grid: Grid,
    u: Tensor,
    times: Sequence[float],
    *,
    method: str = "LSODA",
    rtol: float = 1e-9,
    atol: float = 1e-11,
    engine: Derivatives | None = None,
) -> Tensor:
    """States at ``times`` by SciPy, shape ``(time, *batch, channel, *space)``; on the CPU, without gradients.

    Parameters
    ----------
    equation, grid, engine : as for :class:`sciml.RK4`; de-aliasing is off unless the engine has it.
    u : state at ``times[0]``.
    method, rtol, atol : of ``solve_ivp``.
    """
    check_state(u, grid, len(equation.fields), who="scipy_solve")
    spectral = all(grid.periodic) and not equation.lattice
    d: Derivatives = engine if engine is not None else Fourier(grid) if spectral else Stencil(grid)

    def slope(t: float, y: object) -> object:
        with torch.no_grad():
            state = torch.as_tensor(y, dtype=grid.dtype, device=grid.device).view(u.shape)
            return equation.rhs(state, d.at(t)).cpu().numpy().ravel()

    result = solve_ivp(
        slope, (times[0], times[-1]), u.detach().cpu().numpy().ravel(), method=method, t_eval=list(times), rtol=rtol, atol=atol
    )
    if not result.success:
        reached = result.t[-1] if len(result.t) else times[0]
        raise BlowUpError(f"scipy {method}: {result.message} (t={reached:.6g}); try another method or looser tolerances.")
    return torch.as_tensor(result.y.T.copy(), dtype=grid.dtype, device=grid.device).view(len(times), *u.shape)
