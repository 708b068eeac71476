"""Neural operators: values against independent formulas, symmetries, resolutions and refusals."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from model_cases import F32, F64, SMALL, field, grid_of, model_of
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import sciml
from sciml.spectral.resample import evaluate, resample
from sciml.surrogates.operators import coordinates as places
from sciml.surrogates.operators.pointwise import ChannelMLP
from sciml.testing import check_propagator

GRIDS = [((9,), (True,)), ((8, 7), (True, False)), ((6, 5, 7), (True, True, True))]


@pytest.mark.parametrize("shape, periodic", GRIDS)
@pytest.mark.parametrize("name", SMALL)
def test_every_operator_is_a_propagator(name: str, shape: tuple[int, ...], periodic: tuple[bool, ...]) -> None:
    model = model_of(name, grid_of(shape, periodic), 2, dt=0.1, residual=True)
    check_propagator(model)
    u = field(model, 2, 3)
    assert torch.equal(model(u), model(u.flatten(0, 1)).view(u.shape))
    assert model(u[:0]).shape == u[:0].shape
    states = sciml.rollout(model, u, 2)
    assert torch.equal(states[2], model(model(u)))


@pytest.mark.parametrize("name", SMALL)
def test_float32_agrees_with_float64_and_the_grid_follows(name: str) -> None:
    model = model_of(name, grid_of((8, 9), (True, False)), dt=0.1)
    u = field(model, 2)
    expected = model(u)
    model.float()
    assert model.grid.dtype == F32
    torch.testing.assert_close(model(u.float()).double(), expected, rtol=0, atol=1e-5)
    with pytest.raises(sciml.InputError, match="float64"):
        model(u)
    with pytest.raises(sciml.InputError, match="autocast"):
        model.to(torch.bfloat16)
    assert model(u.float()).dtype == F32  # the refusal changed nothing


# --- FNO and FactorisedFNO against the mathematics


@pytest.mark.parametrize("name", ["FNO", "FactorisedFNO"])
@pytest.mark.parametrize("dtype, tolerance", [(F64, 1e-12), (F32, 2e-6)])
def test_without_coordinates_they_commute_with_translations(name: str, dtype: torch.dtype, tolerance: float) -> None:
    model = model_of(name, grid_of((8, 9), dtype=dtype), 2)
    u = field(model, 3)
    shifted = u.roll((3, -2), (-2, -1))
    expected = model(u).roll((3, -2), (-2, -1))
    torch.testing.assert_close(model(shifted), expected, rtol=0, atol=tolerance)
    assert (model(u) - expected).abs().max() > 1e-3
    placed = model_of(name, model.grid, 2, coordinates="positions")
    assert (placed(shifted) - placed(u).roll((3, -2), (-2, -1))).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["FNO", "FactorisedFNO"])
@pytest.mark.parametrize("shape, other", [((9,), (16,)), ((8, 7), (13, 12)), ((6, 5, 7), (5, 6, 8)), ((16,), (7,))])
def test_a_linear_pipeline_is_the_same_map_on_every_grid(name: str, shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    options = {"activation": "identity", "mlp": 0.5} if name == "FNO" else {"activation": "identity"}
    model = model_of(name, grid_of(shape), **options)
    coarse = grid_of((5,) * len(shape))
    band = torch.randn(2, 1, *coarse.shape, dtype=F64, generator=torch.Generator().manual_seed(3))
    u, v = resample(band, coarse, shape), resample(band, coarse, other)
    expected = resample(model(u), model.grid, other)
    view = model.on(model.grid.resized(other))
    torch.testing.assert_close(view(v), expected, rtol=0, atol=1e-12)
    assert expected.std() > 1e-3
    with torch.no_grad():  # the weights are shared
        next(model.parameters()).mul_(2)
    assert not torch.allclose(view(v), expected)


def test_a_layer_of_fno_is_its_formula() -> None:
    model = model_of("FNO", grid_of((11,)), 2, out_channels=3, modes=4, width=5, depth=2, mlp=0)
    u = field(model, 2)
    lift, project = model.lift.layers[0], model.project.layers
    v = torch.einsum("oi,bin->bon", lift.weight, u) + lift.bias[:, None]
    for n, block in enumerate(model.blocks):
        weight = torch.view_as_complex(block.conv.mixing.weight.transpose(-1, -2).contiguous())  # (modes, in, out)
        c = torch.fft.rfft(v, norm="forward")
        kept = torch.zeros_like(c)
        kept[..., :4] = torch.einsum("bik,kio->bok", c[..., :4], weight)
        v = torch.fft.irfft(kept, 11, norm="forward") + torch.einsum("oi,bin->bon", block.skip.map.weight, v) + block.bias[:, None]
        v = torch.nn.functional.gelu(v) if n == 0 else v
    hidden = torch.nn.functional.gelu(torch.einsum("oi,bin->bon", project[0].weight, v) + project[0].bias[:, None])
    expected = torch.einsum("oi,bin->bon", project[2].weight, hidden) + project[2].bias[:, None]
    torch.testing.assert_close(model(u), expected, rtol=0, atol=1e-12)


def test_a_factorised_layer_is_its_formula() -> None:
    model = model_of("FactorisedFNO", grid_of((8, 7)), width=4, modes=(3, 2), depth=1)
    u = field(model, 2)
    v = model.lift(u)
    total = torch.zeros_like(v)
    for dim, m, layer in zip((-2, -1), (3, 2), model.spectral[0].along, strict=True):
        weight = torch.view_as_complex(layer.mixing.weight.transpose(-1, -2).contiguous())
        c = torch.fft.rfft(v.movedim(dim, -1), norm="forward")
        kept = torch.zeros_like(c)
        kept[..., :m] = torch.einsum("bixk,kio->boxk", c[..., :m], weight)
        total += torch.fft.irfft(kept, v.shape[dim], norm="forward").movedim(-1, dim)
    first, _, second = model.forwards[0].layers
    hidden = torch.nn.functional.gelu(torch.einsum("oi,bixy->boxy", first.weight, total) + first.bias[:, None, None])
    v = v + torch.nn.functional.gelu(torch.einsum("oi,bixy->boxy", second.weight, hidden) + second.bias[:, None, None])
    torch.testing.assert_close(model(u), model.project(v), rtol=0, atol=1e-12)
    shared = model_of("FactorisedFNO", grid_of((8, 7)), depth=3, shared=True)
    count = sum(p.numel() for p in shared.spectral.parameters())
    assert count == 2 * 2 * 3 * 6 * 6  # axes, parts, modes, channels: one set for three layers
    assert sum(p.numel() for p in model_of("FactorisedFNO", grid_of((8, 7)), depth=3).spectral.parameters()) == 3 * count
    assert not torch.equal(shared(u), model_of("FactorisedFNO", grid_of((8, 7)), depth=1, shared=True)(u))


def test_padding_continues_bounded_axes_and_is_taken_off_again() -> None:
    model = model_of("FNO", grid_of((8, 10), (True, False)), padding=(0.0, 0.3), coordinates="none")
    u = field(model, 2)
    v = model.lift(u)
    wide = torch.zeros(2, 6, 8, 16, dtype=F64)
    wide[..., 3:13] = v
    for block in model.blocks:
        wide = block(wide)
    torch.testing.assert_close(model(u), model.project(wide[..., 3:13]), rtol=0, atol=1e-13)
    assert model.padding == (0.0, 0.3) and model_of("FNO", model.grid).padding == (0.0, 0.1)
    assert model_of("FNO", model.grid, padding=0.3).padding == (0.0, 0.3)
    finer = model.on(model.grid.resized((8, 20)))
    assert finer(torch.zeros(1, 1, 8, 20, dtype=F64)).shape == (1, 1, 8, 20)


def test_padding_is_of_the_same_length_on_a_multiple_of_the_points() -> None:
    # an eighth of 9 cells is 1.1 of them: one cell, and three of 27, not 3.4
    model = model_of("FNO", grid_of((9,), (False,)), modes=3)
    margins: list[int] = []
    model.blocks[0].register_forward_pre_hook(lambda _, given: margins.append(given[0].shape[-1]))
    for points in (9, 27, 45):
        view = model.on(model.grid.resized((points,)))
        view(field(view, 1))
    assert margins == [9 + 2, 27 + 6, 45 + 10]
    assert type(model).from_config(model.config()).padding == model.padding


def test_angles_are_smooth_over_the_end_of_a_period() -> None:
    grid = grid_of((6, 5), (True, False))
    model = model_of("FNO", grid, modes=2, coordinates="angles")
    cos, sin, y = places.fields("angles", grid)
    at = 2 * math.pi * torch.arange(6, dtype=F64) / 6
    torch.testing.assert_close(cos, at.cos().view(6, 1).expand(6, 5), rtol=0, atol=1e-14)
    torch.testing.assert_close(sin, at.sin().view(6, 1).expand(6, 5), rtol=0, atol=1e-14)
    torch.testing.assert_close(y[0], torch.tensor([-0.8, -0.4, 0.0, 0.4, 0.8], dtype=F64), rtol=0, atol=1e-14)
    u = field(model, 2)
    seen: list[torch.Tensor] = []
    model.lift.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model(u)
    assert torch.equal(seen[0][:, model.channels :], torch.stack([cos, sin, y]).expand(2, 3, 6, 5))


def test_coordinates_are_fractions_of_the_domain() -> None:
    grid = grid_of((4, 2), (True, False))
    x, y = places.fields("positions", grid)
    assert x[:, 0].tolist() == [0, 0.25, 0.5, 0.75] and y[0].tolist() == [0.25, 0.75]
    assert places.fields("index", grid)[1, 0].tolist() == [0, 0.5]
    assert model_of("FNO", grid_of((9,))).coordinates == "none"
    model = model_of("FNO", grid, modes=(2, 1))
    assert model.coordinates == "positions"
    u, lift = field(model, 1), model.lift.layers[0]
    assert lift.weight.shape[1] == 3
    with torch.no_grad():  # what is read last of the lifted channels is y
        lift.weight.zero_()
        lift.bias.zero_()
        lift.weight[:, 2] = 1
        for block in model.blocks:
            block.conv.mixing.weight.zero_()
    assert torch.equal(model.lift(torch.cat([u, places.fields("positions", grid)[None]], 1))[0, 0], y)
    other = model_of("FNO", grid, modes=(2, 1), coordinates="index")
    other.load_state_dict(model.state_dict())
    assert (other(u) - model(u)).abs().max() > 1e-4
    columns = places.features((torch.tensor([1.0], dtype=F64), torch.tensor([0.5], dtype=F64)), grid)
    torch.testing.assert_close(columns, torch.tensor([[math.cos(math.pi / 2), math.sin(math.pi / 2), 0.0]], dtype=F64), rtol=0, atol=1e-15)


def test_skips_and_activations_are_what_they_are_called() -> None:
    v, to = torch.randn(2, 6, 9, dtype=F64), torch.randn(2, 6, 9, dtype=F64)
    for skip, expected in (("identity", to + v), ("none", to), ("gate", to + 3 * v)):
        block = model_of("FNO", grid_of((9,)), skip=skip).blocks[0]
        if skip == "gate":
            block.skip.weight.data.fill_(3)
        torch.testing.assert_close(block.skip(v, to), expected, rtol=0, atol=1e-14)
    once, twice = (model_of("FNO", grid_of((9,)), twice=flag).blocks for flag in (False, True))
    torch.testing.assert_close(twice[0](v), torch.nn.functional.gelu(once[0](v)), rtol=0, atol=1e-14)
    assert torch.equal(twice[1](v), once[1](v))
    u = field(model_of("FNO", grid_of((9,))), 2)
    outputs = [model_of("FNO", grid_of((9,)), activation=name)(u) for name in ("gelu", "relu", "silu", "tanh", "identity")]
    assert all((a - b).abs().max() > 1e-4 for i, a in enumerate(outputs) for b in outputs[:i])
    hidden = ChannelMLP(6, 4, 2, "tanh", "test").double()
    first, _, second = hidden.layers
    expected = torch.tanh(v.transpose(1, 2) @ first.weight.T + first.bias) @ second.weight.T + second.bias
    torch.testing.assert_close(hidden(v), expected.transpose(1, 2), rtol=0, atol=1e-13)


# --- DeepONet and Transolver


def test_deeponet_is_a_sum_of_coefficients_times_functions() -> None:
    model = model_of("DeepONet", grid_of((8, 6), (True, False)), 2, out_channels=3)
    with torch.no_grad():
        model.offset.copy_(torch.tensor([1.0, -2.0, 0.5]))
    u = field(model, 4)
    points = tuple(torch.rand(7, dtype=F64) for _ in range(2))
    b, t = model.branch(u.flatten(1)).view(4, 3, 5), model.functions(points)
    expected = torch.einsum("bop,np->bon", b, t) / math.sqrt(5) + model.offset[:, None]
    torch.testing.assert_close(model.at(u, points), expected, rtol=0, atol=1e-13)
    nodes = tuple(x.flatten() for x in model.grid.points())
    torch.testing.assert_close(model.at(u, nodes).view(4, 3, 8, 6), model(u), rtol=0, atol=1e-13)
    moved = (points[0] + model.grid.lengths[0], points[1])  # one period further along x
    torch.testing.assert_close(model.at(u, moved), expected, rtol=0, atol=1e-12)
    with torch.no_grad():  # linear in what the branch writes
        model.branch[-1].weight.mul_(2)
        model.branch[-1].bias.mul_(2)
    torch.testing.assert_close(model.at(u, points) - model.offset[:, None], 2 * (expected - model.offset[:, None]), rtol=0, atol=1e-12)


def test_deeponet_reads_the_same_function_on_every_grid_and_is_smooth_in_the_point() -> None:
    grid = grid_of((12,))
    model = model_of("DeepONet", grid, sensors=7, residual=True, dt=0.1)
    band = torch.randn(2, 1, 5, dtype=F64)
    coarse = grid.resized(5)
    u, v = resample(band, coarse, 12), resample(band, coarse, 15)
    points = (torch.rand(6, dtype=F64).requires_grad_(),)
    torch.testing.assert_close(model.at(u, points), model.on(grid.resized(15)).at(v, points), rtol=0, atol=1e-12)
    direct = model_of("DeepONet", grid, sensors=7, dt=0.1)
    direct.load_state_dict(model.state_dict())
    torch.testing.assert_close(model.at(u, points), direct.at(u, points) + evaluate(u, grid, points), rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x: model.at(u, (x,)), points)


def test_transolver_does_not_see_the_order_or_the_number_of_points() -> None:
    model = model_of("Transolver", grid_of((6, 5), (True, False)), 2, out_channels=1)
    u = field(model, 3)
    nodes = tuple(x.flatten() for x in model.grid.points())
    values = u.flatten(2)
    expected = model(u).flatten(2)
    torch.testing.assert_close(model.at(values, nodes), expected, rtol=0, atol=1e-13)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.at(values[..., order], [x[order] for x in nodes]), expected[..., order], rtol=0, atol=1e-13)
    doubled = model.at(torch.cat([values, values], -1), [torch.cat([x, x]) for x in nodes])
    torch.testing.assert_close(doubled, torch.cat([expected, expected], -1), rtol=0, atol=1e-12)
    half = model.at(values[..., :11], [x[:11] for x in nodes])
    assert (half - expected[..., :11]).abs().max() > 1e-5  # but it does see the other points
    assert model.at(values.view(3, 1, 2, 30), nodes).shape == (3, 1, 1, 30)


def test_physics_attention_is_its_formula() -> None:
    attention = model_of("Transolver", grid_of((6,)), heads=2, slices=3).attention[0]
    with torch.no_grad():
        attention.temperature.copy_(torch.tensor([[[0.5]], [[20.0]]]))  # the second is held at 5
    x = torch.randn(1, 6, 8, dtype=F64)
    parts = []
    for head, temperature in enumerate((0.5, 5.0)):
        columns = slice(4 * head, 4 * head + 4)
        f, s = attention.fields(x)[0, :, columns], attention.keys(x)[0, :, columns]
        w = torch.softmax((s @ attention.slicing.weight.T + attention.slicing.bias) / temperature, 1)
        z = torch.stack([(w[:, m, None] * f).sum(0) / w[:, m].sum() for m in range(3)])
        score = (z @ attention.query.weight.T) @ (z @ attention.key.weight.T).T / 2
        parts.append(w @ (torch.softmax(score, 1) @ (z @ attention.value.weight.T)))
    torch.testing.assert_close(attention(x)[0], attention.out(torch.cat(parts, 1)), rtol=0, atol=1e-13)


def test_transolver_is_a_chain_of_residual_layers_that_read_positions() -> None:
    model = model_of("Transolver", grid_of((6, 5)), expansion=3)
    u = field(model, 2)
    nodes = tuple(x.flatten() for x in model.grid.points())
    with torch.no_grad():  # norms that differ
        for n, norm in enumerate(model.norms):
            norm.weight.fill_(1 + 0.5 * n)
    x = model.lift(torch.cat([u.flatten(2).transpose(1, 2), places.features(nodes, model.grid).expand(2, 30, 4)], -1))
    for n in range(2):
        x = x + model.attention[n](model.norms[2 * n](x))
        x = x + model.mix[n](model.norms[2 * n + 1](x))
    expected = model.project(model.norms[4](x)).transpose(1, 2)
    torch.testing.assert_close(model(u).flatten(2), expected, rtol=0, atol=1e-13)
    assert model.mix[0][0].out_features == 24
    assert (model.at(u.flatten(2), (nodes[0] + 0.3, nodes[1])) - expected).abs().max() > 1e-4


# --- what every surrogate shares


def test_normalisation_is_measured_on_data_and_undone() -> None:
    model = model_of("FNO", grid_of((9,)), 2, inputs=1, out_channels=1)
    u, a, y = 5 + 3 * field(model, 40), torch.full((9,), 0.3, dtype=F64).expand(40, 1, 9), torch.randn(40, 1, 9, dtype=F64) * 0.1 - 2
    plain = model(u, a)
    model.normalise(u, y, a)
    joined = torch.cat([u, a], 1)
    mean, std = joined.mean((0, 2)), joined.std((0, 2), correction=0)
    torch.testing.assert_close(model.before.mean, mean)
    torch.testing.assert_close(model.before.std, torch.tensor([std[0], std[1], 1.0], dtype=F64))  # a constant channel keeps its size
    core = model.operate((joined - mean[:, None]) / model.before.std[:, None])
    torch.testing.assert_close(model(u, a), core * y.std(correction=0) + y.mean(), rtol=0, atol=1e-12)
    assert (model(u, a) - plain).abs().max() > 0.1
    step = model_of("FNO", grid_of((9,)), dt=1.0, residual=True)
    v = field(step, 40)
    step.normalise(v, v + 0.01 * v + 3)
    assert step.after.mean.item() == pytest.approx(3 + 0.01 * v.mean().item()) and step.after.std.item() == pytest.approx(
        0.01 * v.std(correction=0).item()
    )
    for mean, std, words in (([0.0], [1.0], "2 channels"), ([0.0, 0.0], [1.0, 0.0], "above 0"), ([0.0, math.nan], [1.0, 1.0], "finite")):
        with pytest.raises(sciml.InputError, match=words):
            model_of("FNO", grid_of((9,)), 2).before.set(mean, std)


def test_noise_is_drawn_in_training_only_from_the_generator_given() -> None:
    model = model_of("FNO", grid_of((64,)), 2, noise=0.5, activation="identity")
    u = 4 * field(model, 200) + 100
    u[:, 1] /= 10
    clean = model(u)
    assert torch.equal(clean, model(u, generator=torch.Generator()))
    model.train()
    draws = [model(u, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    noise = model._noisy(u, torch.Generator().manual_seed(1)) - u
    torch.testing.assert_close(noise.std((0, 2)), torch.tensor([2.0, 0.2], dtype=F64), rtol=0.05, atol=0)
    with pytest.raises(sciml.InputError, match="generator"):
        model(u)


@pytest.mark.parametrize("name", SMALL)
def test_a_residual_is_added_to_the_argument(name: str) -> None:
    model, plain = model_of(name, grid_of((8, 7)), 2, residual=True), model_of(name, grid_of((8, 7)), 2)
    plain.load_state_dict(model.state_dict())
    u = field(model, 3)
    torch.testing.assert_close(model(u), u + plain(u), rtol=0, atol=1e-14)
    if name == "Transolver":
        nodes = tuple(x.flatten() for x in model.grid.points())
        torch.testing.assert_close(model.at(u.flatten(2), nodes), model(u).flatten(2), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", SMALL)
def test_given_fields_are_read_and_can_be_held(name: str) -> None:
    model = model_of(name, grid_of((8, 7)), inputs=2, dt=0.1)
    u = field(model, 2, 3)
    a = torch.randn(2, 3, 2, 8, 7, dtype=F64)
    out = model(u, a)
    torch.testing.assert_close(out[1, 2], model(u[1, 2], a[1, 2]), rtol=0, atol=1e-13)
    assert (out - model(u, a.flip(-3))).abs().max() > 1e-6
    one = a[0, 0]
    torch.testing.assert_close(model(u, one), model(u, one.expand(2, 3, 2, 8, 7)), rtol=0, atol=1e-13)
    held = model.given(one)
    assert torch.equal(held(u), model(u, one))
    assert torch.equal(sciml.rollout(held, u, 2)[2], model(model(u, one), one))
    with pytest.raises(sciml.InputError, match="missing"):
        model(u)
    with pytest.raises(sciml.InputError, match="batch axes"):
        model(u, torch.zeros(5, 2, 8, 7, dtype=F64))
    with pytest.raises(sciml.InputError, match="given fields"):
        model(u, a[..., :1, :, :])
    with pytest.raises(sciml.InputError, match="takes none"):
        model_of(name, grid_of((8, 7)))(u, a)


def test_a_map_needs_no_step_and_may_change_the_number_of_fields() -> None:
    for name in SMALL:
        model = model_of(name, grid_of((8, 7), False), 2, out_channels=3)
        assert model.dt is None and model(field(model, 4)).shape == (4, 3, 8, 7)


@pytest.mark.parametrize("name", SMALL)
def test_functional_transforms_and_autocast(name: str) -> None:
    model = model_of(name, grid_of((9,), dtype=F32))
    u = field(model, 3)
    weights = {key: p.detach() for key, p in model.named_parameters()}

    def loss(p: dict[str, Tensor], v: Tensor) -> Tensor:
        return torch.func.functional_call(model, p, (v,)).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, u)
    model(u).square().sum().backward()
    for key, p in model.named_parameters():
        torch.testing.assert_close(each[key].sum(0), p.grad, rtol=1e-3, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        low = model(u)
    assert low.dtype == F32
    torch.testing.assert_close(low, model(u), rtol=0, atol=0.05)
    assert not torch.equal(low, model(u))


# --- refusals


@pytest.mark.parametrize(
    "name, options, words",
    [
        ("FNO", {"modes": 6}, r"cannot hold modes=\(6,\).*at most \(5,\)"),
        ("FNO", {"modes": (3, 3)}, "one per axis"),
        ("FNO", {"modes": 0}, "at least 1"),
        ("FNO", {"width": 0}, "width=0"),
        ("FNO", {"activation": "swish"}, "gelu, relu"),
        ("FNO", {"skip": "linaer"}, "linear, gate"),
        ("FNO", {"coordinates": "grid"}, "none, positions"),
        ("FNO", {"padding": 0.1}, "pad bounded axes only"),
        ("FNO", {"padding": (0.1, 0.1)}, "fractions of the length"),
        ("FNO", {"padding": -0.1}, "fractions of the length"),
        ("FNO", {"mlp": -1}, "mlp=-1"),
        ("FNO", {"channels": 0}, "channels=0"),
        ("FNO", {"out_channels": 2, "dt": 0.1}, "dt=0.1"),
        ("FNO", {"out_channels": 2, "residual": True}, "residual=True"),
        ("FNO", {"dt": -1.0}, "positive"),
        ("FNO", {"noise": -1.0}, "noise=-1"),
        ("FactorisedFNO", {"expansion": 0}, "expansion=0"),
        ("DeepONet", {"basis": 0}, "basis=0"),
        ("Transolver", {"heads": 3}, "multiple of heads"),
    ],
)
def test_bad_options_are_refused(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(sciml.InputError, match=words):
        model_of(name, grid_of((9,)), **options)


def test_bad_states_grids_and_points_are_refused() -> None:
    model = model_of("FNO", grid_of((9,)), 2)
    for u in (torch.zeros(3, 1, 9, dtype=F64), torch.zeros(2, 8, dtype=F64), torch.zeros(2, 9), [1.0]):
        with pytest.raises(sciml.InputError, match="FNO"):
            model(u)
    with pytest.raises(sciml.InputError, match="axes"):
        sciml.FNO(sciml.Grid((), ()), modes=2)
    with pytest.raises(sciml.InputError, match="keeps the domain"):
        model.on(sciml.Grid((9,), (1.0,)))
    with pytest.raises(sciml.InputError, match="float32"):
        model.on(model.grid.to(dtype=F32))
    with pytest.raises(sciml.InputError, match="cannot hold modes"):
        model.on(model.grid.resized(4))
    bounded = model_of("DeepONet", grid_of((9,), False), residual=True)
    with pytest.raises(sciml.InputError, match=r"model\.at"):
        bounded.on(bounded.grid.resized(10))
    x = torch.zeros(4, dtype=F64)
    with pytest.raises(sciml.InputError, match="bounded domain"):
        bounded.at(field(bounded), (x,))
    solver = model_of("Transolver", grid_of((9,)))
    for points in ((x, x), (x[None],), (x.float(),)):
        with pytest.raises(sciml.InputError, match="points"):
            solver.at(torch.zeros(1, 4, dtype=F64), points)
    with pytest.raises(sciml.InputError, match="4 points"):
        solver.at(torch.zeros(1, 5, dtype=F64), (x,))


def test_a_map_without_a_step_cannot_be_repeated() -> None:
    model = model_of("FNO", grid_of((8,)))
    with pytest.raises(sciml.InputError, match="a FNO without a time step"):
        sciml.rollout(model, field(model, 1), steps=2)


def test_nothing_in_a_call_waits_for_the_host() -> None:
    """What a CUDA graph cannot record: copies from the host, and numbers read back. The first call may make its tables."""
    model = model_of("FNO", grid_of((12, 10), dtype=F32), mlp=0.0, dt=0.1)
    u = field(model, 2)
    model(u)
    with Recorded() as recorded:
        model(u).square().sum().backward()
    forbidden = {"_local_scalar_dense", "lift_fresh", "_to_copy", "nonzero", "item", "is_nonzero", "equal"}
    assert "bmm" in recorded.names and not forbidden & recorded.names


class Recorded(TorchDispatchMode):
    """The names of all operations in the block."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))
