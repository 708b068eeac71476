"""Time steppers: exact propagation, systems, gradients, equal results on every path, clear failures."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sciml
from sciml.core.equation import Equation
from sciml.derivatives.fourier import Fourier
from sciml.derivatives.recorded import record
from sciml.problems import kuramoto_sivashinsky as ks
from sciml.problems.allen_cahn import AllenCahn
from sciml.problems.navier_stokes import Vorticity
from sciml.solvers.phi import phi_functions
from sciml.solvers.schemes import EXPLICIT, SCHEMES, SPECTRAL
from sciml.solvers.scipy_bridge import scipy_solve

NAMED = {**SPECTRAL, **EXPLICIT}


class Burgers(Equation):
    def __init__(self, viscosity: Any) -> None:
        super().__init__()
        self.viscosity = viscosity

    def linear(self, u: Any, d: Any) -> Any:
        return self.viscosity * d.x(u, 2)

    def nonlinear(self, u: Any, d: Any) -> Any:
        return -d.x(u**2) / 2


class ConservativeBurgers(sciml.ConservationLaw):
    def __init__(self, viscosity: float) -> None:
        super().__init__()
        self.viscosity = viscosity

    def flux(self, u: Any) -> Any:
        return u**2 / 2

    def diffusivity(self, u: Any) -> Any:
        return self.viscosity


class Waves(Equation):
    """a_t = c b_x, b_t = c a_x: two unknowns that only a matrix exponential propagates exactly."""

    fields = ("a", "b")
    degree = 1

    def linear(self, u: Any, d: Any) -> Any:
        a, b = d.split(u)
        return d.stack(2.0 * d.x(b), 2.0 * d.x(a))


class Forced(Equation):
    """u_t = -u + cos t: reads the time."""

    autonomous = False

    def linear(self, u: Any, d: Any) -> Any:
        return -1.0 * u

    def nonlinear(self, u: Any, d: Any) -> Any:
        return 0.0 * u + math.cos(d.time)


def start(points: int = 32, batch: int | None = None) -> tuple[sciml.Grid, Tensor]:
    grid = sciml.Grid((points,), (2 * math.pi,))
    (x,) = grid.points()
    u = (torch.sin(x) + 0.3 * torch.cos(3 * x))[None]
    return grid, u if batch is None else torch.stack([u * (1 + 0.1 * i) for i in range(batch)])


@pytest.mark.parametrize("name", SPECTRAL)
def test_coupled_waves_travel_without_loss(name: str) -> None:
    grid = sciml.Grid((32,), (2 * math.pi,))
    (x,) = grid.points()
    u0 = torch.stack([torch.sin(x), torch.zeros_like(x)])
    steps, dt = 100, 0.01
    u = sciml.rollout(SPECTRAL[name](Waves(), grid, dt), u0, steps)[-1]
    exact = torch.stack([torch.sin(x) * math.cos(2.0), torch.cos(x) * math.sin(2.0)])
    tolerance = 1e-12 if name.startswith("etd") else 1e-3
    assert float((u - exact).abs().max()) < tolerance


@pytest.mark.parametrize("name", NAMED)
def test_time_dependent_forcing_reaches_every_stage(name: str) -> None:
    grid = sciml.Grid((4,), (1.0,))
    kind = NAMED[name]

    def error(steps: int) -> float:
        u = sciml.rollout(kind(Forced(), grid, 1.0 / steps), torch.zeros(1, 4, dtype=torch.float64), steps)[-1, 0, 0]
        return abs(float(u) - (math.cos(1.0) + math.sin(1.0) - math.exp(-1.0)) / 2)

    order = math.log2(error(20) / error(40))
    assert order > kind.order - 0.15


@pytest.mark.parametrize("name", NAMED)
def test_a_single_step_from_any_time_is_one_order_better(name: str) -> None:
    """From t = 0, where the forcing is even, a wrong time in one stage may cost nothing."""
    grid, kind, begin = sciml.Grid((4,), (1.0,)), NAMED[name], 0.3

    def particular(t: float) -> float:
        return (math.cos(t) + math.sin(t)) / 2

    def error(h: float) -> float:
        u = kind(Forced(), grid, h)(torch.zeros(1, 4, dtype=torch.float64), begin)
        return abs(float(u[0, 0]) - particular(begin + h) + particular(begin) * math.exp(-h))

    history = name == "ab2"  # which a single call has not
    assert math.log2(error(0.2) / error(0.1)) > kind.order + 0.75 - history


def test_the_independent_integrator_reads_the_time() -> None:
    u = scipy_solve(Forced(), sciml.Grid((4,), (1.0,)), torch.zeros(1, 4, dtype=torch.float64), [0.0, 0.5, 1.0])
    assert float(u[-1, 0, 0]) == pytest.approx((math.cos(1.0) + math.sin(1.0) - math.exp(-1.0)) / 2, abs=1e-7)


def test_phi_functions_equal_their_power_series() -> None:
    """Also just inside the unit circle, where a contour of radius 1 would pass through 0."""
    angles = 2 * math.pi * torch.arange(64, dtype=torch.float64) / 64
    sizes = torch.tensor([0.0, 0.3, 0.999, 1.0, 1.5], dtype=torch.float64).unsqueeze(1)
    z = torch.polar(sizes.expand(5, 64).contiguous(), angles.expand(5, 64).contiguous())
    for k, value in enumerate(phi_functions(z, 3)):
        series = sum((z**n / float(math.factorial(n + k)) for n in range(30)), start=torch.zeros_like(z))
        assert float((value - series).abs().max()) < 1e-13


def test_recorded_terms_equal_the_fields_they_replace() -> None:
    generator = torch.Generator().manual_seed(1)
    for name in sciml.problem_names():
        problem = sciml.load_problem(name)
        equation = problem.equation
        if not isinstance(equation, Equation) or equation.lattice or not all(problem.domain.is_periodic) or problem.domain.ndim == 0:
            continue
        for degree in (None, equation.degree):
            grid = problem.domain.grid(24)
            engine = Fourier(grid, degree)
            program = record(equation, engine)
            if program is None:
                continue
            u = torch.rand((2, len(equation.fields), *grid.shape), generator=generator, dtype=torch.float64)
            c = engine.transform.forward(u)
            expected = engine.coefficients(equation.nonlinear(engine.from_coefficients(c), engine))
            assert float((program(c) - expected).abs().max()) <= 1e-12 * float(expected.abs().max()), name


def test_the_shipped_right_hand_sides_are_recorded() -> None:
    assert record(ks.KuramotoSivashinsky(), Fourier(sciml.Grid((16,), (1.0,)))) is not None
    program = record(Vorticity(viscosity=1e-2), Fourier(sciml.Grid((16, 16), (1.0, 1.0)), 2))
    assert program is not None and program.fold is not None


def test_a_branch_on_values_is_evaluated_field_by_field() -> None:
    class Branching(Equation):
        def nonlinear(self, u: Any, d: Any) -> Any:
            return -d.x(u**2) / 2 if float(d.values(u).max()) > 1.0 else 0.5 * u

    grid, u = start()
    assert record(Branching(), Fourier(grid)) is None
    small = sciml.ETDRK4(Branching(), grid, 0.1)(0.5 * u)
    assert torch.allclose(small, 0.5 * u * math.exp(0.05), atol=1e-7)


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("scheme", [sciml.ETDRK1, sciml.ETDRK2, sciml.ETDRK3, sciml.ETDRK4])
def test_small_states_take_the_same_steps_through_numpy(scheme: Any, batch: int | None) -> None:
    grid, u = start(batch=batch)
    step = scheme(ks.KuramotoSivashinsky(), grid, 0.01)
    assert step._small is not None
    with torch.no_grad():
        fast = sciml.rollout(step, u, 50)
    slow = sciml.rollout(step, u.clone().requires_grad_(), 50)
    assert slow.requires_grad
    assert float((fast - slow.detach()).abs().max()) < 1e-13


@pytest.mark.parametrize("scheme", [sciml.ETDRK4, sciml.CNAB2, sciml.ARK3, sciml.RK4, sciml.DormandPrince])
def test_batches_equal_single_runs_and_samples_may_have_their_own_coefficient(scheme: Any) -> None:
    grid, u = start(batch=3)
    nu = torch.tensor([0.05, 0.1, 0.2], dtype=torch.float64)
    together = sciml.rollout(scheme(Burgers(nu), grid, 0.01), u, 20)[-1]
    for i in range(3):
        alone = sciml.rollout(scheme(Burgers(float(nu[i])), grid, 0.01), u[i], 20)[-1]
        assert float((together[i] - alone).abs().max()) < 1e-13


@pytest.mark.parametrize("scheme", [sciml.ETDRK4, sciml.CNAB2, sciml.ARK3, sciml.RK4, sciml.DormandPrince])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_gradients_of_a_trainable_coefficient_and_of_the_initial_state(scheme: Any, checkpoint: bool) -> None:
    grid, u = start()

    def loss(viscosity: Any, state: Tensor) -> Tensor:
        step = scheme(Burgers(viscosity), grid, 0.02)
        return sciml.rollout(step, state, 20, every=5, checkpoint=checkpoint)[-1].square().sum()

    nu = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))
    state = u.clone().requires_grad_()
    loss(nu, state).backward()
    h = 1e-5
    with torch.no_grad():
        slope = (loss(0.1 + h, u) - loss(0.1 - h, u)) / (2 * h)
        direction = torch.cos(torch.arange(32.0, dtype=torch.float64))[None]
        slope_u = (loss(0.1, u + h * direction) - loss(0.1, u - h * direction)) / (2 * h)
    assert nu.grad is not None and state.grad is not None
    assert math.isclose(float(nu.grad), float(slope), rel_tol=1e-7)
    assert math.isclose(float((state.grad * direction).sum()), float(slope_u), rel_tol=1e-7)


def test_float32_follows_float64_and_keeps_its_type() -> None:
    grid, u = start()
    exact = sciml.rollout(sciml.ETDRK4(Burgers(0.1), grid, 0.01), u, 100)[-1]
    single = grid.to(dtype=torch.float32)
    approximate = sciml.rollout(sciml.ETDRK4(Burgers(0.1), single, 0.01), u.float(), 100)[-1]
    assert approximate.dtype == torch.float32
    assert float((approximate.double() - exact).abs().max()) < 5e-6


def test_dealiasing_follows_the_degree() -> None:
    """The product of two retained modes never lands on a retained mode that it does not belong to."""
    grid = sciml.Grid((32,), (2 * math.pi,))
    (x,) = grid.points()
    engine = Fourier(grid, degree=2)
    keep = 10
    assert engine.transform.keep == (keep,)
    u = engine.field(torch.cos(keep * x)[None])
    product = engine.coefficients(u * u)
    assert abs(complex(product[0, 0]) - 0.5) < 1e-15
    assert float(product[0, 1:].abs().max()) < 1e-15  # cos^2 = 1/2 + cos(20 x)/2, whose second part is removed


def test_dormand_prince_controls_the_error_and_interpolates() -> None:
    grid, u = start()
    times = [0.0, 0.13, 0.31, 0.77, 1.0]
    reference = sciml.scipy_solve(Burgers(0.1), grid, u, times, method="DOP853", rtol=1e-12, atol=1e-13)
    pair = sciml.DormandPrince(Burgers(0.1), grid, 0.5, rtol=1e-8, atol=1e-10, dealias=False)
    assert float((pair.integrate(u, times) - reference).abs().max()) < 1e-7
    loose = sciml.DormandPrince(Burgers(0.1), grid, 0.5, rtol=1e-3, atol=1e-5, dealias=False).integrate(u, times)
    assert 1e-8 < float((loose - reference).abs().max()) < 1e-2


def test_dormand_prince_stops_at_a_singularity() -> None:
    class Explosive(Equation):
        def nonlinear(self, u: Any, d: Any) -> Any:
            return u**2

    grid = sciml.Grid((4,), (1.0,))
    with pytest.raises(sciml.BlowUpError, match="step size fell.*t=1"):
        sciml.DormandPrince(Explosive(), grid, 0.1).integrate(torch.ones(1, 4, dtype=torch.float64), [0.0, 2.0])


def test_ks_agrees_with_an_independent_integrator() -> None:
    grid = sciml.Grid((64,), (22.0,))
    (x,) = grid.points()
    u = torch.cos(2 * math.pi * x / 22)[None]
    reference = sciml.scipy_solve(ks.KuramotoSivashinsky(), grid, u, [0.0, 5.0], method="LSODA", rtol=1e-11, atol=1e-12)[-1]
    ours = sciml.rollout(sciml.ETDRK4(ks.KuramotoSivashinsky(), grid, 0.01, dealias=False), u, 500, every=500)[-1]
    assert float((ours - reference).abs().max()) < 1e-8


@pytest.mark.parametrize("name", SCHEMES)
def test_steppers_can_be_copied_and_stored(name: str) -> None:
    grid, u = start()
    if name == "finite_volume":
        step: Any = sciml.FiniteVolumeStepper(ConservativeBurgers(0.1), grid, 0.01)
    else:
        step = SCHEMES[name](Burgers(0.1), grid, 0.01)
    expected = sciml.rollout(step, u, 3)
    for twin in (copy.copy(step), copy.deepcopy(step), pickle.loads(pickle.dumps(step))):
        assert torch.equal(sciml.rollout(twin, u, 3), expected)


def test_a_filter_acts_after_every_step() -> None:
    grid, u = start()
    multiplier = torch.ones(17, dtype=torch.float64)
    multiplier[3] = 0.5
    for dealias in (True, False):
        step = sciml.Filtered(sciml.ETDRK4(Burgers(0.0), grid, 1e-9, dealias=dealias), multiplier)
        after = sciml.rollout(step, u, 3)[-1]
        (x,) = grid.points()
        assert torch.allclose(after[0], torch.sin(x) + 0.3 / 8 * torch.cos(3 * x), atol=1e-8)
    with pytest.raises(sciml.InputError, match="half spectrum"):
        sciml.Filtered(sciml.ETDRK4(Burgers(0.0), grid, 1e-3), multiplier[:-1])


@pytest.mark.parametrize("scheme", [sciml.ETDRK4, sciml.CNAB2, sciml.RK4, sciml.DormandPrince])
def test_bad_input_is_named(scheme: Any) -> None:
    grid, u = start()
    with pytest.raises(sciml.InputError, match="positive, finite time step"):
        scheme(Burgers(0.1), grid, -0.1)
    with pytest.raises(sciml.InputError, match="not a number"):
        scheme(Burgers(0.1), grid, "fast")
    step = scheme(Burgers(0.1), grid, 0.1)
    with pytest.raises(sciml.InputError, match=r"shape \(1, 16\)"):
        step(u[:, :16])
    with pytest.raises(sciml.InputError, match="float32 but the grid is torch.float64"):
        step(u.float())
    with pytest.raises(sciml.InputError, match="torch.Tensor"):
        step(u.numpy())
    with pytest.raises(sciml.InputError, match="device|on meta"):
        step(u.to("meta"))


def test_fourier_schemes_refuse_bounded_grids_and_lattices() -> None:
    bounded = sciml.Grid((16,), (1.0,), periodic=(False,))
    with pytest.raises(sciml.InputError, match="periodic along every axis"):
        sciml.ETDRK4(Burgers(0.1), bounded, 0.1)
    lorenz = sciml.load_problem("lorenz:sakov2008").equation
    with pytest.raises(sciml.InputError, match="lattice"):
        sciml.ETDRK4(lorenz, sciml.Grid((40,), (40.0,)), 0.1)
    with pytest.raises(sciml.InputError, match="sciml.Equation"):
        sciml.ETDRK4("burgers", sciml.Grid((16,), (1.0,)), 0.1)


def test_memory_of_a_rollout_does_not_grow_with_its_steps() -> None:
    import tracemalloc

    grid, u = start(points=256)
    step = sciml.ETDRK4(Burgers(0.1), grid, 1e-4)
    peaks = []
    for steps in (200, 2000):
        with torch.no_grad():
            sciml.rollout(step, u, steps, every=steps // 2)
            tracemalloc.start()
            sciml.rollout(step, u, steps, every=steps // 2)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0] + 20_000


def test_lyapunov_exponents_of_a_linear_equation_are_its_growth_rates() -> None:
    class Growth(Equation):
        def linear(self, u: Any, d: Any) -> Any:
            return 0.3 * u + 0.1 * d.x(u, 2)

    grid, u = start(16)
    exponents = sciml.lyapunov_exponents(sciml.ETDRK4(Growth(), grid, 0.1), u, count=3, steps=400, every=10, spin_up=8000)
    assert np.allclose(exponents.numpy(), [0.3, 0.2, 0.2], atol=1e-3)


def test_tangent_linear_propagation_equals_finite_differences() -> None:
    grid, u = start()
    generator = torch.Generator().manual_seed(3)
    for equation in (ks.KuramotoSivashinsky(), Burgers(0.05), AllenCahn(diffusivity=0.1, reaction=1.0)):
        for scheme in (sciml.ETDRK4, sciml.CNAB2, sciml.ARK3, sciml.RK4):
            step = scheme(equation, grid, 0.02)
            direction = torch.randn((2, *u.shape), generator=generator, dtype=torch.float64)
            value, tangent = sciml.tangent_linear(step, u.expand(2, *u.shape), direction)
            h = 1e-6
            difference = (step(u + h * direction) - step(u - h * direction)) / (2 * h)
            assert torch.allclose(value[0], step(u), rtol=1e-12, atol=1e-14)
            assert float((tangent - difference).abs().max()) < 1e-7 * max(1.0, float(tangent.abs().max()))


def test_lyapunov_bad_input() -> None:
    grid, u = start(16, batch=2)
    step = sciml.ETDRK4(Burgers(0.1), grid, 0.1)
    with pytest.raises(sciml.InputError, match="one state without batch"):
        sciml.lyapunov_exponents(step, u, steps=10)
    with pytest.raises(sciml.InputError, match="multiple of every"):
        sciml.lyapunov_exponents(step, u[0], steps=15, every=10)
    with pytest.raises(sciml.InputError, match="exceeds"):
        sciml.lyapunov_exponents(step, u[0], steps=10, count=17)
