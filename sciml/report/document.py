"""The comparison as figures and a page."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from sciml.core.domain import Domain
from sciml.core.grid import Grid
from sciml.io.atomic import atomic_file
from sciml.io.dataset import grid_of, parameters_of
from sciml.report.costs import draw_cost
from sciml.report.page import Cell, Picture, page, png_of
from sciml.report.panels import draw_errors, draw_solutions, draw_spectra
from sciml.report.result import Comparison, Finished
from sciml.report.truth import ReferenceFile

HEAD = ("Method", "Error at the end", "Error, all times", "Largest error", "Wall time", "State", "Peak memory", "Mean drift", "Step", "Steps")
STEADY_HEAD = ("Method", "Error", "Largest error", "Wall time", "State", "Peak memory", "Iterations")
COST = (
    "Middle: against the memory of a state, the samples of the fields or the weights of a network. Down and to the left is better. "
    "Right: memory that the run added to the process."
)
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
DEPENDENCIES = ("sciml-pde", "torch", "numpy", "scipy", "xarray", "h5netcdf", "matplotlib")


def write_document(comparison: Comparison, folder: Path) -> None:
    """Write ``solution.png``, ``error.png``, ``spectrum.png``, ``cost.png`` and ``report.html`` into ``folder``."""
    pictures = []
    for name, title, caption, fig in _figures(comparison):
        png = png_of(fig)
        with atomic_file(folder / f"{name}.png") as path:
            path.write_bytes(png)
        pictures.append(Picture(title, png, caption))
    problem, done = comparison.problem, comparison.finished
    introduction = [f"Compared with: {comparison.truth.description}"]
    if problem.reference:
        introduction.insert(0, f"Case: {problem.reference}.")
    text = page(
        title=problem.name,
        equation=problem.equation.latex().split(r" \\ "),
        introduction=[*introduction, *comparison.notes],
        head=STEADY_HEAD if problem.steady else HEAD,
        rows=_rows(comparison),
        caption=(
            f"Errors are relative L2 norms against the {comparison.truth.kind}; the largest error is pointwise, in the unit of the field. "
            f"State is the memory of all that stands for the fields at one time, peak memory what the run added to the process. {_about_models(done)}"
            f"{_about_mean(comparison)}The best entries of a column are set in bold."
        ),
        pictures=pictures,
        details={"Settings": _settings(comparison), "Machine and versions": machine(comparison.settings.device)},
        command=_command(comparison),
    )
    with atomic_file(folder / "report.html") as path:
        path.write_text(text, encoding="utf-8")


def machine(device: str = "cpu") -> dict[str, str]:
    """What the figures were measured on."""
    found = {
        "processor": _processor(),
        "cores": f"{os.cpu_count()}, PyTorch uses {torch.get_num_threads()} thread(s)",
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    if torch.device(device).type == "cuda":
        found["device"] = torch.cuda.get_device_name(torch.device(device))
    return {**found, **{name: version(name) for name in DEPENDENCIES}, "date": datetime.now(UTC).isoformat(timespec="seconds")}


def _figures(comparison: Comparison) -> list[tuple[str, str, str, Figure]]:
    done, truth = comparison.finished, comparison.truth
    ndim = comparison.problem.domain.ndim
    what = {0: "Every unknown over time.", 1: "Left: the solution in space and time. Right: its distance from the truth, on a common scale."}
    solution = what.get(ndim, "At the last time: the solution, and below it the distance from the truth, on a common scale.")
    if comparison.problem.steady:
        return _steady_figures(comparison)
    error = "Relative L2 error at each output time."
    if truth.uncertainty(done[0].errors.times) is not None:
        error += f" In the shaded region the {truth.kind} itself is uncertain, and errors cannot be told apart."
    result = [
        ("solution", "Solutions and errors", solution, draw_solutions(done, truth.kind)),
        ("error", "Error over time", error, draw_errors(done, truth.uncertainty(done[0].errors.times), truth.kind)),
    ]
    if ndim:
        energy = "Power of the first field per wavenumber at the last time; squares of round-off are left out."
        result.append(("spectrum", "Spectrum", energy, draw_spectra(done, truth.kind, _lattice(comparison.problem.domain, done[0]))))
    cost = f"Left: error over all times against wall time. {COST}"
    return [*result, ("cost", "Accuracy and cost", cost, draw_cost(done))]


def _steady_figures(comparison: Comparison) -> list[tuple[str, str, str, Figure]]:
    done, kind = comparison.finished, comparison.truth.kind
    solution = "What is given, the solution, and each method's distance from the truth, on a common scale."
    energy = "Power of the first field per wavenumber; squares of round-off are left out."
    cost = f"Left: error against wall time. {COST}"
    return [
        ("solution", "Solutions and errors", solution, draw_solutions(done, kind)),
        ("spectrum", "Spectrum", energy, draw_spectra(done, kind, _lattice(comparison.problem.domain, done[0]))),
        ("cost", "Accuracy and cost", cost, draw_cost(done)),
    ]


def _lattice(domain: Domain, entry: Finished) -> Grid | None:
    """The uniform grid on which the truth is given, without a repeated end point; None if it is not on one."""
    counts = []
    for x, low, length, periodic in zip(entry.pair.coords, domain.lower, domain.lengths, domain.is_periodic, strict=True):
        h = (x[-1] - x[0]) / (len(x) - 1)
        count = round(length / h)
        uniform = np.allclose(np.diff(x), h, rtol=1e-6, atol=0.0) and math.isclose(count * h, length, rel_tol=1e-6) and count in (len(x), len(x) - 1)
        if not uniform or (not periodic and (count != len(x) or not math.isclose(x[0] - low, h / 2, rel_tol=1e-6))):
            return None
        counts.append(count)
    return domain.grid(counts)


def _rows(comparison: Comparison) -> list[tuple[str, Sequence[Cell]]]:
    done = comparison.finished
    steady = comparison.problem.steady
    columns: list[tuple[Callable[[Finished], float | None], Callable[[float], str], bool]] = [
        (lambda e: e.errors.total, scientific, True),
        (lambda e: e.errors.largest, scientific, True),
        (lambda e: e.result.wall_s, seconds, True),
        (lambda e: e.state_bytes, amount, True),
        (lambda e: float(e.result.peak_bytes), memory, True),
    ]
    if steady:
        columns.append((lambda e: e.result.cost.get("iterations"), lambda v: f"{v:.0f}", False))
    else:
        columns.insert(0, (lambda e: e.errors.final, scientific, True))
        columns += [
            (lambda e: e.drift, scientific, False),
            (lambda e: e.result.cost.get("dt"), lambda v: f"{v:.3g}", False),
            (lambda e: e.result.cost.get("steps"), lambda v: f"{v:.0f}", False),
        ]
    texts = [[None if (v := value(e)) is None else write(v) for e in done] for value, write, _ in columns]
    numbers = [[v for e in done if (v := value(e)) is not None] for value, _, _ in columns]
    # entries that read the same are equally good, and where all do none stands out
    best = [
        write(min(values)) if marked and values and len(set(shown)) > 1 else None
        for (_, write, marked), values, shown in zip(columns, numbers, texts, strict=True)
    ]
    rows: list[tuple[str, Sequence[Cell]]] = []
    for entry in comparison.entries:
        cells = [Cell(entry.failure, span=len(columns))]
        if entry.finished is not None:
            line = [column[done.index(entry.finished)] for column in texts]
            cells = [Cell("–" if text is None else text, text is not None and text == top) for text, top in zip(line, best, strict=True)]
        rows.append((entry.method.name, cells))
    return rows


def _about_models(done: Sequence[Finished]) -> str:
    models = {e.method.name: e.result.cost["model_bytes"] for e in done if "model_bytes" in e.result.cost}
    return "".join(f"The trained model of {name} is another {amount(held)}. " for name, held in models.items())


def _about_mean(comparison: Comparison) -> str:
    if comparison.problem.steady:
        return ""
    text = "Mean drift is the largest change of a field's mean, relative to its initial root mean square; "
    drifts = [e.drift for e in comparison.finished if e.drift is not None]
    if not drifts:
        return f"{text}without a space axis there is none. "
    return f"{text}this problem {'conserves the mean, so it should be zero' if min(drifts) < 1e-8 else 'does not conserve the mean'}. "


def _settings(comparison: Comparison) -> dict[str, str]:
    settings, problem = comparison.settings, comparison.problem
    box = " x ".join(f"[{low:.6g}, {high:.6g}]" for low, high in zip(problem.domain.lower, problem.domain.upper, strict=True))
    kinds = sorted({type(face).__name__.lower() for pair in problem.domain.boundaries for face in pair})
    result = {
        "parameters": json.dumps(parameters_of(problem)),
        "domain": f"{box} {', '.join(kinds)}".strip(),
        "points": " x ".join(map(str, grid_of(comparison.finished[0].result.dataset).shape)),
        "times": "none: the problem is steady" if problem.steady else f"{len(settings.times)} from 0 to {settings.times[-1]:.6g}",
        "step": "" if problem.steady else "chosen by each method" if settings.dt is None else f"{settings.dt:g}",
        "precision": "each method's own" if settings.dtype is None else str(settings.dtype).removeprefix("torch."),
        "device": settings.device,
        "seed": str(settings.seed),
    }
    for entry in comparison.entries:
        notes = entry.finished.result.notes if entry.finished is not None else ""
        result[entry.method.name] = entry.method.description + (f"; {notes}" if notes else "")
    return {key: value for key, value in result.items() if value}


def _command(comparison: Comparison) -> str:
    settings = comparison.settings
    words = ["sciml compare", comparison.problem.name, "--methods", ",".join(e.method.name for e in comparison.entries)]
    if settings.points:
        shape = settings.points if isinstance(settings.points, int) else ",".join(map(str, settings.points))
        words += ["--points", str(shape)]
    words += [] if settings.dt is None else ["--dt", f"{settings.dt:g}"]
    if isinstance(comparison.truth, ReferenceFile):
        words += ["--reference", comparison.truth.source, *_reading(comparison.truth.reading)]
    elif not comparison.problem.steady:
        words += ["--times", str(len(settings.times) - 1)]
    words += [] if comparison.problem.steady else ["--end", f"{settings.times[-1]:g}"]
    words += ["--seed", str(settings.seed), "--device", settings.device]
    for name, value in comparison.parameters.items():
        words += ["--set", f"{name}={value}"]
    return " ".join(words)


def _reading(given: Mapping[str, object]) -> list[str]:
    """How a reference file was read, as options."""

    def text(value: object) -> str:
        if isinstance(value, Mapping):
            return ",".join(f"{key}={text(v) if isinstance(v, str) else ':'.join(map(str, v))}" for key, v in value.items())
        return value if isinstance(value, str) else ",".join(map(str, value if isinstance(value, Sequence) else ()))

    return [word for name, value in given.items() for word in (f"--{'var' if name == 'variable' else name}", text(value))]


def seconds(value: float) -> str:
    """A duration in a unit that suits it."""
    return f"{value * 1e3:.0f} ms" if value < 1 else f"{value:.2f} s" if value < 60 else f"{value / 60:.1f} min"


def memory(value: float) -> str:
    """An amount of memory in a unit that suits it."""
    return f"{value / 2**20:.1f} MiB" if value < 2**30 else f"{value / 2**30:.2f} GiB"


def amount(value: float) -> str:
    """The memory of a state in a unit that suits it."""
    return f"{value:.0f} B" if value < 1024 else f"{value / 1024:.1f} KiB" if value < 2**20 else memory(value)


def scientific(value: float) -> str:
    """Two digits and a power of ten."""
    if value == 0:
        return "0"
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits} × 10{str(int(exponent)).translate(_RAISED)}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
