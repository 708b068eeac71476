"""Published and independently computed values that the one-dimensional problems must reproduce."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.io import loadmat
from scipy.special import iv
from torch import Tensor

from sciml.core.equation import Equation
from sciml.core.errors import InputError
from sciml.core.loading import load_problem
from sciml.core.problem import Problem
from sciml.core.rollout import rollout
from sciml.problems import allen_cahn, burgers, korteweg_de_vries, kuramoto_sivashinsky
from sciml.solvers.etdrk import ETDRK4
from sciml.spectral.resample import evaluate

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def needs(name: str) -> Any:
    return pytest.mark.skipif(not (DATA / name).exists(), reason=f"{name} is not at hand")


def march(problem: Problem, dt: float, end: float, every: float | None = None, points: int | None = None) -> Tensor:
    """States at multiples of ``every`` (default: the end alone), ``(time, x)``."""
    assert isinstance(problem.equation, Equation)
    grid = problem.grid(points)
    step = ETDRK4(problem.equation, grid, dt, dealias=problem.dealias)
    with torch.no_grad():
        return rollout(step, problem.initial_state(grid), round(end / dt), every=round((every or end) / dt))[:, 0]


# -- Burgers -----------------------------------------------------------------------------------------------------------


def test_cole_hopf_reaches_the_published_largest_slope() -> None:
    """Basdevant et al. (1986): max |u_x(0, t)| = 152.00516 at pi t = 1.6037."""
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    slopes = []
    for scaled in (1.6028, 1.6038, 1.6048):
        (slope,) = torch.autograd.grad(burgers.cole_hopf(scaled / math.pi, x, 0.01 / math.pi).sum(), x)
        slopes.append(-float(slope))
    assert abs(slopes[1] - 152.005) < 5e-4
    assert slopes[1] > max(slopes[0], slopes[2])


def test_cole_hopf_starts_from_the_sine_and_is_odd_and_periodic() -> None:
    x = torch.linspace(-1, 1, 41, dtype=torch.float64)
    for nu in (1e-4, 0.01 / math.pi, 1.0, 50.0):
        assert float((burgers.cole_hopf(0.0, x, nu) + torch.sin(math.pi * x)).abs().max()) < 1e-14
        u = burgers.cole_hopf(0.3, x, nu)
        assert float((u + u.flip(0)).abs().max()) < 1e-12
        assert float((burgers.cole_hopf(0.3, x + 2, nu) - u).abs().max()) < 1e-9


def test_cole_hopf_equals_the_bessel_series() -> None:
    """theta = I_0(z) + 2 sum (-1)^k I_k(z) exp(-nu (k pi)^2 t) cos(k pi x), z = 1/(2 pi nu), u = -2 nu theta_x / theta."""
    x = torch.linspace(-0.9, 0.95, 23, dtype=torch.float64)
    for nu, t in ((0.06, 2.0), (0.3, 0.7), (2.0, 0.1), (2.0, 0.5), (20.0, 0.01)):
        z = 1 / (2 * math.pi * nu)
        theta, slope = torch.full_like(x, iv(0, z)), torch.zeros_like(x)
        for k in range(1, 80):
            c = 2 * (-1) ** k * iv(k, z) * math.exp(-nu * (k * math.pi) ** 2 * t)
            theta, slope = theta + c * torch.cos(k * math.pi * x), slope - c * k * math.pi * torch.sin(k * math.pi * x)
        assert float((burgers.cole_hopf(t, x, nu) + 2 * nu * slope / theta).abs().max()) < 1e-13


def test_cole_hopf_tends_to_the_heat_kernel_and_to_characteristics() -> None:
    x = torch.linspace(-1, 1, 21, dtype=torch.float64)
    large = 20.0
    # amplitude ratio u/nu -> 0: the equation is linear
    assert float((burgers.cole_hopf(0.01, x, large) + torch.sin(math.pi * x) * math.exp(-(math.pi**2) * large * 0.01)).abs().max()) < 2e-3
    # before the shock at t = 1/pi, u(x, t) = -sin(pi (x - u t)) up to O(nu)
    u = burgers.cole_hopf(0.15, x, 1e-5)
    assert float((u + torch.sin(math.pi * (x - 0.15 * u))).abs().max()) < 5e-4


def test_cole_hopf_is_differentiable_and_takes_times_per_point() -> None:
    t = torch.tensor([0.1, 0.4, 0.9], dtype=torch.float64, requires_grad=True)
    x = torch.tensor([-0.5, 0.01, 0.7], dtype=torch.float64, requires_grad=True)
    nu = torch.tensor(0.05, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(burgers.cole_hopf, (t, x, nu))
    together = burgers.cole_hopf(t, x, nu)
    apart = torch.stack([burgers.cole_hopf(float(a), b, 0.05) for a, b in zip(t.detach(), x.detach(), strict=True)])
    assert float((together - apart).detach().abs().max()) < 1e-13


def test_the_spectral_solution_is_the_exact_one_at_the_default_resolution() -> None:
    problem = burgers.raissi2019()
    assert problem.dt is not None
    u = march(problem, problem.dt, 1.0, every=0.05)
    grid = problem.grid()
    worst = max(float((state - problem.exact_state(grid, 0.05 * i)[0]).abs().max()) for i, state in enumerate(u))
    assert worst < 1e-9


@needs("raissi_burgers_shock.mat")
def test_raissi_burgers_file() -> None:
    file = loadmat(DATA / "raissi_burgers_shock.mat")
    x, truth = torch.as_tensor(file["x"].ravel()), torch.as_tensor(file["usol"])
    problem = burgers.raissi2019()
    exact = torch.stack([burgers.cole_hopf(float(t), x, 0.01 / math.pi) for t in file["t"].ravel()], 1)
    assert float((exact - truth).norm() / truth.norm()) < 1e-11
    states = march(problem, 2e-4, 0.99, every=0.01)
    ours = evaluate(states, problem.grid(), (x,)).T
    assert ours.shape == truth.shape
    assert float((ours - truth).abs().max()) < 1e-9


def test_kassam_trefethen_burgers() -> None:
    problem = burgers.kassam2005()
    fine = march(problem, 1 / 1024, 1.0)[-1]
    assert abs(float(fine.max()) - 0.866675592903) < 1e-11
    errors = [float((march(problem, h, 1.0)[-1] - fine).abs().max() / fine.abs().max()) for h in (1 / 8, 1 / 32, 1 / 128)]
    for error, listed in zip(errors, (2.5e-3, 1.3e-5, 5.3e-8), strict=True):
        assert abs(error / listed - 1) < 0.05


def test_li2021_burgers_law() -> None:
    """Mode k of N(0, 625(-d_xx + 25)^-2) on (0, 1) has variance sigma^2 ((2 pi k)^2 + tau^2)^-2."""
    problem = burgers.li2021()
    u = problem.initial_state(problem.grid(128), samples=1500)
    expected = 2 * sum(625 * ((2 * math.pi * k) ** 2 + 25) ** -2.0 for k in range(1, 64))
    assert abs(float(u.var(0).mean()) / expected - 1) < 0.06
    assert float(u.mean(-1).abs().max()) < 1e-12


# -- Kuramoto-Sivashinsky ----------------------------------------------------------------------------------------------


def test_kuramoto_sivashinsky_golden_numbers() -> None:
    problem = kuramoto_sivashinsky.kassam2005()
    early, late = march(problem, 1 / 128, 60.0, every=30.0)[1:]
    for state, (largest, first, square), tolerance in (
        (early, (1.479094364, 0.323491125, 0.248139813), 2e-9),
        (late, (2.4447877, 1.3868057, 1.6382317), 2e-7),
    ):
        assert abs(float(state.max()) - largest) < tolerance
        assert abs(float(state[0]) - first) < tolerance
        assert abs(float(state.square().mean()) - square) < tolerance


@needs("kuramoto_sivashinsky_pdefind.mat")
def test_kuramoto_sivashinsky_published_file() -> None:
    truth = torch.as_tensor(loadmat(DATA / "kuramoto_sivashinsky_pdefind.mat")["uu"]).T
    problem = kuramoto_sivashinsky.kassam2005()
    grid = problem.grid(1024)
    # x_j = jL/N, j = 1..N, on their own grid
    length = grid.lengths[0]
    shifted = type(grid)((1024,), (length,), origin=(length / 1024,))
    step = ETDRK4(problem.equation, shifted, 0.025, dealias=False)
    with torch.no_grad():
        u = rollout(step, problem.initial_state(shifted), 2800, every=16)[:, 0]
    error = (u - truth[: len(u)]).norm(dim=1) / truth[: len(u)].norm(dim=1)
    assert len(u) == 176 and float(error.max()) < 1e-10


@pytest.mark.parametrize(
    ("case", "percent"),
    [*((c, 57.74) for c in (1, 2, 3)), *((c, 81.65) for c in (4, 5, 6)), *((c, 28.87) for c in (7, 8, 9)), (10, 100.0), (11, 86.60), (12, 64.55)],
)
def test_imperfect_models_have_the_published_errors(case: int, percent: float) -> None:
    problem = kuramoto_sivashinsky.mojgani2022(case)
    assert abs(problem.scores["imperfect model"]["coefficient_error_percent"] - percent) < 0.006
    truth = kuramoto_sivashinsky.mojgani2022().equation
    assert (truth.advection, truth.antidiffusion, truth.hyperdiffusion) == (1.0, 1.0, 1.0)
    equation = problem.equation
    off = torch.tensor([equation.advection, equation.antidiffusion, equation.hyperdiffusion]) - 1
    assert abs(float(off.norm() / math.sqrt(3)) * 100 - percent) < 0.006


def test_mixed_imperfect_models_by_their_coefficients() -> None:
    """Their errors do not tell which coefficient is wrong."""
    assert kuramoto_sivashinsky.IMPERFECT_MODELS[11] == (0.0, 0.5, 2.0) and kuramoto_sivashinsky.IMPERFECT_MODELS[12] == (0.5, 0.0, 1.0)


def test_cvitanovic2010_draws_seven_waves_of_the_stated_size() -> None:
    problem = kuramoto_sivashinsky.cvitanovic2010()
    u = problem.initial_state(problem.grid(), torch.Generator().manual_seed(0), samples=800)
    power = torch.fft.rfft(u, norm="forward").abs().square().mean((0, 1))
    assert float(power[[0, *range(8, 33)]].max()) < 1e-25
    assert float(power[1:8].mean()) == pytest.approx(0.01, rel=0.05)


def test_mojgani2022_starts_from_its_profile() -> None:
    problem = kuramoto_sivashinsky.mojgani2022()
    grid = problem.grid()
    (x,) = grid.axes()
    expected = -torch.cos(2 * math.pi * x / 100) * (1 + torch.sin(-2 * math.pi * x / 100))
    assert grid.shape == (1024,) and float((problem.initial_state(grid)[0] - expected).abs().max()) < 1e-14


def test_bocquet2019_scatters_around_the_profile_with_the_stated_variance() -> None:
    problem, centre = kuramoto_sivashinsky.bocquet2019(), kuramoto_sivashinsky.kassam2005()
    u = problem.initial_state(problem.grid(), samples=400)
    assert float((u.mean(0) - centre.initial_state(centre.grid())).abs().max()) < 0.01
    assert abs(float(u.var(0).mean()) / 0.001 - 1) < 0.05


def test_kuramoto_sivashinsky_is_galilean_invariant_and_keeps_its_mean() -> None:
    problem = kuramoto_sivashinsky.cvitanovic2010()
    grid = problem.grid()
    step = ETDRK4(problem.equation, grid, 0.05)
    u0 = problem.initial_state(grid)
    with torch.no_grad():
        plain, boosted = (rollout(step, u0 + c, 200, every=200)[-1, 0] for c in (0.0, 0.5))
    assert abs(float(plain.mean()) - float(u0.mean())) < 1e-14
    (x,) = grid.axes()
    assert float((boosted - 0.5 - evaluate(plain, grid, (x - 0.5 * 10,))).abs().max()) < 1e-5


# -- Korteweg-de Vries -------------------------------------------------------------------------------------------------


def test_one_soliton_is_the_hyperbolic_secant() -> None:
    x = torch.linspace(-3, 3, 61, dtype=torch.float64)
    for a, delta in ((2.0, 1.0), (3.0, 0.25)):
        u = korteweg_de_vries.solitons(0.4, x, (a,), (-1.0,), delta)
        expected = 3 * delta * a**2 / torch.cosh(a * (x + 1 - delta * a**2 * 0.4) / 2) ** 2
        assert float((u - expected).abs().max()) < 1e-12


def test_solitons_are_seen_where_they_were_put_and_shifted_after_the_interaction() -> None:
    """The fast one gains (2/k1) ln((k1+k2)/(k1-k2)), the slow one loses the same with k2."""
    fast, slow = 2.0, 1.0
    shift = 2 * math.log((fast + slow) / (fast - slow))
    for t, positions in ((0.0, (-20.0, 0.0)), (20.0, (-20.0 + 80.0 + shift / fast, 20.0 - shift / slow))):
        for a, position in zip((fast, slow), positions, strict=True):
            x = position + torch.linspace(-3, 3, 13, dtype=torch.float64)
            u = korteweg_de_vries.solitons(t, x, (fast, slow), (-20.0, 0.0))
            assert float((u - 3 * a**2 / torch.cosh(a * (x - position) / 2) ** 2).abs().max()) < 1e-5


def test_three_solitons_conserve_the_invariants() -> None:
    problem = korteweg_de_vries.one_soliton()
    grid = type(problem.grid())((1024,), (80.0,), origin=(-40.0,))
    (x,) = grid.axes()

    def invariants(t: float, wavenumbers: tuple[float, ...], positions: tuple[float, ...]) -> Tensor:
        return torch.stack(korteweg_de_vries.invariants(korteweg_de_vries.solitons(t, x, wavenumbers, positions)[None], grid))

    values = [invariants(t, (2.0, 1.5, 1.0), (-20.0, -10.0, 0.0)) for t in (0.0, 3.0, 8.0)]
    # soliton by soliton: INT u = 12 A, INT u^2 = 24 A^3, and the third scales with A^5
    assert abs(float(values[0][0]) - 12 * 4.5) < 1e-6 and abs(float(values[0][1]) - 24 * (8 + 3.375 + 1)) < 1e-6
    single = invariants(0.0, (1.0,), (0.0,))
    assert abs(float(values[0][2]) - float(single[2]) * (2**5 + 1.5**5 + 1)) < 1e-6
    assert float((values[1] - values[0]).abs().max()) < 1e-6 and float((values[2] - values[0]).abs().max()) < 1e-6


def test_two_solitons_at_fourth_order_and_with_their_invariants() -> None:
    problem = korteweg_de_vries.two_solitons()
    grid = problem.grid()
    exact = problem.exact_state(grid, problem.horizon)[0]
    errors, last = [], exact
    for n in (4000, 8000):
        last = march(problem, problem.horizon / n, problem.horizon)[-1]
        errors.append(float((last - exact).norm() / exact.norm()))
    assert math.log2(errors[0] / errors[1]) > 3.9 and errors[1] < 1e-6
    before, after = (torch.stack(korteweg_de_vries.invariants(u[None], grid)) for u in (problem.initial_state(grid)[0], last))
    assert float(((after - before) / before).abs().max()) < 1e-6


def test_the_two_soliton_case_is_the_published_superposition_at_the_start() -> None:
    """Kassam & Trefethen start from 3 A^2 sech^2(A (x + 2) / 2) + 3 B^2 sech^2(B (x + 1) / 2)."""
    problem = korteweg_de_vries.two_solitons()
    (x,) = problem.grid().axes()
    sum_of_two = 3 * 625 / torch.cosh(12.5 * (x + 2)) ** 2 + 3 * 256 / torch.cosh(8 * (x + 1)) ** 2
    u = problem.initial_state(problem.grid())[0]
    assert float((u - sum_of_two).norm() / sum_of_two.norm()) < 1e-4


@needs("raissi_KdV.mat")
def test_raissi_korteweg_de_vries_file() -> None:
    truth = torch.as_tensor(loadmat(DATA / "raissi_KdV.mat")["uu"]).T
    ours = march(korteweg_de_vries.raissi2019(), 1e-4, 1.0, every=0.005)
    assert ours.shape == truth.shape and float((ours - truth).norm() / truth.norm()) < 1e-10


def test_korteweg_de_vries_burgers_reduces_to_its_limits() -> None:
    problem = korteweg_de_vries.mixed()
    grid = problem.grid(64)
    u = problem.initial_state(grid)
    for mixture, limit in (
        (korteweg_de_vries.KortewegDeVriesBurgers(0.0, 0.02), korteweg_de_vries.KortewegDeVries(0.02)),
        (korteweg_de_vries.KortewegDeVriesBurgers(0.02, 0.0), burgers.Burgers(0.02)),
    ):
        assert float((ETDRK4(mixture, grid, 0.01)(u) - ETDRK4(limit, grid, 0.01)(u)).abs().max()) < 1e-14


def test_bad_solitons_are_refused() -> None:
    x = torch.zeros(3, dtype=torch.float64)
    bad = (((1.0, 1.0), (0.0, 1.0), 1.0), ((1.0,), (0.0, 1.0), 1.0), ((-1.0,), (0.0,), 1.0), ((1.0,), (0.0,), 0.0))
    for wavenumbers, positions, dispersion in bad:
        with pytest.raises(InputError, match="distinct positive wavenumbers"):
            korteweg_de_vries.solitons(0.0, x, wavenumbers, positions, dispersion)


# -- Allen-Cahn --------------------------------------------------------------------------------------------------------


@needs("raissi_AC.mat")
def test_raissi_allen_cahn_file() -> None:
    truth = torch.as_tensor(loadmat(DATA / "raissi_AC.mat")["uu"]).T
    ours = march(allen_cahn.raissi2019(), 5e-4, 1.0, every=0.005)
    assert ours.shape == truth.shape and float((ours - truth).norm() / truth.norm()) < 1e-9


# -- settings of the published cases -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "coefficients", "length", "horizon"),
    [
        ("burgers:raissi2019", {"viscosity": 0.01 / math.pi}, 2.0, 1.0),
        ("burgers:kassam2005", {"viscosity": 0.03}, 2 * math.pi, 1.0),
        ("burgers:li2021", {"viscosity": 0.1}, 1.0, 1.0),
        ("korteweg_de_vries:raissi2019", {"dispersion": 0.0025}, 2.0, 1.0),
        ("korteweg_de_vries:zabusky1965", {"dispersion": 0.000484}, 2.0, 3.6 / math.pi),
        ("korteweg_de_vries:one_soliton", {"dispersion": 1.0}, 2 * math.pi, 0.005),
        ("allen_cahn:raissi2019", {"diffusivity": 1e-4, "reaction": 5.0}, 2.0, 1.0),
        ("allen_cahn:front", {"diffusivity": 0.01, "reaction": 1.0}, 6.0, 5.0),
        ("advection:krishnapriyan2021", {"speed": 30.0, "diffusivity": 0.0}, 2 * math.pi, 1.0),
        ("advection:mojgani2023", {"speed": 50.0, "diffusivity": 0.01}, 2 * math.pi, 1.0),
        ("lorenz:sakov2012", {"sigma": 10.0, "rho": 28.0, "beta": 8 / 3}, None, 250.0),
        ("lorenz:sakov2008", {"forcing": 8.0}, 40.0, 50.0),
        ("navier_stokes:li2021", {"viscosity": 1e-3}, 1.0, 50.0),
        ("navier_stokes:kolmogorov", {"viscosity": 1 / 40}, 2 * math.pi, 100.0),
    ],
)
def test_cases_have_their_published_settings(name: str, coefficients: dict[str, float], length: float | None, horizon: float) -> None:
    problem = load_problem(name)
    for coefficient, value in coefficients.items():
        assert getattr(problem.equation, coefficient) == pytest.approx(value, rel=1e-12), coefficient
    assert problem.domain.lengths == pytest.approx((length,) * problem.domain.ndim)
    assert problem.horizon == pytest.approx(horizon, rel=1e-12)


def test_one_dimensional_cases_start_from_their_formulas() -> None:
    for name, formula in (
        ("korteweg_de_vries:zabusky1965", lambda x: torch.cos(math.pi * x)),
        ("korteweg_de_vries:raissi2019", lambda x: torch.cos(math.pi * x)),
        ("korteweg_de_vries:mixed", lambda x: 0.5 + torch.sin(math.pi * x)),
        ("allen_cahn:raissi2019", lambda x: x**2 * torch.cos(math.pi * x)),
        ("burgers:kassam2005", lambda x: torch.exp(-10 * torch.sin(x / 2) ** 2)),
    ):
        problem = load_problem(name)
        grid = problem.grid(50)
        assert torch.equal(problem.initial_state(grid)[0], formula(grid.axes()[0])), name
