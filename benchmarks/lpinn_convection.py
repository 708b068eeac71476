"""Error against the speed of a wave, for Lagrangian and plain physics-informed networks at the same budget of seconds, and the time of evaluation.

    OMP_NUM_THREADS=1 python benchmarks/lpinn_convection.py --budget 20

sin x carried round [0, 2 pi) until t = 1, without diffusion and with diffusivity 0.01. Both networks train by Gauss-Newton steps; errors are relative
L2 over 50 instants and 256 places. Without diffusion a Lagrangian network is right before any training, and takes three steps only, to see that
they do no harm. The last figure is the time that one trained on a steepening wave takes for a million points scattered over time and space, Newton's
method for their labels included.

Writes results/lpinn_convection.csv and .json beside this script, and the figure; ``--draw`` only draws what the table holds.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import platform
import time
from pathlib import Path
from typing import Any

import torch

import sciml
from sciml.report.style import MARKERS, PALETTE, house_style, new_figure, save_figure

HERE = Path(__file__).parent
TABLE = HERE / "results" / "lpinn_convection.csv"
FIGURE = HERE.parent / "docs" / "figures" / "lpinn_convection.png"
CASES = {"no diffusion": "advection:krishnapriyan2021", "diffusivity 0.01": "advection:mojgani2023"}
COLUMNS = ("case", "method", "speed", "relative_l2", "parameters", "steps", "seconds")


def run(case: str, method: str, speed: float, budget: float, seed: int) -> dict[str, Any]:
    problem = sciml.load_problem(CASES[case], {"speed": speed})
    torch.manual_seed(seed)
    model = sciml.LPINN(problem) if method == "LPINN" else sciml.PINN(problem, width=20)
    ends: dict[str, Any] = {"epochs": 3} if case == "no diffusion" and method == "LPINN" else {"budget": budget}
    history = sciml.fit(model, optimizer=sciml.GaussNewton(), seed=seed, **ends)
    x, t = 2 * math.pi * (torch.arange(256, dtype=torch.float64) + 0.5) / 256, torch.linspace(0.02, 1.0, 50, dtype=torch.float64)
    t, x = (c.flatten() for c in torch.meshgrid(t, x, indexing="ij"))
    assert problem.exact is not None
    true = problem.exact(t, x)
    with torch.no_grad():
        error = float((model(t, x)[:, 0] - true).norm() / true.norm())
    count, last = sum(p.numel() for p in model.parameters()), history.epochs[-1]
    return dict(zip(COLUMNS, (case, method, speed, error, count, last.steps, last.seconds), strict=True))


def evaluation(rounds: int) -> dict[str, Any]:
    """Seconds for a million points of a network whose labels have drawn together."""
    torch.manual_seed(0)
    lpinn = sciml.LPINN(sciml.load_problem("burgers:mojgani2023"))
    sciml.fit(lpinn, epochs=15, optimizer=sciml.GaussNewton())
    draw = torch.Generator().manual_seed(0)
    t, x = torch.rand(2, 10**6, dtype=torch.float64, generator=draw)
    found = []
    with torch.no_grad():
        for _ in range(rounds):
            wall, busy = time.perf_counter(), time.process_time()
            lpinn(t, 2 * math.pi * x)
            found.append({"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - busy})
    return {"points": 10**6, "smallest_stretch": lpinn.smallest_stretch(), "rounds": found}


def draw(rows: list[dict[str, Any]]) -> None:
    with house_style():
        figure = new_figure(2.6)
        panels = figure.subplots(1, len(CASES), sharey=True)
        for axes, case in zip(panels, CASES, strict=True):
            for colour, marker, method in zip(PALETTE, MARKERS, ("LPINN", "PINN"), strict=False):
                chosen = [row for row in rows if (row["case"], row["method"]) == (case, method)]
                speeds, found = ([float(row[name]) for row in chosen] for name in ("speed", "relative_l2"))
                axes.loglog(speeds, found, color=colour, marker=marker, label=method)
            axes.axhline(1.0, color="0.6", linewidth=0.8, linestyle="--")
            shown = sorted({float(row["speed"]) for row in rows})
            axes.set_xticks(shown, [f"{c:g}" for c in shown])
            axes.minorticks_off()
            axes.set_title(case)
            axes.set_xlabel("speed c")
        panels[0].set_ylabel("relative $L^2$ error")
        panels[0].legend(loc="center right")
        print(save_figure(figure, FIGURE))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speeds", type=float, nargs="+", default=[1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 50.0, 100.0])
    parser.add_argument("--budget", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5, help="evaluations of a million points")
    parser.add_argument("--draw", action="store_true")
    a = parser.parse_args()
    if not a.draw:
        rows = []
        for case in CASES:
            for method in ("LPINN", "PINN"):
                for speed in a.speeds:
                    rows.append(run(case, method, speed, a.budget, a.seed))
                    print(rows[-1], flush=True)
        with open(TABLE, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        found = evaluation(a.rounds)
        print(found)
        machine = {"torch": torch.__version__, "threads": torch.get_num_threads(), "machine": platform.machine()}
        TABLE.with_suffix(".json").write_text(json.dumps({**machine, "budget": a.budget, "seed": a.seed, "evaluation": found}, indent=1) + "\n")
    with open(TABLE, newline="", encoding="utf-8") as file:
        draw(list(csv.DictReader(file)))


if __name__ == "__main__":
    main()
