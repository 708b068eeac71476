"""The Lorenz systems: right-hand sides, rest states, and trajectories against an independent integrator."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from sciml.core.grid import Grid
from sciml.core.rollout import rollout
from sciml.derivatives.stencil import Stencil
from sciml.problems import lorenz
from sciml.solvers.runge_kutta import RK4


def rhs63(state: np.ndarray) -> np.ndarray:
    x, y, z = state
    return np.array([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])


def rhs96(x: np.ndarray) -> np.ndarray:
    return np.array([(x[(i + 1) % len(x)] - x[i - 2]) * x[i - 1] - x[i] + 8 for i in range(len(x))])


def test_lorenz63_rests_where_it_should() -> None:
    equation, grid = lorenz.Lorenz63(), Grid((), ())
    r = math.sqrt(8 / 3 * 27)
    for state in ((0.0, 0.0, 0.0), (r, r, 27.0), (-r, -r, 27.0)):
        rate = equation.rhs(torch.tensor(state, dtype=torch.float64), Stencil(grid))
        assert rate.shape == (3,) and float(rate.abs().max()) < 1e-13


def test_lorenz_right_hand_sides_equal_the_written_out_ones() -> None:
    u = torch.randn((5, 3), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rate = lorenz.Lorenz63().rhs(u, Stencil(Grid((), ())))
    assert float((rate - torch.as_tensor(np.array([rhs63(s) for s in u.numpy()]))).abs().max()) < 1e-14
    grid = lorenz.sakov2008().grid()
    v = 5 * torch.randn((2, 1, 40), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    rate = lorenz.Lorenz96().rhs(v, Stencil(grid))
    assert float((rate[:, 0] - torch.as_tensor(np.array([rhs96(s) for s in v[:, 0].numpy()]))).abs().max()) < 1e-13
    rest = lorenz.Lorenz96(3.5).rhs(torch.full((1, 40), 3.5, dtype=torch.float64), Stencil(grid))
    assert float(rest.abs().max()) < 1e-14


@pytest.mark.parametrize(("case", "rhs", "end"), [("sakov2012", rhs63, 2.0), ("sakov2008", rhs96, 1.5)])
def test_trajectories_agree_with_scipy(case: str, rhs: object, end: float) -> None:
    problem = getattr(lorenz, case)()
    grid = problem.grid()
    u = problem.initial_state(grid)
    steps = round(end / problem.dt) * 10
    ours = rollout(RK4(problem.equation, grid, problem.dt / 10), u, steps, every=steps)[-1]
    truth = solve_ivp(lambda t, y: rhs(y), (0, end), u.reshape(-1).numpy(), rtol=1e-11, atol=1e-12, method="DOP853").y[:, -1]
    assert float((ours.reshape(-1) - torch.as_tensor(truth)).abs().max()) < 1e-5
    assert float((ours - u).abs().max()) > 0.5


def test_initial_laws_and_score_tables() -> None:
    problem = lorenz.sakov2012()
    u = problem.initial_state(problem.grid(), samples=3000)
    assert float((u.mean(0) - torch.tensor([1.509, -1.531, 25.46], dtype=torch.float64)).abs().max()) < 0.1
    assert abs(float(u.var(0).mean()) / 2 - 1) < 0.06
    assert problem.scores["ETKF N=10 inflation=1.02 rotation"]["rmse.a"] == 0.60 and problem.dt == 0.01
    problem = lorenz.sakov2008()
    v = problem.initial_state(problem.grid(), samples=500)[:, 0]
    assert abs(float(v.var(0).mean()) / 0.001 - 1) < 0.05 and abs(float(v[:, 0].mean()) - 1) < 0.01 and abs(float(v[:, 1:].mean())) < 0.002
    assert problem.scores["LETKF N=7 inflation=1.04 rotation radius=4"]["rmse.a"] == 0.22 and problem.dt == 0.05
    assert lorenz.sakov2008(12).grid().shape == (12,)
