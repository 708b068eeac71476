"""How well an ensemble knows the truth, and itself."""

from __future__ import annotations

import torch
from torch import Tensor


def mean(ensemble: Tensor, weights: Tensor | None = None) -> Tensor:
    """Of flat members ``(*batch, N, n)``, ``(*batch, n)``; here and below ``weights`` ``(*batch, N)`` have the sum 1, None if all are alike."""
    return ensemble.mean(-2) if weights is None else (weights.unsqueeze(-1) * ensemble).sum(-2)


def rmse(ensemble: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    """Root mean square over the state of the error of the mean, ``(*batch,)``; of flat states ``(*batch, N, n)`` and ``(*batch, n)``."""
    return (mean(ensemble, weights) - truth).square().mean(-1).sqrt()


def spread(ensemble: Tensor, weights: Tensor | None = None) -> Tensor:
    r"""Root mean square over the state of the standard deviation over the members, ``(*batch,)``; 0 of a single member.

    With weights the unbiased variance :math:`\sum w_ia_i^2/(1-\sum w_i^2)`.
    """
    n = ensemble.shape[-2]
    square = (ensemble - mean(ensemble, weights).unsqueeze(-2)).square()
    if weights is None:
        return square.sum(-2).div(max(n - 1, 1)).mean(-1).sqrt()
    rest = (1 - weights.square().sum(-1, keepdim=True)).clamp_min(torch.finfo(weights.dtype).eps)
    return (mean(square, weights) / rest).mean(-1).sqrt()


def crps(ensemble: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    r"""Continuous ranked probability score :math:`\sum w_i|x_i-x|-\frac12\sum w_iw_j|x_i-x_j|`, mean over the state, ``(*batch,)``.

    H. Hersbach, Weather Forecast. 15 (2000) 559; the double sum by sorting.
    """
    n = ensemble.shape[-2]
    w = ensemble.new_full((n, 1), 1 / n) if weights is None else weights.unsqueeze(-1)
    ordered, order = ensemble.sort(-2)
    own = w.expand(ensemble.shape).gather(-2, order)
    pairs = (own * (2 * own.cumsum(-2) - own - 1) * ordered).sum(-2)
    return ((w * (ensemble - truth.unsqueeze(-2)).abs()).sum(-2) - pairs).mean(-1)


def ranks(ensemble: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    """How often the truth was above so many members, counts ``(*batch, N + 1)`` over the state; flat for a reliable ensemble.

    With weights, above so many N-ths of the weight.
    """
    under, n = ensemble < truth.unsqueeze(-2), ensemble.shape[-2]
    below = under.sum(-2) if weights is None else (n * (weights.unsqueeze(-1) * under).sum(-2)).round().long().clamp(0, n)
    return torch.nn.functional.one_hot(below, n + 1).sum(-2)


def effective_rank(ensemble: Tensor, weights: Tensor | None = None) -> Tensor:
    r"""In how many directions there is spread, :math:`(\sum\lambda_i)^2/\sum\lambda_i^2` with the eigenvalues of the covariance, ``(*batch,)``."""
    a = ensemble - mean(ensemble, weights).unsqueeze(-2)
    a = a if weights is None else a * weights.sqrt().unsqueeze(-1)
    gram = a.transpose(-1, -2) @ a if a.shape[-1] < a.shape[-2] else a @ a.transpose(-1, -2)
    total = gram.diagonal(dim1=-2, dim2=-1).sum(-1)
    square = gram.square().sum((-1, -2))
    return torch.where(square > 0, total.square() / square.clamp_min(torch.finfo(square.dtype).tiny), 0.0)
