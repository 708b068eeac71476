"""Finite volumes: orders, limiters, shocks, walls, conservation, implicit diffusion, gradients, bad input."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sciml.core.conservation import ConservationLaw
from sciml.core.domain import Boundary, Dirichlet, Domain, Neumann
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.rollout import rollout
from sciml.derivatives.finite_volume import FiniteVolume
from sciml.derivatives.reconstruction import SCHEMES, face_states
from sciml.problems.burgers import Burgers, cole_hopf
from sciml.problems.heat import Heat
from sciml.problems.kuramoto_sivashinsky import KuramotoSivashinsky
from sciml.solvers.finite_volume import FiniteVolumeStepper
from sciml.solvers.flux_correction import corrected
from sciml.solvers.tridiagonal import solve_tridiagonal

F64 = torch.float64
LIMITED = ["first_order", "minmod", "van_leer", "superbee"]


class Advection(ConservationLaw):
    """u_t + c . grad u = 0, its velocity left to differentiation."""

    def __init__(self, *speed: object) -> None:
        super().__init__()
        self.speed = speed

    def flux(self, u):
        return self.speed[0] * u if len(self.speed) == 1 else tuple(c * u for c in self.speed)


class Layered(ConservationLaw):
    """Diffusion with the coefficient 1 + u^2, without a potential: face means decide."""

    def diffusivity(self, u):
        return 1 + u**2

    def source(self, u, d):
        (x,) = d.coordinates()
        return torch.cos(x) * d.time


def run(step: FiniteVolumeStepper, u: Tensor, steps: int) -> Tensor:
    with torch.no_grad():
        return rollout(step, u, steps, every=steps)[-1]


# -- reconstruction -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "order"), [("first_order", 1), ("minmod", 2), ("van_leer", 2), ("superbee", 2), ("weno5", 5)])
def test_order_of_reconstruction(name: str, order: int) -> None:
    """From the exact cell averages of exp to its face values, from both sides."""
    errors = []
    for n in (20, 40):
        faces = torch.linspace(0, 1, n + 1, dtype=F64)
        averages = torch.diff(torch.exp(faces)) * n
        width = 1 + SCHEMES[name][0]
        left, right = face_states(averages, -1, name)
        inner = torch.exp(faces[width : n + 1 - width])
        errors.append([float((side - inner).abs().max()) for side in (left, right)])
    for coarse, fine in zip(*errors, strict=True):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constants_are_reconstructed_exactly(dtype: torch.dtype) -> None:
    for name in SCHEMES:
        left, right = face_states(torch.full((12,), 0.3, dtype=dtype), -1, name)
        assert left.dtype == dtype
        torch.testing.assert_close(left, torch.full_like(left, 0.3))
        torch.testing.assert_close(right, left)


def test_reconstruction_beside_walls() -> None:
    """Cell averages of 3 + 2 s + sin(pi s) about a Dirichlet wall and 2 s + cos(pi s) about a Neumann wall, s from the wall.

    Reflection continues both exactly, so order 5 holds up to the wall, on either side of the domain.
    """
    errors = []
    for n in (20, 40):
        faces = torch.linspace(0, 0.5, n + 1, dtype=F64)

        def odd(s: Tensor) -> Tensor:
            return 3 + 2 * s + torch.sin(math.pi * s)

        def even(s: Tensor) -> Tensor:
            return 2 * s + torch.cos(math.pi * s)

        odd_averages = torch.diff(3 * faces + faces**2 - torch.cos(math.pi * faces) / math.pi) * 2 * n
        even_averages = torch.diff(faces**2 + torch.sin(math.pi * faces) / math.pi) * 2 * n
        row = []
        for averages, function, wall, mirrored in (
            (odd_averages, odd, Dirichlet(3.0), Dirichlet(3.0)),
            (even_averages, even, Neumann(2.0), Neumann(-2.0)),
        ):
            for flip in (False, True):
                domain = Domain.box(0.0, 0.5, *((Neumann(0.0), mirrored) if flip else (wall, Neumann(0.0))))
                d = FiniteVolume(domain.grid(n), domain.boundaries)
                states = d.face_states(d.field((averages.flip(0) if flip else averages).unsqueeze(0)), 0)
                exact = function(faces[:6])
                row.append(max(float(((s[0].flip(0) if flip else s[0])[:6] - exact).abs().max()) for s in states))
        errors.append(row)
    for coarse, fine in zip(*errors, strict=True):
        assert math.log2(coarse / fine) > 4.6


# -- advection ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "order"), [("first_order", 1), ("van_leer", 2), ("weno5", 5)])
def test_order_on_smooth_advection(name: str, order: int) -> None:
    """Mean error after half a period; dt falls with h^(5/3), so that the third-order scheme in time does not show."""
    errors = []
    for n in (40, 80) if name != "first_order" else (160, 320):
        grid = Grid((n,), (1.0,))
        x = grid.points()[0]
        steps = math.ceil(0.5 / (0.4 / n)) if order < 5 else math.ceil(0.5 / (0.6 * (0.25 / 40) * (40 / n) ** (5 / 3)))
        step = FiniteVolumeStepper(Advection(1.0), grid, 0.5 / steps, reconstruction=name)
        u = run(step, torch.sin(2 * math.pi * x).unsqueeze(0), steps)
        errors.append(float((u[0] - torch.sin(2 * math.pi * (x - 0.5))).abs().mean()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("name", LIMITED)
@pytest.mark.parametrize("speed", [1.0, -1.0])
def test_total_variation_does_not_grow(name: str, speed: float) -> None:
    grid = Grid((60,), (1.0,))
    x = grid.points()[0]
    u = ((x > 0.2) & (x < 0.5)).to(F64).unsqueeze(0)
    step = FiniteVolumeStepper(Advection(speed), grid, 0.5 / 60, reconstruction=name)
    with torch.no_grad():
        states = rollout(step, u, 60)
    variation = (states - torch.roll(states, 1, -1)).abs().sum((-1, -2))
    assert (torch.diff(variation) <= 1e-12).all()
    assert states.min() >= -1e-13
    assert states.max() <= 1 + 1e-13
    centre = (torch.exp(2j * math.pi * x) * states[-1, 0]).sum().angle() / (2 * math.pi) % 1
    assert centre.item() == pytest.approx((0.35 + speed * 0.5 - 0.5 / 60) % 1, abs=0.01)


def test_sharper_schemes_are_sharper() -> None:
    grid = Grid((60,), (1.0,))
    x = grid.points()[0]
    u = ((x > 0.2) & (x < 0.5)).to(F64).unsqueeze(0)
    errors = [float((run(FiniteVolumeStepper(Advection(1.0), grid, 0.5 / 60, reconstruction=s), u, 120) - u).abs().mean()) for s in LIMITED]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 2.5 * errors[-1]


def test_two_dimensions_are_treated_alike() -> None:
    grid = Grid((24, 24), (1.0, 1.0))
    u = torch.rand(1, 24, 24, dtype=F64, generator=torch.Generator().manual_seed(0))
    out = run(FiniteVolumeStepper(Advection(1.0, 0.5), grid, 0.005), u, 10)
    mirrored = run(FiniteVolumeStepper(Advection(0.5, 1.0), grid, 0.005), u.mT, 10)
    torch.testing.assert_close(out, mirrored.mT, rtol=0, atol=1e-13)
    assert float((out.sum() - u.sum()).abs() / u.sum()) < 1e-13
    wave = torch.sin(2 * math.pi * (grid.points()[0] + 2 * grid.points()[1])).unsqueeze(0)
    moved = torch.sin(2 * math.pi * (grid.points()[0] - 0.05 + 2 * (grid.points()[1] - 0.025))).unsqueeze(0)
    torch.testing.assert_close(run(FiniteVolumeStepper(Advection(1.0, 0.5), grid, 0.005), wave, 10), moved, rtol=0, atol=5e-3)


# -- Burgers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["minmod", "van_leer", "weno5"])
def test_shock_speed(name: str) -> None:
    """A jump from 1.5 to 0.5 moves at their mean; the prescribed states hold at the walls."""
    domain = Domain.box(0.0, 2.0, Dirichlet(1.5), Dirichlet(0.5))
    grid = domain.grid(100)
    x = grid.points()[0]
    step = FiniteVolumeStepper(Burgers(0.0), grid, 0.005, boundaries=domain.boundaries, reconstruction=name)
    u = run(step, torch.where(x < 0.5, 1.5, 0.5).to(F64).unsqueeze(0), 200)
    assert float((u.sum() * 0.02) - 0.5 * 2.0) == pytest.approx(1.5, abs=1e-9)  # where the mass puts the jump: 0.5 + 1
    assert int((u[0] > 1.0).sum()) == pytest.approx(75, abs=1)
    exact = torch.where(x < 1.5, 1.5, 0.5)
    assert float((u[0] - exact).abs().mean()) < 0.01
    assert float(u.max()) < 1.5 + (0.02 if name == "weno5" else 1e-12)


def test_entropy_solution_of_a_rarefaction() -> None:
    """A jump from -1 to 1 opens into a fan x / t; without dissipation it would stand still."""
    domain = Domain.box(-1.0, 1.0, Dirichlet(-1.0), Dirichlet(1.0))
    errors = []
    for n in (50, 100):
        grid = domain.grid(n)
        x = grid.points()[0]
        step = FiniteVolumeStepper(Burgers(0.0), grid, 0.2 / n * 2, boundaries=domain.boundaries, reconstruction="van_leer")
        u = run(step, torch.sign(x).unsqueeze(0), round(0.5 / (0.4 / n)))
        t = step.dt * round(0.5 / (0.4 / n))
        errors.append(float((u[0] - (x / t).clamp(-1, 1)).abs().mean()))
    assert errors[1] < 0.01
    assert math.log2(errors[0] / errors[1]) > 0.7


def test_fluxes_at_jumps() -> None:
    """Rusanov at u | v: (u^2 + v^2) / 4 - max(|u|, |v|) (v - u) / 2, hence 3 at 2 | 0, -1 at 0 | 2 and 2 at 2 | 2."""
    d = FiniteVolume(Grid((6,), (6.0,)), reconstruction="first_order")
    u, law = d.field(torch.tensor([[2.0, 2.0, 2.0, 0.0, 0.0, 0.0]], dtype=F64)), Burgers(0.0)
    divergence = d.values(d.flux_divergence(law.flux, u, law.velocity))
    torch.testing.assert_close(divergence, torch.tensor([[3.0, 0.0, 1.0, -3.0, 0.0, -1.0]], dtype=F64))


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("implicit", [False, True])
def test_cole_hopf(periodic: bool, implicit: bool) -> None:
    """Second order in space, and in time where diffusion is implicit: dt falls with h there, with h^2 where it must."""
    nu, errors = 0.1, []
    domain = Domain.periodic(2.0, origin=-1.0) if periodic else Domain.box(-1.0, 1.0, Dirichlet(0.0))
    for n in (32, 64):
        grid = domain.grid(n)
        x = grid.points()[0]
        steps = n if implicit else n * n // 32
        step = FiniteVolumeStepper(Burgers(nu), grid, 0.5 / steps, boundaries=domain.boundaries, implicit=implicit)
        u = run(step, -torch.sin(math.pi * x).unsqueeze(0), steps)
        errors.append(float((u[0] - cole_hopf(0.5, x, nu)).abs().max()))
    assert errors[1] < 8e-3
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.35)


def test_inviscid_limit() -> None:
    grid = Grid((64,), (2.0,), origin=(-1.0,))
    u = -torch.sin(math.pi * grid.points()[0]).unsqueeze(0)
    inviscid = run(FiniteVolumeStepper(Burgers(0.0), grid, 0.01), u, 50)
    nearly = run(FiniteVolumeStepper(Burgers(1e-9), grid, 0.01), u, 50)
    assert 0 < float((inviscid - nearly).abs().max()) < 1e-6


def test_viscosity_per_sample() -> None:
    grid = Grid((32,), (2.0,), origin=(-1.0,))
    u = -torch.sin(math.pi * grid.points()[0]).expand(3, 1, 32)
    nu = torch.tensor([0.02, 0.05, 0.1], dtype=F64)
    for implicit in (False, True):
        together = run(FiniteVolumeStepper(Burgers(nu), grid, 0.005, implicit=implicit), u, 20)
        for i in range(3):
            alone = run(FiniteVolumeStepper(Burgers(float(nu[i])), grid, 0.005, implicit=implicit), u[i], 20)
            torch.testing.assert_close(together[i], alone, rtol=0, atol=1e-13)


def test_speed_per_sample() -> None:
    grid = Grid((32,), (1.0,))
    u = torch.sin(2 * math.pi * grid.points()[0]).expand(2, 1, 32)
    speed = torch.tensor([1.0, -2.0], dtype=F64)
    together = run(FiniteVolumeStepper(Advection(speed), grid, 0.005), u, 10)
    for i in range(2):
        torch.testing.assert_close(together[i], run(FiniteVolumeStepper(Advection(float(speed[i])), grid, 0.005), u[i], 10))


# -- diffusion and walls ------------------------------------------------------------------------------------------


def test_face_coefficients() -> None:
    domain = Domain.box(0.0, 1.0, Dirichlet(3.0), Neumann(0.0))
    grid = domain.grid(2)
    u = torch.tensor([[1.0, 2.0]], dtype=F64)
    for mean, between in (("arithmetic", 1.5), ("harmonic", 4 / 3)):
        d = FiniteVolume(grid, domain.boundaries, face_mean=mean)
        k = d.face_coefficient(d.field(u), 0)
        assert k[0].tolist() == pytest.approx([3.0, between, 2.0])  # the wall value, the mean, the last cell's (slope 0)
    empty = FiniteVolume(grid, domain.boundaries, face_mean="harmonic")
    assert empty.face_coefficient(empty.field(torch.zeros_like(u)) * 0.0, 0).abs().max() == 0


def test_harmonic_mean_is_exact_for_layers() -> None:
    """Conductivities 1 and 4 in series between u = 0 and u = 1: the flux is 1 / (0.5/1 + 0.5/4) = 1.6."""
    domain = Domain.box(0.0, 1.0, Dirichlet(0.0), Dirichlet(1.0))
    grid = domain.grid(10)
    x = grid.points()[0]
    k = torch.where(x < 0.5, 1.0, 4.0).to(F64).unsqueeze(0)
    u = torch.where(x < 0.5, 1.6 * x, 1 - 0.4 * (1 - x)).unsqueeze(0)
    d = FiniteVolume(grid, domain.boundaries, face_mean="harmonic")
    assert d.values(d.diffuse(d.field(k) * 1.0, d.field(u))).abs()[0, 1:-1].max() < 1e-12
    arithmetic = FiniteVolume(grid, domain.boundaries)
    assert arithmetic.values(arithmetic.diffuse(arithmetic.field(k) * 1.0, arithmetic.field(u))).abs().max() > 1


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("walls", [(Dirichlet(1.0), Neumann(2.0)), (Neumann(2.0), Dirichlet(3.0))], ids=str)
def test_linear_profiles_are_steady(implicit: bool, walls: tuple[Boundary, Boundary]) -> None:
    domain = Domain.box((0.0, 0.0), (1.0, 1.0), *walls, Neumann(0.0), Neumann(0.0))
    grid = domain.grid(8)
    u = (1 + 2 * grid.points()[0]).unsqueeze(0)
    step = FiniteVolumeStepper(Heat(0.7, 2), grid, 0.002 if not implicit else 10.0, boundaries=domain.boundaries, implicit=implicit)
    torch.testing.assert_close(run(step, u, 5), u, rtol=0, atol=1e-11)


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("law", [Heat(0.7), Layered()])
def test_mass_enters_through_neumann_walls(implicit: bool, law: ConservationLaw) -> None:
    """Without a source, d/dt of the mass is k u_x at the upper wall minus k u_x at the lower one, here 0 minus -0.5 k."""
    if isinstance(law, Layered):
        law.source = lambda u, d: None
    domain = Domain.box(0.0, 1.0, Neumann(-0.5), Neumann(0.0))
    grid = domain.grid(16)
    u = torch.zeros(1, 16, dtype=F64)
    step = FiniteVolumeStepper(law, grid, 1e-3, boundaries=domain.boundaries, implicit=implicit)
    after = run(step, u, 50)
    wall = after[0, 0] + 0.25 / 16
    k = 0.7 if isinstance(law, Heat) else 1 + float(wall) ** 2
    assert float(after.sum()) / 16 == pytest.approx(0.5 * 0.05 * k, rel=1e-12 if isinstance(law, Heat) else 0.06)
    assert float(after.min()) >= 0


@pytest.mark.parametrize("order", [1, 2])
def test_implicit_agrees_with_explicit(order: int) -> None:
    """Nonlinear coefficient, source and moving wall values; the difference falls with dt^order."""
    domain = Domain.box(0.0, 1.0, Dirichlet(lambda t: math.sin(3 * t)), Neumann(lambda t: t))
    grid = domain.grid(16)
    u = torch.zeros(1, 16, dtype=F64)
    reference = run(FiniteVolumeStepper(Layered(), grid, 0.2 / 300, boundaries=domain.boundaries, implicit=False), u, 300)
    differences = []
    for steps in (40, 80):
        step = FiniteVolumeStepper(Layered(), grid, 0.2 / steps, boundaries=domain.boundaries, implicit=True, implicit_order=order)
        differences.append(float((run(step, u, steps) - reference).abs().max()))
    assert differences[1] < (1e-2, 1e-3)[order - 1]
    assert math.log2(differences[0] / differences[1]) == pytest.approx(order, abs=0.3)  # moving walls cost a little of it


@pytest.mark.parametrize("order", [1, 2])
def test_order_in_time_of_split_diffusion(order: int) -> None:
    """Two axes, against the exact decay of the discrete Laplacian's eigenvector."""
    grid = Grid((8, 8), (1.0, 1.0))
    x, y = grid.points()
    mode = (torch.cos(2 * math.pi * x) * torch.cos(2 * math.pi * y)).unsqueeze(0)
    decay = math.exp(-0.1 * 0.5 * 2 * (2 - 2 * math.cos(2 * math.pi / 8)) * 64)
    errors = []
    for steps in (20, 40):
        step = FiniteVolumeStepper(Heat(0.1, 2), grid, 0.5 / steps, implicit=True, implicit_order=order)
        errors.append(float((run(step, mode, steps) - decay * mode).abs().max()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)


def test_flux_correction_keeps_bounds_and_mass() -> None:
    grid = Grid((20, 20), (1.0, 1.0))
    generator = torch.Generator().manual_seed(0)
    safe = torch.rand(2, 1, 20, 20, dtype=F64, generator=generator)
    safe[..., :5] = 0
    extra = [torch.randn(2, 1, *shape, dtype=F64, generator=generator) for shape in ((21, 20), (20, 21))]
    extra[0][..., -1, :], extra[1][..., -1] = extra[0][..., 0, :], extra[1][..., 0]  # one face, seen from both ends
    d = FiniteVolume(grid)
    for size in (1e-6, 1.0):
        result = corrected(d, safe, safe, [size * e for e in extra], 1.0)
        assert float(result.min()) >= 0
        assert float(result.max()) <= float(safe.max())
        torch.testing.assert_close(result.sum((-1, -2)), safe.sum((-1, -2)), rtol=1e-13, atol=0)
    # a correction that creates no extremum passes whole
    x = grid.points()[0]
    ramp = torch.where((x - 0.5).abs() < 0.3, x, 0.5 + 0.3 * torch.sign(x - 0.5)).unsqueeze(0)
    small = [torch.zeros(1, 21, 20, dtype=F64), torch.zeros(1, 20, 21, dtype=F64)]
    small[0][:, 10] = 1e-4
    full = ramp + d.face_difference(small[0], 0)
    torch.testing.assert_close(corrected(d, ramp, ramp, small, 1.0), full, rtol=0, atol=1e-15)


def test_heat_with_walls_against_its_exact_solution() -> None:
    domain = Domain.box((0.0, 0.0), (1.0, 1.0), Dirichlet(0.0), Dirichlet(0.0), Neumann(0.0), Neumann(0.0))
    errors = []
    for n in (16, 32):
        grid = domain.grid(n)
        x, y = grid.points()
        mode = (torch.sin(math.pi * x) * torch.cos(math.pi * y)).unsqueeze(0)
        step = FiniteVolumeStepper(Heat(0.1, 2), grid, 0.5 / n, boundaries=domain.boundaries, implicit=True)
        errors.append(float((run(step, mode, n) - mode * math.exp(-0.2 * math.pi**2 * 0.5)).abs().max()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("n", [2, 3, 37, 64])
def test_tridiagonal_systems(n: int, cyclic: bool) -> None:
    generator = torch.Generator().manual_seed(n)
    lower, upper, excess, rhs = (torch.rand(2, n, dtype=F64, generator=generator) for _ in range(4))
    lower, upper, excess = 50 * lower, 50 * upper, excess + 0.1
    if not cyclic:
        lower[:, 0] = upper[:, -1] = 0
    matrix = torch.diag_embed(lower + upper + excess)
    for i in range(n):
        matrix[:, i, (i - 1) % n] -= lower[:, i]
        matrix[:, i, (i + 1) % n] -= upper[:, i]
    x = solve_tridiagonal(lower, upper, excess, rhs)
    torch.testing.assert_close(x, torch.linalg.solve(matrix, rhs), rtol=1e-11, atol=0)


def test_tridiagonal_solutions_keep_sign_and_sum_at_any_stiffness() -> None:
    couplings = torch.full((100,), 1e14, dtype=F64)
    rhs = torch.zeros(100, dtype=F64)
    rhs[3] = 1.0
    x = solve_tridiagonal(couplings, couplings, torch.ones_like(rhs), rhs)
    assert float(x.min()) > 0
    assert float(x.sum()) == pytest.approx(1, abs=1e-14)


# -- the stepper --------------------------------------------------------------------------------------------------


def test_step_limits() -> None:
    grid = Grid((50,), (1.0,))
    u = 2 * torch.sin(2 * math.pi * grid.points()[0]).unsqueeze(0)
    assert FiniteVolumeStepper(Burgers(0.0), grid, 0.1, reconstruction="first_order").stable_dt(u) == pytest.approx(
        0.5 * 0.02 / float(u.abs().max())
    )
    assert FiniteVolumeStepper(Heat(0.3), grid, 1.0, implicit=False).stable_dt(u) == pytest.approx(0.02**2 / 0.6)
    assert FiniteVolumeStepper(Heat(0.3), grid, 1.0, implicit=True).stable_dt(u) == pytest.approx(0.02 / 0.3)
    assert FiniteVolumeStepper(Burgers(0.0), grid, 0.1).stable_dt(torch.zeros_like(u)) == math.inf
    domain = Domain.box(0.0, 1.0, Dirichlet(lambda t: 4 * t))
    walls = FiniteVolumeStepper(Burgers(0.0), domain.grid(50), 0.5, boundaries=domain.boundaries, reconstruction="first_order")
    assert walls.stable_dt(torch.zeros_like(u), time=1.0) == pytest.approx(0.5 * 0.02 / 6)


def test_the_limit_is_stable_and_twice_it_is_not() -> None:
    grid = Grid((50,), (1.0,))
    u = torch.rand(1, 50, dtype=F64, generator=torch.Generator().manual_seed(0))
    limit = FiniteVolumeStepper(Heat(0.3), grid, 1.0, implicit=False).stable_dt(u)
    assert run(FiniteVolumeStepper(Heat(0.3), grid, limit, implicit=False), u, 400).abs().max() < 1
    assert run(FiniteVolumeStepper(Heat(0.3), grid, 2 * limit, implicit=False), u, 400).abs().max() > 1e6


def test_it_chooses_implicit_diffusion_where_it_must() -> None:
    grid = Grid((50,), (1.0,))
    assert not FiniteVolumeStepper(Burgers(0.0), grid, 1.0).implicit
    assert not FiniteVolumeStepper(Heat(0.3), grid, 0.9 * 0.02**2 / 0.6).implicit
    assert FiniteVolumeStepper(Heat(0.3), grid, 1.1 * 0.02**2 / 0.6).implicit
    assert FiniteVolumeStepper(Layered(), grid, 1e-9).implicit
    assert not FiniteVolumeStepper(Layered(), grid, 1e-9, implicit=False).implicit


@pytest.mark.parametrize("implicit", [False, True])
def test_gradients(implicit: bool) -> None:
    domain = Domain.box(0.0, 1.0, Dirichlet(0.7), Neumann(0.2))
    grid = domain.grid(6)
    u = (0.2 + torch.rand(1, 6, dtype=F64, generator=torch.Generator().manual_seed(0))).requires_grad_()
    nu = torch.tensor(0.05, dtype=F64, requires_grad=True)

    def advance(v: Tensor, viscosity: Tensor) -> Tensor:
        law = Burgers(viscosity)
        return FiniteVolumeStepper(law, grid, 0.05, boundaries=domain.boundaries, reconstruction="first_order", implicit=implicit)(v)

    assert torch.autograd.gradcheck(advance, (u, nu))


@pytest.mark.parametrize("implicit", [False, True])
def test_single_precision_stays_single(implicit: bool) -> None:
    domain = Domain.box(0.0, 1.0, Dirichlet(0.0))
    double, single = (domain.grid(32, dtype=t) for t in (torch.float64, torch.float32))
    u = torch.sin(math.pi * double.points()[0]).unsqueeze(0)
    results = [
        run(FiniteVolumeStepper(Burgers(0.05), g, 0.005, boundaries=domain.boundaries, implicit=implicit), u.to(g.dtype), 20)
        for g in (double, single)
    ]
    assert results[1].dtype == torch.float32
    torch.testing.assert_close(results[1].double(), results[0], rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda g: FiniteVolumeStepper(KuramotoSivashinsky(), g, 0.1), "ConservationLaw"),
        (lambda g: FiniteVolumeStepper(Burgers(0.1), g, -0.1), "positive"),
        (lambda g: FiniteVolumeStepper(Burgers(0.1), g, 0.1, reconstruction="weno7"), "weno5"),
        (lambda g: FiniteVolumeStepper(Burgers(0.1), g, 0.1, face_mean="geometric"), "harmonic"),
        (lambda g: FiniteVolumeStepper(Burgers(0.1), g, 0.1, face_mean="integral"), "potential"),
        (lambda g: FiniteVolumeStepper(Burgers(0.1), g, 0.1, implicit_order=3), "order 1 and 2"),
        (lambda g: FiniteVolumeStepper(Burgers(0.1), Grid((), ()), 0.1), "no axes"),
        (lambda g: FiniteVolumeStepper(Burgers(0.1), Grid((8,), (1.0,), periodic=False), 0.1), "boundaries"),
        (lambda g: FiniteVolumeStepper(Burgers(0.1), g, 0.1)(torch.zeros(1, 9, dtype=F64)), r"\(\*batch, 1, 8\)"),
        (lambda g: FiniteVolumeStepper(Burgers(0.1), g, 0.1)(torch.zeros(1, 8)), "float64"),
        (lambda g: FiniteVolumeStepper(Burgers(0.0), Grid((2,), (1.0,)), 0.1)(torch.zeros(1, 2, dtype=F64)), "at least 3"),
    ],
)
def test_bad_input(make, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make(Grid((8,), (1.0,)))
