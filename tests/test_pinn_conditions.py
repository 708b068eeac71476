"""Initial and boundary conditions of physics-informed networks: they hold for any weights, or are refused in words."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import sciml
from sciml.problems import advection, burgers, heat, kuramoto_sivashinsky, navier_stokes, poisson, porous_medium
from sciml.spectral.resample import evaluate
from sciml.surrogates.pinn.states import BandLimited


def evolution(domain: sciml.Domain, initial: Callable[..., Tensor], ndim: int = 1) -> sciml.Problem:
    """A heat problem on a domain of one's own."""
    return replace(heat.periodic(ndim), name="heat:own", domain=domain, initial=sciml.Profile(initial), exact=None)


def pinn_of(problem: sciml.Problem, **options: Any) -> sciml.PINN:
    """A network whose weights are large, so that nothing holds by smallness."""
    torch.manual_seed(3)
    pinn = sciml.PINN(problem, **{"width": 12, "depth": 2, **options})
    with torch.no_grad():
        for p in pinn.network.parameters():
            p.mul_(2.0).add_(0.3 * torch.randn_like(p))
    return pinn


def slope(pinn: sciml.PINN, t: Tensor, x: list[Tensor], axis: int) -> Tensor:
    x = [c.clone().requires_grad_() for c in x]
    (g,) = torch.autograd.grad(pinn(t, *x).sum(), x[axis])
    return g


T = torch.tensor([0.0, 0.13, 0.5, 1.0], dtype=torch.float64)
FULL = torch.full_like


def test_periodic_axes_repeat_and_the_initial_state_holds() -> None:
    pinn = pinn_of(burgers.raissi2019(0.1), harmonics=3)
    x = torch.linspace(-1, 1, 9, dtype=torch.float64)[:-1]
    assert torch.equal(pinn(0.0, x)[:, 0], -torch.sin(math.pi * x))
    for shift in (2.0, -4.0):
        assert torch.allclose(pinn(0.7, x + shift), pinn(0.7, x), atol=1e-12)
    assert float((pinn(0.7, x) - pinn(0.0, x)).detach().abs().max()) > 0.1  # the network takes part


def test_values_that_move_on_both_faces() -> None:
    domain = sciml.Domain.box(0.0, 2.0, sciml.Dirichlet(lambda t: 1.0 + 3 * t), sciml.Dirichlet(lambda t: math.cos(float(t)) * 5.0))
    pinn = pinn_of(evolution(domain, lambda x: 1.0 + 2 * x))
    x = torch.tensor([0.3, 1.1], dtype=torch.float64)
    assert torch.equal(pinn(0.0, x)[:, 0], 1.0 + 2 * x)
    assert torch.allclose(pinn(T, FULL(T, 0.0))[:, 0], 1 + 3 * T, atol=1e-12)
    assert torch.allclose(pinn(T, FULL(T, 2.0))[:, 0], 5 * torch.cos(T), atol=1e-9)  # a function that returns floats is interpolated


def test_slopes_on_both_faces_and_no_more() -> None:
    domain = sciml.Domain.box(0.0, 2.0, sciml.Neumann(lambda t: 1.0 + t), sciml.Neumann(1.0))
    pinn = pinn_of(evolution(domain, lambda x: x))
    assert torch.allclose(slope(pinn, T, [FULL(T, 0.0)], 0), 1 + T, atol=1e-10)
    assert torch.allclose(slope(pinn, T, [FULL(T, 2.0)], 0), torch.ones_like(T), atol=1e-10)
    d = sciml.Functional(1)
    u = d.unknown(lambda z: pinn.values(z))
    third = d.evaluate(d.x(u, 3), torch.tensor([[0.9, 0.0], [0.9, 2.0]], dtype=torch.float64))
    assert float(third.detach().abs().min()) > 1e-2  # higher odd derivatives are free


