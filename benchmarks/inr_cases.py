"""Implicit neural representations: error, memory and time on transport, on the torus and on vortices, beside grids.

    OMP_NUM_THREADS=1 python benchmarks/inr_cases.py advection
    OMP_NUM_THREADS=1 python benchmarks/inr_cases.py heat allen_cahn burgers taylor_green
    OMP_NUM_THREADS=1 python benchmarks/inr_cases.py advection --pinn 580       # a PINN of the same size instead, with seconds to train

The network's weights are stepped by Gauss-Newton fits of Runge-Kutta stages; nothing is known but the equation and the initial state. Errors are
against exact solutions, or a spectral one at twice the resolution of the problem. Beside each stand solutions on grids, one of them with as many
numbers as the network has weights. ``results/inr.json`` keeps a row per run.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import sciml
from sciml.spectral.resample import resample

RESULTS = Path(__file__).parent / "results" / "inr.json"


@dataclass
class Case:
    """A problem, a network, a step.

    Attributes
    ----------
    problem, options : of the case, and its parameters.
    network : options of :class:`sciml.INRStepper`.
    dt, end : of the run.
    places : per axis, where the error is measured.
    """

    problem: str
    network: dict[str, Any]
    dt: float
    end: float
    places: int
    parameters: dict[str, Any] = field(default_factory=dict)


RICH = {"harmonics": 4, "start_tolerance": 1e-8}
"""Of networks for hills and hollows that a single wave and its products reach badly."""

CASES = {
    "advection": Case("advection:chen2023", {"width": 18, "depth": 2}, 0.04, 12.0, 1024),
    "heat": Case("heat:chen2024", {"width": 16, "depth": 3}, 0.05, 4.0, 64),
    "allen_cahn": Case("allen_cahn:chen2024", {"width": 20, "depth": 2, **RICH}, 0.05, 4.0, 64),
    "burgers": Case("burgers:chen2024", {"width": 24, "depth": 2, **RICH}, 0.05, 4.0, 64),
    "taylor_green": Case(
        "navier_stokes:taylor_green", {"width": 12, "depth": 2, "harmonics": 2}, 0.05, 5.0, 64, {"viscosity": 0.01, "mean_flow": (1.0, 0.5)}
    ),
}


def truth(problem: sciml.Problem, case: Case) -> Tensor:
    """The state at the end, ``(channel, *space)``."""
    grid = problem.grid(case.places)
    if problem.exact is not None:
        return problem.exact_state(grid, case.end)
    ds = sciml.solve(problem, points=2 * case.places, dt=0.005, times=[0.0, case.end])
    stride = (slice(None), *(slice(None, None, 2),) * grid.ndim)
    return sciml.to_tensor(ds)[-1][stride]


def run(name: str, case: Case) -> dict[str, Any]:
    """Step a network to the end."""
    problem = sciml.load_problem(case.problem, case.parameters)
    true = truth(problem, case)
    grid = problem.grid(case.places)
    step = sciml.INRStepper(problem, dt=case.dt, **case.network)
    before = time.perf_counter()
    state = step.start()
    started = time.perf_counter()
    first = step.sample(state, grid)
    worst = 0.0
    for n in range(round(case.end / case.dt)):
        state = step.advance(state, n * case.dt)
        worst = max(worst, state.misfit)
        if n % 20 == 19:
            print(f"{name}: t={(n + 1) * case.dt:.3g}, misfit {state.misfit:.1e}, {time.perf_counter() - started:.0f} s", flush=True)
    seconds = time.perf_counter() - started
    found = step.sample(state, grid)
    initial = problem.initial_state(grid)
    return {
        "weights": step.size,
        "bytes": step.bytes,
        "dt": case.dt,
        "end": case.end,
        "network": case.network,
        "start_s": started - before,
        "seconds": seconds,
        "relative_l2": float((found - true).norm() / true.norm()),
        "mean_absolute": float((found - true).abs().mean()),
        "mean_square": float((found - true).square().mean()),
        "relative_l2_at_start": float((first - initial).norm() / initial.norm()),
        "worst_misfit": worst,
    }


def pinn(case: Case, budget: float) -> dict[str, Any]:
    """A physics-informed network over all of space-time, of the same width and depth, trained by Gauss-Newton."""
    problem = sciml.load_problem(case.problem, case.parameters)
    torch.manual_seed(0)
    network = sciml.PINN(problem, width=case.network["width"], depth=case.network["depth"], bc="soft")
    objective = sciml.PinnObjective(points=sciml.RAD(4000, every=20, c=1.0))
    history = sciml.fit(network, budget=budget, loss=objective, optimizer=sciml.GaussNewton(), seed=0)
    grid = problem.grid(case.places)
    x = [c.flatten() for c in grid.points()]
    with torch.no_grad():
        found = network(torch.full_like(x[0], case.end), *x).T.reshape(-1, *grid.shape)
    true = truth(problem, case)
    weights = sum(p.numel() for p in network.parameters())
    return {
        "weights": weights,
        "bytes": 8 * weights,
        "seconds": history.epochs[-1].seconds,
        "steps": history.epochs[-1].steps,
        "loss": history.epochs[-1].loss,
        "relative_l2": float((found - true).norm() / true.norm()),
        "mean_absolute": float((found - true).abs().mean()),
    }


def grids(case: Case, weights: int) -> dict[str, Any]:
    """Classical solutions: one with as many numbers as the network has weights, and finer ones."""
    problem = sciml.load_problem(case.problem, case.parameters)
    ndim = problem.domain.ndim
    rows = {}
    equal = round(weights ** (1 / ndim))
    for points in sorted({equal + equal % 2, *(2**k for k in range(3, 10 if ndim == 1 else 8))}):
        for method in ("etdrk4",) if all(problem.domain.is_periodic) else ("dopri5",):
            before = time.perf_counter()
            ds = sciml.solve(problem, points=points, method=method, times=[0.0, case.end])
            seconds = time.perf_counter() - before
            found, grid = sciml.to_tensor(ds)[-1], problem.grid(points)
            true = fine_truth(problem, case, grid)
            rows[f"{method}, {points} points per axis"] = {
                "bytes": 8 * points**ndim,
                "seconds": seconds,
                "relative_l2": float((found - true).norm() / true.norm()),
                "mean_absolute": float((found - true).abs().mean()),
                "mean_square": float((found - true).square().mean()),
            }
    return rows


def fine_truth(problem: sciml.Problem, case: Case, grid: sciml.Grid) -> Tensor:
    """The state at the end on any grid; without an exact solution resampled from a fine spectral one."""
    if problem.exact is not None:
        return problem.exact_state(grid, case.end)
    fine = sciml.solve(problem, points=256, dt=0.01, times=[0.0, case.end])
    return resample(sciml.to_tensor(fine)[-1], problem.grid(256), grid.shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="+", choices=CASES)
    parser.add_argument("--dt", type=float)
    parser.add_argument("--width", type=int)
    parser.add_argument("--without-grids", action="store_true")
    parser.add_argument("--pinn", type=float, metavar="SECONDS", help="train a PINN of the same size instead")
    a = parser.parse_args()
    for name in a.cases:
        case = CASES[name]
        case.dt = a.dt or case.dt
        case.network.update({"width": a.width} if a.width else {})
        rows = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        if a.pinn:
            found = pinn(case, a.pinn)
            print(f"{name}: PINN, {found['weights']} weights, {found['seconds']:.0f} s, mean absolute error {found['mean_absolute']:.2e}", flush=True)
            rows[f"{name}, pinn"] = found
            RESULTS.write_text(json.dumps(dict(sorted(rows.items())), indent=1) + "\n")
            continue
        row = {"torch": torch.__version__, "threads": torch.get_num_threads(), "machine": platform.machine(), **run(name, case)}
        errors = f"relative L2 {row['relative_l2']:.2e}, mean absolute {row['mean_absolute']:.2e}"
        print(f"{name}: {row['weights']} weights, {row['seconds']:.0f} s, {errors}", flush=True)
        if not a.without_grids:
            row["grids"] = grids(case, row["weights"])
        rows = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        rows[name] = row
        RESULTS.write_text(json.dumps(dict(sorted(rows.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
