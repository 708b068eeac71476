"""The generalised porous medium equation: exact solutions, fronts, mass, positivity, convergence, gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import sciml
from sciml.core.domain import Boundary, Dirichlet, Domain, Neumann, Periodic
from sciml.core.errors import InputError
from sciml.core.problem import Problem
from sciml.core.rollout import rollout
from sciml.problems import porous_medium as pm
from sciml.solvers.finite_volume import FiniteVolumeStepper

F64 = torch.float64


def march(problem: Problem, points: int, steps: int, end: float, **settings: object) -> tuple[Tensor, FiniteVolumeStepper]:
    """All states from 0 to ``end``."""
    step = FiniteVolumeStepper(problem.equation, problem.grid(points), end / steps, boundaries=problem.domain.boundaries, **settings)
    with torch.no_grad():
        return rollout(step, problem.initial_state(step.grid), steps), step


def mean_error(problem: Problem, points: int, steps: int, end: float, **settings: object) -> float:
    states, step = march(problem, points, steps, end, **settings)
    return float((states[-1] - problem.exact_state(step.grid, end)).abs().sum() * step.grid.cell_volume)


# -- exact solutions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", [pm.heat(2.0), pm.pme(1.0), pm.pme(2.5), pm.stefan(0.6), pm.barenblatt1d(3.0)], ids=lambda p: p.name)
def test_exact_solutions_solve_their_equation(problem: Problem) -> None:
    """u_t = (k(u) u_x)_x by automatic differentiation, at points behind the front."""
    t = torch.tensor(0.06, dtype=F64, requires_grad=True)
    x = torch.linspace(0.005, 0.05, 7, dtype=F64).requires_grad_()
    if problem.name.endswith("stefan"):
        law = problem.equation
        u = 1 - law._c1 * torch.erf(x / (2 * torch.sqrt(t)))
        assert torch.equal(problem.exact(0.06, x), u)
    else:
        u = problem.exact(t, x)
    k = problem.equation.diffusivity(u)
    (u_x,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (right,) = torch.autograd.grad((k * u_x).sum(), x, retain_graph=True)
    left = torch.stack([torch.autograd.grad(value, t, retain_graph=True)[0] for value in u])
    torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-12)


def test_two_dimensional_barenblatt_solves_its_equation() -> None:
    problem = pm.barenblatt2d(3.0)
    t = torch.tensor(0.4, dtype=F64, requires_grad=True)
    x, y = (torch.rand(5, dtype=F64, generator=torch.Generator().manual_seed(s)).requires_grad_() for s in (0, 1))
    u = problem.exact(t, x, y)
    power = u**3
    gradients = [torch.autograd.grad(power.sum(), c, create_graph=True)[0] for c in (x, y)]
    right = sum(torch.autograd.grad(g.sum(), c, retain_graph=True)[0] for g, c in zip(gradients, (x, y), strict=True))
    left = torch.stack([torch.autograd.grad(value, t, retain_graph=True)[0] for value in u])
    torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-12)


def test_published_constants() -> None:
    for threshold, z1 in ((0.55, 0.5721482), (0.6, 0.5256698), (0.7, 0.4343554)):
        assert pm.Stefan(threshold).front(0.25) == pytest.approx(z1, abs=5e-8)
    stefan = pm.Stefan(0.6)
    assert float(stefan.exact(0.05, torch.tensor(stefan.front(0.05) - 1e-12, dtype=F64))) == pytest.approx(0.6, abs=1e-10)
    assert stefan.front(0.05) == pytest.approx(0.2350867, abs=5e-8)
    assert stefan.mass(0.05) == pytest.approx(0.1859462, abs=5e-8)
    assert pm.PorousMedium(1.0).mass(0.5) == pytest.approx(0.125)
    assert pm.PorousMedium(3.0).mass(0.5) == pytest.approx(0.4292678, abs=5e-8)
    for (m, d), mass in {(2, 1): 4.618802, (3, 1): 5.441398, (2, 2): 8 * math.pi, (3, 2): 12 * math.pi}.items():
        assert pm.Barenblatt(m, d).mass() == pytest.approx(mass, abs=5e-7)
    assert (pm.Barenblatt(3, 2).a, pm.Barenblatt(3, 2).b, pm.Barenblatt(3, 2).k) == pytest.approx((1 / 3, 1 / 6, 1 / 18))


@pytest.mark.parametrize(
    ("problem", "mass", "front"),
    [
        (pm.pme(2.0), pm.PorousMedium(2.0).mass(0.3), pm.PorousMedium(2.0).front(0.3)),
        (pm.stefan(0.7), pm.Stefan(0.7).mass(0.05), pm.Stefan(0.7).front(0.05)),
        (pm.barenblatt1d(2.0), pm.Barenblatt(2.0, 1).mass(), pm.Barenblatt(2.0, 1).front(0.3)),
        (pm.barenblatt2d(2.0), pm.Barenblatt(2.0, 2).mass(), pm.Barenblatt(2.0, 2).front(0.3)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_mass_and_front_are_those_of_the_exact_solution(problem: Problem, mass: float, front: float) -> None:
    grid = problem.grid(2000 if problem.domain.ndim == 1 else 400)
    time = 0.05 if problem.name.endswith("stefan") else 0.3
    u = problem.exact_state(grid, time)[0]
    assert float(u.sum()) * grid.cell_volume == pytest.approx(mass, rel=2e-3)
    radius = torch.stack([c**2 for c in grid.points()]).sum(0).sqrt()
    assert float(radius[u > 0].max()) == pytest.approx(front, abs=2 * grid.spacing[0])


# -- convergence --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0])
def test_fronts_of_the_porous_medium(exponent: float) -> None:
    coarse, fine = (mean_error(pm.pme(exponent), n, n, 0.5) for n in (40, 80))
    assert fine < 2e-4 * exponent
    assert math.log2(coarse / fine) > 1.3


def test_fronts_by_backward_euler() -> None:
    coarse, fine = (mean_error(pm.pme(2.0), n, n, 0.5, implicit_order=1) for n in (40, 80))
    assert math.log2(coarse / fine) == pytest.approx(1, abs=0.07)


@pytest.mark.parametrize("exponent", [2.0, 3.0])
def test_barenblatt(exponent: float) -> None:
    line = [mean_error(pm.barenblatt1d(exponent), n, n // 4, 1.0) / pm.Barenblatt(exponent, 1).mass() for n in (50, 200)]
    assert line[1] < 5e-4
    assert math.log2(line[0] / line[1]) / 2 > 1.5
    plane = [mean_error(pm.barenblatt2d(exponent), n, n // 2, 1.0) / pm.Barenblatt(exponent, 2).mass() for n in (24, 48)]
    assert plane[1] < 1e-2
    assert math.log2(plane[0] / plane[1]) > 1.2


def test_explicit_steps_converge_to_the_same_front() -> None:
    implicit, explicit = mean_error(pm.pme(1.0), 40, 40, 0.5), mean_error(pm.pme(1.0), 40, 1600, 0.5, implicit=False)
    assert implicit < 3e-4
    assert explicit < 3e-4


def test_two_dimensional_spreading_is_symmetric() -> None:
    states, _ = march(pm.barenblatt2d(2.0), 32, 16, 1.0)
    u = states[-1, 0]
    torch.testing.assert_close(u, u.flip(0), rtol=0, atol=1e-12)
    torch.testing.assert_close(u, u.flip(1), rtol=0, atol=1e-12)
    assert float((u - u.T).abs().max() / u.max()) < 0.005  # x before y: the splitting error


@pytest.mark.parametrize("threshold", [0.55, 0.6, 0.7])
@pytest.mark.parametrize("implicit", [True, False])
def test_stefan_front_within_one_cell(threshold: float, implicit: bool) -> None:
    problem, points, end = pm.stefan(threshold), 100 if implicit else 50, 0.05
    law = problem.equation
    states, step = march(problem, points, 50 if implicit else 500, end, implicit=implicit)
    u, h = states[-1, 0], 1 / points
    # where a sharp jump to threshold / 2 and below lies
    assert abs(float((u > threshold / 2).sum()) * h - law.front(end)) < h
    assert float(u.sum()) * h == pytest.approx(law.mass(end), rel=3e-3)
    assert float((u - problem.exact_state(step.grid, end)[0]).abs().sum()) * h < 0.75 * h
    assert (torch.diff(u) <= 1e-12).all()  # monotone: no oscillation behind the jump


def test_face_means_at_a_jump_of_the_coefficient() -> None:
    """The harmonic mean locks the front; the arithmetic mean moves it, less accurately than the potential does."""
    problem, end = pm.stefan(0.6), 0.05
    locked, _ = march(problem, 50, 500, end, implicit=False, face_mean="harmonic")
    assert int((locked[-1, 0] > 0.3).sum()) <= 1
    errors = {
        mean: abs(float(march(problem, 50, 500, end, implicit=False, face_mean=mean)[0][-1].sum()) / 50 - problem.equation.mass(end))
        for mean in ("arithmetic", "integral")
    }
    assert errors["arithmetic"] < 0.01
    assert errors["integral"] < 0.1 * errors["arithmetic"]


# -- invariants ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"face_mean": "arithmetic"}, {"implicit_order": 1}], ids=str)
@pytest.mark.parametrize("case", [pm.barenblatt1d(2.0), pm.barenblatt1d(3.0), pm.barenblatt2d(3.0)], ids=lambda p: p.name)
def test_mass_is_conserved_and_nothing_is_negative(case: Problem, settings: dict[str, object]) -> None:
    points, steps = (150, 60) if case.domain.ndim == 1 else (32, 16)
    states, _ = march(case, points, steps, 1.0, **settings)
    mass = states.sum(tuple(range(1, states.ndim)))
    assert float((mass / mass[0] - 1).abs().max()) < 1e-13
    assert float(states.min()) >= 0
    assert float(states.max()) <= float(states[0].max())


def test_initial_states_hold_the_exact_mass() -> None:
    for problem, mass in ((pm.barenblatt1d(3.0), pm.Barenblatt(3.0, 1).mass()), (pm.barenblatt2d(2.0), pm.Barenblatt(2.0, 2).mass())):
        grid = problem.grid(50)
        assert float(problem.initial_state(grid).sum()) * grid.cell_volume == pytest.approx(mass, rel=1e-3)


@pytest.mark.parametrize("exponent", [1.0, 3.0, 6.0])
def test_mass_balance_with_inflow(exponent: float) -> None:
    """What is inside is what came in through x = 0: (Phi(g) - Phi(u_0)) / (h / 2) per unit time, g the prescribed value."""
    problem, points, steps, end = pm.pme(exponent), 100, 100, 0.5
    states, step = march(problem, points, steps, end, implicit_order=1)
    g = torch.tensor([problem.domain.boundaries[0][0].at((n + 1) * step.dt) for n in range(steps)], dtype=F64)
    first = states[1:, 0, 0]
    inflow = step.dt * (g ** (exponent + 1) - first ** (exponent + 1)) / (exponent + 1) / (0.5 / points)
    assert float(states[-1].sum()) / points == pytest.approx(float(inflow.sum()), rel=1e-12 if exponent < 6 else 1e-11)
    assert float(states.min()) >= 0
    assert float(states[-1].sum()) / points == pytest.approx(problem.equation.mass(end), rel=0.02)


@pytest.mark.parametrize("problem", [pm.pme(3.0), pm.stefan(0.6)], ids=lambda p: p.name)
@pytest.mark.parametrize("dt", [0.001, 0.1, 1.0])
def test_steps_of_any_size_solve_the_implicit_equation(problem: Problem, dt: float) -> None:
    """v - dt Phi(v)_xx = 0 with Phi(v) prescribed at x = 0, from the empty state; v is bounded by the walls and monotone."""
    n = 200
    step = FiniteVolumeStepper(problem.equation, problem.grid(n), dt, boundaries=problem.domain.boundaries, implicit_order=1)
    v = step(problem.initial_state(step.grid))
    g = torch.full((1, 1), problem.domain.boundaries[0][0].at(dt), dtype=F64)
    assert 0 <= float(v.min()) <= float(v.max()) <= float(g)
    assert (torch.diff(v) <= 0).all()
    phi = problem.equation.potential(torch.cat([g, v, torch.zeros_like(g)], -1))
    flux = torch.diff(phi) * n
    flux[:, [0, -1]] *= 2
    # digits of v, lost to rounding in proportion to dt / h^2, are multiplied by dt / h^2 here
    assert float((v - dt * n * torch.diff(flux)).abs().max()) < 1e-10 + 1e-13 * (dt * n * n) ** 2


def test_front_and_mass_of_other_point_sources() -> None:
    """Scaling by C: radius ~ C^(1/2), mass ~ C^(p + d/2); and the mass by quadrature."""
    for m, d in ((2.0, 1), (3.0, 1), (1.5, 2)):
        source = pm.Barenblatt(m, d, start=0.5, constant=2.0)
        radius = source.front(0.7)
        r = radius * (torch.arange(200000, dtype=F64) + 0.5) / 200000
        shell = 2.0 if d == 1 else 2 * math.pi * r
        assert float((shell * source.exact(0.7, r)).sum()) * radius / 200000 == pytest.approx(source.mass(), rel=1e-6)
        inside, outside = (source.exact(0.7, torch.tensor(radius * f, dtype=F64)) for f in (0.999, 1.001))
        assert float(inside) > 0 == float(outside)


def test_an_inflow_through_a_neumann_wall_tends_to_its_steady_profile() -> None:
    """u = sqrt(1 + x) carries the flux u u_x = 1/2; steps far beyond every time scale must find it."""
    domain = Domain.box(0.0, 1.0, Neumann(0.5), Dirichlet(math.sqrt(2.0)))
    errors = []
    for n in (20, 40):
        grid = domain.grid(n)
        step = FiniteVolumeStepper(pm.PorousMedium(1.0), grid, 5.0, boundaries=domain.boundaries)
        u = rollout(step, torch.full((1, n), 1.2, dtype=F64), 20, every=20)[-1, 0]
        errors.append(float((u - torch.sqrt(1 + grid.points()[0])).abs().max()))
    assert errors[1] < 1e-4 and errors[0] / errors[1] > 3


def test_the_limit_of_small_exponents_is_heat() -> None:
    domain = Domain.box(0.0, 1.0, Neumann(0.0))
    grid = domain.grid(40)
    u = (1 + 0.5 * torch.cos(math.pi * grid.points()[0])).unsqueeze(0)
    results = [FiniteVolumeStepper(law, grid, 0.05, boundaries=domain.boundaries, implicit=True)(u) for law in (pm.PorousMedium(1e-9), pm.Heat(1.0))]
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-8)


def test_exponent_per_sample() -> None:
    domain = Domain.box(0.0, 1.0, Neumann(0.0))
    grid = domain.grid(30)
    u = torch.exp(-50 * (grid.points()[0] - 0.4) ** 2).expand(2, 1, 30)
    exponents = torch.tensor([1.0, 2.5], dtype=F64)
    together = FiniteVolumeStepper(pm.PorousMedium(exponents), grid, 0.02, boundaries=domain.boundaries)(u)
    for i in range(2):
        alone = FiniteVolumeStepper(pm.PorousMedium(float(exponents[i])), grid, 0.02, boundaries=domain.boundaries)(u[i])
        torch.testing.assert_close(together[i], alone, rtol=0, atol=1e-11)


def test_wall_values_per_sample() -> None:
    domain = Domain.box(0.0, 1.0, Dirichlet(lambda t: torch.tensor([0.5, 1.0], dtype=F64)), Neumann(0.0))
    grid = domain.grid(20)
    together = FiniteVolumeStepper(pm.PorousMedium(2.0), grid, 0.1, boundaries=domain.boundaries)(torch.zeros(2, 1, 20, dtype=F64))
    for i, value in enumerate((0.5, 1.0)):
        single = Domain.box(0.0, 1.0, Dirichlet(value), Neumann(0.0))
        alone = FiniteVolumeStepper(pm.PorousMedium(2.0), grid, 0.1, boundaries=single.boundaries)(torch.zeros(1, 20, dtype=F64))
        torch.testing.assert_close(together[i], alone, rtol=0, atol=1e-11)


@pytest.mark.parametrize("face_mean", ["integral", "arithmetic"])
@pytest.mark.parametrize("wall", [Neumann(0.0), Neumann(0.3), Dirichlet(1.5), Periodic()])
def test_gradients_through_the_implicit_solve(face_mean: str, wall: Boundary) -> None:
    domain = Domain.box(0.0, 1.0, wall, wall if isinstance(wall, Periodic) else Neumann(0.0))
    grid = domain.grid(5)
    u = (0.3 + torch.rand(1, 5, dtype=F64, generator=torch.Generator().manual_seed(0))).requires_grad_()
    m = torch.tensor(1.7, dtype=F64, requires_grad=True)

    def advance(v: Tensor, exponent: Tensor) -> Tensor:
        return FiniteVolumeStepper(pm.PorousMedium(exponent), grid, 0.1, boundaries=domain.boundaries, face_mean=face_mean)(v)

    assert torch.autograd.gradcheck(advance, (u, m), atol=1e-6)
    direction = torch.linspace(-1, 1, 5, dtype=F64).unsqueeze(0)
    tangent = torch.func.jvp(lambda v: advance(v, m), (u,), (direction,))[1]
    reverse = torch.autograd.functional.jvp(lambda v: advance(v, m), u, direction)[1]
    torch.testing.assert_close(tangent, reverse, rtol=1e-6, atol=1e-8)


# -- cases --------------------------------------------------------------------------------------------------------


def test_cases_load_with_their_scores() -> None:
    assert sciml.load_problem("porous_medium:pme", {"exponent": 1.0}).scores["ProbConserv-ANP"] == {
        "mass_error_1e3": 0.0,
        "log_likelihood": 3.564,
        "mse_1e4": 0.27,
    }
    assert sciml.load_problem("porous_medium:pme").scores["ANP"]["mse_1e4"] == 2.01
    assert sciml.load_problem("porous_medium:stefan").scores["ANP"]["mass_error_1e3"] == -12.90
    assert pm.pme(2.0).scores == {}
    assert "arXiv:2302.11002" in pm.heat().reference


def test_solve_picks_finite_volumes() -> None:
    problem = pm.pme(2.0)
    result = sciml.solve(problem, points=50, dt=0.01, end=0.5, times=5)
    assert result.attrs["method"] == "finite_volume"
    grid = problem.grid(50)
    exact = problem.exact_state(grid, 0.5)[0]
    assert float((torch.as_tensor(result["u"].values[-1]) - exact).abs().mean()) < 4e-3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: pm.Stefan(1.2), "between"),
        (lambda: pm.PorousMedium(0.0), "positive"),
        (lambda: pm.PorousMedium(torch.tensor([1.0, -1.0])), "positive"),
        (lambda: pm.Barenblatt(1.0, 1), "m > 1"),
        (lambda: pm.Barenblatt(2.0, 1, start=0.0), "start must be positive"),
    ],
)
def test_bad_parameters(make, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()