@pytest.mark.parametrize("value_below", [True, False])
def test_a_value_on_one_face_and_a_slope_on_the_other(value_below: bool) -> None:
    value, flux = sciml.Dirichlet(lambda t: t), sciml.Neumann(lambda t: 2.0 + 0 * t)
    domain = sciml.Domain.box(-1.0, 2.0, *((value, flux) if value_below else (flux, value)))
    fixed, free = (-1.0, 2.0) if value_below else (2.0, -1.0)
    pinn = pinn_of(evolution(domain, lambda x: 2 * (x - fixed)))
    assert torch.allclose(pinn(T, FULL(T, fixed))[:, 0], T, atol=1e-12)
    assert torch.allclose(slope(pinn, T, [FULL(T, free)], 0), FULL(T, 2.0), atol=1e-10)
    assert float(slope(pinn, T[1:], [FULL(T[1:], fixed)], 0).sub(2.0).abs().min()) > 1e-3  # the slope there is the network's


def test_mixed_faces_of_a_rectangle_with_its_corners() -> None:
    wall, closed = sciml.Dirichlet(lambda t: 2.0 * t), sciml.Neumann(0.0)
    domain = sciml.Domain.box((0.0, 0.0), (1.0, 3.0), wall, wall, closed, wall)
    pinn = pinn_of(evolution(domain, lambda x, y: torch.sin(math.pi * x) * torch.cos(math.pi * y / 6), 2))
    s = torch.linspace(0, 1, 5, dtype=torch.float64)
    for t in (0.0, 0.4, 1.0):
        for x, y in ((0 * s, 3 * s), (0 * s + 1, 3 * s), (s, 0 * s + 3)):
            assert torch.allclose(pinn(t, x, y)[:, 0], torch.full_like(s, 2 * t), atol=1e-12)
        assert torch.allclose(slope(pinn, torch.tensor(t), [s, 0 * s], 1), torch.zeros_like(s), atol=1e-10)
    assert torch.allclose(pinn(0.0, s, s)[:, 0], torch.sin(math.pi * s) * torch.cos(math.pi * s / 6), atol=1e-14)


def test_faces_of_a_channel_may_differ() -> None:
    domain = sciml.Domain((0.0, 0.0), (1.0, 1.0), ((sciml.Periodic(),) * 2, (sciml.Dirichlet(-1.0), sciml.Dirichlet(lambda t: 1.0 + t))))
    pinn = pinn_of(evolution(domain, lambda x, y: 2 * y - 1 + 0 * x, 2))
    s = torch.linspace(0, 0.9, 5, dtype=torch.float64)
    assert torch.allclose(pinn(0.5, s, 0 * s)[:, 0], -torch.ones_like(s), atol=1e-12)
    assert torch.allclose(pinn(0.5, s, 0 * s + 1)[:, 0], torch.full_like(s, 1.5), atol=1e-12)
    assert torch.allclose(pinn(0.5, s + 1, s), pinn(0.5, s, s), atol=1e-12)


def test_three_dimensions() -> None:
    pinn = pinn_of(heat.dirichlet(3))
    s = torch.linspace(0, 1, 4, dtype=torch.float64)
    for face in ((0 * s, s, s), (s, 0 * s + 1, s), (s, s, 0 * s)):
        assert float(pinn(0.6, *face).detach().abs().max()) < 1e-14
    assert float(pinn(0.6, s[1:3], s[1:3], s[1:3]).detach().abs().min()) > 1e-3


def test_steady_values_and_the_mean_of_a_solution_known_up_to_a_constant() -> None:
    s = torch.linspace(0, 1, 5, dtype=torch.float64)
    assert float(pinn_of(poisson.dirichlet(2))(0.0, s, 0 * s).detach().abs().max()) < 1e-15
    for problem in (poisson.neumann(2), poisson.periodic(2), poisson.neumann(1)):
        pinn = pinn_of(problem)
        assert pinn.free_constant
        assert abs(float(pinn.field(problem.grid(200 if problem.domain.ndim == 2 else 4000)).mean())) < 1e-4
    assert not pinn_of(poisson.dirichlet(2)).free_constant


