"""Steps per second of ETDRK4, beside exponax, in float64 and in one run.

Both take the same number of steps from the same states. exponax runs under ``jit`` with its loop compiled; we run
eagerly. Each round times one after the other, and the figure quoted is the median over rounds of the ratio of a pair,
so that a machine whose speed drifts does not decide the result.

    python benchmarks/etdrk_vs_exponax.py --rounds 9 --out benchmarks/results/etdrk_vs_exponax.json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "2"))

import exponax  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

import sciml  # noqa: E402
from sciml.problems.kuramoto_sivashinsky import KuramotoSivashinsky  # noqa: E402
from sciml.problems.navier_stokes import Vorticity  # noqa: E402

jax.config.update("jax_enable_x64", True)
torch.set_num_threads(THREADS)

Run = Callable[[], object]


def exponax_run(stepper: Callable, u: np.ndarray, steps: int, batched: bool) -> Run:
    advance = jax.vmap(stepper) if batched else stepper
    loop = jax.jit(lambda v: jax.lax.fori_loop(0, steps, lambda _, w: advance(w), v))
    state = jax.numpy.asarray(u)
    loop(state).block_until_ready()
    return lambda: loop(state).block_until_ready()


def our_run(step: sciml.ETDRK4, u: np.ndarray, steps: int) -> Run:
    state = torch.as_tensor(u)

    def run() -> torch.Tensor:
        with torch.no_grad():
            return sciml.rollout(step, state, steps, every=steps)[-1]

    return run


def ks_case(batch: int, points: int, dt: float = 0.05) -> tuple[Callable, sciml.ETDRK4, np.ndarray]:
    length = 32 * math.pi
    x = np.arange(points) * length / points
    u = np.cos(x / 16) * (1 + np.sin(x / 16))
    states = u[None] if batch == 1 else np.stack([u[None] * (1 + 1e-3 * i) for i in range(batch)])
    theirs = exponax.stepper.KuramotoSivashinskyConservative(1, length, points, dt, order=4)
    return theirs, sciml.ETDRK4(KuramotoSivashinsky(), sciml.Grid((points,), (length,)), dt), states


def vorticity_case(batch: int, points: int, dt: float = 0.005) -> tuple[Callable, sciml.ETDRK4, np.ndarray]:
    grid = sciml.Grid((points, points), (2 * math.pi,) * 2)
    x, y = (c.numpy() for c in grid.points())
    w = np.sin(3 * x) * np.cos(2 * y) + 0.5 * np.cos(5 * x + 4 * y)
    states = w[None] if batch == 1 else np.stack([w[None] * (1 + 1e-2 * i) for i in range(batch)])
    # exponax 0.2.0 turns vortices the other way round unless told so: with scale -1 both solve the same equation.
    theirs = exponax.stepper.NavierStokesVorticity(2, 2 * math.pi, points, dt, diffusivity=1e-3, order=4, vorticity_convection_scale=-1.0)
    return theirs, sciml.ETDRK4(Vorticity(viscosity=1e-3), grid, dt), states


CASES = {
    "KS 1 x 1024": (lambda: ks_case(1, 1024), 2000),
    "KS 1 x 128": (lambda: ks_case(1, 128), 2000),
    "KS 64 x 1024": (lambda: ks_case(64, 1024), 150),
    "KS 1000 x 128": (lambda: ks_case(1000, 128), 100),
    "Navier-Stokes 1 x 128^2": (lambda: vorticity_case(1, 128), 100),
    "Navier-Stokes 8 x 128^2": (lambda: vorticity_case(8, 128), 20),
}


def measure(name: str, rounds: int) -> dict[str, object]:
    make, steps = CASES[name]
    stepper, ours, states = make()
    theirs_run = exponax_run(stepper, states, steps, states.ndim > ours.grid.ndim + 1)
    ours_run = our_run(ours, states, steps)
    difference = np.abs(np.asarray(theirs_run()) - ours_run().numpy()).max()
    pairs = []
    for _ in range(rounds):
        seconds = []
        for run in (ours_run, theirs_run):
            start = time.perf_counter()
            run()
            seconds.append((time.perf_counter() - start) / steps)
        pairs.append(seconds)
    return {
        "case": name,
        "ours_us_per_step": round(1e6 * statistics.median(p[0] for p in pairs), 1),
        "exponax_us_per_step": round(1e6 * statistics.median(p[1] for p in pairs), 1),
        "speedup_median": round(statistics.median(p[1] / p[0] for p in pairs), 3),
        "speedup_min": round(min(p[1] / p[0] for p in pairs), 3),
        "speedup_max": round(max(p[1] / p[0] for p in pairs), 3),
        "largest_difference": float(difference),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    for name in CASES:
        if arguments.only in name:
            rows.append(measure(name, arguments.rounds))
            print(json.dumps(rows[-1]), flush=True)
    report = {
        "machine": {"cpu": platform.processor() or platform.machine(), "threads": THREADS, "cores": os.cpu_count()},
        "versions": {"torch": torch.__version__, "exponax": exponax.__version__, "jax": jax.__version__},
        "rounds": arguments.rounds,
        "rows": rows,
    }
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
