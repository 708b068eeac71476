r"""Correction of a predicted trajectory by the equation itself: the smallest residual in a negative Sobolev norm."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from sciml.core.checks import check_step, check_whole
from sciml.core.equation import Equation
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.symbol import linear_symbol
from sciml.core.tangent import constant, tangent_linear
from sciml.spectral.transforms import Transform, retained
from sciml.training.losses import ratio
from sciml.training.norms import check_fits
from sciml.training.residual import Residual, difference_matrix

INNER = 40
"""Most iterations of conjugate gradients in one Gauss-Newton step."""
INNER_TOLERANCE = 0.03
STALLED = 1e-3
"""Gauss-Newton ends when a step lowers the squared residual by less than this fraction of it."""
HALVINGS = 6
CHUNK = 2**22
"""Entries of the preconditioner that are gathered at once."""


class Refinement(NamedTuple):
    """A refined trajectory, and what the refinement changed. All figures are per sample, ``(*batch,)``.

    Attributes
    ----------
    u, predicted : the refined trajectory and the prediction, of one shape and layout.
    residual_before, residual_after : relative residuals of both in one and the same norm, see :func:`refine_trajectory`.
    change : relative L2 distance of the solution found from the prediction, up to the band limit.
    uncertainty : estimated relative L2 error that the differences in time leave in the solution found.
    refined : False where the prediction was kept.
    error_before, error_after : relative L2 over all instants together, where the truth was given; else None.
    iterations : Gauss-Newton steps.
    """

    u: Tensor
    predicted: Tensor
    residual_before: Tensor
    residual_after: Tensor
    change: Tensor
    uncertainty: Tensor
    refined: Tensor
    error_before: Tensor | None
    error_after: Tensor | None
    iterations: int


def refine_trajectory(
    u: Tensor,
    equation: Equation,
    grid: Grid,
    dt: float,
    *,
    substeps: int = 1,
    accuracy: int = 4,
    order: float = -1.0,
    alpha: float = 1.0,
    iterations: int = 10,
    time: float = 0.0,
    truth: Tensor | None = None,
) -> Refinement:
    r"""The trajectory near ``u`` with the smallest residual :math:`\sum_n\|(D_tu)_n-F(u_n)\|^2_{H^s}`; its first state is taken as known.

    :math:`D_t` differences the trajectory itself, as in :class:`sciml.Residual`. The unknowns are all Fourier modes of all states but the
    first, up to the band limit of an equation with a degree (the 2/3 rule for degree 2). Modes beyond it do not count, and are removed from
    what is refined, as de-aliased solvers do.
    Gauss-Newton steps are solved by conjugate gradients, preconditioned with the linear part of the equation, mode by mode over
    all instants, in float64. The result solves the equation discretised in time, so it is as good as :math:`D_t` is: the prediction is where
    the search begins. The idea of fitting in a negative norm after a short training: arXiv 2405.17211.

    The fit is made with a formula of order ``accuracy``, and again with one of two orders more, which is the result; the difference estimates the
    error that differences in time leave in it. A prediction that is not farther from the result than twice this estimate is kept, for
    it may be the better one, and so is one whose residual the result does not lower. The residuals of the record are relative ones, of
    the second formula, at all instants.

    Parameters
    ----------
    u : ``(time, *batch, channel, *space)``; the samples are refined independently. What is returned has its shape and dtype.
    equation, grid : F, and a periodic grid.
    dt : time between two states; ``time`` is that of the first.
    substeps : intervals into which each dt is divided; the states between are interpolated, refined and left out of the result.
    accuracy : of the first formula; at least accuracy + 3 states are needed, those between among them.
    order, alpha : s and :math:`\alpha` of the weights :math:`(\alpha+|k|^2)^s`. With alpha = 0 means over space are not refined.
    iterations : at most so many Gauss-Newton steps for each of the two fits.
    truth : of the shape of ``u``, for the errors in the record; the first state does not count.

    Raises :class:`InputError` for what does not fit, and for a prediction that is not finite. Good values: substeps such that the flow changes
    little from one to the next.
    """
    check_whole(1, who="refine", substeps=substeps, accuracy=accuracy, iterations=iterations)
    check_step(dt, who="refine")
    check_fits(u, grid, "refine")
    if u.ndim < grid.ndim + 2 or len(u) < 2:
        raise InputError(f"refine: a trajectory of shape {tuple(u.shape)} given; (time, *batch, channel, *space) with two states at least is needed.")
    fine = u.detach().double()
    if substeps > 1:
        degree = min(accuracy, len(u) - 1)
        fine = torch.tensordot(interpolation_matrix(len(u), substeps, degree).to(u.device), fine, dims=([1], [0]))
    return refined(fine, u.detach(), equation, grid, dt / substeps, accuracy, order, alpha, iterations, time, truth)


def refined(
    fine: Tensor,
    kept: Tensor,
    equation: Equation,
    grid: Grid,
    dt: float,
    accuracy: int,
    order: float,
    alpha: float,
    iterations: int,
    time: float,
    truth: Tensor | None,
) -> Refinement:
    """What :func:`refine_trajectory` does with a float64 trajectory at all its instants, of which ``kept`` are the ones to return."""
    grid = grid.to(fine.device, torch.float64)
    if truth is not None and truth.shape != kept.shape:
        raise InputError(f"refine: a truth of shape {tuple(truth.shape)} given for a trajectory of shape {tuple(kept.shape)}.")
    formulas = [Residual(equation, grid, dt, accuracy=p, order=order, alpha=alpha) for p in (accuracy, accuracy + 2)]
    if len(fine) < accuracy + 3:
        raise InputError(
            f"refine: {len(fine)} states for accuracy {accuracy}; at least {accuracy + 3} are needed. "
            "Give substeps, more states, or a lower accuracy."
        )
    if not bool(torch.isfinite(fine).all()):
        raise InputError("refine: the prediction is not finite, so there is nothing to refine.")
    every, dims = (len(fine) - 1) // (len(kept) - 1), (0, *range(-grid.ndim - 1, 0))
    with torch.no_grad():
        weights = Weights(grid, equation.degree, order, alpha)
        found, steps, states = [], 0, fine[1:]
        for physics in formulas:
            fit = Fit(physics, weights, fine[:1], time)
            states, taken = gauss_newton(fit.residual, Preconditioner(equation, weights, physics, len(states)), states, iterations, grid.ndim)
            found.append(weights.limited(states[every - 1 :: every]))
            steps += taken
        first, second = found
        size = torch.linalg.vector_norm(second, dim=dims)
        predicted = weights.limited(fine[every::every])
        change, uncertainty = (ratio(torch.linalg.vector_norm(second - v, dim=dims), size) for v in (predicted, first))
        before, after = (relative_residual(formulas[1], weights, v, time) for v in (fine, torch.cat([fine[:1], states])))
        better = (change > 2 * uncertainty) & (after < before)
        u = torch.cat([kept[:1], torch.where(_over(better, grid.ndim), second.to(kept.dtype), kept[1:])])
        error_before, error_after = (None if truth is None else _error(v, truth, dims) for v in (kept, u))
    return Refinement(u, kept, before, torch.where(better, after, before), change, uncertainty, better, error_before, error_after, steps)


def _error(v: Tensor, truth: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Relative L2 over all instants but the first, per sample."""
    y = truth[1:].double()
    return ratio(torch.linalg.vector_norm(v[1:].double() - y, dim=dims), torch.linalg.vector_norm(y, dim=dims))


