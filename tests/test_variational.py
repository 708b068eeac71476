"""Background covariances, 3D-Var, 4D-Var, the extended Kalman filter and baselines against dense linear algebra, and on chaos."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import sciml
from sciml.assimilation.covariance import Uncorrelated, as_covariance, given
from sciml.assimilation.least_squares import LeastSquares
from sciml.assimilation.stages import Data
from sciml.assimilation.window import Problem, Window, posed, solve
from sciml.core.grid import Grid
from sciml.core.tangent import tangent_linear
from sciml.problems import burgers, lorenz

F64 = torch.float64
LIKE = torch.zeros(1, dtype=F64)
GRID = Grid((5,), (5.0,))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=F64, generator=seeded(seed))


class Linear:
    """u to A u on five points."""

    dt = 0.5

    def __init__(self, dtype: torch.dtype = F64) -> None:
        a = draw(5, 5, seed=3)
        self.matrix = (torch.linalg.matrix_exp(0.3 * (a - a.T)) * torch.tensor([1.1, 1.05, 1.0, 0.95, 0.9], dtype=F64)).to(dtype)
        self.grid = GRID.to(dtype=dtype)

    def __call__(self, u: Tensor) -> Tensor:
        return u @ self.matrix.T


H = draw(3, 5, seed=4)
R = torch.tensor([[0.5, 0.1, 0.0], [0.1, 0.4, 0.05], [0.0, 0.05, 0.3]], dtype=F64)
B = 0.3 * torch.eye(5, dtype=F64) + 0.2
Q = 0.05 * torch.eye(5, dtype=F64) + 0.02


def instrument(dtype: torch.dtype = F64) -> sciml.Observation:
    return sciml.Observation(lambda u: u[..., 0, :] @ H.T.to(dtype), covariance=R)


def run(analysis: Any, y: Tensor, ensemble: Tensor, step: Any = None, observation: sciml.Observation | None = None, **options: Any) -> sciml.Cycles:
    return sciml.cycle(
        step or Linear(ensemble.dtype), analysis, observation or instrument(ensemble.dtype), y, ensemble, generator=seeded(5), **options
    )


def updated(mean: Tensor, p: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Kalman's update by dense matrices; NaN is left out."""
    there = ~torch.isnan(y)
    h, r = H[there], R[there][:, there]
    k = p @ h.T @ torch.linalg.inv(h @ p @ h.T + r)
    return mean + k @ (y[there] - h @ mean), p - k @ h @ p


def smoothed(y: Tensor, mean: Tensor, q: Tensor | float) -> tuple[Tensor, Tensor]:
    """States at the start and at every row, and their covariances, as one Gaussian law of all of them: ``(rows + 1, n)`` and ``(rows + 1, n, n)``."""
    a, n, rows = Linear().matrix, 5, len(y)
    root = torch.zeros((rows + 1, n, rows + 1, n), dtype=F64)  # of states by start and errors of the model
    for i in range(rows + 1):
        for j in range(i + 1):
            root[i, :, j] = torch.linalg.matrix_power(a, i - j)
    root = root.reshape(n * (rows + 1), -1)
    noise = torch.block_diag(B, *[q * torch.ones((n, n), dtype=F64) if isinstance(q, float) else q] * rows)
    p = root @ noise @ root.T
    x = root[:, :n] @ mean
    h = torch.block_diag(*[H] * rows)
    h = torch.cat([torch.zeros((len(h), n), dtype=F64), h], 1)
    data = y.flatten()
    there = ~torch.isnan(data)
    h, r = h[there], torch.block_diag(*[R] * rows)[there][:, there]
    k = p @ h.T @ torch.linalg.inv(h @ p @ h.T + r)
    x, p = x + k @ (data[there] - h @ x), p - k @ h @ p
    blocks = p.reshape(rows + 1, n, rows + 1, n)
    return x.reshape(rows + 1, n), torch.stack([blocks[i, :, i] for i in range(rows + 1)])


def rms(p: Tensor) -> float:
    return float(p.trace() / len(p)) ** 0.5


# covariances


