"""Elastic bodies: the energy and its strong form, polynomials and networks that move by it, and faces that are free."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import sciml
from sciml.core.domain import Dirichlet, Domain, Free, Neumann, Periodic
from sciml.core.elastic import ElasticBody, Matrix
from sciml.core.errors import BlowUpError, InputError, UnsupportedError
from sciml.core.grid import Grid
from sciml.core.problem import Problem, Profile
from sciml.derivatives.points import Points
from sciml.generation.recipe import describe_domain
from sciml.methods.classical import METHODS
from sciml.problems import burgers, elasticity, heat
from sciml.problems.elasticity import FixedCorotated
from sciml.solvers.mode_operator import common_value
from sciml.solvers.ritz import Basis, Ritz
from sciml.solvers.tableau import DIAGONAL
from sciml.spectral.modes import Modes
from sciml.surrogates.inr.elastic import ElasticField
from sciml.surrogates.inr.incremental import Incremental
from sciml.surrogates.inr.weak import Trial
from sciml.surrogates.pinn.sampling import Box, Gauss

BODY = FixedCorotated(1.3, 0.7, 2.0, (0.1, -0.4))


def points(n: int, *bounds: tuple[float, float]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [low + (high - low) * torch.rand((n, 1), dtype=torch.float64, generator=generator) for low, high in bounds]


def turned(angle: float) -> Tensor:
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


def plate(load: Any = (0.0, -2.0), density: float = 3.0, sides: tuple[float, float] = (2.0, 1.0)) -> Problem:
    """A body without supports that falls from rest."""
    return Problem(
        name="test:plate",
        equation=FixedCorotated(1.0, 1.0, density, load),
        domain=Domain.box((0.0, 0.0), sides, Free()),
        initial=Profile(lambda x, y: torch.stack([torch.zeros_like(x)] * 4)),
        horizon=1.0,
        points=(16, 8),
        dt=0.1,
    )


def stepper(problem: Problem, dt: float, **options: Any) -> sciml.INRStepper:
    return sciml.INRStepper(problem, dt, **{"width": 6, "depth": 1, "start_tolerance": 1e-6, **options})


# -- the energy ---------------------------------------------------------------------------------------------------------


def test_the_energy_is_that_of_singular_values_and_the_stress_its_derivative() -> None:
    f = torch.eye(2, dtype=torch.float64) + 0.4 * torch.randn((20, 2, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    f = torch.cat([f, torch.diag_embed(torch.tensor([[1.2, -0.3]], dtype=torch.float64))])  # turned inside out
    sigma = torch.linalg.svdvals(f)
    sigma[:, 1] *= torch.sign(torch.linalg.det(f))
    wanted = 1.3 * (sigma - 1).square().sum(1) + 0.35 * (torch.linalg.det(f) - 1).square()
    assert float((BODY.energy_density(f) - wanted).abs().max()) < 1e-13
    derived = torch.func.vmap(torch.func.grad(BODY.energy_density))(f)
    assert float((BODY.stress_of(f) - derived).abs().max()) < 1e-13 and float(derived.abs().max()) > 1


def test_turning_a_body_costs_nothing_and_turns_its_stress() -> None:
    for angle in (0.3, 1.9, math.pi, 5.0):
        assert float(BODY.strains_of(turned(angle)).abs().max()) < 1e-15
    f = torch.tensor([[1.2, 0.1], [-0.3, 0.8]], dtype=torch.float64)
    assert float((BODY.stress_of(turned(0.8) @ f) - turned(0.8) @ BODY.stress_of(f)).abs().max()) < 1e-14


def test_small_strains_have_the_energy_of_hooke() -> None:
    gradient = torch.tensor([[0.3, -0.2], [0.5, 0.4]], dtype=torch.float64)
    strain = (gradient + gradient.T) / 2
    hooke = 1.3 * strain.square().sum() + 0.35 * strain.trace() ** 2
    size = 1e-5
    found = BODY.energy_density(torch.eye(2, dtype=torch.float64) + size * gradient) / size**2
    assert abs(float(found / hooke) - 1) < 1e-4
    assert elasticity.lame_of(2.6, 0.3) == pytest.approx((1.0, 1.5))


def test_the_strong_form_is_the_variation_of_the_energy() -> None:
    x, parts = Basis(plate(), (14, 12)).quadrature()

    def d(x: Tensor) -> Tensor:
        return 0.2 * torch.stack([torch.sin(x[..., 0] + 2 * x[..., 1]), torch.cos(1.5 * x[..., 0] * x[..., 1])], -1)

    def trial(x: Tensor) -> Tensor:  # vanishes on the faces
        bump = x[..., 0] * (2 - x[..., 0]) * x[..., 1] * (1 - x[..., 1])
        return torch.stack([bump * torch.exp(x[..., 1]), -bump * x[..., 0]], -1)

    def potential(size: Tensor) -> Tensor:
        gradient = torch.func.vmap(torch.func.jacfwd(lambda p: d(p) + size * trial(p)))(x)
        place = d(x) + size * trial(x)
        density = BODY.energy_density(torch.eye(2, dtype=x.dtype) + gradient) - 2.0 * (place * torch.tensor([0.1, -0.4], dtype=torch.float64)).sum(1)
        return (density * parts).sum()

    variation = torch.func.grad(potential)(torch.zeros((), dtype=x.dtype))

    def fields(t: Tensor, *c: Tensor) -> Tensor:
        return torch.cat([d(torch.cat(c, -1)), torch.zeros_like(torch.cat(c, -1))], -1)

    engine, u = Points.of(fields, 0.0, x[:, :1], x[:, 1:])
    force = torch.cat([engine.values(c) for c in BODY.forces(u, engine)], 1).detach()
    assert abs(float(variation)) > 1e-3
    assert abs(float(variation + ((force * trial(x)).sum(1) * parts).sum())) < 1e-12


@pytest.mark.parametrize(("ends", "wavenumber"), [("clamped", 1), ("free", 2)])
def test_waves_of_compression_satisfy_the_equation_at_any_amplitude(ends: str, wavenumber: int) -> None:
    problem = elasticity.longitudinal_wave(0.12, wavenumber, 1.7, 0.6, 1.9, ends)
    exact = problem.exact
    assert exact is not None

    def fields(t: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return exact(t, x, y)[..., 0].T

    t, x, y = points(40, (0.0, problem.horizon), (0.0, 1.0), (0.0, 1.0))
    d, u = Points.of(fields, t, x, y)
    residual = d.values(problem.equation.residual(u, d)).detach()
    assert float(residual.abs().max()) < 1e-12 and float(d.values(d.t(u)).detach().abs().max()) > 0.1
    grid = problem.grid()
    assert float((problem.exact_state(grid, 0.0) - problem.initial_state(grid)).abs().max()) < 1e-15
    edge = torch.tensor([0.0, 1.0], dtype=torch.float64)
    if ends == "clamped":
        assert float(exact(0.3, edge, edge)[:2].abs().max()) < 1e-15
    else:
        e, w = Points.of(fields, 0.3, edge, edge)
        assert float(e.values(e.x(w)).detach().abs().max()) < 1e-14


def test_a_body_is_typeset_with_its_strain_and_stress_defined() -> None:
    text = elasticity.swinging_beam().equation.latex()
    assert r"\rho v_{y,t}" in text and r"F_1 = 1 + d_{x,x}" in text and r"P_{1,x}" in text and r"\rho b_{2}" in text
    assert r"\lambda" in text and r"\mu" in text


class Lopsided(FixedCorotated):
    """A stress that belongs to another energy."""

    def stress(self, f: Matrix) -> Matrix:
        rows = super().stress(f)
        return (rows[0][0], rows[0][1] * 1.01), rows[1]


class Stretchy(ElasticBody):
    """An energy of the displacement's gradient, which rotations change."""

    def strains(self, f: Matrix) -> tuple[Any, ...]:
        return f[0][0] - 1.0, f[0][1], f[1][0], f[1][1] - 1.0

    def stress(self, f: Matrix) -> Matrix:
        return (f[0][0] - 1.0, f[0][1]), (f[1][0], f[1][1] - 1.0)


