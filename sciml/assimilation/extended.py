"""The extended Kalman filter: the covariance goes through the tangent-linear model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sciml.assimilation.analysis import where_heard
from sciml.assimilation.covariance import Covariance, as_covariance
from sciml.assimilation.ensemble import prior_of
from sciml.assimilation.stages import Assimilator, Data, Stage
from sciml.assimilation.window import believed, check_repeatable, root_of
from sciml.core.errors import InputError
from sciml.core.tangent import tangent_linear


@dataclass(frozen=True, eq=False)
class ExtendedKF(Assimilator):
    r"""Extended Kalman filter with full covariances, for small systems; exact where model and data are linear.

    .. math:: \bar x\leftarrow M(\bar x),\quad P\leftarrow\rho^{\Delta t}FPF^T+Q,\qquad
              \bar x\leftarrow\bar x+K(y-h(\bar x)),\quad P\leftarrow(I-KH)P(I-KH)^T+KRK^T

    with the Jacobians F of the forecast between two times of data and H of the observation, both exact, :math:`K=PH^T(HPH^T+R)^{-1}`.

    One covariance per experiment goes along; all members that are given become their mean, and come back alike. ``spread.f`` and ``spread.a`` are
    those of P. A forecast costs that of n + 1 states.

    Parameters
    ----------
    covariance : P at the start: a :class:`Covariance`, a matrix ``(n, n)``, or a standard deviation; None for that of the members given.
    inflation : :math:`\rho`, by which P grows per unit of time.
    model_error : Q, what the model adds between two times of data; None for a perfect model.

    A. H. Jazwinski, Stochastic Processes and Filtering Theory (1970), chapter 8; Joseph's form of the update: G. J. Bierman, Factorization Methods
    for Discrete Sequential Estimation (1977).

    *Good values*: 10 for Lorenz's 40 variables observed every 0.05, 180 for his three every 0.25.
    """

    covariance: Covariance | Tensor | float | None = None
    inflation: float = 1.0
    model_error: Covariance | Tensor | float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.inflation < math.inf:
            raise InputError(f"ExtendedKF: inflation={self.inflation} given; a positive number per unit of time is needed, 1 for none.")
        for given in (self.covariance, self.model_error):
            if given is not None:
                as_covariance(given)

    def stages(self, data: Data, ensemble: Tensor, generator: torch.Generator, *, begin: int = 0, state: Any = None) -> Iterator[Stage]:
        check_repeatable(data, "ExtendedKF", "give the model without them, and model_error=")
        axis = ensemble.ndim - 2 - data.step.grid.ndim
        mean, p = (ensemble.mean(axis, keepdim=True), self._first(ensemble.flatten(axis + 1))) if state is None else state
        n = p.shape[-1]
        identity = torch.eye(n, dtype=p.dtype, device=p.device)
        every = identity.reshape(n, *(1,) * (mean.ndim - 1 - data.step.grid.ndim), *mean.shape[axis + 1 :]).expand(n, *mean.shape)
        added = 0.0 if self.model_error is None else as_covariance(self.model_error).matrix(n, p)
        grown = self.inflation ** (data.every * data.step.dt)
        for k in range(begin, len(data.y)):
            forecast, slopes = tangent_linear(partial(data.forecast, k=k), mean.expand(n, *mean.shape), every)
            forecast, f = forecast[0], slopes.flatten(axis + 2).squeeze(-2).movedim(0, -1)
            p = grown * f @ p @ f.transpose(-1, -2) + added
            prior = prior_of(forecast, data.y[k], data.observation, generator=generator, time=data.time(k), least=1, who="ExtendedKF")
            seen = tangent_linear(partial(data.observation, time=data.time(k)), forecast.expand(n, *forecast.shape), every)[1]
            h = data.observation.errors.whiten(seen.squeeze(-2).movedim(0, -2), prior.present)  # (R^-1/2 H)^T, zero where data are missing
            ph = p @ h
            inner = torch.eye(h.shape[-1], dtype=p.dtype, device=p.device) + h.transpose(-1, -2) @ ph
            gain = torch.cholesky_solve(ph.transpose(-1, -2), torch.linalg.cholesky(inner)).transpose(-1, -2)
            kept = identity - gain @ h.transpose(-1, -2)
            updated = kept @ p @ kept.transpose(-1, -2) + gain @ gain.transpose(-1, -2)
            updated = (updated + updated.transpose(-1, -2)) / 2
            moved = (gain @ prior.whitened[1].unsqueeze(-1)).squeeze(-1).reshape(mean.shape)
            spread = (_size(p), _size(where_heard(prior, updated, p)))
            record = believed(prior, root_of(p) @ h, spread)
            mean, p = where_heard(prior, forecast + moved, forecast), where_heard(prior, updated, p)
            yield Stage(k, data.time(k), forecast.expand(ensemble.shape), mean.expand(ensemble.shape), record, (mean, p))

    def _first(self, members: Tensor) -> Tensor:
        """P at the start, ``(*batch, n, n)``, from members ``(*batch, N, n)``."""
        n = members.shape[-1]
        if self.covariance is not None:
            return as_covariance(self.covariance).matrix(n, members).expand(*members.shape[:-2], n, n)
        if members.shape[-2] < 2:
            raise InputError("ExtendedKF: one member given and no covariance=; give one of both, so that a first covariance is known.")
        deviations = members - members.mean(-2, keepdim=True)
        return deviations.transpose(-1, -2) @ deviations / (members.shape[-2] - 1)


def _size(p: Tensor) -> Tensor:
    return p.diagonal(dim1=-2, dim2=-1).mean(-1).sqrt()
