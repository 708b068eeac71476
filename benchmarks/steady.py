"""Iterations and time of the steady solvers, beside a sparse direct solve of the same equations in the same run.

Iterations are counted to relative residuals of 1e-4 and 1e-10, and to 1e-4 in the norm of the preconditioner, which is that of the error's
energy up to the contrast and the one in which the textbook rate holds; for samples of Darcy flow with a jumping coefficient
(contrast 4), smooth log-normal ones, and a periodic one in Fourier collocation. The direct solve is scipy's ``spsolve``
(SuperLU) of the matrix, whose assembly is not counted; runs alternate and the medians are compared.

    python benchmarks/steady.py --out benchmarks/results/steady.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import torch

import sciml
from sciml.problems import darcy
from sciml.solvers.diffusion_operator import DiffusionOperator

SEED = 0


def counts(problem: sciml.Problem, points: int, samples: int, method: str) -> dict[str, Any]:
    """Iterations over a few samples, and the contrast of the coefficients."""
    grid = problem.grid(points)
    a = problem.initial_state(grid, torch.Generator().manual_seed(SEED), samples=samples)
    stated = problem.equation.with_inputs(a)
    row: dict[str, Any] = {"case": problem.name, **problem.parameters, "method": method, "points": points, "samples": samples}
    row["contrast"] = float((a.flatten(1).amax(1) / a.flatten(1).amin(1)).max())
    for tolerance in (1e-4, 1e-10):
        _, convergence = sciml.solve_steady(stated, grid, problem.domain.boundaries, method=method, tolerance=tolerance)
        row[f"iterations_{tolerance:g}"] = [int(convergence.iterations.min()), int(convergence.iterations.max())]
    measured = [float(size) for size in energy_norms(stated, grid, problem, method)]
    row["iterations_0.0001_in_the_preconditioner_norm"] = sum(size > 1e-4 for size in measured)
    row["true_residual"] = float(convergence.residual.max())
    return row


def energy_norms(stated: Any, grid: sciml.Grid, problem: sciml.Problem, method: str) -> list[torch.Tensor]:
    """The largest relative residual over the samples after 0, 1, 2, ... iterations, in the norm of the preconditioner."""
    sizes: list[torch.Tensor] = []
    original = DiffusionOperator.precondition

    def recorded(self: DiffusionOperator, r: torch.Tensor) -> torch.Tensor:
        z = original(self, r)
        sizes.append((r * z).flatten(1).sum(1).sqrt())
        return z

    DiffusionOperator.precondition = recorded
    try:
        sciml.solve_steady(stated, grid, problem.domain.boundaries, method=method)
    finally:
        DiffusionOperator.precondition = original
    return [(size / sizes[0]).max() for size in sizes]


def matrix(a: np.ndarray) -> scipy.sparse.csc_matrix:
    """Two-point fluxes on the unit square with u = 0 on the walls, assembled apart from the package."""
    n = a.shape[0]
    index = np.arange(n * n).reshape(n, n)
    total = scipy.sparse.csc_matrix((n * n, n * n))
    for axis in (0, 1):
        low, high = np.take(a, range(n - 1), axis), np.take(a, range(1, n), axis)
        i, j = np.take(index, range(n - 1), axis).ravel(), np.take(index, range(1, n), axis).ravel()
        link = (2 * low * high / (low + high)).ravel() * n**2
        entries = np.concatenate([link, link, -link, -link])
        total = total + scipy.sparse.csc_matrix((entries, (np.concatenate([i, j, i, j]), np.concatenate([i, j, j, i]))), shape=total.shape)
        for side in (0, n - 1):
            k = np.take(index, side, axis).ravel()
            total = total + scipy.sparse.csc_matrix((2 * np.take(a, side, axis).ravel() * n**2, (k, k)), shape=total.shape)
    return total.tocsc()


def race(problem: sciml.Problem, points: int, repeats: int) -> dict[str, Any]:
    """Median seconds of one solve by both, alternately, and the difference of the solutions."""
    grid = problem.grid(points)
    a = problem.initial_state(grid, torch.Generator().manual_seed(SEED))
    stated = problem.equation.with_inputs(a)
    sparse, one = matrix(a[0].numpy()), np.ones(points**2)
    ours, theirs = [], []
    with torch.no_grad():
        for _ in range(repeats):
            began = time.perf_counter()
            u, convergence = sciml.solve_steady(stated, grid, problem.domain.boundaries)
            ours.append(time.perf_counter() - began)
            began = time.perf_counter()
            v = scipy.sparse.linalg.spsolve(sparse, one)
            theirs.append(time.perf_counter() - began)
    return {
        "case": problem.name,
        "points": points,
        "iterations": int(convergence.iterations.max()),
        "seconds": statistics.median(ours),
        "spsolve_seconds": statistics.median(theirs),
        "ratio": statistics.median(theirs) / statistics.median(ours),
        "relative_difference": float(np.linalg.norm(u.numpy().ravel() - v) / np.linalg.norm(v)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/steady.json"))
    out = parser.parse_args().out
    sizes = (64, 128, 256, 421)
    rows = [counts(darcy.li2021(), n, 8 if n < 400 else 3, "finite_volume_cg") for n in sizes]
    for deviation in (0.5, 1.0, 2.0):
        rows += [counts(darcy.lognormal(2, deviation), n, 8 if n < 400 else 3, "finite_volume_cg") for n in sizes]
    rows += [counts(darcy.periodic(2), n, 1, "spectral_cg") for n in sizes[:3]]
    rows += [counts(darcy.lognormal(3, 1.0), n, 2, "finite_volume_cg") for n in (32, 64)]
    races = [race(case, n, 5 if n < 256 else 3) for case in (darcy.li2021(), darcy.lognormal()) for n in sizes]
    machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    versions = {"python": platform.python_version(), "torch": torch.__version__, "scipy": version("scipy"), "sciml": version("sciml-pde")}
    print(f"{machine}  {versions}  seed {SEED}")
    for row in rows + races:
        print("  ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"machine": machine, "versions": versions, "seed": SEED, "iterations": rows, "races": races}, indent=1) + "\n")
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
