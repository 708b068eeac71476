r"""Damped linear least squares with a Jacobian that is never formed: only its products with vectors are."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sciml.optim.vector import Flat


class Linearised:
    r"""The Jacobian J of residuals r, as products with vectors; both come from graphs that are built once.

    :math:`J^Tu` is linear in u, so :math:`Jv` is the derivative of :math:`v\cdot J^Tu` by u: one pass backward through the graph of a pass
    backward. Unlike forward derivatives this serves every operation that can be differentiated twice.

    Parameters
    ----------
    residual : r, ``(N,)``, with its graph.
    flat : the weights.
    """

    def __init__(self, residual: Tensor, flat: Flat) -> None:
        self.residual, self.flat = residual, flat
        self.cotangent = torch.zeros_like(residual, requires_grad=True)
        parts = torch.autograd.grad(residual, flat.parameters, self.cotangent, create_graph=True, allow_unused=True)
        self.adjoint = flat.join(parts)

    def forward(self, v: Tensor) -> Tensor:
        """J v, ``(N,)``."""
        return torch.autograd.grad(self.adjoint, self.cotangent, v, retain_graph=True)[0]

    def back(self, u: Tensor) -> Tensor:
        """J^T u, ``(size,)``."""
        return self.flat.join(torch.autograd.grad(self.residual, self.flat.parameters, u, retain_graph=True, allow_unused=True))


class Solution(NamedTuple):
    """An approximate minimiser, ``(size,)``, and by how much it lowers the undamped sum of squares."""

    step: Tensor
    decrease: float


def conjugate_gradients(j: Linearised, residual: Tensor, gradient: Tensor, damping: float, iterations: int, tolerance: float) -> Solution:
    r"""Minimise :math:`|J\delta+r|^2+\lambda|\delta|^2` by CGLS [Björck, Numerical Methods for Least Squares Problems, 1996, algorithm 7.4.1].

    It is the method of conjugate gradients for :math:`(J^TJ+\lambda)\delta=-J^Tr` without that product, whose condition is squared.

    Parameters
    ----------
    residual, gradient : r and :math:`J^Tr`.
    iterations : at most; each costs a product with J and one with its transpose.
    tolerance : the norm of the normal equations' residual to reach, relative to that at the start.
    """
    remaining = -residual
    start = remaining.square().sum()
    step, s = torch.zeros_like(gradient), -gradient
    p, size = s.clone(), s.square().sum()
    first = size
    for _ in range(iterations):
        q = j.forward(p)
        curvature = q.square().sum() + damping * p.square().sum()
        if not float(curvature) > 0:
            break
        alpha = size / curvature
        step = step + alpha * p
        remaining = remaining - alpha * q
        s = j.back(remaining) - damping * step
        before, size = size, s.square().sum()
        if not float(size) > tolerance**2 * float(first):
            break
        p = s + (size / before) * p
    return Solution(step, float(start - remaining.square().sum()))
