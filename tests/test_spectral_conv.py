"""The spectral layer: its definition summed by hand, exactness on every grid, two paths, all kinds of weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from itertools import accumulate

import pytest
import torch
from torch import Tensor

import sciml
from sciml.core.grid import Grid
from sciml.spectral.convolution import SpectralConv, weights_from
from sciml.spectral.mixing import CP, Dense, Separable, Tucker, Weights
from sciml.spectral.resample import resample

CASES = [((32,), (9,)), ((17,), (9,)), ((20, 15), (6, 5)), ((9, 12), (5, 1)), ((12, 10, 9), (4, 3, 5))]
PATHS = ["matrices", "transforms"]
KINDS = [Dense(), Separable(), Tucker(0.6), CP(5)]


def by_hand(u: Tensor, weight: Tensor, modes: Sequence[int], size: Sequence[int]) -> Tensor:
    """The definition: coefficients, products and the real part of the sum over modes, one mode at a time.

    ``weight``: complex ``(*modes, in, out)`` with the order -m+1..m-1 along inner axes.
    """
    space, axes = u.shape[2:], tuple(range(2, u.ndim))
    out = torch.zeros(u.shape[0], weight.shape[-1], *size, dtype=torch.complex128)

    def wave(k: Sequence[int], points: Sequence[int]) -> Tensor:
        phase = torch.zeros((), dtype=torch.float64)
        for ki, n in zip(k, points, strict=True):
            phase = phase.unsqueeze(-1) + 2 * math.pi * ki / n * torch.arange(n, dtype=torch.float64)
        return torch.exp(1j * phase.to(torch.complex128))

    for k in itertools.product(*(range(-m + 1, m) for m in modes[:-1]), range(modes[-1])):
        coefficient = (u * wave([-i for i in k], space)).mean(axes)
        product = coefficient @ weight[tuple(i + m - 1 for i, m in zip(k[:-1], modes, strict=False))][k[-1]]
        part = product.view(*product.shape, *(1,) * len(size)) * wave(k, size)
        # the modes with a negative last index are the conjugates; those with a zero one are their own
        out += part.real if k[-1] == 0 else 2 * part.real
    return out.real


def dense_weight(layer: SpectralConv) -> Tensor:
    weight = layer.mixing.weight
    return torch.complex(weight[..., 0, :], weight[..., 1, :]).detach()


def identity(ndim: int, modes: Sequence[int], dtype: torch.dtype, path: str) -> SpectralConv:
    layer = SpectralConv(1, 1, modes, path=path).to(dtype)
    with torch.no_grad():
        layer.mixing.weight.zero_()
        layer.mixing.weight[..., 0, :] = 1
    return layer


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("space", "modes"), CASES)
def test_layer_is_its_definition(space: tuple[int, ...], modes: tuple[int, ...], path: str) -> None:
    torch.manual_seed(1)
    layer = SpectralConv(2, 3, modes, path=path).double()
    u = torch.randn(2, 2, *space, dtype=torch.float64)
    for size in (space, tuple(n + 6 for n in space)):
        torch.testing.assert_close(layer(u, size), by_hand(u, dense_weight(layer), modes, size), rtol=0, atol=1e-13)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize(("ndim", "sizes"), [(1, (31, 32, 64, 81, 500)), (2, (16, 21, 32, 45)), (3, (11, 12, 17, 20))])
def test_identity_weights_resample_band_limited_fields_exactly(
    ndim: int, sizes: tuple[int, ...], dtype: torch.dtype, tolerance: float, path: str
) -> None:
    m = (min(sizes) + 1) // 2
    generator = torch.Generator().manual_seed(ndim)

    def sampled(n: Sequence[int]) -> Tensor:
        """One random band-limited field, evaluated from its waves in float64."""
        generator.manual_seed(7)
        value = torch.zeros(tuple(n), dtype=torch.float64)
        for _ in range(12):
            k = torch.randint(-m + 1, m, (ndim,), generator=generator).tolist()
            phase = torch.rand((), generator=generator, dtype=torch.float64) * 6
            for ki, ni in zip(k, n, strict=True):
                phase = phase.unsqueeze(-1) + 2 * math.pi * ki / ni * torch.arange(ni, dtype=torch.float64)
            value = value + phase.cos() / 12
        return value[None, None].to(dtype)

    layer = identity(ndim, (m,) * ndim, dtype, path)
    for before, after in itertools.product(sizes, sizes):
        n, target = (before,) * ndim, tuple(after + i for i in range(ndim))
        got = layer(sampled(n), target)
        assert got.dtype == dtype
        assert (got - sampled(target)).abs().max() < tolerance


@pytest.mark.parametrize("path", PATHS)
def test_smaller_grids_get_the_low_pass(path: str) -> None:
    torch.manual_seed(0)
    layer = SpectralConv(1, 1, (9, 8), path=path).double()
    u = torch.randn(1, 1, 33, 33, dtype=torch.float64)
    fine = layer(u, (45, 45))
    # odd sizes have no Nyquist mode, where a low-pass needs a convention
    coarse = resample(fine, Grid((45, 45), (1.0, 1.0)), (7, 9))
    torch.testing.assert_close(layer(u, (7, 9)), coarse, rtol=0, atol=1e-13)


@pytest.mark.parametrize("weights", KINDS, ids=lambda w: type(w).__name__)
@pytest.mark.parametrize(("space", "modes"), CASES)
def test_both_paths_agree_with_gradients(space: tuple[int, ...], modes: tuple[int, ...], weights: Weights) -> None:
    torch.manual_seed(2)
    layers = [SpectralConv(3, 3, modes, weights=weights, path=path).double() for path in PATHS]
    layers[1].load_state_dict(layers[0].state_dict())
    u = torch.randn(2, 3, *space, dtype=torch.float64)
    probe = torch.randn(2, 3, *space, dtype=torch.float64)
    results = []
    for layer in layers:
        v = u.clone().requires_grad_()
        (layer(v) * probe).sum().backward()
        results.append([v.grad, *(p.grad for p in layer.parameters())])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


def reconstructed(layer: SpectralConv) -> Tensor:
    """The dense complex weight that a factorised one stands for, by its formula."""
    mix, letters = layer.mixing, "abc"[: len(layer.modes)]
    if isinstance(layer.weights, Separable):
        value = torch.complex(mix.weight[0], mix.weight[1])
        return torch.diag_embed(value.movedim(0, -1))
    axes = [axis.to(torch.complex128) for axis in mix.axes]
    if isinstance(layer.weights, CP):
        terms = ",".join(f"{x}r" for x in letters)
        scale = torch.complex(mix.scale[0], mix.scale[1])
        return torch.einsum(f"r,{terms},ir,ro->{letters}io", scale, *axes, mix.lift + 0j, mix.project + 0j)
    core = torch.complex(mix.core[..., 0, :], mix.core[..., 1, :])
    upper = letters.upper()
    terms = ",".join(f"{x}{y}" for x, y in zip(letters, upper, strict=True))
    return torch.einsum(f"{upper}pq,{terms},ip,qo->{letters}io", core, *axes, mix.lift + 0j, mix.project + 0j)


@pytest.mark.parametrize("weights", KINDS[1:], ids=lambda w: type(w).__name__)
@pytest.mark.parametrize(("space", "modes"), CASES)
def test_factorised_weights_are_their_formula(space: tuple[int, ...], modes: tuple[int, ...], weights: Weights) -> None:
    torch.manual_seed(3)
    layer = SpectralConv(2, 2, modes, weights=weights).double()
    u = torch.randn(2, 2, *space, dtype=torch.float64)
    torch.testing.assert_close(layer(u), by_hand(u, reconstructed(layer).detach(), modes, space), rtol=0, atol=1e-12)


@pytest.mark.parametrize("weights", KINDS, ids=lambda w: type(w).__name__)
def test_growing_changes_nothing_until_trained(weights: Weights) -> None:
    torch.manual_seed(4)
    layer = SpectralConv(2, 2, (3, 4), weights=weights).double()
    u = torch.randn(1, 2, 20, 21, dtype=torch.float64)
    before = layer(u)
    assert layer.grow((5, 4)) is layer and layer.modes == (5, 4)
    torch.testing.assert_close(layer(u), before, rtol=0, atol=1e-13)
    layer(u).square().sum().backward()
    assert sum(p.numel() for p in layer.parameters()) > 0 and all(torch.isfinite(p.grad).all() for p in layer.parameters())
    same = SpectralConv(2, 2, (5, 4), weights=weights).double()
    same.load_state_dict(layer.state_dict())
    assert torch.equal(same(u), layer(u))
    with pytest.raises(sciml.InputError, match="modes can only be added"):
        layer.grow((4, 4))


@pytest.mark.parametrize(("space", "modes"), CASES)
def test_scattered_points_lie_on_the_same_function(space: tuple[int, ...], modes: tuple[int, ...]) -> None:
    torch.manual_seed(5)
    layer = SpectralConv(2, 3, modes).double()
    u = torch.randn(2, 2, *space, dtype=torch.float64)
    size = tuple(n + 3 for n in space)
    mesh = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) / n for n in size), indexing="ij")
    found = layer.at(u, [x.reshape(-1) for x in mesh])
    torch.testing.assert_close(found.view(2, 3, *size), layer(u, size), rtol=0, atol=1e-12)
    shifted = layer.at(u, [x.reshape(-1) + 2 for x in mesh])
    torch.testing.assert_close(shifted, found, rtol=0, atol=1e-11)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("space", "modes"), CASES)
def test_no_samples_give_no_samples(space: tuple[int, ...], modes: tuple[int, ...], path: str) -> None:
    assert SpectralConv(2, 3, modes, path=path)(torch.zeros(0, 2, *space)).shape == (0, 3, *space)


def test_variance_of_a_mode_passes_unchanged() -> None:
    torch.manual_seed(6)
    u = torch.randn(64, 48, 40)
    for weights in (Dense(), Separable()):
        v = SpectralConv(48, 48, (20,), weights=weights)(u)
        assert v.var().item() == pytest.approx(u.var().item(), rel=0.05)
        assert abs(v.mean().item()) < 0.02


@pytest.mark.parametrize("path", PATHS)
def test_compilers_and_function_transforms_see_through_it(path: str) -> None:
    torch.manual_seed(7)
    u = torch.randn(2, 2, 16, 12)
    layer = SpectralConv(2, 2, (4, 3), path=path)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(u, (20, 20)), layer(u, (20, 20)))

    def one(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(layer, parameters, (x[None],))[0]

    torch.testing.assert_close(torch.func.vmap(one, in_dims=(None, 0))(dict(layer.named_parameters()), u), layer(u))
    tangent = torch.func.jvp(layer, (u,), (torch.ones_like(u),))[1]
    torch.testing.assert_close(tangent, layer(torch.ones_like(u)))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("space", "modes"), [((7,), (4,)), ((8,), (3,)), ((5, 6), (3, 3)), ((3, 4, 3), (2, 2, 2))])
def test_first_and_second_derivatives_are_those_of_differences(space: tuple[int, ...], modes: tuple[int, ...], path: str) -> None:
    torch.manual_seed(10)
    layer = SpectralConv(2, 2, modes, path=path).double()
    u = torch.randn(1, 2, *space, dtype=torch.float64, requires_grad=True)
    weight = layer.mixing.weight

    def through(u: Tensor, weight: Tensor) -> Tensor:
        return torch.as_tensor(torch.func.functional_call(layer, {"mixing.weight": weight}, (u, tuple(n + 1 for n in space))))

    assert torch.autograd.gradcheck(through, (u, weight), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(through, (u, weight))


@pytest.mark.parametrize("path", PATHS)
def test_gradients_of_the_compiled_layer_are_its_own(path: str) -> None:
    torch.manual_seed(11)
    layer = SpectralConv(2, 2, (4, 3), path=path)
    found = []
    for made in (layer, torch.compile(layer, backend="aot_eager", fullgraph=True)):
        u = torch.linspace(-1, 1, 2 * 2 * 16 * 12).view(2, 2, 16, 12).sin().requires_grad_()
        found.append(torch.autograd.grad(made(u).square().sum(), [u, *layer.parameters()]))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("space", "modes"), [((2048,), (16,)), ((128, 128), (32, 32)), ((128, 128), (8, 8)), ((32, 32, 32), (6, 6, 6))])
def test_forward_and_backward_need_no_more_memory_than_full_transforms(space: tuple[int, ...], modes: tuple[int, ...], path: str) -> None:
    u = torch.randn(2, 8, *space, requires_grad=True)
    layer = SpectralConv(8, 8, modes, path=path)
    weight = torch.randn(8, 8, *modes, dtype=torch.complex64, requires_grad=True)
    axes = tuple(range(-len(space), 0))

    def full(u: Tensor) -> Tensor:
        kept = torch.fft.rfftn(u, dim=axes)[(..., *(slice(m) for m in modes))]
        spectrum = torch.zeros(2, 8, *space[:-1], space[-1] // 2 + 1, dtype=torch.complex64)
        spectrum[(..., *(slice(m) for m in modes))] = torch.einsum("bi...,io...->bo...", kept, weight)
        return torch.fft.irfftn(spectrum, space, dim=axes)

    assert peak_bytes(layer, u) <= peak_bytes(full, u)


def peak_bytes(work: Callable[[Tensor], Tensor], u: Tensor) -> int:
    """The most bytes alive at once while ``work`` goes forward and backward."""
    ones = torch.ones_like(u)
    work(u).backward(ones)
    u.grad = None
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as recorded:
        work(u).backward(ones)
    events = sorted((e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"), key=lambda e: e.start_ns())
    return max(accumulate(e.nbytes() for e in events))


def test_lower_precision_stays_close() -> None:
    torch.manual_seed(8)
    u = torch.randn(4, 8, 32, 32)
    layer = SpectralConv(8, 8, (6, 6))
    exact = layer(u)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = layer(u)
    assert low.dtype == torch.bfloat16
    assert ((low.float() - exact).norm() / exact.norm()).item() < 2e-2
    half = layer.to(torch.bfloat16)(u.to(torch.bfloat16))
    assert half.dtype == torch.bfloat16 and ((half.float() - exact).norm() / exact.norm()).item() < 3e-2


@pytest.mark.parametrize("weights", KINDS, ids=lambda w: type(w).__name__)
@pytest.mark.parametrize("path", [*PATHS, None])
def test_autocast_takes_all_weights_and_paths(weights: Weights, path: str | None) -> None:
    torch.manual_seed(9)
    u, layer = torch.randn(2, 4, 16, 16), SpectralConv(4, 4, (5, 5), weights=weights, path=path)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = layer(u)
    assert ((low.float() - layer(u)).norm() / layer(u).norm()).item() < 3e-2


def test_positions_keep_their_precision_where_fields_do_not() -> None:
    torch.manual_seed(10)
    u, points, layer = torch.randn(1, 1, 64), torch.rand(500), SpectralConv(1, 1, 16)
    exact = layer.at(u, [points])
    low = layer.to(torch.bfloat16).at(u.to(torch.bfloat16), [points])
    assert low.dtype == torch.bfloat16 and ((low.float() - exact).norm() / exact.norm()).item() < 2e-2


def test_configuration_makes_the_same_layer() -> None:
    for weights in KINDS:
        layer = SpectralConv(2, 2, (3, 2), weights=weights, path="matrices")
        config = layer.config()
        config["weights"] = weights_from(config["weights"])
        again = SpectralConv(**config)
        again.load_state_dict(layer.state_dict())
        assert again.config() == layer.config()
    with pytest.raises(sciml.InputError, match="known: dense"):
        weights_from({"name": "sparse"})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpectralConv(0, 1, 3), "at least 1 is needed"),
        (lambda: SpectralConv(1, 1, (3, 0)), "one positive number per axis"),
        (lambda: SpectralConv(1, 1, (2, 2, 2, 2)), "one to three axes"),
        (lambda: SpectralConv(1, 1, 3, path="fft"), "choose matrices or transforms"),
        (lambda: SpectralConv(1, 2, 3, weights=Separable()), "must be equal"),
        (lambda: SpectralConv(1, 1, 3, weights=CP(0)), "at least 1 term"),
        (lambda: SpectralConv(1, 1, 3, weights=Tucker(0.0)), "a fraction in"),
        (lambda: SpectralConv(1, 1, 3)(torch.zeros(1, 1, 4)), r"cannot hold modes=\(3,\); at least \(5,\)"),
        (lambda: SpectralConv(2, 1, 3)(torch.zeros(1, 1, 8)), r"\(batch, 2, \*space\)"),
        (lambda: SpectralConv(1, 1, 3)(torch.zeros(1, 8)), "with 1 space axes"),
        (lambda: SpectralConv(1, 1, 3)(torch.zeros(1, 1, 8, dtype=torch.float64)), r"layer.double\(\)"),
        (lambda: SpectralConv(1, 1, 3)(torch.zeros(1, 1, 8, dtype=torch.int64)), "real floating type"),
        (lambda: SpectralConv(1, 1, 3)(torch.zeros(1, 1, 8), (8, 8)), "1 positive numbers"),
        (lambda: SpectralConv(1, 1, 3).at(torch.zeros(1, 1, 8), [torch.zeros(2, 2)]), "one common shape"),
    ],
)
def test_what_does_not_fit_is_refused(make, message: str) -> None:
    with pytest.raises(sciml.InputError, match=message):
        make()
