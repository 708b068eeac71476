"""How well an ensemble knows the truth, and itself."""

from __future__ import annotations

import torch
from torch import Tensor


def rmse(ensemble: Tensor, truth: Tensor) -> Tensor:
    """Root mean square over the state of the error of the mean, ``(*batch,)``; of flat states ``(*batch, N, n)`` and ``(*batch, n)``."""
    return (ensemble.mean(-2) - truth).square().mean(-1).sqrt()


def spread(ensemble: Tensor) -> Tensor:
    """Root mean square over the state of the standard deviation over the members, ``(*batch,)``; 0 of a single member."""
    n = ensemble.shape[-2]
    return (ensemble - ensemble.mean(-2, keepdim=True)).square().sum(-2).div(max(n - 1, 1)).mean(-1).sqrt()


def crps(ensemble: Tensor, truth: Tensor) -> Tensor:
    r"""Continuous ranked probability score :math:`\frac1N\sum|x_i-x|-\frac1{2N^2}\sum|x_i-x_j|`, mean over the state, ``(*batch,)``.

    H. Hersbach, Weather Forecast. 15 (2000) 559; the double sum by sorting.
    """
    n = ensemble.shape[-2]
    ordered = ensemble.sort(-2).values
    weights = 2 * torch.arange(1, n + 1, dtype=ensemble.dtype, device=ensemble.device) - n - 1
    pairs = (weights.unsqueeze(-1) * ordered).sum(-2) / n**2
    return ((ensemble - truth.unsqueeze(-2)).abs().mean(-2) - pairs).mean(-1)


def ranks(ensemble: Tensor, truth: Tensor) -> Tensor:
    """How often the truth was above so many members, counts ``(*batch, N + 1)`` over the state; flat for a reliable ensemble."""
    below = (ensemble < truth.unsqueeze(-2)).sum(-2)
    return torch.nn.functional.one_hot(below, ensemble.shape[-2] + 1).sum(-2)


def effective_rank(ensemble: Tensor) -> Tensor:
    r"""In how many directions there is spread, :math:`(\sum\lambda_i)^2/\sum\lambda_i^2` with the eigenvalues of the covariance, ``(*batch,)``."""
    a = ensemble - ensemble.mean(-2, keepdim=True)
    gram = a @ a.transpose(-1, -2)
    total = gram.diagonal(dim1=-2, dim2=-1).sum(-1)
    square = gram.square().sum((-1, -2))
    return torch.where(square > 0, total.square() / square.clamp_min(torch.finfo(square.dtype).tiny), 0.0)
