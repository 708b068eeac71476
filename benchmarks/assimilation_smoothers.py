"""Scores of smoothers, variational methods and baselines on the Lorenz systems, 20 experiments as one batch, beside published ones.

    OMP_NUM_THREADS=1 python benchmarks/assimilation_smoothers.py --out benchmarks/results/assimilation_smoothers.json
    OMP_NUM_THREADS=1 python benchmarks/assimilation_smoothers.py --only l63 --out l63.json

The published figures are those listed by DAPPER 1.7 (nansencenter/DAPPER, dapper/mods/*): the time mean of the root mean square error of the analysis
at the newest data, not of the smoothed state. Its scores of 4D-Var are reached with B = xB times the identity. With xB times the climatological
covariance, 13 times larger, the spread of the forecast is more than twice its error: 0.67 instead of 0.46 for a window of one time of data.

The experiments start from different states of one long run, and have truths and errors of their own; standard errors are those of their mean.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import sciml
from sciml.assimilation.stages import Assimilator
from sciml.problems import lorenz

EXPERIMENTS = 20
F64 = torch.float64


@dataclass(frozen=True)
class Setting:
    """A published set-up: model, steps between data, what is seen with which error variance, cycles that are not counted."""

    problem: sciml.Problem
    dt: float
    every: int
    stride: int
    variance: float
    burn_in: int


@dataclass(frozen=True)
class Row:
    """One method in one setting, and how many cycles it runs for."""

    setting: str
    name: str
    analysis: Assimilator
    members: int
    cycles: int
    published: float


SETTINGS = {
    "l63": Setting(lorenz.sakov2012(), 0.01, 25, 1, 2.0, 40),
    "l96": Setting(lorenz.sakov2008(), 0.05, 1, 1, 1.0, 100),
    "l96 every 0.2": Setting(lorenz.sakov2008(), 0.05, 4, 1, 1.0, 30),
    "bocquet2010_m40": Setting(lorenz.sakov2008(), 0.05, 1, 2, 2.25, 100),
    "spantini2019": Setting(lorenz.sakov2008(), 0.02, 20, 2, 0.5, 25),
}


def climate(setting: Setting) -> Tensor:
    """Snapshots of a long run, ``(samples, channel, *space)``."""
    grid, generator = setting.problem.grid(), torch.Generator().manual_seed(1000)
    start = torch.stack([setting.problem.initial.sample(grid, generator).reshape(1, *_state(setting)) for _ in range(50)]).squeeze(1)
    step = sciml.RK4(setting.problem.equation, grid, dt=setting.dt)
    often = max(1, round(0.5 / setting.dt))
    with torch.no_grad():
        return sciml.rollout(step, start, 120 * often, every=often)[41:].flatten(0, 1)


def _state(setting: Setting) -> tuple[int, ...]:
    grid = setting.problem.grid()
    return (len(setting.problem.equation.fields), *grid.shape)


def rows(states: dict[str, Tensor]) -> list[Row]:
    b96, b63 = (sciml.sampled_covariance(states[name]) for name in ("l96", "l63"))
    return [
        Row("l63", "climatology", sciml.Climatology(states["l63"]), 1, 160, 7.6),
        Row("l63", "optimal interpolation", sciml.OptimalInterpolation(states["l63"]), 1, 160, 1.25),
        Row("l63", "3D-Var B=0.1", sciml.ThreeDVar(b63.scaled(0.1)), 1, 160, 1.04),
        Row("l63", "extended Kalman filter inflation=180", sciml.ExtendedKF(math.sqrt(2), 180.0), 1, 160, 0.92),
        Row("l63", "EnKS lag=4 of ETKF N=10 inflation=1.02 rotation", sciml.EnKS(sciml.ETKF(1.02, rotate=True), 4), 10, 160, 0.60),
        Row("l63", "IEnKS lag=1 N=10 inflation=1.02 rotation", sciml.IEnKS(1, inflation=1.02, rotate=True), 10, 160, 0.31),
        Row("l96", "climatology", sciml.Climatology(states["l96"]), 1, 240, 3.6),
        Row("l96", "optimal interpolation", sciml.OptimalInterpolation(states["l96"]), 1, 240, 0.95),
        Row("l96", "3D-Var B=0.02", sciml.ThreeDVar(b96.scaled(0.02)), 1, 240, 0.41),
        Row("l96", "extended Kalman filter inflation=10", sciml.ExtendedKF(1.0, 10.0), 1, 240, 0.24),
        Row("l96", "EnKS lag=10 of ETKF N=24 inflation=1.013 rotation", sciml.EnKS(sciml.ETKF(1.013, rotate=True), 10), 24, 240, 0.18),
        Row("l96 every 0.2", "4D-Var window=1 B=0.2", sciml.FourDVar(math.sqrt(0.2), 1, tolerance=1e-3), 1, 100, 0.46),
        Row("l96 every 0.2", "4D-Var window=2 B=0.1", sciml.FourDVar(math.sqrt(0.1), 2, tolerance=1e-3), 1, 100, 0.39),
        Row("l96 every 0.2", "4D-Var window=4 B=0.02", sciml.FourDVar(math.sqrt(0.02), 4, tolerance=1e-3), 1, 100, 0.37),
        Row("l96 every 0.2", "IEnKS lag=4 N=20 xN=2", sciml.IEnKS(4, xN=2.0), 20, 100, 0.31),
        Row("bocquet2010_m40", "IEnKS lag=2 N=19 inflation=1.04", sciml.IEnKS(2, inflation=1.04), 19, 260, 0.46),
        Row("spantini2019", "IEnKS lag=2 N=40 inflation=1.10", sciml.IEnKS(2, inflation=1.10), 40, 80, 0.52),
    ]


def measured(row: Row, setting: Setting, states: Tensor) -> dict[str, Any]:
    grid, generator = setting.problem.grid(), torch.Generator().manual_seed(7)
    step = sciml.RK4(setting.problem.equation, grid, dt=setting.dt)
    start = states[torch.randperm(len(states), generator=generator)[:EXPERIMENTS]]
    operator = sciml.every(setting.stride) if grid.ndim else lambda u: u
    observation = sciml.Observation(operator, math.sqrt(setting.variance), grid=grid)
    began = time.process_time()
    with torch.no_grad():
        truth = sciml.rollout(step, start, row.cycles * setting.every, every=setting.every, include_initial=False)
        y = observation.measured(truth, generator)
        noise = torch.randn((EXPERIMENTS, row.members, *start.shape[1:]), dtype=F64, generator=generator)
        ensemble = start.unsqueeze(1) + math.sqrt(setting.problem.parameters["noise_variance"]) * noise
        found = sciml.cycle(step, row.analysis, observation, y, ensemble, generator=generator, every=setting.every, truth=truth)
    figures: dict[str, Any] = {"published": row.published, "cycles": row.cycles, "burn_in": setting.burn_in, "experiments": EXPERIMENTS}
    for name in ("rmse.a", "rmse.s", "rmse.f"):
        if name in found.series:
            score = found.score(name, setting.burn_in)
            figures[name], figures[f"{name} standard error"] = float(score.mean()), float(score.std() / math.sqrt(EXPERIMENTS))
    figures["spread / rmse.a"] = float(found.score("spread.a", setting.burn_in).mean()) / figures["rmse.a"]
    figures["seconds"] = time.process_time() - began
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="settings or methods whose name contains this")
    parser.add_argument("--out", type=Path, help="write the figures as JSON; those of other methods in it are kept")
    given = parser.parse_args()
    machine = {"machine": platform.processor() or platform.machine(), "python": platform.python_version(), "torch": torch.__version__}
    print(", ".join(f"{k} {v}" for k, v in machine.items()), f", threads {torch.get_num_threads()}")
    states = {name: climate(SETTINGS[name]) for name in ("l63", "l96")}
    results: dict[str, Any] = json.loads(given.out.read_text())["results"] if given.out is not None and given.out.exists() else {}
    print(f"{'setting':16s} {'method':52s} {'rmse.a':>14s} {'published':>9s} {'spread/rmse':>11s} {'rmse.s':>7s} {'seconds':>8s}")
    for row in rows(states):
        if given.only not in row.setting and given.only not in row.name:
            continue
        found = measured(row, SETTINGS[row.setting], states["l63" if row.setting == "l63" else "l96"])
        results[f"{row.setting}: {row.name}"] = found
        shown = f"{found['rmse.a']:.3f}+-{found['rmse.a standard error']:.3f}"
        smooth = f"{found['rmse.s']:.3f}" if "rmse.s" in found else ""
        ratio = found["spread / rmse.a"]
        print(f"{row.setting:16s} {row.name:52s} {shown:>14s} {row.published:9.2f} {ratio:11.2f} {smooth:>7s} {found['seconds']:8.1f}", flush=True)
        if given.out is not None:
            given.out.parent.mkdir(parents=True, exist_ok=True)
            given.out.write_text(json.dumps({**machine, "threads": torch.get_num_threads(), "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