def test_bodies_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match="density=0.0 given"):
        FixedCorotated(1.0, 1.0, 0.0)
    with pytest.raises(InputError, match="load=.* has 1 components"):
        FixedCorotated(1.0, 1.0, 1.0, (1.0,))
    with pytest.raises(InputError, match="a positive shear modulus"):
        FixedCorotated(0.0, 1.0)
    with pytest.raises(InputError, match="young=1.0, poisson=0.5 given"):
        elasticity.lame_of(1.0, 0.5)
    with pytest.raises(InputError, match="height=-1.0 given"):
        elasticity.swinging_beam(height=-1.0)
    with pytest.raises(InputError, match="ends='loose' given"):
        elasticity.longitudinal_wave(ends="loose")
    with pytest.raises(InputError, match="0 < A n pi < 1"):
        elasticity.longitudinal_wave(amplitude=0.4)
    with pytest.raises(InputError, match="not the derivative of half the sum"):
        Lopsided(1.0, 1.0).check("test")
    with pytest.raises(InputError, match="do not vanish when the body is only turned"):
        Stretchy(1.0).check("test")
    BODY.check("test")


# -- faces that are free ------------------------------------------------------------------------------------------------


def test_free_faces_are_refused_where_nothing_follows_from_an_equation() -> None:
    box = Domain.box(0.0, 1.0, Dirichlet(0.0), sciml.Free())
    base = heat.dirichlet()
    posed = Problem("test:free", base.equation, box, base.initial, 1.0, (16,), 0.1)
    what = r"the upper face of axis 0 is Free\(\)"
    with pytest.raises(UnsupportedError, match=f"Stencil: {what}"):
        sciml.Stencil(posed.grid(), box.boundaries)
    with pytest.raises(UnsupportedError, match=f"FiniteVolume.*: {what}"):
        sciml.FiniteVolume(posed.grid(), box.boundaries)
    with pytest.raises(UnsupportedError, match=what):
        sciml.solve(posed)
    with pytest.raises(UnsupportedError, match=f"Modes: {what}"):
        Modes(posed.grid(), box.boundaries)
    with pytest.raises(UnsupportedError, match=f"spectral_cg: {what}"):
        common_value(posed.grid(), box.boundaries)
    with pytest.raises(UnsupportedError, match=f"PINN: {what}"):
        sciml.PINN(posed)
    with pytest.raises(UnsupportedError, match=f"INRStepper: {what}"):
        sciml.INRStepper(posed)
    with pytest.raises(UnsupportedError, match="LPINN: .*Free"):
        sciml.LPINN(posed)
    with pytest.raises(UnsupportedError, match=r"PINN: the upper face of axis 0 is Free\(\)"):
        sciml.PINN(elasticity.swinging_beam())
    assert describe_domain(posed)[2] == [[["Dirichlet", 0.0], ["Free", None]]]


