"""Every filter of the package: the contract, the Kalman filter, equivalences of methods, and what a cycle does with them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

import sciml
from sciml.assimilation.analysis import Analysis
from sciml.assimilation.ensemble import Prior
from sciml.assimilation.inflation import Inflation
from sciml.assimilation.localization import LEAST, gaspari_cohn
from sciml.assimilation.lost import redrawn
from sciml.assimilation.operators import function
from sciml.assimilation.record import Record
from sciml.assimilation.stages import Data
from sciml.core.errors import BlowUpError, ContractError, InputError
from sciml.core.grid import Grid
from sciml.problems import lorenz
from sciml.testing import check_analysis

F64 = torch.float64
LINE = Grid((12,), (12.0,))
FILTERS: dict[str, list[Analysis]] = {
    "ETKF": [
        sciml.ETKF(),
        sciml.ETKF(1.1, rotate=True),
        sciml.ETKF(sciml.AdaptiveInflation()),
        sciml.ETKF(Inflation(to_prior=0.3, to_prior_spread=0.2)),
    ],
    "EnKF": [sciml.EnKF(), sciml.EnKF(sciml.AdaptiveInflation())],
    "DEnKF": [sciml.DEnKF(), sciml.DEnKF(1.05, rotate=True)],
    "LETKF": [sciml.LETKF(), sciml.LETKF(radius=2.0, block=3), sciml.LETKF(sciml.AdaptiveInflation(), radius=1.5)],
    "EAKF": [sciml.EAKF(), sciml.EAKF(radius=2.0), sciml.EAKF(1.1, radius=2.0, order="random")],
    "EnKFN": [sciml.EnKFN(), sciml.EnKFN(1.01, rotate=True, xN=2.0, g=1)],
    "ParticleFilter": [sciml.ParticleFilter(1.0), sciml.ParticleFilter(0.0), sciml.ParticleFilter(0.9, "residual", jitter=0.5)],
}
ALL = [(name, filter_) for name, several in FILTERS.items() for filter_ in several]
EXACT = [sciml.ETKF(), sciml.LETKF(), sciml.LETKF(radius=1e9), sciml.EAKF(), sciml.EAKF(radius=1e9), sciml.EAKF(order="random")]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=F64, generator=seeded(seed))


def kalman(mean: Tensor, p: Tensor, y: Tensor, h: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance after data, by dense matrices."""
    k = p @ h.T @ torch.linalg.inv(h @ p @ h.T + r)
    return mean + k @ (y - h @ mean), (torch.eye(len(p), dtype=F64) - k @ h) @ p


def moments(members: Tensor) -> tuple[Tensor, Tensor]:
    return members.mean(0), torch.cov(members.T)


def matrix_case(m: int = 5, n: int = 12, members: int = 7, correlated: bool = False) -> tuple[Tensor, Tensor, sciml.Observation, Tensor, Tensor]:
    h = draw(m, n, seed=3)
    r = torch.diag(torch.rand(m, dtype=F64, generator=seeded(4)) + 0.5)
    r = r + 0.3 * torch.ones(m, m, dtype=F64) if correlated else r
    e, y = draw(members, 1, n), draw(m, seed=1)
    places = torch.linspace(0, 11, m, dtype=F64).unsqueeze(1)
    operator = function(lambda u: u.flatten(-2) @ h.T, locations=places)
    errors: dict[str, Any] = {"covariance": r} if correlated else {"noise": r.diagonal().sqrt()}
    return e, y, sciml.Observation(operator, grid=Grid((n,), (float(n),)), **errors), h, r


def test_every_public_analysis_is_in_the_table_above() -> None:
    names = [n for module, several in sciml._HOME.items() if module.startswith("sciml.assimilation") for n in several]
    public = {n for n in names if isinstance(getattr(sciml, n), type) and issubclass(getattr(sciml, n), Analysis)}
    assert public == set(FILTERS)


@pytest.mark.parametrize(("name", "filter_"), ALL, ids=[f"{name}{i}" for i, (name, _) in enumerate(ALL)])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_filter_keeps_the_contract(name: str, filter_: Analysis, channels: int) -> None:
    assert type(filter_).__name__ == name
    check_analysis(filter_, channels=channels)


