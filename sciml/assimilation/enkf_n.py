"""The finite-size ensemble Kalman filter, which finds its inflation by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.assimilation.analysis import EnsembleFilter
from sciml.assimilation.ensemble import Prior
from sciml.assimilation.etkf import transform_of
from sciml.assimilation.inflation import Inflated, as_inflation
from sciml.core.checks import check_whole
from sciml.core.errors import InputError

GRID = 48
"""Numbers at which the dual cost is looked at before its least minimum is refined."""
ROUNDS = 60
"""Most steps of the refinement; 6 are usual."""


@dataclass(frozen=True)
class EnKFN(EnsembleFilter):
    r"""Finite-size ensemble Kalman filter: mean and covariance of the forecast are unknown, and known through N members only.

    The members' coefficients w of the analysis minimise :math:`\tfrac12|\tilde d-S^Tw|^2+\tfrac c2\ln(\varepsilon+|w|^2)` with
    :math:`\varepsilon=1+1/N` and :math:`c=N+g`. The same minimum by one number per experiment, the dual form

    .. math:: D(\zeta)=\tfrac12\tilde d^T(I+S^TS/\zeta)^{-1}\tilde d+\tfrac{\varepsilon\zeta}2-\tfrac c2\ln\zeta,\qquad 0<\zeta\le c/\varepsilon:

    its least :math:`\zeta` inflates the forecast by :math:`\sqrt{(N-1)/\zeta}`, and the :class:`sciml.ETKF` does the rest. With
    :math:`\kappa=\frac1N\sum_i\frac{N-1}{\lambda_i+N-1}`, :math:`\lambda` the eigenvalues of :math:`SS^T`, the constants are
    corrected to :math:`\varepsilon/q,\ cq` with :math:`q=(\varepsilon(N-1)/c)^{\kappa/2}`, so that data that know nothing inflate nothing.

    M. Bocquet, Nonlin. Processes Geophys. 18 (2011) 735; M. Bocquet, P. N. Raanes & A. Hannart, Nonlin. Processes Geophys. 22 (2015) 645
    (dual form, correction of the constants).

    Parameters
    ----------
    inflation, rotate : see :class:`EnsembleFilter`; in general no further inflation is needed.
    xN : how certain the prior of the inflation is: both constants times it. 1 supposes that the members are random draws.
    g : how many directions of w leave the members unchanged.

    The inflation found is the series "inflation" of :func:`sciml.cycle`.

    *Good values*: ``xN=1``; 2 for nearly linear systems such as Lorenz 96 with frequent data.
    """

    inflation: Inflated = 1.0
    rotate: bool = False
    xN: float = 1.0
    g: int = 0

    def __post_init__(self) -> None:
        as_inflation(self.inflation)
        check_whole(0, who="EnKFN", g=self.g)
        if not 0 < self.xN < math.inf:
            raise InputError(f"EnKFN: xN={self.xN} given; a positive number is needed.")

    def moments(self, prior: Prior) -> tuple[Tensor, Tensor]:
        s, d = prior.whitened
        gram, projected = s @ s.transpose(-1, -2), (s @ d.unsqueeze(-1)).squeeze(-1)
        factor = ((prior.size - 1) / self.precision(gram, projected)).sqrt()
        prior.notes.numbers["inflation"] = factor
        w, t = transform_of(factor[..., None, None].square() * gram, factor.unsqueeze(-1) * projected)
        anomalies = factor[..., None, None] * prior.anomalies
        return prior.mean + (w.unsqueeze(-2) @ anomalies).squeeze(-2), t @ anomalies

    def precision(self, gram: Tensor, projected: Tensor) -> Tensor:
        r""":math:`\zeta` ``(*batch,)`` from :math:`SS^T` ``(*batch, N, N)`` and :math:`S\tilde d` ``(*batch, N)``."""
        n = gram.shape[-1]
        epsilon, c = self._constants(torch.linalg.eigvalsh(gram).clamp_min(0))
        with torch.no_grad():
            values, vectors = torch.linalg.eigh(gram)
            square = (vectors.transpose(-1, -2) @ projected.unsqueeze(-1)).squeeze(-1).square()
            least = _least(values.clamp_min(0), square, epsilon, c)
            curvature = (c / least.square() - 2 * (square / (least.unsqueeze(-1) + values.clamp_min(0)) ** 3).sum(-1)) / 2
        # one more step of Newton, which changes nothing but carries the derivatives of the minimum
        shifted = gram + least[..., None, None] * torch.eye(n, dtype=gram.dtype, device=gram.device)
        slope = (torch.linalg.solve(shifted, projected.unsqueeze(-1)).square().sum((-1, -2)) + epsilon - c / least) / 2
        return least - torch.where(curvature > 0, slope / curvature, 0.0)

    def _constants(self, values: Tensor) -> tuple[Tensor, Tensor]:
        n = values.shape[-1]
        epsilon, c = (n + 1) / n, float(n + self.g)
        known = ((n - 1) / (values + n - 1)).mean(-1)
        q = (epsilon * (n - 1) / c) ** (known / 2)
        return self.xN * epsilon / q, self.xN * c * q


def _least(values: Tensor, square: Tensor, epsilon: Tensor, c: Tensor) -> Tensor:
    r"""The global minimum of :math:`2D=\varepsilon\zeta-c\ln\zeta-\sum p_i^2/(\zeta+\lambda_i)+const`, ``(*batch,)``."""
    kept = values > values.amax(-1, keepdim=True) * values.shape[-1] * torch.finfo(values.dtype).eps
    steepest = torch.where(kept, square / torch.where(kept, values, 1.0).square(), 0.0).sum(-1)
    low, high = (c / (epsilon + steepest)).log(), (c / epsilon).log()  # the slope of D is not positive at the one, not negative at the other
    x = low.unsqueeze(-1) + (high - low).unsqueeze(-1) * torch.linspace(0, 1, GRID, dtype=low.dtype, device=low.device)
    zeta = x.exp()
    cost = epsilon.unsqueeze(-1) * zeta - c.unsqueeze(-1) * x - (square.unsqueeze(-2) / (zeta.unsqueeze(-1) + values.unsqueeze(-2))).sum(-1)
    best = cost.argmin(-1, keepdim=True)
    low, high = x.gather(-1, (best - 1).clamp_min(0)).squeeze(-1), x.gather(-1, (best + 1).clamp_max(GRID - 1)).squeeze(-1)
    now = x.gather(-1, best).squeeze(-1)
    for _ in range(ROUNDS):  # Newton for the slope in ln zeta, halving where it would leave the bracket
        zeta = now.exp()
        over = 1 / (zeta.unsqueeze(-1) + values)
        first, second = (square * over**2).sum(-1), (square * over**3).sum(-1)
        slope = zeta * (first + epsilon) - c
        bend = zeta * (first + epsilon - 2 * zeta * second)
        low, high = torch.where(slope < 0, now, low), torch.where(slope < 0, high, now)
        new = now - slope / bend
        new = torch.where((new > low) & (new < high) & (bend > 0), new, (low + high) / 2)
        if bool(((new - now).abs() <= 4 * torch.finfo(now.dtype).eps * now.abs().clamp_min(1)).all()):
            break
        now = new
    return now.exp()