# -- polynomials ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "faces", [(Free(), Free()), (Dirichlet(0.0), Free()), (Free(), Dirichlet(0.0)), (Dirichlet(0.0), Dirichlet(0.0)), (Periodic(), Periodic())]
)
def test_a_basis_is_orthonormal_has_its_slopes_and_vanishes_on_clamped_faces(faces: tuple[Any, Any]) -> None:
    base = plate()
    problem = Problem("test:basis", base.equation, Domain((-1.0, 0.5), (2.0, 1.0), (faces, (Free(), Free()))), base.initial, 1.0, (8, 8), 0.1)
    basis = Basis(problem, (5, 3))
    x, parts = basis.quadrature()
    values, slopes = basis.at(x)
    assert float(parts.sum()) == pytest.approx(1.0)
    assert float(((values.T * parts) @ values - torch.eye(15)).abs().max()) < 1e-12
    for axis in range(2):
        move = 1e-6 * torch.eye(2, dtype=torch.float64)[axis]
        differences = (basis.at(x + move)[0] - basis.at(x - move)[0]) / 2e-6
        assert float((differences - slopes[axis]).abs().max()) < 1e-6
    for side, face in zip((-1.0, 2.0), faces, strict=True):
        edge, _ = basis.at(torch.tensor([[side, 0.7]], dtype=torch.float64))
        assert (float(edge.abs().max()) < 1e-12) == isinstance(face, Dirichlet)


