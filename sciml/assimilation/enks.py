"""The ensemble Kalman smoother: what a filter does to its members, done to their past as well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sciml.assimilation.analysis import EnsembleFilter, record_of, where_heard
from sciml.assimilation.ensemble import Prior, prior_of
from sciml.assimilation.inflation import as_inflation, rotation
from sciml.assimilation.observation import Observation
from sciml.assimilation.operators import function
from sciml.assimilation.stages import Assimilator, Data, Stage
from sciml.core.checks import check_whole
from sciml.core.errors import InputError


@dataclass(frozen=True)
class EnKS(Assimilator):
    r"""Ensemble Kalman smoother with a fixed lag: the transform of every analysis also acts on the ensembles of the last times of data,

    .. math:: E_{j}\leftarrow\bar x_j+(1w_k^T+T_k)A_j,\qquad k-\mathrm{lag}\le j\le k,

    with the :math:`w_k,T_k` of the filter at time k. For a linear model and a Gaussian law it is the Kalman smoother of the ensemble's own moments.

    Its analyses are those of the filter: one run gives both. Rotations mix past and present alike, or their covariance would be lost; the past is
    not inflated.

    Parameters
    ----------
    filter : any filter of the package, localised ones too (each point's past is moved by the data near it).
    lag : times of data over which data act backward; 0 is the filter.

    Raises InputError for filters whose analysis is no linear map of the members, such as particle filters.

    G. Evensen & P. J. van Leeuwen, Mon. Weather Rev. 128 (2000) 1852.

    >>> sciml.cycle(step, sciml.EnKS(sciml.ETKF(1.02), lag=5), observation, y, ensemble, generator=generator).smoothed      # doctest: +SKIP
    """

    filter: EnsembleFilter
    lag: int

    def __post_init__(self) -> None:
        check_whole(0, who="EnKS", lag=self.lag)
        if not isinstance(self.filter, EnsembleFilter):
            raise InputError(f"EnKS: {self.filter!r} given; an ensemble filter that maps members linearly is needed, such as sciml.ETKF().")

    def stages(self, data: Data, ensemble: Tensor, generator: torch.Generator, *, begin: int = 0, state: Any = None) -> Iterator[Stage]:
        members, past, memory = (ensemble, (), None) if state is None else (state[0], tuple(state[1]), state[2][0] if state[2] else None)
        end = len(data.y) - 1
        for k in range(begin, end + 1):
            forecast = data.forecast(members, k)
            prior = prior_of(forecast, data.y[k], data.observation, generator=generator, time=data.time(k), least=self.filter.least, who="EnKS")
            prior = replace(prior, memory=self.filter.first(prior) if memory is None else memory)
            both = (*past, forecast)
            if bool(prior.present.any()):
                both = tuple(where_heard(prior, found, e) for found, e in zip(self._updated(prior, past, forecast), both, strict=True))
            record, members, first = record_of(prior), both[-1], k - len(past)
            memory = record.memory
            done = max(0, len(both) - self.lag)
            smoothed = tuple((first + i, e) for i, e in enumerate(both if k == end else both[:done]))
            past = both[done:]
            yield Stage(k, data.time(k), forecast, members, record, (members, past, () if memory is None else (memory,)), smoothed)

    def _updated(self, prior: Prior, past: tuple[Tensor, ...], forecast: Tensor) -> tuple[Tensor, ...]:
        """The ensembles of earlier times, and that of now, after the data."""
        inflation = as_inflation(self.filter.inflation)
        if inflation.adaptive is not None:
            variance = inflation.adaptive(prior)
            prior.notes.memory, prior.notes.numbers["inflation"] = variance, variance.sqrt()
            prior = prior.inflated(variance.sqrt())
        flat = [e.reshape(*prior.anomalies.shape) for e in past]
        means = [e.mean(-2) for e in flat]
        extended = replace(
            prior,
            mean=torch.cat([*means, prior.mean], -1),
            anomalies=torch.cat([*(e - m.unsqueeze(-2) for e, m in zip(flat, means, strict=True)), prior.anomalies], -1),
            # The past is treated as further channels of the state, which the instrument does not have.
            observation=_placed(prior),
            channels=prior.channels * (len(past) + 1),
        )
        mean, anomalies = self.filter.moments(extended)
        size = prior.mean.shape[-1]
        now = inflation(anomalies[..., -size:], prior.anomalies)
        anomalies = torch.cat([anomalies[..., :-size], now], -1)
        if self.filter.rotate:
            anomalies = rotation(tuple(anomalies.shape[:-2]), prior.size, anomalies, prior.generator) @ anomalies
        return tuple(part.reshape(forecast.shape) for part in (mean.unsqueeze(-2) + anomalies).split(size, -1))


def _placed(prior: Prior) -> Observation:
    """The instrument with its data's places written down, whatever the number of channels."""
    places = prior.observation.locations(prior.channels, prior.time)
    seen = function(lambda u: prior.observation(u, prior.time), locations=places)
    return Observation(seen, covariance=prior.observation.errors, grid=prior.grid)
