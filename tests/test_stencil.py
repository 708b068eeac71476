"""Central differences: measured orders inside and at walls, exactness on polynomials, systems, lattices, bad input."""

from __future__ import annotations

import math

import pytest
import torch

from sciml.core.domain import Dirichlet, Domain, Neumann
from sciml.core.equation import Equation
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.grid import Grid
from sciml.derivatives.fourier import Fourier
from sciml.derivatives.stencil import Stencil, central_weights
from sciml.problems.kuramoto_sivashinsky import KuramotoSivashinsky


def test_weights_of_the_textbook() -> None:
    assert central_weights(1, 4)[1] == pytest.approx((1 / 12, -2 / 3, 0, 2 / 3, -1 / 12))
    assert central_weights(2, 6)[1] == pytest.approx((1 / 90, -3 / 20, 1.5, -49 / 18, 1.5, -3 / 20, 1 / 90))
    assert sum(central_weights(2, 6)[1]) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("derivative", [1, 2, 3, 4])
def test_order_on_periodic_grids(order: int, derivative: int) -> None:
    errors = []
    for n in (64, 128):
        grid = Grid((n,), (2 * math.pi,))
        u = torch.exp(torch.sin(grid.points()[0])).unsqueeze(0)
        reference, d = Fourier(grid), Stencil(grid, order=order)
        exact = reference.values(reference.x(reference.field(u), derivative))
        errors.append(float((d.values(d.x(d.field(u), derivative)) - exact).abs().max()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("expression", ["x", "xx", "x(u^2)", "x(x)"])
def test_order_up_to_the_walls(order: int, expression: str) -> None:
    """u = exp(3x + t) with a prescribed value below and a prescribed slope above, both functions of time."""
    domain = Domain.box(0.0, 1.0, Dirichlet(math.exp), Neumann(lambda t: 3 * math.exp(3 + t)))
    time, errors = 0.3, []
    for n in (32, 64):
        grid = domain.grid(n)
        d = Stencil(grid, domain.boundaries, order).at(time)
        e = torch.exp(3 * grid.points()[0] + time).unsqueeze(0)
        u = d.field(e)
        result, exact = {
            "x": (d.x(u), 3 * e),
            "xx": (d.x(u, 2), 9 * e),
            "x(u^2)": (d.x(u * u), 6 * e * e),
            "x(x)": (d.x(d.x(u)), 9 * e),
        }[expression]
        errors.append(float((d.values(result) - exact).abs().max()))
    assert math.log2(errors[0] / errors[1]) > order - 0.4


def test_wall_data_matter() -> None:
    grid = Grid((8,), (1.0,), periodic=False)
    u = torch.zeros(1, 8, dtype=torch.float64)
    lifted = Stencil(grid, ((Dirichlet(1.0), Dirichlet(0.0)),))
    # the quartic through the wall value 1 and four zeros continues to 128/35, which over h^2 is u_xx in the first cell
    second = lifted.values(lifted.x(lifted.field(u), 2))
    assert second[0, 0].item() == pytest.approx(128 / 35 * 64)
    assert second[0, 1:].abs().max() == 0


def test_polynomials_are_exact_in_three_dimensions() -> None:
    """Order 2 is exact on cubics without a wall, and on quadratics with position-dependent wall values."""
    n = 6
    grid = Grid((n, n, n), (1.0, 2.0, 3.0), periodic=False, origin=(0.0, -1.0, 0.5))

    def value(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return x**2 + 3 * x * y - 2 * y * z + z**2 + 1

    x, y, z = (c.unsqueeze(0) for c in grid.points())

    def walls(axis: int) -> tuple[Dirichlet, Dirichlet]:
        def on(position: float) -> Dirichlet:
            points = [c.narrow(axis + 1, 0, 1) for c in (x, y, z)]
            points[axis] = torch.full_like(points[axis], position)
            return Dirichlet(lambda t: value(*points))

        return on(grid.origin[axis]), on(grid.origin[axis] + grid.lengths[axis])

    d = Stencil(grid, tuple(walls(a) for a in range(3)))
    u = d.field(value(x, y, z))
    for result, exact in (
        (d.x(u), 2 * x + 3 * y),
        (d.y(u), 3 * x - 2 * z),
        (d.z(u), 2 * z - 2 * y),
        (d.laplacian(u), torch.full_like(x, 4.0)),
        (d.mixed(u, (1, 1, 0)), torch.full_like(x, 3.0)),
        (d.mixed(u, (0, 1, 1)), torch.full_like(x, -2.0)),
        (d.div(d.grad(u)), torch.full_like(x, 4.0)),
    ):
        torch.testing.assert_close(d.values(result), exact, atol=1e-11, rtol=0)


@pytest.mark.parametrize("origin", [(0.0, 0.0), (3.0, -1.0)])
def test_coordinates_know_the_walls(origin: tuple[float, float]) -> None:
    grid = Grid((5, 4), (1.0, 2.0), periodic=False, origin=origin)
    free = ((Neumann(0.0), Neumann(0.0)),) * 2
    d = Stencil(grid, free, order=2)
    x, y = d.coordinates()
    torch.testing.assert_close(d.values(d.x(x * x * y)), (2 * grid.points()[0] * grid.points()[1]).unsqueeze(0), atol=1e-12, rtol=0)
    torch.testing.assert_close(d.values(d.y(x * y)), grid.points()[0].unsqueeze(0), atol=1e-12, rtol=0)


def test_agrees_with_fourier_on_an_equation() -> None:
    grid = Grid((256,), (32 * math.pi,))
    x = grid.points()[0]
    u = (torch.cos(x / 16) * (1 + torch.sin(x / 16))).unsqueeze(0)
    equation = KuramotoSivashinsky()
    torch.testing.assert_close(equation.rhs(u, Stencil(grid, order=6)), equation.rhs(u, Fourier(grid)), atol=2e-9, rtol=0)


class Oscillator(Equation):
    """x' = y, y' = -x + t: an ordinary system that reads the clock."""

    fields = ("x", "y")
    autonomous = False

    def nonlinear(self, u, d):
        x, y = d.split(u)
        return d.stack(y, -x + d.time)


def test_ordinary_systems() -> None:
    d = Stencil(Grid((), ())).at(3.0)
    u = torch.tensor([[1.0, 2.0], [5.0, -1.0]], dtype=torch.float64)
    torch.testing.assert_close(Oscillator().rhs(u, d), torch.tensor([[2.0, 2.0], [-1.0, -2.0]], dtype=torch.float64))
    assert d.coordinates() == ()


def test_lattice_neighbours() -> None:
    d = Stencil(Grid((4,), (4.0,)))
    u = d.field(torch.tensor([[0.0, 1.0, 2.0, 3.0]], dtype=torch.float64))
    assert d.values(d.shift(u, 1)).tolist() == [[1.0, 2.0, 3.0, 0.0]]
    assert d.values(d.shift(u, -2)).tolist() == [[2.0, 3.0, 0.0, 1.0]]


def test_channels_keep_their_walls() -> None:
    domain = Domain.box(0.0, 1.0, Dirichlet(lambda t: torch.tensor([[1.0], [2.0]], dtype=torch.float64)), Neumann(0.0))
    grid = domain.grid(8)
    d = Stencil(grid, domain.boundaries)
    u = d.field(torch.tensor([[1.0], [2.0]], dtype=torch.float64).expand(2, 8))
    a, b = d.split(u)
    assert d.values(d.stack(d.x(a), d.x(b), d.x(u, 2))).abs().max() < 1e-12
    assert d.values(d.x(d.stack(b, a)))[0].abs().max() < 1e-12


def test_coefficients_per_sample() -> None:
    domain = Domain.box(0.0, 1.0, Dirichlet(1.0))
    grid = domain.grid(8)
    d = Stencil(grid, domain.boundaries)
    values = torch.rand(3, 1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    c = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    together = d.values(d.x(c * d.field(values) ** 2))
    for i in range(3):
        torch.testing.assert_close(together[i], d.values(d.x(float(c[i]) * d.field(values[i]) ** 2)))


def test_gradients() -> None:
    domain = Domain.box(0.0, 1.0, Dirichlet(0.5), Neumann(1.0))
    d = Stencil(domain.grid(8), domain.boundaries, order=4)
    u = torch.rand(1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: d.values(d.x(d.field(v) ** 2, 2)), (u,))


def test_another_time_leaves_the_engine_alone() -> None:
    domain = Domain.box(0.0, 1.0, Dirichlet(lambda t: t))
    d = Stencil(domain.grid(8), domain.boundaries)
    u = torch.zeros(1, 8, dtype=torch.float64)
    later = d.at(2.0)
    assert d.time == 0.0
    assert d.values(d.x(d.field(u))).abs().max() == 0
    assert d.values(later.x(later.field(u)))[0, 0] < 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Stencil(Grid((8,), (1.0,)), order=3), "2, 4 and 6"),
        (lambda: Stencil(Grid((8,), (1.0,), periodic=False)), "boundaries=problem.domain.boundaries"),
        (lambda: Stencil(Grid((8,), (1.0,)), ((Dirichlet(0.0), Dirichlet(0.0)),)), "problem.grid"),
        (lambda: Stencil(Grid((8,), (1.0,)), ()), "one .lower, upper. pair per axis"),
        (lambda: Stencil(Grid((8,), (1.0,))).field(torch.zeros(1, 9, dtype=torch.float64)), r"\(\*batch, 1, 8\)"),
    ],
)
def test_bad_input(make, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


def test_what_it_cannot_do() -> None:
    domain = Domain.box(0.0, 1.0, Neumann(0.0))
    d = Stencil(domain.grid(4), domain.boundaries, order=6)
    u = d.field(torch.zeros(1, 4, dtype=torch.float64))
    with pytest.raises(InputError, match="Use more points"):
        d.x(u, 2)
    with pytest.raises(UnsupportedError, match="periodic axis"):
        d.shift(u, 1)
    other = Fourier(Grid((4,), (1.0,)))
    with pytest.raises(UnsupportedError, match="another engine"):
        d.x(other.field(torch.zeros(1, 4, dtype=torch.float64)))
