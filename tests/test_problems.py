"""Every shipped case: it loads by name, starts where it says, and its exact solution satisfies its equation."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from sciml.core.equation import Equation
from sciml.core.errors import InputError
from sciml.core.loading import load_problem, problem_names
from sciml.core.problem import Problem
from sciml.derivatives.fourier import Fourier
from sciml.derivatives.points import Points
from sciml.problems import advection, allen_cahn, burgers, heat, kuramoto_sivashinsky, navier_stokes
from sciml.solvers.etdrk import ETDRK4
from sciml.spectral.resample import resample

MINE = ("advection", "allen_cahn", "burgers", "heat", "korteweg_de_vries", "kuramoto_sivashinsky", "lorenz", "navier_stokes", "quasi_geostrophic")
NAMES = [name for name in problem_names() if name.split(":")[0] in MINE]


def test_the_catalogue_holds_the_promised_cases() -> None:
    promised = {
        "burgers": ("raissi2019", "raissi2019_dirichlet", "li2021", "kassam2005"),
        "kuramoto_sivashinsky": ("kassam2005", "mojgani2022", "bocquet2019", "cvitanovic2010"),
        "korteweg_de_vries": ("one_soliton", "two_solitons", "raissi2019"),
        "advection": ("krishnapriyan2021",),
        "heat": ("periodic", "dirichlet"),
        "allen_cahn": ("raissi2019", "front"),
        "navier_stokes": ("taylor_green", "li2021", "mcwilliams1984", "kolmogorov"),
        "quasi_geostrophic": ("pyqg_reference", "eddy"),
        "lorenz": ("sakov2012", "sakov2008"),
    }
    assert {f"{module}:{case}" for module, cases in promised.items() for case in cases} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_case_loads_by_name_and_says_where_it_comes_from(name: str) -> None:
    problem = load_problem(name)
    assert problem.name == name and problem.reference and problem.horizon > 0
    assert isinstance(problem.equation, Equation) and problem.equation.latex()
    assert all(score for score in problem.scores.values())


@pytest.mark.parametrize("name", NAMES)
def test_initial_states_fit_the_grid_and_are_reproducible(name: str) -> None:
    problem = load_problem(name)
    grid = problem.grid(tuple(min(n, 48) for n in problem.points) if problem.equation.lattice is False else None)
    first, again = (problem.initial_state(grid, torch.Generator().manual_seed(3), samples=2) for _ in range(2))
    assert first.shape == (2, len(problem.equation.fields), *grid.shape)
    assert torch.isfinite(first).all() and float(first.abs().max()) > 0
    assert torch.equal(first, again)
    single = problem.initial_state(grid.to(dtype=torch.float32), torch.Generator().manual_seed(3))
    assert single.dtype == torch.float32 and torch.allclose(single.double(), first[0], rtol=1e-3, atol=1e-5 * float(first.abs().max()))


RANDOM = (
    "burgers:li2021",
    "kuramoto_sivashinsky:bocquet2019",
    "kuramoto_sivashinsky:cvitanovic2010",
    "navier_stokes:li2021",
    "quasi_geostrophic:eddy",
)


@pytest.mark.parametrize("name", RANDOM)
def test_random_laws_give_one_field_at_every_resolution(name: str) -> None:
    problem = load_problem(name)
    shape = {1: (2400,), 2: (250, 250)}[problem.domain.ndim]
    fine, coarse = problem.grid(shape), problem.grid(tuple(n // 2 for n in shape))
    u, v = (problem.initial_state(grid, torch.Generator().manual_seed(1)) for grid in (fine, coarse))
    scale = float(u.abs().max())
    assert float((resample(u, fine, coarse.shape) - v).abs().max()) < 1e-10 * scale
    w = problem.initial_state(fine, torch.Generator().manual_seed(2))
    assert float((u - w).abs().max()) > 1e-3 * scale


def spread(n: int, *bounds: tuple[float, float]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [low + (high - low) * torch.rand((n, 1), dtype=torch.float64, generator=generator) for low, high in bounds]


def exact_residual(problem: Problem, *bounds: tuple[float, float], inverse_laplacian: Any = None) -> float:
    """Largest residual of the exact solution at random points of (t, x, ...), relative to the largest |u_t|."""
    assert problem.exact is not None and isinstance(problem.equation, Equation)
    t, *x = spread(60, *bounds)
    d, u = Points.of(problem.exact, t, *x, inverse_laplacian=inverse_laplacian)
    residual, scale = (d.values(v).detach().abs().max() for v in (problem.equation.residual(u, d), d.t(u)))
    return float(residual / scale)


@pytest.mark.parametrize(
    ("name", "parameters", "bounds"),
    [
        ("burgers:raissi2019", {}, [(0.02, 0.95), (-1.0, 1.0)]),
        ("burgers:raissi2019", {"viscosity": 0.1}, [(0.02, 5.0), (-3.0, 3.0)]),
        ("burgers:raissi2019_dirichlet", {"viscosity": 2.0}, [(0.02, 0.5), (-1.0, 1.0)]),
        ("burgers:raissi2019", {"viscosity": 1e-3}, [(0.02, 0.25), (-1.0, 1.0)]),
        ("advection:krishnapriyan2021", {"speed": 7.0}, [(0.0, 1.0), (0.0, 6.0)]),
        ("advection:mojgani2023", {}, [(0.0, 1.0), (0.0, 6.0)]),
        ("advection:waves", {"ndim": 1}, [(0.0, 1.0), (0.0, 1.0)]),
        ("advection:waves", {"ndim": 2}, [(0.0, 1.0), (0.0, 1.0), (0.0, 1.0)]),
        ("advection:waves", {"ndim": 3}, [(0.0, 1.0), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0)]),
        ("heat:periodic", {"ndim": 1}, [(0.0, 1.0), (0.0, 1.0)]),
        ("heat:dirichlet", {"ndim": 2}, [(0.0, 1.0), (0.0, 1.0), (0.0, 1.0)]),
        ("heat:periodic", {"ndim": 3}, [(0.0, 1.0), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0)]),
        ("allen_cahn:front", {}, [(0.0, 5.0), (-2.0, 4.0)]),
        ("allen_cahn:front", {"diffusivity": 0.3, "reaction": 2.5}, [(0.0, 1.0), (-2.0, 4.0)]),
        ("korteweg_de_vries:one_soliton", {}, [(0.0, 0.005), (-2.0, 1.0)]),
        ("korteweg_de_vries:two_solitons", {}, [(0.0, 0.006), (-2.2, 2.0)]),
    ],
)
def test_exact_solutions_satisfy_their_equations(name: str, parameters: dict[str, Any], bounds: list[tuple[float, float]]) -> None:
    assert exact_residual(load_problem(name, parameters), *bounds) < 1e-9


@pytest.mark.parametrize("mean_flow", [(0.0, 0.0), (1.0, -0.5)])
def test_taylor_green_vortices_satisfy_the_vorticity_equation(mean_flow: tuple[float, float]) -> None:
    problem = navier_stokes.taylor_green(0.05, mean_flow)
    # Laplacian of psi is -2 psi for these vortices
    assert exact_residual(problem, (0.0, 2.0), (0.0, 6.0), (0.0, 6.0), inverse_laplacian=lambda w, shift: w / -2) < 1e-12


@pytest.mark.parametrize("name", [n for n in NAMES if load_problem(n).exact is not None])
def test_exact_solutions_start_from_the_initial_state(name: str) -> None:
    problem = load_problem(name)
    grid = problem.grid()
    assert float((problem.exact_state(grid, 0.0) - problem.initial_state(grid)).abs().max()) < 1e-12 * float(problem.initial_state(grid).abs().max())


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_linear_problems_are_solved_exactly_in_one_step(ndim: int) -> None:
    for problem in (advection.waves(ndim), heat.periodic(ndim)):
        grid = problem.grid()
        assert isinstance(problem.equation, Equation)
        u = ETDRK4(problem.equation, grid, 0.7)(problem.initial_state(grid))
        assert float((u - problem.exact_state(grid, 0.7)).abs().max()) < 1e-13
    waves = advection.waves(ndim)
    grid = waves.grid()
    assert isinstance(waves.equation, advection.AdvectionDiffusion)
    assert float((waves.equation.evolve(waves.initial_state(grid), grid, 0.7) - waves.exact_state(grid, 0.7)).abs().max()) < 1e-13


def test_boundary_values_are_those_of_the_exact_solution() -> None:
    problem = allen_cahn.front(0.05, 1.5)
    (left, right), time = problem.domain.boundaries[0], 0.8
    assert problem.exact is not None
    for face, x in ((left, -2.0), (right, 4.0)):
        assert abs(face.at(time) - float(problem.exact(time, torch.tensor(x, dtype=torch.float64)))) < 1e-14
    for case in (burgers.raissi2019_dirichlet(), heat.dirichlet()):
        assert case.exact is not None
        faces = torch.tensor([case.domain.lower[0], case.domain.upper[0]], dtype=torch.float64)
        assert case.domain.boundaries[0][0].at(0.3) == case.domain.boundaries[0][1].at(0.3) == 0.0
        assert float(case.exact(0.3, faces).abs().max()) < 1e-12


def test_the_resting_front_of_allen_cahn_rests() -> None:
    equation = allen_cahn.AllenCahn(0.02, 3.0)
    (x,) = spread(50, (-1.0, 1.0))
    d, u = Points.of(lambda t, x: allen_cahn.steady_front(x, 0.02, 3.0), 0.0, x)
    assert float(d.values(equation.rhs(u, d)).detach().abs().max()) < 1e-12
    assert float(d.values(equation.linear(u, d)).detach().abs().max()) > 0.1


def test_coefficients_may_differ_per_sample_and_be_learned() -> None:
    nu = torch.tensor([0.1, 0.3], dtype=torch.float64)
    problem = burgers.li2021()
    grid = problem.grid(64)
    u = problem.initial_state(grid, samples=2)
    batch = ETDRK4(burgers.Burgers(nu), grid, 0.01)(u)
    single = torch.stack([ETDRK4(burgers.Burgers(float(n)), grid, 0.01)(v) for n, v in zip(nu, u, strict=True)])
    assert float((batch - single).abs().max()) < 1e-14
    parameter = torch.nn.Parameter(torch.tensor(0.1, dtype=torch.float64))
    case = burgers.raissi2019(parameter)
    d = Fourier(case.grid(64))
    equation = case.equation
    assert isinstance(equation, Equation)
    equation.rhs(case.initial_state(case.grid(64)), d).square().mean().backward()
    assert parameter.grad is not None and float(parameter.grad) != 0
    assert equation.trainable and not burgers.raissi2019().equation.trainable


def test_inviscid_burgers_has_no_diffusion_and_burgers_takes_several_axes() -> None:
    inviscid = burgers.Burgers(0.0)
    grid = burgers.kassam2005().grid(32)
    d = Fourier(grid)
    assert inviscid.linear(d.field(torch.zeros(1, 32, dtype=torch.float64)), d) is None
    plane = heat.periodic(2).grid(16)
    x, y = plane.points()
    u = torch.sin(2 * math.pi * (x + y))[None]
    d = Fourier(plane)
    rhs = burgers.Burgers(0.5, ndim=2).rhs(u, d)
    expected = -2 * u * 2 * math.pi * torch.cos(2 * math.pi * (x + y)) - 0.5 * 2 * (2 * math.pi) ** 2 * u
    assert float((rhs - expected).abs().max()) < 1e-11
    assert burgers.Burgers(0.5, ndim=2).velocity(u) == (u, u) and burgers.Burgers(0.5).velocity(u) is u


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(InputError, match="must not be negative"):
        burgers.Burgers(-0.1)
    with pytest.raises(InputError, match="must not be negative"):
        burgers.Burgers(torch.tensor([0.1, -0.1]))
    with pytest.raises(InputError, match="must not be negative"):
        heat.Heat(-1.0)
    with pytest.raises(InputError, match="viscosity must be positive"):
        burgers.cole_hopf(0.1, torch.zeros(2, dtype=torch.float64), 0.0)
    with pytest.raises(InputError, match="choose 1, 2 or 3"):
        heat.periodic(4)
    with pytest.raises(InputError, match="choose 1, 2 or 3"):
        advection.waves(0)
    with pytest.raises(InputError, match="give one per axis"):
        advection.AdvectionDiffusion((1.0, 2.0)).symbol(heat.periodic(1).grid())
    with pytest.raises(InputError, match="choose 1 to 12"):
        kuramoto_sivashinsky.mojgani2022(13)
    with pytest.raises(InputError, match="unknown parameter"):
        load_problem("burgers:raissi2019", {"viscocity": 0.1})
