"""Losses and norms have the values that their formulas give, on single modes, for every order, size and dimension."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import sciml
from sciml.training.residual import difference_matrix

GENERATOR = torch.Generator().manual_seed(3)
GRIDS = [
    sciml.Grid((16,), (2 * math.pi,)),
    sciml.Grid((15,), (3.0,)),
    sciml.Grid((8, 9), (1.0, 2.0)),
    sciml.Grid((9, 12), (5.0, 1.0)),
    sciml.Grid((5, 6, 8), (1.0, 2.0, 3.0)),
]


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64).to(dtype)


def test_relative_l2_is_a_mean_over_samples_of_ratios() -> None:
    target = torch.stack([torch.full((2, 5), 1.0), torch.full((2, 5), 10.0)])
    prediction = target.clone()
    prediction[0] += 0.3
    prediction[1] += 1.0
    assert sciml.relative_l2(prediction, target).item() == pytest.approx((0.3 + 0.1) / 2, rel=1e-6)
    # a longer horizon changes nothing about a uniform error
    for steps in (1, 4, 40):
        y = noise(3, steps, 1, 8)
        assert sciml.relative_l2(1.1 * y, y).item() == pytest.approx(0.1, rel=1e-12)
    y = noise(4, 1, 16)
    assert sciml.relative_l2(y + 1, y).item() == pytest.approx(((torch.ones(4) * 4.0) / y.flatten(1).norm(dim=1)).mean().item(), rel=1e-12)


def test_relative_l2_of_zero_targets_and_its_gradient() -> None:
    zero = torch.zeros(1, 1, 4)
    assert sciml.relative_l2(torch.full((1, 1, 4), 2.0), zero).item() == 4.0
    p = torch.zeros(1, 1, 4, requires_grad=True)
    sciml.relative_l2(p, zero).backward()
    assert torch.equal(p.grad, torch.zeros(1, 1, 4))


@pytest.mark.parametrize("shapes", [((2, 1, 8), (2, 8)), ((2, 1, 8), (1, 1, 8)), ((8,), (8,))])
def test_losses_refuse_to_broadcast(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(sciml.InputError, match="one shape"):
        sciml.relative_l2(torch.ones(shapes[0]), torch.ones(shapes[1]))
    with pytest.raises(sciml.InputError, match="one shape"):
        sciml.Sobolev(sciml.Grid((8,), (1.0,)))(torch.ones(shapes[0]), torch.ones(shapes[1]))


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: str(g.shape))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_order_zero_is_the_root_mean_square(grid: sciml.Grid, dtype: torch.dtype) -> None:
    u = noise(3, 2, *grid.shape, dtype=dtype)
    for alpha in (0.0, 1.0, 7.0):
        found = sciml.sobolev_norm(u, grid, 0, alpha=alpha)
        assert found.dtype == dtype and found.shape == (3,)
        torch.testing.assert_close(found, (u**2).mean(tuple(range(2, u.ndim))).sum(1).sqrt())


@pytest.mark.parametrize("order", [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: str(g.shape))
def test_single_modes_have_their_norm(grid: sciml.Grid, order: float, alpha: float) -> None:
    for modes in ([1] * grid.ndim, [2] + [0] * (grid.ndim - 1), [0] * (grid.ndim - 1) + [2], [-1] + [2] * (grid.ndim - 1)):
        k = [2 * math.pi * n / length for n, length in zip(modes, grid.lengths, strict=True)]
        phase = sum(kn * x for kn, x in zip(k, grid.points(), strict=True)) + 0.3
        u = 3.0 * torch.cos(phase)
        expected = 3.0 / math.sqrt(2) * (alpha + sum(kn**2 for kn in k)) ** (order / 2)
        assert sciml.sobolev_norm(u.unsqueeze(0), grid, order, alpha=alpha).item() == pytest.approx(expected, rel=1e-10)


def test_mean_and_nyquist_modes() -> None:
    grid = sciml.Grid((8,), (2 * math.pi,))
    constant = torch.full((1, 8), 5.0, dtype=torch.float64)
    assert [sciml.sobolev_norm(constant, grid, s, alpha=0.0).item() for s in (-1, 0, 1)] == [0.0, 5.0, 0.0]
    assert sciml.sobolev_norm(constant, grid, 2, alpha=3.0).item() == pytest.approx(15.0)
    nyquist = torch.tensor([[1.0, -1.0] * 4], dtype=torch.float64)
    assert sciml.sobolev_norm(nyquist, grid, 1, alpha=0.0).item() == pytest.approx(4.0)  # |k| = 4, mean square 1


def test_negative_order_inverts_the_positive_one() -> None:
    grid = sciml.Grid((12, 10), (1.0, 2.0))
    x, y = grid.points()
    u = torch.sin(2 * math.pi * x) + torch.cos(2 * math.pi * y)
    d = sciml.Fourier(grid)
    v = d.values(d.laplacian(d.field(u.unsqueeze(0))))
    assert sciml.sobolev_norm(v, grid, -2, alpha=0.0).item() == pytest.approx(sciml.sobolev_norm(u.unsqueeze(0), grid, 0).item(), rel=1e-12)


@pytest.mark.parametrize("order", [-1.0, 0.0, 1.5])
def test_sobolev_loss_scales_numerator_and_denominator_alike(order: float) -> None:
    grid = sciml.Grid((16,), (1.0,))
    for steps in (1, 4, 40):
        y = noise(3, steps, 2, 16)
        loss = sciml.Sobolev(grid, order)
        assert loss(1.1 * y, y).item() == pytest.approx(0.1, rel=1e-10)
    same = noise(2, 1, 1, 16).expand(2, 7, 1, 16)
    absolute = sciml.Sobolev(grid, order, relative=False)
    assert absolute(same, torch.zeros_like(same)).item() == pytest.approx(absolute(same[:, 0], torch.zeros_like(same[:, 0])).item(), rel=1e-12)


def test_sobolev_of_order_zero_is_relative_l2() -> None:
    grid = sciml.Grid((7, 8), (1.0, 2.0))
    p, y = noise(3, 2, 7, 8), noise(3, 2, 7, 8)
    assert sciml.Sobolev(grid, 0.0)(p, y).item() == pytest.approx(sciml.relative_l2(p, y).item(), rel=1e-12)
    p.requires_grad_()
    assert torch.autograd.gradcheck(lambda q: sciml.Sobolev(grid, -1.0)(q, y), (p,))


def test_norm_refuses_what_it_cannot_do() -> None:
    grid = sciml.Grid((8,), (1.0,))
    with pytest.raises(sciml.InputError, match="are needed"):
        sciml.sobolev_norm(torch.ones(1, 9), grid)
    with pytest.raises(sciml.InputError, match="alpha=-1"):
        sciml.sobolev_norm(torch.ones(1, 8), grid, 1, alpha=-1.0)
    with pytest.raises(sciml.InputError, match="periodic"):
        sciml.Sobolev(sciml.Grid((8,), (1.0,), False))
    with pytest.raises(sciml.InputError, match="sample"):
        sciml.Sobolev(grid)(torch.ones(3, 8), torch.ones(3, 8))


@pytest.mark.parametrize("accuracy", [1, 2, 3, 4])
def test_difference_matrix_is_exact_for_polynomials(accuracy: int) -> None:
    t = 0.3 * torch.arange(7, dtype=torch.float64)
    matrix = difference_matrix(7, accuracy, 0.3)
    for power in range(accuracy + 1):
        torch.testing.assert_close(matrix @ t**power, power * t ** max(power - 1, 0), atol=1e-10, rtol=1e-10)
    if accuracy % 2 == 0:  # centred where possible, so that the interior is antisymmetric
        torch.testing.assert_close(matrix[3], -matrix[3].flip(0), atol=1e-12, rtol=0)
    assert (matrix != 0).sum(1).max() <= accuracy + 1
    error = (matrix @ t ** (accuracy + 1) - (accuracy + 1) * t**accuracy).abs().max()
    assert error > 1e-4
    with pytest.raises(sciml.InputError, match="at least"):
        difference_matrix(accuracy, accuracy, 0.1)


def taylor_green(n: int, dt: float, count: int, nu: float = 0.05) -> tuple[Any, sciml.Grid, torch.Tensor]:
    from sciml.problems import navier_stokes

    grid = sciml.Grid((n, n), (1.0, 1.0))
    x, y = grid.points()
    shape = torch.sin(2 * math.pi * x) * torch.sin(2 * math.pi * y)
    times = dt * torch.arange(count, dtype=torch.float64)
    decay = torch.exp(-8 * math.pi**2 * nu * times)
    return navier_stokes.Vorticity(viscosity=nu), grid, (2.0 * decay.view(-1, 1, 1) * shape).unsqueeze(1)


@pytest.mark.parametrize("accuracy", [1, 2, 4])
@pytest.mark.parametrize("order", [0.0, -1.0])
def test_residual_of_an_exact_solution_falls_at_the_order_of_the_time_derivative(accuracy: int, order: float) -> None:
    values = []
    for dt in (0.02, 0.01):
        equation, grid, u = taylor_green(16, dt, 9)
        values.append(sciml.Residual(equation, grid, dt, accuracy=accuracy, order=order)(u).item())
    assert math.log2(values[0] / values[1]) == pytest.approx(accuracy, abs=0.35)
    assert values[1] < 0.2


def test_residual_of_states_that_do_not_follow_from_each_other_is_of_order_one() -> None:
    equation, grid, u = taylor_green(16, 0.01, 9)
    loss = sciml.Residual(equation, grid, 0.01)
    honest = loss(u).item()
    x, y = grid.points()
    frames = [torch.sin(2 * math.pi * x + 6 * noise(1)) * torch.cos(2 * math.pi * y + 6 * noise(1)) for _ in range(9)]
    scrambled = loss(torch.stack(frames).unsqueeze(1)).item()
    assert honest < 0.05 and 0.7 < scrambled < 1.3
    assert loss(u.flip(0)).item() > 0.5  # backwards in time is no solution either


def test_residual_values() -> None:
    class Growth(sciml.Equation):
        autonomous = False

        def nonlinear(self, u: Any, d: Any) -> Any:
            return 0 * u + 2 * d.time

    grid = sciml.Grid((4,), (1.0,))
    t = 1.0 + 0.5 * torch.arange(5, dtype=torch.float64)
    u = (t**2).view(5, 1, 1).expand(5, 1, 4)
    loss = sciml.Residual(Growth(), grid, 0.5, relative=False)
    assert loss(u, time=1.0).item() == pytest.approx(0.0, abs=1e-12)
    assert loss(u, time=0.0).item() == pytest.approx(2.0)  # a slope of 2(t - 1) against 2t everywhere
    assert sciml.Residual(Growth(), grid, 0.5, order=-1.0, alpha=4.0, relative=False)(u).item() == pytest.approx(1.0)
    ratio = sciml.Residual(Growth(), grid, 0.5)(u, time=0.0).item()
    slopes = (t - 1) * 2
    assert ratio == pytest.approx(2 / math.sqrt(((2 * t) ** 2).mean() + (slopes**2).mean()), rel=1e-10)


def test_residual_averages_over_samples_and_takes_other_engines() -> None:
    class Heat(sciml.Equation):
        def linear(self, u: Any, d: Any) -> Any:
            return d.x(u, 2)

    grid = sciml.Grid((32,), (2 * math.pi,))
    x = grid.points()[0]
    good = torch.stack([math.exp(-0.01 * n) * torch.sin(x) for n in range(5)])
    bad = torch.sin(x).expand(5, -1)
    loss = sciml.Residual(Heat(), grid, 0.01)
    both = loss(torch.stack([good, bad], 1).unsqueeze(2)).item()
    assert both == pytest.approx((loss(good.unsqueeze(1)).item() + 1.0) / 2, rel=1e-9)
    stencil = sciml.Residual(Heat(), grid, 0.01, engine=sciml.Stencil(grid, order=6))
    assert stencil(good.unsqueeze(1)).item() == pytest.approx(loss(good.unsqueeze(1)).item(), abs=1e-5)


def test_residual_refuses_what_does_not_fit() -> None:
    equation, grid, u = taylor_green(8, 0.01, 4)
    for wrong, word in ((u[0], "trajectory"), (u[..., :4], "are needed"), (torch.cat([u, u], 1), "unknowns")):
        with pytest.raises(sciml.InputError, match=word):
            sciml.Residual(equation, grid, 0.01)(wrong)
    with pytest.raises(sciml.InputError, match="accuracy=0"):
        sciml.Residual(equation, grid, 0.01, accuracy=0)
    with pytest.raises(sciml.InputError, match="dt=0"):
        sciml.Residual(equation, grid, 0.0)
    bounded = sciml.Grid((8, 8), (1.0, 1.0), False)
    with pytest.raises(sciml.InputError, match="periodic"):
        sciml.Residual(equation, bounded, 0.01)
    with pytest.raises(sciml.InputError, match="periodic"):
        sciml.Residual(equation, bounded, 0.01, engine=sciml.Stencil(bounded), order=-1.0)


def test_time_to_correlation() -> None:
    x = 2 * math.pi * torch.arange(16, dtype=torch.float64) / 16
    angles = torch.tensor([0.0, 0.3, 0.6, 0.9, 1.2])
    true = torch.sin(x).expand(5, 1, 1, 16)
    turned = torch.stack([torch.sin(x + a) for a in angles]).view(5, 1, 1, 16)
    predicted = torch.cat([turned, true, true * torch.tensor([1, math.nan, 1, 1, 1.0]).view(5, 1, 1, 1)], 1) + 7.0  # the mean does not matter
    found = sciml.time_to_correlation(predicted, true.expand(5, 3, 1, 16), 2.0, ndim=1)
    part = (math.cos(0.6) - 0.8) / (math.cos(0.6) - math.cos(0.9))
    assert found.tolist() == pytest.approx([2.0 * (2 + part), math.inf, 2.0])
    assert sciml.time_to_correlation(true, -true, 1.0, ndim=1).tolist() == [0.0]
    flat = torch.ones(3, 1, 4, 4)
    assert sciml.time_to_correlation(flat, flat, 1.0, ndim=2).item() == math.inf
    with pytest.raises(sciml.InputError, match="threshold=2"):
        sciml.time_to_correlation(true, true, 1.0, ndim=1, threshold=2.0)
    with pytest.raises(sciml.InputError, match="both must be"):
        sciml.time_to_correlation(true[1:], true, 1.0, ndim=1)


def test_blown_up() -> None:
    true = torch.ones(3, 4, 1, 5)
    predicted = true.clone()
    predicted[1, 0, 0, 2] = math.inf
    predicted[2, 1, 0, 0] = math.nan
    predicted[2, 2] = -10.5
    predicted[2, 3] = 9.5
    assert sciml.blown_up(predicted, true, ndim=1) == 0.75
    assert sciml.blown_up(true[:, 0], true[:, 0], ndim=1) == 0.0
    with pytest.raises(sciml.InputError, match="factor=0"):
        sciml.blown_up(true, true, ndim=1, factor=0.0)
