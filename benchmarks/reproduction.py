"""Exact solutions and published trajectories beside ours, one line each.

    python benchmarks/reproduction.py --data FOLDER --out benchmarks/results/reproduction.json

FOLDER holds the published files ``kuramoto_sivashinsky_pdefind.mat``, ``raissi_burgers_shock.mat`` and
``raissi_KdV.mat``; without it the lines that need them say so. ``--lyapunov`` adds the longest run (about a minute).
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import torch

import sciml
from sciml.spectral.resample import evaluate

Line = dict[str, Any]


def relative(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a - b, axis=-1) / np.linalg.norm(b, axis=-1)


def ks_file(folder: Path) -> Line:
    reference = scipy.io.loadmat(folder / "kuramoto_sivashinsky_pdefind.mat")["uu"].T
    problem = sciml.load_problem("kuramoto_sivashinsky:kassam2005", {"points": 1024})
    ds = sciml.solve(problem, dt=0.025, times=[0.4 * i for i in range(251)])
    errors = relative(ds["u"].values, reference)
    return {"target": 1e-10, "measured": float(errors[:176].max()), "at t = 100": float(errors[-1])}


def burgers_file(folder: Path) -> Line:
    data = scipy.io.loadmat(folder / "raissi_burgers_shock.mat")
    problem = sciml.load_problem("burgers:raissi2019")
    ds = sciml.solve(problem, times=data["t"].ravel().tolist())
    points = torch.as_tensor(data["x"].ravel().copy())
    ours = evaluate(torch.as_tensor(ds["u"].values)[:, None], problem.grid(), (points,))[:, 0].numpy()
    return {"target": 1e-9, "measured": float(relative(ours, data["usol"].T).max())}


def kdv_file(folder: Path) -> Line:
    data = scipy.io.loadmat(folder / "raissi_KdV.mat")
    problem = sciml.load_problem("korteweg_de_vries:raissi2019")
    times = data["tt"].ravel().tolist() if "tt" in data else data["t"].ravel().tolist()
    ds = sciml.solve(problem, times=times)
    return {"target": 1e-9, "measured": float(relative(ds["u"].values, data["uu"].T).max())}


def exact(name: str, target: float, parameters: dict[str, Any] | None = None) -> Line:
    problem = sciml.load_problem(name, parameters)
    ds = sciml.solve(problem, times=10)
    grid = problem.grid()
    field = problem.equation.fields[0]
    errors = [
        float((torch.as_tensor(ds[field].values[i]) - problem.exact_state(grid, float(t))[0]).abs().max()) for i, t in enumerate(ds["time"].values)
    ]
    return {"target": target, "measured": max(errors), "dt": ds.attrs["dt"], "points": list(grid.shape)}


def two_solitons() -> Line:
    problem = sciml.load_problem("korteweg_de_vries:two_solitons")
    grid = problem.grid()
    u0, truth = problem.initial_state(grid), problem.exact_state(grid, problem.horizon)
    counts, errors = (3000, 6000, 12000), []
    for steps in counts:
        with torch.no_grad():
            u = sciml.rollout(sciml.ETDRK4(problem.equation, grid, problem.horizon / steps, dealias=problem.dealias), u0, steps, every=steps)[-1]
        errors.append(float((u - truth).norm() / truth.norm()))
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    return {"target": 3.9, "measured": orders[-1], "errors": errors, "steps": list(counts)}


def lyapunov() -> Line:
    problem = sciml.load_problem("kuramoto_sivashinsky:cvitanovic2010")
    grid = problem.grid(64)
    step = sciml.ETDRK4(problem.equation, grid, 0.25)
    values = []
    for seed in range(3):
        u = problem.initial_state(grid, torch.Generator().manual_seed(seed))
        values.append(float(sciml.lyapunov_exponents(step, u, steps=40_000, every=8, spin_up=4000)[0]))
    return {"target": "0.040 to 0.056", "measured": values, "mean": sum(values) / 3}


def lines(folder: Path | None, with_lyapunov: bool) -> Iterator[tuple[str, Callable[[], Line]]]:
    if folder is not None:
        yield "KS trajectory of Rudy et al. to t = 70, relative L2", lambda: ks_file(folder)
        yield "Burgers trajectory of Raissi et al., relative L2", lambda: burgers_file(folder)
        yield "KdV trajectory of Raissi et al., relative L2", lambda: kdv_file(folder)
    yield "Taylor-Green with mean flow, largest error", lambda: exact("navier_stokes:taylor_green", 1e-12)
    yield "Taylor-Green, other parameters", lambda: exact("navier_stokes:taylor_green", 1e-12, {"viscosity": 0.003, "mean_flow": (-0.7, 2.0)})
    yield "Burgers against Cole-Hopf, largest error", lambda: exact("burgers:raissi2019", 1e-9)
    yield "Burgers against Cole-Hopf, viscosity 0.02/pi", lambda: exact("burgers:raissi2019", 1e-9, {"viscosity": 0.02 / math.pi})
    yield "Two KdV solitons, observed order", two_solitons
    if with_lyapunov:
        yield "KS L = 22, leading Lyapunov exponent over 1e4", lyapunov


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--lyapunov", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.data is None:
        print("no --data folder: the published trajectories are left out")
    rows = []
    for name, run in lines(arguments.data, arguments.lyapunov):
        start = time.perf_counter()
        rows.append({"case": name, **run(), "seconds": round(time.perf_counter() - start, 2)})
        print(json.dumps(rows[-1]), flush=True)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
