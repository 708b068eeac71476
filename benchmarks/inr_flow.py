"""Incompressible flow by splitting, with network weights as the state: error, memory and time, beside grids.

    OMP_NUM_THREADS=1 python benchmarks/inr_flow.py taylor_green_113 taylor_green_333 taylor_green_113_chorin
    OMP_NUM_THREADS=1 python benchmarks/inr_flow.py chen2023 merging merging_vorticity
    python benchmarks/inr_flow.py grids

Four vortices between walls, steady, until t = 5 (H. Chen et al., arXiv 2210.00124, section 5.2); a large and a small one; two that merge. Errors of
the velocity are against the exact flow, or a spectral solution with 256 points per axis. ``grids`` solves the last two by central differences of
second order and by Fourier series on coarse grids. Seconds are of
processor time. ``results/inr_flow.json`` keeps a row per run.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import sciml
from sciml.problems import vortices
from sciml.spectral.resample import evaluate, resample

RESULTS = Path(__file__).parent / "results" / "inr_flow.json"
FINE = 256
"""Points per axis of spectral references."""


@dataclass
class Case:
    """A problem, a network, a step.

    Attributes
    ----------
    problem : by name; ``velocity`` rewrites its vorticity as velocity and pressure.
    network : options of :class:`sciml.INRStepper`.
    dt, end : of the run.
    """

    problem: str
    network: dict[str, Any]
    dt: float
    end: float
    velocity: bool = False


SINE: dict[str, Any] = {"depth": 1, "activation": "sine", "start_tolerance": 1e-5}
WAVES: dict[str, Any] = {"width": 14, "depth": 2, "harmonics": 4, "start_tolerance": 1e-3}
CASES = {
    "taylor_green_113": Case("vortices:taylor_green", {"width": 10, **SINE}, 0.05, 5.0),
    "taylor_green_333": Case("vortices:taylor_green", {"width": 10, **SINE, "depth": 2, "start_tolerance": 1e-6}, 0.05, 5.0),
    "taylor_green_113_chorin": Case("vortices:taylor_green", {"width": 10, **SINE, "integrator": "chorin"}, 0.05, 5.0),
    "chen2023": Case("vortices:chen2023", {"width": 24, "harmonics": 3, **SINE, "start_tolerance": 1e-3}, 0.05, 5.0),
    "merging": Case("vortices:merging", WAVES, 0.05, 6.0, True),
    "merging_vorticity": Case("vortices:merging", WAVES, 0.05, 6.0),
}


def problem_of(case: Case) -> sciml.Problem:
    problem = sciml.load_problem(case.problem)
    return vortices.by_velocity(problem) if case.velocity else problem


@cache
def truth(name: str, end: float, places: int = 64) -> Tensor:
    """The velocity at the end on ``places`` per axis, ``(2, x, y)``."""
    problem = sciml.load_problem(name)
    grid = problem.grid(places)
    if problem.exact is not None:
        return problem.exact_state(grid, end)[:2]
    if name == "vortices:merging":
        fine = sciml.to_tensor(sciml.solve(problem, points=FINE, dt=0.01, times=[0.0, end]))[-1]
        return resample(vortices.velocity(fine, problem.grid(FINE)), problem.grid(FINE), grid.shape)
    return vortices.reference_flow(problem, grid, [0.0, end], points=FINE)[-1, :2]


def errors(u: Tensor, true: Tensor) -> dict[str, float]:
    return {"mean_square": float((u - true).square().mean()), "relative_l2": float((u - true).norm() / true.norm())}


def run(name: str, case: Case) -> dict[str, Any]:
    """Step a network to the end."""
    problem = problem_of(case)
    grid = problem.grid(64)
    step = sciml.INRStepper(problem, dt=case.dt, **case.network)
    began = time.process_time()
    state = step.start()
    started = time.process_time()
    print(f"{name}: {step.size} weights, start {started - began:.0f} s, misfit {state.misfit:.1e}", flush=True)
    worst, divergence, first = 0.0, 0.0, state
    for n in range(round(case.end / case.dt)):
        state = step.advance(state, n * case.dt)
        worst, divergence = max(worst, state.misfit), max(divergence, state.constraint)
        if n % 10 == 9:
            print(f"{name}: t={(n + 1) * case.dt:.3g}, misfit {state.misfit:.1e}, {time.process_time() - started:.0f} s", flush=True)
    seconds = time.process_time() - started

    def flow(s: sciml.INRState) -> Tensor:
        found = step.sample(s, grid)
        return found[:2] if len(found) == 3 else vortices.velocity(found, grid)

    return {
        "problem": case.problem,
        "integrator": step.named_integrator,
        "weights": step.size,
        "bytes": step.bytes,
        "dt": case.dt,
        "end": case.end,
        "network": case.network,
        "start_s": started - began,
        "seconds": seconds,
        **errors(flow(state), truth(case.problem, case.end)),
        "relative_l2_at_start": errors(flow(first), truth_at_start(problem, grid))["relative_l2"],
        "worst_misfit": worst,
        "worst_divergence": divergence,
    }


def truth_at_start(problem: sciml.Problem, grid: sciml.Grid) -> Tensor:
    found = problem.initial_state(grid)
    return found[:2] if len(found) == 3 else vortices.velocity(found, grid)


def differences(w: Tensor, lengths: tuple[float, ...], viscosity: float, dt: float, steps: int) -> tuple[Tensor, Tensor]:
    """Vorticity and velocity after some steps of RK4 on a torus, by central differences of second order; the Laplacian is that of five points."""
    n, m = w.shape
    h, k = lengths[0] / n, lengths[1] / m
    waves = [torch.fft.fftfreq(count, dtype=w.dtype) * 2 * math.pi for count in (n, m)]
    symbol = (2 * torch.cos(waves[0])[:, None] - 2) / h**2 + (2 * torch.cos(waves[1])[None] - 2) / k**2
    symbol[0, 0] = 1.0

    def slope(f: Tensor, axis: int) -> Tensor:
        return (f.roll(-1, axis) - f.roll(1, axis)) / (2 * (h, k)[axis])

    def velocity(w: Tensor) -> Tensor:
        c = torch.fft.fft2(w) / symbol
        c[0, 0] = 0.0
        psi = torch.fft.ifft2(c).real
        return torch.stack([-slope(psi, 1), slope(psi, 0)])

    def rate(w: Tensor) -> Tensor:
        u, v = velocity(w)
        spread = (w.roll(1, 0) + w.roll(-1, 0) - 2 * w) / h**2 + (w.roll(1, 1) + w.roll(-1, 1) - 2 * w) / k**2
        return -slope(u * w, 0) - slope(v * w, 1) + viscosity * spread

    for _ in range(steps):
        a = rate(w)
        b = rate(w + dt / 2 * a)
        c = rate(w + dt / 2 * b)
        w = w + dt / 6 * (a + 2 * b + 2 * c + rate(w + dt * c))
    return w, velocity(w)


def semi_lagrangian(w: Tensor, grid: sciml.Grid, dt: float, steps: int) -> Tensor:
    """The velocity after steps that carry vorticity along the flow by bilinear interpolation, as splitting on a grid does; on a periodic grid."""
    (n, m), (h, k) = grid.shape, grid.spacing
    i, j = torch.meshgrid(torch.arange(n, dtype=w.dtype), torch.arange(m, dtype=w.dtype), indexing="ij")
    for _ in range(steps):
        u = vortices.velocity(w, grid)
        a, b = i - dt * u[0] / h, j - dt * u[1] / k
        low, left = a.floor().long(), b.floor().long()
        s, t = a - low, b - left
        at = [[w[0, (low + p) % n, (left + q) % m] for q in (0, 1)] for p in (0, 1)]
        w = ((1 - s) * ((1 - t) * at[0][0] + t * at[0][1]) + s * ((1 - t) * at[1][0] + t * at[1][1])).unsqueeze(0)
    return vortices.velocity(w, grid)


def grids() -> dict[str, Any]:
    """Three flows on grids; memory of the box alone, of two velocities or of the vorticity."""
    rows: dict[str, Any] = {}
    box = sciml.load_problem("vortices:taylor_green")
    torus = vortices.on_torus(box)
    for points in (48, 96, 192, 384):
        grid = torus.grid(2 * points)
        began = time.perf_counter()
        u = semi_lagrangian(torus.initial_state(grid), grid, 0.05, 100)
        found = errors(moved(u, grid, box), truth("vortices:taylor_green", 5.0))
        rows[f"{box.name}, semi-Lagrangian, {points} points"] = {"bytes": 16 * points**2, "seconds": time.perf_counter() - began, **found}
    for name, end in (("vortices:chen2023", 5.0), ("vortices:merging", 6.0)):
        problem = sciml.load_problem(name)
        folds = 2 if name == "vortices:chen2023" else 1
        torus = vortices.on_torus(problem) if folds == 2 else problem
        for points in (16, 24, 32, 48, 64, 96, 128):
            grid = torus.grid(folds * points)
            true = truth(name, end)
            for method in ("central differences", "etdrk4"):
                began = time.perf_counter()
                if method == "etdrk4":
                    dt = min(0.02, 0.64 / points)
                    w = sciml.to_tensor(sciml.solve(torus, points=folds * points, dt=dt, times=[0.0, end]))[-1]
                    u = vortices.velocity(w, grid)
                else:
                    steps = math.ceil(end * points / 8)
                    _, u = differences(torus.initial_state(grid)[0], grid.lengths, float(torus.equation.viscosity), end / steps, steps)
                seconds = time.perf_counter() - began
                found = moved(u, grid, problem) if folds == 2 else resample(u, grid, 64)
                rows[f"{name}, {method}, {points} points"] = {"bytes": 8 * points**2, "seconds": seconds, **errors(found, true)}
    return rows


def moved(u: Tensor, torus: sciml.Grid, problem: sciml.Problem) -> Tensor:
    """A velocity on a torus at the places of the box where it is compared."""
    places = [c.flatten() for c in problem.grid(64).points()]
    return evaluate(u, torus, places).unflatten(-1, (64, 64))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="+", choices=[*CASES, "grids"])
    parser.add_argument("--dt", type=float)
    parser.add_argument("--width", type=int)
    parser.add_argument("--end", type=float)
    a = parser.parse_args()
    for name in a.cases:
        row: dict[str, Any] = {"torch": torch.__version__, "threads": torch.get_num_threads(), "machine": platform.machine()}
        if name == "grids":
            row["rows"] = grids()
            for key, value in row["rows"].items():
                print(f"{key}: {value['bytes']} bytes, relative L2 {value['relative_l2']:.2e}, {value['seconds']:.1f} s")
        else:
            case = CASES[name]
            case.dt, case.end = a.dt or case.dt, a.end or case.end
            case.network.update({"width": a.width} if a.width else {})
            row.update(run(name, case))
            print(f"{name}: {row['weights']} weights, {row['seconds']:.0f} s, relative L2 {row['relative_l2']:.2e}, square {row['mean_square']:.2e}")
        rows = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        rows[name] = row
        RESULTS.write_text(json.dumps(dict(sorted(rows.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
