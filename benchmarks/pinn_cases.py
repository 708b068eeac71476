"""Physics-informed networks within a budget of seconds, on four published problems; errors against exact or certified solutions.

    OMP_NUM_THREADS=1 python benchmarks/pinn_cases.py burgers --seeds 0 1 2 --budget 280
    OMP_NUM_THREADS=1 python benchmarks/pinn_cases.py burgers --budget 280 --peer      # and DeepXDE's own recipe for it, which must be installed

Periodicity, walls and initial states are built in; points move to where the residual is large every few steps; Gauss-Newton steps in float64. The
error is relative L2 at instants and places that are no training points. Where no exact solution is known, a spectral solution is made twice, with
half the step and twice the modes, and the difference is printed beside the result. ``results/pinn`` keeps a row per run in ``pinn.json``, the error
over time and the terms of the loss as CSV; ``draw_pinn.py`` draws them.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import sciml

RESULTS = Path(__file__).parent / "results" / "pinn"
LOOKS = 40
"""Measurements of the error per training."""
CHUNK = 2**13
"""Points evaluated at once."""


@dataclass
class Case:
    """What is solved, by which network, and where its error is measured.

    Attributes
    ----------
    problem : name of the case.
    network : options of :class:`sciml.PINN`.
    points, every, c : of the collocation points, :class:`sciml.RAD`.
    budget : seconds.
    times, places : number of instants after the start, and of places per axis.
    modes, dt : of the spectral reference, where there is no exact solution.
    """

    problem: str
    network: dict[str, Any] = field(default_factory=dict)
    points: int = 4000
    every: int = 20
    c: float = 1.0
    budget: float = 280.0
    times: int = 50
    places: int = 256
    modes: int = 0
    dt: float = 0.0


CASES = {
    "burgers": Case("burgers:raissi2019_dirichlet", {"width": 20, "depth": 3}),
    "allen_cahn": Case(
        "allen_cahn:raissi2019", {"width": 24, "depth": 3, "harmonics": 4, "initial": "diffused"}, points=6000, c=2.0, modes=4096, dt=5e-4
    ),
    "korteweg_de_vries": Case("korteweg_de_vries:raissi2019", {"width": 30, "depth": 3, "harmonics": 3}, modes=512, dt=1e-4),
    "taylor_green": Case("navier_stokes:taylor_green", {"width": 30, "depth": 3}, times=10, places=32),
}


@dataclass
class Truth:
    """A solution at points.

    Attributes
    ----------
    columns : t, x, ...: one tensor ``(n,)`` each.
    values : ``(n,)``.
    uncertainty : relative L2 difference between two resolutions; 0 of an exact solution.
    """

    columns: list[Tensor]
    values: Tensor
    uncertainty: float

    @torch.no_grad()
    def error(self, solution: Callable[..., Tensor]) -> float:
        """Relative L2 error of a function of t, x, ..."""
        found = torch.cat([solution(*part)[..., 0] for part in zip(*(c.split(CHUNK) for c in self.columns), strict=True)])
        return float((found - self.values).norm() / self.values.norm())


def truth(case: Case) -> Truth:
    """The solution of a case on a grid of space and time."""
    problem = sciml.load_problem(case.problem)
    times = [problem.horizon * (i + 1) / case.times for i in range(case.times)]
    grid = problem.grid(case.places)
    columns = [torch.tensor(times, dtype=torch.float64).repeat_interleave(len(grid.points()[0].flatten()))]
    columns += [c.flatten().repeat(case.times) for c in grid.points()]
    if problem.exact is not None:
        return Truth(columns, torch.as_tensor(problem.exact(*columns)), 0.0)
    coarse, fine = (
        torch.as_tensor(sciml.solve(problem, points=n * case.modes, dt=case.dt / n, times=[0.0, *times])["u"].values.copy()) for n in (1, 2)
    )
    stride = case.modes // case.places
    coarse, fine = coarse[1:, ::stride], fine[1:, :: 2 * stride]  # row 0 is the initial state
    return Truth(columns, fine.flatten(), float((fine - coarse).norm() / fine.norm()))


def train(name: str, case: Case, known: Truth, seed: int) -> dict[str, Any]:
    """One training; its row of results."""
    torch.manual_seed(seed)
    problem = sciml.load_problem(case.problem)
    pinn = sciml.PINN(problem, **case.network)
    curve: list[tuple[float, float]] = []
    start = time.perf_counter()

    def look(fraction: float) -> None:
        seconds = time.perf_counter() - start
        if seconds >= len(curve) * case.budget / LOOKS:
            curve.append((seconds, known.error(pinn)))

    objective = sciml.PinnObjective(points=sciml.RAD(case.points, every=case.every, c=case.c))
    history = sciml.fit(pinn, budget=case.budget, loss=objective, optimizer=sciml.GaussNewton(), seed=seed, progress=look)
    last = history.epochs[-1]
    curve.append((last.seconds, known.error(pinn)))
    RESULTS.mkdir(parents=True, exist_ok=True)
    key = f"{name}_{case.budget:g}s_{seed}"
    write_curve(RESULTS / f"{key}_error.csv", curve)
    history.write(RESULTS / f"{key}_loss.csv")
    weights = sum(p.numel() for p in pinn.parameters())
    return {"parameters": weights, "steps": last.steps, "seconds": last.seconds, "loss": last.loss, "relative_l2": curve[-1][1]}


def write_curve(path: Path, curve: list[tuple[float, float]]) -> None:
    """Seconds and errors as CSV."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("seconds", "relative_l2"), *curve])


def keep(key: str, row: dict[str, Any]) -> None:
    """Add a row to the file of results, and print it."""
    print(f"{key}: {row['parameters']} weights, {row['steps']} steps in {row['seconds']:.0f} s, error {row['relative_l2']:.2e}", flush=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / "pinn.json"
    rows = json.loads(path.read_text()) if path.is_file() else {}
    rows[key] = row
    path.write_text(json.dumps(dict(sorted(rows.items())), indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    for name, kind in (("budget", float), ("points", int), ("every", int)):
        parser.add_argument(f"--{name}", type=kind)
    for name in ("width", "depth", "harmonics"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--peer", action="store_true", help="also train DeepXDE on Burgers' equation, by its own recipe, as long")
    a = parser.parse_args()
    case = CASES[a.case]
    for name in ("budget", "points", "every"):
        setattr(case, name, getattr(a, name) or getattr(case, name))
    case.network.update({name: getattr(a, name) for name in ("width", "depth", "harmonics") if getattr(a, name)})
    if a.peer and a.case != "burgers":
        parser.error("--peer compares on burgers alone")
    known = truth(case)
    facts = {"torch": torch.__version__, "threads": torch.get_num_threads(), "machine": platform.machine(), "reference": known.uncertainty}
    asked = {"network": case.network, "points": case.points, "every": case.every, "c": case.c, "budget_s": case.budget}
    for seed in a.seeds:
        keep(f"{a.case}_{case.budget:g}s_{seed}", {**facts, **asked, **train(a.case, case, known, seed)})
        if a.peer:
            from deepxde_burgers import train_deepxde

            for precision in ("float32", "float64"):
                key = f"deepxde_{precision}_{case.budget:g}s_{seed}"
                row, curve = train_deepxde(known, case.budget, seed, precision, LOOKS)
                write_curve(RESULTS / f"{key}_error.csv", curve)
                keep(key, {**facts, "budget_s": case.budget, **row})


if __name__ == "__main__":
    main()
