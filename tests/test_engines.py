"""Every engine gives the same derivatives and the same right-hand sides; the points and functional engines on their own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from sciml.core.conservation import ConservationLaw
from sciml.core.equation import Equation
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.grid import Grid
from sciml.core.symbol import grid_symbol_engine
from sciml.derivatives.fourier import Fourier
from sciml.derivatives.functional import Functional, PointResidual
from sciml.derivatives.points import Points
from sciml.problems.kuramoto_sivashinsky import KuramotoSivashinsky
from sciml.problems.navier_stokes import Vorticity
from sciml.spectral.transforms import count_transforms
from sciml.testing import Trigonometric

TIME = 0.7


class Burgers(ConservationLaw):
    def __init__(self, viscosity=0.1):
        super().__init__()
        self.viscosity = viscosity

    def flux(self, u):
        return u**2 / 2

    def diffusivity(self, u):
        return self.viscosity


class Predator(Equation):
    """A two-field system with coupled linear terms and products across fields."""

    fields = ("a", "b")

    def linear(self, u, d):
        a, b = d.split(u)
        return d.stack(0.3 * d.x(a, 2) - 0.5 * b, d.x(b, 3) + 0.7 * d.x(a))

    def nonlinear(self, u, d):
        a, b = d.split(u)
        return d.stack(a * b - d.x(a) * b, -a * b + d.x(a**2))


class AdvectionDiffusion3(Equation):
    ndim = 3

    def linear(self, u, d):
        return 0.2 * d.laplacian(u) - 0.5 * d.mixed(u, (1, 0, 2))

    def nonlinear(self, u, d):
        x, y, _ = d.coordinates()
        speed = (torch.sin(2 * math.pi * y / 7.0), 0.3, torch.cos(2 * math.pi * x / 6.0) * d.time)
        return -d.advect(speed, u) + d.div(d.grad(u**2))


CASES = {
    "ks": (KuramotoSivashinsky(1.3, 0.7, 0.2), Grid((32,), (6.0,))),
    "burgers": (Burgers(), Grid((30,), (6.0,), origin=(-1.0,))),
    "vorticity": (Vorticity(0.1, drag=0.2, mean_flow=(0.3, -0.4)), Grid((16, 18), (6.0, 7.0))),
    "system": (Predator(), Grid((32,), (6.0,))),
    "3d": (AdvectionDiffusion3(), Grid((12, 14, 12), (6.0, 7.0, 5.0))),
}


def on_all_engines(equation, grid, seed=0):
    """(Fourier, points, functional) values at the grid's points, ``(points, channels)``."""
    u = Trigonometric.random(grid, 2, len(equation.fields), torch.Generator().manual_seed(seed))
    d = Fourier(grid)
    d.time = TIME
    state = u.on(grid, TIME)
    spectral = equation.rhs(state, d).movedim(0, -1).reshape(-1, len(equation.fields))

    psi = Trigonometric.interpolating(d.values(d.inverse_laplacian(d.field(state))), grid) if grid.ndim == 2 else None
    x = [c.reshape(-1, 1) for c in grid.points()]
    t = torch.full_like(x[0], TIME)
    p, field = Points.of(u, t, *x)
    if psi is not None:
        p.inverse = lambda w, shift: psi(*p.inputs)
    on_points = p.values(equation.rhs(field, p)).detach()

    f = Functional(grid.ndim)
    if psi is not None:
        f.inverse = lambda w, shift: lambda z: psi(*z.split(1))
    functional = f.evaluate(equation.rhs(f.unknown(lambda z: u(*z.split(1)), len(equation.fields)), f), torch.cat([t, *x], -1))
    return spectral, on_points, functional


@pytest.mark.parametrize("name", CASES)
def test_engines_agree_on_the_right_hand_side(name):
    spectral, points, functional = on_all_engines(*CASES[name])
    scale = spectral.abs().amax()
    assert (spectral - points).abs().amax() <= 1e-11 * scale
    assert (functional - points).abs().amax() <= 1e-14 * scale