@pytest.mark.parametrize("shape", [(8,), (9,), (6, 7), (7, 6), (4, 6, 8)])
def test_states_between_their_samples(shape: tuple[int, ...]) -> None:
    grid = sciml.Grid(shape, (1.5, 2.0, 3.0)[: len(shape)], origin=(0.4,) * len(shape))
    generator = torch.Generator().manual_seed(0)
    u = torch.randn((2, *shape), generator=generator, dtype=torch.float64)
    x = 5 * torch.rand((11, len(shape)), generator=generator, dtype=torch.float64)
    state = BandLimited(u, grid)
    assert torch.allclose(state(x), evaluate(u, grid, x.unbind(1)).T, atol=1e-12)
    order = (1, *(2,) * (len(shape) - 1))
    d = sciml.Functional(len(shape))
    v = d.unknown(lambda z: state(z[1:]), 2)
    truth = d.evaluate(d.mixed(v, order), torch.cat([torch.zeros(11, 1, dtype=torch.float64), x], 1))
    assert torch.allclose(state.series(x, [order])[:, 0], truth, rtol=1e-9, atol=1e-7)


def test_random_states_start_where_they_were_drawn() -> None:
    problem = burgers.li2021()
    grid = problem.grid(64)
    u = problem.initial_state(grid, torch.Generator().manual_seed(5))
    pinn = pinn_of(problem, points=64, generator=torch.Generator().manual_seed(5))
    assert torch.allclose(pinn.field(grid, [0.0])[0], u, atol=1e-12)
    given = pinn_of(problem, points=64, state=2 * u)
    assert torch.allclose(given.field(grid, [0.0])[0], 2 * u, atol=1e-12)
    formula = pinn_of(problem, state=lambda x: torch.cos(2 * math.pi * x))
    assert torch.allclose(formula.field(grid, [0.0])[0, 0], torch.cos(2 * math.pi * grid.axes()[0]), atol=1e-14)


def test_a_profile_that_torch_cannot_transform_is_taken_between_its_samples() -> None:
    problem = replace(burgers.kassam2005(), initial=sciml.Profile(lambda x: torch.sin(x) if float(x.max()) < 99 else x))
    pinn = pinn_of(problem, points=32)
    assert torch.allclose(pinn.field(problem.grid(50), [0.0])[0, 0], torch.sin(problem.grid(50).axes()[0]), atol=1e-12)


def test_the_streamfunction_gives_the_initial_vorticity() -> None:
    problem = navier_stokes.taylor_green()
    pinn = pinn_of(problem, points=16)
    grid = problem.grid(12)
    assert torch.allclose(pinn.field(grid, [0.0])[0], problem.exact_state(grid, 0.0), atol=1e-11)
    assert abs(float(pinn.field(grid, [1.0]).mean())) < 0.05 * float(pinn.field(grid, [1.0]).abs().max())


def test_soft_conditions_are_terms_and_do_not_hold() -> None:
    problem = allen_cahn_with_slopes()
    pinn = pinn_of(problem, bc="soft", initial="soft")
    objective = sciml.PinnObjective(points=sciml.Sobol(8), boundary_points=4, initial_points=6)
    terms = {t.name: t for t in objective.terms(pinn.train(), None, torch.Generator().manual_seed(0))}
    assert set(terms) == {"equation", "initial", "boundary", "slope.x"}
    assert float((terms["initial"].points[:, 0]).abs().max()) == 0.0
    assert torch.allclose(terms["initial"].points[:, 2], torch.cos(terms["initial"].points[:, 1]))
    t = terms["boundary"].points
    assert torch.equal(t[:, 1], torch.zeros(4, dtype=torch.float64)) and torch.allclose(t[:, 2], 1 + t[:, 0])
    parameters = dict(pinn.named_parameters())
    values = torch.stack([terms["boundary"].function(parameters, z) for z in t])
    assert torch.allclose(values[:, 0], pinn(t[:, 0], t[:, 1])[:, 0] - t[:, 2])
    s = terms["slope.x"].points
    assert torch.equal(s[:, 1], torch.full((4,), 2.0, dtype=torch.float64)) and torch.equal(s[:, 2], torch.full((4,), 0.25, dtype=torch.float64))
    slopes = torch.stack([terms["slope.x"].function(parameters, z) for z in s])
    assert torch.allclose(slopes[:, 0], slope(pinn, s[:, 0], [s[:, 1]], 0) - 0.25)


def allen_cahn_with_slopes() -> sciml.Problem:
    return evolution(sciml.Domain.box(0.0, 2.0, sciml.Dirichlet(lambda t: 1.0 + t), sciml.Neumann(0.25)), torch.cos)


