"""Coefficients found by physics-informed networks from few noisy observations, with standard errors.

    OMP_NUM_THREADS=1 python benchmarks/inverse_cases.py burgers --seeds 0 1 2 --out benchmarks/results/inverse_burgers.json
    OMP_NUM_THREADS=1 python benchmarks/inverse_cases.py ks --seeds 0 1 2 --out benchmarks/results/inverse_ks.json
    OMP_NUM_THREADS=1 python benchmarks/inverse_cases.py coverage --draws 300 --out benchmarks/results/inverse_coverage.json

`burgers`: the viscosity 0.01/pi from 100 random points of [0, 1] x [-1, 1] with noise of 1 % of the solution's standard deviation, from a start
ten times too large. Few of the points lie in the front, where alone the viscosity shows: beside the result stand the Cramer-Rao bound and the
maximum-likelihood estimate for these points and this noise, both from Cole and Hopf's exact solution: no unbiased method does better.

`ks`: antidiffusion and hyperdiffusion of the Kuramoto-Sivashinsky equation from 500 points of a chaotic state on a length of 22, after spin-up, with
1 % noise. The state at the start is unknown. The data come from ETDRK4.

`coverage`: one wave of the heat equation; how far the estimates from many draws of the noise scatter, what standard error they report, and how often
the interval of 95 % holds the truth.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import platform
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import sciml
from sciml.problems import burgers, heat
from sciml.problems.kuramoto_sivashinsky import KuramotoSivashinsky, cvitanovic2010

F64 = torch.float64
Points = tuple[Tensor, Tensor, Tensor]
NU = 0.01 / math.pi


def burgers_points(seed: int, count: int = 100, noise: float = 0.01) -> tuple[Points, float]:
    """Random places with noisy values, and the noise's standard deviation."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.rand(count, generator=generator, dtype=F64)
    x = 2 * torch.rand(count, generator=generator, dtype=F64) - 1
    everywhere = torch.meshgrid(torch.linspace(0, 1, 101, dtype=F64)[1:], torch.linspace(-1, 1, 401, dtype=F64), indexing="ij")
    sigma = noise * float(burgers.cole_hopf(*(c.flatten() for c in everywhere), NU).std())
    return (t, x, burgers.cole_hopf(t, x, NU) + sigma * torch.randn(count, generator=generator, dtype=F64)), sigma


def sensitivity(t: Tensor, x: Tensor, nu: float) -> Tensor:
    step = 1e-3 * nu
    return (burgers.cole_hopf(t, x, nu + step) - burgers.cole_hopf(t, x, nu - step)) / (2 * step)


def most_likely(t: Tensor, x: Tensor, u: Tensor) -> float:
    """The viscosity whose exact solution is nearest to the observations."""
    nu = NU
    for _ in range(20):
        j = sensitivity(t, x, nu)
        nu += float(j @ (u - burgers.cole_hopf(t, x, nu)) / (j @ j))
    return nu


def run_burgers(seed: int) -> dict[str, Any]:
    (t, x, u), sigma = burgers_points(seed)
    torch.manual_seed(seed)
    nu = torch.nn.Parameter(torch.tensor(0.03, dtype=F64))
    pinn = sciml.PINN(burgers.raissi2019_dirichlet(viscosity=nu), width=20, depth=3, bounds={"viscosity": (0.0, None)})
    way: list[float] = []
    # A weak equation lets the viscosity fall quickly. A strong one then leaves the noise no other way than through the viscosity, at points that
    # stay where they once were needed: at points that move on, the network bends the front elsewhere each time.
    weak = sciml.PinnObjective(points=sciml.RAD(1500, every=20), weights={"equation": 10.0})
    strong = sciml.PinnObjective(points=sciml.RARD(2000, every=8, k=1.0, add=400, most=5000), weights={"equation": 1000.0})
    for loss, epochs in ((weak, 120), (strong, 280)):
        history = sciml.fit(pinn, data=(t, x, u), loss=loss, epochs=epochs, optimizer=sciml.GaussNewton(), seed=seed)
        way.append(pinn.coefficients()["viscosity"].item())
    found = sciml.estimate(pinn, (t, x, u), loss=strong)
    bound = sigma / float(sensitivity(t, x, NU).norm())
    best = most_likely(t, x, u)
    low, high = found.intervals()["viscosity"]
    return {
        **found.to_dict(),
        "true": NU,
        "stages": way,
        "relative_error": found.values["viscosity"] / NU - 1,
        "relative_standard_error": found.standard_errors["viscosity"] / NU,
        "inside": low <= NU <= high,
        "cramer_rao_relative": bound / NU,
        "most_likely_relative_error": best / NU - 1,
        "sigma": sigma,
        "parts": history.epochs[-1].parts,
    }


