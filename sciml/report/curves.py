"""Curves of error against memory and time as a figure and a page."""

from __future__ import annotations

import json
from pathlib import Path

from sciml.io.atomic import atomic_file
from sciml.io.dataset import parameters_of
from sciml.methods.base import POINTS
from sciml.report.costs import draw_curves
from sciml.report.document import amount, machine, memory, scientific, seconds
from sciml.report.page import Cell, Picture, page, png_of
from sciml.report.result import Finished, Rung, WorkPrecision

HEAD = ("Method", "Size", "State", "Error at the end", "Wall time", "Peak memory", "Step", "Steps")
STEADY_HEAD = ("Method", "Size", "State", "Error", "Wall time", "Peak memory", "Iterations")
CAPTION = (
    "Left: error against the memory of a state, the samples of the fields or the weights of a network. Right: against wall time, everything "
    "that a method had to do included. Down and to the left is better; along a line the size grows."
)


def write_curves(found: WorkPrecision, folder: Path) -> None:
    """Write ``work_precision.png`` and ``report.html`` into ``folder``."""
    problem, truth = found.problem, found.truth
    times = next(done.errors.times for curve in found.curves.values() for _, done in curve)
    known = truth.uncertainty(times)
    png = png_of(draw_curves(found.curves, None if known is None else float(known[-1]), truth.kind))
    with atomic_file(folder / "work_precision.png") as path:
        path.write_bytes(png)
    kinds = {rung.entry.method.name: rung.entry.method.size_is for rung in found.rungs}
    others = "".join(f"; of {name}, {kind}" for name, kind in kinds.items() if kind != POINTS)
    introduction = [f"Compared with: {truth.description}", *found.notes]
    if problem.reference:
        introduction.insert(0, f"Case: {problem.reference}.")
    text = page(
        title=problem.name,
        equation=problem.equation.latex().split(r" \\ "),
        introduction=introduction,
        head=STEADY_HEAD if problem.steady else HEAD,
        rows=[(rung.entry.method.name, _cells(rung, problem.steady)) for rung in found.rungs],
        caption=(
            f"Errors are relative L2 norms against the {truth.kind}. State is the memory of all that stands for the fields at one time, peak memory "
            f"what the run added to the process. Size is points per axis{others}."
        ),
        pictures=[Picture("Error against memory and time", png, CAPTION)],
        details={"Settings": _settings(found), "Machine and versions": machine(found.settings.device)},
        command=command(found),
    )
    with atomic_file(folder / "report.html") as path:
        path.write_text(text, encoding="utf-8")


def _cells(rung: Rung, steady: bool) -> list[Cell]:
    done = rung.entry.finished
    size = Cell(str(rung.size))
    if done is None:
        return [size, Cell(rung.entry.failure, span=len(STEADY_HEAD if steady else HEAD) - 2)]
    texts = [amount(done.state_bytes), scientific(done.errors.final), seconds(done.result.wall_s), memory(done.result.peak_bytes)]
    counted = [("iterations", ".0f")] if steady else [("dt", ".3g"), ("steps", ".0f")]
    texts += ["–" if (value := done.result.cost.get(key)) is None else format(value, form) for key, form in counted]
    return [size, *map(Cell, texts)]


def _settings(found: WorkPrecision) -> dict[str, str]:
    settings, problem = found.settings, found.problem
    result = {
        "parameters": json.dumps(parameters_of(problem)),
        "end": "" if problem.steady else f"{settings.times[-1]:.6g}",
        "step": "" if problem.steady else "chosen by each method" if settings.dt is None else f"{settings.dt:g}",
        "precision": "each method's own" if settings.dtype is None else str(settings.dtype).removeprefix("torch."),
        "device": settings.device,
        "seed": str(settings.seed),
    }
    last: dict[str, Finished] = {name: curve[-1][1] for name, curve in found.curves.items() if curve}
    for rung in found.rungs:
        method = rung.entry.method
        notes = last[method.name].result.notes if method.name in last else ""
        result[method.name] = method.description + (f"; its last size: {notes}" if notes else "")
    return {key: value for key, value in result.items() if value}


def command(found: WorkPrecision) -> str:
    """What makes the same curves on the command line."""
    settings = found.settings
    ladders: dict[str, list[str]] = {}
    for rung in found.rungs:
        ladders.setdefault(rung.entry.method.name, []).append(str(rung.size))
    words = ["sciml work-precision", found.problem.name, "--methods", ",".join(ladders)]
    words += [word for name, sizes in ladders.items() for word in ("--sizes", f"{name}={','.join(sizes)}")]
    assert settings.points is not None and not isinstance(settings.points, int)
    words += ["--points", ",".join(map(str, settings.points))]
    words += [] if settings.dt is None else ["--dt", f"{settings.dt:g}"]
    words += [] if found.problem.steady else ["--end", f"{settings.times[-1]:g}"]
    words += ["--seed", str(settings.seed), "--device", settings.device]
    words += [] if settings.budget is None else ["--budget", f"{settings.budget:g}"]
    words += [] if settings.dtype is None else ["--dtype", str(settings.dtype).removeprefix("torch.")]
    return " ".join([*words, *(word for name, value in found.parameters.items() for word in ("--set", f"{name}={value}"))])
