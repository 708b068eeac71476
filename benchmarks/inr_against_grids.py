"""Error against memory and time: weights of a network beside grids, where they win and where they lose.

    OMP_NUM_THREADS=1 python benchmarks/inr_against_grids.py pulse burgers heat vortices

Every method chooses its own step. Errors are at the end, relative L2, at each method's own samples (of a network at the problem's), against the
exact solution or a certified spectral run. ``results/inr_against_grids.json`` keeps a row per run, ``docs/figures`` the curves. What is interrupted
goes on.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sciml
from sciml.report.document import machine

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "inr_against_grids.json"
SEED = 0


class Transport(sciml.ConservationLaw):
    """u_t + (c u)_x = 0: advection in the divergence form that finite volumes need."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self.speed = speed

    def flux(self, u: Any) -> Any:
        return self.speed * u


def pulse() -> sciml.Problem:
    """``advection:chen2023`` with its equation in divergence form."""
    problem = sciml.load_problem("advection:chen2023")
    return replace(problem, equation=Transport(problem.parameters["speed"]))


@dataclass(frozen=True)
class Ladder:
    """A problem, the methods with their sizes, and the end."""

    problem: Callable[[], sciml.Problem]
    sizes: Mapping[str, Sequence[int]]
    end: float


CASES = {
    "pulse": Ladder(pulse, {"rk4": (64, 128, 256, 512, 1024, 2048), "finite_volume": (64, 128, 256, 512, 1024, 2048), "inr": (4, 6, 9, 13)}, 2.0),
    "burgers": Ladder(
        lambda: sciml.load_problem("burgers:raissi2019", {"viscosity": 0.1}),
        {"etdrk4": (8, 16, 32, 64, 128), "finite_volume": (16, 32, 64, 128, 256, 512), "inr": (4, 6, 9, 13)},
        0.5,
    ),
    "heat": Ladder(
        lambda: sciml.load_problem("heat:chen2024"),
        {"etdrk4": (8, 12, 16, 24, 32), "finite_volume": (8, 16, 32, 64, 128), "inr": (6, 9, 13, 18)},
        1.0,
    ),
    "vortices": Ladder(lambda: sciml.load_problem("navier_stokes:taylor_green"), {"etdrk4": (4, 8, 16, 32, 64), "inr": (6, 9, 13)}, 1.0),
}


def told(label: str, fraction: float) -> None:
    """What begins."""
    if fraction == 0:
        print(label, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="+", choices=CASES)
    a = parser.parse_args()
    for name in a.cases:
        case = CASES[name]
        out = ROOT / "build" / "inr_against_grids" / name
        out.parent.mkdir(parents=True, exist_ok=True)
        found = sciml.work_precision(case.problem(), list(case.sizes), case.sizes, out, end=case.end, seed=SEED, progress=told, resume=True)
        for row in found.table:
            print(f"{name}: {row}", flush=True)
        rows = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        rows[name] = {"problem": found.problem.name, "end": case.end, "seed": SEED, "machine": machine(), "rows": found.table}
        RESULTS.write_text(json.dumps(dict(sorted(rows.items())), indent=1) + "\n")
        if name != "vortices":  # two modes, which any grid holds: nothing to see
            shutil.copy(out / "work_precision.png", ROOT / "docs" / "figures" / f"inr_{name}.png")


if __name__ == "__main__":
    main()
