"""Ensemble smoothers against exact linear-Gaussian answers, against each other, and on chaos."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import sciml
from sciml.assimilation.ienks import finite_size
from sciml.assimilation.stages import Data
from sciml.core.grid import Grid
from sciml.problems import lorenz

F64 = torch.float64
GRID = Grid((5,), (5.0,))


class Linear:
    """u to A u on five points; a slow rotation, so that no direction dies out."""

    def __init__(self, dtype: torch.dtype = F64) -> None:
        generator = torch.Generator().manual_seed(3)
        a = torch.randn((5, 5), dtype=F64, generator=generator)
        self.matrix = (torch.linalg.matrix_exp(0.3 * (a - a.T)) * torch.tensor([1.1, 1.05, 1.0, 0.95, 0.9], dtype=F64)).to(dtype)
        self.dt, self.grid = 0.5, GRID.to(dtype=dtype)

    def __call__(self, u: Tensor) -> Tensor:
        return u @ self.matrix.T


H = torch.tensor([[1.0, 0, 0, 0.5, 0], [0, 1.0, 0, 0, 0], [0, 0, 1.0, 0, -1.0]], dtype=F64)
R = torch.tensor([[0.5, 0.1, 0.0], [0.1, 0.4, 0.05], [0.0, 0.05, 0.3]], dtype=F64)


def instrument(dtype: torch.dtype = F64) -> sciml.Observation:
    return sciml.Observation(lambda u: u[..., 0, :] @ H.T.to(dtype), covariance=R)


def experiment(members: int = 8, cycles: int = 6, batch: tuple[int, ...] = (2,), seed: int = 0) -> tuple[Tensor, Tensor]:
    """Data with errors and a first ensemble."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn((cycles, *batch, 3), dtype=F64, generator=generator)
    return y, 0.5 + torch.randn((*batch, members, 1, 5), dtype=F64, generator=generator)


def run(analysis: Any, y: Tensor, ensemble: Tensor, step: Any = None, observation: sciml.Observation | None = None, **options: Any) -> sciml.Cycles:
    step = step or Linear(ensemble.dtype)
    generator = torch.Generator().manual_seed(5)
    return sciml.cycle(step, analysis, observation or instrument(ensemble.dtype), y, ensemble, generator=generator, **options)


def smoother(y: Tensor, mean: Tensor, covariance: Tensor, q: Tensor | float = 0.0) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
    """Kalman filter and Rauch, Tung & Striebel's smoother of one experiment: filtered means and covariances, smoothed ones; rows with NaN dropped."""
    a = Linear().matrix
    means, covariances, before = [], [], []
    for row in y:
        mean, covariance = a @ mean, a @ covariance @ a.T + q
        before.append((mean, covariance))
        there = ~torch.isnan(row)
        h, r = H[there], R[there][:, there]
        gain = covariance @ h.T @ torch.linalg.inv(h @ covariance @ h.T + r)
        mean, covariance = mean + gain @ (row[there] - h @ mean), covariance - gain @ h @ covariance
        means.append(mean)
        covariances.append(covariance)
    smoothed, spread = [means[-1]], [covariances[-1]]
    for k in range(len(y) - 2, -1, -1):
        back = covariances[k] @ a.T @ torch.linalg.inv(before[k + 1][1])
        smoothed.insert(0, means[k] + back @ (smoothed[0] - before[k + 1][0]))
        spread.insert(0, covariances[k] + back @ (spread[0] - before[k + 1][1]) @ back.T)
    return means, covariances, smoothed, spread


def moments(members: Tensor) -> tuple[Tensor, Tensor]:
    return members[:, 0].mean(0), torch.cov(members[:, 0].T)


