"""The ensemble transform Kalman filter."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from sciml.assimilation.analysis import EnsembleFilter
from sciml.assimilation.ensemble import Prior
from sciml.assimilation.inflation import Inflated, as_inflation
from sciml.assimilation.roots import inverse_root


@dataclass(frozen=True)
class ETKF(EnsembleFilter):
    r"""Ensemble transform Kalman filter with the symmetric root:

    .. math:: P=(SS^T+(N-1)I)^{-1},\quad w=P\,S\,R^{-1/2}d,\quad T=\sqrt{N-1}\,P^{1/2},\quad E_a=\bar x+(1w^T+T)A

    with :math:`S=YR^{-1/2}`. It works in the space of the members, so its cost in n and m is that of a few products.

    C. H. Bishop, B. J. Etherton & S. J. Majumdar, Mon. Weather Rev. 129 (2001) 420; B. R. Hunt, E. J. Kostelich & I. Szunyogh, Physica D 230 (2007)
    112, eqs. 20-24.

    *Good values*: an inflation of 1.01 to 1.05; ``rotate`` for small ensembles of strongly nonlinear systems.
    """

    inflation: Inflated = 1.0
    rotate: bool = False

    def __post_init__(self) -> None:
        as_inflation(self.inflation)

    def moments(self, prior: Prior) -> tuple[Tensor, Tensor]:
        w, t = transform(*prior.whitened)
        return prior.mean + (w.unsqueeze(-2) @ prior.anomalies).squeeze(-2), t @ prior.anomalies


def transform(s: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """w ``(*batch, N)`` and T ``(*batch, N, N)`` from whitened deviations ``(*batch, N, m)`` and innovations ``(*batch, m)``."""
    return transform_of(s @ s.transpose(-1, -2), (s @ d.unsqueeze(-1)).squeeze(-1))


def transform_of(gram: Tensor, projected: Tensor) -> tuple[Tensor, Tensor]:
    """The same from :math:`SS^T` ``(*batch, N, N)`` and :math:`SR^{-1/2}d` ``(*batch, N)``."""
    n = gram.shape[-1]
    root = inverse_root(gram, n - 1.0)
    return (root @ (root @ projected.unsqueeze(-1))).squeeze(-1), math.sqrt(n - 1) * root