def test_ks_right_hand_side_has_its_exact_value_on_every_engine():
    # u = sin x: u_t = sin x - sin x - sin x cos x
    x = torch.linspace(0, 2 * math.pi, 17, dtype=torch.float64)[:-1]
    exact = -torch.sin(x) * torch.cos(x)
    equation = KuramotoSivashinsky()
    d, u = Points.of(lambda t, x: torch.sin(x), 0.0, x)
    assert torch.allclose(d.values(equation.rhs(u, d))[:, 0], exact, atol=1e-14)
    f = Functional(1)
    values = f.evaluate(equation.rhs(f.unknown(lambda z: torch.sin(z[1:])), f), torch.stack([0 * x, x], -1))
    assert torch.allclose(values[:, 0], exact, atol=1e-14)
    grid = Grid((16,), (2 * math.pi,))
    assert torch.allclose(equation.rhs(torch.sin(grid.points()[0])[None], Fourier(grid))[0], exact, atol=1e-11)


@pytest.mark.parametrize("shape", [(8, 6), (8, 7), (7, 6)])
def test_odd_derivatives_of_the_nyquist_mode_vanish_along_every_axis(shape: tuple[int, int]) -> None:
    grid = Grid(shape, (2 * math.pi,) * 2)
    d, symbol = Fourier(grid), grid_symbol_engine(grid)
    for axis, n in enumerate(shape):
        if n % 2:
            continue
        along, other = grid.points()[axis], grid.points()[1 - axis]
        u = d.field((torch.cos(n // 2 * along) * torch.sin(other + 0.4))[None])
        nyquist = symbol.k[axis].abs() == n // 2
        for order in (1, 2, 3, 4):
            expected = torch.zeros_like(d.values(u)) if order % 2 else (-1) ** (order // 2) * (n // 2) ** order * d.values(u)
            assert torch.allclose(d.values(d.partial(u, axis, order)), expected, atol=1e-9)
            assert bool((symbol.multiplier(axis, order)[nyquist] == 0).all()) == bool(order % 2)


def test_transform_counts():
    grid = Grid((32,), (6.0,))
    d = Fourier(grid, 2)
    equation = KuramotoSivashinsky()
    c = d.transform.forward(torch.randn(1, 32, dtype=torch.float64))
    with count_transforms() as n:
        d.coefficients(equation.rhs(d.from_coefficients(c), d))
    assert n[0] == 2
    grid = Grid((16, 18), (6.0, 7.0))
    d = Fourier(grid, 2)
    c = d.transform.forward(torch.randn(1, 16, 18, dtype=torch.float64))
    with count_transforms() as n:
        d.coefficients(Vorticity(0.1).rhs(d.from_coefficients(c), d))
    assert n[0] == 5


class TestPoints:
    def test_mixed_and_time_derivatives_of_a_polynomial(self):
        t = torch.tensor([0.5, 2.0], dtype=torch.float64)
        x, y = t + 1, t - 3
        d, u = Points.of(lambda t, x, y: t**2 * x**3 * y**2, t, x, y)
        assert torch.allclose(d.values(d.mixed(u, (2, 1)))[:, 0], t**2 * 6 * x * 2 * y)
        assert torch.allclose(d.values(d.t(d.x(u)))[:, 0], 2 * t * 3 * x**2 * y**2)
        assert torch.allclose(d.values(d.t(u, 2))[:, 0], 2 * x**3 * y**2)
        assert torch.allclose(d.values(d.t(u, 3)), torch.zeros(2, 1, dtype=torch.float64))

    def test_one_backward_pass_serves_time_and_space_and_higher_orders(self, monkeypatch):
        calls = []
        grad = torch.autograd.grad
        monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: calls.append(1) or grad(*a, **k))
        d, u = Points.of(lambda t, x: torch.sin(x - t), 0.0, torch.linspace(0, 1, 5))
        d.t(u), d.x(u), d.x(u, 2), d.x(d.x(u)), d.x(u, 2)
        assert len(calls) == 2

    def test_channels_are_differentiated_separately_and_an_unused_coordinate_gives_zero(self):
        x = torch.linspace(0, 1, 5, dtype=torch.float64)
        d, u = Points.of(lambda t, x: torch.cat([x**2, torch.exp(x), torch.ones_like(x)], -1), 0.0, x)
        expected = torch.stack([2 * x, torch.exp(x), 0 * x], -1)
        assert torch.allclose(d.values(d.x(u)), expected)
        assert torch.equal(d.values(d.t(u)), torch.zeros(5, 3, dtype=torch.float64))
        a, b, _ = d.split(u)
        assert torch.allclose(d.values(d.x(d.stack(a * b, b))), torch.stack([(2 * x + x**2) * torch.exp(x), torch.exp(x)], -1))

    def test_values_that_ignore_the_coordinates_are_refused_not_differentiated_to_zero(self):
        x = torch.linspace(0, 1, 5)
        d = Points(0.0, x)
        with pytest.raises(InputError, match=r"do not depend on the engine's coordinates.*Points\.of"):
            d.x(d.field(torch.sin(x)[:, None]))

    def test_no_grad_is_refused_since_derivatives_would_vanish(self):
        with torch.no_grad(), pytest.raises(InputError, match=r"no_grad.*silently be zero"):
            d, u = Points.of(lambda t, x: x**2, 0.0, torch.rand(3))
            d.x(u)

    def test_the_callers_tensors_are_left_alone(self):
        x = torch.linspace(0, 1, 5)
        Points.of(lambda t, x: x, 0.0, x)
        assert not x.requires_grad

    def test_residual_reaches_network_and_coefficient(self):
        viscosity = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
        w = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
        x = torch.linspace(0, 1, 4, dtype=torch.float64)
        d, u = Points.of(lambda t, x: w * torch.sin(x) * t, torch.full_like(x, 3.0), x)
        residual = d.values(Burgers(viscosity).residual(u, d))[:, 0]
        s, c = torch.sin(x), torch.cos(x)
        assert torch.allclose(residual, 2 * s + 36 * s * c + 0.5 * 6 * s)
        gw, gv = torch.autograd.grad(residual.sum(), (w, viscosity))
        assert torch.allclose(gw, (s + 36 * s * c + 1.5 * s).sum()) and torch.allclose(gv, (6 * s).sum())

    def test_coefficients_per_sample_and_per_point(self):
        x = torch.rand(2, 3, 1, dtype=torch.float64)
        d, u = Points.of(lambda t, x: x**2, 0.0, x)
        per_sample = torch.tensor([1.0, 10.0], dtype=torch.float64)
        assert torch.allclose(d.values(per_sample * d.x(u)), per_sample[:, None, None] * 2 * x)
        per_point = torch.rand(2, 3, dtype=torch.float64)
        assert torch.allclose(d.values(d.x(u) * per_point), per_point[..., None] * 2 * x)
        d, u = Points.of(lambda t, x: torch.cat([x, x**2], -1), 0.0, torch.ones(2, 1))
        assert d.values(torch.tensor([3.0, 5.0]) * d.x(u)).tolist() == [[3.0, 6.0], [5.0, 10.0]]

    def test_inverse_laplacian_is_the_potential_handed_in(self):
        x, y = torch.rand(4, 1, dtype=torch.float64), torch.rand(4, 1, dtype=torch.float64)
        d, psi = Points.of(lambda t, x, y: torch.sin(2 * x) * torch.cos(y), 0.0, x, y)
        d.inverse = lambda w, shift: psi
        w = d.laplacian(psi)
        assert torch.allclose(d.values(w), -5 * torch.sin(2 * x) * torch.cos(y))
        assert torch.allclose(d.values(d.y(d.inverse_laplacian(w))), -torch.sin(2 * x) * torch.sin(y))
        with pytest.raises(UnsupportedError, match=r"inverse_laplacian=lambda u, shift: psi"):
            Points(0.0, x, y).inverse_laplacian(w)

    def test_bad_input(self):
        x = torch.rand(4)
        with pytest.raises(InputError, match="same shape"):
            Points(torch.rand(3), x)
        with pytest.raises(InputError, match="same shape"):
            Points(x.double(), x)
        with pytest.raises(InputError, match="floating type"):
            Points(torch.arange(3), torch.arange(3))
        with pytest.raises(InputError, match="at most 3"):
            Points(0.0, x, x, x, x)
        with pytest.raises(InputError, match="tensor of times"):
            Points(0.0)
        with pytest.raises(InputError, match="is a float"):
            Points(x, 1.0)
        with pytest.raises(InputError, match=r"shape \(4,\).*channels last"):
            Points(0.0, x).field(x)
        with pytest.raises(UnsupportedError, match="another engine"):
            Points(0.0, x).x(Functional(1).unknown(lambda z: z[1:]))
        with pytest.raises(InputError, match="there is no y"):
            d, u = Points.of(lambda t, x: x, 0.0, x)
            d.y(u)
        with pytest.raises(UnsupportedError, match="lattice"):
            d.shift(u, 1)


class Network(nn.Module):
    def __init__(self, channels=1):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, channels)).double()

    def forward(self, t, x):
        return self.layers(torch.cat([t, x], -1))


class TestFunctional:
    def test_residual_and_its_jacobian_equal_those_of_the_tape(self):
        equation = KuramotoSivashinsky(nn.Parameter(torch.tensor(1.3, dtype=torch.float64)), 0.7, 0.2)
        module = PointResidual(equation, Network(), 1)
        points = torch.rand(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        d, u = Points.of(module.network, points[:, 0], points[:, 1])
        tape = d.values(equation.residual(u, d))
        assert torch.allclose(module(points), tape, rtol=1e-14, atol=1e-15)
        parameters = {k: p.detach() for k, p in module.named_parameters()}
        assert "equation.advection" in parameters

        def at(p, z):
            return torch.func.functional_call(module, p, (z,))

        jacobian = torch.func.vmap(torch.func.jacrev(at), (None, 0))(parameters, points)
        for i in range(5):
            row = torch.autograd.grad(tape[i, 0], list(module.parameters()), retain_graph=True)
            for name, expected in zip(parameters, row, strict=True):
                assert torch.allclose(jacobian[name][i, 0], expected, rtol=1e-11, atol=1e-13)

    def test_values_follow_the_network_when_its_weights_change(self):
        network = Network()
        d = Functional(1)
        u = d.x(d.unknown(lambda z: network(*z.split(1))))
        z = torch.tensor([0.1, 0.2], dtype=torch.float64)
        before = d.evaluate(u, z)
        with torch.no_grad():
            network.layers[2].weight *= 2
        assert torch.allclose(d.evaluate(u, z), 2 * before)

    def test_mixed_derivatives_time_and_batches(self):
        d = Functional(2)
        u = d.unknown(lambda z: z[:1] ** 2 * z[1:2] ** 3 * z[2:] ** 2)
        z = torch.rand(2, 3, 3, dtype=torch.float64)
        t, x, y = z.unbind(-1)
        assert torch.allclose(d.evaluate(d.t(d.mixed(u, (2, 1))), z)[..., 0], 2 * t * 6 * x * 2 * y)
        assert torch.allclose(d.evaluate(d.time * u, z)[..., 0], t**3 * x**3 * y**2)

    def test_a_field_used_twice_is_evaluated_once(self):
        calls = []
        d = Functional(1)
        u = d.unknown(lambda z: calls.append(1) or z[1:] ** 2)
        d.evaluate(u * u + u, torch.rand(3, 2))
        assert len(calls) == 1

    def test_bad_input(self):
        d = Functional(1)
        u = d.unknown(lambda z: z)
        with pytest.raises(InputError, match=r"shape \(2,\) at one point; \(1,\) was declared"):
            d.evaluate(u, torch.rand(3, 2))
        with pytest.raises(InputError, match=r"\(\*batch, 2\) is needed"):
            d.evaluate(u, torch.rand(3, 3))
        with pytest.raises(InputError, match="needs the function itself"):
            d.field(torch.rand(3))
        with pytest.raises(InputError, match="ndim=4"):
            Functional(4)
        with pytest.raises(UnsupportedError, match=r"d\.evaluate"):
            d.values(u)
        with pytest.raises(UnsupportedError, match="points engine"):
            d.x(u) * torch.rand(3)
        with pytest.raises(UnsupportedError, match="streamfunction"):
            d.inverse_laplacian(u)
        with pytest.raises(UnsupportedError, match="another engine"):
            d.x(Points.of(lambda t, x: x, 0.0, torch.rand(3))[1])


@pytest.mark.parametrize("engine", ["fourier", "points"])
def test_operators_accept_numbers_arrays_parameters_and_tensors_on_either_side(engine):
    grid = Grid((8,), (2 * math.pi,))
    x = grid.points()[0]
    if engine == "fourier":
        d = Fourier(grid)
        u = d.field((2 + torch.sin(x))[None])
        value = (2 + torch.sin(x))[None]
    else:
        d, u = Points.of(lambda t, x: 2 + torch.sin(x), 0.0, x)
        value = (2 + torch.sin(x))[:, None]
    parameter = nn.Parameter(torch.tensor(3.0, dtype=torch.float64))
    for c in (3, 3.0, np.float64(3), np.float32(3), np.int64(3), torch.tensor(3.0), torch.tensor([3.0], dtype=torch.float64), parameter):
        for result, expected in (
            (c + u, 3 + value), (u + c, value + 3), (c - u, 3 - value), (u - c, value - 3), (c * u, 3 * value), (u * c, value * 3),
            (c / u, 3 / value), (u / c, value / 3), (u**c, value**3), (c**u, 3**value),
        ):  # fmt: skip
            assert torch.allclose(d.values(result), expected, rtol=1e-14), (type(c), expected)
    total = torch.zeros((), dtype=torch.float64)
    total += u
    assert torch.allclose(d.values(total), value)
    assert torch.equal(d.values(torch.where(u > 2, u, -u)), torch.where(value > 2, value, -value))
    assert torch.allclose(d.values(torch.clamp(abs(-u), min=2.5)), value.clamp(min=2.5))
    assert torch.allclose(d.values(+u + 1.0 * (u <= 2.0)), value + (value <= 2.0))
    assert torch.equal(d.values((u >= 2.5) + 0 * u), (value >= 2.5).double()) and torch.equal(d.values((u < 2.5) + 0 * u), (value < 2.5).double())


def test_coefficients_per_sample_in_symbol_and_fourier():
    grid = Grid((8, 8), (2 * math.pi, 2 * math.pi))
    values = torch.tensor([0.1, 0.2], dtype=torch.float64)
    x, y = grid.points()
    u = torch.stack([torch.sin(x + y)[None]] * 2)
    batch, d = Vorticity(values, drag=values), Fourier(grid)
    assert torch.allclose(d.values(batch.linear(d.field(u), d)), -3 * values[:, None, None, None] * u)
    symbol = batch.symbol(grid)
    assert symbol.shape == (2, 8, 5)
    assert torch.allclose(symbol[1], Vorticity(0.2, drag=0.2).symbol(grid))
    shifted = d.values(d.inverse_laplacian(d.field(u), values))
    assert torch.allclose(shifted, -u / (2 + values[:, None, None, None]))


def test_a_network_term_means_the_same_on_every_engine():
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    grid = Grid((16,), (6.0,))
    term = lambda u, d: d.pointwise(lambda a, b: network(torch.cat([a, b], -1)), u, d.x(u))  # noqa: E731
    spectral, points, functional = on_all_engines(KuramotoSivashinsky(0.0, 0.0, 0.0) + term, grid)
    assert spectral.abs().amax() > 1e-2
    assert torch.allclose(spectral, points, atol=1e-12) and torch.allclose(points, functional, atol=1e-14)