def test_contract_in_two_dimensions_and_on_a_bounded_line() -> None:
    for grid in (Grid((4, 5), (4.0, 5.0)), Grid((9,), (9.0,), periodic=(False,))):
        for filter_ in (sciml.ETKF(), sciml.EAKF(radius=1.5), sciml.LETKF(radius=1.5), sciml.EnKFN()):
            check_analysis(filter_, grid, members=4, channels=2)


class Bad(Analysis):
    """Faults by name."""

    def __init__(self, fault: str) -> None:
        self.fault, self.calls = fault, 0

    def update(self, prior: Prior) -> Tensor:
        self.calls += 1
        e = prior.mean.unsqueeze(-2) + prior.anomalies
        w = 0.02 * prior.whitened[0] @ prior.whitened[1].unsqueeze(-1)
        gain = (w * prior.anomalies).sum(-2, keepdim=True)
        if self.fault == "sign":
            return e - gain
        if self.fault == "global":
            return e + gain + 0.01 * torch.randn(e.shape, dtype=e.dtype)
        if self.fault == "counts":
            return e + gain + 0.01 * self.calls
        if self.fault == "nan":
            return e + gain / 0 * 0
        if self.fault == "missing":
            return e + gain + prior.present.shape[-1] * 0.001
        if self.fault == "mixes":
            return e + gain + 0.01 * e.mean()
        if self.fault == "order":
            return e + gain + 0.01 * torch.arange(prior.size, dtype=e.dtype).unsqueeze(-1) * e
        if self.fault == "detached":
            return e.detach() + gain
        if self.fault == "root":
            return e + gain + (0.0 * prior.anomalies).sqrt()
        if self.fault == "double":
            return e + gain.double()
        return e + gain


def test_a_sound_analysis_of_a_user_keeps_the_contract() -> None:
    check_analysis(Bad("none"))


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("sign", "nearer to the data"),
        ("global", "one seed gave two results"),
        ("counts", "one seed gave two results"),
        ("nan", "not finite after the data"),
        ("missing", "missing observation"),
        ("mixes", "changed another"),
        ("order", "another order"),
        ("detached", "differs from the finite difference"),
        ("root", "derivatives are not finite"),
        ("double", "float32 came back as torch.float64"),
    ],
)
def test_the_contract_names_planted_faults(fault: str, says: str) -> None:
    with pytest.raises(ContractError, match=says):
        check_analysis(Bad(fault))


class Loose:
    """An analysis that does not go through the checks at the boundary."""

    least = 2

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def __call__(self, e: Tensor, y: Tensor, observation: Any, *, generator: torch.Generator, **more: Any) -> Any:
        if self.fault == "accepts members":
            e = e.nan_to_num()
        if self.fault == "accepts data":
            y = torch.where(y.isinf(), torch.nan, y)
        if self.fault == "accepts few" and len(e) == 1:
            return e, None
        after, record = sciml.ETKF()(e, y, observation, generator=generator)
        if self.fault == "shape":
            return after.unsqueeze(0), record
        if self.fault == "in place":
            e += 1
        if self.fault == "silent" and bool(y.isnan().all()):
            after = after + 1e-9
        if self.fault == "partly silent" and not bool(y.isnan().all()):
            after = torch.where(y.isnan().all(-1)[..., None, None, None], after + 1e-9, after)
        return after, record


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("shape", "the shape of the ensemble changed"),
        ("in place", "changed in place"),
        ("silent", "without data the ensemble changed"),
        ("partly silent", "an experiment of a batch without data changed"),
        ("accepts members", "a member that is not finite were accepted"),
        ("accepts data", "infinite data were accepted"),
        ("accepts few", "too few members were accepted"),
    ],
)
def test_the_contract_does_not_trust_the_boundary(fault: str, says: str) -> None:
    with pytest.raises(ContractError, match=says):
        check_analysis(Loose(fault))


@pytest.mark.parametrize("filter_", EXACT, ids=range(len(EXACT)))
@pytest.mark.parametrize("members", [4, 30])
def test_square_root_filters_are_the_kalman_filter_of_the_sample_covariance(filter_: Analysis, members: int) -> None:
    e, y, observation, h, r = matrix_case(members=members)
    after, _ = filter_(e, y, observation, generator=seeded())
    mean, p = kalman(*moments(e[:, 0]), y, h, r)
    found, covariance = moments(after[:, 0])
    assert float((found - mean).abs().max()) < 1e-10 and float((covariance - p).abs().max()) < 1e-10