def test_free_fall_is_a_parabola_in_polynomials() -> None:
    problem = plate((0.3, -2.0))
    step = Ritz(problem, problem.grid(), 0.25)
    state = sciml.rollout(step, problem.initial_state(problem.grid()), 3)[-1]
    for channel, value in enumerate((0.3 * 0.75**2 / 2, -(0.75**2), 0.3 * 0.75, -1.5)):
        assert float((state[channel] - value).abs().max()) < 1e-11


@pytest.mark.parametrize("ends", ["clamped", "free"])
def test_ritz_is_of_fourth_order_and_leaves_free_faces_without_traction(ends: str) -> None:
    problem = elasticity.longitudinal_wave(ends=ends)
    grid = problem.grid((25, 2))
    errors = []
    for count in (12, 24):
        ds = sciml.solve(problem, points=(25, 2), dt=problem.horizon / 4 / count, times=[0.0, problem.horizon / 4])
        assert ds.attrs["method"] == "ritz" and ds.attrs["steps"] == count
        errors.append(float((sciml.to_tensor(ds)[-1] - problem.exact_state(grid, problem.horizon / 4)).norm()))
    assert 3.7 < math.log2(errors[0] / errors[1]) < 4.3
    assert errors[1] < 3e-3 * float(problem.exact_state(grid, problem.horizon / 4).norm())


def test_ritz_keeps_the_energy_of_a_beam_that_swings_far() -> None:
    problem = elasticity.swinging_beam()
    grid = problem.grid((16, 4))
    step = Ritz(problem, grid, 0.025)
    state = step.encode(problem.initial_state(grid))
    assert step.energy(state).total == 0.0
    for n in range(20):
        state = step.advance(state, n * step.dt)
    energy = step.energy(state)
    assert energy.load < -5000 and energy.kinetic > 1000 and energy.elastic > 1000
    assert abs(energy.total) < 2e-4 * abs(energy.load)
    assert float(step.decode(state)[1].min()) < -1.0
    edge, _ = step.basis.at(torch.tensor([[0.0, 0.4]], dtype=torch.float64))
    assert float((edge @ state.T).abs().max()) == 0.0


def test_a_batch_is_solved_sample_by_sample() -> None:
    problem = elasticity.longitudinal_wave()
    grid = problem.grid((12, 2))
    u = torch.stack([problem.exact_state(grid, t) for t in (0.0, 0.3)])
    step = Ritz(problem, grid, 0.05)
    assert float((step(u)[1] - step(u[1])).abs().max()) < 1e-14 and float((step(u)[1] - u[1]).abs().max()) > 1e-3


def test_ritz_and_other_methods_take_what_they_are_for() -> None:
    beam = elasticity.swinging_beam()
    with pytest.raises(UnsupportedError, match="rk4 needs an evolution equation; FixedCorotated is none"):
        sciml.solve(beam, method="rk4")
    with pytest.raises(UnsupportedError, match="ritz needs an elastic body"):
        sciml.solve(burgers.raissi2019(), method="ritz")
    with pytest.raises(UnsupportedError, match="ritz needs an elastic body"):
        Ritz(heat.dirichlet(2), heat.dirichlet(2).grid(8), 0.1)
    applies = {method.name: method.applies(beam) for method in METHODS}
    assert applies["ritz"] is None and all(reason for name, reason in applies.items() if name != "ritz")
    assert next(m for m in METHODS if m.name == "ritz").applies(burgers.raissi2019()) is not None
    held = Problem("test:held", beam.equation, Domain.box((0.0, 0.0), (1.0, 1.0), Neumann(0.0)), beam.initial, 1.0, (8, 8), 0.1)
    for make in (lambda: sciml.solve(held), lambda: sciml.INRStepper(held)):
        with pytest.raises(UnsupportedError, match=r"Neumann.* the faces of a body are Periodic\(\), Dirichlet\(0.0\)"):
            make()
    with pytest.raises(BlowUpError, match="no next state is found"):
        Ritz(elasticity.swinging_beam(young=4e3), beam.grid((16, 4)), 5.0)(beam.initial_state(beam.grid((16, 4))))


