"""Weights in neuraloperator's layout against an independent evaluation of what they mean, and what is refused."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import sciml

State = dict[str, Any]
KINDS = {"linear": "linear", "soft-gating": "gate", "identity": "identity", "none": "none"}


DRAWS = torch.Generator().manual_seed(0)


def random(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=DRAWS) * 0.5


def weights(
    n_modes: tuple[int, ...],
    *,
    width: int = 4,
    depth: int = 2,
    read: int = 1,
    written: int = 2,
    mlp: bool = True,
    skip: str = "linear",
    gate: str = "soft-gating",
) -> State:
    """A state dict with the names and shapes of neuraloperator 2.0; modes are those of the tensors."""
    ndim = len(n_modes)
    ones = (1,) * ndim
    state: State = {}

    def perceptron(name: str, *sizes: int) -> None:
        for i, (a, b) in enumerate(pairwise(sizes)):
            state[f"{name}.fcs.{i}.weight"], state[f"{name}.fcs.{i}.bias"] = random(b, a, 1), random(b)

    for n in range(depth):
        state[f"fno_blocks.convs.{n}.bias"] = random(width, *ones)
        state[f"fno_blocks.convs.{n}.weight.tensor"] = random(width, width, *n_modes, dtype=torch.complex64)
        if skip == "linear":
            state[f"fno_blocks.fno_skips.{n}.conv.weight"] = random(width, width, 1)
        if skip == "soft-gating":
            state[f"fno_blocks.fno_skips.{n}.weight"] = random(1, width, *ones)
        if mlp:
            perceptron(f"fno_blocks.channel_mlp.{n}", width, 2, width)
            if gate == "soft-gating":
                state[f"fno_blocks.channel_mlp_skips.{n}.weight"] = random(1, width, *ones)
            if gate == "linear":
                state[f"fno_blocks.channel_mlp_skips.{n}.conv.weight"] = random(width, width, 1)
    perceptron("lifting", read + ndim, 2 * width, width)
    perceptron("projection", width, 2 * width, written)
    return state


def evaluated(
    state: State, u: Tensor, *, kept: tuple[int, ...] | None = None, skip: str = "linear", gate: str = "soft-gating", pad: int = 0
) -> Tensor:
    """What the layout means, in double precision: every coefficient by its wavenumber, one at a time."""
    p = {name: t.to(torch.complex128 if t.is_complex() else torch.float64) for name, t in state.items() if isinstance(t, Tensor)}
    shape = u.shape[2:]
    ndim = len(shape)

    def linear(name: str, v: Tensor) -> Tensor:
        out = torch.einsum("oi,bi...->bo...", p[f"{name}.weight"][..., 0], v)
        return out + p[f"{name}.bias"].view(-1, *(1,) * ndim) if f"{name}.bias" in p else out

    def perceptron(name: str, v: Tensor) -> Tensor:
        return linear(f"{name}.fcs.1", functional.gelu(linear(f"{name}.fcs.0", v)))

    def past(kind: str, name: str, v: Tensor) -> Tensor | float:
        if kind == "linear":
            return linear(f"{name}.conv", v)
        return p[f"{name}.weight"] * v if kind == "soft-gating" else v if kind == "identity" else 0.0

    def spectral(n: int, v: Tensor) -> Tensor:
        c, size = torch.fft.rfftn(v, dim=tuple(range(2, 2 + ndim)), norm="forward"), v.shape[2:]
        weight = p[f"fno_blocks.convs.{n}.weight.tensor"]
        held = weight.shape[2:]
        use = held if kept is None else (*kept[:-1], kept[-1] // 2 + 1)
        out = torch.zeros_like(c)
        for index in torch.cartesian_prod(*(torch.arange(m) for m in use)).view(-1, ndim).tolist():
            # along inner axes the middle entry is mode 0; the last axis begins with it
            modes = [i - m // 2 for i, m in zip(index[:-1], use[:-1], strict=True)] + [index[-1]]
            entry = [i + (h - m) // 2 for i, m, h in zip(index[:-1], use[:-1], held[:-1], strict=True)] + [index[-1]]
            to = (slice(None), slice(None), *(k % s for k, s in zip(modes[:-1], size[:-1], strict=True)), modes[-1])
            out[to] = torch.einsum("bi,io->bo", c[to], weight[(slice(None), slice(None), *entry)])
        return torch.fft.irfftn(out, size, dim=tuple(range(2, 2 + ndim)), norm="forward") + p[f"fno_blocks.convs.{n}.bias"]

    v = u
    if p["lifting.fcs.0.weight"].shape[1] > u.shape[1]:
        where = torch.meshgrid(*(torch.arange(s, dtype=torch.float64) / s for s in shape), indexing="ij")
        v = torch.cat([u, torch.stack(where).expand(len(u), ndim, *shape)], 1)
    v = functional.pad(perceptron("lifting", v), (pad,) * 2 * ndim)
    depth = len([name for name in p if name.startswith("fno_blocks.convs.") and name.endswith(".bias")])
    for n in range(depth):
        act = functional.gelu if n < depth - 1 else (lambda t: t)
        y = act(spectral(n, v) + past(skip, f"fno_blocks.fno_skips.{n}", v))
        if f"fno_blocks.channel_mlp.{n}.fcs.0.weight" in p:
            y = perceptron(f"fno_blocks.channel_mlp.{n}", y) + past(gate, f"fno_blocks.channel_mlp_skips.{n}", v)
        v = act(y)
    v = v[(..., *(slice(pad, pad + s) for s in shape))]
    return perceptron("projection", v)


def grid_of(shape: tuple[int, ...], periodic: bool = True) -> sciml.Grid:
    return sciml.Grid(shape, (2.0, 3.0, 0.5)[: len(shape)], periodic, (1.0,) * len(shape))


def check(state: State, shape: tuple[int, ...], options: dict[str, Any], periodic: bool = True, **meaning: Any) -> None:
    model = sciml.FNO.from_neuraloperator(state, grid_of(shape, periodic), **options)
    u = random(3, model.channels, *shape, dtype=torch.float64)
    expected = evaluated(state, u, **meaning)
    assert expected.std() > 1e-3
    torch.testing.assert_close(model(u), expected, rtol=0, atol=1e-10 * float(expected.abs().max()))


@pytest.mark.parametrize(
    "n_modes, shape",
    [((5,), (16,)), ((4,), (7,)), ((6, 4), (8, 9)), ((5, 3), (12, 6)), ((4, 3, 4), (6, 8, 7)), ((3, 4, 2), (4, 6, 5))],
)
def test_outputs_are_those_of_the_layout(n_modes: tuple[int, ...], shape: tuple[int, ...]) -> None:
    check(weights(n_modes, read=2), shape, {})


@pytest.mark.parametrize("skip", KINDS)
@pytest.mark.parametrize("gate", KINDS)
def test_every_skip_connection(skip: str, gate: str) -> None:
    options = {"skip": None if skip in ("linear", "soft-gating") else skip, "mlp_skip": None if gate in ("linear", "soft-gating") else gate}
    check(weights((4, 3), skip=skip, gate=gate), (8, 7), options, skip=skip, gate=gate)


def test_settings_that_come_with_the_weights_are_read() -> None:
    state = weights((8, 6), skip="none", gate="identity")
    state["_metadata"] = {
        "fno_skip": None,
        "channel_mlp_skip": "identity",
        "n_modes": (4, 6),
        "non_linearity": functional.gelu,
        "positional_embedding": "grid",
    }
    check(state, (10, 9), {}, skip="none", gate="identity", kept=(4, 6))
    state["_metadata"] = {"domain_padding": 0.25, "fno_skip": "identity", "channel_mlp_skip": None, "n_modes": (8, 10)}
    check(state, (8, 8), {}, periodic=False, skip="identity", gate="none", pad=2)
    plain = weights((4,))
    relu = sciml.FNO.from_neuraloperator({**plain, "_metadata": {"non_linearity": functional.relu}}, grid_of((9,)))
    assert (relu.activation, relu.mlp_activation) == ("relu", "gelu")
    assert (
        sciml.FNO.from_neuraloperator({**plain, "_metadata": {"non_linearity": functional.relu}}, grid_of((9,)), activation="tanh").activation
        == "tanh"
    )


def test_modes_given_take_the_middle_of_the_weights() -> None:
    check(weights((7, 5)), (12, 12), {"modes": (4, 6)}, kept=(4, 6))
    check(weights((9, 5)), (12, 12), {"modes": (4, 2)}, kept=(4, 2))


def test_layers_without_perceptrons_repeat_the_activation() -> None:
    state = weights((4,), mlp=False, depth=2)
    model = sciml.FNO.from_neuraloperator(state, grid_of((9,)))
    v = random(2, 4, 9, dtype=torch.float64)
    first, last = model.blocks
    once = first.conv(v) + torch.einsum("oi,bin->bon", first.skip.map.weight, v) + first.bias[:, None]
    torch.testing.assert_close(first(v), functional.gelu(functional.gelu(once)), rtol=0, atol=1e-12)
    torch.testing.assert_close(last(v), last.conv(v) + last.skip.map(v) + last.bias[:, None], rtol=0, atol=1e-12)


def test_coordinates_absent_or_with_boundaries_of_their_own() -> None:
    state = weights((4, 3), read=1)
    without = sciml.FNO.from_neuraloperator(state, grid_of((8, 7)), coordinates=False)
    assert (without.channels, without.coordinates) == (3, "none")
    check(state, (8, 7), {"coordinates": False})
    grid = grid_of((8, 7))
    model = sciml.FNO.from_neuraloperator(state, grid, boundaries=((-1, 1), (2, 5)))
    u = random(2, 1, 8, 7, dtype=torch.float64)
    x, y = torch.meshgrid(2 * torch.arange(8).double() / 8 - 1, 2 + 3 * torch.arange(7).double() / 7, indexing="ij")
    direct = torch.cat([u, x.expand(2, 1, 8, 7), y.expand(2, 1, 8, 7)], 1)
    torch.testing.assert_close(model(u), without(direct), rtol=0, atol=1e-6)


@pytest.mark.parametrize("form", ["tucker", "cp", "train"])
def test_factorised_weights_become_full_ones(form: str) -> None:
    state = weights((4, 3), depth=1)
    name = "fno_blocks.convs.0.weight"
    full = state.pop(f"{name}.tensor")
    ranks = (3, 2, 4, 2)
    if form == "tucker":
        state[f"{name}.core"] = random(*ranks, dtype=torch.complex64)
        factors = [random(n, r, dtype=torch.complex64) for n, r in zip(full.shape, ranks, strict=True)]
        full = torch.einsum("abcd,ia,ob,xc,yd->ioxy", state[f"{name}.core"].to(torch.complex128), *(f.to(torch.complex128) for f in factors))
    elif form == "cp":
        state[f"{name}.weights"] = random(5, dtype=torch.complex64)
        factors = [random(n, 5, dtype=torch.complex64) for n in full.shape]
        full = torch.einsum("r,ir,or,xr,yr->ioxy", state[f"{name}.weights"].to(torch.complex128), *(f.to(torch.complex128) for f in factors))
    else:
        ends = (1, 3, 2, 3, 1)
        factors = [random(ends[i], n, ends[i + 1], dtype=torch.complex64) for i, n in enumerate(full.shape)]
        full = torch.einsum("aib,boc,cxd,dye->ioxy", *(f.to(torch.complex128) for f in factors))
    state.update({f"{name}.factors.factor_{i}": f for i, f in enumerate(factors)})
    model = sciml.FNO.from_neuraloperator(state, grid_of((8, 7)))
    u = random(2, 1, 8, 7, dtype=torch.float64)
    expected = evaluated({**state, f"{name}.tensor": full}, u)
    torch.testing.assert_close(model(u), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_separable_weights_keep_channels_apart() -> None:
    state = weights((4, 3), depth=1)
    name = "fno_blocks.convs.0.weight.tensor"
    diagonal = random(4, 4, 3, dtype=torch.complex64)
    state[name] = diagonal
    model = sciml.FNO.from_neuraloperator(state, grid_of((8, 7)))
    u = random(2, 1, 8, 7, dtype=torch.float64)
    expected = evaluated({**state, name: torch.einsum("ij,ixy->ijxy", torch.eye(4, dtype=torch.complex64), diagonal)}, u)
    torch.testing.assert_close(model(u), expected, rtol=0, atol=1e-10)
    assert model.config()["weights"] == {"name": "separable"}


def test_what_cannot_be_represented_is_refused() -> None:
    state = weights((4, 3))
    grid = grid_of((8, 7))

    def refused(words: str, given: State, shape: sciml.Grid = grid, **options: Any) -> None:
        with pytest.raises(sciml.InputError, match=words):
            sciml.FNO.from_neuraloperator(given, shape, **options)

    refused("fno_blocks.convs.0", {"weight": torch.zeros(3)})
    refused("2 axes and a grid of 1", state, grid_of((16,)))
    refused("without a counterpart: fno_blocks.norm.0.weight", {**state, "fno_blocks.norm.0.weight": torch.ones(4)})
    refused("lifting.fcs.0.bias is missing", {key: t for key, t in state.items() if key != "lifting.fcs.0.bias"})
    refused("lifting has 0 layers", {key: t for key, t in state.items() if not key.startswith("lifting")})
    refused("skip='identity'", weights((4, 3), skip="none"))
    refused("mlp_skip='identity'", weights((4, 3), gate="none"))
    refused("cannot hold modes", state, grid_of((4, 7)))
    refused("modes=", state, modes=(4,))
    refused("hold only", state, modes=(8, 4))
    refused("boundaries=", state, boundaries=((0, 1),))
    refused("neither dense", {key.replace("0.weight.tensor", "0.weight.other"): t for key, t in state.items()})
    refused("has 5 axes", {**state, "fno_blocks.convs.0.weight.tensor": torch.zeros(4, 4, 4, 3, 1, dtype=torch.complex64)})
    for name, value in {
        "norm": "group_norm",
        "complex_data": True,
        "preactivation": True,
        "stabilizer": "tanh",
        "resolution_scaling_factor": 2,
        "fno_block_precision": "mixed",
    }.items():
        refused(f"{name}={value!r}", {**state, "_metadata": {name: value}})
    refused("own", {**state, "_metadata": {"positional_embedding": object()}})
    refused("activation 'softplus'", {**state, "_metadata": {"non_linearity": functional.softplus}})
    refused("pad bounded axes", {**state, "_metadata": {"domain_padding": 0.1}})