@pytest.mark.parametrize("missing", [False, True])
def test_the_smoother_of_the_ensembles_own_moments_is_found(missing: bool) -> None:
    y, ensemble = experiment()
    if missing:
        y[1, 0, 0] = y[3, 0] = y[4, 1, 2] = torch.nan
    for analysis in (sciml.EnKS(sciml.ETKF(), lag=10), sciml.IEnKS(lag=10, iterations=1), sciml.IEnKS(lag=10, iterations=4, tolerance=0.0)):
        found = run(analysis, y, ensemble)
        assert found.smoothed is not None
        for b in range(2):
            means, covariances, smoothed, spread = smoother(y[:, b], *moments(ensemble[b]))
            for k in range(len(y)):
                assert float((found.mean[k, b, 0] - means[k]).abs().max()) < 1e-9, type(analysis)
                assert float((found.smoothed[k, b, 0] - smoothed[k]).abs().max()) < 1e-9, type(analysis)
                assert abs(float(found.series["spread.s"][k, b]) - float(spread[k].trace() / 5) ** 0.5) < 1e-9
            assert float((moments(found.ensemble[b])[1] - covariances[-1]).abs().max()) < 1e-9


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_a_fixed_lag_uses_data_up_to_so_many_times_later(lag: int) -> None:
    y, ensemble = experiment()
    a, b = run(sciml.EnKS(sciml.ETKF(), lag=lag), y, ensemble), run(sciml.IEnKS(lag=lag, iterations=2), y, ensemble)
    assert a.smoothed is not None and b.smoothed is not None
    assert float((a.smoothed - b.smoothed).abs().max()) < 1e-9 and float((a.mean - b.mean).abs().max()) < 1e-9
    assert float((a.series["spread.s"] - b.series["spread.s"]).abs().max()) < 1e-9
    for k in range(len(y)):
        known = y[: k + lag + 1, 0]
        exact = smoother(known, *moments(ensemble[0]))[2][k]
        assert float((a.smoothed[k, 0, 0] - exact).abs().max()) < 1e-9


FILTERS = [
    sciml.ETKF(1.05, rotate=True),
    sciml.EnKF(1.1),
    sciml.DEnKF(),
    sciml.LETKF(1.02, radius=1.5, rotate=True),
    sciml.EnKFN(),
    sciml.EAKF(),
    sciml.ETKF(sciml.Inflation(to_prior_spread=0.5)),
    sciml.ETKF(sciml.AdaptiveInflation()),
]


@pytest.mark.parametrize("rule", FILTERS, ids=lambda rule: type(rule).__name__)
def test_analyses_of_the_ensemble_smoother_are_those_of_its_filter(rule: Any) -> None:
    y, ensemble = experiment()
    y[2] = torch.nan
    y[3, 0] = torch.nan
    observation = sciml.Observation(sciml.every(2), 0.6)
    truth = torch.randn((6, 2, 1, 5), dtype=F64, generator=torch.Generator().manual_seed(9))
    alone, both = (run(a, y, ensemble, observation=observation, truth=truth) for a in (rule, sciml.EnKS(rule, lag=2)))
    assert float((alone.ensemble - both.ensemble).abs().max()) < 1e-9
    for name, values in alone.series.items():
        assert torch.allclose(values, both.series[name], atol=1e-9, equal_nan=True), name
    assert alone.ranks is not None and both.ranks is not None and torch.equal(alone.ranks, both.ranks)
    assert both.smoothed is not None and float((both.smoothed[0] - both.mean[0]).abs().max()) > 1e-3
    for k in (1, 5):
        error = (both.smoothed[k] - truth[k]).square().mean((-1, -2)).sqrt()
        assert float((both.series["rmse.s"][k] - error).abs().max()) < 1e-12


def test_a_localised_smoother_without_localisation_is_the_global_one() -> None:
    y, ensemble = experiment()
    observation = sciml.Observation(sciml.every(2), 0.6)
    far, none = (run(sciml.EnKS(rule, lag=3), y, ensemble, observation=observation) for rule in (sciml.LETKF(radius=1e6), sciml.ETKF()))
    near = run(sciml.EnKS(sciml.LETKF(radius=0.2), lag=3), y, ensemble, observation=observation)
    assert far.smoothed is not None and none.smoothed is not None and near.smoothed is not None
    assert float((far.smoothed - none.smoothed).abs().max()) < 1e-9
    # with a radius below the spacing nothing is seen at the odd points, whose past stays what it was forecast to be
    assert float((near.smoothed[0, :, 0, 1] - near.mean[0, :, 0, 1]).abs().max()) < 1e-12
    assert float((near.smoothed[0, :, 0, 2] - near.mean[0, :, 0, 2]).abs().max()) > 1e-3


