"""How far a body is from the least of a potential, asked of polynomials."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sciml.core.elastic import ElasticBody
from sciml.core.problem import Problem
from sciml.solvers.ritz import Basis

FUNCTIONS = 72
"""About as many polynomials, or waves, per component of the displacement."""


class Trial:
    r"""Polynomials that vanish on clamped faces, at Gauss points of their own.

    Attributes
    ----------
    points, parts : ``(n, 2)`` and their parts in a mean ``(n,)``.
    values, slopes : of the functions there, ``(n, size)`` and ``(2, n, size)``.
    """

    def __init__(self, problem: Problem, dtype: torch.dtype) -> None:
        lengths = problem.domain.lengths
        per_length = math.sqrt(FUNCTIONS / math.prod(lengths))
        counts = tuple(max(3, round(per_length * length)) // 2 * 2 + 1 for length in lengths)  # odd: each wave has its sine and its cosine
        basis = Basis(problem, counts)
        self.points, self.parts = (c.to(dtype) for c in basis.quadrature())
        self.values, self.slopes = (c.to(dtype) for c in basis.at(self.points))

    def size(self, u: Tensor) -> float:
        """The root of the mean of the squares of ``u``, ``(n, ...)``."""
        return math.sqrt(float((u.square().flatten(1).sum(1) * self.parts).sum()))

    def improvement(self, body: ElasticBody, d: Tensor, gradient: Tensor, target: Tensor, eta: float) -> float:
        r"""The root mean square of the Gauss-Newton step that lowers :math:`\tfrac12\langle\frac{\rho}{\eta^2}|d-\hat d|^2+|e(I+\nabla d)|^2\rangle`.

        For displacements ``(n, 2)``, their gradients ``(n, 2, 2)`` and :math:`\hat d` ``(n, 2)`` at the points; NaN for what is not finite.
        """
        inertia = float(body.density) / eta**2
        f = torch.eye(2, dtype=gradient.dtype) + gradient
        root = self.parts.sqrt()
        slopes = torch.func.vmap(torch.func.jacrev(body.strains_of))(f)  # (n, k, 2, 2)
        rows = (torch.einsum("nkij,jnm->nkim", slopes, self.slopes).flatten(2) * root[:, None, None]).flatten(0, 1)
        held = self.values * self.parts[:, None]
        pull = inertia * ((d - target).T @ held).flatten() + rows.T @ (body.strains_of(f) * root[:, None]).flatten()
        mass = inertia * torch.block_diag(*(self.values.T @ held,) * 2)
        factor, info = torch.linalg.cholesky_ex(mass + rows.T @ rows)
        if int(info):
            return math.nan
        step = torch.cholesky_solve(pull.unsqueeze(1), factor).view(2, -1)
        return self.size(self.values @ step.T)
