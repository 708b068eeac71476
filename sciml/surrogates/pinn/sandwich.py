r"""How noise in observations moves the minimiser of a loss that is a sum of squares."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SMALL = 1e-10
"""Singular values of the coefficients' part, each column relative to its length, below which a combination of coefficients is not determined."""


class Curvature:
    r"""The Gauss-Newton Hessian :math:`H=J^TJ` of unknowns that end with k coefficients, by orthogonal factors of J.

    .. math:: J = QR,\qquad R = \begin{pmatrix}R_{ww}&R_{wc}\\0&R_{cc}\end{pmatrix}

    The block :math:`R_{cc}` is what the coefficients alone can explain, so that :math:`R_{cc}^TR_{cc}` is their information after all weights have
    been fitted anew (the Schur complement of H). Combinations of coefficients without information are left out of the inverse.

    Parameters
    ----------
    rows : pieces ``(m, p)`` of J.
    k : number of coefficients, the last columns.
    ridge : a number r added as :math:`r|w|^2` for the weights alone: many of their combinations change nothing.
    small : see :data:`SMALL`; more where J is less precise.
    """

    def __init__(self, rows: Sequence[Tensor], k: int, ridge: float, small: float = SMALL) -> None:
        size = rows[0].shape[1]
        self.weights = size - k
        weights, device = self.weights, rows[0].device
        prior = torch.eye(weights, size, dtype=rows[0].dtype, device=device) * ridge**0.5
        upper = torch.linalg.qr(torch.cat([*rows, prior]), mode="r").R
        upper = torch.cat([upper, upper.new_zeros((max(0, size - len(upper)), size))])
        self.ww, self.wc, cc = upper[:weights, :weights], upper[:weights, weights:], upper[weights:, weights:]
        length = torch.cat([self.wc, cc]).norm(dim=0)
        scale = torch.where(length > 0, length, 1.0)
        left, values, right = torch.linalg.svd(cc / scale)
        known = values > small
        inverse = torch.where(known, 1 / values.where(known, torch.ones_like(values)), 0.0)
        self.cc_inverse = (right.T * inverse) @ left.T / scale[:, None]
        lost = right[~known].square().sum(0)
        self.undetermined = lost > small
        variance = self.cc_inverse.square().sum(1)
        self.information = torch.where(self.undetermined, 0.0, 1 / variance)
        """Of each coefficient, with all others unknown too: the inverse of the diagonal of the inverse Hessian, ``(k,)``."""

    def solve(self, columns: Tensor) -> Tensor:
        r""":math:`H^{-1}` times columns ``(p, m)``."""
        b_w, b_c = columns[: self.weights], columns[self.weights :]
        y_w = torch.linalg.solve_triangular(self.ww.T, b_w, upper=False)
        x_c = self.cc_inverse @ (self.cc_inverse.T @ (b_c - self.wc.T @ y_w))
        x_w = torch.linalg.solve_triangular(self.ww, y_w - self.wc @ x_c, upper=True)
        return torch.cat([x_w, x_c])


def noise_of(residuals: Sequence[Tensor], rows: Sequence[Tensor], scales: Sequence[float], curvature: Curvature) -> tuple[Tensor, Tensor]:
    r"""The variance of the noise in each field, and the degrees of freedom that were left to find it.

    The fitted values are A times the observed ones, to first order, with :math:`A_{cd}=J_cH^{-1}J_d^T` up to the scales. If :math:`\sigma_d^2` is the
    variance of the noise in field d then the expected sum of squared residuals of field c is

    .. math:: \sum_d K_{cd}\,\sigma_d^2,\qquad K_{cd} = \delta_{cd}\,(n_c-2\,\mathrm{tr}A_{cc})+\|A_{cd}\|^2

    which for ordinary least squares is :math:`(n-p)\sigma^2` [Hastie & Tibshirani, Generalized Additive Models (1990), section 3.5].

    Parameters
    ----------
    residuals : observed minus fitted, per field ``(n_c,)``.
    rows : J for them, as it stands in the loss, that is times ``scales``; or fewer rows with the same product :math:`J^TJ`.

    Returns
    -------
    variances ``(c,)``, and the diagonal of K, ``(c,)``.
    """
    solved = [curvature.solve(j.T) for j in rows]
    k = torch.zeros((len(rows), len(rows)), dtype=torch.float64)
    for c, j in enumerate(rows):
        for d, x in enumerate(solved):
            block = j @ x
            k[c, d] = float(block.square().sum()) * (scales[d] / scales[c]) ** 2
            k[c, d] += len(residuals[c]) - 2 * float(block.trace()) if c == d else 0.0
    squares = torch.stack([r.double().square().sum().cpu() for r in residuals])
    return torch.linalg.lstsq(k, squares.unsqueeze(1)).solution.squeeze(1).clamp_min(0.0), k.diagonal()
