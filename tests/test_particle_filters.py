"""Resampling, weighted ensembles, stochastic models, and particle filters against the Kalman filter."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import sciml
from sciml.assimilation import scores
from sciml.assimilation.ensemble import prior_of
from sciml.assimilation.noise import Correlated
from sciml.assimilation.resampling import SCHEMES, effective_size
from sciml.assimilation.stages import Data
from sciml.core.errors import BlowUpError, InputError, UnsupportedError
from sciml.core.grid import Grid
from sciml.problems import lorenz

F64 = torch.float64
PAIR = Grid((2,), (2.0,))
TURN = torch.tensor([[0.9, 0.4], [-0.3, 0.8]], dtype=F64)
Q = torch.tensor([[0.5, 0.2], [0.2, 0.3]], dtype=F64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=F64, generator=seeded(seed))


class Linear:
    """u to A u on two points."""

    dt = 0.5
    grid = PAIR

    def __call__(self, u: Tensor) -> Tensor:
        return u @ TURN.T


# -- resampling ----------------------------------------------------------------------------------------------------------


def counts(chosen: Tensor, n: int) -> Tensor:
    return torch.nn.functional.one_hot(chosen, n).sum(-2).double()


@pytest.mark.parametrize("name", list(SCHEMES))
def test_members_come_on_average_n_times_their_weight(name: str) -> None:
    weights = torch.tensor([0.37, 0.0, 0.05, 0.21, 0.30, 0.07], dtype=F64)
    scheme = SCHEMES[name]
    comb = ((torch.arange(2500, dtype=F64) + 0.5) / 2500).unsqueeze(1).expand(2500, 6)
    mean = counts(scheme(weights.expand(2500, 6), comb), 6).mean(0)
    assert float((mean - 6 * weights).abs().max()) < 5e-3  # each draw averaged over all its uniform numbers
    independent = torch.rand((40000, 6), dtype=F64, generator=seeded())
    mean = counts(scheme(weights.expand(40000, 6), independent), 6).mean(0)
    assert float((mean - 6 * weights).abs().max()) < 0.025
    assert float(mean[1]) == 0


def test_systematic_and_residual_counts_are_as_even_as_they_promise() -> None:
    weights = torch.softmax(2 * draw(300, 11), -1)
    uniform = torch.rand((300, 11), dtype=F64, generator=seeded(1))
    even = counts(SCHEMES["systematic"](weights, uniform), 11)
    assert float((even - 11 * weights).abs().max()) < 1
    residual = counts(SCHEMES["residual"](weights, uniform), 11)
    assert float((residual - (11 * weights).floor()).min()) >= 0
    assert float((counts(SCHEMES["multinomial"](weights, uniform), 11) - 11 * weights).abs().max()) > 1.5
    spread = {name: float((counts(SCHEMES[name](weights, uniform), 11) - 11 * weights).square().mean()) for name in SCHEMES}
    assert spread["systematic"] <= spread["stratified"] < spread["multinomial"] and spread["residual"] < spread["multinomial"]


@pytest.mark.parametrize("name", list(SCHEMES))
def test_resampling_at_the_edges(name: str) -> None:
    scheme = SCHEMES[name]
    for dtype in (torch.float32, F64):
        one = torch.zeros(3, 5, dtype=dtype)
        one[:, 3] = 1
        for u in (0.0, 0.5, 1 - 2.0**-53):
            assert bool((scheme(one, torch.full((3, 5), u, dtype=F64)) == 3).all())
        last = torch.tensor([0.5, 0.5, 0.0], dtype=dtype)
        assert int(scheme(last, torch.full((3,), 1 - 2.0**-53, dtype=F64)).max()) == 1
    alike = torch.full((7,), 1 / 7, dtype=F64)
    found = scheme(alike, torch.rand(7, dtype=F64, generator=seeded()))
    assert bool((found.diff() >= 0).all())
    if name != "multinomial":
        assert found.tolist() == list(range(7))
    assert abs(float(effective_size(alike)) - 7) < 1e-12
    assert abs(float(effective_size(torch.tensor([0.5, 0.5, 0.0], dtype=F64))) - 2) < 1e-12


# -- weighted ensembles --------------------------------------------------------------------------------------------------


def test_scores_of_weighted_members_are_those_of_copies() -> None:
    e, truth = draw(2, 3, 4), draw(2, 4, seed=1)
    weights = torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]], dtype=F64)
    copies = torch.stack([e[0, [0, 0, 1, 2]], e[1, [0, 1, 2, 2]]])
    assert torch.allclose(scores.rmse(e, truth, weights), scores.rmse(copies, truth), atol=1e-14)
    assert torch.allclose(scores.crps(e, truth, weights), scores.crps(copies, truth), atol=1e-14)
    assert torch.allclose(scores.effective_rank(e, weights), scores.effective_rank(copies), atol=1e-12)
    mean = (weights.unsqueeze(-1) * e).sum(1)
    variance = (weights.unsqueeze(-1) * (e - mean.unsqueeze(1)).square()).sum(1) / (1 - weights.square().sum(1, keepdim=True))
    assert torch.allclose(scores.spread(e, weights), variance.mean(-1).sqrt(), atol=1e-14)
    alike = torch.full((2, 3), 1 / 3, dtype=F64)
    for name in ("spread", "effective_rank"):
        assert torch.allclose(getattr(scores, name)(e, alike), getattr(scores, name)(e), atol=1e-13)
    for name in ("rmse", "crps", "ranks"):
        assert torch.allclose(getattr(scores, name)(e, truth, alike), getattr(scores, name)(e, truth), atol=1e-13)
    below = torch.tensor([[[0.0], [1.0], [2.0]]], dtype=F64)
    counted = scores.ranks(below, torch.tensor([[0.5]], dtype=F64), torch.tensor([[0.7, 0.2, 0.1]], dtype=F64))
    assert counted.tolist() == [[0, 0, 1, 0]]  # 70 % of the weight is below: two thirds


def test_crps_is_that_of_the_double_sum() -> None:
    e, truth = draw(5, 3), draw(3, seed=1)
    pairs = (e.unsqueeze(0) - e.unsqueeze(1)).abs().sum((0, 1)) / 50
    assert abs(float(scores.crps(e, truth)) - float(((e - truth).abs().mean(0) - pairs).mean())) < 1e-14


def test_record_of_weighted_members_uses_the_weights() -> None:
    observation = sciml.Observation(sciml.every(1), 0.5, grid=PAIR)
    e, y = draw(4, 1, 2), torch.tensor([0.3, -0.2], dtype=F64)
    w = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=F64)
    prior = prior_of(e, y, observation, generator=seeded(), time=0.0, least=2, who="test").weighted(w)
    mean = (w.unsqueeze(-1) * e[:, 0]).sum(0)
    a = e[:, 0] - mean
    covariance = a.T @ (w.unsqueeze(-1) * a) / (1 - w.square().sum())
    assert float((prior.mean - mean).abs().max()) < 1e-14 and float((prior.innovation - (y - mean)).abs().max()) < 1e-14
    assert float((prior.anomalies.T @ prior.anomalies / 3 - covariance).abs().max()) < 1e-14
    _, record = sciml.ParticleFilter(0.0)(e, y, observation, generator=seeded(), memory=w)
    assert float((record.innovation - (y - mean)).abs().max()) < 1e-14
    assert float((record.prior_variance - covariance.diagonal()).abs().max()) < 1e-14


# -- the bootstrap filter ------------------------------------------------------------------------------------------------


def test_weights_follow_bayes_and_travel() -> None:
    observation = sciml.Observation(sciml.every(2), 0.5, grid=PAIR)
    e, y = draw(6, 1, 2), torch.tensor([0.3], dtype=F64)
    likelihood = torch.exp(-2 * (0.3 - e[:, 0, 0]).square())
    first = likelihood / likelihood.sum()
    after, record = sciml.ParticleFilter(0.0)(e, y, observation, generator=seeded())
    assert float((after - e).abs().max()) < 1e-15 and record.weights is not None
    assert float((record.weights[1] - first).abs().max()) < 1e-14
    assert abs(float(record.numbers["effective"]) - float(1 / first.square().sum())) < 1e-12
    _, record = sciml.ParticleFilter(0.0)(after, y, observation, generator=seeded(), memory=record.memory)
    second = first * likelihood
    assert record.memory is not None and float((record.memory - second / second.sum()).abs().max()) < 1e-14


def test_members_are_resampled_below_the_threshold_only() -> None:
    observation = sciml.Observation(sciml.every(2), 0.5, grid=PAIR)
    e = draw(2, 40, 1, 2)
    y = torch.tensor([[0.0], [6.0]], dtype=F64)  # the second experiment is far off: few members count
    after, record = sciml.ParticleFilter(0.3)(e, y, observation, generator=seeded())
    assert record.memory is not None
    assert float((after[0] - e[0]).abs().max()) < 1e-14 and float(record.memory[0].std()) > 1e-3
    assert float((record.memory[1] - 1 / 40).abs().max()) == 0 and float(record.numbers["effective"][1]) < 12
    assert len(after[1, :, 0, 0].unique()) < 15
    far = sciml.ParticleFilter(1.0)(e, 1e6 + y, observation, generator=seeded())[0]
    assert bool(torch.isfinite(far).all())


def test_jitter_moves_copies_alone_by_the_width_of_the_kernel() -> None:
    observation = sciml.Observation(sciml.every(1), 1.0, grid=PAIR)
    e = draw(4000, 1, 2) @ torch.tensor([[1.0, 0.0], [0.8, 0.6]], dtype=F64)
    y = torch.zeros(2, dtype=F64)
    plain, _ = sciml.ParticleFilter(1.0)(e, y, observation, generator=seeded())
    moved, _ = sciml.ParticleFilter(1.0, jitter=0.7)(e, y, observation, generator=seeded())
    _, inverse, times = plain[:, 0, 0].unique(return_inverse=True, return_counts=True)
    copies = times[inverse] > 1
    assert torch.equal(plain[~copies], moved[~copies]) and 0.5 < float(copies.double().mean()) < 0.99
    likelihood = torch.exp(-e[:, 0].square().sum(-1) / 2)
    w = likelihood / likelihood.sum()
    a = e[:, 0] - (w.unsqueeze(-1) * e[:, 0]).sum(0)
    expected = 0.49 * 4000 ** (-2 / 6) * a.T @ (w.unsqueeze(-1) * a) / (1 - w.square().sum())
    found = torch.cov((moved - plain)[copies, 0].T)
    assert float((found - expected).abs().max()) < 0.06 * float(expected.max())
    few, _ = sciml.ParticleFilter(1.0, jitter=0.7)(e[:2], 50 + y, observation, generator=seeded())  # one has all the weight, and n >= N
    assert bool(torch.isfinite(few).all()) and not torch.equal(few[0], few[1])


def test_without_data_weights_and_members_stay() -> None:
    observation = sciml.Observation(sciml.every(1), 1.0, grid=PAIR)
    e, w = draw(3, 1, 2), torch.tensor([0.6, 0.3, 0.1], dtype=F64)
    after, record = sciml.ParticleFilter(1.0)(e, torch.full((2,), torch.nan, dtype=F64), observation, generator=seeded(), memory=w)
    assert torch.equal(after, e) and record.weights is not None and torch.equal(record.weights[1], w)


# -- stochastic models and the Kalman filter -------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", [0.3, torch.tensor([0.5, 0.3], dtype=F64), Q, Correlated(Q)], ids=["number", "variances", "matrix", "noise"])
def test_stochastic_models_add_errors_of_the_covariance_each_step(covariance: Any) -> None:
    full = covariance.matrix if isinstance(covariance, Correlated) else torch.as_tensor(covariance, dtype=F64)
    full = full if full.ndim == 2 else torch.diag(full.expand(2))
    step = sciml.Stochastic(Linear(), covariance, generator=seeded())
    u = torch.tensor([[[1.0, -2.0]]], dtype=F64).expand(40000, 1, 2)
    one, two = sciml.rollout(step, u, 2, include_initial=False)
    for found, mean, p in ((one, TURN @ u[0, 0], full), (two, TURN @ TURN @ u[0, 0], TURN @ full @ TURN.T + full)):
        assert float((found[:, 0].mean(0) - mean).abs().max()) < 0.02
        assert float((torch.cov(found[:, 0].T) - p).abs().max()) < 0.03
    again = sciml.Stochastic(Linear(), covariance).drawing(seeded())
    assert torch.equal(again(u), one) and again.drawing(seeded(5)) is again


def test_stochastic_models_keep_the_time_of_their_step() -> None:
    problem = lorenz.sakov2008()
    plain = sciml.RK4(problem.equation, problem.grid(), dt=0.05)
    step = sciml.Stochastic(plain, 1e-20, generator=seeded())
    u = problem.initial_state(problem.grid(), seeded())
    assert step.dt == 0.05 and step.channels == 1
    assert float((sciml.rollout(step, u, 5)[-1] - sciml.rollout(plain, u, 5)[-1]).abs().max()) < 1e-8


def kalman_run(y: Tensor, every: int, r: float) -> tuple[Tensor, Tensor]:
    """Means after each datum of the first point, and the last covariance, from N(0, I)."""
    mean, p, h = torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64), torch.tensor([[1.0, 0.0]], dtype=F64)
    means = []
    for value in y:
        for _ in range(every):
            mean, p = TURN @ mean, TURN @ p @ TURN.T + Q
        if not bool(value.isnan()):
            k = p @ h.T / (h @ p @ h.T + r)
            mean, p = mean + (k * (value - h @ mean)).squeeze(-1), (torch.eye(2, dtype=F64) - k @ h) @ p
        means.append(mean)
    return torch.stack(means), p


@pytest.mark.parametrize(
    "filter_",
    [
        sciml.ParticleFilter(0.5),
        sciml.ParticleFilter(1.0, "residual"),
        sciml.OptimalParticleFilter(0.5),
        sciml.OptimalParticleFilter(0.0),
        sciml.EnKF(),
    ],
    ids=["bootstrap", "always", "optimal", "never", "EnKF"],
)
@pytest.mark.parametrize("every", [1, 2])
def test_filters_of_a_stochastic_model_converge_to_the_kalman_filter(filter_: Any, every: int) -> None:
    y = torch.tensor([0.4, 1.5, torch.nan, -0.7, 0.2], dtype=F64)
    observation = sciml.Observation(sciml.every(2), 0.4)
    means, p = kalman_run(y, every, 0.16)
    errors = []
    for n in (60, 3840):
        batch = 100
        step, data = sciml.Stochastic(Linear(), Q), y.reshape(5, 1, 1).expand(5, batch, 1)
        found = sciml.cycle(step, filter_, observation, data, draw(batch, n, 1, 2, seed=n), generator=seeded(), every=every)
        errors.append((found.mean[:, :, 0] - means.unsqueeze(1)).square().mean((1, 2)).sqrt())
    ratio = (errors[0] / errors[1]).log().mean().exp()
    assert 5.5 < float(ratio) < 11.5  # 8 = sqrt(64)
    assert float(errors[1].max()) < 0.03
    w = torch.full((batch, n), 1 / n, dtype=F64) if found.weights is None else found.weights
    a = found.ensemble[..., 0, :] - found.mean[-1]
    assert float((torch.einsum("bi,bix,biy->xy", w, a, a) / batch - p).abs().max()) < 0.01


def test_the_optimal_choice_leaves_more_effective_members() -> None:
    y = 2 * draw(30, 50, 2)
    observation, sizes = sciml.Observation(sciml.every(1), 0.2), []
    for filter_ in (sciml.ParticleFilter(1.0), sciml.OptimalParticleFilter(1.0)):
        e = draw(50, 100, 1, 2, seed=1)
        sizes.append(float(sciml.cycle(sciml.Stochastic(Linear(), Q), filter_, observation, y, e, generator=seeded()).score("effective").mean()))
    assert sizes[1] > 1.4 * sizes[0]


def test_optimal_filter_with_missing_data_per_experiment() -> None:
    y = torch.tensor([[[0.5, torch.nan], [torch.nan, torch.nan], [0.5, -0.5]]], dtype=F64)
    observation = sciml.Observation(sciml.every(1), 0.3, grid=PAIR)
    step, e = sciml.Stochastic(Linear(), Q, generator=seeded()), draw(3, 2000, 1, 2)
    data = Data(step, observation, y, 1, 0.0)
    (stage,) = sciml.OptimalParticleFilter().stages(data, e, seeded())
    assert torch.equal(stage.analysis[1], stage.forecast[1]) and stage.record.weights is not None
    assert float((stage.record.weights[1][1] - 1 / 2000).abs().max()) < 1e-15
    prior = TURN @ TURN.T + Q
    for i, rows in ((0, [0]), (2, [0, 1])):
        h = torch.eye(2, dtype=F64)[rows]
        gain = prior @ h.T @ torch.linalg.inv(h @ prior @ h.T + 0.09 * torch.eye(len(rows), dtype=F64))
        w = stage.record.weights[1][i].unsqueeze(-1)
        assert float(((w * stage.analysis[i, :, 0]).sum(0) - gain @ y[0, i, rows]).abs().max()) < 0.09
    assert torch.allclose(stage.record.innovation[2], y[0, 2] - stage.forecast[2, :, 0].mean(0))


def test_optimal_filter_draws_anew_for_every_copy_and_keeps_weights_without_data() -> None:
    observation = sciml.Observation(sciml.every(2), 1e-3, grid=PAIR)
    step, e = sciml.Stochastic(Linear(), torch.tensor([0.1, 0.2], dtype=F64), generator=seeded()), draw(200, 1, 2)
    y = torch.tensor([[0.3], [torch.nan]], dtype=F64)
    data, filter_ = Data(step, observation, y, 1, 0.0), sciml.OptimalParticleFilter(1.0)
    first, second = filter_.stages(data, e, seeded())
    assert len(first.analysis[:, 0, 1].unique()) == 200  # the errors of what is not seen are drawn after the choice of members
    w = torch.softmax(draw(200), 0)
    (again,) = filter_.stages(data, e, seeded(), begin=1, state=(first.analysis, w))
    assert torch.equal(again.analysis, again.forecast) and again.record.weights is not None and torch.equal(again.record.weights[1], w)
    assert torch.equal(second.analysis, second.forecast)


def test_lorenz_63_is_known_better_than_its_data() -> None:
    problem = lorenz.sakov2012()
    grid = problem.grid()
    step = sciml.RK4(problem.equation, grid, dt=0.01)
    with torch.no_grad():
        u = problem.initial_state(grid, seeded(), samples=3)
        truth = sciml.rollout(step, u, 25 * 16, every=25, include_initial=False)
        observation = sciml.Observation(sciml.every(1), 2**0.5, grid=grid)
        y = observation.measured(truth, seeded(1))
        e = u.unsqueeze(1) + draw(3, 400, 3, seed=2)
        filter_ = sciml.ParticleFilter(0.2, jitter=1.0)
        found = sciml.cycle(step, filter_, observation, y, e, generator=seeded(3), every=25, truth=truth)
    assert float(found.score("rmse.a", 4).mean()) < 0.5  # the data alone: 1.41
    assert 0.6 < float((found.score("spread.a", 4) / found.score("rmse.a", 4)).mean()) < 2.5


@pytest.mark.parametrize("filter_", [sciml.ParticleFilter(0.6), sciml.OptimalParticleFilter(0.6)], ids=["bootstrap", "optimal"])
def test_weighted_runs_resume_bit_for_bit_and_refuse_another_covariance(filter_: Any, tmp_path: Path) -> None:
    y, e, observation = draw(8, 3, 2), draw(3, 30, 1, 2, seed=1), sciml.Observation(sciml.every(1), 0.7)

    def run(covariance: float, **more: Any) -> Any:
        return sciml.cycle(sciml.Stochastic(Linear(), covariance), filter_, observation, y, e, generator=seeded(4), **more)

    def stop(done: float) -> None:
        if done > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(0.5, checkpoint=tmp_path / "run.pt", checkpoint_every=0.0, progress=stop)
    with pytest.raises(InputError):
        run(0.6, checkpoint=tmp_path / "run.pt", resume=True)
    whole, again = run(0.5), run(0.5, checkpoint=tmp_path / "run.pt", resume=True)
    assert torch.equal(whole.mean, again.mean) and torch.equal(whole.ensemble, again.ensemble) and torch.equal(whole.weights, again.weights)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: sciml.ParticleFilter(1.5), "threshold=1.5"),
        (lambda: sciml.ParticleFilter(resampling="lottery"), "resampling='lottery' given; choose systematic"),
        (lambda: sciml.ParticleFilter(jitter=-1.0), "jitter=-1.0"),
        (lambda: sciml.OptimalParticleFilter(-0.1), "threshold=-0.1"),
        (lambda: sciml.Stochastic(Linear(), 0.0), "variances must be positive"),
        (lambda: sciml.Stochastic(sciml.Stochastic(Linear(), 1.0), 1.0), "has errors already"),
        (lambda: sciml.Stochastic(Linear(), 1.0)(draw(1, 2)), "no generator is known"),
        (lambda: sciml.Stochastic(Linear(), torch.eye(3, dtype=F64), generator=seeded())(draw(1, 2)), "covariance of 3 observations"),
    ],
)
def test_wrong_settings_are_refused(make: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()


def test_the_optimal_filter_says_what_it_needs() -> None:
    y, e = torch.zeros(1, 2, dtype=F64), draw(5, 1, 2)
    with pytest.raises(InputError, match="a Linear given; its errors are needed"):
        sciml.cycle(Linear(), sciml.OptimalParticleFilter(), sciml.Observation(sciml.every(1), 0.5), y, e, generator=seeded())
    squared = sciml.Observation(lambda u: u.flatten(-2).square(), 0.5)
    with pytest.raises(UnsupportedError, match="not linear in the state"):
        sciml.cycle(sciml.Stochastic(Linear(), Q), sciml.OptimalParticleFilter(), squared, y, e, generator=seeded())
    affine = sciml.Observation(lambda u: u.flatten(-2) + 100.0, 0.5)
    sciml.cycle(sciml.Stochastic(Linear(), Q), sciml.OptimalParticleFilter(), affine, y + 100.0, e, generator=seeded())
    e[2] = math.inf
    with pytest.raises(BlowUpError, match="member 2"):
        sciml.cycle(sciml.Stochastic(Linear(), Q), sciml.OptimalParticleFilter(), affine, y, e, generator=seeded())