def test_rotations_of_the_present_do_not_part_it_from_the_past() -> None:
    y, ensemble = experiment()
    still, turned = (run(sciml.EnKS(sciml.ETKF(rotate=rotate), lag=4), y, ensemble) for rotate in (False, True))
    assert still.smoothed is not None and turned.smoothed is not None
    assert float((still.smoothed - turned.smoothed).abs().max()) < 1e-9
    assert float((still.ensemble - turned.ensemble).abs().max()) > 0.05


@pytest.mark.parametrize(
    "analysis", [sciml.EnKS(sciml.ETKF(1.02, rotate=True), lag=2), sciml.IEnKS(lag=2, inflation=1.02), sciml.IEnKS(lag=2, xN=1.0)]
)
def test_missing_data_batches_and_precision(analysis: Any) -> None:
    y, ensemble = experiment(batch=(2, 2))
    nothing = run(analysis, torch.full_like(y, torch.nan), ensemble)
    forecast = sciml.rollout(Linear(), ensemble, len(y))[1:]
    assert torch.equal(nothing.ensemble, forecast[-1]) and nothing.smoothed is not None
    assert float((nothing.smoothed - forecast.mean(-3)).abs().max()) < 1e-12
    if isinstance(analysis, sciml.IEnKS):
        together = run(analysis, y, ensemble)
        alone = run(analysis, y[:, 1, :1], ensemble[1, :1])
        assert together.smoothed is not None and alone.smoothed is not None
        assert float((together.smoothed[:, 1, :1] - alone.smoothed).abs().max()) < 1e-10
        assert float((together.mean[:, 1, :1] - alone.mean).abs().max()) < 1e-10
    single, double = run(analysis, y.float(), ensemble.float()), run(analysis, y, ensemble)
    assert single.smoothed is not None and double.smoothed is not None and single.smoothed.dtype == torch.float32
    assert float((single.smoothed - double.smoothed).abs().max()) < 2e-4


def test_one_experiment_without_data_keeps_its_members() -> None:
    y, ensemble = experiment()
    y[:, 1] = torch.nan
    found = run(sciml.IEnKS(lag=1, inflation=1.3, rotate=True), y, ensemble)
    assert float((found.ensemble[1] - sciml.rollout(Linear(), ensemble[1], len(y))[-1]).abs().max()) < 1e-12
    assert abs(float(found.series["spread.a"][2, 0] - found.series["spread.f"][2, 0])) > 1e-3


def test_nonlinear_data_are_fitted_at_the_minimum() -> None:
    """Lag 0 with h(x) = x^3: the mean's weights make the cost's gradient in the members' space vanish."""
    generator = torch.Generator().manual_seed(2)
    ensemble = 1 + 0.3 * torch.randn((6, 1, 5), dtype=F64, generator=generator)
    y = torch.full((1, 5), 2.0, dtype=F64)
    step, observation = Linear(), sciml.Observation(lambda u: u[..., 0, :] ** 3, 0.2)
    found = run(sciml.IEnKS(lag=0, iterations=60, tolerance=0.0), y, ensemble, observation=observation)
    prior = step(ensemble)[:, 0]
    mean, deviations = prior.mean(0), prior - prior.mean(0)
    w = torch.linalg.lstsq(deviations.T, found.mean[0, 0] - mean, driver="gelsd").solution
    x = mean + w @ deviations
    assert float((x - found.mean[0, 0]).abs().max()) < 0.05  # the mean of the members' states, up to the curvature of h
    shown = found.ensemble[:, 0] ** 3
    slope = (deviations * 3 * x**2) @ ((y[0] - shown.mean(0)) / 0.04) - 5 * w
    first = (deviations * 3 * mean**2) @ ((y[0] - (prior**3).mean(0)) / 0.04)
    assert float(slope.norm()) < 0.05 * float(first.norm())