def test_gaussian_covariances_are_those_of_the_formula() -> None:
    line = Grid((16,), (4.0,))
    x = line.axes()[0]
    images = torch.stack([torch.exp(-((x.unsqueeze(1) - x + 4.0 * i) ** 2) / (2 * 0.7**2)) for i in range(-6, 7)]).sum(0)
    found = sciml.GaussianCovariance(line, 0.7, 1.5).matrix(16, LIKE)
    assert float((found - 1.5**2 * images / images[0, 0]).abs().max()) < 1e-12
    for periodic in ((True, True), (False, True), (False, False)):
        grid = Grid((6, 5), (4.0, 3.0), periodic)
        points = torch.stack([p.flatten() for p in grid.points()], -1)
        exponent = torch.zeros((30, 30), dtype=F64)
        for axis, (length, ell) in enumerate(((4.0, 0.2), (3.0, 0.15))):
            d = (points[:, None, axis] - points[:, axis]).abs()
            d = torch.minimum(d, length - d) if periodic[axis] else d
            exponent = exponent + (d / ell) ** 2 / 2
        found = sciml.GaussianCovariance(grid, (0.2, 0.15), (1.0, 2.0)).matrix(60, LIKE)
        assert float((found[:30, :30] - torch.exp(-exponent)).abs().max()) < 1e-8  # short lengths: the images beyond the nearest are below it
        assert float((found[30:, 30:] - 4 * torch.exp(-exponent)).abs().max()) < 1e-8
        assert float(found[:30, 30:].abs().max()) == 0


def test_other_covariances_sums_and_draws() -> None:
    states = draw(4, 2, 5)
    assert torch.allclose(sciml.sampled_covariance(states).matrix(10, LIKE), torch.cov(states.flatten(1).T), atol=1e-13)
    many = draw(40, 2, 5)
    long = sciml.sampled_covariance(many)
    assert long.columns(10) == 10 and torch.allclose(long.matrix(10, LIKE), torch.cov(many.flatten(1).T), atol=1e-13)
    assert torch.allclose(given(B).matrix(5, LIKE), B, atol=1e-14)
    assert torch.allclose(as_covariance(B).scaled(0.25).matrix(5, LIKE), 0.25 * B, atol=1e-14)
    deviations = torch.tensor([1.0, 2.0, 0.0, 3.0, 0.5], dtype=F64)
    assert torch.allclose(as_covariance(deviations).matrix(5, LIKE), torch.diag(deviations**2))
    mixed = given(B) + Uncorrelated(2.0) + sciml.sampled_covariance(draw(3, 1, 5)).scaled(0.5)
    expected = B + 4 * torch.eye(5, dtype=F64) + 0.5 * torch.cov(draw(3, 1, 5).flatten(1).T)
    assert mixed.columns(5) == 13 and torch.allclose(mixed.matrix(5, LIKE), expected, atol=1e-13)
    drawn = mixed.sample((20000,), 5, LIKE, seeded(1))
    assert float((torch.cov(drawn.T) - expected).abs().max()) < 0.15 and float(drawn.mean(0).abs().max()) < 0.06
    assert mixed.root(draw(2, 13).float(), 5).dtype == torch.float32


def test_covariances_that_are_refused() -> None:
    with pytest.raises(sciml.InputError, match="made for states of 5 numbers, given one of 6"):
        given(B).columns(6)
    with pytest.raises(sciml.InputError, match="eigenvalue -1"):
        given(-torch.eye(2, dtype=F64))
    with pytest.raises(sciml.InputError, match="symmetric"):
        given(draw(3, 3))
    with pytest.raises(sciml.InputError, match="1 samples given"):
        sciml.sampled_covariance(draw(1, 1, 5))
    with pytest.raises(sciml.InputError, match="positive numbers are needed"):
        sciml.GaussianCovariance(GRID, (1.0, 2.0))
    with pytest.raises(sciml.InputError, match="deviation=-1"):
        sciml.GaussianCovariance(GRID, 1.0, -1.0)
    with pytest.raises(sciml.InputError, match="a scale of -1"):
        given(B).scaled(-1.0)
    with pytest.raises(sciml.InputError, match="negative or not finite"):
        Uncorrelated(-1.0)
    with pytest.raises(sciml.InputError, match="states of 5 numbers"):
        run(sciml.FourDVar(B), draw(1, 3), draw(1, 1, 4), step=_Four())


