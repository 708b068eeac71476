"""A Lagrangian network on Burgers' equation with a wave that moves and steepens, sin x + C for t <= 1, against Cole and Hopf's solution.

    OMP_NUM_THREADS=1 python benchmarks/lpinn_moving.py --seeds 0 1 2 --out benchmarks/results/lpinn_moving.json

All options are the defaults but the number of Gauss-Newton steps. Errors are relative L2 over 50 instants and 256 places that are no training
points, once divided by the norm of u - C and once by that of u, and the former at the last instant, where a front stands at viscosity 0.01. The
reference is checked against ETDRK4, whose own error is halved by half the step and twice the points, in a frame that moves with the wave.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import sciml


def certified(viscosity: float) -> dict[str, float]:
    """Largest differences at t = 1 between the reference and ETDRK4 at C = 0, and between two resolutions of the latter."""
    problem = sciml.load_problem("burgers:mojgani2023", {"offset": 0.0, "viscosity": viscosity})
    coarse, fine = (sciml.to_tensor(sciml.solve(problem, points=n, dt=dt, times=[0.0, 1.0]))[-1, 0] for n, dt in ((1024, 1e-4), (2048, 5e-5)))
    exact = problem.exact_state(problem.grid(1024), 1.0)[0]
    return {"to_the_reference": float((coarse - exact).abs().max()), "to_the_finer_run": float((coarse - fine[::2]).abs().max())}


def errors(lpinn: sciml.LPINN, offset: float) -> dict[str, float]:
    x, t = 2 * math.pi * (torch.arange(256, dtype=torch.float64) + 0.5) / 256, torch.linspace(0.02, 1.0, 50, dtype=torch.float64)
    t, x = (c.flatten() for c in torch.meshgrid(t, x, indexing="ij"))
    assert lpinn.problem.exact is not None
    true = lpinn.problem.exact(t, x)
    with torch.no_grad():
        wrong = lpinn(t, x)[:, 0] - true

    def size(v: Tensor) -> float:
        return float(v.norm())

    waves = true - offset
    last = slice(-256, None)
    return {
        "of_the_wave": size(wrong) / size(waves),
        "of_u": size(wrong) / size(true),
        "of_the_wave_at_the_end": size(wrong[last]) / size(waves[last]),
    }


def trained(problem: sciml.Problem, seed: int, steps: int) -> dict[str, float]:
    """One run: how long, how well."""
    torch.manual_seed(seed)
    lpinn = sciml.LPINN(problem)
    wall, busy = time.perf_counter(), time.process_time()
    history = sciml.fit(lpinn, epochs=steps, optimizer=sciml.GaussNewton(), seed=seed)
    times = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - busy}
    count = sum(p.numel() for p in lpinn.parameters())
    found = errors(lpinn, problem.parameters["offset"])
    return {**times, "parameters": count, "loss": history.losses[-1], "smallest_stretch": lpinn.smallest_stretch(), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--offsets", type=float, nargs="+", default=[0.0, 10.0, 50.0])
    parser.add_argument("--viscosities", type=float, nargs="+", default=[0.1, 0.01])
    parser.add_argument("--epochs", type=int, default=50, help="Gauss-Newton steps")
    parser.add_argument("--out", type=Path)
    a = parser.parse_args()
    machine = {"torch": torch.__version__, "threads": torch.get_num_threads(), "machine": platform.machine()}
    report: dict[str, Any] = {**machine, "steps": a.epochs, "reference": {f"{nu:g}": certified(nu) for nu in a.viscosities}}
    cases: list[dict[str, Any]] = [{"offset": c, "viscosity": nu, "runs": []} for nu in a.viscosities for c in a.offsets]
    for seed in a.seeds:
        for case in cases:
            given = {name: case[name] for name in ("offset", "viscosity")}
            run = trained(sciml.load_problem("burgers:mojgani2023", given), seed, a.epochs)
            case["runs"].append({"seed": seed, **run})
            case["median"] = {name: statistics.median(r[name] for r in case["runs"]) for name in run}
            print(given, seed, ", ".join(f"{name} {value:.3g}" for name, value in run.items()), flush=True)
            if a.out:  # after every run, so that an interrupted benchmark leaves what it has
                a.out.write_text(json.dumps({**report, "cases": [c for c in cases if c["runs"]]}, indent=1) + "\n")
    print(json.dumps({f"C {c['offset']:g}, nu {c['viscosity']:g}": c["median"] for c in cases}, indent=1))


if __name__ == "__main__":
    main()
