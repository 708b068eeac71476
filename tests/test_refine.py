"""Refinement by the equation: errors, residuals and orders against exact solutions, and when a prediction is kept."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import sciml
from sciml.problems import kuramoto_sivashinsky, navier_stokes
from sciml.training.refine import Preconditioner, Weights, interpolation_matrix
from sciml.training.residual import Residual

F64 = torch.float64


def taylor_green(n: int, dt: float, count: int, nu: float = 0.05) -> tuple[sciml.Equation, sciml.Grid, Tensor]:
    """An exact solution ``(time, 1, n, n)``: decaying vortices that a uniform flow carries."""
    grid = sciml.Grid((n, n), (2 * math.pi, 2 * math.pi))
    x, y = grid.points()
    flow = (1.0, 0.5)
    states = [navier_stokes.taylor_green_vorticity(dt * m, x, y, nu, 1.0, flow) for m in range(count)]
    return navier_stokes.Vorticity(nu, mean_flow=flow), grid, torch.stack(states).unsqueeze(1)


def waves(grid: sciml.Grid, count: int, size: float, seed: int = 0) -> Tensor:
    """A smooth perturbation that is zero at the first of ``count`` instants, ``(count, 1, *space)``."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(count, 1, *grid.shape, dtype=F64)
    t = torch.arange(count, dtype=F64).view(-1, *(1,) * (grid.ndim + 1)) / count
    for _ in range(4):
        numbers = torch.randint(-2, 3, (grid.ndim,), generator=generator).tolist()
        angle = sum(2 * math.pi * n * x / length for n, x, length in zip(numbers, grid.points(), grid.lengths, strict=True))
        a, b = torch.randn(2, generator=generator, dtype=F64).tolist()
        total = total + size * torch.sin(2 * t + a) * t * torch.cos(torch.as_tensor(angle) + b)
    return total


@pytest.mark.parametrize("n", [12, 13])
@pytest.mark.parametrize("order", [-1.0, 0.0])
def test_a_perturbed_prediction_is_put_right(n: int, order: float) -> None:
    equation, grid, u = taylor_green(n, 0.1, 9)
    found = sciml.refine_trajectory(u + waves(grid, 9, 0.2), equation, grid, 0.1, order=order, truth=u)
    assert found.error_before.item() > 0.05 and found.error_after.item() < 2e-5
    assert bool(found.refined) and found.error_after.item() < found.uncertainty.item() < 1e-2
    # the residuals are those of sciml.Residual in one norm, but for products of modes beyond the band limit
    judge = sciml.Residual(equation, grid, 0.1, accuracy=6, order=order)
    assert found.residual_before.item() == pytest.approx(judge(found.predicted).item(), rel=1e-4)
    assert found.residual_after.item() == pytest.approx(judge(found.u).item(), rel=1e-4)
    assert found.residual_before.item() > 0.1 and found.residual_after.item() < 1e-4
    assert found.change.item() == pytest.approx((found.u - found.predicted)[1:].norm().item() / found.u[1:].norm().item(), rel=1e-9)
    assert torch.equal(found.u[0], u[0]) and found.u.shape == u.shape


@pytest.mark.parametrize("n", [12, 13])
def test_an_exact_prediction_is_kept(n: int) -> None:
    equation, grid, u = taylor_green(n, 0.2, 9)
    for accuracy, prediction in ((1, u), (2, u), (4, u), (2, u + waves(grid, 9, 1e-8))):
        found = sciml.refine_trajectory(prediction, equation, grid, 0.2, accuracy=accuracy, truth=u)
        assert not bool(found.refined) and torch.equal(found.u, prediction)
        assert torch.equal(found.error_after, found.error_before) and torch.equal(found.residual_after, found.residual_before)
        assert found.residual_before.item() > 1e-9  # the formula's own error, which a fit would lower


@pytest.mark.parametrize("accuracy", [2, 3])
def test_what_is_left_falls_at_the_order_of_the_differences(accuracy: int) -> None:
    errors, estimates = [], []
    for count in (9, 17):
        equation, grid, u = taylor_green(8, 1.6 / (count - 1), count)
        found = sciml.refine_trajectory(u + waves(grid, count, 0.3), equation, grid, 1.6 / (count - 1), accuracy=accuracy, truth=u)
        errors.append(found.error_after.item())
        estimates.append(found.uncertainty.item())
    assert errors[0] < estimates[0] and errors[1] < estimates[1]
    assert math.log2(estimates[0] / estimates[1]) == pytest.approx(accuracy, abs=0.8)
    assert math.log2(errors[0] / errors[1]) > accuracy + 1.0


