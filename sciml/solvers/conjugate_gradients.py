"""Preconditioned conjugate gradients for a batch of symmetric positive systems, differentiable through the solution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sciml.core.errors import BlowUpError, UnsupportedError

Map = Callable[[Tensor], Tensor]
ITERATIONS = 1000
"""Most iterations before giving up."""


@dataclass(frozen=True)
class Convergence:
    """How an iteration ended.

    Attributes
    ----------
    iterations : per sample, ``(*batch)``.
    residual : relative residual :math:`|b-Ax|/|b|` per sample, from x itself, not from the recurrence.
    """

    iterations: Tensor
    residual: Tensor


def conjugate_gradients(
    apply: Map, b: Tensor, precondition: Map, *, axes: int, tolerance: float, limit: int = ITERATIONS, report: Callable[[float], None] | None = None
) -> tuple[Tensor, Convergence]:
    r"""x with :math:`|b - Ax| \le \mathrm{tolerance}\,|b|` for every sample; samples that are there wait for the others.

    Golub & van Loan, Matrix Computations (4th ed.), algorithm 11.5.1.

    Parameters
    ----------
    apply, precondition : A and the approximate inverse of it, symmetric, batched. A singular A is allowed if b is in its range.
    b : ``(*batch, ...)`` with ``axes`` axes per sample.
    limit : most iterations.
    report : called with the residual's way to the tolerance, 0 to 1 on a logarithmic scale.

    Raises :class:`BlowUpError` after ``limit`` iterations, or where A is not positive or not finite.
    """
    dims = tuple(range(-axes, 0))

    def dot(p: Tensor, q: Tensor) -> Tensor:
        return (p * q).sum(dims, keepdim=True)

    # so that squares neither overflow nor vanish, whatever the units of b are
    scale = b.abs().amax(dims, keepdim=True)
    b = b / torch.where((scale > 0) & torch.isfinite(scale), scale, torch.ones_like(scale))
    x, r, size = torch.zeros_like(b), b, dot(b, b).sqrt()
    target = tolerance * size
    z = precondition(r)
    p, rz = z, dot(r, z)
    count = torch.zeros_like(size, dtype=torch.long)
    for _ in range(limit):
        norm = dot(r, r).sqrt()
        active = ~(norm <= target)
        if not bool(active.any()):
            break
        if report is not None:
            report(_progress(norm, size, tolerance))
        q = apply(p)
        curvature = dot(p, q)
        if not bool((curvature[active] > 0).all() and torch.isfinite(curvature[active]).all()):
            raise BlowUpError(
                "Conjugate gradients: the operator is not positive and finite on the search direction. The coefficient must be positive and finite "
                "everywhere; in float32 a large grid or contrast may need float64."
            )
        step = torch.where(active, rz / torch.where(active, curvature, torch.ones_like(curvature)), torch.zeros_like(rz))
        x, r = x + step * p, r - step * q
        z = precondition(r)
        last, rz = rz, dot(r, z)
        p = z + torch.where(active, rz / torch.where(active, last, torch.ones_like(last)), torch.zeros_like(rz)) * p
        count = count + active
    else:
        worst = float((dot(r, r).sqrt() / size).nan_to_num(nan=torch.inf).max())
        raise BlowUpError(
            f"Conjugate gradients: after {limit} iterations the relative residual is {worst:.2g}; {tolerance:.2g} was asked for. Ask for a larger "
            "tolerance, give a coefficient of smaller contrast, or more iterations."
        )
    true = dot(b - apply(x), b - apply(x)).sqrt() / torch.where(size > 0, size, torch.ones_like(size))
    return x * scale, Convergence(count.flatten(), true.flatten())


def attach(x: Tensor, residual: Tensor, solve: Map) -> Tensor:
    r"""The solution x with gradients: :math:`x + A^{-1}(b - Ax)`, whose residual is zero in value but not in derivative.

    ``residual`` is b - Ax as a function of whatever requires a gradient; ``solve`` applies :math:`A^{-1}`, symmetric, so one
    more solve gives all derivatives backwards. Derivatives of derivatives are refused.
    """
    return x + _Inverse.apply(residual, solve)


class _Inverse(torch.autograd.Function):
    """Zero forwards, the inverse backwards."""

    @staticmethod
    def forward(ctx: Any, residual: Tensor, solve: Map) -> Tensor:
        ctx.solve = solve
        return torch.zeros_like(residual)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        if torch.is_grad_enabled():  # which would take the solve below for a constant
            raise UnsupportedError("Derivatives of a steady solution's derivatives are not known; leave out create_graph=True.")
        return ctx.solve(gradients[0]), None


def _progress(norm: Tensor, size: Tensor, tolerance: float) -> float:
    reached = (norm / torch.where(size > 0, size, torch.ones_like(size))).max()
    return min(max(float(reached.log()) / float(torch.tensor(tolerance).log()), 0.0), 1.0)
