"""``sciml.assimilate``: a twin experiment with several methods, and its scores, figures and data in a folder."""

from __future__ import annotations

import csv
import json
import math
import time as clock
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sciml.assimilation.cycles import Cycles
from sciml.assimilation.methods import ANALYSES, analysis
from sciml.assimilation.stages import Assimilator
from sciml.assimilation.twin import Twin
from sciml.core.errors import BlowUpError, InputError, SciMLError
from sciml.io.atomic import atomic_file, atomic_folder
from sciml.io.dataset import parameters_of
from sciml.report.cycles import draw_cycles
from sciml.report.document import machine, seconds
from sciml.report.page import Cell, Picture, page, png_of

COLUMNS = ("rmse.f", "rmse.a", "rmse.s", "spread.a", "crps", "consistency")
"""Series whose means are scores."""
CAPTION = (
    "Above: root mean square error and spread over time; how often the truth was above so many members, relative to a reliable ensemble. Below: the "
    "truth, the mean of the analyses and the distance between them."
)
Stage = Callable[[str, float], None]


@dataclass(frozen=True)
class Row:
    """One method of an experiment.

    Attributes
    ----------
    name, options : of the method.
    run : its cycles; None if it failed.
    seconds : that it took.
    failure : why, if it failed.
    """

    name: str
    options: Mapping[str, Any]
    run: Cycles | None
    seconds: float = 0.0
    failure: str = ""


@dataclass(frozen=True)
class Experiment:
    """What :func:`assimilate` returns.

    Attributes
    ----------
    twin : the experiment.
    rows : per method.
    burn_in : cycles that scores leave out.
    folder : with everything that was written.
    """

    twin: Twin
    rows: tuple[Row, ...]
    burn_in: int
    folder: Path

    @property
    def table(self) -> list[dict[str, Any]]:
        """Per method its scores, means over cycles and experiments, and the standard error of ``rmse.a`` over experiments if there are several."""
        return [self._scores(row) for row in self.rows if row.run is not None]

    @property
    def published(self) -> dict[str, float]:
        """The errors of analyses that the problem lists, best first."""
        found = {name: float(score["rmse.a"]) for name, score in self.twin.problem.scores.items() if "rmse.a" in score}
        return dict(sorted(found.items(), key=lambda entry: entry[1]))

    def _scores(self, row: Row) -> dict[str, Any]:
        assert row.run is not None
        result: dict[str, Any] = {"method": row.name}
        for name in COLUMNS:
            known = name in row.run.series
            result[name] = float(row.run.score(name, self.burn_in).mean()) if known else math.nan
        errors = row.run.score("rmse.a", self.burn_in).flatten()
        result["standard_error"] = float(errors.std() / len(errors) ** 0.5) if len(errors) > 1 else math.nan
        return {**result, "seconds": row.seconds, "options": json.dumps(dict(row.options))}