@pytest.mark.parametrize("filter_", [sciml.ETKF(), sciml.EAKF(), sciml.EAKF(order=[4, 0, 2, 1, 3]), sciml.LETKF(radius=1e9)], ids=range(4))
def test_correlated_errors_are_exact_too(filter_: Analysis) -> None:
    e, y, observation, h, r = matrix_case(correlated=True)
    after, _ = filter_(e, y, observation, generator=seeded())
    mean, p = kalman(*moments(e[:, 0]), y, h, r)
    found, covariance = moments(after[:, 0])
    assert float((found - mean).abs().max()) < 1e-10 and float((covariance - p).abs().max()) < 1e-10


def test_deterministic_enkf_has_the_mean_of_kalman_and_a_quarter_of_the_second_order_too_much() -> None:
    e, y, observation, h, r = matrix_case()
    after, _ = sciml.DEnKF()(e, y, observation, generator=seeded())
    (mean, p), (found, covariance) = moments(e[:, 0]), moments(after[:, 0])
    k = p @ h.T @ torch.linalg.inv(h @ p @ h.T + r)
    assert float((found - kalman(mean, p, y, h, r)[0]).abs().max()) < 1e-10
    expected = (torch.eye(12, dtype=F64) - k @ h) @ p + k @ h @ p @ h.T @ k.T / 4
    assert float((covariance - expected).abs().max()) < 1e-10


def test_batch_square_root_in_the_space_of_data_is_the_etkf() -> None:
    """Whitaker & Hamill (2002), eq. 10, with symmetric roots: the same members, not only the same moments."""
    e, y, observation, h, r = matrix_case()
    after, _ = sciml.ETKF()(e, y, observation, generator=seeded())
    mean, a = e[:, 0].mean(0), e[:, 0] - e[:, 0].mean(0)
    white = a @ h.T / r.diagonal().sqrt()
    total = white.T @ white / (len(e) - 1) + torch.eye(5, dtype=F64)
    values, vectors = torch.linalg.eigh(total)
    root = (vectors * values.sqrt()) @ vectors.T
    reduced = a - white @ torch.linalg.inv(total + root) @ white.T @ a / (len(e) - 1)
    expected = kalman(mean, torch.cov(e[:, 0].T), y, h, r)[0] + reduced
    assert float((after[:, 0] - expected).abs().max()) < 1e-10


@pytest.mark.parametrize("filter_", [*EXACT, sciml.EnKF(), sciml.DEnKF()], ids=range(len(EXACT) + 2))
def test_one_observation_moves_the_mean_by_the_closed_form(filter_: Analysis) -> None:
    e = draw(6, 1, 12)
    observation = sciml.Observation(sciml.every(12, offset=7), 0.7, grid=LINE)
    after, record = filter_(e, torch.tensor([1.3], dtype=F64), observation, generator=seeded())
    x = e[:, 0]
    covariance = torch.cov(x.T)[:, 7]
    expected = covariance / (covariance[7] + 0.49) * (1.3 - x[:, 7].mean())
    assert float((after[:, 0].mean(0) - x.mean(0) - expected).abs().max()) < 1e-12
    assert abs(float(record.gain) - float(covariance[7] / (covariance[7] + 0.49))) < 1e-12


def test_localised_serial_filter_equals_one_that_observes_anew_after_every_datum() -> None:
    e, every_third = draw(5, 2, 12), sciml.every(3, offset=1)
    observation = sciml.Observation(every_third, 0.6, grid=LINE)
    y, order = draw(8, seed=2), [3, 0, 7, 1, 5, 2, 4, 6]
    after, _ = sciml.EAKF(radius=1.7, order=order)(e, y, observation, generator=seeded())
    x = e.clone()
    for j in order:
        place, channel = 1 + 3 * (j % 4), j // 4
        seen = x[:, channel, place]
        s, mean = seen - seen.mean(), x.mean(0)
        variance = float(s @ s) / 4
        new_mean = (seen.mean() / variance + y[j] / 0.36) / (1 / variance + 1 / 0.36)
        new = new_mean + s * math.sqrt(0.36 / (0.36 + variance))
        distance = (torch.arange(12, dtype=F64) - place).abs()
        weight = gaspari_cohn(torch.minimum(distance, 12 - distance) / 1.7)
        weight = torch.where(weight < LEAST, 0.0, weight)
        slope = torch.einsum("k,kcx->cx", s, x - mean) / float(s @ s)
        x = x + weight * slope * (new - seen)[:, None, None]
    assert float((after - x).abs().max()) < 1e-12