class Counted(Linear):
    """Counts its calls."""

    calls = 0

    def __call__(self, u: Tensor) -> Tensor:
        self.calls += 1
        return super().__call__(u)


def test_iterations_end_at_the_tolerance_for_each_experiment_alone() -> None:
    y, ensemble = experiment(cycles=1)
    step = Counted()
    run(sciml.IEnKS(1, iterations=9), y, ensemble, step)
    assert step.calls == 2 + 1  # the second step of a linear problem is zero; one more forecast gives the smoothed state at the end
    step = Counted()
    run(sciml.IEnKS(1, iterations=9, tolerance=0.0), y, ensemble, step)
    assert step.calls > 3
    problem = lorenz.sakov2012()
    grid = problem.grid()
    step63 = sciml.RK4(problem.equation, grid, dt=0.05)
    generator = torch.Generator().manual_seed(4)
    members = torch.tensor([1.5, -1.5, 25.0], dtype=F64) + 3 * torch.randn((4, 6, 3), dtype=F64, generator=generator)
    data = torch.tensor([1.5, -1.5, 25.0], dtype=F64) + 6 * torch.randn((2, 4, 3), dtype=F64, generator=generator)
    observation = sciml.Observation(lambda u: u, 1.0)
    analysis = sciml.IEnKS(1, iterations=8, tolerance=3e-3)
    together = run(analysis, data, members, step63, observation, every=4)
    for b in range(4):
        alone = run(analysis, data[:, b], members[b], step63, observation, every=4)
        assert float((together.ensemble[b] - alone.ensemble).abs().max()) < 1e-9
    full = run(sciml.IEnKS(1, iterations=8, tolerance=0.0), data, members, step63, observation, every=4)
    assert float((together.ensemble - full.ensemble).abs().max()) > 1e-6


def test_the_finite_size_prior() -> None:
    n = 6
    none, w = torch.zeros(n, dtype=F64), torch.full((n,), 0.3, dtype=F64)
    for x in (0.5, 1.0, 2.0):
        assert abs(float(finite_size(none, 0 * w, x)) - (n - 1)) < 1e-12
        expected = (n - 1) * x * math.sqrt(7 / 5) / (x * math.sqrt(7 / 5) + 6 * 0.09)
        assert abs(float(finite_size(none, w, x)) - expected) < 1e-12
    much = torch.full((n,), 1e12, dtype=F64)
    assert abs(float(finite_size(much, w, 1.0)) - 5 * (6 / 5) / (7 / 6 + 0.54)) < 1e-9


def test_inflation_and_rotation_act_at_the_windows_start() -> None:
    y, ensemble = experiment(cycles=1)
    plain, more, turned = (
        next(iter(analysis.stages(_data(y), ensemble, torch.Generator().manual_seed(1))))
        for analysis in (sciml.IEnKS(1), sciml.IEnKS(1, inflation=1.5), sciml.IEnKS(1, rotate=True))
    )
    a, b, c = (stage.state for stage in (plain, more, turned))
    assert torch.equal(plain.analysis, more.analysis) and float((a.mean(1) - b.mean(1)).abs().max()) < 1e-12
    assert float((1.5 * (a - a.mean(1, keepdim=True)) - (b - b.mean(1, keepdim=True))).abs().max()) < 1e-12
    assert float((moments(a[0])[1] - moments(c[0])[1]).abs().max()) < 1e-12 and float((a - c).abs().max()) > 0.05


def _data(y: Tensor) -> Data:
    step = Linear()
    return Data(step, instrument().on(step.grid), y, 1, 0.0)


