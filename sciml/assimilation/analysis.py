"""What every ensemble analysis shares: data in, ensemble out, and a record of what happened."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor

from sciml.assimilation.ensemble import Prior, prior_of
from sciml.assimilation.inflation import Inflated, as_inflation, rotation
from sciml.assimilation.observation import Observation
from sciml.assimilation.record import Record
from sciml.assimilation.stages import Assimilator, Data, Stage


class Analysis(Assimilator):
    """A rule that turns a forecast ensemble and data into an analysis ensemble; pure, batched, differentiable.

    Attributes
    ----------
    least : number of members that it needs.
    weighted : whether its memory are weights of the members, ``(*batch, N)``.
    """

    least = 2
    weighted = False

    @final
    def __call__(
        self, ensemble: Tensor, y: Tensor, observation: Observation, *, generator: torch.Generator, time: float = 0.0, memory: Tensor | None = None
    ) -> tuple[Tensor, Record]:
        """The analysis ensemble and its record.

        Parameters
        ----------
        ensemble : ``(*batch, member, channel, *space)``; every entry of the batch is an experiment of its own.
        y : data ``(*batch, m)``, NaN where missing. Without any the ensemble comes back as it was.
        observation : that made them, with its grid (``observation.on(grid)``).
        generator : of random choices.
        time : of the data, for instruments that move.
        memory : of the record of the analysis before, for what adapts from cycle to cycle; None begins anew.

        Raises InputError for shapes that do not fit, too few members, members that are not finite and infinite data.
        """
        prior = prior_of(ensemble, y, observation, generator=generator, time=time, least=self.least, who=type(self).__name__)
        prior = replace(prior, memory=self.first(prior) if memory is None else memory)
        if not bool(prior.present.any()):
            return ensemble, self._record(prior)
        found = where_heard(prior, self.update(prior).reshape(ensemble.shape), ensemble)
        return found, self._record(prior)

    def _record(self, prior: Prior) -> Record:
        if not self.weighted or prior.memory is None:
            return record_of(prior)
        record = record_of(prior.weighted(prior.memory))
        return record.weighing(prior.memory, prior.memory if record.memory is None else record.memory)

    def first(self, prior: Prior) -> Tensor | None:
        """The memory of an analysis that has not seen any data, ``(*batch, ...)``; None of one that needs none."""
        return None

    @abstractmethod
    def update(self, prior: Prior) -> Tensor:
        """The members after the analysis, ``(*batch, N, n)``."""

    @final
    def stages(self, data: Data, ensemble: Tensor, generator: torch.Generator, *, begin: int = 0, state: Any = None) -> Iterator[Stage]:
        members, memory = (ensemble, None) if state is None else (state, None) if isinstance(state, Tensor) else state
        for k in range(begin, len(data.y)):
            forecast = data.forecast(members, k)
            members, record = self(forecast, data.y[k], data.observation, generator=generator, time=data.time(k), memory=memory)
            memory = record.memory
            yield Stage(k, data.time(k), forecast, members, record, members if memory is None else (members, memory))


class EnsembleFilter(Analysis):
    """A filter whose ensemble is inflated, and if asked for rotated, after it has met the data.

    Attributes
    ----------
    inflation : a number multiplies all deviations; :class:`Inflation` and :class:`AdaptiveInflation` know more.
    rotate : mix the members by a random rotation that keeps mean and covariance.
    """

    inflation: Inflated
    rotate: bool

    @final
    def first(self, prior: Prior) -> Tensor | None:
        adaptive = as_inflation(self.inflation).adaptive
        return None if adaptive is None else adaptive.first(prior)

    @final
    def update(self, prior: Prior) -> Tensor:
        inflation = as_inflation(self.inflation)
        if inflation.adaptive is not None:
            variance = inflation.adaptive(prior)
            prior.notes.memory, prior.notes.numbers["inflation"] = variance, variance.sqrt()
            prior = prior.inflated(variance.sqrt())
        mean, anomalies = self.moments(prior)
        anomalies = inflation(anomalies, prior.anomalies)
        if self.rotate:
            anomalies = rotation(tuple(anomalies.shape[:-2]), prior.size, anomalies, prior.generator) @ anomalies
        return mean.unsqueeze(-2) + anomalies

    @abstractmethod
    def moments(self, prior: Prior) -> tuple[Tensor, Tensor]:
        """Mean ``(*batch, n)`` and deviations ``(*batch, N, n)`` after the data."""


def record_of(prior: Prior) -> Record:
    """What an ensemble told before it met the data, and what its analysis noted."""
    notes, memory = prior.notes, prior.memory
    if notes.memory is not None:
        memory = notes.memory if memory is None else where_heard(prior, notes.memory, memory)
    return Record(
        torch.where(prior.present, prior.innovation, torch.nan),
        prior.shown.square().sum(-2) / max(prior.size - 1, 1),
        prior.observation.errors.variances(prior.innovation.shape[-1], prior.innovation),
        prior.whitened,
        errors=prior.observation.errors,
        memory=memory,
        numbers={name: where_heard(prior, value, torch.full_like(value, torch.nan)) for name, value in notes.numbers.items()},
    )


def where_heard(prior: Prior, found: Tensor, before: Tensor) -> Tensor:
    """``found`` ``(*batch, ...)`` in experiments that have data, ``before`` in those without any."""
    heard = prior.present.any(-1)
    return found if bool(heard.all()) else torch.where(heard.reshape(*heard.shape, *(1,) * (found.ndim - heard.ndim)), found, before)
