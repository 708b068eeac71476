"""Filters that move members towards data one by one: with perturbed observations, or with half of the gain for deviations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.assimilation.analysis import EnsembleFilter
from sciml.assimilation.ensemble import Prior
from sciml.assimilation.inflation import Inflated, as_inflation


@dataclass(frozen=True)
class EnKF(EnsembleFilter):
    r"""Stochastic ensemble Kalman filter: :math:`E_a=E+(y+D-HE)K^T` with perturbations D of covariance R, centred over the members.

    G. Burgers, P. J. van Leeuwen & G. Evensen, Mon. Weather Rev. 126 (1998) 1719, eqs. 13-15.
    """

    inflation: Inflated = 1.0
    rotate: bool = False

    def __post_init__(self) -> None:
        as_inflation(self.inflation)

    def moments(self, prior: Prior) -> tuple[Tensor, Tensor]:
        errors = prior.observation.errors
        drawn = errors.sample(tuple(prior.shown.shape[:-1]), prior.shown.shape[-1], prior.shown, prior.generator)
        drawn = errors.whiten(drawn - drawn.mean(-2, keepdim=True), prior.present)
        s, d = prior.whitened
        mean = prior.mean + gained(s, d.unsqueeze(-2), prior.anomalies).squeeze(-2)
        return mean, prior.anomalies + gained(s, drawn - s, prior.anomalies)


@dataclass(frozen=True)
class DEnKF(EnsembleFilter):
    r"""Deterministic ensemble Kalman filter: the mean takes the gain K, deviations take half of it, :math:`A_a=A-\tfrac12YK^T`.

    P. Sakov & P. R. Oke, Tellus A 60 (2008) 361, eqs. 12-15.
    """

    inflation: Inflated = 1.0
    rotate: bool = False

    def __post_init__(self) -> None:
        as_inflation(self.inflation)

    def moments(self, prior: Prior) -> tuple[Tensor, Tensor]:
        s, d = prior.whitened
        mean = prior.mean + gained(s, d.unsqueeze(-2), prior.anomalies).squeeze(-2)
        return mean, prior.anomalies - gained(s, s, prior.anomalies) / 2


def gained(s: Tensor, r: Tensor, anomalies: Tensor) -> Tensor:
    r""":math:`rR^{1/2}K^T` for whitened rows r ``(*batch, k, m)``, ``(*batch, k, n)``: :math:`r\,(S^TS+(N-1)I)^{-1}S^TA`.

    The system is solved in the space of the members or of the data, whichever is smaller.
    """
    n, m = s.shape[-2:]
    if m < n:
        inner = s.transpose(-1, -2) @ s + (n - 1) * torch.eye(m, dtype=s.dtype, device=s.device)
        return torch.linalg.solve(inner, r.transpose(-1, -2)).transpose(-1, -2) @ (s.transpose(-1, -2) @ anomalies)
    outer = s @ s.transpose(-1, -2) + (n - 1) * torch.eye(n, dtype=s.dtype, device=s.device)
    return r @ s.transpose(-1, -2) @ torch.linalg.solve(outer, anomalies)
