"""Residuals of physics-informed networks: those of the problem's equation, by either engine, for all kinds of networks and equations."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import sciml
from sciml.problems import advection, allen_cahn, burgers, darcy, heat, korteweg_de_vries, kuramoto_sivashinsky, navier_stokes, poisson, porous_medium
from sciml.surrogates.pinn.jets import Jets, nested
from sciml.surrogates.pinn.networks import NETWORKS, make_network
from sciml.surrogates.pinn.series import Series, Table, composed, monomials, sine_series, swish_series, tanh_series

F64 = torch.float64


def points(pinn: sciml.PINN, count: int = 7, seed: int = 0) -> Tensor:
    low = torch.tensor([pinn.start, *pinn.problem.domain.lower], dtype=F64)
    high = torch.tensor([pinn.end, *pinn.problem.domain.upper], dtype=F64)
    return low + (high - low) * torch.rand((count, len(low)), generator=torch.Generator().manual_seed(seed), dtype=F64)


def by_hand(pinn: sciml.PINN, z: Tensor) -> dict[str, Tensor]:
    """u and its derivatives at each point, by reverse-mode differentiation."""
    columns = [c.clone().requires_grad_() for c in z.unbind(1)]
    found = {"": pinn(*columns)[:, 0]}
    for name in ("t", "x", "xx", "xxx", "xxxx"):
        base = found[name[:-1]]
        (found[name],) = torch.autograd.grad(base.sum(), columns[0 if name == "t" else 1], create_graph=True)
    return found


CASES = {
    "burgers": (burgers.raissi2019(0.05), lambda u: u["t"] + u[""] * u["x"] - 0.05 * u["xx"]),
    "burgers in a box": (burgers.raissi2019_dirichlet(0.05), lambda u: u["t"] + u[""] * u["x"] - 0.05 * u["xx"]),
    "allen_cahn": (allen_cahn.front(0.02, 3.0), lambda u: u["t"] - 0.02 * u["xx"] - 3 * (u[""] - u[""] ** 3)),
    "kdv": (korteweg_de_vries.raissi2019(), lambda u: u["t"] + u[""] * u["x"] + 0.0025 * u["xxx"]),
    "ks": (kuramoto_sivashinsky.kassam2005(), lambda u: u["t"] + u[""] * u["x"] + u["xx"] + u["xxxx"]),
    "convection": (advection.krishnapriyan2021(30.0), lambda u: u["t"] + 30 * u["x"]),
    "porous medium": (porous_medium.barenblatt1d(), lambda u: u["t"] - (2 * torch.sign(u[""]) * u["x"] ** 2 + 2 * u[""].abs() * u["xx"])),
}


@pytest.mark.parametrize("name", CASES)
def test_residuals_are_those_derived_by_hand(name: str) -> None:
    problem, residual = CASES[name]
    torch.manual_seed(1)
    pinn = sciml.PINN(problem, width=8, depth=2)
    assert pinn.table is not None  # one pass of series, not nested differentiation
    z = points(pinn)
    truth = residual(by_hand(pinn, z)).detach()
    assert float(truth.abs().max()) > 1e-3
    for found in (pinn.residual(z), pinn.residual_prepared(pinn.prepared(z))):
        assert torch.allclose(found[:, 0], truth, rtol=1e-8, atol=1e-9 * float(truth.abs().max()))


@pytest.mark.parametrize(
    "problem",
    [
        burgers.li2021(),
        poisson.dirichlet(2),
        poisson.neumann(1),
        darcy.layers(),
        darcy.periodic(),
        heat.dirichlet(3),
        advection.waves(2),
        porous_medium.barenblatt2d(),
        sciml.load_problem("lorenz:sakov2012"),
    ],
    ids=lambda p: p.name,
)
def test_both_engines_agree(problem: sciml.Problem) -> None:
    torch.manual_seed(0)
    pinn = sciml.PINN(problem, width=6, depth=2, points=16 if problem.domain.ndim else None, network="modified")
    assert pinn.table is not None
    z = points(pinn, 3)
    truth = pinn.residual(z).detach()
    assert torch.allclose(pinn.residual_prepared(pinn.prepared(z)), truth, rtol=1e-8, atol=1e-8 * float(truth.abs().max()))


def test_the_streamfunction_has_the_residual_of_the_vorticity_equation() -> None:
    torch.manual_seed(0)
    problem = navier_stokes.kolmogorov()
    pinn = sciml.PINN(problem, width=6, depth=1, points=16, end=1.0)
    assert pinn.table is not None and pinn.shift == 0
    grid, t, h = problem.grid(32), 0.4, 1e-4
    before, now, after = pinn.field(grid, [t - h, t, t + h])
    slope = problem.equation.rhs(now, sciml.Fourier(grid))
    x, y = (c[::5, ::7].flatten() for c in grid.points())
    truth = ((after - before) / (2 * h) - slope)[0, ::5, ::7].flatten()
    z = torch.stack([torch.full_like(x, t), x, y], 1)
    found = pinn.residual_prepared(pinn.prepared(z)).detach()[:, 0]
    assert float(truth.abs().max()) > 1.0
    assert torch.allclose(found, truth, atol=1e-5 * float(truth.abs().max()))


class Exotic(sciml.Equation):
    """Functions of all kinds in one right-hand side."""

    degree = None

    def nonlinear(self, u: Any, d: Any) -> Any:
        (x,) = d.coordinates()
        wavy = 2 * u + torch.exp(0.1 * u) * torch.tanh(u) / (2 + torch.cos(u)) + torch.sqrt(1 + u**2) - (u**2 + 1) ** 0.3
        bent = torch.where(u > 0.1, u**3, 0.2 * torch.sin(u)) + 1 / (3 + u**2) + torch.square(x) * d.time
        return d.x(wavy, 2) + d.x(abs(u + 2) ** 2.5 * torch.sigmoid(u)) + d.x(bent) - d.given("k", torch.cosh) * d.x(u) + d.given("q", _forcing)


def _forcing(x: Tensor) -> Tensor:
    return 0.3 * x * torch.exp(-(x**2))


def test_functions_of_fields() -> None:
    torch.manual_seed(0)
    problem = replace(burgers.raissi2019(0.1), equation=Exotic(), name="exotic:own")
    pinn = sciml.PINN(problem, width=6, depth=1)
    assert pinn.table is not None and pinn.table.indices == [(0, 0), (1, 0), (0, 1), (0, 2)]
    z = points(pinn, 40)
    truth = pinn.residual(z).detach()
    assert torch.allclose(pinn.residual_prepared(pinn.prepared(z)), truth, rtol=1e-9, atol=1e-9)


def test_functions_that_series_do_not_know_are_left_to_the_functional_engine() -> None:
    class Odd(sciml.Equation):
        def nonlinear(self, u: Any, d: Any) -> Any:
            return torch.lgamma(u + 3) * d.x(u)

    torch.manual_seed(0)
    pinn = sciml.PINN(replace(burgers.raissi2019(0.1), equation=Odd(), name="odd:own"), width=6, depth=1)
    assert pinn.table is None
    z = points(pinn)
    u = by_hand(pinn, z)
    assert torch.allclose(pinn.residual_prepared(pinn.prepared(z))[:, 0], u["t"] - torch.lgamma(u[""] + 3) * u["x"])
    with pytest.raises(sciml.UnsupportedError, match="lgamma"):
        d = Jets(z)
        torch.lgamma(d.coordinates()[0] + 1)


def test_what_the_jets_engine_refuses() -> None:
    z = torch.rand(3, 2, dtype=F64)
    d = Jets(z)
    (x,) = d.coordinates()
    with pytest.raises(sciml.UnsupportedError, match="shape"):
        x * torch.ones(3, dtype=F64)
    with pytest.raises(sciml.UnsupportedError, match="arrays"):
        d.field(z)
    with pytest.raises(sciml.UnsupportedError, match="invert the Laplacian"):
        d.inverse_laplacian(x)
    with pytest.raises(sciml.UnsupportedError, match="another engine"):
        d.own(sciml.Functional(1).time)
    with pytest.raises(sciml.UnsupportedError, match="these arguments"):
        torch.clamp(x, min=0.0)


def test_series_of_products_and_functions() -> None:
    table = Table([(1, 2), (0, 3)])
    assert set(table.indices) == {(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2), (0, 3)}
    assert monomials((0, 2)) == ((1, 1, ((0, 2),)), (2, 1, ((0, 1), (0, 1))))
    assert dict.fromkeys(m for _, m, _ in monomials((1, 2))) == {1: None, 2: None, 3: None}
    t, x = torch.tensor(0.3, dtype=F64), torch.tensor(0.7, dtype=F64)

    def a(t: Tensor, x: Tensor) -> Tensor:
        return torch.sin(2 * t + x) + t * x**2

    def b(t: Tensor, x: Tensor) -> Tensor:
        return torch.exp(t - x)

    def series(f: Any) -> Series:
        rows = []
        for i, j in table.indices:
            g = f
            for which in [0] * i + [1] * j:
                g = torch.func.grad(g, argnums=which)
            rows.append(g(t, x) / math.factorial(i) / math.factorial(j))
        return Series(torch.stack(rows).reshape(-1, 1), table)

    assert torch.allclose((series(a) * series(b)).c, series(lambda t, x: a(t, x) * b(t, x)).c)
    for derivatives, function in ((tanh_series, torch.tanh), (sine_series, torch.sin), (swish_series, torch.nn.functional.silu)):
        assert torch.allclose(series(a).apply(derivatives).c, series(lambda t, x, f=function: f(a(t, x))).c, rtol=1e-10)
        grown, plain = derivatives(x, 5), nested(function, x, 5)
        assert all(torch.allclose(p, q, rtol=1e-9) for p, q in zip(grown, plain, strict=True))
    assert float(composed([x, x + 1, x + 2], (x, t), [(2, 3, (0, 1))])) == pytest.approx(float((x + 2) * x * t * 3))


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("activation", ["tanh", "sine", "swish"])
@pytest.mark.parametrize("extra", [{}, {"adaptive": True, "fourier": (5, 0.5)}])
def test_every_network_has_the_same_series_as_its_derivatives(kind: str, activation: str, extra: dict[str, Any]) -> None:
    torch.manual_seed(0)
    pinn = sciml.PINN(burgers.raissi2019(0.1), width=10, depth=2, network=kind, activation=activation, **extra)
    with torch.no_grad():
        for name, p in pinn.named_parameters():
            if name.endswith("alpha"):
                p.fill_(0.7)  # a closed gate would hide its block
    z = points(pinn, 5)
    assert torch.allclose(pinn.residual_prepared(pinn.prepared(z)), pinn.residual(z), rtol=1e-9, atol=1e-9)


def test_networks_are_what_their_formulas_say() -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {"width": 4, "depth": 2, "activation": "tanh", "adaptive": False, "fourier": None, "frequency": 1.0, "who": "test"}
    v = torch.randn(6, 3)
    net: Any = make_network("mlp", 3, 2, **options)
    h = torch.tanh(net.layers[0].linear(torch.tanh(net.entrance.linear(v))))
    assert torch.allclose(net(v), net.last(h), atol=1e-6)
    net = make_network("modified", 3, 2, **options)
    first, second, h = torch.tanh(net.u.linear(v)), torch.tanh(net.v.linear(v)), v
    for layer in (net.entrance, *net.layers):
        gate = torch.tanh(layer.linear(h))
        h = (1 - gate) * first + gate * second
    assert torch.allclose(net(v), net.last(h), atol=1e-6)
    net = make_network("pirate", 3, 2, **options)
    assert torch.allclose(net(v), net.last(net.enter(v)), atol=1e-6)  # linear at the start
    with torch.no_grad():
        net.blocks[0].alpha.fill_(0.3)
    first, second, x = torch.tanh(net.u.linear(v)), torch.tanh(net.v.linear(v)), net.enter(v)
    one, two, three = (layer.linear for layer in net.blocks[0].layers)
    h = torch.tanh(one(x))
    h = h * first + (1 - h) * second
    h = torch.tanh(two(h))
    h = h * first + (1 - h) * second
    assert torch.allclose(net(v), net.last(0.3 * torch.tanh(three(h)) + 0.7 * x), atol=1e-6)
    net = make_network("mlp", 3, 2, **{**options, "adaptive": True})
    assert torch.allclose(net(v), net.last(torch.tanh(net.layers[0].linear(torch.tanh(net.entrance.linear(v))))), atol=1e-6)  # slopes start at 1
    with torch.no_grad():
        net.entrance.activation.slope.mul_(2)
    assert torch.allclose(net(v), net.last(torch.tanh(net.layers[0].linear(torch.tanh(2 * net.entrance.linear(v))))), atol=1e-6)
    torch.manual_seed(0)
    slow = make_network("mlp", 3, 2, **options)
    torch.manual_seed(0)
    fast = make_network("mlp", 3, 2, **{**options, "frequency": 5.0})
    assert torch.equal(fast.first()[0].weight, 5 * slow.first()[0].weight)
    waves: Any = make_network("mlp", 3, 2, **{**options, "fourier": (200, 2.0)}).embedding
    assert waves(v).shape == (6, 400) and float(waves.matrix.std()) == pytest.approx(2.0, rel=0.1)
    assert torch.allclose(waves(v)[:, :200] ** 2 + waves(v)[:, 200:] ** 2, torch.ones(6, 200), atol=1e-5)


def test_the_exact_solution_has_no_residual() -> None:
    """u = u0 + s N with N = (u_exact - u0) / s."""
    problem = heat.periodic(1, 0.05)
    pinn = sciml.PINN(problem, width=4, depth=1)

    def inserted(z: Tensor, network: Any) -> Tensor:
        return torch.as_tensor(problem.exact(z[..., 0], z[..., 1])).unsqueeze(-1)

    pinn.ansatz.forward = inserted
    z = points(pinn)
    assert float(pinn.residual(z).abs().max()) < 1e-12
    assert torch.allclose(pinn(z[:, 0], z[:, 1])[:, 0], problem.exact(z[:, 0], z[:, 1]))


def test_systems_have_a_residual_per_field() -> None:
    viscosity = 0.1

    def exact(t: Any, x: Tensor, y: Tensor) -> Tensor:
        return torch.stack(navier_stokes.taylor_green_flow(t, x, y, viscosity, 1.0, (1.0, 0.5)))

    problem = sciml.Problem(
        name="navier_stokes:own",
        equation=navier_stokes.VelocityPressure(viscosity),
        domain=sciml.Domain.periodic((2 * math.pi, 2 * math.pi)),
        initial=sciml.Profile(lambda x, y: exact(0.0, x, y)),
        horizon=1.0,
        points=(16, 16),
        exact=exact,
    )
    torch.manual_seed(0)
    pinn = sciml.PINN(problem, width=6, depth=1)
    z = points(pinn, 4)
    assert pinn.residual(z).shape == (4, 3)
    assert torch.allclose(pinn.residual_prepared(pinn.prepared(z)), pinn.residual(z), rtol=1e-9, atol=1e-9)
    assert torch.allclose(pinn(torch.zeros(4, dtype=F64), z[:, 1], z[:, 2]), exact(0.0, z[:, 1], z[:, 2]).T)
    pinn.ansatz.forward = lambda z, network: exact(z[..., 0], z[..., 1], z[..., 2]).movedim(0, -1)
    assert float(pinn.residual(z).abs().max()) < 1e-12


# -- calls ------------------------------------------------------------------------------------------------------------


def test_shapes_of_points() -> None:
    pinn = sciml.PINN(burgers.raissi2019(0.1), width=4, depth=1).eval()
    t, x = torch.rand(5, 1, dtype=F64), torch.rand(1, 3, dtype=F64)
    table = pinn(t, x)
    assert table.shape == (5, 3, 1)
    assert torch.equal(pinn(t.expand(5, 3).reshape(-1), x.expand(5, 3).reshape(-1)).reshape(5, 3, 1), table)
    column = torch.rand(4, 1, dtype=F64)
    assert torch.equal(pinn(column, column), pinn(column[:, 0], column[:, 0]))  # columns, as engines hand them over
    assert pinn(0.5, 0.25).shape == (1,)
    assert torch.equal(pinn.field(pinn.problem.grid(6), [0.0, 0.5])[1, 0], pinn(0.5, pinn.problem.grid(6).axes()[0])[:, 0])
    assert isinstance(pinn, sciml.Solution)
    d, u = sciml.Points.of(pinn, torch.rand(4, 1, dtype=F64), torch.rand(4, 1, dtype=F64))
    z = torch.cat(d.inputs, 1).detach()
    assert torch.allclose(d.values(pinn.equation.residual(u, d)), pinn.residual(z))
    assert torch.allclose(sciml.PointResidual(pinn.equation, pinn, 1)(z), pinn.residual(z))


def test_calls_that_do_not_fit() -> None:
    pinn = sciml.PINN(burgers.raissi2019(0.1), width=4, depth=1)
    with pytest.raises(sciml.InputError, match=r"2 space coordinates given .* call pinn\(t, x\)"):
        pinn(0.0, torch.zeros(3), torch.zeros(3))
    with pytest.raises(sciml.InputError, match="must broadcast"):
        pinn(torch.zeros(2), torch.zeros(3))
    with pytest.raises(sciml.InputError, match="steady"):
        sciml.PINN(poisson.dirichlet(1), width=4).field(times=[0.0])


def test_solutions_as_datasets() -> None:
    problem = poisson.dirichlet(2)
    steady = sciml.PINN(problem, width=4, depth=1)
    ds = steady.solution(problem.grid(5))
    assert ds["u"].dims == ("x", "y") and torch.allclose(torch.from_numpy(ds["f"].values), problem.initial_state(problem.grid(5))[0])
    ds = sciml.PINN(burgers.raissi2019(0.1), width=4).solution(burgers.raissi2019().grid(8), [0.0, 1.0])
    assert ds["u"].dims == ("time", "x") and ds.attrs["method"] == "PINN"


def test_float32_and_moves() -> None:
    torch.manual_seed(0)
    pinn = sciml.PINN(burgers.raissi2019(0.1), width=8, depth=2, dtype=torch.float32)
    u = pinn(0.5, torch.tensor([0.3], dtype=F64).expand(2))
    assert u.dtype is torch.float32
    assert torch.allclose(pinn.double()(0.5, torch.tensor([0.3, 0.3])).float(), u, atol=1e-6)


def test_initial_state_that_is_trained_is_not_kept_in_prepared_rows():
    from sciml.problems import burgers

    class Wave(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.height = torch.nn.Parameter(torch.tensor(1.0))

        def forward(self, x):
            return self.height * torch.sin(math.pi * x)

    torch.manual_seed(0)
    pinn = sciml.PINN(burgers.raissi2019(viscosity=0.1), width=4, depth=1, state=Wave())
    z = torch.tensor([[0.3, 0.2], [0.6, -0.7]], dtype=torch.float64)
    rows = pinn.prepared(z)
    with torch.no_grad():
        pinn.ansatz.state.height.fill_(2.0)
    assert torch.allclose(pinn.residual_prepared(rows), pinn.residual(z), rtol=1e-12)
    gradient = torch.autograd.grad(pinn.residual_prepared(rows).square().sum(), pinn.ansatz.state.height)[0]
    assert abs(float(gradient)) > 1e-3