def test_serial_filter_takes_hooks_and_localisations() -> None:
    e, observation = draw(5, 1, 12), sciml.Observation(sciml.every(3), 0.6, grid=LINE)
    y = draw(4, seed=2)

    def near(grid: Grid, points: Tensor, locations: Tensor) -> Tensor:
        return ((points - locations.T).abs() < 1.5).double()

    def run(filter_: Analysis) -> Tensor:
        return filter_(e, y, observation, generator=seeded())[0]

    hooked = run(sciml.EAKF(localization=near))
    only = observation.operator(e, LINE, 0.0)[:, 1]
    s = only - only.mean()
    slope = float(s @ (e[:, 0, 2] - e[:, 0, 2].mean())) / float(s @ s)
    moved = float((hooked[:, 0, 2] - e[:, 0, 2]).mean())
    variance = float(s @ s) / 4
    assert abs(moved - slope * variance / (variance + 0.36) * float(y[1] - only.mean())) < 1e-12  # point 2 sees the datum at 3 alone
    assert torch.equal(run(sciml.EAKF(radius=1.2)), run(sciml.EAKF(localization=sciml.Localization(1.2))))
    system = sciml.Observation(sciml.every(1), 0.6, grid=Grid((), ()))
    both = [f(e[..., :3, 0], y[:1], system, generator=seeded())[0] for f in (sciml.EAKF(), sciml.EAKF(radius=2.0))]
    assert torch.equal(*both)  # an ordinary system has no places


def test_finite_size_filter_minimises_the_cost_of_the_coefficients() -> None:
    for seed, scale, xn, g in ((0, 1.0, 1.0, 0), (1, 4.0, 1.0, 0), (2, 0.2, 2.0, 1), (3, 30.0, 1.5, 0)):
        s, d = draw(6, 4, seed=seed), scale * draw(4, seed=seed + 10)
        s = s - s.mean(0)
        n, gram = 6, s @ s.T
        kappa = float((5 / (torch.linalg.eigvalsh(gram) + 5)).mean())
        q = math.sqrt((7 / 6 * 5 / (6 + g)) ** kappa)
        epsilon, c = xn * 7 / 6 / q, xn * (6 + g) * q

        def cost(w: Any, s: Tensor = s, d: Tensor = d, epsilon: float = epsilon, c: float = c) -> float:
            v = torch.as_tensor(w, dtype=F64)
            return float((d - v @ s).square().sum() / 2 + c / 2 * torch.log(epsilon + v.square().sum()))

        starts = [draw(6, seed=k).numpy() for k in range(4)] + [torch.linalg.lstsq(s.T, d).solution.numpy(), 0 * d.new_zeros(6).numpy()]
        best = min((minimize(cost, w, method="BFGS", options={"gtol": 1e-9}) for w in starts), key=lambda found: found.fun)
        zeta = sciml.EnKFN(xN=xn, g=g).precision(gram, s @ d)
        w = torch.linalg.solve(gram + zeta * torch.eye(n, dtype=F64), s @ d)
        assert abs(cost(w.numpy()) - best.fun) < 1e-7 * max(1, abs(best.fun))
        assert abs(float(zeta) - c / (epsilon + float(w.square().sum()))) < 1e-10 * float(zeta)


def test_finite_size_filter_is_an_etkf_with_the_inflation_that_it_records() -> None:
    e, y, observation, _, _ = matrix_case()
    after, record = sciml.EnKFN()(e, y, observation, generator=seeded())
    factor = record.numbers["inflation"]
    mean = e.mean(0)
    expected, _ = sciml.ETKF()(mean + factor * (e - mean), y, observation, generator=seeded())
    assert float((after - expected).abs().max()) < 1e-12
    far, near = (float(sciml.EnKFN()(e, t, observation, generator=seeded())[1].numbers["inflation"]) for t in (20 * y, 0.1 * y))
    assert far > 2 > near
    vague = sciml.Observation(observation.operator, 1e6, grid=observation.grid)
    assert abs(float(sciml.EnKFN()(e, y, vague, generator=seeded())[1].numbers["inflation"]) - 1) < 1e-6
    wild = sciml.EnKFN()(e, 1e9 * y, observation, generator=seeded())[0]
    assert bool(torch.isfinite(wild).all())
    flat = sciml.EnKFN()(torch.ones_like(e), y, observation, generator=seeded())[0]
    assert float((flat - 1).abs().max()) < 1e-12