def test_a_solution_says_what_its_faces_are() -> None:
    ds = sciml.solve(elasticity.swinging_beam(), points=(12, 4), end=0.05, times=2)
    assert json.loads(ds.attrs["boundaries"]) == [[{"dirichlet": 0.0}, "free"], ["free", "free"]]
    assert ds["vy"].attrs["units"] == "m s-1" and ds["time"].attrs["units"] == "s"


# -- networks -----------------------------------------------------------------------------------------------------------


def test_gauss_points_integrate_polynomials_and_cover_axes_alike() -> None:
    rule, box = sciml.Gauss(50), Box((0.0, -1.0), (4.0, 1.0))
    x, parts = rule.start(box, torch.Generator()), rule.weights(box)
    assert parts is not None and len(x) == len(parts) == 50 and float(parts.sum()) == pytest.approx(1.0)
    assert len(x[:: 5, 0].unique()) == 10 and len(x[:5, 1].unique()) == 5
    assert float((parts * x[:, 0] ** 7 * x[:, 1] ** 4).sum()) == pytest.approx(4.0**7 / 8 / 5, rel=1e-12)
    assert torch.equal(rule.refresh(x, box, lambda z: z[:, 0], torch.Generator()), x)
    assert sciml.Uniform(5).weights(box) is None