# -- what cannot be built in -------------------------------------------------------------------------------------------


def test_conditions_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(sciml.InputError, match=r"x=0 wants the value 1 at t=0.*initial state.*gives? 0.*initial='soft'"):
        sciml.PINN(porous_medium.stefan())
    lid = sciml.Domain.box((0.0, 0.0), (1.0, 1.0), sciml.Dirichlet(0.0), sciml.Dirichlet(0.0), sciml.Dirichlet(0.0), sciml.Dirichlet(1.0))
    with pytest.raises(sciml.InputError, match="wants the value .* other boundaries give"):
        sciml.PINN(replace(poisson.dirichlet(2), domain=lid))
    with pytest.raises(sciml.InputError, match="wants the slope 0 at t=0"):
        sciml.PINN(evolution(sciml.Domain.box(0.0, 1.0, sciml.Neumann(0.0)), lambda x: x))
    sciml.PINN(porous_medium.stefan(), bc="soft")
    sciml.PINN(porous_medium.stefan(), initial="soft")


def test_boundary_values_that_are_not_smooth_in_time() -> None:
    with pytest.raises(sciml.UnsupportedError, match="face x=0: the boundary value is no smooth function of time"):
        sciml.PINN(porous_medium.pme())
    soft = sciml.PINN(porous_medium.pme(), bc="soft")
    t = next(t for t in sciml.PinnObjective(boundary_points=8).terms(soft.train(), None, torch.Generator()) if t.name == "boundary")
    inflow = t.points[t.points[:, 1] == 0]
    assert torch.allclose(inflow[:, 2], (3 * inflow[:, 0]) ** (1 / 3))


def test_boundary_values_of_a_wrong_kind() -> None:
    for value, message in ((float("nan"), "not finite"), (torch.ones(3), "shape")):
        with pytest.raises(sciml.InputError, match=message):
            sciml.PINN(evolution(sciml.Domain.box(0.0, 1.0, sciml.Dirichlet(lambda t, v=value: v)), lambda x: 0 * x))


def test_states_that_cannot_be_evaluated_at_points() -> None:
    bounded = replace(heat.dirichlet(1), initial=sciml.RandomLaw(lambda grid, generator: torch.zeros(grid.shape)))
    with pytest.raises(sciml.UnsupportedError, match="periodic domains only"):
        sciml.PINN(bounded)
    opaque = replace(heat.dirichlet(1), initial=sciml.Profile(lambda x: x if float(x) < 2 else 2 * x))
    with pytest.raises(sciml.UnsupportedError, match="point by point"):
        sciml.PINN(opaque)
    with pytest.raises(sciml.InputError, match="state of shape"):
        sciml.PINN(burgers.li2021(), state=torch.zeros(1, 7))
    with pytest.raises(sciml.InputError, match="state is a str"):
        sciml.PINN(burgers.li2021(), state="zero")
    with pytest.raises(sciml.InputError, match="initial state has shape"):
        sciml.PINN(burgers.raissi2019(), state=lambda x: torch.stack([x, x, x]))
    flow = replace(navier_stokes.taylor_green(), initial=sciml.Profile(lambda x, y: 1.0 + torch.cos(x) + 0 * y))
    with pytest.raises(sciml.InputError, match="mean 1"):
        sciml.PINN(flow, points=8)
    with pytest.raises(sciml.UnsupportedError, match="bounded axes"):
        sciml.PINN(replace(navier_stokes.taylor_green(), domain=sciml.Domain.box((0.0, 0.0), (1.0, 1.0), sciml.Dirichlet(0.0))), points=8)