class _Four(Linear):
    def __init__(self) -> None:
        self.matrix, self.grid = torch.eye(4, dtype=F64), Grid((4,), (4.0,))


# least squares


@pytest.mark.parametrize(("c", "m"), [(5, 9), (9, 5)])
def test_least_squares_by_tangents_adjoints_and_conjugate_gradients(c: int, m: int) -> None:
    a, b = draw(3, m, c), draw(3, m, seed=1)

    def straight(v: Tensor) -> Tensor:
        return b - (a @ v.unsqueeze(-1)).squeeze(-1)

    def bent(v: Tensor) -> Tensor:
        seen = (a @ v.unsqueeze(-1)).squeeze(-1)
        return b - seen - 0.1 * torch.sin(3 * seen)

    exact = torch.linalg.solve(torch.eye(c, dtype=F64) + a.mT @ a, (a.mT @ b.unsqueeze(-1))).squeeze(-1)
    for direct in (256, 6, 0):
        solver = LeastSquares(outer=60, tolerance=1e-14, direct=direct)
        found = solver(straight, torch.zeros((3, c), dtype=F64))
        assert float((found.control - exact).abs().max()) < 1e-10
        assert (found.first is None) == (direct < min(c, m)) and (found.first is None or torch.allclose(found.first, -a))
        found = solver(bent, torch.zeros((3, c), dtype=F64))
        v = found.control.requires_grad_()
        cost = (v.square().sum(-1) + bent(v).square().sum(-1)) / 2
        assert torch.allclose(cost, found.costs[-1]) and bool((found.costs.diff(dim=0) <= 1e-12).all())
        assert float(torch.autograd.grad(cost.sum(), v)[0].abs().max()) < 1e-5


def test_a_step_that_would_raise_the_cost_is_halved() -> None:
    def steep(v: Tensor) -> Tensor:
        return 20 * torch.atan(5 * (v - 3))  # Newton's full steps overshoot from here

    found = LeastSquares(outer=50)(steep, torch.zeros((2, 1), dtype=F64))
    assert bool((found.costs.diff(dim=0) <= 1e-9).all()) and float((found.control - 3).abs().max()) < 0.01


# 3D-Var


@pytest.mark.parametrize("direct", [256, 4, 2])
@pytest.mark.parametrize("missing", [False, True])
def test_3d_var_is_kalmans_update_with_a_fixed_covariance(direct: int, missing: bool) -> None:
    y, ensemble = draw(2, 3), draw(2, 4, 1, 5, seed=1)
    if missing:
        y[0, 1] = torch.nan
    observation = instrument().on(GRID)
    found, record = sciml.ThreeDVar(B, direct=direct, tolerance=1e-16)(ensemble, y, observation, generator=seeded())
    for b in range(2):
        for i in range(4):
            mean, p = updated(ensemble[b, i, 0], B, y[b])
            assert float((found[b, i, 0] - mean).abs().max()) < 1e-9
        there = ~torch.isnan(y[b])
        if direct > 2:
            seen = (H @ B @ H.T)[there][:, there]
            assert float((record.prior_variance[b, there] - seen.diagonal()).abs().max()) < 1e-9
            values = torch.linalg.eigvals(torch.linalg.inv(R[there][:, there]) @ seen).real
            assert abs(float(record.degrees_of_freedom[b] - (values / (1 + values)).sum())) < 1e-9
        else:
            assert math.isnan(float(record.degrees_of_freedom[b])) and math.isnan(float(record.log_likelihood[b]))
        if direct == 256:
            assert record.spread is not None
            assert abs(float(record.spread[0][b]) - rms(B)) < 1e-9 and abs(float(record.spread[1][b]) - rms(p)) < 1e-9
    nothing, _ = sciml.ThreeDVar(B, direct=direct)(ensemble, torch.full_like(y, torch.nan), observation, generator=seeded())
    assert torch.equal(nothing, ensemble)


