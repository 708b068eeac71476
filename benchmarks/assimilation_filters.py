"""How well ensemble filters know Lorenz's systems, beside published scores.

    OMP_NUM_THREADS=1 python benchmarks/assimilation_filters.py sakov2008 --out benchmarks/results/assimilation_sakov2008.json

Cases: sakov2012 (Lorenz 63), sakov2008, bocquet2010_m40, spantini2019 (Lorenz 96). Five truths with data of their own run as
one batch. A score is the mean over the cycles after a burn-in of the root mean square error of the analysis mean, with the standard error over the
five; beside it stand the published score and the ratio of spread and error. Scores without a published one are of methods that the sources lack.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from pathlib import Path
from typing import Any

import torch

import sciml
from sciml.assimilation.stages import Assimilator
from sciml.problems import lorenz

SEEDS = 5
Setting = tuple[str, Assimilator, int]

SETTINGS: dict[str, list[Setting]] = {
    "sakov2012": [
        ("ETKF N=10 inflation=1.02 rotation", sciml.ETKF(1.02, rotate=True), 10),
        ("ETKF N=3 inflation=1.30", sciml.ETKF(1.30), 3),
        ("ETKF N=10 rotation, adaptive inflation", sciml.ETKF(sciml.AdaptiveInflation(), rotate=True), 10),
        ("EnKF perturbed observations N=10 inflation=1.04", sciml.EnKF(1.04), 10),
        ("EnKF perturbed observations N=100 inflation=1.01", sciml.EnKF(1.01), 100),
        ("EAKF N=10 inflation=1.02 rotation", sciml.EAKF(1.02, rotate=True), 10),
        ("EnKF-N N=3", sciml.EnKFN(), 3),
        ("EnKF-N N=10 rotation", sciml.EnKFN(rotate=True), 10),
        ("particle filter N=100", sciml.ParticleFilter(0.3, jitter=2.4), 100),
        ("particle filter N=800", sciml.ParticleFilter(0.2, jitter=0.9), 800),
    ],
    "sakov2008": [
        ("ETKF N=24 inflation=1.013 rotation", sciml.ETKF(1.013, rotate=True), 24),
        ("ETKF N=24 rotation, adaptive inflation", sciml.ETKF(sciml.AdaptiveInflation(start=1.02), rotate=True), 24),
        ("EnKF perturbed observations N=40 inflation=1.06", sciml.EnKF(1.06), 40),
        ("EnKF perturbed observations N=28 inflation=1.08", sciml.EnKF(1.08), 28),
        ("DEnKF N=40 inflation=1.01", sciml.DEnKF(1.01), 40),
        ("LETKF N=7 inflation=1.04 rotation radius=4", sciml.LETKF(1.04, radius=4.0, block=2, rotate=True), 7),
        ("LETKF N=7 rotation radius=4, adaptive inflation", sciml.LETKF(sciml.AdaptiveInflation(start=1.02), radius=4.0, block=2, rotate=True), 7),
        ("SL-EAKF N=7 inflation=1.07 rotation radius=6", sciml.EAKF(1.07, radius=6.0, rotate=True, order="random"), 7),
        ("EnKF-N N=24 rotation", sciml.EnKFN(rotate=True), 24),
        ("EnKF-N N=24 rotation xN=2", sciml.EnKFN(rotate=True, xN=2.0), 24),
    ],
    "bocquet2010_m40": [
        ("EnKF-N N=24 inflation=1.01 rotation", sciml.EnKFN(1.01, rotate=True), 24),
        ("LETKF N=10 inflation=1.04 rotation radius=4", sciml.LETKF(1.04, radius=4.0, block=2, rotate=True), 10),
    ],
    "spantini2019": [
        ("LETKF N=40 inflation=1.10 radius=4", sciml.LETKF(1.10, radius=4.0, block=2), 40),
        ("LETKF N=60 inflation=1.02 radius=4", sciml.LETKF(1.02, radius=4.0, block=2), 60),
        ("LETKF N=100 inflation=1.02 radius=4", sciml.LETKF(1.02, radius=4.0, block=2), 100),
        ("ETKF N=60 inflation=1.10", sciml.ETKF(1.10), 60),
    ],
}
CYCLES = {"sakov2012": 1000, "sakov2008": 1500, "bocquet2010_m40": 1500, "spantini2019": 400}


def measured(case: str, cycles: int, only: str) -> list[dict[str, Any]]:
    problem = getattr(lorenz, case)()
    facts, grid = problem.parameters, problem.grid()
    dt = problem.dt or 0.01
    step, every = sciml.RK4(problem.equation, grid, dt=dt), round(facts["observe_every"] / dt)
    generator = torch.Generator().manual_seed(0)
    spin_up = round(20.0 / dt)
    u = sciml.rollout(step, problem.initial_state(grid, generator, samples=SEEDS), spin_up, every=spin_up)[-1]
    truth = sciml.rollout(step, u, cycles * every, every=every, include_initial=False)
    observation = sciml.Observation(sciml.every(facts.get("observe_stride", 1)), math.sqrt(facts["noise_variance"]), grid=grid)
    y = observation.measured(truth, generator)
    rows = []
    for name, analysis, members in SETTINGS[case]:
        if only not in name:
            continue
        g = torch.Generator().manual_seed(1)
        deviation = torch.randn((SEEDS, members, *u.shape[1:]), dtype=u.dtype, generator=g)
        begin, burn_in = time.perf_counter(), cycles // 8
        found = sciml.cycle(step, analysis, observation, y, u.unsqueeze(1) + deviation, generator=g, every=every, truth=truth, burn_in=burn_in)
        error, spread = found.score("rmse.a", burn_in), found.score("spread.a", burn_in)
        row = {
            "method": name,
            "cycles": cycles,
            "rmse.a": float(error.mean()),
            "standard_error": float(error.std() / SEEDS**0.5),
            "published": problem.scores.get(name, {}).get("rmse.a"),
            "spread/rmse": float((spread / error).mean()),
            "each": error.tolist(),
            **{key: float(found.score(key, burn_in).mean()) for key in ("consistency", "crps", "inflation", "effective") if key in found.series},
            "seconds": time.perf_counter() - begin,
        }
        rows.append(row)
        published = "-" if row["published"] is None else f"{row['published']:.2f}"
        print(
            f"{name:52s} {row['rmse.a']:.3f} +- {row['standard_error']:.3f}   published {published:>4s}   spread/rmse {row['spread/rmse']:.2f}   "
            f"{row['seconds']:.0f} s",
            flush=True,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("case", choices=sorted(SETTINGS))
    parser.add_argument("--cycles", type=int, help="of data; by default what takes a few minutes")
    parser.add_argument("--only", default="", help="methods whose name has this in it")
    parser.add_argument("--out", type=Path, help="file of results; methods that are not run keep what it says of them")
    given = parser.parse_args()
    cycles = given.cycles or CYCLES[given.case]
    machine = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": torch.get_num_threads()}
    print(f"lorenz:{given.case}, {cycles} cycles, {SEEDS} experiments, {machine}")
    with torch.no_grad():
        rows = measured(given.case, cycles, given.only)
    if given.out is not None:
        kept = {row["method"]: row for row in json.loads(given.out.read_text())["scores"]} if given.out.exists() else {}
        kept |= {row["method"]: row for row in rows}
        scores = [kept[name] for name, _, _ in SETTINGS[given.case] if name in kept]
        given.out.write_text(json.dumps({"case": f"lorenz:{given.case}", "experiments": SEEDS, **machine, "scores": scores}, indent=1) + "\n")


if __name__ == "__main__":
    main()