def ks_points(seed: int, window: float, count: int = 500, noise: float = 0.01) -> tuple[Points, float, sciml.Problem]:
    """Observations of a window of a chaotic trajectory, and the problem with coefficients to be found."""
    truth = cvitanovic2010()
    grid = truth.grid(64)
    step = sciml.ETDRK4(truth.equation, grid, dt=0.01)
    generator = torch.Generator().manual_seed(seed)
    u = sciml.rollout(step, truth.initial_state(grid, generator), steps=20000, every=20000)[-1]
    states = sciml.rollout(step, u, steps=round(window / 0.01), every=10)[:, 0]
    places = torch.randperm(states.numel(), generator=generator)[:count]
    t, x = 0.1 * (places // 64).double(), grid.points()[0][places % 64]
    sigma = noise * float(states.std())
    clean = states.flatten()[places]
    a, b = (torch.nn.Parameter(torch.tensor(0.5, dtype=F64)) for _ in range(2))
    equation = KuramotoSivashinsky(antidiffusion=a, hyperdiffusion=b)
    problem = sciml.Problem("kuramoto_sivashinsky:window", equation, truth.domain, sciml.Profile(torch.zeros_like), window, (64,))
    return (t, x, clean + sigma * torch.randn(count, generator=generator, dtype=F64)), sigma, problem


def run_ks(seed: int, window: float = 5.0) -> dict[str, Any]:
    data, sigma, problem = ks_points(seed, window)
    torch.manual_seed(seed)
    bounds = {"antidiffusion": (0.0, None), "hyperdiffusion": (0.0, None)}
    pinn = sciml.PINN(problem, width=24, depth=3, harmonics=4, initial="free", bounds=bounds)
    weak = sciml.PinnObjective(points=sciml.Sobol(1200, every=20), weights={"equation": 0.01})
    sciml.fit(pinn, data=data, loss=weak, epochs=40, optimizer=sciml.GaussNewton(), seed=seed)
    warm = {name: float(value) for name, value in pinn.coefficients().items()}
    strong = sciml.PinnObjective(points=sciml.Sobol(1200, every=20), weights={"equation": 1.0})
    history = sciml.fit(pinn, data=data, loss=strong, epochs=60, optimizer=sciml.GaussNewton(), seed=seed)
    found = sciml.estimate(pinn, data, loss=strong)
    return {
        **found.to_dict(),
        "true": 1.0,
        "after_warm_up": warm,
        "relative_error": {name: value - 1 for name, value in found.values.items()},
        "inside": {name: low <= 1 <= high for name, (low, high) in found.intervals().items()},
        "sigma": sigma,
        "parts": history.epochs[-1].parts,
    }


def heat_wave(kappa: Any) -> sciml.Problem:
    domain = sciml.Domain.periodic(1.0)
    return sciml.Problem("heat:wave", heat.Heat(kappa), domain, sciml.Profile(lambda x: torch.sin(2 * math.pi * x)), 0.5, (32,))


def run_coverage(draws: int, sigma: float = 0.02, count: int = 40) -> dict[str, Any]:
    torch.manual_seed(0)
    pinn = sciml.PINN(heat_wave(torch.nn.Parameter(torch.tensor(0.15, dtype=F64))), width=6, depth=1, bounds={"kappa": (0.0, None)})
    generator = torch.Generator().manual_seed(1)
    t, x = 0.5 * torch.rand(count, generator=generator, dtype=F64), torch.rand(count, generator=generator, dtype=F64)
    clean = torch.exp(-0.1 * t * (2 * math.pi) ** 2) * torch.sin(2 * math.pi * x)
    loss = sciml.PinnObjective(points=sciml.Sobol(100))
    sciml.fit(pinn, data=(t, x, clean), loss=loss, epochs=60, optimizer=sciml.GaussNewton())
    start = copy.deepcopy(pinn.state_dict())
    values, errors, noises, inside, freedom = [], [], [], 0, []
    for _ in range(draws):
        pinn.load_state_dict(start)
        u = clean + sigma * torch.randn(count, generator=generator, dtype=F64)
        sciml.fit(pinn, data=(t, x, u), loss=loss, epochs=6, optimizer=sciml.GaussNewton(damping=1e-8))
        found = sciml.estimate(pinn, (t, x, u), loss=loss)
        low, high = found.intervals()["kappa"]
        inside += low <= 0.1 <= high
        values.append(found.values["kappa"])
        errors.append(found.standard_errors["kappa"])
        noises.append(found.noise["u"])
        freedom.append(found.freedom)
    spread, reported = float(torch.tensor(values).std()), sum(errors) / draws
    # of the exact solution: u = exp(-kappa (2 pi)^2 t) sin(2 pi x)
    bound = sigma / float((t * (2 * math.pi) ** 2 * clean).norm())
    return {
        "draws": draws,
        "mean": sum(values) / draws,
        "spread": spread,
        "mean_standard_error": reported,
        "cramer_rao": bound,
        "coverage_of_95_percent": inside / draws,
        "noise": math.sqrt(sum(s**2 for s in noises) / draws),
        "true_noise": sigma,
        "mean_freedom": sum(freedom) / draws,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=("burgers", "ks", "coverage"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--out", type=Path)
    a = parser.parse_args()
    rows = []
    for seed in [0] if a.case == "coverage" else a.seeds:
        began = time.process_time()
        found = run_coverage(a.draws) if a.case == "coverage" else {"burgers": run_burgers, "ks": run_ks}[a.case](seed)
        rows.append({"seed": seed, **found, "cpu_seconds": time.process_time() - began})
        print(json.dumps(rows[-1]), flush=True)
        if a.out:
            machine = {"torch": torch.__version__, "threads": torch.get_num_threads(), "machine": platform.machine()}
            a.out.write_text(json.dumps({**machine, "case": a.case, "runs": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