def test_3d_var_with_a_nonlinear_instrument_finds_the_mode() -> None:
    observation = sciml.Observation(lambda u: u[..., 0, :3] ** 3, 0.3, grid=GRID)
    x, y = 1 + 0.3 * draw(1, 1, 5), torch.tensor([2.0, 0.5, 1.5], dtype=F64)
    found, _ = sciml.ThreeDVar(B, tolerance=1e-14)(x, y, observation, generator=seeded())
    u = found[0, 0].clone().requires_grad_()
    cost = (u - x[0, 0]) @ torch.linalg.solve(B, u - x[0, 0]) / 2 + ((y - u[:3] ** 3) / 0.3).square().sum() / 2
    assert float(torch.autograd.grad(cost, u)[0].abs().max()) < 1e-5
    assert float((found - x).abs().max()) > 0.1


def test_cycles_of_3d_var_run_the_model_between() -> None:
    y, ensemble = draw(3, 2, 3), draw(2, 1, 1, 5, seed=1)
    found = run(sciml.ThreeDVar(B), y, ensemble)
    x = ensemble[1, 0, 0]
    for k in range(3):
        x = updated(Linear().matrix @ x, B, y[k, 1])[0]
        assert float((found.mean[k, 1, 0] - x).abs().max()) < 1e-10
    assert found.smoothed is None


# 4D-Var


@pytest.mark.parametrize("direct", [256, 14, 0])
@pytest.mark.parametrize("weak", [False, True])
@pytest.mark.parametrize("missing", [False, True])
def test_4d_var_is_the_kalman_smoother_of_a_linear_problem(direct: int, weak: bool, missing: bool) -> None:
    y, ensemble = draw(4, 2, 3), draw(2, 1, 1, 5, seed=1)
    if missing:
        y[1, 0] = y[2, 0, 1] = torch.nan
    analysis = sciml.FourDVar(B, window=4, shift=4, model_error=Q if weak else None, direct=direct, tolerance=1e-18, uncertainty=direct == 256)
    found = run(analysis, y, ensemble)
    assert found.smoothed is not None
    for b in range(2):
        x, p = smoothed(y[:, b], ensemble[b, 0, 0], Q if weak else 0.0)
        assert float((found.mean[:, b, 0] - x[1:]).abs().max()) < 1e-8
        assert float((found.smoothed[:, b, 0] - x[1:]).abs().max()) < 1e-8
        if direct == 256:
            assert all(abs(float(found.series["spread.a"][k, b]) - rms(p[k + 1])) < 1e-8 for k in range(4))
            free = smoothed(torch.full_like(y[:, b], torch.nan), ensemble[b, 0, 0], Q if weak else 0.0)[1]
            for k in range(4):
                assert abs(float(found.series["spread.f"][k, b]) - rms(free[k + 1])) < 1e-8
                there = ~torch.isnan(y[k, b])
                seen = (H @ free[k + 1] @ H.T).diagonal()[there]
                gain = (seen / (seen + R.diagonal()[there])).mean()  # of nothing where nothing is there
                assert float(found.series["gain"][k, b]) == pytest.approx(float(gain), abs=1e-9, nan_ok=True)
        else:
            assert bool(found.series["spread.a"].isnan().all())


def test_blocks_follow_each_other_and_windows_overlap() -> None:
    a, y, ensemble = Linear().matrix, draw(6, 3), draw(1, 1, 5, seed=1)
    found = run(sciml.FourDVar(B, window=2, shift=2), y, ensemble)
    x = ensemble[0, 0]
    for first in (0, 2, 4):
        states, _ = smoothed(y[first : first + 2], x, 0.0)
        assert float((found.mean[first : first + 2, 0] - states[1:]).abs().max()) < 1e-8
        if first:
            assert found.smoothed is not None and float((found.smoothed[first - 1, 0] - states[0]).abs().max()) < 1e-8
        x = states[2]
    found = run(sciml.FourDVar(B, window=2, shift=1), y, ensemble)
    x = ensemble[0, 0]
    for k in range(6):
        start = max(k - 2, -1)
        row = torch.full((k - start, 3), torch.nan, dtype=F64)
        row[-1] = y[k]
        states, _ = smoothed(row, x, 0.0)
        assert float((found.mean[k, 0] - states[-1]).abs().max()) < 1e-8
        assert found.smoothed is not None and (k < 2 or float((found.smoothed[k - 2, 0] - states[0]).abs().max()) < 1e-8)
        x = a @ states[0] if k >= 1 else states[0]
    assert found.smoothed is not None and float((found.smoothed[4:, 0] - states[1:]).abs().max()) < 1e-8


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_4d_var_goes_on_from_any_state(shift: int) -> None:
    step = Linear()
    y, ensemble = draw(7, 2, 3), draw(2, 2, 1, 5, seed=1)
    data, analysis = Data(step, instrument().on(GRID), y, 1, 0.0), sciml.FourDVar(B, window=3, shift=shift)
    stages = list(analysis.stages(data, ensemble, seeded()))
    assert [s.number for s in stages] == list(range(7)) and [n for s in stages for n, _ in s.smoothed] == list(range(7))
    for k in (1, 2, 4):
        rest = list(analysis.stages(data, ensemble, seeded(), begin=k, state=stages[k - 1].state))
        for one, other in zip(stages[k:], rest, strict=True):
            assert one.number == other.number and torch.equal(one.analysis, other.analysis) and torch.equal(one.forecast, other.forecast)


