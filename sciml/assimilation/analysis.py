"""What every ensemble analysis shares: data in, ensemble out, and a record of what happened."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, final

import torch
from torch import Tensor

from sciml.assimilation.ensemble import Prior, prior_of
from sciml.assimilation.inflation import Inflation, as_inflation, rotation
from sciml.assimilation.observation import Observation
from sciml.assimilation.record import Record
from sciml.assimilation.stages import Assimilator, Data, Stage


class Analysis(Assimilator):
    """A rule that turns a forecast ensemble and data into an analysis ensemble; pure, batched, differentiable.

    Attributes
    ----------
    least : number of members that it needs.
    """

    least = 2

    @final
    def __call__(
        self, ensemble: Tensor, y: Tensor, observation: Observation, *, generator: torch.Generator, time: float = 0.0
    ) -> tuple[Tensor, Record]:
        """The analysis ensemble and its record.

        Parameters
        ----------
        ensemble : ``(*batch, member, channel, *space)``; every entry of the batch is an experiment of its own.
        y : data ``(*batch, m)``, NaN where missing. Without any the ensemble comes back as it was.
        observation : that made them, with its grid (``observation.on(grid)``).
        generator : of random choices.
        time : of the data, for instruments that move.

        Raises InputError for shapes that do not fit, too few members, members that are not finite and infinite data.
        """
        prior = prior_of(ensemble, y, observation, generator=generator, time=time, least=self.least, who=type(self).__name__)
        record = Record(
            torch.where(prior.present, prior.innovation, torch.nan),
            prior.shown.square().sum(-2) / max(prior.size - 1, 1),
            observation.errors.variances(prior.innovation.shape[-1], prior.innovation),
            prior.whitened,
        )
        heard = prior.present.any(-1)
        if not bool(heard.any()):
            return ensemble, record
        found = self.update(prior).reshape(ensemble.shape)
        return found if bool(heard.all()) else torch.where(heard.reshape(*heard.shape, *(1,) * (found.ndim - heard.ndim)), found, ensemble), record

    @abstractmethod
    def update(self, prior: Prior) -> Tensor:
        """The members after the analysis, ``(*batch, N, n)``."""

    @final
    def stages(self, data: Data, ensemble: Tensor, generator: torch.Generator, *, begin: int = 0, state: Any = None) -> Iterator[Stage]:
        members = ensemble if state is None else state
        for k in range(begin, len(data.y)):
            forecast = data.forecast(members, k)
            members, record = self(forecast, data.y[k], data.observation, generator=generator, time=data.time(k))
            yield Stage(k, data.time(k), forecast, members, record, members)


class EnsembleFilter(Analysis):
    """A filter whose ensemble is inflated, and if asked for rotated, after it has met the data.

    Attributes
    ----------
    inflation : a number multiplies all deviations; :class:`Inflation` knows more.
    rotate : mix the members by a random rotation that keeps mean and covariance.
    """

    inflation: float | Inflation
    rotate: bool

    @final
    def update(self, prior: Prior) -> Tensor:
        mean, anomalies = self.moments(prior)
        anomalies = as_inflation(self.inflation)(anomalies, prior.anomalies)
        if self.rotate:
            anomalies = rotation(tuple(anomalies.shape[:-2]), prior.size, anomalies, prior.generator) @ anomalies
        return mean.unsqueeze(-2) + anomalies

    @abstractmethod
    def moments(self, prior: Prior) -> tuple[Tensor, Tensor]:
        """Mean ``(*batch, n)`` and deviations ``(*batch, N, n)`` after the data."""