def test_inviscid_laws_are_said_to_be_so() -> None:
    with pytest.raises(sciml.UnsupportedError, match=r"inviscid.*cross at t=0\.3183"):
        sciml.PINN(burgers.raissi2019(viscosity=0))
    sciml.PINN(burgers.raissi2019(viscosity=0), end=0.3)  # before the shock
    with pytest.raises(sciml.UnsupportedError, match="inviscid"):
        sciml.march_pinn(burgers.raissi2019(viscosity=0.0), 2, epochs=1)
    rising = replace(burgers.raissi2019_dirichlet(0), domain=sciml.Domain.box(-1.0, 1.0, sciml.Neumann(1.0)), initial=sciml.Profile(lambda x: x))
    assert sciml.PINN(rising, bc="soft").end == 1.0  # characteristics that spread never cross
    assert sciml.PINN(advection.krishnapriyan2021(), width=4).channels == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bc": "firm"}, "bc='firm'"),
        ({"initial": "none"}, "initial='none'"),
        ({"dtype": torch.float16}, "float16"),
        ({"network": "cnn"}, "network='cnn'"),
        ({"activation": "relu"}, "activation='relu'"),
        ({"width": 0}, "width=0"),
        ({"fourier": (4,)}, "pair"),
        ({"fourier": (4, -1.0)}, "scale"),
        ({"frequency": 0.0}, "frequency"),
        ({"start": 1.0}, "start < end"),
        ({"end": float("inf")}, "start < end"),
        ({"harmonics": 0}, "harmonics"),
    ],
)
def test_options_that_make_no_network(options: dict[str, Any], message: str) -> None:
    with pytest.raises(sciml.InputError, match=message):
        sciml.PINN(burgers.raissi2019(), **options)


def test_problems_that_points_cannot_solve() -> None:
    with pytest.raises(sciml.InputError, match="a str given"):
        sciml.PINN("burgers:raissi2019")
    with pytest.raises(sciml.InputError, match="drawn at random on a grid"):
        sciml.PINN(poisson.random())
    with pytest.raises(sciml.UnsupportedError, match="lattice"):
        sciml.PINN(sciml.load_problem("lorenz:sakov2008"))
    with pytest.raises(sciml.UnsupportedError, match="more than its one unknown"):
        sciml.PINN(sciml.load_problem("quasi_geostrophic:eddy"))
    with pytest.raises(sciml.InputError, match="steady"):
        sciml.PINN(poisson.dirichlet(1), end=1.0)
    rough = replace(kuramoto_sivashinsky.kassam2005(), initial=sciml.Profile(lambda x: torch.sqrt(0 * x)))
    with pytest.raises(sciml.InputError, match="initial='soft'"):
        sciml.PINN(rough)
    loose = burgers.raissi2019(viscosity=2 * torch.nn.Parameter(torch.tensor(0.1)))
    with pytest.raises(sciml.InputError, match=r"viscosity requires a gradient but is no torch.nn.Parameter"):
        sciml.PINN(loose)


@pytest.mark.parametrize("kind", [torch.as_tensor, lambda t: torch.tensor(float(t))], ids=["of a tensor", "of a number"])
def test_boundary_values_in_single_precision_are_smooth_all_the_same(kind: Callable[[Any], Tensor]) -> None:
    """A function that makes a tensor of a plain number gets torch's default precision."""
    domain = sciml.Domain.box(0.0, 2.0, sciml.Dirichlet(lambda t: torch.sin(3 * kind(t))), sciml.Dirichlet(0.0))
    pinn = pinn_of(evolution(domain, lambda x: 0 * x))
    assert torch.allclose(pinn(T, FULL(T, 0.0))[:, 0], torch.sin(3 * T), atol=1e-5)


def test_fields_are_for_the_places_and_times_of_the_problem() -> None:
    pinn = pinn_of(heat.dirichlet(1), start=0.2, end=0.6)
    grid = heat.dirichlet(1).grid(9)
    assert torch.equal(pinn.field(grid, [0.2, 0.6])[1, 0], pinn(0.6, grid.points()[0])[:, 0].detach())
    finer = sciml.Grid((5,), (0.5,), (False,), (0.25,))
    assert torch.equal(pinn.field(finer)[0, 0], pinn(0.6, finer.points()[0])[:, 0].detach())
    for times in ([0.1], [0.2, 0.7]):
        with pytest.raises(sciml.InputError, match=r"PINN.field: t from .* but the network solves from 0.2 to 0.6"):
            pinn.field(grid, times)
    with pytest.raises(sciml.InputError, match=r"x from 0.5 to 1.5 given, but the network solves from 0 to 1"):
        pinn.field(sciml.Grid((5,), (1.0,), (False,), (0.5,)))
    with pytest.raises(sciml.InputError, match="a grid with 2 axes given for heat:dirichlet, which has 1"):
        pinn.field(heat.dirichlet(2).grid(4))
    around = pinn_of(burgers.raissi2019(0.1))
    assert around.field(sciml.Grid((8,), (2.0,), (True,), (5.0,))).shape == (1, 1, 8)  # a periodic axis has no end