def test_the_residual_of_scrambled_states_is_of_order_one_and_that_of_the_solution_is_not() -> None:
    equation, grid, u = taylor_green(12, 0.05, 9)
    order = torch.tensor([0, 5, 2, 7, 1, 8, 3, 6, 4])
    found = sciml.refine_trajectory(u[order], equation, grid, 0.05, iterations=1)
    assert found.residual_before.item() > 0.5
    assert sciml.refine_trajectory(u, equation, grid, 0.05, iterations=1).residual_before.item() < 1e-6


def test_modes_up_to_the_band_limit_are_refined_and_those_beyond_removed() -> None:
    equation, grid, u = taylor_green(12, 0.1, 9)
    x, y = grid.points()
    t = torch.arange(9, dtype=F64).view(-1, 1, 1, 1) / 9
    inside, beyond = 0.01 * t * torch.cos(3 * x + 3 * y), 0.01 * t * torch.cos(5 * x)
    found = sciml.refine_trajectory(u + inside + beyond, equation, grid, 0.1, truth=u)
    assert bool(found.refined) and found.error_before.item() > 3e-3 and found.error_after.item() < 2e-5
    kept = sciml.refine_trajectory(u + beyond, equation, grid, 0.1)
    assert not bool(kept.refined) and torch.equal(kept.u, u + beyond)
    assert kept.change.item() < 1e-5


def test_samples_are_refined_independently_and_kept_one_by_one() -> None:
    equation, grid, u = taylor_green(12, 0.1, 9)
    both = torch.stack([u, u + waves(grid, 9, 0.2)], 1)
    found = sciml.refine_trajectory(both, equation, grid, 0.1, truth=torch.stack([u, u], 1))
    assert found.refined.tolist() == [False, True]
    assert torch.equal(found.u[:, 0], u)
    alone = sciml.refine_trajectory(both[:, 1], equation, grid, 0.1, truth=u)
    torch.testing.assert_close(found.u[:, 1], alone.u, rtol=0, atol=1e-5)
    assert found.error_after[1].item() < 2e-5


class Decay(sciml.Equation):
    r"""u_t = - a u, v_t = D v_xx + u + sin t, with a per sample; not autonomous."""

    fields = ("u", "v")
    degree = 1
    autonomous = False

    def __init__(self, rate: Tensor) -> None:
        super().__init__()
        self.rate = rate

    def linear(self, u: Any, d: Any) -> Any:
        a, b = d.split(u)
        return d.stack(-self.rate * a, 0.1 * d.x(b, 2) + a)

    def nonlinear(self, u: Any, d: Any) -> Any:
        a, _ = d.split(u)
        return d.stack(0 * a, 0 * a + torch.sin(torch.as_tensor(d.time, dtype=F64)))


def test_systems_coefficients_per_sample_and_time() -> None:
    rate = torch.tensor([0.3, 1.0], dtype=F64)
    grid = sciml.Grid((8,), (2 * math.pi,))
    x = grid.points()[0]
    t = 2.0 + 0.2 * torch.arange(11, dtype=F64).view(-1, 1, 1)
    a = rate.view(2, 1)
    first = torch.exp(-a * t) * (1 + torch.cos(x))
    mean, wave = (torch.exp(-a * t) / (c - a) for c in (0.0, 0.1))
    second = mean + wave * torch.cos(x) - torch.cos(t) + 0.5 * torch.exp(-0.1 * t) * torch.sin(x)
    u = torch.stack([first, second], 2)
    wrong = u + 0.2 * torch.linspace(0, 1, 11, dtype=F64).view(-1, 1, 1, 1) * torch.cos(2 * x)
    found = sciml.refine_trajectory(wrong, Decay(rate), grid, 0.2, time=2.0, truth=u)
    assert found.refined.tolist() == [True, True] and found.iterations <= 10
    assert found.error_before.min() > 0.03 and found.error_after.max() < 1e-5
    shifted = sciml.refine_trajectory(wrong, Decay(rate), grid, 0.2, time=0.0, truth=u)
    assert shifted.error_after.min() > 1e-2