def test_an_interrupted_run_of_4d_var_is_taken_up_again(tmp_path: Path) -> None:
    y, ensemble = draw(5, 1, 3), draw(1, 1, 1, 5, seed=1)
    whole = run(sciml.FourDVar(B, window=2, shift=2), y, ensemble)

    def stop(fraction: float) -> None:
        if fraction >= 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(sciml.FourDVar(B, window=2, shift=2), y, ensemble, checkpoint=tmp_path / "run.pt", progress=stop)
    again = run(sciml.FourDVar(B, window=2, shift=2), y, ensemble, checkpoint=tmp_path / "run.pt", resume=True)
    assert torch.equal(again.mean, whole.mean)
    with pytest.raises(sciml.InputError):
        run(sciml.FourDVar(2 * B, window=2, shift=2), y, ensemble, checkpoint=tmp_path / "run.pt", resume=True)


def test_without_data_4d_var_is_a_forecast_and_experiments_do_not_mix() -> None:
    y, ensemble = draw(4, 2, 3), draw(2, 3, 1, 5, seed=1)
    nothing = run(sciml.FourDVar(B, window=2), torch.full_like(y, torch.nan), ensemble)
    assert torch.equal(nothing.ensemble, sciml.rollout(Linear(), ensemble, 4)[-1])
    for direct in (256, 0):
        analysis = sciml.FourDVar(B, window=2, direct=direct)
        together, alone = run(analysis, y, ensemble), run(analysis, y[:, 1], ensemble[1])
        assert float((together.ensemble[1] - alone.ensemble).abs().max()) < 1e-12
        single = run(sciml.FourDVar(B, window=2, direct=direct, tolerance=1e-6), y.float(), ensemble.float())
        assert single.mean.dtype == torch.float32 and float((single.mean - together.mean).abs().max()) < 1e-3


def lorenz_window() -> tuple[Problem, Callable[[Tensor], Tensor]]:
    """Three times of data of Lorenz 96 and the cost."""
    problem = lorenz.sakov2008(8)
    grid = problem.grid()
    step = sciml.RK4(problem.equation, grid, dt=0.05)
    observation = sciml.Observation(lambda u: u[..., 0, ::2].abs() ** 1.5, 0.7, grid=grid)
    x = sciml.rollout(step, 3 + draw(2, 1, 1, 8), 40, every=40)[-1]
    y = draw(3, 2, 4, seed=2).abs() * 4
    y[1, 0, 2] = torch.nan
    data = Data(step, observation, y, 3, 0.0)
    window = Window(observation, y, [data.time(k) for k in range(3)], 1, lambda u, j, checkpoint: data.forecast(u, j - 1, checkpoint=checkpoint))
    found = posed(window, x, sciml.GaussianCovariance(grid, 1.0, 0.5), as_covariance(0.1), seeded(), "test")
    return found, lambda v: (v.square().sum((-1, -2)) + found.residual(v).square().sum((-1, -2))) / 2


