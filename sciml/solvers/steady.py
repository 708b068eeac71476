r"""Steady diffusion :math:`-\nabla\cdot(a\nabla u) = f` solved by preconditioned conjugate gradients: a batch at a time, differentiable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sciml.core.errors import InputError, UnsupportedError
from sciml.core.grid import Grid
from sciml.core.steady import SteadyDiffusion, SteadyEquation
from sciml.derivatives.finite_volume import FiniteVolume
from sciml.derivatives.fourier import Fourier
from sciml.derivatives.ghosts import Pair
from sciml.solvers.cell_operator import CellOperator
from sciml.solvers.conjugate_gradients import ITERATIONS, Convergence, attach, conjugate_gradients
from sciml.solvers.diffusion_operator import DiffusionOperator, is_smooth, sampled_coefficient
from sciml.solvers.mode_operator import ModeOperator

STEADY = ("finite_volume_cg", "spectral_cg")
"""Names of the solvers."""
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
"""Relative residual asked for by default."""
BALANCE = {torch.float64: 1e-6, torch.float32: 1e-4}
"""Largest mean of a source, relative to its root mean square, that counts as zero where no solution exists otherwise."""


def solve_steady(
    equation: SteadyEquation,
    grid: Grid,
    boundaries: Sequence[Pair] | None = None,
    *,
    method: str = "finite_volume_cg",
    tolerance: float | None = None,
    iterations: int = ITERATIONS,
    report: Callable[[float], None] | None = None,
) -> tuple[Tensor, Convergence]:
    """The solution ``(*batch, 1, *space)`` of a steady equation whose given fields have values, and how the iteration ended.

    Where nothing holds the mean (every face periodic or Neumann) the solution has mean zero, and the source must balance what
    flows through the walls. Gradients with respect to given fields, coefficients and wall values cost one more solve.

    Parameters
    ----------
    equation : a :class:`SteadyDiffusion`; ``equation.with_inputs(...)`` gives the fields of a whole batch.
    grid, boundaries : where; boundaries as in ``Domain.boundaries``, None for periodic grids.
    method : "finite_volume_cg" (two-point fluxes, second order, conservative; any walls) or "spectral_cg" (derivatives in
        Fourier, sine and cosine series; walls with one common value or zero slope).
    tolerance : relative residual; 1e-10 in float64 and 1e-5 in float32 by default. The iteration's own residual is meant; rounding
        of A x, which grows with the square of the points per axis, may leave a larger true one, which is what is returned.
    iterations : most of them.
    report : called with the fraction done.

    Raises :class:`InputError` for a coefficient that is not positive or a source that nothing can balance,
    :class:`UnsupportedError` for what the method cannot do, :class:`BlowUpError` if the iteration does not converge.
    """
    engine, reading = engine_of_steady(equation, grid, boundaries, method)
    assert isinstance(equation, SteadyDiffusion)
    limit = TOLERANCE[grid.dtype] if tolerance is None else tolerance
    if not 0 < limit < 1:
        raise InputError(f"solve_steady: tolerance={tolerance} given; a relative residual between 0 and 1 is needed.")
    a = equation.diffusivity(reading)
    f = equation.source(reading)
    source = torch.zeros((), dtype=grid.dtype, device=grid.device) if f is None else sampled_coefficient(f, reading)
    series = method == "spectral_cg"
    operator: DiffusionOperator = ModeOperator(grid, engine.boundaries, sampled_coefficient(a, reading)) if series else CellOperator(engine, a)
    shape = torch.broadcast_shapes(source.shape, operator.coefficient.shape, (1, *grid.shape))
    b = operator.right_hand_side(source)
    b = b.expand(torch.broadcast_shapes(shape, b.shape))
    if not bool(torch.isfinite(b).all()):
        raise InputError(f"{type(equation).__name__}: the source, or a wall value, is not finite; give numbers everywhere.")
    if operator.singular:
        _check_balance(b, grid, type(equation).__name__, 0.0 if series else 0.25 * max(1 / n**2 for n in grid.shape))
        b = operator.centred(b)
    axes = grid.ndim + 1

    def inverse(r: Tensor, tell: Callable[[float], None] | None = None) -> tuple[Tensor, Convergence]:
        with torch.no_grad():
            return conjugate_gradients(operator.apply, r, operator.precondition, axes=axes, tolerance=limit, limit=iterations, report=tell)

    x, convergence = inverse(b.detach(), report)
    if torch.is_grad_enabled() and (b.requires_grad or operator.coefficient.requires_grad):
        x = attach(x, b - operator.apply(x), lambda g: operator.centred(inverse(operator.centred(g))[0]))
    return operator.finished(x), convergence


def engine_of_steady(equation: SteadyEquation, grid: Grid, boundaries: Sequence[Pair] | None, method: str) -> tuple[FiniteVolume, Any]:
    """The cells with their walls, and the engine on which the equation's fields are evaluated; raise unless the method applies."""
    if method not in STEADY:
        raise InputError(f"Unknown method {method!r} for a steady equation; known: {', '.join(STEADY)}.")
    if not isinstance(equation, SteadyDiffusion):
        raise UnsupportedError(
            f"{type(equation).__name__} declares an operator of its own; the classical solvers need a SteadyDiffusion (diffusivity and source). "
            "Write it as one if it is, or train a network on its residual."
        )
    if len(equation.fields) != 1:
        raise UnsupportedError(f"{type(equation).__name__} has the unknowns {equation.fields}; the steady solvers take one unknown.")
    if equation.ndim != grid.ndim:
        raise InputError(f"{type(equation).__name__} is written for {equation.ndim} space axes but the grid has {grid.ndim}; give both the same.")
    cells = FiniteVolume(grid, boundaries, face_mean="harmonic")
    return cells, Fourier(grid) if method == "spectral_cg" and all(grid.periodic) else cells


def choose_steady(equation: SteadyEquation, grid: Grid, boundaries: Sequence[Pair]) -> tuple[str, str]:
    """The name of the solver, and why."""
    if not all(grid.periodic):
        return "finite_volume_cg", "bounded domain: two-point fluxes balance cell by cell and take any walls"
    engine, _ = engine_of_steady(equation, grid, boundaries, "finite_volume_cg")
    assert isinstance(equation, SteadyDiffusion)
    a = sampled_coefficient(equation.diffusivity(engine), engine)
    if bool((a > 0).all()) and bool(is_smooth(a, grid).all()):
        return "spectral_cg", "periodic domain and a smooth coefficient: spectral in space"
    return "finite_volume_cg", "the coefficient jumps between neighbouring points: the harmonic mean keeps the flux right"


def _check_balance(b: Tensor, grid: Grid, name: str, order: float) -> None:
    """Raise unless the mean of ``b`` is rounding, or within ``order``: what sums over cells leave of integrals that do balance."""
    space = tuple(range(-grid.ndim, 0))
    unit = b.detach().abs().amax(space, keepdim=True)
    b = b.detach() / torch.where(unit > 0, unit, torch.ones_like(unit))
    mean = b.mean(space).abs()
    size = b.square().mean(space).sqrt()
    if bool((mean > max(BALANCE[grid.dtype], order) * size).any()):
        worst = float((mean / size.clamp_min(torch.finfo(grid.dtype).tiny)).max())
        raise InputError(
            f"{name}: no wall holds a value here, so the source and the flow through the walls must balance, but the mean of both together is "
            f"{worst:.2g} of their root mean square. Subtract that mean from the source, or prescribe a value on a wall."
        )
