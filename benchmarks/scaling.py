"""Time per step and memory of ETDRK4 as the number of points grows.

    python benchmarks/scaling.py --out benchmarks/results/scaling.json

Each line gives the median microseconds per step, that per point and log2 of the number of points (flat if the cost is
that of the transforms), and the growth of the process's memory while ten times as many steps were taken.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import time
from pathlib import Path

THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "2"))

import torch  # noqa: E402

import sciml  # noqa: E402
from sciml.problems.kuramoto_sivashinsky import KuramotoSivashinsky  # noqa: E402
from sciml.problems.navier_stokes import Vorticity  # noqa: E402

torch.set_num_threads(THREADS)


def line(points: int) -> tuple[sciml.ETDRK4, torch.Tensor]:
    grid = sciml.Grid((points,), (32 * math.pi,))
    (x,) = grid.points()
    return sciml.ETDRK4(KuramotoSivashinsky(), grid, 0.05), (torch.cos(x / 16) * (1 + torch.sin(x / 16)))[None]


def square(points: int) -> tuple[sciml.ETDRK4, torch.Tensor]:
    grid = sciml.Grid((points, points), (2 * math.pi,) * 2)
    x, y = grid.points()
    return sciml.ETDRK4(Vorticity(viscosity=1e-3), grid, 0.5 / points), (torch.sin(3 * x) * torch.cos(2 * y))[None]


def measure(name: str, step: sciml.ETDRK4, u: torch.Tensor, rounds: int = 5) -> dict[str, object]:
    total = u.numel()
    steps = max(10, min(2000, 2_000_000 // total))
    seconds = []
    with torch.no_grad():
        sciml.rollout(step, u, steps, every=steps)
        for _ in range(rounds):
            start = time.perf_counter()
            sciml.rollout(step, u, steps, every=steps)
            seconds.append((time.perf_counter() - start) / steps)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sciml.rollout(step, u, 10 * steps, every=10 * steps)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    median = 1e6 * statistics.median(seconds)
    return {
        "case": name,
        "points": total,
        "us_per_step": round(median, 1),
        "ns_per_point_and_log2": round(1e3 * median / (total * math.log2(total)), 3),
        "memory_growth_kib": grown,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    rows = []
    for points in (128, 256, 512, 1024, 2048, 4096, 8192, 16384, 65536):
        rows.append(measure("Kuramoto-Sivashinsky", *line(points)))
        print(json.dumps(rows[-1]), flush=True)
    for points in (32, 64, 128, 256, 512):
        rows.append(measure("Navier-Stokes", *square(points)))
        print(json.dumps(rows[-1]), flush=True)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({"threads": THREADS, "torch": torch.__version__, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
