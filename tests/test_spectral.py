"""Resampling, evaluation, power spectra, random fields and the transforms they rest on."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.spectral.power import power_spectrum
from sciml.spectral.random_fields import GaussianRandomField, coloured_noise
from sciml.spectral.resample import evaluate, resample
from sciml.spectral.transforms import Transform, count_transforms, retained

LENGTHS = (2.0, 3.0, 1.5)
ORIGIN = (-1.0, 0.5, 0.0)


def waves(*x: Tensor) -> Tensor:
    """A trigonometric polynomial with modes up to 2 per axis, mixed signs included."""
    theta = [2 * math.pi * (c - o) / length for c, o, length in zip(x, ORIGIN, LENGTHS, strict=False)]
    u = 0.3 + torch.sin(theta[0]) + 0.5 * torch.cos(2 * theta[0])
    if len(theta) > 1:
        u = u + torch.cos(theta[0] - 2 * theta[1]) + 0.2 * torch.sin(2 * theta[0] + theta[1])
    if len(theta) > 2:
        u = u + torch.sin(theta[0] - theta[1] + 2 * theta[2]) * 0.7 + torch.cos(2 * theta[2] + 2 * theta[1])
    return u


def grid_of(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Grid:
    n = len(shape)
    return Grid(shape, LENGTHS[:n], origin=ORIGIN[:n], dtype=dtype)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize(("coarse", "fine"), list(itertools.product((5, 6, 7), (8, 11, 12))))
def test_resampling_is_exact_for_band_limited_fields(ndim: int, coarse: int, fine: int) -> None:
    for a, b in ((coarse, fine), (fine, coarse)):
        source, target = grid_of((a,) * ndim), grid_of((b,) * ndim)
        assert (resample(waves(*source.points()), source, (b,) * ndim) - waves(*target.points())).abs().max() < 1e-13


def test_resampling_takes_another_size_per_axis_batches_and_single_precision() -> None:
    source, target = grid_of((6, 9, 5), torch.float32), grid_of((11, 7, 8), torch.float32)
    u = waves(*source.points())
    batch = torch.stack([u, -2 * u]).unsqueeze(1)
    result = resample(batch, source, (11, 7, 8))
    assert result.dtype == torch.float32 and result.shape == (2, 1, 11, 7, 8)
    assert (result[0, 0] - waves(*target.points())).abs().max() < 1e-5
    assert torch.allclose(result[1], -2 * result[0], atol=1e-5)


@pytest.mark.parametrize("shape", [(8,), (6, 8), (4, 7, 6)])
def test_up_and_back_down_returns_any_field(shape: tuple[int, ...]) -> None:
    grid = grid_of(shape)
    u = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    bigger = tuple(2 * n + 1 for n in shape)
    assert (resample(resample(u, grid, bigger), grid.resized(bigger), shape) - u).abs().max() < 1e-13


def test_the_nyquist_mode_is_a_cosine() -> None:
    grid = Grid((4,), (2 * math.pi,))
    u = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    fine = grid.resized(12)
    assert (resample(u, grid, 12) - torch.cos(2 * fine.axes()[0])).abs().max() < 1e-14
    x = torch.linspace(0, 5, 9, dtype=torch.float64)
    assert (evaluate(u, grid, (x,)) - torch.cos(2 * x)).abs().max() < 1e-14
    # cos(2x + 1) seen by 4 points is cos(1) cos(2x): what both signs of the Nyquist mode alias to
    v = torch.cos(2 * fine.axes()[0] + 1)
    assert (resample(v, fine, 4) - math.cos(1) * u).abs().max() < 1e-14


def test_resampling_in_two_dimensions_splits_the_nyquist_plane_symmetrically() -> None:
    grid = Grid((4, 4), (2 * math.pi,) * 2)
    x, y = grid.points()
    u = torch.cos(2 * x) * torch.sin(y) + torch.cos(x) * torch.cos(2 * y) + torch.cos(2 * x) * torch.cos(2 * y)
    fx, fy = grid.resized(9).points()
    expected = torch.cos(2 * fx) * torch.sin(fy) + torch.cos(fx) * torch.cos(2 * fy) + torch.cos(2 * fx) * torch.cos(2 * fy)
    assert (resample(u, grid, 9) - expected).abs().max() < 1e-14
    flat = (fx.reshape(-1), fy.reshape(-1))
    assert (evaluate(u, grid, flat) - expected.reshape(-1)).abs().max() < 1e-14


@pytest.mark.parametrize("shape", [(8,), (9,), (6, 8), (7, 5), (6, 5, 8), (5, 6, 7)])
def test_evaluation_at_scattered_points(shape: tuple[int, ...]) -> None:
    grid = grid_of(shape)
    generator = torch.Generator().manual_seed(1)
    points = tuple(20 * torch.rand(37, dtype=torch.float64, generator=generator) - 10 for _ in shape)
    u = torch.stack([waves(*grid.points()), torch.ones(shape, dtype=torch.float64)])
    value = evaluate(u, grid, points)
    assert value.shape == (2, 37)
    assert (value[0] - waves(*points)).abs().max() < 1e-12 and (value[1] - 1).abs().max() < 1e-14


def test_evaluation_in_chunks_equals_evaluation_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = grid_of((6, 8))
    points = tuple(torch.rand(50, dtype=torch.float64, generator=torch.Generator().manual_seed(s)) for s in (2, 3))
    u = waves(*grid.points())
    whole = evaluate(u, grid, points)
    monkeypatch.setattr("sciml.spectral.resample.CHUNK", 64)
    assert torch.allclose(evaluate(u, grid, points), whole, atol=1e-14)


def test_resampling_and_evaluation_are_differentiable() -> None:
    grid = Grid((6,), (1.0,))
    u = torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    x = torch.rand(4, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: resample(v, grid, 9), (u,))
    assert torch.autograd.gradcheck(lambda v: resample(v, grid, 4), (u,))
    assert torch.autograd.gradcheck(lambda v, p: evaluate(v, grid, (p,)), (u, x))


def test_bad_input_to_resampling() -> None:
    grid = Grid((8,), (1.0,))
    u = torch.zeros(8, dtype=torch.float64)
    with pytest.raises(InputError, match=r"give 1 positive sizes"):
        resample(u, grid, (4, 4))
    with pytest.raises(InputError, match=r"grid of shape \(8,\)"):
        resample(u[:5], grid, 4)
    with pytest.raises(InputError, match="float32 or float64"):
        resample(u.long(), grid, 4)
    with pytest.raises(InputError, match="periodic along every axis"):
        resample(u, Grid((8,), (1.0,), periodic=(False,)), 4)
    with pytest.raises(InputError, match="one per axis"):
        evaluate(u, grid, (torch.zeros(3), torch.zeros(3)))


@pytest.mark.parametrize("shape", [(8,), (9,), (6, 8), (7, 9), (5, 6, 8)])
def test_power_spectrum_adds_up_to_the_mean_square(shape: tuple[int, ...]) -> None:
    grid = grid_of(shape)
    u = torch.randn((3, *shape), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    k, energy = power_spectrum(u, grid)
    assert energy.shape == (3, len(k))
    assert torch.allclose(energy.sum(-1), u.pow(2).flatten(1).mean(1), rtol=1e-13)


def test_power_spectrum_puts_a_wave_into_its_shell() -> None:
    grid = Grid((16, 12), (2 * math.pi, 2 * math.pi))
    x, y = grid.points()
    k, energy = power_spectrum(3 * torch.cos(3 * x - 4 * y), grid)
    assert k[5] == 5.0 and abs(float(energy[5]) - 4.5) < 1e-13 and float(energy.sum() - energy[5]) < 1e-13
    narrow = Grid((16, 12), (2 * math.pi, math.pi))
    k, energy = power_spectrum(torch.cos(2 * narrow.points()[1]), narrow)
    assert abs(float(energy[2]) - 0.5) < 1e-13 and float(k[2]) == 2.0
    with pytest.raises(InputError, match="grid of shape"):
        power_spectrum(torch.zeros(3, 3), grid)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_one_seed_gives_one_random_field_at_every_resolution(ndim: int) -> None:
    law = GaussianRandomField(sigma=1.0, tau=3.0, alpha=3.0, points=9)
    small, large = grid_of((11,) * ndim), grid_of((16,) * ndim)
    first, second = (law.sample(g, torch.Generator().manual_seed(7), 2) for g in (small, large))
    assert first.shape == (2, *small.shape)
    assert (resample(first, small, large.shape) - second).abs().max() < 1e-13
    coarse = law.sample(grid_of((5,) * ndim), torch.Generator().manual_seed(7), 2)
    assert (resample(second, large, (5,) * ndim) - coarse).abs().max() < 1e-13
    assert not torch.allclose(first[0], first[1])


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_random_fields_have_the_variance_of_their_law(ndim: int) -> None:
    law = GaussianRandomField(sigma=2.0, tau=4.0, alpha=2.0, points=7)
    grid = grid_of((8,) * ndim)
    u = law.sample(grid, torch.Generator().manual_seed(0), 3000)
    volume = math.prod(LENGTHS[:ndim])
    expected = 0.0
    for modes in itertools.product(range(-3, 4), repeat=ndim):
        if any(modes):
            k2 = sum((2 * math.pi * m / length) ** 2 for m, length in zip(modes, LENGTHS, strict=False))
            expected += 4.0 * (k2 + 16.0) ** -2 / volume
    assert abs(law.variance(grid) / expected - 1) < 1e-12
    # 3000 samples: relative error of a pointwise variance sqrt(2/3000) = 0.026
    assert abs(float(u[(slice(None), *(0,) * ndim)].var()) / expected - 1) < 0.1
    assert abs(float(u.var(0).mean()) / expected - 1) < 0.05
    assert float(u.flatten(1).mean(1).abs().max()) < 1e-12


def test_random_fields_can_keep_the_mean_and_single_precision() -> None:
    grid = Grid((16,), (1.0,), dtype=torch.float32)
    law = GaussianRandomField(sigma=1.0, tau=2.0, alpha=1.0, zero_mean=False)
    u = law.sample(grid, torch.Generator().manual_seed(0), 400)
    assert u.dtype == torch.float32
    assert abs(float(u.mean(-1).var()) / 0.25 - 1) < 0.25
    with pytest.raises(InputError, match="zero_mean=True"):
        GaussianRandomField(sigma=1.0, tau=0.0, alpha=1.0, zero_mean=False)


def test_the_amplitude_of_coloured_noise_is_that_of_its_modes() -> None:
    grid = Grid((8, 8), (2 * math.pi,) * 2)
    u = coloured_noise(lambda k: (k == 1).to(k.dtype), grid, torch.Generator().manual_seed(0), samples=4000, points=9)
    c = Transform(grid).forward(u)
    assert abs(float(c[:, 0, 1].abs().pow(2).mean()) - 1) < 0.06 and abs(float(c[:, 1, 0].abs().pow(2).mean()) - 1) < 0.06
    assert float(c[:, 1, 1].abs().max()) < 1e-13
    with pytest.raises(InputError, match="at least 2"):
        coloured_noise(torch.ones_like, grid, torch.Generator(), points=1)


@pytest.mark.parametrize("shape", [(9,), (12,), (8, 12), (9, 7), (6, 8, 10), (7, 6, 5)])
@pytest.mark.parametrize("degree", [None, 2, 3])
def test_transforms_return_what_lies_inside_the_band(shape: tuple[int, ...], degree: int | None) -> None:
    grid = grid_of(shape)
    transform = Transform(grid, retained(grid.shape, degree))
    u = torch.randn((2, *shape), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    c = transform.forward(u)
    assert tuple(c.shape[1:]) == transform.modes
    inside = transform.inverse(c)
    assert (transform.forward(inside) - c).abs().max() < 1e-14
    if degree is None:
        assert (inside - u).abs().max() < 1e-13
    else:
        band = torch.fft.fftn(inside, dim=tuple(range(1, len(shape) + 1)), norm="forward").abs()
        full = torch.fft.fftn(u, dim=tuple(range(1, len(shape) + 1)), norm="forward").abs()
        for index in itertools.product(*(range(n) for n in shape)):
            kept = all(min(i, n - i) <= (n - 1) // (degree + 1) for i, n in zip(index, shape, strict=True))
            expected = full[(slice(None), *index)] if kept else torch.zeros(2, dtype=torch.float64)
            assert torch.allclose(band[(slice(None), *index)], expected, atol=1e-14)


def test_a_retained_band_is_free_of_aliasing() -> None:
    for n, degree in itertools.product((15, 16, 17, 18), (2, 3, 4)):
        (m,) = retained((n,), degree) or (0,)
        # the highest product, degree * m, aliases to n - degree * m or beyond, outside |k| <= m; one mode more would not
        assert n - degree * m > m and n - degree * (m + 1) <= m + 1
    assert retained((8,), None) is None and retained((8,), 1) is None


def test_transforms_are_counted_per_field_and_need_an_axis() -> None:
    transform = Transform(Grid((8,), (1.0,)))
    with count_transforms() as count:
        transform.inverse(transform.forward(torch.zeros(5, 2, 8, dtype=torch.float64)))
    assert count[0] == 4
    transform.forward(torch.zeros(8, dtype=torch.float64))
    assert count[0] == 4
    with pytest.raises(InputError, match="at least one axis"):
        Transform(Grid((), ()))