def test_the_gradient_passes_taylors_test_and_the_adjoint_is_the_tangents() -> None:
    problem, cost = lorenz_window()
    shape = problem.zero.shape
    v, p = 0.3 * draw(*shape), draw(*shape, seed=1)
    leaf = v.clone().requires_grad_()
    gradient = torch.autograd.grad(cost(leaf).sum(), leaf)[0]
    slope = (gradient * p).sum((-1, -2))
    with torch.no_grad():
        rests = torch.stack([(cost(v + e * p) - cost(v) - e * slope).abs() for e in (1e-2, 1e-3, 1e-4)])
        plain = torch.stack([(cost(v + e * p) - cost(v)).abs() for e in (1e-2, 1e-3, 1e-4)])
        orders, first = (rests[:-1] / rests[1:]).log10(), (plain[:-1] / plain[1:]).log10()
        assert bool(((orders - 2).abs() < 0.1).all()) and bool(((first - 1).abs() < 0.3).all())
        forward = tangent_linear(problem.residual, v, p)[1]
    leaf = v.clone().requires_grad_()
    r = problem.residual(leaf)
    cotangent = draw(*r.shape, seed=2)
    backward = torch.autograd.grad(r, leaf, cotangent)[0]
    assert torch.allclose((forward * cotangent).sum((-1, -2)), (backward * p).sum((-1, -2)), rtol=1e-11)


def test_the_three_ways_to_a_step_agree_on_a_nonlinear_window() -> None:
    problem, _ = lorenz_window()
    controls = [LeastSquares(outer=12, tolerance=1e-12, direct=direct)(problem.residual, problem.zero) for direct in (256, 20, 0)]
    assert problem.zero.shape[-1] == 32 and problem.residual(problem.zero).shape[-1] == 12
    assert [c.first is None for c in controls] == [False, False, True]
    assert float((controls[0].control - controls[1].control).abs().max()) < 1e-5
    assert float((controls[0].control - controls[2].control).abs().max()) < 1e-5
    assert controls[0].first is not None and controls[1].first is not None
    assert torch.allclose(controls[0].first, controls[1].first, atol=1e-10)


def test_the_spread_of_an_analysis_is_the_curvatures_at_the_minimum() -> None:
    problem, _ = lorenz_window()
    solver = LeastSquares(outer=40, tolerance=1e-15)
    found, v = solve(problem, solver, 1, True), solver(problem.residual, problem.zero).control
    for at, which in ((problem.zero, 0), (v, 1)):
        for b in range(2):

            def one(u: Tensor, of: Callable[[Tensor], Tensor], at: Tensor = at, b: int = b) -> Tensor:
                return of(torch.cat([at[:b], u.reshape(1, 1, -1), at[b + 1 :]]))[b].flatten()

            k = torch.autograd.functional.jacobian(lambda u, one=one: one(u, problem.residual), at[b, 0])
            for row in range(3):
                x = torch.autograd.functional.jacobian(lambda u, one=one, row=row: one(u, lambda w: problem.path(w)[1 + row]), at[b, 0])
                p = x @ torch.linalg.inv(torch.eye(32, dtype=F64) + which * k.T @ k) @ x.T
                spread = found.records[row].spread
                assert spread is not None and float(spread[which][b]) == pytest.approx(rms(p), rel=1e-5)


def test_4d_var_of_a_pde_with_a_gaussian_covariance() -> None:
    """Burgers' equation from every fourth point at two times: the start is found closer than it was guessed, by both inner methods alike."""
    grid = Grid((32,), (1.0,))
    step = sciml.ETDRK4(burgers.Burgers(0.01), grid, dt=0.02)
    b = sciml.GaussianCovariance(grid, 0.1, 0.3)
    truth = 1 + torch.sin(2 * math.pi * grid.axes()[0]).reshape(1, 32)
    guess = (truth + b.sample((), 32, LIKE, seeded(3))).unsqueeze(0)
    observation = sciml.Observation(sciml.every(4), 0.01, grid=grid)
    path = sciml.rollout(step, truth, 10, every=5, include_initial=False)
    y = torch.stack([observation.measured(u, seeded(k)) for k, u in enumerate(path)])
    found = [
        sciml.cycle(step, sciml.FourDVar(b, window=2, shift=2, direct=direct), observation, y, guess, generator=seeded(), every=5, truth=path)
        for direct in (256, 16, 0)
    ]
    assert all(float((other.mean - found[0].mean).abs().max()) < 1e-5 for other in found[1:])
    assert float(found[0].series["rmse.a"][0]) < 0.3 * float(found[0].series["rmse.f"][0])


