"""Several methods in several sizes each on one problem: error against memory and time as curves."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from sciml.core.checks import check_device
from sciml.core.equation import Equation
from sciml.core.errors import BlowUpError, InputError
from sciml.core.loading import load_problem
from sciml.core.problem import Problem
from sciml.io.atomic import atomic_file, atomic_folder
from sciml.methods.base import POINTS, Method, Settings
from sciml.methods.registry import find_methods
from sciml.report.attempt import Stage, attempt, check_steady, own_truth, recipe_of
from sciml.report.curves import write_curves
from sciml.report.kept import Kept
from sciml.report.result import Rung, WorkPrecision
from sciml.report.truth import Truth
from sciml.solvers.solve import output_times

Sizes = Sequence[int] | Mapping[str, Sequence[int]]

ROUNDING = 1e-12
"""Uncertainty of a truth that nobody need be told of."""


def work_precision(
    problem: Problem | str,
    methods: Sequence[str] | None = None,
    sizes: Sizes | None = None,
    out: str | Path = "work_precision",
    *,
    points: int | Sequence[int] | None = None,
    dt: float | None = None,
    end: float | None = None,
    parameters: Mapping[str, object] | None = None,
    seed: int = 0,
    dtype: torch.dtype | None = None,
    device: str = "cpu",
    budget: float | None = None,
    progress: Stage | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> WorkPrecision:
    """Run each method in several sizes, from the initial state to the end, and draw its error against memory and time.

    The folder ``out`` receives ``report.html`` (complete in itself), ``work_precision.png``, ``table.csv`` and one NetCDF file per run. As with
    :func:`compare` it appears when it is complete, and until then what is finished lies in ``out.partial``. A run that fails is a row that says why.

    Parameters
    ----------
    problem : a problem or its name; ``parameters`` go to a named one.
    methods : names; by default every usual one that applies.
    sizes : what to run: points per axis of methods on grids, hidden units per layer ("width") of networks. A list is for methods on grids, or for
        all if they have one kind of size; a dictionary has lists under names of methods or kinds, such as
        ``{"points": [32, 64], "width": [8, 12], "rk4": [32]}``. Methods for which there is none take a ladder of their own.
    points : where networks are evaluated, which have no samples of their own; by default the problem's. Without an exact solution the truth is a
        certified run with twice as many, or twice the largest size.
    dt, end, seed, dtype, device : see :func:`sciml.solve`, for every run alike; without ``dt`` every method chooses its own step.
    budget : seconds that a method may spend on training, in each size.
    progress : called with a label and a fraction.
    resume, overwrite : as for :func:`compare`.

    Raises :class:`InputError` for bad input and :class:`BlowUpError` if no run finished.

    >>> found = sciml.work_precision("burgers:raissi2019", ["etdrk4", "inr"], {"points": [32, 64], "inr": [8]}, end=0.2)     # doctest: +SKIP
    >>> [(row["method"], row["state_bytes"], row["relative_l2_final"]) for row in found.table]                              # doctest: +SKIP
    """
    if parameters and not isinstance(problem, str):
        raise InputError(f"work_precision: parameters {sorted(parameters)} go to a problem given by name; this one is made already.")
    case = load_problem(problem, parameters) if isinstance(problem, str) else problem
    if case.domain.ndim == 0 or (isinstance(case.equation, Equation) and case.equation.lattice):
        raise InputError(f"work_precision: {case.name} is an ordinary system, whose size is given; sciml.compare runs it.")
    chosen = find_methods(methods, case)
    ladders = ladders_of(chosen, case, sizes)
    check_device(device)
    tell = progress or (lambda label, fraction: None)
    if case.steady:
        check_steady("work_precision", case, {"dt": dt, "end": end})
    instants = [0.0] if case.steady else output_times(case.horizon if end is None else end, 1)
    settings = Settings(instants, case.grid(points).shape, dt, device, dtype, seed, budget)
    recipe = recipe_of(case, chosen, settings) | {"sizes": ladders}
    largest = max((ladder[-1] for method, ladder in zip(chosen, ladders.values(), strict=True) if method.size_is == POINTS), default=0)
    fine = Settings(instants, tuple(max(n, largest) for n in case.grid(points).shape), seed=seed)
    with atomic_folder(out, resume=resume, overwrite=overwrite) as folder:
        kept = Kept(folder, recipe, case.equation.fields)
        truth = own_truth(case, fine, kept, tell)
        rungs = tuple(
            Rung(size, attempt(method, case, method.sized(settings, size), truth, kept, tell, f"{method.name}_{size}"))
            for method in chosen
            for size in ladders[method.name]
        )
        found = WorkPrecision(case, truth, settings, rungs, Path(out), dict(parameters or {}), _notes(truth, rungs))
        if not any(found.curves.values()):
            kept.drop("truth")  # there is nothing to go on with: it takes other settings to do better
            reasons = " ".join(f"{rung.entry.method.name}, size {rung.size}: {rung.entry.failure}" for rung in rungs)
            raise BlowUpError(f"No run finished on {case.name}. {reasons}")
        with atomic_file(folder / "table.csv") as path, open(path, "w", newline="") as handle:
            writer = csv.DictWriter(handle, list(found.table[0]))
            writer.writeheader()
            writer.writerows(found.table)
        write_curves(found, folder)
    return found


def ladders_of(methods: Sequence[Method], problem: Problem, sizes: Sizes | None) -> dict[str, tuple[int, ...]]:
    """The sizes of every method, increasing; :class:`InputError` for what are none, and for names that nothing answers to."""
    given: Mapping[str, Sequence[int]]
    kinds = {method.size_is for method in methods}
    if isinstance(sizes, Mapping):
        given = sizes
    elif sizes is None:
        given = {}
    else:
        given = {next(iter(kinds)) if len(kinds) == 1 else POINTS: sizes}
    for name, ladder in given.items():
        if name not in kinds | {method.name for method in methods}:
            known = ", ".join(sorted(kinds | {method.name for method in methods}))
            raise InputError(f"work_precision: sizes for {name!r} given, which is none of {known}; name a method, or what its size counts.")
        wrong = isinstance(ladder, str) or not isinstance(ladder, Sequence) or not ladder or any(type(n) is not int or n < 1 for n in ladder)
        if wrong or len(set(ladder)) < len(ladder):
            raise InputError(f"work_precision: sizes {ladder!r} of {name} given; one or more different whole numbers from 1 on are needed.")
    return {m.name: tuple(sorted(given.get(m.name, given.get(m.size_is, m.ladder(problem))))) for m in methods}


def _notes(truth: Truth, rungs: Sequence[Rung]) -> tuple[str, ...]:
    """What a reader must know before believing the curves."""
    notes = list(truth.notes)
    done = [rung.entry.finished for rung in rungs if rung.entry.finished is not None]
    known = truth.uncertainty(done[0].errors.times) if done else None
    if known is not None and known[-1] > ROUNDING and min(entry.errors.final for entry in done) < 2 * known[-1]:
        notes.append(
            f"The {truth.kind} is known to {known[-1]:.1e} only (relative L2); errors about as small say nothing about the methods. "
            "More points, or a shorter time, help."
        )
    return tuple(notes)