def test_a_body_starts_at_rest_with_weights_that_can_go_anywhere() -> None:
    step = stepper(elasticity.swinging_beam(), 0.02)
    state = step.start()
    assert state.misfit == 0.0
    x = torch.rand((7, 2), dtype=torch.float64) * torch.tensor([4.0, 1.0])
    assert float(step.at(state.weights, x).abs().max()) == 0.0
    moved = state.weights + 0.01 * torch.randn(step.size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert float(step.at(moved, x).abs().min()) > 1e-6
    edge = torch.tensor([[0.0, 0.0], [0.0, 0.3], [0.0, 1.0]], dtype=torch.float64)
    assert float(step.at(moved, edge).abs().max()) == 0.0  # the clamp
    assert step.named_integrator == "sdirk2" and isinstance(step.points, Gauss)


def test_a_field_knows_its_gradient_its_rate_and_its_energy() -> None:
    problem = plate((0.5, -2.0))
    step = stepper(problem, 0.1)
    field = step.field
    assert isinstance(field, ElasticField)
    weights = step.start().weights + 0.05 * torch.randn(step.size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.rand((9, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    named, rows = step.network.named(weights), field.prepared(x)
    place, gradient = step.network.called(ElasticField.moved, named, rows)
    assert torch.allclose(place, step.at(weights, x)[:, :2], atol=1e-14)
    for axis in range(2):
        move = 1e-6 * torch.eye(2, dtype=torch.float64)[axis]
        differences = (step.at(weights, x + move) - step.at(weights, x - move))[:, :2] / 2e-6
        assert float((differences - gradient[:, :, axis]).abs().max()) < 1e-6 * float(gradient.abs().max())
    u, rate = step.network.rates(named, rows, 0.0)
    assert torch.equal(rate[:, :2], u[:, 2:])
    near = 1e-4
    stress = {}
    for axis in range(2):
        for side in (-1, 1):
            at = field.prepared(x + side * near * torch.eye(2, dtype=torch.float64)[axis])
            f = torch.eye(2, dtype=torch.float64) + step.network.called(ElasticField.moved, named, at)[1]
            stress[axis, side] = field.body.stress_of(f)[:, :, axis]
    divergence = sum((stress[axis, 1] - stress[axis, -1]) / (2 * near) for axis in range(2))
    wanted = divergence / 3.0 + torch.tensor([0.5, -2.0])
    assert float((rate[:, 2:] - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())
    generator = torch.Generator().manual_seed(3)
    many = torch.rand((4000, 2), dtype=torch.float64, generator=generator) * torch.tensor([2.0, 1.0])
    v = step.at(weights, many)
    assert field.energy(weights).kinetic == pytest.approx(float(1.5 * v[:, 2:].square().sum(1).mean()), rel=0.05)
    assert field.energy(weights).load == pytest.approx(float(-3.0 * (v[:, :2] @ torch.tensor([0.5, -2.0], dtype=torch.float64)).mean()), rel=0.05)


@pytest.mark.parametrize(("name", "place"), [("implicit_euler", 0.2**2 * 3), ("sdirk2", 0.08), ("sdirk3", 0.08)])
def test_free_fall_is_what_the_scheme_makes_of_it(name: str, place: float) -> None:
    """Two steps of 0.2 with b = (1, -2): Euler's rule gives b h^2 (1 + 2), schemes of higher order b t^2/2."""
    step = stepper(plate((1.0, -2.0)), 0.2, integrator=name, width=3)
    state = step.start()
    for n in range(2):
        state = step.advance(state, n * step.dt)
    x = torch.tensor([[0.1, 0.2], [1.9, 0.9], [1.0, 0.5]], dtype=torch.float64)
    wanted = torch.tensor([place, -2 * place, 0.4, -0.8], dtype=torch.float64)
    assert float((step.at(state.weights, x) - wanted).abs().max()) < 1e-6 and state.misfit < 1e-5


def test_a_load_may_hang_on_the_place() -> None:
    """A plate in a field of force that pulls its halves apart or together moves as polynomials say."""
    problem = plate(lambda x, y: (0.4 * (x - 1.0), 0.2 * torch.ones_like(y)))
    step = stepper(problem, 0.1, width=8)
    state = step.advance(step.advance(step.start()), 0.1)
    grid = problem.grid((16, 8))
    reference = sciml.to_tensor(sciml.solve(problem, points=(16, 8), times=[0.0, 0.2], dt=0.02))[-1]
    found = step.sample(state, grid)
    assert float((found - reference)[:2].norm()) < 0.02 * float(reference[:2].norm())
    assert float(reference[1].mean()) == pytest.approx(0.2 * 0.2**2 / 2, rel=1e-6)


def oscillated(name: str, steps: int, dt: float) -> Tensor:
    """(q, v) of q'' = -q from (1, 0), stage by stage as a linear system."""
    rate, state = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64)
    for _ in range(steps):
        slopes: list[Tensor] = []
        for row in DIAGONAL[name].stages:
            known = state + dt * sum((a * k for a, k in zip(row, slopes, strict=False)), torch.zeros(2, dtype=torch.float64))
            slopes.append(torch.linalg.solve(torch.eye(2, dtype=torch.float64) - dt * row[-1] * rate, rate @ known))
        state = state + dt * sum(b * k for b, k in zip(DIAGONAL[name].stages[-1], slopes, strict=True))
    return state


@pytest.mark.parametrize("name", DIAGONAL)
def test_the_schemes_have_the_order_that_they_say(name: str) -> None:
    true = torch.tensor([math.cos(1.0), -math.sin(1.0)], dtype=torch.float64)
    errors = [float((oscillated(name, n, 1.0 / n) - true).norm()) for n in (40, 80)]
    assert abs(math.log2(errors[0] / errors[1]) - DIAGONAL[name].order) < 0.1


@pytest.mark.parametrize(("name", "steps", "parts"), [("implicit_euler", 2, 10), ("sdirk2", 1, 4), ("sdirk3", 1, 3)])
def test_a_wave_of_compression_moves_as_the_scheme_has_it(name: str, steps: int, parts: int) -> None:
    """The energy of this wave is quadratic, so that the scheme makes an oscillator of it, with an error in time much larger than that of the fits."""
    problem = elasticity.longitudinal_wave(amplitude=0.1)
    omega, dt = 2 * math.pi / problem.horizon, problem.horizon / parts
    step = sciml.INRStepper(problem, dt, integrator=name, width=8, depth=2, start_tolerance=1e-3)
    run = sciml.evolve(step, [0.0, steps * dt])
    grid = problem.grid((16, 2))
    q, v = oscillated(name, steps, omega * dt)
    shape = problem.initial_state(grid)[0]
    true = problem.exact_state(grid, steps * dt)
    wanted = torch.stack([q * shape, 0 * shape, omega * v * shape, 0 * shape])
    error, temporal = (run.field(grid)[-1] - wanted)[2:].norm(), (true - wanted)[2:].norm()
    assert float(error) < 0.025 * float(wanted[2:].norm()) and (name != "implicit_euler" or float(temporal) > 0.3 * float(wanted[2:].norm()))


def test_the_schemes_satisfy_the_conditions_of_their_order() -> None:
    for name, tableau in DIAGONAL.items():
        b, c = tableau.stages[-1], [sum(row) for row in tableau.stages]
        assert sum(b) == pytest.approx(1.0) and c[-1] == pytest.approx(1.0), name
        if tableau.order >= 2:
            assert sum(p * q for p, q in zip(b, c, strict=True)) == pytest.approx(0.5)
        if tableau.order >= 3:
            assert sum(p * q * q for p, q in zip(b, c, strict=True)) == pytest.approx(1 / 3)
            inner = [sum(a * q for a, q in zip(row, c, strict=False)) for row in tableau.stages]
            assert sum(p * q for p, q in zip(b, inner, strict=True)) == pytest.approx(1 / 6)
        # L-stable: the last stage of u' = z u vanishes as z goes to minus infinity
        z, stages = -1e8, list[float]()
        for row in tableau.stages:
            stages.append((1.0 + z * sum(a * k for a, k in zip(row, stages, strict=False))) / (1 - z * row[-1]))
        assert abs(stages[-1]) < 1e-6


def test_a_stiff_beam_starts_to_swing_as_polynomials_have_it() -> None:
    problem = elasticity.swinging_beam(length=2.0)
    times = [0.0, 0.02, 0.04]
    run = sciml.evolve(sciml.INRStepper(problem, 0.01, width=8, depth=1), times)
    grid = problem.grid((24, 12))
    found = run.field(grid)
    reference = sciml.to_tensor(sciml.solve(problem, points=(24, 12), dt=0.001, times=times))
    for channels, error in ((slice(0, 2), 0.03), (slice(2, 4), 0.1)):  # the velocity has a front, which the load sends out from the clamp
        assert float((found - reference)[2, channels].norm()) < error * float(reference[2, channels].norm())
    assert 1e-3 < float(reference[2, 1].abs().max()) < 0.1
    assert 0.003 < run.rows[-1].misfit < 0.1 and run.solution()["dx"].attrs["units"] == "m"


def test_euler_loses_energy_and_alexander_keeps_it() -> None:
    problem = elasticity.longitudinal_wave(amplitude=0.1)
    left = {}
    for name in ("implicit_euler", "sdirk2"):
        step = sciml.INRStepper(problem, problem.horizon / 16, integrator=name, width=12, depth=1, start_tolerance=5e-3)
        assert isinstance(step.field, ElasticField)
        state = step.start()
        before = step.field.energy(state.weights)
        assert before.kinetic < 1e-4 * before.total and before.total == pytest.approx(0.75 * (0.1 * math.pi) ** 2, rel=1e-2)
        left[name] = step.field.energy(step.advance(step.advance(state), step.dt).weights).total / before.total
    eta = 2 * math.pi / 16
    assert left["implicit_euler"] == pytest.approx((1 + eta**2) ** -2, rel=0.02)
    assert left["sdirk2"] == pytest.approx(1.0, abs=0.02)


def test_the_misfit_is_what_polynomials_would_change() -> None:
    """A plate as a whole off its aim costs inertia alone; one with a uniform strain that no inertia holds is let go."""
    trial = Trial(plate(), torch.float64)
    x = trial.points
    assert float(trial.parts.sum()) == pytest.approx(1.0) and len(x) > 200
    still, body = torch.zeros((len(x), 2, 2), dtype=torch.float64), plate().equation
    assert isinstance(body, ElasticBody)
    target = torch.stack([x[:, 0] * 0, x[:, 0] * 0], 1)
    off = target + torch.tensor([0.3, -0.4], dtype=torch.float64)
    assert trial.improvement(body, off, still, target, 0.1) == pytest.approx(0.5)
    assert trial.improvement(body, target, still, target, 0.1) < 1e-12
    assert trial.size(off) == pytest.approx(0.5)
    gradient = still.clone()
    gradient[:, 0, 0] = 0.01
    stretched = torch.stack([0.01 * (x[:, 0] - 1.0), 0 * x[:, 0]], 1)
    found = trial.improvement(body, stretched, gradient, stretched, 1e6)
    assert found == pytest.approx(0.01 / math.sqrt(3), rel=1e-2)
    assert math.isnan(trial.improvement(body, off * math.nan, still * math.nan, target, 0.1))


def test_bodies_are_stepped_by_what_is_made_for_them() -> None:
    problem = plate()
    with pytest.raises(InputError, match="'rk4' given, which does not step FixedCorotated; use implicit_euler or sdirk2 or sdirk3"):
        stepper(problem, 0.1, integrator="rk4")
    with pytest.raises(InputError, match="'sdirk2' given, which does not step Burgers"):
        sciml.INRStepper(burgers.raissi2019(), 0.1, integrator="sdirk2")
    with pytest.raises(InputError, match="not the derivative of half the sum"):
        stepper(Problem("test:lopsided", Lopsided(1.0, 1.0), problem.domain, problem.initial, 1.0, (8, 8), 0.1), 0.1)
    with pytest.raises(InputError, match="torch.float64 or torch.float32 is needed"):
        stepper(problem, 0.1, dtype=torch.float16)
    with pytest.raises(UnsupportedError, match="is no elastic body"):
        ElasticField(heat.dirichlet(2), harmonics=1, dtype=torch.float64, who="test", network="mlp")
    assert isinstance(stepper(problem, 0.1, integrator=Incremental(DIAGONAL["sdirk3"])).integrator, Incremental)
    with pytest.raises(BlowUpError, match="leaves a misfit of"):
        step = sciml.INRStepper(elasticity.swinging_beam(), 0.1, width=1, depth=1, limit=1e-3)
        step.advance(step.start())


def test_a_step_by_gradient_descent_lowers_the_potential() -> None:
    step = stepper(plate(), 0.1, solver=sciml.AdamFit(lr=1e-3, iterations=150), integrator="implicit_euler", limit=10.0, width=4)
    state = step.advance(step.start())
    x = torch.rand((50, 2), dtype=torch.float64) * torch.tensor([2.0, 1.0])
    assert float((step.at(state.weights, x)[:, 1] + 0.02).abs().max()) < 0.005  # b h^2
    assert 0 < state.misfit < 1 and state.iterations == 300


def test_single_precision_and_files(tmp_path: Path) -> None:
    problem = elasticity.longitudinal_wave()
    step = sciml.INRStepper(problem, problem.horizon / 40, width=4, depth=1, start_tolerance=1e-2, dtype=torch.float32, points=sciml.Gauss(70))
    state = step.advance(step.start())
    assert state.weights.dtype == torch.float32 and 0 < state.misfit < 0.1
    step.save(tmp_path / "body.pt", state, 0.1)
    again = sciml.load_model(tmp_path / "body.pt")
    x = torch.rand((5, 2))
    assert torch.equal(again.step.at(again.state.weights, x), step.at(state.weights, x)) and again.time == 0.1
    assert torch.equal(again.step.advance(again.state, 0.1).weights, step.advance(state, 0.1).weights)


def test_a_network_of_space_and_time_learns_a_body_in_a_periodic_slab() -> None:
    """The strong form by series, as networks read it, is that by differentiation."""
    problem = elasticity.longitudinal_wave()
    pinn = sciml.PINN(problem, width=5, depth=2)
    t, x, y = points(6, (0.0, problem.horizon), (0.1, 0.9), (0.0, 1.0))
    d, u = Points.of(lambda *z: pinn(*(c[:, 0] for c in z)).reshape(len(t), -1), t, x, y)
    wanted = d.values(problem.equation.residual(u, d)).detach()
    found = pinn.residual(torch.cat([t, x, y], 1)).detach()
    assert float(wanted.abs().max()) > 1e-3 and float((found - wanted).abs().max()) < 1e-12 * float(wanted.abs().max())


def test_grids_for_bodies_have_as_many_functions_as_they_determine() -> None:
    counts = [len(line.combine) for line in Ritz(elasticity.longitudinal_wave(), Grid((25, 16), (1.0, 1.0), (False, True)), 0.1).basis.lines]
    assert counts == [10, 7]