@pytest.mark.parametrize("filter_", [sciml.ETKF(), sciml.EnKFN(), sciml.LETKF(radius=2.0), sciml.EAKF(radius=2.0)], ids=str)
def test_gradients_where_there_are_fewer_data_than_members(filter_: Analysis) -> None:
    grid = Grid((4,), (4.0,))
    observation = sciml.Observation(sciml.every(2), 0.5, grid=grid)

    def after(e: Tensor, y: Tensor) -> Tensor:
        return filter_(e, y, observation, generator=seeded())[0]

    assert torch.autograd.gradcheck(after, (draw(7, 1, 4).requires_grad_(), draw(2, seed=1).requires_grad_()), atol=1e-6)


@pytest.mark.parametrize(("members", "m"), [(4, 6), (9, 3)])
@pytest.mark.parametrize("correlated", [False, True])
def test_log_likelihood_is_that_of_a_gaussian_and_has_its_gradient(members: int, m: int, correlated: bool) -> None:
    e, y, observation, h, r = matrix_case(m=m, members=members, correlated=correlated)
    y[1] = torch.nan
    kept = [j for j in range(m) if j != 1]

    def likelihood(e: Tensor, y: Tensor) -> Tensor:
        return sciml.ETKF()(e, y, observation, generator=seeded())[1].log_likelihood

    x = e[:, 0]
    r = observation.errors.covariance(m, y)
    law = torch.distributions.MultivariateNormal((h @ x.mean(0))[kept], (h @ torch.cov(x.T) @ h.T + r)[kept][:, kept])
    assert abs(float(likelihood(e, y) - law.log_prob(y[kept]))) < 1e-9
    assert torch.autograd.gradcheck(lambda v: likelihood(v, y), (e.clone().requires_grad_(),))
    assert float(sciml.ETKF()(e, torch.full_like(y, torch.nan), observation, generator=seeded())[1].log_likelihood) == 0
    _, record = sciml.ETKF()(e, y, observation, generator=seeded())
    unknown = Record(record.innovation, record.prior_variance, record.noise_variance, record.whitened)
    with pytest.raises(InputError, match="does not know the errors"):
        unknown.log_likelihood.item()


@pytest.mark.parametrize(
    ("filter_", "factor"),
    [(sciml.EnKF(), 64), (sciml.ETKF(), 4), (sciml.EnKFN(), 4), (sciml.ParticleFilter(1.0), 64), (sciml.ParticleFilter(0.0), 64)],
    ids=["EnKF", "ETKF", "EnKFN", "resampled", "weighted"],
)
def test_growing_ensembles_converge_to_the_kalman_filter_as_one_over_root_n(filter_: Analysis, factor: int) -> None:
    grid, batch, least = Grid((2,), (2.0,)), 100, 50 if factor > 4 else 25
    root = torch.tensor([[1.0, 0.0], [0.8, 0.7]], dtype=F64)
    observation = sciml.Observation(sciml.every(2), 0.7, grid=grid)
    h, r = torch.tensor([[1.0, 0.0]], dtype=F64), torch.tensor([[0.49]], dtype=F64)
    mean, p = kalman(torch.zeros(2, dtype=F64), root @ root.T, torch.tensor([0.9], dtype=F64), h, r)
    errors = []
    for n in (least, least * factor):
        e = draw(batch, n, 2, seed=n) @ root.T
        after, record = filter_(e.unsqueeze(-2), torch.full((batch, 1), 0.9, dtype=F64), observation, generator=seeded())
        w = torch.full((batch, n), 1 / n, dtype=F64) if record.weights is None else record.weights[1]
        x = after[..., 0, :]
        found = torch.einsum("bi,bix->bx", w, x)
        a = x - found.unsqueeze(1)
        covariance = torch.einsum("bi,bix,biy->bxy", w, a, a)
        errors.append((float((found - mean).square().mean().sqrt()), float((covariance - p).square().mean().sqrt())))
    for small, large in zip(*errors, strict=True):
        assert 0.75 < small / large / math.sqrt(factor) < 1.35
    assert errors[1][0] < 0.3 / math.sqrt(factor)


