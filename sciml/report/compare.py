"""The package's main job: several methods on one problem, side by side."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from sciml.core.checks import check_device
from sciml.core.errors import BlowUpError, InputError
from sciml.core.loading import load_problem
from sciml.core.problem import Problem
from sciml.io.atomic import atomic_file, atomic_folder
from sciml.io.netcdf import save
from sciml.io.reference import Coordinate, Dims, Variable, read_reference
from sciml.methods.base import Settings
from sciml.methods.registry import find_methods
from sciml.report.attempt import Stage, attempt, check_steady, own_truth, recipe_of
from sciml.report.document import write_document
from sciml.report.kept import Kept
from sciml.report.metrics import errors
from sciml.report.result import Comparison
from sciml.report.truth import ExactSolution, ReferenceFile
from sciml.solvers.solve import output_times

INTERVALS = {0: 400, 1: 100, 2: 20, 3: 8}
"""Output intervals when none are asked for, by number of space axes."""


def compare(
    problem: Problem | str,
    methods: Sequence[str] | None = None,
    out: str | Path = "report",
    *,
    reference: str | Path | None = None,
    variable: Variable | None = None,
    dims: Dims | None = None,
    coords: Mapping[str, Coordinate] | None = None,
    points: int | Sequence[int] | None = None,
    dt: float | None = None,
    times: int | Sequence[float] | None = None,
    end: float | None = None,
    parameters: Mapping[str, object] | None = None,
    seed: int = 0,
    dtype: torch.dtype | None = None,
    device: str = "cpu",
    budget: float | None = None,
    progress: Stage | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Comparison:
    """Run methods on a problem, measure them, and write a report.

    The folder ``out`` receives ``report.html`` (complete in itself), the figures as PNG, ``table.csv``,
    ``errors.csv`` and one NetCDF file per method and for the truth. It appears when it is complete; until then, and
    after an interruption, what is finished lies in ``out.partial``.

    Parameters
    ----------
    problem : a problem or its name; ``parameters`` go to a named one.
    methods : names; by default every usual one that applies.
    reference, variable, dims, coords : a file to compare with, and what is what in it, see :func:`sciml.read_reference`.
        Without it the exact solution is used if the problem has one, else a certified run of our own.
    points, dt, times, end, seed, dtype, device : see :func:`sciml.solve`, for every method alike.
    budget : seconds that a method may spend on training.
    progress : called with a label and a fraction.
    resume, overwrite : go on with an interrupted comparison of the same settings in ``out.partial``, or give it up. Finished methods are
        taken over with the cost that was measured then, and so is a finished certified run; what had failed runs again.

    Raises :class:`InputError` for bad input and :class:`BlowUpError` if no method finished.
    """
    if parameters and not isinstance(problem, str):
        raise InputError(f"compare: parameters {sorted(parameters)} go to a problem given by name; this one is made already.")
    case = load_problem(problem, parameters) if isinstance(problem, str) else problem
    chosen = find_methods(methods, case)
    check_device(device)
    tell = progress or (lambda label, fraction: None)
    if reference is None and any(given is not None for given in (variable, dims, coords)):
        raise InputError("compare: variable, dims and coords say what is in a reference file; give the file too.")
    if reference is not None and times is not None:
        raise InputError("compare: give a reference file, whose times are used, or times, not both.")
    # the file is read, and every setting refused that can be, before a folder is made or time is spent
    external = None if reference is None else ReferenceFile(case, read_reference(reference, variable, dims=dims, coords=coords), end)
    if case.steady:
        check_steady("compare", case, {"dt": dt, "times": times, "end": end})
        asked = [0.0]
    else:
        asked = output_times(case.horizon if end is None else end, INTERVALS[case.domain.ndim] if times is None else times)
    instants = asked if external is None else external.output_times
    settings = Settings(instants, case.grid(points).shape, dt, device, dtype, seed, budget)
    recipe = recipe_of(case, chosen, settings, external)
    with atomic_folder(out, resume=resume, overwrite=overwrite) as folder:
        kept = Kept(folder, recipe, case.equation.fields)
        truth = external or own_truth(case, settings, kept, tell)
        entries = tuple(attempt(method, case, settings, truth, kept, tell) for method in chosen)
        if not any(entry.finished for entry in entries):
            kept.drop("truth")  # there is nothing to go on with: it takes other settings to do better
            raise BlowUpError(f"No method finished on {case.name}. " + " ".join(f"{e.method.name}: {e.failure}" for e in entries))
        comparison = Comparison(case, truth, settings, entries, Path(out), dict(parameters or {}))
        comparison = replace(comparison, notes=_notes(comparison))
        tell("report", 0.0)
        _write_data(comparison, folder)
        write_document(comparison, folder)
        tell("report", 1.0)
    return comparison


def _notes(comparison: Comparison) -> tuple[str, ...]:
    """What a reader must know before believing the table."""
    problem, truth, first = comparison.problem, comparison.truth, comparison.finished[0]
    times, over_time = first.errors.times, first.errors.over_time
    notes = list(truth.notes)
    if times[0] == 0 and over_time[0] > 1e-6 and not problem.steady:
        notes.append(f"At t = 0 the {truth.kind} differs from the problem's initial state by {over_time[0]:.1e} (relative L2).")
    known = truth.uncertainty(times)
    if known is not None and known[-1] > 1e-2:
        good = times[known <= 1e-2]
        notes.append(
            f"The {truth.kind} is known to {known[-1]:.1e} only (relative L2); smaller errors say nothing about the methods. More points help."
            if problem.steady
            else
            f"The {truth.kind} is known to one percent only until t = {good[-1] if len(good) else 0:.4g}; later errors say nothing about the "
            "methods (chaotic solutions part exponentially). A shorter time or more points help."
        )
    if isinstance(truth, ReferenceFile) and problem.exact is not None:
        mine = errors(ExactSolution(problem).pair(first.result.dataset)).total
        notes.append(f"There is an exact solution too; at its own points {first.method.name} has a relative L2 error of {mine:.1e} against it.")
    return tuple(notes)


def _write_data(comparison: Comparison, folder: Path) -> None:
    done, rows = comparison.finished, comparison.table
    with atomic_file(folder / "table.csv") as path, open(path, "w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with atomic_file(folder / "errors.csv") as path, open(path, "w", newline="") as handle:
        lines = csv.writer(handle)
        lines.writerow(["time", *(e.method.name for e in done)])
        lines.writerows(zip(done[0].errors.times, *(e.errors.over_time for e in done), strict=True))
    truth = comparison.truth.as_dataset(comparison.problem, done[0].result.dataset)
    if truth is not None:
        save(truth, folder / "truth.nc")