def test_an_unstable_dispersive_equation() -> None:
    class Mixed(sciml.Equation):
        """Burgers' nonlinearity with growth, dispersion and hyperviscosity."""

        def linear(self, u: Any, d: Any) -> Any:
            return -d.x(u, 2) - 0.3 * d.x(u, 3) - d.x(u, 4)

        def nonlinear(self, u: Any, d: Any) -> Any:
            return -d.x(u**2) / 2

    grid = sciml.Grid((32,), (22.0,))
    step = sciml.ETDRK4(Mixed(), grid, 0.02)
    x = 2 * math.pi * grid.points()[0] / 22
    u = sciml.rollout(step, (torch.cos(x) + 0.5 * torch.sin(2 * x)).unsqueeze(0), 100, every=10)
    found = sciml.refine_trajectory(u + waves(grid, 11, 0.2), Mixed(), grid, 0.2, substeps=2, truth=u)
    assert found.error_before.item() > 0.05 and found.error_after.item() < 1e-3
    assert found.error_after.item() < found.uncertainty.item()
    assert isinstance(kuramoto_sivashinsky.KuramotoSivashinsky(), sciml.Equation)


@pytest.mark.parametrize("shape", [(9,), (8, 7)])
def test_the_preconditioner_solves_linear_equations_and_has_its_adjoint(shape: tuple[int, ...]) -> None:
    class Linear(sciml.Equation):
        degree = 1

        def linear(self, u: Any, d: Any) -> Any:
            return 0.3 * d.laplacian(u) - d.x(u, 3) + 0.2 * u

    grid = sciml.Grid(shape, (3.0, 2.0)[: len(shape)])
    weights = Weights(grid, 1, -1.0, 1.0)
    physics = Residual(Linear(), grid, 0.1, accuracy=2)
    p = Preconditioner(Linear(), weights, physics, 6)
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(6, 2, 1, *shape, dtype=F64, generator=generator) for _ in range(2))
    assert (p(a) * b).sum().item() == pytest.approx((a * p.adjoint(b)).sum().item(), rel=1e-10)

    def image(v: Tensor) -> Tensor:
        rate, slope = physics.parts(torch.cat([torch.zeros_like(v[:1]), p(v)]))
        return weights(rate - slope)

    ja, jb = image(a), image(b)
    assert (ja * jb).sum().item() == pytest.approx((a * b).sum().item(), rel=1e-6, abs=1e-6)


def test_interpolation_is_exact_for_polynomials() -> None:
    t, fine = torch.arange(6, dtype=F64), torch.arange(16, dtype=F64) / 3
    for degree in (1, 2, 4):
        matrix = interpolation_matrix(6, 3, degree)
        for power in range(degree + 1):
            torch.testing.assert_close(matrix @ t**power, fine**power, rtol=0, atol=1e-9)
        torch.testing.assert_close(matrix[::3], torch.eye(6, dtype=F64), rtol=0, atol=1e-12)


# --- refinement of models


def small_model(grid: sciml.Grid) -> sciml.SFNO:
    torch.manual_seed(0)
    return sciml.SFNO(grid, modes=3, time_modes=3, width=8, depth=1, latent_steps=6)


