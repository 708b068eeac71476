"""Labels are found wherever the map from labels to places has an inverse, to rounding, and nowhere else."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import sciml
from sciml.surrogates.lpinn.inversion import Displacement, Table, _solved, labels_at

F64 = torch.float64
LENGTH = 2 * math.pi


def wave(speed: float, size: float, number: int = 1) -> Displacement:
    return lambda t, label: t * (speed + size * torch.sin(number * label) / number)


def points(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.rand(2, count, generator=torch.Generator().manual_seed(seed), dtype=F64)
    return draw[0], (draw[1] - 0.5) * 5 * LENGTH


@pytest.mark.parametrize(
    ("speed", "size", "number"),
    [(0.0, 0.0, 1), (50.0, 0.9, 1), (-7.0, 0.99, 1), (1.0, 0.95, 40), (0.0, 0.9, 701)],
    ids=["rest", "fast", "backwards and nearly crossed", "narrow", "narrower than the table"],
)
def test_the_label_is_where_it_should_be(speed: float, size: float, number: int) -> None:
    displacement = wave(speed, size, number)
    t, x = points(3000)
    label = labels_at(displacement, t, x, LENGTH)
    torch.testing.assert_close(label + displacement(t, label), x, rtol=0, atol=2e-12)
    assert label.dtype == F64


def test_a_label_moved_along_comes_back() -> None:
    displacement = wave(3.0, 0.8)
    t, label = points(2000)
    found = labels_at(displacement, t, label + displacement(t, label), LENGTH)
    torch.testing.assert_close(found, label, rtol=0, atol=1e-10)


def test_one_instant_many_instants_and_none() -> None:
    displacement = wave(2.0, 0.7)
    x = torch.linspace(-4, 9, 57, dtype=F64)
    for t in (torch.full_like(x, 0.6), torch.linspace(0, 1, 57, dtype=F64), torch.linspace(0, 1, 3, dtype=F64).repeat(19)):
        label = labels_at(displacement, t, x, LENGTH)
        torch.testing.assert_close(label + displacement(t, label), x, rtol=0, atol=1e-13)
    assert labels_at(displacement, x[:0], x[:0], LENGTH).shape == (0,)
    single = labels_at(displacement, torch.full((57,), 0.6), x.float(), LENGTH)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single + displacement(torch.full((57,), 0.6), single), x.float(), rtol=0, atol=2e-5)


def test_a_network_is_evaluated_about_three_times() -> None:
    calls = 0
    inner = wave(50.0, 0.8)

    def counted(t: Tensor, label: Tensor) -> Tensor:
        nonlocal calls
        calls += len(t)
        return inner(t, label)

    t, x = points(100_000)
    table = 129 * 513
    labels_at(counted, t, x, LENGTH)
    assert calls - table < 3.5 * len(x)


def test_first_guesses_are_near() -> None:
    displacement = wave(50.0, 0.8)
    t, x = points(500)
    label, slope = Table(displacement, t, LENGTH).guess(t, x)
    right = labels_at(displacement, t, x, LENGTH)
    assert (label - right).abs().max() < 1e-3
    torch.testing.assert_close(slope, 1 + 0.8 * t * torch.cos(right), rtol=0.05, atol=0.01)


def test_crossed_characteristics_are_told() -> None:
    t, x = points(50)
    with pytest.raises(sciml.BlowUpError, match=r"Characteristics have crossed: J = dx/dX = -0\.\d+ at t=(0\.9|1)"):
        labels_at(wave(1.0, 1.2), torch.cat([t, torch.ones(1, dtype=F64)]), torch.cat([x, x[:1]]), LENGTH)
    nan = torch.tensor(math.nan, dtype=F64)
    with pytest.raises(sciml.BlowUpError, match="J = dx/dX = nan"):
        labels_at(lambda t, label: nan * label, t, x, LENGTH)


def test_bracket_of_a_poor_guess_holds_the_root_whatever_the_period() -> None:
    """A first slope that is far too small throws Newton's step out of the bracket, whose ends then decide."""
    length = 6.0
    x = torch.linspace(0, 5.9, 7, dtype=torch.float64)
    t, poor = torch.zeros_like(x), x + 4.0
    for side in (poor, x - 4.0):
        found = _solved(lambda t, label: 0.3 * torch.sin(2 * torch.pi * label / length), t, x, side, torch.full_like(x, 1e-6), length)
        assert torch.allclose(found + 0.3 * torch.sin(2 * torch.pi * found / length), x, atol=1e-12)