class Weights:
    r"""The amplitude weights :math:`(\alpha+|k|^2)^{s/2}` as a map of real fields, zero beyond the band limit of products of ``degree``."""

    def __init__(self, grid: Grid, degree: int | None, order: float, alpha: float) -> None:
        if not (alpha >= 0 and math.isfinite(alpha) and math.isfinite(order)):
            raise InputError(f"refine: order={order}, alpha={alpha} given; a finite order and a finite alpha of at least 0 are needed.")
        self.transform = Transform(grid, retained(grid.shape, degree))
        squared = (self.transform.symbols().squared() + alpha).expand(self.transform.modes)
        inside = squared > 0
        values = torch.where(inside, torch.where(inside, squared, 1.0) ** (order / 2), 0.0)
        self.values = values if self.transform.mask is None else values * self.transform.mask
        self.inverse = torch.where(self.values > 0, 1.0 / torch.where(self.values > 0, self.values, 1.0), 0.0)

    def __call__(self, v: Tensor) -> Tensor:
        return self.transform.inverse(self.transform.forward(v, masked=False) * constant(self.values))

    def limited(self, v: Tensor) -> Tensor:
        """The field without the modes beyond the band limit."""
        return v if self.transform.mask is None else self.transform.inverse(self.transform.forward(v))


