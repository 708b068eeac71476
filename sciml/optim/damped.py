r"""Damped linear least squares: :math:`\min_\delta|J\delta+r|^2+\lambda|D\delta|^2` for tall J given a few rows at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from sciml.optim.vector import at_least_double

BLOCK = 256
"""Columns of J whose products with the rest are added at once: the upper triangle of the whole in 0.6 of the time."""
Rows = Iterable[tuple[Tensor, Tensor]]
"""Pieces ``(m, size)`` of J with the residuals ``(m,)`` that belong to them."""


class Solved(NamedTuple):
    r"""A solution, and what it takes to find others for the same J and damping.

    Attributes
    ----------
    step : :math:`\delta`, ``(size,)``.
    factor : U, upper triangular with :math:`U^TU=J^TJ+\lambda D^2`.
    """

    step: Tensor
    factor: Tensor

    def again(self, gradient: Tensor) -> Tensor:
        """The minimiser for other residuals r, of which ``gradient`` is J^T r."""
        return -torch.cholesky_solve(gradient.to(self.factor.dtype).unsqueeze(1), self.factor, upper=True).squeeze(1)


class System(ABC):
    r"""The system at one point, reduced to the size of the unknowns.

    Attributes
    ----------
    gradient : :math:`J^Tr`, ``(size,)``, half the gradient of the loss.
    columns : squared norms of the columns of J, ``(size,)``.
    """

    gradient: Tensor
    columns: Tensor

    @abstractmethod
    def solve(self, weight: Tensor) -> Solved | None:
        r"""The minimiser for :math:`\lambda D^2` = ``weight``, ``(size,)``; None if it cannot be computed with so little."""


class Normal(System):
    r"""By Cholesky factors of :math:`J^TJ+\lambda D^2`: fast, and blind to singular values of J below 1e-8 of the largest.

    The product squares the condition number: its rounding error, 1e-16 of the largest eigenvalue, hides what is smaller.
    """

    def __init__(self, rows: Rows) -> None:
        gram = gradient = None
        for jacobian, residual in rows:
            if not bool(residual.all()):  # hinges such as barriers have no slope where they are 0
                kept = jacobian.any(1)
                jacobian, residual = jacobian[kept], residual[kept]
            j, r = at_least_double(jacobian), at_least_double(residual)
            if gram is None or gradient is None:
                gram, gradient = j.new_zeros((j.shape[1], j.shape[1])), j.new_zeros(j.shape[1])
            gradient.addmv_(j.T, r)
            for i in range(0, len(gram), BLOCK):  # the other triangle is the same
                gram[i : i + BLOCK, i:].addmm_(j[:, i : i + BLOCK].T, j[:, i:])
        assert gram is not None and gradient is not None
        self.gram = gram.triu() + gram.triu(1).T
        self.gradient, self.columns = gradient, gram.diagonal().clone()

    def solve(self, weight: Tensor) -> Solved | None:
        factor, info = torch.linalg.cholesky_ex(self.gram + torch.diag(weight), upper=True)
        if int(info):
            return None
        return Solved(-torch.cholesky_solve(self.gradient.unsqueeze(1), factor, upper=True).squeeze(1), factor)


class Triangular(System):
    r"""By orthogonal triangularisation of J, a few rows at a time: all singular values down to 1e-16 of the largest count.

    [R q] from [J r], then for each damping once more from R with :math:`\sqrt\lambda D` below it (Golub & Van Loan, Matrix Computations, 4th
    ed., section 6.1). The Jacobians of physics-informed networks have singular values that fall to rounding, and the small ones carry the
    last digits of the solution.
    """

    def __init__(self, rows: Rows) -> None:
        upper = None
        for piece in stacked(rows):
            upper = torch.linalg.qr(piece if upper is None else torch.cat([upper, piece]), mode="r").R
        assert upper is not None
        size = upper.shape[1] - 1
        self.upper, self.image = upper[:size, :size], upper[:size, size]
        self.gradient = self.upper.T @ self.image
        self.columns = self.upper.square().sum(0)

    def solve(self, weight: Tensor) -> Solved | None:
        size = len(weight)
        below = torch.cat([torch.diag(weight.sqrt()), torch.zeros_like(weight).unsqueeze(1)], 1)
        upper = torch.linalg.qr(torch.cat([torch.cat([self.upper, self.image.unsqueeze(1)], 1), below]), mode="r").R
        factor = upper[:size, :size]
        if bool((factor.diagonal() == 0).any()):
            return None
        found = -torch.linalg.solve_triangular(factor, upper[:size, size:], upper=True).squeeze(1)
        return Solved(found, factor) if bool(torch.isfinite(found).all()) else None


def stacked(rows: Rows) -> Iterator[Tensor]:
    """[J r] in pieces of at least twice as many rows as columns, so that a factorisation is not spent on few."""
    held: list[Tensor] = []
    for jacobian, residual in rows:
        held.append(torch.cat([at_least_double(jacobian), at_least_double(residual).unsqueeze(1)], 1))
        if sum(map(len, held)) >= 2 * held[0].shape[1]:
            yield torch.cat(held)
            held = []
    if held:
        yield torch.cat(held)
