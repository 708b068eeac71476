"""Error, order, mass, sign and time of the finite-volume solver on the generalised porous medium equation.

Every row is measured against an exact solution: fronts entering an empty interval (m = 1, 2, 3), Barenblatt's
spreading in one and two dimensions (m = 2, 3), and the Stefan jump with each mean of the jumping coefficient.

    python benchmarks/porous_medium.py --out benchmarks/results/porous_medium.json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")

import torch

import sciml
from sciml.problems import porous_medium as pm


def measure(problem: sciml.Problem, points: int, steps: int, end: float, **settings: Any) -> dict[str, Any]:
    """One run: mean error, drift of the mass that no wall explains, smallest value, seconds."""
    step = sciml.FiniteVolumeStepper(problem.equation, problem.grid(points), end / steps, boundaries=problem.domain.boundaries, **settings)
    start = problem.initial_state(step.grid)
    began = time.perf_counter()
    with torch.no_grad():
        states = sciml.rollout(step, start, steps)
    seconds = time.perf_counter() - began
    volume = step.grid.cell_volume
    mass = states.flatten(1).sum(1) * volume
    row = {
        "case": problem.name,
        "parameters": dict(problem.parameters),
        **settings,
        "points": points,
        "steps": steps,
        "l1_error": float((states[-1] - problem.exact_state(step.grid, end)).abs().sum() * volume),
        "smallest_value": float(states.min()),
        "milliseconds_per_step": 1e3 * seconds / steps,
    }
    if "barenblatt" in problem.name:
        row["mass_drift"] = float((mass / mass[0] - 1).abs().max())
    else:
        row["mass_error"] = float(mass[-1]) - problem.equation.mass(end)
    if problem.name.endswith("stefan"):
        front = float((states[-1, 0] > problem.equation.threshold / 2).sum()) / points
        row["front_error_in_cells"] = (front - problem.equation.front(end)) * points
    return row


def series(problem: sciml.Problem, sizes: list[int], steps_per_point: float, end: float, **settings: Any) -> list[dict[str, Any]]:
    """Runs on finer and finer grids, with the observed order between neighbours."""
    rows = [measure(problem, n, max(1, round(n * steps_per_point)), end, **settings) for n in sizes]
    for coarse, fine in pairwise(rows):
        fine["observed_order"] = math.log(coarse["l1_error"] / fine["l1_error"]) / math.log(fine["points"] / coarse["points"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/porous_medium.json"))
    out = parser.parse_args().out
    rows: list[dict[str, Any]] = []
    for m in (1.0, 2.0, 3.0):
        rows += series(pm.pme(m), [50, 100, 200, 400], 1.0, 0.5)
    for m in (2.0, 3.0):
        rows += series(pm.barenblatt1d(m), [50, 100, 200, 400], 0.25, 1.0)
        rows += series(pm.barenblatt2d(m), [32, 64, 128], 0.5, 1.0)
    rows += series(pm.stefan(0.6), [50, 100, 200, 400], 1.0, 0.05)
    for mean in ("integral", "arithmetic", "harmonic"):
        rows.append(measure(pm.stefan(0.6), 100, 2000, 0.05, face_mean=mean, implicit=False))

    machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    versions = {"python": platform.python_version(), "torch": torch.__version__, "sciml": version("sciml-pde")}
    print(f"{machine}  {versions}")
    for row in rows:
        cells = [f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()]
        print("  ".join(cells))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"machine": machine, "versions": versions, "rows": rows}, indent=1) + "\n")
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