def test_settings_that_are_refused() -> None:
    y, ensemble = draw(2, 3), draw(2, 1, 5, seed=1)
    with pytest.raises(sciml.InputError, match="shift=3 given for a window of 2"):
        sciml.FourDVar(B, window=2, shift=3)
    with pytest.raises(sciml.InputError, match="window=0"):
        sciml.FourDVar(B, window=0)
    with pytest.raises(sciml.InputError, match="outer=0"):
        sciml.FourDVar(B, outer=0)
    with pytest.raises(sciml.InputError, match="tolerance=1"):
        sciml.ThreeDVar(B, tolerance=1.0)
    with pytest.raises(sciml.InputError, match="direct=-1"):
        sciml.ThreeDVar(B, direct=-1)
    for analysis in (sciml.FourDVar(B), sciml.ExtendedKF(B)):
        with pytest.raises(sciml.InputError, match="model_error="):
            run(analysis, y, ensemble, sciml.Stochastic(Linear(), 0.1))
    with pytest.raises(sciml.InputError, match="does not know the grid"):
        sciml.ThreeDVar(B)(ensemble, y[0], instrument(), generator=seeded())


# the extended Kalman filter and baselines


def test_the_extended_filter_is_kalmans_for_a_linear_model() -> None:
    y, ensemble = draw(5, 2, 3), draw(2, 6, 1, 5, seed=1)
    y[1, 0, 0] = y[2, 0] = torch.nan
    a = Linear().matrix
    for analysis in (sciml.ExtendedKF(B, 1.3, Q), sciml.ExtendedKF()):
        found = run(analysis, y, ensemble, every=2)
        for b in range(2):
            mean = ensemble[b, :, 0].mean(0)
            p = B if analysis.covariance is not None else torch.cov(ensemble[b, :, 0].T)
            for k in range(5):
                mean, p = a @ a @ mean, analysis.inflation * a @ a @ p @ a.T @ a.T  # two steps are one unit of time
                p = p + Q if analysis.model_error is not None else p
                assert abs(float(found.series["spread.f"][k, b]) - rms(p)) < 1e-10
                seen = H @ p @ H.T
                mean, p = updated(mean, p, y[k, b])
                assert float((found.mean[k, b, 0] - mean).abs().max()) < 1e-10
                assert abs(float(found.series["spread.a"][k, b]) - rms(p)) < 1e-10
                there = ~torch.isnan(y[k, b])
                if bool(there.any()):
                    gain = (seen.diagonal() / (seen + R).diagonal())[there].mean()
                    assert abs(float(found.series["gain"][k, b] - gain)) < 1e-10
        assert float((found.ensemble - found.ensemble[:, :1]).abs().max()) == 0
    with pytest.raises(sciml.InputError, match="one member given and no covariance"):
        run(sciml.ExtendedKF(), y, ensemble[:, :1])
    with pytest.raises(sciml.InputError, match="inflation=0"):
        sciml.ExtendedKF(B, 0.0)


def test_the_extended_filter_goes_on_from_any_state() -> None:
    problem = lorenz.sakov2012()
    grid = problem.grid()
    data = Data(sciml.RK4(problem.equation, grid, dt=0.01), sciml.Observation(lambda u: u**2 / 10, 1.0, grid=grid), 5 * draw(4, 2, 3).abs(), 5, 0.0)
    ensemble = torch.tensor([1.5, -1.5, 25.0], dtype=F64) + draw(2, 1, 3)
    stages = list(sciml.ExtendedKF(1.0).stages(data, ensemble, seeded()))
    rest = list(sciml.ExtendedKF(1.0).stages(data, ensemble, seeded(), begin=2, state=stages[1].state))
    assert torch.equal(rest[-1].analysis, stages[-1].analysis)
    # the slope of the forecast is that of the whole interval: P grows as pairs of neighbouring states part
    mean, p = stages[0].state
    apart = 1e-6 * draw(2, 1, 3, seed=7)
    moved = (data.forecast(mean + apart, 1) - data.forecast(mean - apart, 1)) / 2
    root = torch.linalg.cholesky(p)
    factor = torch.linalg.solve_triangular(root, apart.flatten(1).unsqueeze(-1), upper=False)
    f = torch.stack([(data.forecast(mean + 1e-6 * e, 1) - data.forecast(mean - 1e-6 * e, 1))[:, 0] / 2e-6 for e in torch.eye(3, dtype=F64)], -1)
    assert torch.allclose((f @ root @ factor).squeeze(-1), moved[:, 0], atol=1e-10)
    grown = f @ p @ f.transpose(-1, -2)
    assert stages[1].record.spread is not None
    assert torch.allclose(stages[1].record.spread[0], (grown.diagonal(dim1=-2, dim2=-1).mean(-1)).sqrt(), rtol=1e-6)


