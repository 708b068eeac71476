"""What any method should beat: the mean of a long run, and what data add to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sciml.assimilation.covariance import sampled_covariance
from sciml.assimilation.record import Record
from sciml.assimilation.stages import Assimilator, Data, Stage
from sciml.assimilation.variational import ThreeDVar
from sciml.core.errors import InputError


@dataclass(frozen=True, eq=False)
class Climatology(Assimilator):
    """The mean of a long run as forecast and analysis at every time, whatever the data; its standard deviation is the spread.

    Parameters
    ----------
    states : of a long run of the model, ``(samples, channel, *space)``, at least two.
    """

    states: Tensor

    def __post_init__(self) -> None:
        sampled_covariance(self.states)

    def stages(self, data: Data, ensemble: Tensor, generator: torch.Generator, *, begin: int = 0, state: Any = None) -> Iterator[Stage]:
        for k, mean, _, record in updates(self.states, data, ensemble, generator, begin):
            assert record.spread is not None
            known = Record(record.innovation, record.prior_variance, record.noise_variance, record.whitened, (record.spread[0], record.spread[0]))
            yield Stage(k, data.time(k), mean, mean, known, mean)


@dataclass(frozen=True, eq=False)
class OptimalInterpolation(Assimilator):
    r"""Every analysis starts from the climatological mean: :math:`x_a=\bar x_c+B_cH^T(HB_cH^T+R)^{-1}(y-H\bar x_c)`. No model is run.

    Parameters
    ----------
    states : of a long run of the model, ``(samples, channel, *space)``, at least two; :math:`\bar x_c,B_c` are their mean and covariance.

    L. S. Gandin, Objective Analysis of Meteorological Fields (1963; in English 1965).
    """

    states: Tensor

    def __post_init__(self) -> None:
        sampled_covariance(self.states)

    def stages(self, data: Data, ensemble: Tensor, generator: torch.Generator, *, begin: int = 0, state: Any = None) -> Iterator[Stage]:
        for k, mean, analysed, record in updates(self.states, data, ensemble, generator, begin):
            yield Stage(k, data.time(k), mean, analysed, record, analysed)


def updates(states: Tensor, data: Data, ensemble: Tensor, generator: torch.Generator, begin: int) -> Iterator[tuple[int, Tensor, Tensor, Record]]:
    """Number, climatological mean, analysis from it, and record of every row; ensembles of the shape of the one given."""
    axis = ensemble.ndim - 2 - data.step.grid.ndim
    if states.shape[1:] != ensemble.shape[axis + 1 :]:
        raise InputError(f"Climatology: states of shape {tuple(states.shape[1:])} given for members of shape {tuple(ensemble.shape[axis + 1 :])}.")
    mean = states.mean(0).to(ensemble).expand(*ensemble.shape[:axis], 1, *ensemble.shape[axis + 1 :])
    analysis = ThreeDVar(sampled_covariance(states))
    for k in range(begin, len(data.y)):
        found, record = analysis(mean, data.y[k], data.observation, generator=generator, time=data.time(k))
        yield k, mean.expand(ensemble.shape), found.expand(ensemble.shape), record
