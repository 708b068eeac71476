"""Instruments: what they see is exact where it can be, linear, differentiable, and said clearly where it cannot be had."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import sciml
from sciml.assimilation.noise import Given, Independent
from sciml.assimilation.operators import Operator

LINE = sciml.Grid((16,), (3.0,), (True,), (-1.0,))
PLANE = sciml.Grid((12, 9), (2.0, 3.0), (True, True), (0.5, -1.0))
BOX = sciml.Grid((10, 7), (2.0, 3.0), (False, False), (0.5, -1.0))
HALF = sciml.Grid((12, 7), (2.0, 3.0), (True, False), (0.5, -1.0))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def inside(grid: sciml.Grid, count: int, seed: int = 0) -> Tensor:
    where = torch.rand((count, grid.ndim), dtype=torch.float64, generator=generator(seed))
    return torch.tensor(grid.origin) + where * torch.tensor(grid.lengths, dtype=torch.float64)


def waves(x: Tensor, y: Tensor) -> Tensor:
    """Two channels of band-limited fields on PLANE, ``(2, ...)``."""
    a, b = math.pi * (x - 0.5), 2 * math.pi / 3 * (y + 1)
    return torch.stack([1 + torch.cos(3 * a - 2 * b) + torch.sin(a), torch.sin(5 * a + 4 * b) - 0.3 * torch.cos(4 * b)])


def sloped(x: Tensor, y: Tensor) -> Tensor:
    return torch.stack([1 + 2 * x - 3 * y, -x + 0.5 * y])


def seen(operator: Operator, u: Tensor, grid: sciml.Grid, time: float = 0.0) -> Tensor:
    found = sciml.Observation(operator, 1.0, grid=grid)(u, time)
    assert isinstance(found, Tensor)
    return found


def test_scattered_points_are_exact_for_waves_and_come_channel_by_channel() -> None:
    points = inside(PLANE, 11)
    expected = waves(*points.unbind(1))
    found = seen(sciml.at_points(points), waves(*PLANE.points()), PLANE)
    torch.testing.assert_close(found, expected.flatten(), rtol=0, atol=1e-12)
    second = seen(sciml.at_points(points + torch.tensor([2.0, -6.0]), "trigonometric", channels=[1]), waves(*PLANE.points()), PLANE)
    torch.testing.assert_close(second, expected[1], rtol=0, atol=1e-12)  # the field repeats


@pytest.mark.parametrize("grid", [BOX, HALF, sciml.Grid((8, 5, 6), (1.0, 2.0, 3.0), (False,) * 3)])
def test_linear_interpolation_is_exact_for_linear_functions_up_to_the_walls(grid: sciml.Grid) -> None:
    points = inside(grid, 40)
    if grid.periodic[0]:  # no linear function is periodic
        points[:, 0] = grid.origin[0] + points[:, 0].sub(grid.origin[0]) * (grid.shape[0] - 1) / grid.shape[0]
    else:
        points[0] = torch.tensor(grid.origin)
        points[1] = torch.tensor(grid.origin) + torch.tensor(grid.lengths)

    def function(*x: Tensor) -> Tensor:
        return 1 + sum((2.0 - 3 * i) * xi for i, xi in enumerate(x))

    found = seen(sciml.at_points(points, "linear"), function(*grid.points()).unsqueeze(0), grid)
    torch.testing.assert_close(found, function(*points.unbind(1)), rtol=0, atol=1e-12)


def test_a_grid_with_both_kinds_of_axes_is_trigonometric_along_one_and_linear_along_the_other() -> None:
    points = inside(HALF, 20)
    found = seen(sciml.at_points(points), (torch.cos(3 * math.pi * HALF.points()[0]) * (1 + HALF.points()[1])).unsqueeze(0), HALF)
    torch.testing.assert_close(found, torch.cos(3 * math.pi * points[:, 0]) * (1 + points[:, 1]), rtol=0, atol=1e-12)


def test_linear_interpolation_between_two_samples_of_a_periodic_line() -> None:
    u = torch.arange(16.0, dtype=torch.float64).unsqueeze(0) ** 2
    x = LINE.origin[0] + LINE.spacing[0] * torch.tensor([3.25, 15.5, -0.5], dtype=torch.float64)
    torch.testing.assert_close(seen(sciml.at_points(x, "linear"), u, LINE), torch.tensor([9 + 0.25 * 7, 112.5, 112.5], dtype=torch.float64))


def test_moving_sensors_see_the_field_where_they_are_and_fall_silent_at_nan() -> None:
    start = inside(PLANE, 3)

    def path(time: float) -> Tensor:
        points = start + time * torch.tensor([0.3, -0.7])
        return torch.where(torch.tensor([[False], [time > 1], [False]]), torch.nan, points)

    operator = sciml.moving(path)
    u = waves(*PLANE.points())
    for time in (0.0, 0.8):
        torch.testing.assert_close(seen(operator, u, PLANE, time), waves(*path(time).unbind(1)).flatten(), rtol=0, atol=1e-12)
        torch.testing.assert_close(operator.locations(PLANE, 2, time), path(time).repeat(2, 1))
    late = seen(operator, u, PLANE, 2.0)
    assert late.isnan().tolist() == [False, True, False, False, True, False]
    leaf = u.clone().requires_grad_()
    seen(operator, leaf, PLANE, 2.0).nansum().backward()
    assert leaf.grad is not None and bool(torch.isfinite(leaf.grad).all()) and float(leaf.grad.abs().max()) > 0


def test_lines_are_the_samples_along_an_axis() -> None:
    u = waves(*PLANE.points())
    x = PLANE.axes()[0]
    found = seen(sciml.lines(0, [-1.0 + 2 / 3, 0.1], channels=[0]), u, PLANE).reshape(2, 12)
    torch.testing.assert_close(found[0], u[0, :, 2], rtol=0, atol=1e-12)  # on the grid: nothing is interpolated
    torch.testing.assert_close(found[1], waves(x, torch.full_like(x, 0.1))[0], rtol=0, atol=1e-12)
    other = seen(sciml.lines(1, [0.77]), u, PLANE).reshape(2, 9)
    torch.testing.assert_close(other, waves(torch.full((9,), 0.77, dtype=torch.float64), PLANE.axes()[1]), rtol=0, atol=1e-12)


def test_lines_in_three_dimensions_cross_the_other_two_axes() -> None:
    grid = sciml.Grid((4, 5, 6), (1.0, 1.0, 1.0), (False,) * 3)
    x, y, z = grid.points()
    found = seen(sciml.lines(1, [[0.3, 0.6], [0.5, 0.9]]), (x + 10 * y + 100 * z).unsqueeze(0), grid).reshape(2, 5)
    along = grid.axes()[1]
    torch.testing.assert_close(found, torch.stack([0.3 + 10 * along + 60, 0.5 + 10 * along + 90]), rtol=0, atol=1e-12)


def test_averages_of_waves_are_their_closed_form() -> None:
    points, (wx, wy) = inside(PLANE, 9), (0.7, 1.3)
    a, b = math.pi * (points[:, 0] - 0.5), 2 * math.pi / 3 * (points[:, 1] + 1)

    def sinc(z: float) -> float:
        return math.sin(z) / z

    expected = sinc(3 * math.pi * wx / 2) * sinc(2 * 2 * math.pi / 3 * wy / 2) * torch.cos(3 * a - 2 * b)
    expected = 1 + expected + sinc(math.pi * wx / 2) * torch.sin(a)
    found = seen(sciml.local_average((wx, wy), points, channels=[0]), waves(*PLANE.points()), PLANE)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_averages_on_a_bounded_grid_integrate_the_interpolant_and_end_at_the_walls() -> None:
    grid = sciml.Grid((6,), (3.0,), (False,))
    slope = (4 - 2 * grid.axes()[0]).unsqueeze(0)
    found = seen(sciml.local_average(0.9, [1.3, 0.1, 2.9]), slope, grid)
    middles = torch.tensor([1.3, 0.55 / 2, (2.45 + 3.0) / 2], dtype=torch.float64)
    torch.testing.assert_close(found, 4 - 2 * middles, rtol=0, atol=1e-12)
    hat = torch.tensor([[0.0, 0, 1, 0, 0, 0]], dtype=torch.float64)  # the hat around 1.25 from 0.75 to 1.75 has the integral 0.5
    torch.testing.assert_close(seen(sciml.local_average(1.0, [1.25]), hat, grid), torch.tensor([0.5], dtype=torch.float64))
    torch.testing.assert_close(seen(sciml.local_average(0.5, [1.5]), hat, grid), torch.tensor([0.5], dtype=torch.float64))
    whole = seen(sciml.local_average(0.5), hat, grid)  # around every sample: 3/4 of the middle, 1/8 of each neighbour
    torch.testing.assert_close(whole, torch.tensor([0, 0.125, 0.75, 0.125, 0, 0], dtype=torch.float64))


def test_fourier_amplitudes_are_orthonormal_for_the_mean() -> None:
    x = LINE.axes()[0] + 1.0
    k = 2 * math.pi / 3
    u = (5 + 2 * torch.cos(3 * k * x) + 0.5 * torch.sin(3 * k * x) - torch.sin(k * x)).unsqueeze(0)
    found = seen(sciml.fourier([0, 3, -1]), u, LINE)
    root = math.sqrt(0.5)
    torch.testing.assert_close(found, torch.tensor([5, 2 * root, -0.5 * root, 0, -root], dtype=torch.float64), rtol=0, atol=1e-12)
    rough = torch.randn(2, 16, dtype=torch.float64, generator=generator())
    everything = seen(sciml.fourier(range(9)), rough, LINE)
    assert len(everything) == 32  # as many numbers as samples: modes 0 and 8 have no imaginary part
    torch.testing.assert_close(everything.reshape(2, 16).square().sum(1), rough.square().mean(1))


def test_fourier_amplitudes_in_two_dimensions_take_signed_modes() -> None:
    u = torch.randn(12, 9, dtype=torch.float64, generator=generator())
    modes = [(0, 0), (2, 3), (-5, 1), (1, -4), (6, 0), (0, 2), (6, 1)]
    i, j = torch.meshgrid(torch.arange(12.0, dtype=torch.float64), torch.arange(9.0, dtype=torch.float64), indexing="ij")
    expected = []
    for a, b in modes:
        phase = 2 * math.pi * (a * i / 12 + b * j / 9)
        alone = (2 * a) % 12 == 0 and b == 0
        scale = 1.0 if alone else math.sqrt(2)
        expected += [scale * (u * torch.cos(phase)).mean()] + ([] if alone else [-scale * (u * torch.sin(phase)).mean()])
    torch.testing.assert_close(seen(sciml.fourier(modes), u.unsqueeze(0), PLANE), torch.stack(expected), rtol=0, atol=1e-12)


OPERATORS: dict[str, tuple[Callable[[], Operator], sciml.Grid]] = {
    "every": (lambda: sciml.every(3, offset=1, channels=[1]), PLANE),
    "mask": (lambda: sciml.mask(torch.arange(108).reshape(12, 9) % 5 == 0), PLANE),
    "points": (lambda: sciml.at_points(inside(PLANE, 8)), PLANE),
    "linear": (lambda: sciml.at_points(inside(PLANE, 8), "linear"), PLANE),
    "bounded": (lambda: sciml.at_points(inside(BOX, 8)), BOX),
    "mixed": (lambda: sciml.at_points(inside(HALF, 8), channels=[1]), HALF),
    "moving": (lambda: sciml.moving(lambda t: inside(PLANE, 5) + 0.1 * t), PLANE),
    "lines": (lambda: sciml.lines(1, [0.6, 1.9]), PLANE),
    "average": (lambda: sciml.local_average(0.5, inside(HALF, 6)), HALF),
    "fourier": (lambda: sciml.fourier([(0, 1), (3, -2), (6, 0)], channels=[1, 0]), PLANE),
    "derived": (lambda: sciml.derived(lambda u: u.flip(-3) * 2, sciml.at_points(inside(PLANE, 4), channels=[0])), PLANE),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_are_linear_batched_have_their_adjoint_and_both_precisions(name: str) -> None:
    make, grid = OPERATORS[name]
    observation = sciml.Observation(make(), 1.0, grid=grid)
    u = torch.randn(3, 4, 2, *grid.shape, dtype=torch.float64, generator=generator(1), requires_grad=True)
    found = observation(u, 0.4)
    m = found.shape[-1]
    assert found.shape[:-1] == (3, 4)
    for i in (0, 2):
        torch.testing.assert_close(found[i, 1], observation(u[i, 1], 0.4))
    v = torch.randn(found.shape, dtype=torch.float64, generator=generator(2))
    (adjoint,) = torch.autograd.grad((found * v).sum(), u)
    w = torch.randn(u.shape, dtype=torch.float64, generator=generator(3))
    torch.testing.assert_close((observation(w, 0.4) * v).sum(), (w * adjoint).sum())
    image = torch.func.jvp(lambda z: observation(z, 0.4), (u.detach(),), (w,))[1]
    torch.testing.assert_close(image, observation(w, 0.4))
    single = observation(u.detach().float(), 0.4)
    assert single.dtype is torch.float32
    torch.testing.assert_close(single.double(), found.detach(), rtol=0, atol=2e-5)
    places = observation.locations(2, 0.4)
    assert (places is None) == (name == "fourier")
    assert places is None or tuple(places.shape) == (m, 2)


@pytest.mark.parametrize("name", [n for n in OPERATORS if n not in ("fourier", "average", "derived")])
def test_locations_are_where_a_coordinate_is_seen(name: str) -> None:
    make, grid = OPERATORS[name]
    observation = sciml.Observation(make(), 1.0, grid=grid)
    coordinates = torch.stack(grid.points())
    coordinates = torch.stack([torch.cos(math.pi * (coordinates[0] - 0.5)) if grid.periodic[0] else coordinates[0]] * 2)
    places = observation.locations(2, 0.4)
    assert places is not None
    expected = torch.cos(math.pi * (places[:, 0] - 0.5)) if grid.periodic[0] else places[:, 0]
    torch.testing.assert_close(observation(coordinates, 0.4), expected, rtol=0, atol=0.04 if name == "linear" else 1e-12)


def test_weights_are_made_again_for_another_grid() -> None:
    operator = sciml.at_points([[0.6, 0.0], [1.0, 0.5]], channels=[0])
    for grid in (PLANE, PLANE.resized((24, 18)), PLANE):
        expected = waves(*torch.tensor([[0.6, 1.0], [0.0, 0.5]], dtype=torch.float64))[0]
        torch.testing.assert_close(seen(operator, waves(*grid.points()), grid), expected, rtol=0, atol=1e-12)


def test_instruments_join_data_errors_and_places() -> None:
    points = inside(PLANE, 3)
    covariance = torch.tensor([[2.0, 0.5, 0], [0.5, 1.0, 0.2], [0, 0.2, 3.0]], dtype=torch.float64)
    parts = [sciml.Observation(sciml.every(6, channels=[0]), 0.5), sciml.Observation(sciml.at_points(points, channels=[1]), covariance=covariance)]
    joined = sciml.instruments(*parts).on(PLANE)
    u = torch.randn(4, 2, 12, 9, dtype=torch.float64, generator=generator())
    found = joined(u)
    torch.testing.assert_close(found, torch.cat([part.on(PLANE)(u) for part in parts], -1))
    full = joined.errors.covariance(7, u)
    torch.testing.assert_close(full, torch.block_diag(torch.eye(4, dtype=torch.float64) / 4, covariance))
    torch.testing.assert_close(joined.errors.variances(7, u), full.diagonal())
    white = joined.errors.whiten(torch.eye(7, dtype=torch.float64), torch.ones(7, dtype=torch.bool))
    torch.testing.assert_close(white @ white.T, torch.linalg.inv(full))
    gone = torch.tensor([True, True, False, True, True, False, True])
    partial = joined.errors.whiten(torch.eye(7, dtype=torch.float64), gone)
    torch.testing.assert_close((partial @ partial.T)[gone][:, gone], torch.linalg.inv(full[gone][:, gone]))
    places = joined.locations(2)
    assert places is not None and torch.equal(places[4:], points) and len(places) == 7
    drawn = torch.stack([joined.errors.sample((), 7, u, generator(s)) for s in range(1500)])
    torch.testing.assert_close(drawn.T.cov(), full, rtol=0, atol=0.25)
    assert sciml.instruments(parts[0], sciml.Observation(sciml.fourier([(0, 1)]), 0.1)).on(PLANE).locations(2) is None


def test_an_analysis_of_joined_instruments_is_that_of_all_data_at_once() -> None:
    grid = sciml.Grid((8,), (8.0,))
    ensemble = torch.randn(6, 1, 8, dtype=torch.float64, generator=generator())
    y = torch.tensor([0.5, torch.nan, 1.0, -1.0, 0.2, 0.7, 0.1, 0.3], dtype=torch.float64)
    joined = sciml.instruments(sciml.Observation(sciml.every(2), 0.5), sciml.Observation(sciml.every(2, offset=1), 2.0)).on(grid)
    at_once = sciml.Observation(lambda u: torch.cat([u[..., 0, ::2], u[..., 0, 1::2]], -1), torch.tensor([0.5] * 4 + [2.0] * 4)).on(grid)
    local = sciml.LETKF(radius=2.0)
    for analysis, other in ((sciml.ETKF(), at_once), (sciml.ETKF(1.1), at_once), (local, None)):
        found = analysis(ensemble, y, joined, generator=generator())[0]
        if other is None:
            both = sciml.Observation(joined.operator, torch.tensor([0.5] * 4 + [2.0] * 4)).on(grid)
            expected = analysis(ensemble, y, both, generator=generator())[0]
        else:
            expected = analysis(ensemble, y, other, generator=generator())[0]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_errors_of_instruments_are_refused_before_a_state_was_seen() -> None:
    joined = sciml.instruments(sciml.Observation(sciml.every(2), 0.5))
    with pytest.raises(sciml.InputError, match="before a state was seen"):
        joined.errors.variances(4, torch.zeros(1))


def test_data_rows_put_series_of_different_times_together() -> None:
    fast = torch.arange(8.0).reshape(4, 1, 2)
    slow = torch.tensor([[[10.0]], [[20.0]]])
    y = sciml.data_rows([fast, slow], [[1.5, 2.0, 2.5, 3.0], torch.tensor([2.0, 3.0])], 0.5, start=1.0)
    nan = torch.nan
    expected = torch.tensor([[[0, 1, nan]], [[2, 3, 10]], [[4, 5, nan]], [[6, 7, 20]]])
    torch.testing.assert_close(y, expected, equal_nan=True)
    longer = sciml.data_rows([slow], [[1.5, 3.0]], 0.5, start=1.0, cycles=6)
    assert longer.isnan().flatten().tolist() == [False, True, True, False, True, True] and float(longer[3]) == 20


def test_errors_given_by_functions_whiten_and_draw_and_know_their_covariance() -> None:
    root = torch.eye(4, dtype=torch.float64) * 2 - torch.diag(torch.ones(3, dtype=torch.float64), -1)
    covariance = torch.linalg.inv(root.T @ root)
    half = torch.linalg.inv(root)

    def sample(shape: tuple[int, ...], source: torch.Generator) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=source) @ half.T

    given = Given(lambda r: r @ root.T, sample)
    like = torch.zeros(1, dtype=torch.float64)
    torch.testing.assert_close(given.covariance(4, like), covariance)
    torch.testing.assert_close(given.variances(4, like), covariance.diagonal())
    grid = sciml.Grid((8,), (8.0,))
    ensemble = torch.randn(5, 1, 8, dtype=torch.float64, generator=generator())
    for y in (torch.tensor([1.0, 2, 3, 4], dtype=torch.float64), torch.tensor([1.0, torch.nan, 3, 4], dtype=torch.float64)):
        one, two = (sciml.Observation(sciml.every(2), covariance=c, grid=grid) for c in (given, covariance))
        torch.testing.assert_close(sciml.ETKF()(ensemble, y, one, generator=generator())[0], sciml.ETKF()(ensemble, y, two, generator=generator())[0])
    many = sciml.Observation(sciml.every(2), covariance=given, grid=grid).measured(torch.zeros(4000, 1, 8, dtype=torch.float64), generator())
    torch.testing.assert_close(many.T.cov(), covariance, rtol=0, atol=0.03)
    with pytest.raises(sciml.InputError, match="whiten given is singular"):
        Given(lambda r: torch.zeros_like(r), sample).covariance(3, like)
    with pytest.raises(sciml.InputError, match="errors of shape"):
        Given(lambda r: r, lambda shape, source: torch.zeros(2)).sample((), 4, like, generator())


WORD: Any = "every"


def ask(make: Callable[[], Operator], grid: sciml.Grid = PLANE, channels: int = 2) -> Callable[[], object]:
    return lambda: seen(make(), torch.zeros(channels, *grid.shape, dtype=torch.float64), grid)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            ask(lambda: sciml.at_points([[1.0, 0.0], [1.2, 2.5]]), BOX),
            r"at_points: point 1 at \(1.2, 2.5\) is not in the domain, .* from -1 to 2 along axis 1",
        ),
        (ask(lambda: sciml.at_points([[1.0, torch.nan]])), r"point 0 at \(1, nan\) is not in the domain.*\(and repeats\)"),
        (ask(lambda: sciml.at_points([0.1, 0.2])), r"points of shape \(2, 1\) given; \(m, 2\) is expected"),
        (ask(lambda: sciml.at_points([[1.0, 0.0]], "trigonometric"), BOX), "use 'linear' on bounded grids"),
        (ask(lambda: sciml.at_points([[1.0, 0.0]], "cubic")), "choose 'trigonometric' or 'linear'"),
        (ask(lambda: sciml.at_points([])), "one point at least"),
        (ask(lambda: sciml.at_points("here")), "points of type str given"),
        (ask(lambda: sciml.at_points([[1.0, 0.0]], channels=[2])), "the state has 2 fields"),
        (ask(lambda: sciml.at_points([0.0]), sciml.Grid((), ()), 3), "an ordinary system, which has no space"),
        (ask(lambda: sciml.moving(lambda t: [[9.0, 9.0]]), BOX), "moving: point 0 at"),
        (ask(lambda: sciml.moving(torch.zeros(2))), "a function of time"),
        (ask(lambda: sciml.lines(2, [0.0])), "a line needs an axis of the grid"),
        (ask(lambda: sciml.lines(-1, [0.0])), "the number of an axis"),
        (ask(lambda: sciml.lines(0, [5.0]), BOX), "lines: point 0 at"),
        (ask(lambda: sciml.local_average(0.0)), "positive lengths are needed"),
        (ask(lambda: sciml.local_average(2.5)), "width 2.5 given along axis 0, which is 2 long"),
        (ask(lambda: sciml.local_average((1.0, 1.0, 1.0))), "one per axis"),
        (ask(lambda: sciml.local_average(1.0), sciml.Grid((), ()), 3), "an ordinary system"),
        (ask(lambda: sciml.fourier(3)), r"such as range\(4\)"),
        (ask(lambda: sciml.fourier([])), "one or more are needed"),
        (ask(lambda: sciml.fourier([1])), "one whole number per axis"),
        (ask(lambda: sciml.fourier([(7, 0)])), "hold modes up to"),
        (ask(lambda: sciml.fourier([(2, -1), (-2, 1)])), "given twice, or with its conjugate"),
        (ask(lambda: sciml.fourier([(1, 1)]), BOX), "periodic"),
        (ask(lambda: sciml.fourier([1]), sciml.Grid((), ()), 3), "an ordinary system"),
        (ask(lambda: sciml.derived(lambda u: u[..., 0, :, :], sciml.every(1))), "fields on the same grid are expected"),
        (lambda: sciml.derived(torch.zeros_like, WORD), "a rule such as"),
        (lambda: sciml.instruments(), "nothing given"),
        (
            lambda: sciml.instruments(sciml.Observation(sciml.every(1), 1.0, grid=LINE), sciml.Observation(sciml.every(1), 1.0, grid=PLANE)),
            "one grid",
        ),
        (lambda: sciml.data_rows([torch.zeros(1, 2)], [], 0.5), "as many of each"),
        (lambda: sciml.data_rows([torch.zeros(2, 2)], [[0.5]], 0.5), "for 1 times"),
        (lambda: sciml.data_rows([torch.zeros(1, 2)], [[0.7]], 0.5), "time 0.7 of instrument 0 is none of 0.5, 1"),
        (lambda: sciml.data_rows([torch.zeros(1, 2)], [[0.0]], 0.5), "is none of"),
        (lambda: sciml.data_rows([torch.zeros(2, 2)], [[0.5, 0.5]], 0.5), "is given twice"),
        (lambda: sciml.data_rows([torch.zeros(1, 2)], [[2.0]], 0.5, cycles=2), "after the last of 2 rows"),
        (lambda: sciml.data_rows([torch.zeros(1, 2), torch.zeros(1, 3, 2)], [[0.5], [0.5]], 0.5), "with one batch"),
    ],
)
def test_what_cannot_be_seen_is_said_clearly(call: Callable[[], object], message: str) -> None:
    with pytest.raises(sciml.InputError, match=message):
        call()


def test_independent_errors_of_one_number_and_of_each() -> None:
    like = torch.zeros(1, dtype=torch.float64)
    assert Independent(0.5).variances(3, like).tolist() == [0.25] * 3
    assert Independent(torch.tensor([1.0, 2.0])).covariance(2, like).tolist() == [[1.0, 0.0], [0.0, 4.0]]