@pytest.mark.parametrize("analysis", [sciml.EnKS(sciml.ETKF(sciml.AdaptiveInflation()), lag=2), sciml.IEnKS(lag=2), sciml.IEnKS(lag=0)])
def test_a_run_goes_on_from_any_state(analysis: Any) -> None:
    y, ensemble = experiment()
    stages = list(analysis.stages(_data(y), ensemble, torch.Generator().manual_seed(1)))
    for k in (1, 3):
        rest = list(analysis.stages(_data(y), ensemble, torch.Generator().manual_seed(1), begin=k, state=stages[k - 1].state))
        for one, other in zip(stages[k:], rest, strict=True):
            assert one.number == other.number and torch.equal(one.analysis, other.analysis)
            assert [n for n, _ in one.smoothed] == [n for n, _ in other.smoothed]
            assert all(torch.equal(p, q) for (_, p), (_, q) in zip(one.smoothed, other.smoothed, strict=True))
    numbers = [n for stage in stages for n, _ in stage.smoothed]
    assert numbers == list(range(6))


def test_iterations_carry_a_small_ensemble_through_chaos() -> None:
    """Lorenz 63 with data every 0.25: the published errors are 0.60 for the filter, 0.31 with iterations."""
    problem = lorenz.sakov2012()
    grid = problem.grid()
    step = sciml.RK4(problem.equation, grid, dt=0.0125)
    generator = torch.Generator().manual_seed(0)
    start = sciml.rollout(step, torch.stack([problem.initial.sample(grid, generator) for _ in range(24)]), 800, every=800)[-1]
    truth = sciml.rollout(step, start, 20 * 16, every=20, include_initial=False)
    observation = sciml.Observation(lambda u: u, 2**0.5, grid=grid)
    y = observation.measured(truth, generator)
    ensemble = start.unsqueeze(1) + 2**0.5 * torch.randn((24, 10, 3), dtype=F64, generator=generator)
    found = {}
    for analysis in (sciml.EnKS(sciml.ETKF(1.02, rotate=True), 3), sciml.IEnKS(1, inflation=1.02, rotate=True), sciml.IEnKS(1, xN=1.0, rotate=True)):
        result = sciml.cycle(step, analysis, observation, y, ensemble, generator=generator, every=20, truth=truth)
        found[str(analysis)] = [float(result.score(name, 6).mean()) for name in ("rmse.a", "rmse.s", "spread.a", "spread.s")]
    (filtered, past, _, _), *iterated = found.values()
    assert 0.4 < filtered < 0.8 and past < 0.75 * filtered
    for now, smoothed, spread, _ in iterated:
        assert 0.2 < now < 0.42 and smoothed < now and 0.6 < spread / now < 2


def test_errors_say_what_to_do() -> None:
    y, ensemble = experiment()
    with pytest.raises(sciml.InputError, match="maps members linearly"):
        sciml.EnKS(sciml.ThreeDVar(1.0), lag=1)
    with pytest.raises(sciml.InputError, match="lag=-1"):
        sciml.EnKS(sciml.ETKF(), lag=-1)
    with pytest.raises(sciml.InputError, match="lag=1.5"):
        sciml.IEnKS(lag=1.5)
    with pytest.raises(sciml.InputError, match="iterations=0"):
        sciml.IEnKS(iterations=0)
    with pytest.raises(sciml.InputError, match="tolerance=-1"):
        sciml.IEnKS(tolerance=-1.0)
    with pytest.raises(sciml.InputError, match="xN=0"):
        sciml.IEnKS(xN=0.0)
    with pytest.raises(sciml.InputError, match="use xN=1"):
        sciml.IEnKS(inflation=sciml.AdaptiveInflation())
    with pytest.raises(sciml.InputError, match="random errors"):
        run(sciml.IEnKS(), y, ensemble, sciml.Stochastic(Linear(), 0.1))
    with pytest.raises(sciml.InputError, match="an ensemble of 1"):
        run(sciml.IEnKS(), y, ensemble[:, :1])