# -- adaptive inflation --------------------------------------------------------------------------------------------------


def narrow(cycles: int, factor: float, adaptive: sciml.AdaptiveInflation, batch: int = 3) -> Tensor:
    """The inflation found for members whose spread is too small by a factor, from independent draws."""
    observation, memory = sciml.Observation(sciml.every(1), 1.0, grid=LINE), None
    kept = []
    generator = seeded(5)
    for _ in range(cycles):
        truth = torch.randn((batch, 1, 12), dtype=F64, generator=generator)
        e = torch.randn((batch, 20, 1, 12), dtype=F64, generator=generator) / factor
        y = observation.measured(truth, generator)
        _, record = sciml.ETKF(adaptive)(e, y, observation, generator=generator, memory=memory)
        memory = record.memory
        kept.append(record.numbers["inflation"])
    return torch.stack(kept)


def test_adaptive_inflation_finds_the_factor_that_is_missing() -> None:
    found = narrow(500, 2.0, sciml.AdaptiveInflation(deviation=0.5))
    assert abs(float(found[200:].square().mean()) - 4) < 0.4
    assert 0 < float((found[0] - 1).abs().max()) < 0.3
    assert abs(float(narrow(300, 1.0, sciml.AdaptiveInflation(deviation=0.1, least=0.5))[100:].mean()) - 1) < 0.04
    assert float(narrow(100, 3.0, sciml.AdaptiveInflation(deviation=0.5, most=1.5)).max()) == 1.5


def test_adaptive_inflation_by_hand() -> None:
    observation = sciml.Observation(sciml.every(6), 0.5, grid=LINE)
    e, y = draw(5, 1, 12), torch.tensor([2.0, -1.0], dtype=F64)
    s = 2 * (e[:, 0, [0, 6]] - e[:, 0, [0, 6]].mean(0))
    d = 2 * (y - e[:, 0, [0, 6]].mean(0))
    g = s.T @ s / 4
    trace, square = float(g.trace()), float((g @ g).trace())
    rho = 1.44
    observed = (float(d @ d) - 2) / trace
    variance = 2 * (rho**2 * square + 2 * rho * trace + 2) / trace**2
    expected = rho + 0.09 / (0.09 + variance) * (observed - rho)
    _, record = sciml.ETKF(sciml.AdaptiveInflation(0.3, start=1.2))(e, y, observation, generator=seeded())
    assert record.memory is not None and abs(float(record.memory) - expected) < 1e-12
    mean = e.mean(0)
    inflated = mean + math.sqrt(expected) * (e - mean)
    after, _ = sciml.ETKF(sciml.AdaptiveInflation(0.3, start=1.2))(e, y, observation, generator=seeded())
    assert float((after - sciml.ETKF()(inflated, y, observation, generator=seeded())[0]).abs().max()) < 1e-12
    flat = sciml.ETKF(sciml.AdaptiveInflation())(torch.ones_like(e), y, observation, generator=seeded())
    assert float(flat[1].numbers["inflation"]) == 1.0


# -- cycles --------------------------------------------------------------------------------------------------------------


class Wave:
    """A linear model: the wave moves by one point and shrinks."""

    dt = 0.1

    def __init__(self, grid: Grid = LINE, shrink: float = 0.95) -> None:
        self.grid, self.shrink = grid, shrink

    def __call__(self, u: Tensor) -> Tensor:
        return self.shrink * u.roll(1, -1)


def experiment(cycles: int = 6, batch: int = 2, members: int = 6) -> dict[str, Any]:
    observation = sciml.Observation(sciml.every(3), 0.3, grid=LINE)
    truth = draw(cycles, batch, 1, 12, seed=8)
    return {
        "step": Wave(),
        "observation": observation,
        "y": observation.measured(truth, seeded(9)),
        "ensemble": draw(batch, members, 1, 12, seed=7),
        "truth": truth,
    }


