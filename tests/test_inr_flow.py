"""Incompressible flow stepped by splitting: conditions at walls, orders in time, schemes known in closed form, refusals, and the cases it is for."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import sciml
from sciml.problems import heat, vortices
from sciml.problems.navier_stokes import VelocityPressure, taylor_green, taylor_green_flow, velocity
from sciml.spectral.modes import Modes
from sciml.surrogates.inr.fits import Fitted, Session, StepSolver, Task
from sciml.surrogates.inr.flow import FlowField
from sciml.surrogates.inr.splitting import Splitting

F64 = torch.float64
SMALL: dict[str, Any] = {"width": 10, "depth": 1, "activation": "sine", "start_tolerance": 1e-4, "seed": 1}
TINY: dict[str, Any] = {"width": 4, "depth": 1, "start_tolerance": 1e-9}
TORUS = sciml.Domain.periodic((2 * math.pi, 2 * math.pi))
BOX = sciml.Domain.box((-1.0, 0.0), (1.0, 1.5), sciml.Slip())
MIXED = sciml.Domain((0.0, -1.0), (2.0, 1.0), ((sciml.Periodic(), sciml.Periodic()), (sciml.Slip(), sciml.Slip())))


def posed(equation: sciml.ResidualForm, domain: sciml.Domain, start: Any, **options: Any) -> sciml.Problem:
    given: dict[str, Any] = {"horizon": 1.0, "points": (12,) * domain.ndim, **options}
    return sciml.Problem("own:flow", equation, domain, sciml.Profile(start), **given)


def still(x: Tensor, *others: Tensor) -> Tensor:
    return torch.zeros(2 + len(others), *x.shape, dtype=x.dtype)


@cache
def cells(mean_flow: tuple[float, float] = (0.5, 0.25)) -> tuple[sciml.Problem, sciml.INRState]:
    """Decaying vortices that are carried across a torus, and the weights of a small network at their start."""

    def exact(t: Any, x: Tensor, y: Tensor) -> Tensor:
        return torch.stack(taylor_green_flow(t, x, y, 0.1, 1.0, mean_flow))

    problem = posed(VelocityPressure(0.1), TORUS, lambda x, y: exact(0.0, x, y), exact=exact)
    return problem, sciml.INRStepper(problem, dt=0.1, **SMALL).start()


def relative(u: Tensor, v: Tensor) -> float:
    return float((u - v).norm() / v.norm())


def field_of(step: sciml.INRStepper) -> FlowField:
    assert isinstance(step.field, FlowField)
    return step.field


def random_weights(step: sciml.INRStepper, seed: int = 0) -> Tensor:
    return torch.randn(step.size, generator=torch.Generator().manual_seed(seed), dtype=step.network.flat.dtype)


# -- the field -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", [BOX, MIXED], ids=["box", "channel"])
@pytest.mark.parametrize("viscosity", [0.0, 0.1])
def test_walls_hold_for_any_weights(domain: sciml.Domain, viscosity: float) -> None:
    step = sciml.INRStepper(posed(VelocityPressure(viscosity), domain, still), dt=0.1, **TINY)
    weights, h = random_weights(step), 1e-5
    low, high = torch.tensor(domain.lower, dtype=F64), torch.tensor(domain.upper, dtype=F64)
    inner = low + (high - low) * torch.rand((9, 2), generator=torch.Generator().manual_seed(1), dtype=F64)
    values = step.at(weights, inner)
    for axis in (0, 1):
        for side, inward in ((low, h), (high, -h)):
            on, near = inner.clone(), inner.clone()
            on[:, axis], near[:, axis] = side[axis], side[axis] + inward
            there, beside = step.at(weights, on), step.at(weights, near)
            if domain.is_periodic[axis]:
                opposite = on.clone()
                opposite[:, axis] = (low + high - side)[axis]
                assert (step.at(weights, opposite) - there).abs().max() < 1e-10 and there[:, axis].abs().max() > 0.1
                continue
            assert there[:, axis].abs().max() < 1e-12 < 0.1 < values[:, axis].abs().max()
            slope = (beside - there).abs() / h
            assert slope[:, 2].max() < 1e-3  # no slope of the pressure, and no shear where there is friction
            assert slope[:, axis].max() > 0.1
            assert (slope[:, 1 - axis].max() < 1e-3) == (viscosity > 0)


def swirl(x: Any, y: Any) -> tuple[Any, Any]:
    """A force that does not act through the walls of BOX."""
    return torch.cos(math.pi * x / 2) * torch.sin(y), torch.sin(2 * math.pi * y / 1.5) * torch.cos(x)


class Braked(sciml.IncompressibleFlow):
    """A force that is not linear in the velocity, and one that grows in time."""

    def forces(self, velocity: tuple[Any, ...], d: sciml.Derivatives) -> Any:
        u, v = velocity
        return -0.3 * u * (u**2 + v**2) + 0.2 * d.time * torch.sin(d.coordinates()[1]), None


@pytest.mark.parametrize(
    ("equation", "domain"),
    [(VelocityPressure(0.1, 0.2, swirl), BOX), (VelocityPressure(0.0), MIXED), (Braked(), TORUS), (VelocityPressure(0.05), TORUS)],
)
def test_rates_and_slopes_are_those_of_nested_differentiation(equation: sciml.IncompressibleFlow, domain: sciml.Domain) -> None:
    step = sciml.INRStepper(posed(equation, domain, still), dt=0.1, **TINY)
    field, weights, time = field_of(step), random_weights(step), 0.7
    step.network.flat.write(weights)
    x = step.box.place(torch.rand((7, 2), generator=torch.Generator().manual_seed(3), dtype=F64))

    def at(p: Tensor) -> Tensor:
        return field.values(field.prepared(p[None], rates=False))[0]

    slopes = torch.func.vmap(torch.func.jacfwd(at))(x)
    whole = torch.func.vmap(torch.func.jacfwd(torch.func.jacfwd(at)))(x)
    u = step.at(weights, x)
    rows = field.prepared(x)
    assert (field.gradient(rows) - slopes[:, :2]).abs().max() < 1e-10
    gradient, laplacian = field.slopes(rows)
    assert (gradient - slopes[:, 2]).abs().max() < 1e-10 and (laplacian[:, 0] - whole[:, 2].diagonal(dim1=1, dim2=2).sum(-1)).abs().max() < 1e-9
    values, rate = step.network.rates(step.network.named(weights), rows, time)
    moving, pushed, advected = field.motion(x, time)
    assert (values - u).abs().max() < 1e-12 and (moving - u[:, :2]).abs().max() < 1e-12
    assert (advected - torch.einsum("nij,nj->ni", slopes[:, :2], u[:, :2])).abs().max() < 1e-10
    lap = whole[:, :2].diagonal(dim1=2, dim2=3).sum(-1)
    if isinstance(equation, VelocityPressure):
        force = equation.viscosity * lap - equation.drag * u[:, :2]
        force = force + (0 if equation.forcing is None else torch.stack(equation.forcing(x[:, 0], x[:, 1]), 1))
    else:
        force = torch.stack([-0.3 * u[:, 0] * u[:, :2].square().sum(1) + 0.2 * time * torch.sin(x[:, 1]), torch.zeros_like(x[:, 0])], 1)
    assert (field.force(x, time) - force).abs().max() < 1e-9 and (pushed - force + slopes[:, 2]).abs().max() < 1e-9
    assert (rate[:, :2] - (pushed - advected)).abs().max() < 1e-10 and not rate[:, 2].any()
    assert (field.velocity_and_force(rows, time)[1] - force).abs().max() < 1e-9


def test_points_come_back_inside() -> None:
    field = field_of(sciml.INRStepper(posed(VelocityPressure(0.0), MIXED, still), dt=0.1, **TINY))
    x = torch.tensor([[2.3, 0.4], [-0.5, -1.2], [4.0, 1.5]], dtype=F64)
    assert torch.allclose(field.inside(x), torch.tensor([[0.3, 0.4], [1.5, -1.0], [0.0, 1.0]], dtype=F64), atol=1e-14)


# -- pressure ------------------------------------------------------------------------------------------------------------


def test_the_first_pressure_follows_from_the_velocity() -> None:
    problem, start = cells()
    step = sciml.INRStepper(problem, dt=0.1, **SMALL)
    grid = problem.grid(16)
    wanted = problem.exact_state(grid, 0.0)
    assert relative(step.sample(start, grid), wanted) < 3e-4 and 0 < start.misfit < 1e-3
    assert abs(float(step.sample(start, grid)[2].mean())) < 1e-10
    states = []
    for p in (0.0, 7.0):  # what is given as pressure does not matter
        case = posed(VelocityPressure(0.1), TORUS, lambda x, y, p=p: torch.stack([torch.sin(y), torch.sin(x), p + torch.sin(x)]))
        states.append(sciml.INRStepper(case, dt=0.1, **TINY | {"start_tolerance": 1e-2}).start().weights)
    assert torch.equal(*states)


def test_the_mean_of_the_pressure_is_zero_between_walls() -> None:
    problem = vortices.taylor_green()
    step = sciml.INRStepper(problem, dt=0.05, **TINY | {"start_tolerance": 1e-2}, limit=9.0, solver=sciml.NaturalGradient(iterations=1))
    state = step.start()
    for found in (state, step.advance(state)):
        p = step.sample(found, problem.grid(96))[2]
        assert abs(float(p.mean())) < 1e-4 * float(p.std())


# -- time ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("integrator", "order", "largest"), [("splitting", 2, 3e-4), ("chorin", 1, 1.2e-2)])
def test_the_order_in_time(integrator: str, order: int, largest: float) -> None:
    problem, start = cells()
    grid = problem.grid(16)
    errors = []
    for n in (2, 4):
        step = sciml.INRStepper(problem, dt=0.4 / n, integrator=integrator, **SMALL)
        assert step.integrator.order == order
        found = step.sample(step.march(start, 0.0, n), grid)
        errors.append(relative(found[:2], problem.exact_state(grid, 0.4)[:2]))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.45) and errors[1] < largest


class Brake(sciml.IncompressibleFlow):
    """Drag in space."""

    fields = ("u", "v", "w", "p")
    ndim = 3

    def forces(self, velocity: tuple[Any, ...], d: sciml.Derivatives) -> Any:
        return [-0.5 * c for c in velocity]


FACTORS = {"splitting": lambda rate, h: (1 - rate * h / 2) / (1 + rate * h / 2), "chorin": lambda rate, h: 1 / (1 + rate * h)}


@pytest.mark.parametrize("integrator", ["splitting", "chorin"])
def test_drag_on_a_uniform_flow_in_two_and_three_dimensions(integrator: str) -> None:
    for equation, ndim in ((VelocityPressure(0.0, 0.5), 2), (Brake(), 3)):

        def start(*x: Tensor) -> Tensor:
            return torch.stack([torch.full_like(x[0], c) for c in (1.0, -0.4, 0.7)[: len(x)]] + [torch.zeros_like(x[0])])

        problem = posed(equation, sciml.Domain.periodic((1.0,) * ndim), start)
        step = sciml.INRStepper(problem, dt=0.4, integrator=integrator, width=2, depth=1, start_tolerance=1e-7)
        state = step.start()
        found = step.advance(state)
        before, after = (step.sample(s, problem.grid(6)) for s in (state, found))
        assert (after[:ndim] - FACTORS[integrator](0.5, 0.4) * before[:ndim]).abs().max() < 1e-5 and found.constraint < 1e-4


@pytest.mark.parametrize("integrator", ["splitting", "chorin"])
def test_friction_and_forcing_on_parallel_flow(integrator: str) -> None:
    nu, h, push = 0.3, 0.5, 0.4
    for sign, profile in ((1.0, torch.sin), (-1.0, torch.cos)):

        def body(x: Any, y: Any, profile: Any = profile) -> tuple[Any, Any]:
            return push * profile(y), 0 * x

        problem = posed(VelocityPressure(nu, forcing=body), TORUS, lambda x, y, f=profile, s=sign: torch.stack([s * f(y), 0 * x, 0 * x]))
        step = sciml.INRStepper(problem, dt=h, integrator=integrator, width=4, depth=1, activation="sine", start_tolerance=1e-4)
        grown = step.sample(step.advance(step.start()), problem.grid(12))
        factor = FACTORS[integrator](nu, h)
        pushed = push * h / (1 + nu * h * (0.5 if integrator == "splitting" else 1.0))
        assert (grown[0] - (sign * factor + pushed) * profile(problem.grid(12).points()[1])).abs().max() < 2e-3
        assert grown[1:].abs().max() < 2e-3


def test_the_pressure_takes_up_a_force_that_is_a_gradient() -> None:
    def body(x: Any, y: Any) -> tuple[Any, Any]:
        return 0.3 * torch.cos(x), 0 * y

    problem = posed(VelocityPressure(0.1, forcing=body), TORUS, still)
    for integrator in ("splitting", "chorin"):
        step = sciml.INRStepper(problem, dt=0.5, integrator=integrator, width=4, depth=1, activation="sine", start_tolerance=1e-4)
        state = step.start()
        wanted = 0.3 * torch.sin(problem.grid(12).points()[0])
        for found in (state, step.advance(state)):
            u = step.sample(found, problem.grid(12))
            assert u[:2].abs().max() < 2e-3 and (u[2] - wanted).abs().max() < 1e-2


def test_forces_are_read_at_their_own_time() -> None:
    class Rising(sciml.IncompressibleFlow):
        def forces(self, velocity: tuple[Any, ...], d: sciml.Derivatives) -> Any:
            return 1.0 + d.time**2 + 0 * velocity[0], None

    problem = posed(Rising(), TORUS, lambda x, y: torch.stack([1 + 0 * x, 0 * x, 0 * x]))
    for integrator, wanted in (("splitting", 0.2 * (1 + (0.3**2 + 0.5**2) / 2)), ("chorin", 0.2 * (1 + 0.5**2))):
        step = sciml.INRStepper(problem, dt=0.2, integrator=integrator, width=2, depth=1, start_tolerance=1e-7)
        state = step.start()
        grown = step.decode(step.advance(state, 0.3)) - step.decode(state)
        assert (grown[0] - wanted).abs().max() < 1e-5 and grown[1:].abs().max() < 1e-5


def test_four_vortices_in_a_box() -> None:
    for viscosity, most in ((0.0, 2e-3), (0.05, 2e-3)):
        problem = vortices.taylor_green(viscosity)
        step = sciml.INRStepper(problem, dt=0.05, width=10, depth=1, activation="sine", start_tolerance=1e-3)
        state = step.start()
        state = step.advance(state)
        assert 0 < state.misfit < 5e-3 and 0 < state.constraint <= state.misfit
        grid = problem.grid(24)
        found, wanted = step.sample(state, grid), problem.exact_state(grid, 0.05)
        assert relative(found[:2], wanted[:2]) < most and relative(found[2], wanted[2]) < 0.2


# -- errors told -----------------------------------------------------------------------------------------------------------


class LeavesOut(StepSolver):
    """Fits well, but leaves one fit of a step where it starts."""

    def __init__(self, which: int) -> None:
        self.which = which

    def session(self) -> Session:
        return Left(self.which)


class Left(Session):
    def __init__(self, which: int) -> None:
        self.exact, self.which, self.count = sciml.NaturalGradient().session(), which, 0

    def fit(self, task: Task, start: Tensor, generator: torch.Generator) -> Fitted:
        found = self.exact.fit(task, start, generator)
        self.count += 1
        return found._replace(weights=start) if self.count - 1 == self.which else found

    def minimise(self, task: Task, start: Tensor, generator: torch.Generator) -> Fitted:
        return self.fit(task, start, generator)


def test_the_worst_fit_and_the_divergence_are_told() -> None:
    problem, start = cells()
    good = sciml.INRStepper(problem, dt=0.1, **SMALL).advance(start)
    for which in (0, 1):
        bad = sciml.INRStepper(problem, dt=0.1, limit=9.0, solver=LeavesOut(which), **SMALL).advance(start)
        assert bad.misfit > 20 * good.misfit
    step = sciml.INRStepper(problem, dt=0.1, limit=9.0, solver=LeavesOut(0), **SMALL)
    found = step.advance(start)
    grid = problem.grid(32)
    d = sciml.Fourier(grid)
    u, v = (d.field(c[None]) for c in step.sample(found, grid)[:2])
    slopes = torch.cat([d.values(c) for w in (u, v) for c in d.grad(w)])
    told = float(d.values(d.div((u, v))).square().mean().sqrt() / slopes.square().sum(0).mean().sqrt())
    assert found.constraint == pytest.approx(told, rel=0.1) and 0 < good.constraint <= good.misfit < 1e-3 and found.constraint > 3 * good.constraint


def test_a_step_that_is_too_long_is_told() -> None:
    problem, start = cells()
    with pytest.raises(sciml.BlowUpError, match=r"leaves a misfit of .*Take a smaller dt \(dt=0.75\), more points"):
        sciml.INRStepper(problem, dt=3.0, limit=0.05, **SMALL).advance(start)


def test_batches_files_and_rows(tmp_path: Path) -> None:
    problem, start = cells()
    step = sciml.INRStepper(problem, dt=0.1, **SMALL)
    run = sciml.evolve(step, [0.0, 0.1], state=start)
    (row,) = run.rows
    alone = step.advance(start)
    assert torch.equal(run.weights[-1], alone.weights) and row.constraint == alone.constraint == run.state().constraint > 0
    pair = step.advance(torch.stack([start.weights, start.weights]))
    assert torch.equal(pair.weights[1], alone.weights)
    step.save(tmp_path / "state.pt", run.state(), time=0.1)
    again = sciml.INRStepper.load(tmp_path / "state.pt", problem=problem)
    assert torch.equal(again.state.weights, alone.weights) and again.state == run.state()._replace(weights=again.state.weights)
    assert step.named_integrator == "splitting" and again.step.named_integrator == "splitting"


def test_gradient_descent_and_single_precision() -> None:
    problem = posed(VelocityPressure(0.1), TORUS, still)
    options: dict[str, Any] = {"width": 3, "depth": 1, "limit": 99.0}
    start = 0.3 * random_weights(sciml.INRStepper(problem, dt=0.1, **options))
    found = []
    for iterations in (1, 8):
        step = sciml.INRStepper(problem, dt=0.5, solver=sciml.AdamFit(lr=1e-2, iterations=iterations), points=sciml.Sobol(64), **options)
        found.append(step.advance(start))
    assert found[0].iterations == 2 and found[1].misfit < 0.9 * found[0].misfit
    options["solver"] = sciml.NaturalGradient(iterations=2)
    single = sciml.INRStepper(problem, dt=0.1, dtype=torch.float32, **options)
    double = sciml.INRStepper(problem, dt=0.1, **options)
    state, wanted = single.advance(start.float()), double.advance(start)
    assert state.weights.dtype is torch.float32 and state.misfit == pytest.approx(wanted.misfit, rel=0.3)
    assert (single.decode(state) - double.decode(wanted)).abs().max() < 0.02 * double.decode(wanted).abs().max()


# -- refusals --------------------------------------------------------------------------------------------------------------


def gravity(x: Any, y: Any) -> tuple[Any, Any]:
    return 0 * x, -9.81 + 0 * y


class Strange(sciml.IncompressibleFlow):
    def forces(self, velocity: tuple[Any, ...], d: sciml.Derivatives) -> Any:
        return torch.special.i0(velocity[0]), None


@pytest.mark.parametrize(
    ("problem", "options", "kind", "words"),
    [
        (posed(VelocityPressure(0.1, forcing=gravity), BOX, still), {}, sciml.UnsupportedError, "force of 9.81 acts through the wall y=0 .*gradient"),
        (posed(VelocityPressure(0.1), sciml.Domain.box((0.0,) * 2, (1.0,) * 2, sciml.Dirichlet()), still), {}, sciml.UnsupportedError, r"Slip\(\)"),
        (
            posed(VelocityPressure(0.1), sciml.Domain((0.0,) * 2, (1.0,) * 2, ((sciml.Slip(), sciml.Free()),) * 2), still),
            {},
            sciml.UnsupportedError,
            "along x; a flow is stepped between",
        ),
        (posed(Brake(), BOX, still), {}, sciml.InputError, "one velocity per axis, and the pressure"),
        (posed(Strange(), TORUS, still), {}, sciml.UnsupportedError, "by series"),
        (posed(VelocityPressure(-0.1), TORUS, still), {}, sciml.InputError, "ill-posed forward in time"),
        (posed(VelocityPressure(0.1), TORUS, still), {"integrator": "rk4"}, sciml.InputError, "not step VelocityPressure; use splitting or chorin"),
        (posed(VelocityPressure(0.1), TORUS, still), {"dtype": torch.float16}, sciml.InputError, "float16 given"),
        (heat.periodic(1), {"integrator": "splitting"}, sciml.InputError, "'splitting' given, which does not step"),
    ],
)
def test_problems_that_are_not_stepped(problem: sciml.Problem, options: dict[str, Any], kind: Any, words: str) -> None:
    with pytest.raises(kind, match=words):
        sciml.INRStepper(problem, **{"dt": 0.1, **TINY, **options})


def test_an_order_that_there_is_not() -> None:
    with pytest.raises(sciml.InputError, match="order=3 given; choose 1 or 2"):
        Splitting(3)


def test_no_warning_of_a_linear_algebra_library_is_heard(capfd: pytest.CaptureFixture[str]) -> None:
    sciml.INRStepper(posed(VelocityPressure(0.0), TORUS, still), dt=0.1, **TINY)
    assert "ERROR" not in "".join(capfd.readouterr())


def test_slip_walls_are_for_flows() -> None:
    problem = posed(heat.Heat(0.1), sciml.Domain.box((0.0, 0.0), (1.0, 1.0), sciml.Slip()), lambda x, y: torch.sin(x))
    flow = posed(VelocityPressure(0.1), BOX, still)
    grid = problem.grid(8)
    attempts: dict[str, Any] = {
        "dopri5": lambda: sciml.solve(problem, points=8, times=[0.0, 0.1]),
        "Stencil": lambda: sciml.Stencil(grid, problem.domain.boundaries),
        "Modes": lambda: Modes(grid, problem.domain.boundaries),
        "INRStepper": lambda: sciml.INRStepper(problem, dt=0.1, **TINY),
        "PINN": lambda: sciml.PINN(flow, width=4, depth=1),
        "soft PINN": lambda: sciml.PINN(flow, width=4, depth=1, bc="soft"),
        "LPINN": lambda: sciml.LPINN(problem),
    }
    for name, attempt in attempts.items():
        with pytest.raises(sciml.UnsupportedError, match=r"Slip\(\), which it does not know|LPINN"):
            attempt()
            pytest.fail(name)
    with pytest.raises(sciml.UnsupportedError, match="residual only"):
        sciml.solve(flow)


# -- cases -------------------------------------------------------------------------------------------------------------------


def test_the_flow_on_a_torus_is_the_flow_in_the_box() -> None:
    problem = vortices.taylor_green(0.02)
    grid = problem.grid(9)
    found = vortices.reference_flow(problem, grid, [0.0, 0.6], points=8)
    for u, time in zip(found, (0.0, 0.6), strict=True):
        assert (u - problem.exact_state(grid, time)).abs().max() < 1e-10
    torus = posed(VelocityPressure(0.05, 0.1), TORUS, lambda x, y: torch.stack(taylor_green_flow(0.0, x, y, 0.05, 1.0, (1.0, 0.5))))
    assert vortices.on_torus(torus).equation.mean_flow == pytest.approx((1.0, 0.5))
    moved = vortices.reference_flow(posed(VelocityPressure(0.05), TORUS, torus.initial.function), TORUS.grid(8), [0.0, 0.5], points=12)
    assert (moved[-1] - torch.stack(taylor_green_flow(0.5, *TORUS.grid(8).points(), 0.05, 1.0, (1.0, 0.5)))).abs().max() < 1e-8


def test_a_vorticity_rewritten_by_velocity() -> None:
    problem = vortices.by_velocity(taylor_green(0.05, (1.0, 0.5)))
    grid = problem.grid(16)
    assert (problem.initial_state(grid) - torch.stack(taylor_green_flow(0.0, *grid.points(), 0.05, 1.0, (1.0, 0.5)))).abs().max() < 1e-12
    assert isinstance(problem.equation, VelocityPressure) and problem.equation.viscosity == 0.05 and problem.exact is None
    for wrong in (sciml.load_problem("navier_stokes:kolmogorov"), vortices.taylor_green()):
        with pytest.raises(sciml.UnsupportedError, match="by_velocity"):
            vortices.by_velocity(wrong)
    for wrong in (heat.periodic(2), posed(VelocityPressure(0.1, forcing=swirl), BOX, still), problem):
        with pytest.raises(sciml.UnsupportedError, match="on_torus"):
            vortices.on_torus(wrong)


def test_a_large_and_a_small_vortex() -> None:
    problem = vortices.chen2023()
    grid, h = problem.grid(400), 2 / 400
    u, v, _ = problem.initial_state(grid)
    divergence = (u[2:, 1:-1] - u[:-2, 1:-1] + v[1:-1, 2:] - v[1:-1, :-2]) / (2 * h)
    curl = (v[2:, 1:-1] - v[:-2, 1:-1] - u[1:-1, 2:] + u[1:-1, :-2]) / (2 * h)
    assert divergence.abs().max() < 0.01 * curl.abs().max()
    x, y = (c[1:-1, 1:-1] for c in grid.points())
    large, small = (x < 0) & (y < 0), (x > 0.75) & (y > 0.75)
    assert not u[1:-1, 1:-1][~(large | small)].any()
    assert float(curl[large].abs().max() / curl[small].abs().max()) == pytest.approx(1, abs=0.02)
    assert float(curl[large].sum() / curl[small].sum()) > 0 or abs(float(curl[large].sum())) < 1e-6
    published = vortices.chen2023(power=1).initial_state(grid)
    cell = vortices.taylor_green().initial_state(grid)
    inside = (grid.points()[0] < 0) & (grid.points()[1] < 0)
    assert (published[:2, inside] - cell[:2, inside]).abs().max() < 1e-12
    for bad in (0, 1.5, True):
        with pytest.raises(sciml.InputError, match="power"):
            vortices.chen2023(power=bad)


def test_two_vortices_merge() -> None:
    problem = vortices.merging()
    grid = problem.grid(64)
    w = torch.from_numpy(sciml.solve(problem, points=64, dt=0.04, times=[0.0, 7.0])["w"].values)
    counts = []
    for f in w:
        top = torch.nn.functional.max_pool2d(f[None, None], 5, 1, 2)[0, 0]
        counts.append(int(((f == top) & (f > 0.3 * f.max())).sum()))
    assert counts == [2, 1]
    assert float(w[0].max()) == pytest.approx(2 / (0.3 * math.pi / 2) ** 2 - 1 / math.pi, rel=1e-4) and abs(float(w.mean((1, 2)).abs().max())) < 1e-12
    u = velocity(w[:1], grid)
    assert float(u.abs().max()) > 0.5
    for bad in ({"core": 0.6}, {"reynolds": 0.0}):
        with pytest.raises(sciml.InputError, match="core"):
            vortices.merging(**bad)