def assimilate(
    experiment: Twin,
    methods: Mapping[str, Mapping[str, Any]] | Sequence[str],
    out: str | Path = "assimilation",
    *,
    burn_in: int | None = None,
    seed: int = 0,
    progress: Stage | None = None,
    resume: bool = False,
    overwrite: bool = False,
    command: str = "",
) -> Experiment:
    """Run methods on a twin experiment, and write their scores, figures and data.

    The folder ``out`` receives ``report.html`` (complete in itself), ``scores.csv``, and for each method ``NAME.nc`` (everything),
    ``NAME.csv`` (its series) and ``NAME.png``. It appears when it is complete; until then, and after an interruption, what is finished lies in
    ``out.partial``, where ``resume`` goes on with it.

    Parameters
    ----------
    experiment : see :func:`sciml.twin`; all methods meet the same data and the same first members.
    methods : names with their options, such as ``{"letkf": {"radius": 4.0, "inflation": 1.04}}``; names alone take none.
    burn_in : cycles that scores and ranks leave out; a third by default.
    seed : of the random choices of each method.
    progress : called with a label and a fraction.
    resume, overwrite : go on with an interrupted experiment of the same settings, or give it up.
    command : what made the experiment, for the page.

    Raises :class:`InputError` for bad input and :class:`BlowUpError` if no method finished; one that fails is a row that says why.
    """
    chosen = dict(methods) if isinstance(methods, Mapping) else {name: {} for name in methods}
    if not chosen:
        raise InputError(f"assimilate: no method given; choose among {', '.join(ANALYSES)}.")
    made = {name: analysis(name, options) for name, options in chosen.items()}
    cycles = len(experiment.y)
    burn = cycles // 3 if burn_in is None else burn_in
    if not 0 <= burn < cycles:
        raise InputError(f"assimilate: burn_in={burn} given for {cycles} cycles; a smaller number is needed.")
    tell = progress or (lambda label, fraction: None)
    with atomic_folder(out, resume=resume, overwrite=overwrite) as folder:
        rows = tuple(_attempt(name, options, made[name], experiment, burn, seed, folder, tell) for name, options in chosen.items())
        found = Experiment(experiment, rows, burn, Path(out))
        if not found.table:
            _forget(folder, chosen)  # there is nothing to go on with: it takes other settings to do better
            raise BlowUpError(f"No method finished on {experiment.problem.name}. " + " ".join(f"{row.name}: {row.failure}" for row in rows))
        pictures = []
        for row in rows:
            if row.run is not None:
                row.run.save(folder / f"{row.name}.nc")
                row.run.save(folder / f"{row.name}.csv")
                png = png_of(draw_cycles(row.run))
                with atomic_file(folder / f"{row.name}.png") as path:
                    path.write_bytes(png)
                pictures.append(Picture(row.name, png, CAPTION))
        with atomic_file(folder / "scores.csv") as path, open(path, "w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, list(found.table[0]))
            writer.writeheader()
            writer.writerows(found.table)
        with atomic_file(folder / "report.html") as path:
            path.write_text(_page(found, pictures, command), encoding="utf-8")
        _forget(folder, chosen)
    return found


def _attempt(name: str, options: Mapping[str, Any], made: Assimilator, experiment: Twin, burn_in: int, seed: int, folder: Path, tell: Stage) -> Row:
    """One method; what goes wrong inside it becomes its row, and the others go on."""
    tell(name, 0.0)
    kept = folder / _unfinished(name)
    there, steps = kept.exists(), 0
    begun = clock.perf_counter()

    def report(fraction: float) -> None:
        nonlocal steps
        steps += 1
        tell(name, fraction)

    try:
        run = experiment.run(made, seed=seed, burn_in=burn_in, progress=report, checkpoint=kept, resume=there)
    except SciMLError as error:
        if there and not steps and isinstance(error, InputError):  # what is there cannot be gone on with
            raise InputError(f"{error} Give --overwrite (overwrite=True) to start anew.") from error
        return Row(name, options, None, failure=str(error))
    finally:
        tell(name, 1.0)
    return Row(name, options, run, clock.perf_counter() - begun)


def _unfinished(name: str) -> str:
    """The file of a method's cycles, which counts as something to go on with."""
    return f"{name}.unfinished.pt"


def _forget(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        (folder / _unfinished(name)).unlink(missing_ok=True)


def _page(found: Experiment, pictures: Sequence[Picture], command: str) -> str:
    problem, experiment = found.twin.problem, found.twin
    rows: list[tuple[str, Sequence[Cell]]] = []
    scores = {entry["method"]: entry for entry in found.table}
    shown = [column for column in COLUMNS if any(not math.isnan(entry[column]) for entry in scores.values())]
    for row in found.rows:
        if row.run is None:
            rows.append((row.name, [Cell(row.failure, span=len(shown) + 1)]))
        else:
            numbers = [Cell("–" if math.isnan(value := scores[row.name][column]) else f"{value:.4g}") for column in shown]
            rows.append((row.name, [*numbers, Cell(seconds(row.seconds))]))
    for name, error in found.published.items():
        rows.append((f"published: {name}", [*(Cell(f"{error:.4g}" if column == "rmse.a" else "") for column in shown), Cell("")]))
    batch = math.prod(experiment.y.shape[1:-1])
    introduction = [f"Case: {problem.reference}."] if problem.reference else []
    return page(
        title=f"{problem.name}: assimilation",
        equation=problem.equation.latex().split(r" \\ "),
        introduction=introduction,
        head=("Method", *shown, "Wall time"),
        rows=rows,
        caption=(
            f"Means over {len(experiment.y) - found.burn_in} cycles after {found.burn_in}, and {batch} experiment{'s' if batch > 1 else ''}. "
            "rmse: root mean square error of the mean of the forecasts (f), analyses (a) and smoothed states (s); spread: of the members; crps: "
            "continuous ranked probability score of forecasts; consistency: squared innovations over what spread and errors let expect, 1 if they "
            "are right."
        ),
        pictures=pictures,
        details={
            "Settings": {
                "parameters": json.dumps(parameters_of(problem)),
                "data": f"{experiment.y.shape[-1]} every {experiment.interval:.6g}, {len(experiment.y)} times",
                "members": str(experiment.ensemble.shape[experiment.y.ndim - 2]),
                "model": repr(experiment.step) if hasattr(experiment.step, "encode") else type(experiment.step).__name__,
                **{row.name: f"{ANALYSES[row.name][1]}; {json.dumps(dict(row.options))}" for row in found.rows},
                "precision": str(experiment.ensemble.dtype).removeprefix("torch."),
                "threads": str(torch.get_num_threads()),
            },
            "Machine and versions": machine(str(experiment.ensemble.device)),
        },
        command=command or "sciml.assimilate(...)",
    )