def test_baselines_are_the_climate_and_kalmans_update_of_it() -> None:
    y, ensemble, states = draw(3, 2, 3), draw(2, 2, 1, 5, seed=1), 2 + draw(30, 1, 5, seed=2)
    y[1, 0] = torch.nan
    mean, p = states[:, 0].mean(0), torch.cov(states[:, 0].T)
    climate, found = run(sciml.Climatology(states), y, ensemble), run(sciml.OptimalInterpolation(states), y, ensemble)
    assert float((climate.mean - mean).abs().max()) < 1e-12 and abs(float(climate.series["spread.a"][2, 1]) - rms(p)) < 1e-10
    for k in range(3):
        for b in range(2):
            x, after = updated(mean, p, y[k, b])
            assert float((found.mean[k, b, 0] - x).abs().max()) < 1e-10
            assert abs(float(found.series["spread.a"][k, b]) - rms(after)) < 1e-10
            assert float(climate.series["innovation"][k, b]) == pytest.approx(float(found.series["innovation"][k, b]), nan_ok=True)
    with pytest.raises(sciml.InputError, match="given for members of shape"):
        run(sciml.Climatology(draw(3, 1, 4)), y, ensemble)
    with pytest.raises(sciml.InputError, match="samples given"):
        sciml.OptimalInterpolation(states[:1])
    with pytest.raises(sciml.InputError, match="samples given"):
        sciml.Climatology(states[:1])


def test_scores_on_lorenz_96() -> None:
    """A short run of many experiments, against the published errors: 3.6, 0.95, 0.41, 0.24."""
    problem = lorenz.sakov2008()
    grid = problem.grid()
    step = sciml.RK4(problem.equation, grid, dt=0.05)
    generator = seeded(1)
    states = sciml.rollout(step, torch.stack([problem.initial.sample(grid, generator) for _ in range(20)]).unsqueeze(1), 1200, every=20)[20:]
    climate = states.reshape(-1, 1, 40)
    b = sciml.sampled_covariance(climate)
    start, observation = climate[:6], sciml.Observation(sciml.every(1), 1.0, grid=grid)
    truth = sciml.rollout(step, start, 60, include_initial=False)
    y = observation.measured(truth, generator)
    ensemble = start.unsqueeze(1) + draw(6, 1, 1, 40)
    bounds: list[tuple[Any, float, float]] = [
        (sciml.Climatology(climate), 3.3, 3.9),
        (sciml.OptimalInterpolation(climate), 0.85, 1.05),
        (sciml.ThreeDVar(b.scaled(0.02)), 0.33, 0.48),
        (sciml.ExtendedKF(1.0, 10.0), 0.15, 0.3),
    ]
    for analysis, low, high in bounds:
        found = sciml.cycle(step, analysis, observation, y, ensemble, generator=generator, truth=truth)
        error = float(found.score("rmse.a", 30).mean())
        assert low < error < high, (type(analysis).__name__, error)
        assert 0.7 < float(found.score("spread.a", 30).mean()) / error < 1.6
    truth = sciml.rollout(step, start, 4 * 8, every=4, include_initial=False)
    y = observation.measured(truth, generator)
    found = sciml.cycle(step, sciml.FourDVar(0.1**0.5, 2, tolerance=1e-3), observation, y, ensemble, generator=generator, every=4, truth=truth)
    assert 0.25 < float(found.score("rmse.a", 4).mean()) < 0.55 and float(found.score("rmse.s", 4).mean()) < float(found.score("rmse.a", 4).mean())
