"""``sciml.cycle``: forecast, analyse, diagnose, and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from tqdm import tqdm

from sciml.assimilation import scores
from sciml.assimilation.observation import Observation
from sciml.assimilation.record import Record
from sciml.assimilation.stages import Assimilator, Data
from sciml.core.checks import check_whole
from sciml.core.errors import InputError
from sciml.core.propagator import Propagator, Stepper


@dataclass
class Cycles:
    """What :func:`cycle` returns.

    Attributes
    ----------
    times : of the analyses.
    series : numbers per cycle and experiment, ``(cycles, *batch)``: ``spread.f``, ``spread.a``, ``innovation`` (root mean square in standard
        deviations of the data), ``consistency``, ``dof``, ``increment``, ``rank``; with a truth also ``rmse.f``, ``rmse.a`` and ``crps``. "f" is
        the forecast, "a" the analysis.
    ranks : of the truth among the forecast members, counts ``(*batch, N + 1)`` over all cycles after the burn-in; None without a truth.
    mean : of the analyses, ``(cycles, *batch, channel, *space)``.
    ensemble : after the last analysis.
    """

    times: tuple[float, ...]
    series: dict[str, Tensor]
    ranks: Tensor | None
    mean: Tensor
    ensemble: Tensor
    notes: list[str] = field(default_factory=list)

    def score(self, name: str = "rmse.a", burn_in: int = 0) -> Tensor:
        """Mean over the cycles after ``burn_in`` of them, ``(*batch,)``."""
        if name not in self.series:
            more = "." if self.ranks is not None else "; with a truth there are errors too."
            raise InputError(f"cycle: no {name!r} was recorded; choose {', '.join(self.series)}{more}")
        if not 0 <= burn_in < len(self.times):
            raise InputError(f"cycle: burn_in={burn_in} given for {len(self.times)} cycles; a smaller number is needed.")
        return self.series[name][burn_in:].nanmean(0)


def cycle(
    step: Propagator | Stepper,
    analysis: Assimilator,
    observation: Observation,
    y: Tensor,
    ensemble: Tensor,
    *,
    generator: torch.Generator,
    every: int = 1,
    start: float = 0.0,
    truth: Tensor | None = None,
    burn_in: int = 0,
    progress: bool | Callable[[float], None] = False,
) -> Cycles:
    """Assimilate data one time after the other.

    Parameters
    ----------
    step : the forecast model: a solver, a neural operator, a representation of weights, a corrected model.
    analysis : such as ``sciml.LETKF(radius=8)``.
    observation : what made the data.
    y : data ``(cycles, *batch, m)``; NaN where missing, and a row of NaN is a forecast without analysis. Row k belongs to the time
        ``start + (k + 1) * every * step.dt``.
    ensemble : at ``start``, ``(*batch, member, channel, *space)``; every entry of the batch is an experiment of its own.
    generator : of random choices of the analysis.
    every : steps of the model between two times of data.
    truth : states ``(cycles, *batch, channel, *space)`` to measure errors by; no analysis sees it.
    burn_in : cycles whose ranks are not counted.
    progress : True shows a bar; a function is called with the fraction done.

    Raises InputError for shapes that do not fit, BlowUpError with the time and the members of a forecast that is no longer finite.
    """
    check_whole(1, who="cycle", every=every)
    _check(step, y, ensemble, truth)
    batch = ensemble.shape[: -2 - step.grid.ndim]
    names = ["spread.f", "spread.a", "innovation", "consistency", "dof", "increment", "rank"]
    names += [] if truth is None else ["rmse.f", "rmse.a", "crps"]
    series = {name: torch.empty((len(y), *batch), dtype=ensemble.dtype, device=ensemble.device) for name in names}
    counts: Tensor | None = None
    mean = torch.empty((len(y), *batch, *ensemble.shape[len(batch) + 1 :]), dtype=ensemble.dtype, device=ensemble.device)
    data, times, last = Data(step, observation.on(step.grid), y, every, start), [], ensemble
    stages = analysis.stages(data, ensemble, generator)
    for stage in tqdm(stages, total=len(y), disable=progress is not True, desc=type(analysis).__name__, mininterval=0.5):
        k, last = stage.number, stage.analysis
        f, a = (e.flatten(len(batch) + 1) for e in (stage.forecast, stage.analysis))
        true = None if truth is None else truth[k].flatten(len(batch))
        for name, value in _numbers(f, a, stage.record, true).items():
            series[name][k] = value
        times.append(stage.time)
        mean[k] = stage.analysis.mean(len(batch))
        if true is not None and k >= burn_in:
            now = scores.ranks(f, true)
            counts = now if counts is None else counts + now
        if callable(progress):
            progress((k + 1) / len(y))
    return Cycles(tuple(times), series, counts, mean, last)


def _numbers(forecast: Tensor, analysed: Tensor, record: Record, truth: Tensor | None) -> dict[str, Tensor]:
    found = {
        "spread.f": scores.spread(forecast),
        "spread.a": scores.spread(analysed),
        "innovation": (record.innovation.square() / record.noise_variance).nanmean(-1).sqrt(),
        "consistency": record.consistency,
        "dof": record.degrees_of_freedom,
        "increment": (analysed.mean(-2) - forecast.mean(-2)).square().mean(-1).sqrt(),
        "rank": scores.effective_rank(forecast),
    }
    if truth is not None:
        found |= {"rmse.f": scores.rmse(forecast, truth), "rmse.a": scores.rmse(analysed, truth), "crps": scores.crps(forecast, truth)}
    return found


def _check(step: Propagator | Stepper, y: Tensor, ensemble: Tensor, truth: Tensor | None) -> None:
    ndim = step.grid.ndim
    if not isinstance(ensemble, Tensor) or ensemble.ndim < 2 + ndim:
        shape = tuple(ensemble.shape) if isinstance(ensemble, Tensor) else type(ensemble).__name__
        raise InputError(f"cycle: an ensemble of shape {shape} given; (*batch, member, channel, *space) is expected on a grid {step.grid.shape}.")
    batch = ensemble.shape[: -2 - ndim]
    if not isinstance(y, Tensor) or y.ndim != 2 + len(batch) or tuple(y.shape[1:-1]) != tuple(batch):
        shape = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise InputError(f"cycle: data of shape {shape} given; {('cycles', *batch, 'm')} is expected.")
    if truth is not None and tuple(truth.shape) != (len(y), *batch, *ensemble.shape[len(batch) + 1 :]):
        expected = (len(y), *batch, *ensemble.shape[len(batch) + 1 :])
        raise InputError(f"cycle: a truth of shape {tuple(truth.shape)} given; {expected} is expected, the state at every time of data.")
