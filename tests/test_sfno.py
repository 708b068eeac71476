"""The spatio-temporal operator: values against its formula, sampling in time and space, files and refusals."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import sciml
from sciml.spectral.resample import resample
from sciml.surrogates.operators.sfno import DECAY, SOURCE, Increment

F64 = torch.float64


def grid_of(*shape: int, dtype: torch.dtype = F64) -> sciml.Grid:
    return sciml.Grid(shape, (2.0, 3.0)[: len(shape)], True, (0.5, -1.0)[: len(shape)], dtype)


def model_of(grid: sciml.Grid, channels: int = 1, **options: Any) -> sciml.SFNO:
    torch.manual_seed(0)
    small = {"modes": 3, "time_modes": 3, "width": 8, "depth": 2, "latent_steps": 6, "expansion": 2}
    model = sciml.SFNO(grid, channels, **{**small, **options}).eval()
    with torch.no_grad():
        model.last.bias.normal_()
    return model


def frames(grid: sciml.Grid, *lead: int, channels: int = 1, seed: int = 1) -> Tensor:
    return torch.randn(*lead, channels, *grid.shape, dtype=F64, generator=torch.Generator().manual_seed(seed)).to(grid.dtype)


def complex_weight(layer: Any) -> Tensor:
    """``(*modes, in, out)``."""
    return torch.view_as_complex(layer.mixing.weight.detach().transpose(-1, -2).contiguous())


def convolved(v: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The spectral layer in one axis of space and time by whole transforms, ``(batch, channel, x, t)``."""
    c = torch.fft.fft(torch.fft.rfft(v, norm="forward"), dim=-2, norm="forward")
    kept = torch.zeros_like(c[:, :1]).repeat(1, weight.shape[-1], 1, 1)
    m = (len(weight) + 1) // 2
    for row in range(len(weight)):
        for k in range(weight.shape[1]):
            kept[:, :, row - m + 1, k] = c[:, :, row - m + 1, k] @ weight[row, k]
            if bias is not None:
                kept[:, :, row - m + 1, k] += bias[:, row, k]
    return torch.fft.irfft(torch.fft.ifft(kept, dim=-2, norm="forward"), v.shape[-1], norm="forward")


def pointwise(v: Tensor, layer: Any) -> Tensor:
    return torch.einsum("oi,bixt->boxt", layer.weight, v) + layer.bias.view(-1, 1, 1)


