"""What cycles of forecasts and analyses leave behind, as numbers, words, files and datasets."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor

from sciml.core.derivatives import AXES
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.problem import Problem
from sciml.io.atomic import atomic_file
from sciml.io.dataset import to_dataset
from sciml.io.netcdf import save

SMALL = 0.2
"""A gain, or an innovation in its own standard deviations, below it is called small."""
UNSURE = 2.0
"""A consistency above it says that forecasts are further from the data than spread and errors allow."""


@dataclass
class Cycles:
    """What :func:`sciml.cycle` returns.

    Attributes
    ----------
    times : of the analyses.
    series : numbers per cycle and experiment, ``(cycles, *batch)``: ``spread.f``, ``spread.a``, ``innovation`` (root mean square in standard
        deviations of the data), ``consistency``, ``dof``, ``gain`` (mean over the data), ``data`` (how many there were), ``increment``, ``rank``,
        for some methods ``inflation`` or ``effective``; with a truth also ``rmse.f``, ``rmse.a`` and ``crps``. "f" is the forecast, "a" the
        analysis.
    ranks : of the truth among the forecast members, counts ``(*batch, N + 1)`` over all cycles after the burn-in; None without a truth.
    mean : of the analyses, ``(cycles, *batch, channel, *space)``.
    ensemble : after the last analysis.
    notes : on what else happened, such as members that were replaced.
    smoothed : of smoothers, the mean given the data of later cycles too, of the shape of ``mean``; None of filters. ``series`` then has
        ``spread.s``, and with a truth ``rmse.s`` and ``crps.s``.
    weights : of the members of ``ensemble``, ``(*batch, N)``; None if all weigh the same.
    grid : of the states.
    truth : that errors were measured by, of the shape of ``mean``; None without one.
    method : the analysis, in words.
    problem : that the truth solves, which names fields and units; :func:`sciml.twin` fills it in.
    """

    times: tuple[float, ...]
    series: dict[str, Tensor]
    ranks: Tensor | None
    mean: Tensor
    ensemble: Tensor
    notes: list[str] = field(default_factory=list)
    smoothed: Tensor | None = None
    weights: Tensor | None = None
    grid: Grid = field(default_factory=lambda: Grid((), ()))
    truth: Tensor | None = None
    method: str = ""
    problem: Problem | None = None

    def score(self, name: str = "rmse.a", burn_in: int = 0) -> Tensor:
        """Mean over the cycles after ``burn_in`` of them, ``(*batch,)``."""
        if name not in self.series:
            more = "." if self.ranks is not None else "; with a truth there are errors too."
            raise InputError(f"cycle: no {name!r} was recorded; choose {', '.join(self.series)}{more}")
        if not 0 <= burn_in < len(self.times):
            raise InputError(f"cycle: burn_in={burn_in} given for {len(self.times)} cycles; a smaller number is needed.")
        return self.series[name][burn_in:].nanmean(0)

    def solution(self, problem: Problem | None = None) -> xr.Dataset:
        """The means of the analyses as a trajectory with one variable per field, as :func:`sciml.solve` gives it: for ``sciml.plot`` and others.

        ``problem`` gives names, units and parameters (that of a twin experiment is known); without one fields are called u, or u0, u1 and so on.
        Experiments are its samples.
        """
        return self._labelled(self.mean, problem)

    def to_xarray(self, problem: Problem | None = None) -> xr.Dataset:
        """All of it: the solution, ``NAME_smoothed`` and ``NAME_truth`` where there are such, the series (``rmse_a`` for ``rmse.a``), the ranks, and
        the members after the last analysis as ``NAME_member``.
        """
        found = self.solution(problem)
        names = [str(name) for name in found.data_vars]
        extra: dict[str, Any] = {}
        for suffix, states in (("smoothed", self.smoothed), ("truth", self.truth)):
            if states is not None:
                labelled = self._labelled(states, problem)
                extra |= {f"{name}_{suffix}": labelled[name] for name in names}
        lead = self._lead
        for name, values in self.series.items():
            extra[name.replace(".", "_")] = (("time", *lead), _plain(values), {"long_name": name})
        if self.ranks is not None:
            extra["ranks"] = ((*lead, "rank_of_truth"), _plain(self.ranks), {"long_name": "how often the truth was above so many members"})
        for i, name in enumerate(names):
            members = _plain(self.ensemble.select(self.ensemble.ndim - 1 - self.grid.ndim, i))
            extra[f"{name}_member"] = ((*lead, "member", *AXES[: self.grid.ndim]), members, {"long_name": f"{name} of the members at the end"})
        if self.weights is not None:
            extra["weight"] = ((*lead, "member"), _plain(self.weights), {"long_name": "weight of the member at the end"})
        return found.assign(extra).assign_attrs(notes="\n".join(self.notes))

    def save(self, path: str | Path, problem: Problem | None = None) -> Path:
        """Write all of it to a NetCDF file (``.nc``), or the series to a table (``.csv``); the file appears when it is complete."""
        target = Path(path)
        if target.suffix.lower() == ".nc":
            return save(self.to_xarray(problem), target)
        if target.suffix.lower() != ".csv":
            raise InputError(f"Cannot write {target}: give a name that ends in .nc for all results, or in .csv for the series.")
        width = math.prod(next(iter(self.series.values())).shape[1:])
        columns = {name: values.detach().cpu().reshape(len(self.times), width) for name, values in self.series.items()}
        with atomic_file(target) as temporary, open(temporary, "w", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle)
            writer.writerow(["cycle", "time", "experiment", *columns])
            for k, time in enumerate(self.times):
                writer.writerows([k, repr(time), b, *(repr(float(column[k, b])) for column in columns.values())] for b in range(width))
        return target

    def explain(self, k: int, experiment: int = 0) -> str:
        """What analysis number k did and why, in words: spread, innovation, gain, degrees of freedom, and why the increment is as small as it is.

        ``experiment`` counts through the batch.
        """
        width = math.prod(next(iter(self.series.values())).shape[1:])
        if not -len(self.times) <= k < len(self.times) or not 0 <= experiment < width:
            have = f"{len(self.times)} cycles and {width} experiments"
            raise InputError(f"explain: cycle {k} of experiment {experiment} asked for; there are {have}, numbered from 0.")
        now = {name: float(values[k].reshape(-1)[experiment]) for name, values in self.series.items()}
        head = f"Cycle {k % len(self.times)}, t = {self.times[k]:.6g}"
        if not now["data"]:
            return f"{head}: no data. The analysis is the forecast, spread {now['spread.f']:.3g}."
        moved = f" = {now['increment'] / now['spread.f']:.2f} of it" if now["spread.f"] > 0 else ""
        lines = [
            f"{head}: {now['data']:.0f} data.",
            f"Spread of the forecast {now['spread.f']:.3g}, of the analysis {now['spread.a']:.3g}; the mean moved by {now['increment']:.3g}{moved}.",
            f"Innovation {now['innovation']:.3g} standard deviations of the data (root mean square); {math.sqrt(now['consistency']):.3g} of what "
            "spread and errors together give, where 1 is right.",
            f"Gain {now['gain']:.3g}: the part of its innovation that a datum alone would add. The data determined {now['dof']:.3g} numbers; the "
            f"spread has {now['rank']:.3g} directions.",
        ]
        if "rmse.f" in now:
            lines.append(f"Error of the forecast {now['rmse.f']:.3g}, of the analysis {now['rmse.a']:.3g}.")
        return "\n".join([*lines, *_reasons(now)])

    @property
    def _lead(self) -> tuple[str, ...]:
        """Names of the axes of the batch."""
        count = self.mean.ndim - 2 - self.grid.ndim
        return ("sample",) if count == 1 else tuple(f"sample_{i}" for i in range(count))

    def _labelled(self, states: Tensor, problem: Problem | None) -> xr.Dataset:
        problem = self.problem if problem is None else problem
        if problem is not None and len(self._lead) < 2:
            return to_dataset(states, self.times, self.grid, problem, {"method": self.method or None})
        channels = states.shape[1 + len(self._lead)]
        names: Sequence[str] = [f"u{i}" for i in range(channels)] if channels > 1 else ["u"]
        if problem is not None:
            names = problem.equation.fields
        axes = AXES[: self.grid.ndim]
        values = np.moveaxis(_plain(states), 0, len(self._lead))
        dims = (*self._lead, "time", *axes)
        coords: dict[str, Any] = {"time": np.asarray(self.times)} | {name: _plain(x) for name, x in zip(axes, self.grid.axes(), strict=True)}
        variables = {name: (dims, np.take(values, i, axis=1 + len(self._lead))) for i, name in enumerate(names)}
        return xr.Dataset(variables, coords, {"method": self.method})


def _reasons(now: dict[str, float]) -> list[str]:
    """Why an increment is small, or larger than it should be."""
    found = []
    if now["gain"] < SMALL and now["consistency"] > UNSURE:
        found.append(
            "The increment is small because the ensemble believes itself: its spread is small beside the errors of the data, yet the data are "
            "further off than both allow. More inflation, or more members, would let the data speak."
        )
    elif now["gain"] < SMALL:
        found.append("The increment is small because the spread is small beside the errors of the data: the forecast is the better source, and fits.")
    elif now["innovation"] ** 2 < SMALL * now["consistency"] or now["consistency"] < SMALL:
        found.append("The increment is small because forecast and data agree better than spread and errors would let expect.")
    elif now["consistency"] > UNSURE:
        found.append("Forecast and data differ more than spread and errors allow: the spread, or the errors given for the data, are too small.")
    if now["rank"] < 1.5 and now["dof"] > 0:
        found.append("Nearly all spread is along one direction, so the analysis can move the state along it alone; rotate, inflate or localise.")
    return found


def _plain(values: Tensor) -> np.ndarray:
    found: np.ndarray = values.detach().cpu().numpy()
    return found