def test_a_models_prediction_is_refined_beyond_its_own_modes_and_its_weights_stay() -> None:
    equation, grid, u = taylor_green(13, 0.1, 14)
    model = small_model(grid).train()
    weights = {name: p.clone() for name, p in model.state_dict().items()}
    windows = u[:6], u[6:]
    found = sciml.refine(model, equation, windows[0], steps=8, dt=0.1, substeps=2, truth=windows[1])
    with torch.no_grad():
        assert torch.equal(found.predicted, model.eval()(windows[0], steps=16)[1::2])
    assert found.u.shape == (8, 1, 13, 13) and bool(found.refined)
    assert found.error_before.item() > 0.05 and found.error_after.item() < 1e-5
    assert found.residual_after.item() < 1e-3 < found.residual_before.item()
    assert all(torch.equal(p, weights[name]) for name, p in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_batches_keep_their_layout_and_dtype_and_training_mode_returns() -> None:
    equation, grid, u = taylor_green(12, 0.1, 14)
    model = small_model(grid).float().train()
    window = torch.stack([u[:6], 0.5 * u[:6]]).float()
    after = u[6:].float()
    found = sciml.refine(model, equation, window, steps=8, dt=0.1, truth=torch.stack([after, 0.5 * after]))
    assert found.u.shape == (2, 8, 1, 12, 12) and found.u.dtype == torch.float32 and model.training
    # the advection by its own vorticity vanishes for these vortices, so that half of one is a solution too
    torch.testing.assert_close(found.u[0], after, rtol=0, atol=2e-4)
    torch.testing.assert_close(found.u[1], 0.5 * after, rtol=0, atol=2e-4)
    assert found.error_after.max() < 1e-4 < 1e-2 < found.error_before.min()


def test_a_propagators_roll_out_is_refined_too() -> None:
    equation, grid, u = taylor_green(12, 0.1, 9)
    torch.manual_seed(0)
    fno = sciml.FNO(grid, modes=3, width=4, depth=1, dt=0.1, residual=True).eval()
    found = sciml.refine(fno, equation, u[:1], steps=8, dt=0.1, truth=u[1:])
    with torch.no_grad():
        assert torch.equal(found.predicted, sciml.rollout(fno, u[0], 8)[1:])
    assert found.error_before.item() > 1e-2 and found.error_after.item() < 2e-5
    solver = sciml.ETDRK4(equation, grid, 0.1)
    kept = sciml.refine(solver, equation, u[:1], steps=8, dt=0.1, substeps=2, truth=u[1:])
    assert not bool(kept.refined) and torch.equal(kept.u, kept.predicted)
    with pytest.raises(sciml.InputError, match=r"dt=0\.2 given for a FNO"):
        sciml.refine(fno, equation, u[:1], steps=8, dt=0.2)
    with pytest.raises(sciml.InputError, match="takes none"):
        sciml.refine(solver, equation, u[:1], steps=8, dt=0.1, inputs=u[0])


def test_given_fields_reach_the_model() -> None:
    equation, grid, u = taylor_green(12, 0.1, 9)
    torch.manual_seed(0)
    fno = sciml.FNO(grid, modes=2, width=4, depth=1, dt=0.1, inputs=1).eval()
    sfno = sciml.SFNO(grid, modes=2, time_modes=2, width=6, depth=1, latent_steps=4, inputs=1).eval()
    a = u[3]
    with torch.no_grad():
        expected = sciml.rollout(fno.given(a), u[0], 8)[1:], sfno(u[:1], a, steps=8)
    for model, prediction in zip((fno, sfno), expected, strict=True):
        found = sciml.refine(model, equation, u[:1], steps=8, dt=0.1, inputs=a, iterations=1)
        assert torch.equal(found.predicted, prediction)


def test_what_does_not_fit_is_refused() -> None:
    equation, grid, u = taylor_green(12, 0.1, 9)
    model = small_model(grid)
    for options, words in (
        ({"dt": 0.0}, "dt=0"),
        ({"steps": 0}, "steps=0"),
        ({"substeps": 0}, "substeps=0"),
        ({"iterations": 0}, "iterations=0"),
        ({"accuracy": 0}, "accuracy=0"),
        ({"steps": 4}, "5 states for accuracy 4; at least 7 are needed"),
        ({"alpha": -1.0}, "alpha=-1"),
        ({"truth": u}, "a truth of shape"),
    ):
        with pytest.raises(sciml.InputError, match=words):
            sciml.refine(model, equation, u[:3], **{"steps": 8, "dt": 0.1, **options})
    with pytest.raises(sciml.InputError, match="frames"):
        sciml.refine(model, equation, u[0], steps=8, dt=0.1)
    with pytest.raises(sciml.InputError, match="two states at least"):
        sciml.refine_trajectory(u[:1], equation, grid, 0.1)
    with pytest.raises(sciml.InputError, match="accuracy=-1"):
        sciml.refine_trajectory(u, equation, grid, 0.1, accuracy=-1, substeps=2)
    with pytest.raises(sciml.InputError, match="dt=-1"):
        sciml.refine_trajectory(u, equation, grid, -1.0)
    with pytest.raises(sciml.InputError, match="are needed"):
        sciml.refine_trajectory(u[..., :5], equation, grid, 0.1)
    with pytest.raises(sciml.InputError, match="not finite"):
        sciml.refine_trajectory(u * math.inf, equation, grid, 0.1)
    with pytest.raises(sciml.InputError, match="unknowns"):
        sciml.refine_trajectory(torch.cat([u, u], 1), equation, grid, 0.1)
    with pytest.raises(sciml.InputError, match="periodic"):
        sciml.refine_trajectory(u, equation, sciml.Grid((12, 12), (1.0, 1.0), False), 0.1)
