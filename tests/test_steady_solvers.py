"""Steady solvers: transforms, operators, orders, iterations and gradients, against independent solutions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.sparse
import scipy.sparse.linalg
import torch
from steady_cases import F64, D, Given, N, P, numbers
from torch import Tensor

import sciml
from sciml.core.domain import Boundary, Dirichlet, Domain, Neumann, Periodic
from sciml.core.problem import Problem, Profile
from sciml.core.steady import SteadyEquation
from sciml.derivatives.finite_volume import FiniteVolume
from sciml.derivatives.points import Points
from sciml.io.dataset import to_tensor
from sciml.problems import darcy, poisson
from sciml.solvers.cell_operator import CellOperator
from sciml.solvers.diffusion_operator import is_smooth
from sciml.solvers.mode_operator import ModeOperator
from sciml.solvers.steady import STEADY, solve_steady
from sciml.spectral import sine
from sciml.spectral.modes import Modes

PAIRS: list[tuple[Boundary, Boundary]] = [(D, D), (N, N), (D, N), (N, D), (P, P)]


# -- transforms ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 8, 13, 30])
def test_transforms_are_the_orthonormal_ones_of_scipy(n: int) -> None:
    u = numbers(3, n)
    for ours, back, theirs, kind in (
        (sine.cosine, sine.cosine_inverse, scipy.fft.dct, 2),
        (sine.sine, sine.sine_inverse, scipy.fft.dst, 2),
        (sine.quarter_cosine, sine.quarter_cosine, scipy.fft.dct, 4),
        (sine.quarter_sine, sine.quarter_sine, scipy.fft.dst, 4),
    ):
        expected = theirs(u.numpy(), type=kind, norm="ortho")
        assert np.abs(ours(u).numpy() - expected).max() < 1e-13
        assert float((back(ours(u)) - u).abs().max()) < 1e-13
        single = ours(u.float())
        assert single.dtype == torch.float32 and np.abs(single.numpy() - expected).max() < 2e-6
    j = torch.arange(n, dtype=F64)
    angle = 2 * math.pi * j[:, None] * j / n
    assert float((sine.hartley(u) - u @ (torch.cos(angle) + torch.sin(angle)) / math.sqrt(n)).abs().max()) < 1e-12
    assert float((sine.hartley(sine.hartley(u)) - u).abs().max()) < 1e-13


@pytest.mark.parametrize("faces", PAIRS, ids=lambda f: "-".join(type(b).__name__ for b in f))
@pytest.mark.parametrize("n", [12, 13])
def test_modes_meet_the_walls_and_differentiate(faces: tuple[Boundary, Boundary], n: int) -> None:
    domain = Domain((0.5,), (2.5,), (faces,))
    grid = domain.grid(n)
    modes, x, line = Modes(grid, domain.boundaries), grid.axes()[0] - 0.5, torch.eye(n, dtype=F64)
    k = {(D, D): 1.5, (N, N): 1.5, (D, N): 1.25, (N, D): 1.25, (P, P): 2.0}[faces] * math.pi
    even = isinstance(faces[0], Neumann)
    u, slope = (torch.cos(k * x), -k * torch.sin(k * x)) if even else (torch.sin(k * x), k * torch.cos(k * x))
    c = modes.forward(u)
    assert float((modes.inverse(c) - u).abs().max()) < 1e-13
    assert float((modes.derivative(c, 0) - slope).abs().max()) < 1e-11
    # minus the second derivative is k^2 u, by the transpose and by the eigenvalues alike
    assert float((modes.inverse(modes.adjoint(slope, 0)) - k**2 * u).abs().max()) < 1e-10
    assert float((modes.inverse(modes.squared_wavenumbers() * c) - k**2 * u).abs().max()) < 1e-10
    assert float((modes.derivative(line, 0) - modes.adjoint(line, 0).T).abs().max()) < 1e-10
    assert modes.singular == (faces in ((N, N), (P, P)))


def test_difference_eigenvalues_are_those_of_the_cell_operator() -> None:
    domain = Domain((0.0, 0.0, 1.0), (1.0, 2.0, 4.0), ((D, N), (P, P), (N, N)))
    grid = domain.grid((5, 6, 7))
    modes = Modes(grid, domain.boundaries)
    operator = CellOperator(FiniteVolume(grid, domain.boundaries, face_mean="harmonic"), 1.0)
    u = numbers(1, 5, 6, 7)
    assert float((operator.apply(u) - modes.inverse(modes.difference_eigenvalues() * modes.forward(u))).abs().max()) < 1e-11


# -- the finite-volume matrix, assembled independently -------------------------------------------------------------------


def assembled(a: np.ndarray, domain: Domain, f: np.ndarray) -> tuple[Any, np.ndarray]:
    """Matrix and right-hand side of two-point fluxes with harmonic means, cell by cell."""
    shape, rhs = a.shape, f.astype(float).ravel().copy()
    index = np.arange(a.size).reshape(shape)
    rows, columns, entries = [], [], []
    for axis in range(a.ndim):
        h = domain.lengths[axis] / shape[axis]
        for cell in np.ndindex(*shape):
            i = index[cell]
            for side in (0, 1):
                there = list(cell)
                there[axis] += 2 * side - 1
                face = domain.boundaries[axis][side]
                if 0 <= there[axis] < shape[axis] or isinstance(face, Periodic):
                    there[axis] %= shape[axis]
                    j = index[tuple(there)]
                    link = 2 / (1 / a[cell] + 1 / a[tuple(there)]) / h**2
                    rows += [i, i]
                    columns += [i, j]
                    entries += [link, -link]
                elif isinstance(face, Dirichlet):
                    rows.append(i)
                    columns.append(i)
                    entries.append(2 * a[cell] / h**2)
                    rhs[i] += 2 * a[cell] / h**2 * float(face.at(0.0))
                else:
                    rhs[i] += (1 if side else -1) * a[cell] * float(face.at(0.0)) / h
    return scipy.sparse.csr_matrix((entries, (rows, columns)), shape=(a.size, a.size)), rhs


MIXED = [
    Domain.box(0.0, 2.0, Dirichlet(0.7), Neumann(-1.3)),
    Domain.box((0.0, -1.0), (1.0, 2.0), Dirichlet(1.0), Dirichlet(-2.0), Neumann(0.5), Dirichlet(0.3)),
    Domain((0.0, 0.0), (1.0, 3.0), ((P, P), (Neumann(2.0), Dirichlet(0.1)))),
    Domain((0.0, 0.0, 0.0), (1.0, 1.0, 2.0), ((D, Dirichlet(2.0)), (P, P), (Neumann(0.3), Neumann(-0.2)))),
]


@pytest.mark.parametrize("domain", MIXED, ids=["1d", "2d", "periodic-neumann", "3d"])
@pytest.mark.parametrize("rough", [False, True])
def test_finite_volumes_equal_a_direct_solve(domain: Domain, rough: bool) -> None:
    shape = {1: (23,), 2: (12, 9), 3: (6, 5, 7)}[domain.ndim]
    grid = domain.grid(shape)
    a, f = numbers(2, 1, *shape, low=0.05, high=1.0), numbers(2, 1, *shape, seed=1)
    if not rough:
        a = torch.exp(0.3 * torch.sin(sum(grid.points()) + torch.tensor([0.0, 1.0], dtype=F64).view(2, 1, *(1,) * domain.ndim)))
    u, convergence = solve_steady(Given(a, f, domain.ndim), grid, domain.boundaries)
    for i in range(2):
        matrix, rhs = assembled(a[i, 0].numpy(), domain, f[i, 0].numpy())
        expected = scipy.sparse.linalg.spsolve(matrix.tocsc(), rhs)
        assert np.abs(u[i, 0].numpy().ravel() - expected).max() < 1e-8 * np.abs(expected).max()
        assert np.linalg.norm(matrix @ u[i, 0].numpy().ravel() - rhs) < 3e-10 * np.linalg.norm(rhs)
    assert float(convergence.residual.max()) < 3e-10 and convergence.residual.shape == (2,)


def test_the_solution_leaves_no_residual_on_the_engine() -> None:
    """The solver and the equation on the finite-volume engine are one discretisation, walls included."""
    domain = MIXED[1]
    grid = domain.grid((10, 14))
    equation = Given(numbers(1, 10, 14, low=0.2, high=2.0), numbers(1, 10, 14, seed=2), 2)
    u, _ = solve_steady(equation, grid, domain.boundaries, tolerance=1e-13)
    engine = FiniteVolume(grid, domain.boundaries, face_mean="harmonic")
    assert float(equation.residual(u, engine).abs().max()) < 1e-9 * 14**2
    # the wall takes the cell's coefficient, not the boundary value of the unknown
    assert torch.equal(equation.given("a", engine).trace(0, 0), equation.a[:, :1])


def test_outflow_through_the_walls_equals_the_source() -> None:
    problem = darcy.li2021()
    grid = problem.grid(40)
    a = problem.initial_state(grid)
    u, _ = solve_steady(problem.equation.with_inputs(a), grid, problem.domain.boundaries)
    h, out = 1 / 40, 0.0
    for dim in (1, 2):
        for side in (0, 39):
            out += float((a.select(dim, side) * u.select(dim, side) / (h / 2)).sum()) * h
    assert abs(out - 1.0) < 1e-9
    assert float(u.min()) > 0  # maximum principle


def test_solutions_between_walls_keep_their_bounds() -> None:
    domain = Domain.box((0.0, 0.0), (1.0, 1.0), Dirichlet(-1.0), Dirichlet(2.0), Neumann(0.0), Neumann(0.0))
    u, _ = solve_steady(Given(numbers(1, 16, 16, low=0.01, high=10.0), 0.0, 2), domain.grid(16), domain.boundaries)
    assert -1.0 < float(u.min()) < float(u.max()) < 2.0


@pytest.mark.parametrize("kind", [CellOperator, ModeOperator])
def test_operators_and_preconditioners_are_symmetric_and_positive(kind: Any) -> None:
    domain = Domain((0.0, 0.0), (1.0, 2.0), ((D, D), (P, P)))
    grid = domain.grid((6, 8))
    for a in (numbers(1, 6, 8, low=0.1, high=1.0), torch.exp(0.2 * torch.cos(math.pi * grid.points()[1]))[None]):
        engine = FiniteVolume(grid, domain.boundaries, face_mean="harmonic")
        operator = CellOperator(engine, engine.sampled("a", a)) if kind is CellOperator else ModeOperator(grid, domain.boundaries, a)
        line = torch.eye(48, dtype=F64).view(48, 1, 6, 8)
        for matrix in (operator.apply(line).reshape(48, 48), operator.precondition(line).reshape(48, 48)):
            assert float((matrix - matrix.T).abs().max()) < 1e-12 * float(matrix.abs().max())
            assert float(torch.linalg.eigvalsh(matrix).min()) > 1e-6 * float(torch.linalg.eigvalsh(matrix).max())


# -- exact solutions and orders --------------------------------------------------------------------------------------------


def error(problem: Problem, points: int, method: str, dtype: torch.dtype = F64) -> float:
    ds = sciml.solve(problem, points=points, method=method, dtype=dtype)
    exact = problem.exact_state(problem.grid(points), 0.0)
    return float((to_tensor(ds).double() - exact).norm() / exact.norm())


CASES = [(m, ndim) for m in ("poisson:periodic", "poisson:dirichlet", "poisson:neumann", "darcy:periodic") for ndim in (1, 2, 3)]


@pytest.mark.parametrize(("name", "ndim"), CASES)
def test_orders_are_two_and_spectral(name: str, ndim: int) -> None:
    problem = sciml.load_problem(name, {"ndim": ndim})
    coarse, fine = {1: (32, 64), 2: (24, 48), 3: (12, 24)}[ndim]
    order = math.log2(error(problem, coarse, "finite_volume_cg") / error(problem, fine, "finite_volume_cg"))
    assert abs(order - 2) < 0.1
    assert error(problem, fine, "spectral_cg") < 3e-10
    assert error(problem, coarse, "finite_volume_cg", torch.float32) < 1.01 * error(problem, coarse, "finite_volume_cg") + 1e-4


@pytest.mark.parametrize("parameters", [{}, {"count": 3, "high": 0.01}, {"count": 1}, {"count": 5, "low": 7.0}])
def test_layers_are_exact_by_the_harmonic_mean(parameters: dict[str, Any]) -> None:
    problem = sciml.load_problem("darcy:layers", parameters)
    assert error(problem, 30 * int(problem.parameters["count"]) // 2 * 2, "finite_volume_cg") < 1e-11
    x = torch.tensor([0.0, 1.0], dtype=F64)
    assert problem.exact is not None and torch.allclose(problem.exact(0.0, x), x, atol=1e-14)


def test_exact_solutions_satisfy_their_equations() -> None:
    for name, ndim in CASES:
        problem = sciml.load_problem(name, {"ndim": ndim})
        equation = problem.equation
        assert isinstance(equation, SteadyEquation) and isinstance(problem.initial, Profile) and problem.exact is not None
        stated = equation.with_inputs({equation.inputs[0]: problem.initial.function})
        x = [numbers(20, 1, seed=i, low=0.0) for i in range(ndim)]
        d, u = Points.of(problem.exact, 0.0, *x)
        assert float(d.values(stated.residual(u, d)).detach().abs().max()) < 1e-9 * 4 * math.pi**2


def test_jumps_off_the_faces_cost_the_order() -> None:
    """Where an interface cuts cells the error falls with the first power of h."""
    problem = darcy.layers(count=3)
    errors = [error(problem, n, "finite_volume_cg") for n in (32, 64, 128, 256)]
    assert 0.8 < math.log2(errors[0] / errors[-1]) / 3 < 1.2


def test_a_sine_series_with_a_common_wall_value_and_a_variable_coefficient() -> None:
    domain = Domain.box(0.0, 1.0, Dirichlet(3.0), Dirichlet(3.0))
    pi = math.pi

    def source(x: Tensor) -> Tensor:  # of u = 3 + sin(pi x), a = 2 + cos(2 pi x), which is even about the walls
        return pi**2 * torch.sin(pi * x) * (2 + torch.cos(2 * pi * x)) + 2 * pi**2 * torch.sin(2 * pi * x) * torch.cos(pi * x)

    grid = domain.grid(24)
    u, _ = solve_steady(Given(lambda x: 2 + torch.cos(2 * pi * x), source, 1), grid, domain.boundaries, method="spectral_cg")
    assert float((u[0] - 3 - torch.sin(pi * grid.axes()[0])).abs().max()) < 1e-9


def test_nyquist_modes_are_determined() -> None:
    for domain in (Domain.periodic((1.0, 1.0)), Domain.box((0.0, 0.0), (1.0, 1.0), D)):
        grid = domain.grid(8)
        modes = Modes(grid, domain.boundaries)
        c = numbers(1, 8, 8)
        c[0, 0, 0] = 0.0 if modes.singular else c[0, 0, 0]
        f = modes.inverse(c)
        u, _ = solve_steady(Given(2.0, f, 2), grid, domain.boundaries, method="spectral_cg")
        k = modes.squared_wavenumbers()
        expected = torch.where(k > 0, c / (2 * torch.where(k > 0, k, 1.0)), 0.0)
        assert float((modes.forward(u) - expected).abs().max()) < 1e-11


# -- iterations ------------------------------------------------------------------------------------------------------------


def test_iterations_do_not_grow_with_the_grid() -> None:
    counts = {}
    for case in (darcy.li2021(), darcy.lognormal()):
        for n in (32, 64, 128):
            grid = case.grid(n)
            given = case.initial_state(grid, torch.Generator().manual_seed(1), samples=3)
            _, c = solve_steady(case.equation.with_inputs(given), grid, case.domain.boundaries, tolerance=1e-4)
            counts[case.name, n] = int(c.iterations.max())
    assert max(counts["darcy:li2021", n] for n in (32, 64, 128)) <= 13
    assert counts["darcy:li2021", 128] - counts["darcy:li2021", 32] <= 3
    assert {counts["darcy:lognormal", n] for n in (32, 64, 128)} <= {3, 4, 5, 6}


def test_large_smooth_contrasts_are_taken_in_by_the_preconditioner() -> None:
    case = darcy.lognormal(deviation=2.0)
    grid = case.grid(64)
    a = case.initial_state(grid, torch.Generator().manual_seed(4))
    assert float(a.max() / a.min()) > 1000 and bool(is_smooth(a, grid).all())
    _, c = solve_steady(case.equation.with_inputs(a), grid, case.domain.boundaries)
    assert int(c.iterations.max()) < 60
    assert not bool(is_smooth(darcy.two_phase(grid, torch.Generator().manual_seed(0), 3.0, 12.0), grid))


def test_samples_of_a_batch_are_solved_as_if_alone() -> None:
    case = darcy.li2021()
    grid = case.grid(24)
    a = case.initial_state(grid, samples=3)
    a[1] = 1.0  # needs one iteration and waits for the others
    together, c = solve_steady(case.equation.with_inputs(a), grid, case.domain.boundaries)
    for i in range(3):
        alone, single = solve_steady(case.equation.with_inputs(a[i]), grid, case.domain.boundaries)
        assert float((together[i] - alone).abs().max()) < 1e-11 * float(alone.abs().max())
        assert int(single.iterations) == int(c.iterations[i])
    assert int(c.iterations[1]) == 1


# -- gradients -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", STEADY)
@pytest.mark.parametrize("faces", [(D, D), (N, N), (P, P)], ids=["dirichlet", "neumann", "periodic"])
def test_gradients_with_respect_to_both_fields(method: str, faces: tuple[Boundary, Boundary]) -> None:
    domain = Domain((0.0, 0.0), (1.0, 1.0), (faces, (P, P)))
    grid = domain.grid((4, 5))

    def solution(a: Tensor, f: Tensor) -> Tensor:
        return solve_steady(Given(a, f - f.mean(), 2), grid, domain.boundaries, method=method, tolerance=1e-13)[0]

    a, f = numbers(1, 4, 5, low=0.5, high=2.0).requires_grad_(), numbers(1, 4, 5, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(solution, (a, f), eps=1e-6, atol=1e-6, rtol=1e-5, fast_mode=True)


def test_a_trainable_constant_and_a_wall_value_have_gradients() -> None:
    k = torch.nn.Parameter(torch.tensor(2.0, dtype=F64))
    wall = torch.tensor(1.0, dtype=F64, requires_grad=True)
    domain = Domain.box(0.0, 1.0, Dirichlet(lambda t: wall), D)
    equation = darcy.Darcy(k, ndim=1)
    assert equation.trainable and next(iter(equation.parameters())) is k
    u, _ = solve_steady(equation, domain.grid(8), domain.boundaries)
    u.sum().backward()
    x = domain.grid(8).axes()[0]
    assert k.grad is not None and wall.grad is not None
    assert abs(float(wall.grad) - float((1 - x).sum())) < 1e-9
    assert abs(float(k.grad) + float((u.detach()[0] - (1 - x)).sum()) / 2) < 1e-9


@pytest.mark.parametrize("method", ["finite_volume_cg", "spectral_cg"])
@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 1e20), (torch.float32, 1e-25), (torch.float64, 1e200), (torch.float64, 1e-200)])
def test_units_do_not_matter(method: str, dtype: torch.dtype, size: float) -> None:
    problem = sciml.load_problem("poisson:dirichlet")
    one, other = (
        sciml.solve(problem, points=8, dtype=dtype, method=method, initial=torch.full((1, 8, 8), s, dtype=dtype))["u"].values for s in (1.0, size)
    )
    np.testing.assert_allclose(other / size, one, rtol=1e-4 if dtype == torch.float32 else 1e-9)


def test_second_derivatives_are_refused_and_not_wrong() -> None:
    la = torch.zeros(8, dtype=torch.float64, requires_grad=True)
    grid = sciml.Grid((8,), (1.0,), periodic=False)
    walls = ((sciml.Dirichlet(0.0), sciml.Dirichlet(0.0)),)
    u, _ = sciml.solve_steady(darcy.Darcy(a=la.exp(), forcing=1.0, ndim=1), grid, walls)
    with pytest.raises(sciml.UnsupportedError, match="create_graph"):
        torch.autograd.grad((u**2).sum(), la, create_graph=True)


@pytest.mark.parametrize("points", [8, 16, 33])
def test_slopes_that_balance_the_source_up_to_the_sum_over_cells(points: int) -> None:
    grid = sciml.Grid((points,), (1.0,), periodic=False)
    walls = ((sciml.Neumann(1.0), sciml.Neumann(math.e)),)
    u, _ = sciml.solve_steady(poisson.Poisson(f=lambda x: -torch.exp(x), ndim=1), grid, walls)
    exact = torch.exp(grid.axes()[0])
    assert float((u[0] - (exact - exact.mean())).abs().max()) < 0.2 / points**2


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(sciml.InputError, match="given fields of shape"):
        sciml.solve(sciml.load_problem("darcy:li2021"), points=8, initial=torch.ones(0, 1, 8, 8, dtype=torch.float64))