@pytest.mark.parametrize(("name", "filter_"), ALL, ids=[f"{name}{i}" for i, (name, _) in enumerate(ALL)])
def test_no_filter_reads_the_truth_and_runs_repeat_bit_for_bit(name: str, filter_: Analysis) -> None:
    given = experiment()
    first = sciml.cycle(analysis=filter_, generator=seeded(), **given)
    again = sciml.cycle(analysis=filter_, generator=seeded(), **given)
    other = sciml.cycle(analysis=filter_, generator=seeded(), **given | {"truth": given["truth"].flip(0)})
    assert torch.equal(first.mean, again.mean) and torch.equal(first.mean, other.mean) and torch.equal(first.ensemble, other.ensemble)
    assert not torch.equal(first.series["rmse.a"], other.series["rmse.a"])


@pytest.mark.parametrize("filter_", [sciml.ETKF(sciml.AdaptiveInflation(0.3)), sciml.ParticleFilter(0.3), sciml.EnKF()], ids=str)
def test_stages_go_on_from_their_state_as_if_never_stopped(filter_: Analysis) -> None:
    given = experiment()
    data = Data(given["step"], given["observation"], given["y"], 1, 0.0)
    generator = seeded()
    whole = list(filter_.stages(data, given["ensemble"], generator))
    generator = seeded()
    first = []
    for stage in filter_.stages(data, given["ensemble"], generator):
        first.append(stage)
        if stage.number == 2:
            break
    rest = list(filter_.stages(data, given["ensemble"], generator, begin=3, state=first[-1].state))
    for a, b in zip(whole, first + rest, strict=True):
        assert torch.equal(a.analysis, b.analysis)
        assert (a.record.memory is None and b.record.memory is None) or torch.equal(a.record.memory, b.record.memory)


def test_adaptive_inflation_waits_where_data_are_missing() -> None:
    given = experiment()
    given["y"][2, 1] = torch.nan
    found = sciml.cycle(analysis=sciml.ETKF(sciml.AdaptiveInflation(0.3)), generator=seeded(), **given).series["inflation"]
    assert bool(found[2, 1].isnan()) and bool(torch.isfinite(found[:, 0]).all()) and bool(torch.isfinite(found[3:, 1]).all())
    data = Data(given["step"], given["observation"], given["y"], 1, 0.0)
    memory = [s.record.memory for s in sciml.ETKF(sciml.AdaptiveInflation(0.3)).stages(data, given["ensemble"], seeded())]
    assert float(memory[2][1]) == float(memory[1][1]) and float(memory[2][0]) != float(memory[1][0])


class Fragile(Wave):
    """Members whose first value exceeds a bound are lost."""

    def __call__(self, u: Tensor) -> Tensor:
        later = super().__call__(u)
        return torch.where(later[..., :1] > 3.0, torch.inf, later)


def lost_case() -> dict[str, Any]:
    given = experiment(cycles=3, batch=2, members=5)
    e = 0.3 * given["ensemble"]
    e[1, 3, 0, 11] = 9.0  # moves to the first point and is lost
    return given | {"ensemble": e, "step": Fragile()}


def test_lost_members_are_replaced_and_noted() -> None:
    given = lost_case()
    with pytest.raises(BlowUpError, match=r"member \(1, 3\) is not finite at t=0.1.*lost='replace'"):
        sciml.cycle(analysis=sciml.ETKF(), generator=seeded(), **given)
    result = sciml.cycle(analysis=sciml.ETKF(), generator=seeded(), lost="replace", **given)
    assert result.notes == ["t=0.1: member 3 of experiment 1 was not finite and was drawn again"]
    assert bool(torch.isfinite(result.mean).all())
    alone = sciml.cycle(analysis=sciml.ETKF(), generator=seeded(), **experiment(3, 2, 5) | {"ensemble": given["ensemble"].clamp_max(2.9)})
    assert float((result.mean[:, 0] - alone.mean[:, 0]).abs().max()) < 1e-12  # the other experiment does not notice
    with pytest.raises(InputError, match="lost='ignore'"):
        sciml.cycle(analysis=sciml.ETKF(), generator=seeded(), lost="ignore", **given)


