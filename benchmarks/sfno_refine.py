"""Train SFNO for a few minutes on Navier-Stokes (li2021, 64 x 64), frames 1..10 to 11..20, and refine its predictions with the equation.

    OMP_NUM_THREADS=1 python benchmarks/sfno_refine.py --budget 300

Data are 200 trajectories of ``sciml.generate``, solved on the same 64 x 64 points (cached after the first run): 180 for training, 20 for the test.
Errors are relative, over ten frames together, per sample, then averaged. Seconds are of wall time on a shared machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import torch

import sciml


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=300.0, help="seconds of training")
    parser.add_argument("--refined", type=int, default=2, help="test samples to refine")
    parser.add_argument("--substeps", type=int, nargs="+", default=[1])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "sfno_refine.json")
    parser.add_argument("--data", type=Path, help="a folder with these trajectories, made before")
    asked = parser.parse_args()

    problem = sciml.load_problem("navier_stokes:li2021")
    folder = asked.data or sciml.generate("navier_stokes:li2021", 200, points=64, end=20.0, times=20, seed=0, progress=True)
    stored = sciml.open_data(folder)
    u = torch.stack([sample.u for sample in stored]).float()  # (sample, time, channel, x, y)
    before, after = u[:, 1:11], u[:, 11:21]
    grid = stored.grid.to(dtype=torch.float32)

    torch.manual_seed(asked.seed)
    model = sciml.SFNO(grid, modes=12, time_modes=5, width=10, expansion=2)
    history = sciml.fit(model, (before[:180], after[:180]), budget=asked.budget, batch_size=4, lr=5e-3, clip=1.0, seed=asked.seed, progress=True)
    with torch.no_grad():
        predicted = torch.cat([model(part) for part in before[180:].split(4)])
    truth = after[180:]
    h1 = sciml.Sobolev(grid, 1.0, alpha=0.0)
    last = before[180:, -1:].expand_as(truth)
    result = {
        "protocol": "li2021, viscosity 1e-3, 64 x 64, frames 1..10 -> 11..20, 180 training and 20 test trajectories, float32",
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_seconds": history.epochs[-1].seconds,
        "epochs": history.epochs[-1].epoch,
        "relative_l2": float(sciml.relative_l2(predicted, truth)),
        "relative_h1": float(h1(predicted, truth)),
        "persistence_l2": float(sciml.relative_l2(last, truth)),
        "persistence_h1": float(h1(last, truth)),
        "refined": [],
        "machine": {"cpu": platform.processor() or platform.machine(), "threads": torch.get_num_threads(), "torch": torch.__version__},
        "seed": asked.seed,
    }
    print({key: value for key, value in result.items() if key.startswith(("relative", "persist", "epochs", "param"))}, flush=True)
    chosen = slice(180, 180 + asked.refined)
    for substeps in asked.substeps:
        start = time.perf_counter()
        found = sciml.refine(model, problem.equation, before[chosen], steps=10, dt=1.0, substeps=substeps, truth=after[chosen])
        row = {
            "substeps": substeps,
            "samples": asked.refined,
            "seconds": time.perf_counter() - start,
            "iterations": found.iterations,
            "residual_before": found.residual_before.tolist(),
            "residual_after": found.residual_after.tolist(),
            "relative_l2_before": found.error_before.tolist(),
            "relative_l2_after": found.error_after.tolist(),
            "uncertainty": found.uncertainty.tolist(),
            "relative_h1_before": [float(h1(p[None], y[None])) for p, y in zip(found.predicted, after[chosen], strict=True)],
            "relative_h1_after": [float(h1(p[None], y[None])) for p, y in zip(found.u, after[chosen], strict=True)],
        }
        result["refined"].append(row)
        print(row, flush=True)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"Wrote {asked.out}")


if __name__ == "__main__":
    main()