class Fit:
    """The weighted residual as a function of all states but the first."""

    def __init__(self, physics: Residual, weights: Weights, start: Tensor, time: float) -> None:
        self.physics, self.weights, self.start, self.time = physics, weights, start, time

    def residual(self, states: Tensor) -> Tensor:
        """``(time - 1, *batch, channel, *space)`` -> ``(time, *batch, channel, *space)``."""
        rate, slope = self.physics.parts(torch.cat([constant(self.start), states]), self.time)
        return self.weights(rate - slope)


class Preconditioner:
    r"""The map P with :math:`(D_t-\lambda_k)P` orthonormal, mode by mode: with it, a linear equation is solved in one step.

    :math:`\lambda_k` is the diagonal of the equation's symbol. P is the inverse of the triangular factor of :math:`D_t-\lambda_k`, whose
    columns are the states but the first, and of the weights.
    """

    def __init__(self, equation: Equation, weights: Weights, physics: Residual, count: int) -> None:
        self.transform, self.inverse = weights.transform, weights.inverse
        ndim, channels, device = self.transform.grid.ndim, len(equation.fields), self.inverse.device
        symbol = linear_symbol(equation, self.transform.double_symbols(channels)).to(device)
        eigenvalues = symbol.diagonal(dim1=-2 - ndim, dim2=-1 - ndim).movedim(-1, -1 - ndim)
        # wavenumbers of one length share a factor; what differs by rounding is the same
        rounded = torch.view_as_real(eigenvalues.to(torch.complex64)).double()
        values, index = torch.unique(rounded.reshape(-1, 2), dim=0, return_inverse=True)
        self.index = index.view(eigenvalues.shape)
        d = difference_matrix(count + 1, physics.accuracy, physics.dt).to(device, torch.complex128)[:, 1:]
        unit = torch.eye(count + 1, dtype=d.dtype, device=device)
        factors = torch.linalg.qr(d - torch.view_as_complex(values).view(-1, 1, 1) * unit[:, 1:], mode="r").R
        self.factors = torch.linalg.solve_triangular(factors, unit[1:, 1:].expand_as(factors), upper=True)

    def __call__(self, v: Tensor) -> Tensor:
        """``(time - 1, *batch, channel, *space)`` to the same shape."""
        c = self.transform.forward(v, masked=False) * self.inverse
        return self.transform.inverse(self._solved(c, self.factors))

    def adjoint(self, v: Tensor) -> Tensor:
        """The transpose."""
        c = self._solved(self.transform.forward(v, masked=False), self.factors.mH)
        return self.transform.inverse(c * self.inverse)

    def _solved(self, c: Tensor, factors: Tensor) -> Tensor:
        """Each mode's own matrix times its values at all instants."""
        modes = c.shape[c.ndim - self.transform.grid.ndim - 1 :]
        shared = self.index.numel() == modes.numel()  # the same matrices for all samples
        index = (self.index if shared else self.index.expand(c.shape[1:])).reshape(-1)
        columns = c.reshape(len(c), -1, len(index)).permute(2, 0, 1)
        portion = max(1, CHUNK // len(c) ** 2)
        parts = [factors[i] @ v for i, v in zip(index.split(portion), columns.split(portion), strict=True)]
        return torch.cat(parts).permute(1, 2, 0).reshape(c.shape)


def gauss_newton(residual: Callable[[Tensor], Tensor], precondition: Preconditioner, w: Tensor, iterations: int, ndim: int) -> tuple[Tensor, int]:
    """The states ``(time, *batch, channel, *space)`` that make the sum of squared residuals small, sample by sample, and the steps taken."""
    dims = (0, *range(-ndim - 1, 0))

    def inner(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(dims)

    def squared(v: Tensor) -> Tensor:
        return inner(v, v)

    size, steps = squared(residual(w)), 0
    for _ in range(iterations):
        step = precondition(least_squares(residual, precondition, w, inner, ndim))
        left, scale, best, lowest = torch.ones_like(size, dtype=torch.bool), 1.0, w, size
        for _ in range(HALVINGS):
            trial = torch.where(_over(left, ndim), w + scale * step, best)
            tried = squared(residual(trial))
            better = left & (tried < lowest)
            best, lowest = torch.where(_over(better, ndim), trial, best), torch.where(better, tried, lowest)
            left = left & ~better
            if not bool(left.any()):
                break
            scale /= 2
        gained = (size - lowest) / torch.where(size > 0, size, 1.0)
        w, size, steps = best, lowest, steps + 1
        if not bool((gained > STALLED).any()):
            break
    return w, steps


def least_squares(
    residual: Callable[[Tensor], Tensor],
    precondition: Preconditioner,
    w: Tensor,
    inner: Callable[[Tensor, Tensor], Tensor],
    ndim: int,
) -> Tensor:
    """The y that makes ``|r + J P y|`` small, r the residual at ``w`` and J its derivative: conjugate gradients on the normal equations (CGLS)."""
    with torch.enable_grad():
        w = w.detach().requires_grad_()
        r = residual(w)

    def transposed(v: Tensor) -> Tensor:
        return precondition.adjoint(torch.autograd.grad(r, w, v, retain_graph=True)[0])

    def divided(a: Tensor, b: Tensor) -> Tensor:
        return _over(torch.where(b > 0, a / torch.where(b > 0, b, 1.0), 0.0), ndim)

    left = -r.detach()
    gradient = transposed(left)
    direction, y, size = gradient, torch.zeros_like(gradient), inner(gradient, gradient)
    enough = INNER_TOLERANCE**2 * size
    for _ in range(INNER):
        image = tangent_linear(residual, w.detach(), precondition(direction))[1]
        length = divided(size, inner(image, image))
        y, left = y + length * direction, left - length * image
        gradient = transposed(left)
        previous, size = size, inner(gradient, gradient)
        if bool((size <= enough).all()):
            break
        direction = gradient + divided(size, previous) * direction
    return y


def relative_residual(physics: Residual, weights: Weights, u: Tensor, time: float) -> Tensor:
    """The residual of each sample, relative to both sides of the equation as in :class:`sciml.Residual`, up to the band limit."""
    dims = (0, *range(-weights.transform.grid.ndim - 1, 0))
    rate, slope = physics.parts(u, time)
    difference, one, other = (torch.linalg.vector_norm(weights(v), dim=dims) for v in (rate - slope, rate, slope))
    return ratio(difference, torch.hypot(one, other))


def interpolation_matrix(count: int, factor: int, degree: int) -> Tensor:
    """The matrix that interpolates ``count`` instants to ``(count - 1) * factor + 1``, by polynomials through the ``degree`` + 1 nearest ones."""
    matrix = torch.zeros((count - 1) * factor + 1, count, dtype=torch.float64)
    powers = torch.arange(degree + 1, dtype=torch.float64).unsqueeze(1)
    for row in range(len(matrix)):
        t = row / factor
        first = min(max(round(t - degree / 2), 0), count - degree - 1)
        offsets = torch.arange(first, first + degree + 1, dtype=torch.float64) - t
        wanted = torch.zeros(degree + 1, dtype=torch.float64)
        wanted[0] = 1.0
        matrix[row, first : first + degree + 1] = torch.linalg.solve(offsets**powers, wanted)
    return matrix


def _over(values: Tensor, ndim: int) -> Tensor:
    """``(*batch,)`` shaped to go with ``(time, *batch, channel, *space)``."""
    return values.view(1, *values.shape, *(1,) * (ndim + 1))