def test_replaced_members_have_mean_and_covariance_of_the_others() -> None:
    e = draw(4, 2, 3)
    many = e.expand(20000, 4, 2, 3).clone()
    many[:, 1, 0, 2] = torch.nan
    found, notes = redrawn(many, 1, seeded(), 0.5)
    others = e[[0, 2, 3]].flatten(1)
    assert torch.equal(found[:, [0, 2, 3]], many[:, [0, 2, 3]]) and len(notes) == 20000
    new = found[:, 1].flatten(1)
    assert float((new.mean(0) - others.mean(0)).abs().max()) < 0.04
    assert float((torch.cov(new.T) - torch.cov(others.T)).abs().max()) < 0.06
    single, notes = redrawn(many[0], 1, seeded(), 0.5)
    assert notes == ["t=0.5: member 1 was not finite and was drawn again"] and bool(torch.isfinite(single).all())
    many[7, [0, 2]] = torch.inf
    with pytest.raises(BlowUpError, match="fewer than two members of experiment 7"):
        redrawn(many, 1, seeded(), 0.5)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: sciml.EAKF(radius=1.0, localization=sciml.Localization(1.0)), "not both"),
        (lambda: sciml.EAKF(localization=sciml.Localization(1.0, block=2)), "block=2"),
        (lambda: sciml.EAKF(order="sideways"), "order='sideways'"),
        (lambda: sciml.EnKFN(xN=0.0), "xN=0.0"),
        (lambda: sciml.EnKFN(g=-1), "g=-1"),
        (lambda: sciml.AdaptiveInflation(deviation=0.0), "deviation=0.0"),
        (lambda: sciml.AdaptiveInflation(least=1.1), "in this order"),
        (lambda: sciml.EAKF(inflation=-1.0), "factor=-1.0"),
    ],
)
def test_wrong_settings_are_refused(make: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()


def test_wrong_uses_are_refused() -> None:
    e, y, observation, _, _ = matrix_case(correlated=True)
    with pytest.raises(InputError, match="errors of the data are correlated"):
        sciml.EAKF(radius=2.0)(e, y, observation, generator=seeded())
    placeless = sciml.Observation(lambda u: u.flatten(-2)[..., :3], 0.5, grid=LINE)
    with pytest.raises(InputError, match="have no places"):
        sciml.EAKF(radius=2.0)(e, y[:3], placeless, generator=seeded())
    with pytest.raises(InputError, match=r"order=\[0, 0, 1\] given for 3 observations"):
        sciml.EAKF(order=[0, 0, 1])(e, y[:3], placeless, generator=seeded())
    with pytest.raises(InputError, match=r"weights of shape .* \(12, 4\)"):
        bad = sciml.Observation(sciml.every(3), 0.5, grid=LINE)
        sciml.EAKF(localization=lambda grid, points, at: torch.ones(2, 2))(e, y[:4], bad, generator=seeded())
    with pytest.raises(InputError, match="noise=0"):
        sciml.Observation(sciml.every(1), 0.0)
    with pytest.raises(InputError, match="singular"):
        sciml.Observation(sciml.every(6), covariance=torch.ones(2, 2))


@pytest.mark.parametrize(
    ("filter_", "members", "score"),
    [
        (sciml.EnKFN(rotate=True, xN=2.0), 24, 0.18),
        (sciml.EAKF(1.07, radius=6.0, rotate=True), 7, 0.23),
        (sciml.ETKF(sciml.AdaptiveInflation(start=1.02)), 24, 0.18),
    ],
    ids=["EnKFN", "EAKF", "adaptive"],
)
def test_lorenz_96_is_known_as_well_as_published(filter_: Analysis, members: int, score: float) -> None:
    problem = lorenz.sakov2008()
    grid = problem.grid()
    step = sciml.RK4(problem.equation, grid, dt=0.05)
    with torch.no_grad():
        u = sciml.rollout(step, problem.initial_state(grid, seeded(), samples=3), 400, every=400)[-1]
        truth = sciml.rollout(step, u, 160, include_initial=False)
        observation = sciml.Observation(sciml.every(1), 1.0, grid=grid)
        y = observation.measured(truth, seeded(1))
        e = u.unsqueeze(1) + draw(3, members, 1, 40, seed=2)
        found = sciml.cycle(step, filter_, observation, y, e, generator=seeded(3), truth=truth).score("rmse.a", 60)
    assert 0.7 * score < float(found.mean()) < 1.35 * score
