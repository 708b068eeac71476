"""What is counted while cycles run: series of numbers, means, ranks; all of it can be put down and taken up again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sciml.assimilation import scores
from sciml.assimilation.cycles import Cycles
from sciml.assimilation.record import Record
from sciml.assimilation.stages import Stage
from sciml.core.grid import Grid


class Tally:
    """The series and means of cycles so far.

    Parameters
    ----------
    cycles : how many there will be.
    ensemble : the first, whose shape, precision and device the others have.
    grid : of the states.
    truth : ``(cycles, *batch, channel, *space)``, or None.
    burn_in : cycles whose ranks are not counted.
    """

    def __init__(self, cycles: int, ensemble: Tensor, grid: Grid, truth: Tensor | None, burn_in: int) -> None:
        self.axis = ensemble.ndim - 2 - grid.ndim
        self.truth, self.burn_in, self.grid, self.last = truth, burn_in, grid, ensemble
        self.times: list[float] = []
        self.notes: list[str] = []
        self.series: dict[str, Tensor] = {}
        self.counts: Tensor | None = None
        batch, state = ensemble.shape[: self.axis], ensemble.shape[self.axis + 1 :]
        self.blank = torch.full((cycles, *batch), torch.nan, dtype=ensemble.dtype, device=ensemble.device)
        self.mean = self.blank.new_empty((cycles, *batch, *state))
        self.smoothed: Tensor | None = None
        self.weights: Tensor | None = None

    def add(self, stage: Stage) -> None:
        """Count a stage."""
        k, self.last = stage.number, stage.analysis
        f, a = (e.flatten(self.axis + 1) for e in (stage.forecast, stage.analysis))
        true = self._true(k)
        before, self.weights = stage.record.weights or (None, None)
        self._note(k, numbers(f, a, stage.record, true))
        self.times.append(stage.time)
        self.mean[k] = scores.mean(a, self.weights).reshape(self.mean[k].shape)
        for number, later in stage.smoothed:
            self.smoothed = torch.full_like(self.mean, torch.nan) if self.smoothed is None else self.smoothed
            self.smoothed[number] = later.mean(self.axis)
            self._note(number, smoothed_numbers(later.flatten(self.axis + 1), self._true(number)))
        if true is not None and k >= self.burn_in:
            now = scores.ranks(f, true, before)
            self.counts = now if self.counts is None else self.counts + now

    def content(self) -> dict[str, Any]:
        """All that was counted so far, rows of later cycles left out."""
        done = len(self.times)
        return {
            "times": list(self.times),
            "notes": list(self.notes),
            "series": {name: values[:done] for name, values in self.series.items()},
            "mean": self.mean[:done],
            "smoothed": None if self.smoothed is None else self.smoothed[:done],
            "counts": self.counts,
            "weights": self.weights,
            "last": self.last,
        }

    def restore(self, content: dict[str, Any]) -> None:
        """Go on from what :meth:`content` gave."""
        self.times, self.counts, self.weights, self.last = content["times"], content["counts"], content["weights"], content["last"]
        self.notes.extend(content["notes"])  # the forecasts add to this very list
        done = len(self.times)
        for name, values in content["series"].items():
            self.series[name] = self.blank.clone()
            self.series[name][:done] = values
        self.mean[:done] = content["mean"]
        if content["smoothed"] is not None:
            self.smoothed = torch.full_like(self.mean, torch.nan)
            self.smoothed[:done] = content["smoothed"]

    def cycles(self, method: str) -> Cycles:
        """The result."""
        return Cycles(
            tuple(self.times), self.series, self.counts, self.mean, self.last, self.notes, self.smoothed, self.weights, self.grid, self.truth, method
        )

    def _true(self, k: int) -> Tensor | None:
        return None if self.truth is None else self.truth[k].flatten(self.axis)

    def _note(self, k: int, found: dict[str, Tensor]) -> None:
        for name, value in found.items():
            if name not in self.series:
                self.series[name] = self.blank.clone()
            self.series[name][k] = value


def numbers(forecast: Tensor, analysed: Tensor, record: Record, truth: Tensor | None) -> dict[str, Tensor]:
    """The numbers of one analysis, from flat members ``(*batch, N, n)`` and the flat truth."""
    before, after = record.weights or (None, None)
    present = ~torch.isnan(record.innovation)
    found = {
        "spread.f": scores.spread(forecast, before) if record.spread is None else record.spread[0],
        "spread.a": scores.spread(analysed, after) if record.spread is None else record.spread[1],
        "innovation": (record.innovation.square() / record.noise_variance).nanmean(-1).sqrt(),
        "consistency": record.consistency,
        "dof": record.degrees_of_freedom,
        "gain": torch.where(present, record.gain, torch.nan).nanmean(-1),
        "data": present.sum(-1).to(forecast.dtype),
        "increment": (scores.mean(analysed, after) - scores.mean(forecast, before)).square().mean(-1).sqrt(),
        "rank": scores.effective_rank(forecast, before),
        **record.numbers,
    }
    if truth is not None:
        found["rmse.f"], found["rmse.a"] = scores.rmse(forecast, truth, before), scores.rmse(analysed, truth, after)
        found["crps"] = scores.crps(forecast, truth, before)
    return found


def smoothed_numbers(ensemble: Tensor, truth: Tensor | None) -> dict[str, Tensor]:
    """The numbers of members ``(*batch, N, n)`` that later data have changed."""
    found = {"spread.s": scores.spread(ensemble)}
    return found if truth is None else found | {"rmse.s": scores.rmse(ensemble, truth), "crps.s": scores.crps(ensemble, truth)}