def test_it_is_its_formula() -> None:
    grid = grid_of(9)
    model = model_of(grid, 2)
    u = frames(grid, 3, 6, channels=2)
    gelu = torch.nn.functional.gelu
    x, t = torch.arange(9, dtype=F64) / 9, torch.arange(1, 7, dtype=F64) / 6
    envelope = torch.exp(-DECAY * t)
    times = [t, *(envelope * f(math.pi * k * t) for k in (1, 2, 3) for f in (torch.cos, torch.sin))][:6]
    where = [(2 * math.pi * x).cos(), (2 * math.pi * x).sin()]
    encoding = torch.stack([w[:, None].expand(9, 6) for w in where] + [w.expand(9, 6) for w in times])
    v = pointwise(u.permute(0, 2, 3, 1), model.lift) + encoding
    v = (v - v.mean((1, 2, 3), keepdim=True)) / (v.var((1, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    v = pointwise(v, model.mix)

    def perceptron(v: Tensor, mlp: Any) -> Tensor:
        return pointwise(gelu(pointwise(v, mlp.layers[0])), mlp.layers[2])

    v = gelu(perceptron(convolved(v, complex_weight(model.first)), model.first_mlp) + v[..., -1:])
    for block in model.blocks:
        v = gelu(perceptron(convolved(v, complex_weight(block.conv)), block.mlp) + torch.einsum("oi,bixt->boxt", block.skip.map.weight, v))
    v = pointwise(v, model.project)
    last = u[:, -1].unsqueeze(-1)
    period = torch.cat([last, v, torch.zeros(3, 2, 9, 5, dtype=F64)], -1)
    y = convolved(period, complex_weight(model.last.conv), SOURCE * torch.complex(*model.last.bias))
    expected = last + y[..., 1:7]
    torch.testing.assert_close(model(u), expected.permute(0, 3, 1, 2), rtol=0, atol=1e-12)
    assert y.std() > 1e-2


@pytest.mark.parametrize("shape", [(9,), (8, 7)])
def test_any_number_of_frames_are_values_of_one_function_of_time(shape: tuple[int, ...]) -> None:
    model = model_of(grid_of(*shape))
    u = frames(model.grid, 2, 5)
    whole = model(u, steps=60)
    for steps in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30):
        torch.testing.assert_close(model(u, steps=steps), whole[:, 60 // steps - 1 :: 60 // steps], rtol=0, atol=1e-12)
    assert (whole[:, 1:] - whole[:, :-1]).abs().max() > 1e-2


def test_a_constant_signal_gives_increments_that_do_not_depend_on_the_number_of_frames() -> None:
    """The layer is the identity: the increment at the end of the window, and its mean over it, are the same for 10 to 80 frames."""
    layer = Increment(1, (2,), 5, 10).double()
    with torch.no_grad():
        layer.conv.mixing.weight.zero_()
        layer.conv.mixing.weight[..., 0, :] = 1.0
    one = torch.ones(1, 1, 4, 1, dtype=F64)
    results = {steps: layer(one, one.expand(1, 1, 4, 10), steps) for steps in (1, 10, 20, 40, 80)}
    for steps, y in results.items():
        torch.testing.assert_close(y[..., -1], results[80][..., -1], rtol=0, atol=1e-13)
        torch.testing.assert_close(y, results[80][..., 80 // steps - 1 :: 80 // steps], rtol=0, atol=1e-13)
        if steps >= 10:
            assert y.mean().item() == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("count", [5, 6, 7, 12, 40])
def test_frames_given_may_be_any_number(count: int) -> None:
    grid = grid_of(8, 7)
    model = model_of(grid, steps=4)
    a, b, c = frames(grid, 3, seed=4)
    exact = torch.arange(1, 7, dtype=F64) / 6
    other = torch.arange(1, count + 1, dtype=F64) / count

    def at(t: Tensor) -> Tensor:
        t = 2 * math.pi * t.view(-1, 1, 1, 1)
        return a + b * t.sin() + c * (2 * t).cos()

    torch.testing.assert_close(model(at(other)), model(at(exact)), rtol=0, atol=1e-12)
    still = frames(grid, 1, seed=5)
    assert torch.allclose(model(still), model(still.expand(9, -1, -1, -1)), rtol=0, atol=1e-12)


def test_the_same_map_on_every_grid() -> None:
    model = model_of(grid_of(9, 8), activation="identity")
    band = frames(grid_of(5, 5), 2, 6)
    u, v = resample(band, grid_of(5, 5), (9, 8)), resample(band, grid_of(5, 5), (12, 11))
    expected = resample(model(u), model.grid, (12, 11))
    torch.testing.assert_close(model.on(model.grid.resized((12, 11)))(v), expected, rtol=0, atol=1e-12)
    with pytest.raises(sciml.InputError, match="cannot hold modes"):
        model.on(model.grid.resized((4, 8)))


def test_without_coordinates_and_source_it_commutes_with_translations() -> None:
    model = model_of(grid_of(8, 7), coordinates="none")
    with torch.no_grad():
        model.last.bias.zero_()
    u = frames(model.grid, 2, 4)
    shifted = model(u.roll((3, -2), (-2, -1)))
    torch.testing.assert_close(shifted, model(u).roll((3, -2), (-2, -1)), rtol=0, atol=1e-12)
    placed = model_of(model.grid)
    placed.last.bias.data.zero_()
    assert (placed(u.roll(3, -1)) - placed(u).roll(3, -1)).abs().max() > 1e-3


def test_a_last_layer_of_zeros_is_persistence() -> None:
    model = model_of(grid_of(9), 2)
    with torch.no_grad():
        model.last.bias.zero_()
        model.last.conv.mixing.weight.zero_()
    u = frames(model.grid, 3, 4, channels=2)
    assert torch.equal(model(u, steps=7), u[:, -1:].expand(3, 7, 2, 9))


def test_without_truncation_the_bias_reaches_every_trajectory() -> None:
    """5 points and 3 instants: the map from biases to trajectories has rank 15."""
    layer = Increment(1, (3,), 2, 3).double()
    columns = []
    for index in range(layer.bias.numel()):
        bias = torch.zeros(layer.bias.numel(), dtype=F64)
        bias[index] = 1.0
        layer.bias.data.copy_(bias.view_as(layer.bias))
        nothing = torch.zeros(1, 1, 5, 1, dtype=F64)
        columns.append(layer(nothing, nothing.expand(1, 1, 5, 3), 3).flatten().detach())
    assert torch.linalg.matrix_rank(torch.stack(columns)).item() == 15


def test_batches_defaults_and_precision() -> None:
    grid = grid_of(8, 7)
    model = model_of(grid, 2)
    u = frames(grid, 2, 3, 5, channels=2)
    y = model(u)
    assert y.shape == u.shape  # as many frames as it is given
    assert torch.allclose(y[1, 2], model(u[1, 2]), rtol=0, atol=1e-13)
    assert model(u[:0], steps=4).shape == (0, 3, 4, 2, 8, 7)
    assert torch.equal(model_of(grid, 2, steps=3)(u), model(u, steps=3))
    single = model.float()
    torch.testing.assert_close(single(u.float()).double(), y, rtol=0, atol=2e-5)
    with pytest.raises(sciml.InputError, match="float64"):
        single(u)


def test_given_fields_have_no_time_axis() -> None:
    grid = grid_of(9)
    model = model_of(grid, inputs=1)
    u, a = frames(grid, 3, 4), frames(grid, 3, seed=7)
    y = model(u, a, steps=2)
    torch.testing.assert_close(y[1], model(u[1], a[1], steps=2), rtol=0, atol=1e-13)
    assert (y - model(u, 2 * a, steps=2)).abs().max() > 1e-4
    assert torch.equal(model.given(a)(u, steps=2), y)
    seen = torch.cat([u, a.unsqueeze(1).expand(3, 4, 1, 9)], 2).permute(0, 2, 3, 1)
    torch.testing.assert_close(model.operate(seen, 2) + u[:, -1].unsqueeze(-1), y.permute(0, 2, 3, 1), rtol=0, atol=1e-13)
    with pytest.raises(sciml.InputError, match="given fields are missing"):
        model(u)


def test_statistics_are_those_of_the_increments() -> None:
    grid = grid_of(9)
    u, target = 3 + 2 * frames(grid, 5, 4), 7 + 5 * frames(grid, 5, 6, seed=2)
    model = model_of(grid).normalise(u, target)
    change = target - u[:, -1:]
    assert model.after.mean.item() == pytest.approx(change.mean().item()) and model.after.std.item() == pytest.approx(change.std(correction=0).item())
    assert model.before.mean.item() == pytest.approx(u.mean().item()) and model.before.std.item() == pytest.approx(u.std(correction=0).item())
    plain = model_of(grid)
    scaled = (u - u.mean()) / u.std(correction=0)
    expected = u[:, -1:] + change.mean() + change.std(correction=0) * (plain(scaled) - scaled[:, -1:])
    torch.testing.assert_close(model(u), expected, rtol=0, atol=1e-11)


def test_noise_in_training_comes_from_the_generator() -> None:
    model = model_of(grid_of(9), noise=0.1)
    u = frames(model.grid, 2, 4)
    quiet = model(u)
    model.train()
    with pytest.raises(sciml.InputError, match="generator"):
        model(u)
    first, second = (model(u, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second) and (first - quiet).abs().max() > 1e-3


def test_a_saved_model_computes_the_same(tmp_path: Path) -> None:
    model = model_of(grid_of(8, 7), 2, inputs=1, steps=3, coordinates="none", activation="silu", modes=(3, 2))
    u, a = frames(model.grid, 2, 5, channels=2), frames(model.grid, 2, seed=3)
    model.normalise(u, u, a)
    model.save(tmp_path / "m.pt")
    for again in (sciml.load_model(tmp_path / "m.pt"), sciml.SFNO.load(tmp_path / "m.pt")):
        assert isinstance(again, sciml.SFNO) and again.config() == model.config() == json.loads(json.dumps(model.config()))
        assert torch.equal(again(u, a), model(u, a))


def test_it_learns_a_decay_and_a_wave() -> None:
    grid = grid_of(16, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    x = 2 * math.pi * torch.arange(16) / 16
    t = 0.15 * torch.arange(12).view(-1, 1)
    phase, size = 2 * math.pi * torch.rand(64, 1, 1, generator=generator), 0.5 + torch.rand(64, 1, 1, generator=generator)
    u = (size * torch.exp(-0.5 * t) * torch.sin(x - 2 * t + phase)).unsqueeze(2)
    model = model_of(grid, width=12)
    model.last.bias.data.zero_()
    given, target = u[:, :6], u[:, 6:]
    sciml.fit(model, (given[:48], target[:48]), epochs=40, lr=2e-2, batch_size=8)
    with torch.no_grad():
        error = float(sciml.relative_l2(model(given[48:]), target[48:]))
        still = float(sciml.relative_l2(given[48:, -1:].expand_as(target[48:]), target[48:]))
    assert error < 0.12 < 1 < still


def test_what_does_not_fit_is_refused() -> None:
    grid = grid_of(9)
    for options, words in (
        ({"latent_steps": 4}, "cannot hold time_modes=3; use at least 5"),
        ({"width": 2}, "take 3 channels"),
        ({"modes": (2, 2)}, "one positive number"),
        ({"modes": 6}, "modes of at most"),
        ({"steps": 0}, "steps=0"),
        ({"depth": 0}, "depth=0"),
        ({"activation": "cube"}, "activation='cube'"),
        ({"coordinates": "polar"}, "coordinates='polar'"),
    ):
        with pytest.raises(sciml.InputError, match=words):
            model_of(grid, **options)
    with pytest.raises(sciml.InputError, match="periodic"):
        model_of(sciml.Grid((9,), (1.0,), False))
    with pytest.raises(sciml.InputError, match="one or two axes"):
        model_of(sciml.Grid((9, 9, 9), (1.0,) * 3))
    model = model_of(grid)
    for u in (frames(grid), torch.zeros(2, 0, 1, 9, dtype=F64)):
        with pytest.raises(sciml.InputError, match="at least one of them"):
            model(u)
    with pytest.raises(sciml.InputError, match="expected"):
        model(torch.zeros(2, 3, 1, 8, dtype=F64))
    with pytest.raises(sciml.InputError, match="steps=0"):
        model(frames(grid, 2), steps=0)
    with pytest.raises(sciml.InputError, match="without a time step"):
        sciml.rollout(model, frames(grid, 2), 2)