def test_slopes_that_adapt_and_features_in_a_periodic_box() -> None:
    problem = burgers.raissi2019(0.1)
    x = torch.linspace(-1, 1, 9, dtype=torch.float64)
    for network in ("mlp", "modified", "pirate"):
        pinn = sciml.PINN(problem, width=6, depth=2, network=network, fourier=(5, 2.0), activation="sine", adaptive=True, harmonics=2)
        before = {name: p.detach().clone() for name, p in pinn.named_parameters() if name.endswith("slope")}
        matrix = pinn.network.embedding.matrix.clone()
        sciml.fit(pinn, loss=sciml.PinnObjective(sciml.Sobol(30)), epochs=3, optimizer=torch.optim.Adam, lr=1e-2)
        after = dict(pinn.named_parameters())
        assert len(before) >= 2 and all(float((after[name].detach() - p).abs()) > 1e-4 for name, p in before.items())
        assert torch.equal(pinn.network.embedding.matrix, matrix) and matrix.shape == (5, 5)
        assert torch.allclose(pinn(0.5, x + 2), pinn(0.5, x), atol=1e-12) and torch.allclose(pinn(0.0, x)[:, 0], -torch.sin(math.pi * x), atol=1e-14)


class Reaction(sciml.Equation):
    """Two fields that diffuse and feed on each other."""

    fields = ("u", "v")

    def nonlinear(self, u: Any, d: Any) -> Any:
        p, q = d.split(u)
        return d.stack(0.1 * d.laplacian(p) - p * q, 0.05 * d.laplacian(q) + p)

    def latex(self) -> str:
        return "u_t = 0.1 Lap u - u v, v_t = 0.05 Lap v + u"


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_systems_in_any_dimension_and_precision(ndim: int, dtype: torch.dtype) -> None:
    def start(*x: Tensor) -> Tensor:
        w = 1 + 0.3 * math.prod(torch.sin(2 * math.pi * c) for c in x)
        return torch.stack([w, 0.5 * w])

    problem = sciml.Problem("rd:own", Reaction(), sciml.Domain.periodic((1.0,) * ndim), sciml.Profile(start), 0.2, (12,) * ndim)
    torch.manual_seed(0)
    pinn = sciml.PINN(problem, width=8, depth=1, dtype=dtype)
    objective = sciml.PinnObjective(sciml.RAD(80, every=3), balance="ntk", balance_every=3, weights={"equation.v": 2.0})
    history = sciml.fit(pinn, loss=objective, epochs=6, optimizer=sciml.GaussNewton())
    assert history.parts["equation.u"][-1] < 0.3 * history.parts["equation.u"][0] and pinn.dtype is dtype
    assert set(history.parts) == {f"{kind}{f}" for kind in ("equation.", "weight.equation.") for f in "uv"}
    grid = problem.grid(6)
    u = pinn.field(grid, [0.0, 0.1])
    assert u.shape == (2, 2, *grid.shape) and torch.allclose(u[0], problem.initial_state(grid).to(u.dtype), atol=1e-6)
    z = torch.rand(4, 1 + ndim, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    z[:, 0] *= 0.2
    fast, slow = pinn.residual_prepared(pinn.prepared(z)), pinn.residual(z)
    assert torch.allclose(fast, slow, rtol=1e-3 if dtype is torch.float32 else 1e-9, atol=1e-2 if dtype is torch.float32 else 1e-8)


def test_time_is_read_from_minus_one_to_one_whatever_the_interval() -> None:
    pinn = pinn_of(heat.dirichlet(1), start=0.5, end=0.9)
    z = torch.tensor([[0.5, 0.3], [0.7, 0.3], [0.9, 0.3]], dtype=torch.float64)
    assert torch.allclose(pinn.ansatz.features(z)[:, 0], torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64), atol=1e-14)
    assert torch.allclose(pinn.ansatz.elapsed(z[:, 0]), torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), atol=1e-14)
