"""Weights of neuraloperator's FNO (2.0) as weights of ours: names, layouts, and what cannot be represented."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.core.grid import Grid

WHO = "FNO.from_neuraloperator"
# their argument: the values that need nothing of ours
PLAIN: dict[str, tuple[Any, ...]] = {
    "norm": (None,),
    "complex_data": (False,),
    "preactivation": (False,),
    "stabilizer": (None,),
    "resolution_scaling_factor": (None, 1),
    "fno_block_precision": ("full",),
}
SKIP_NAMES = {"linear": "linear", "soft-gating": "gate", "identity": "identity", None: "none"}
ACTIVATION_NAMES = {"gelu": "gelu", "relu": "relu", "silu": "silu", "tanh": "tanh", "GELU": "gelu", "ReLU": "relu", "SiLU": "silu", "Tanh": "tanh"}


class Read(NamedTuple):
    """Constructor arguments of our FNO, and its state dict."""

    arguments: dict[str, Any]
    state: dict[str, Tensor]


def read_weights(
    state_dict: Mapping[str, Any],
    grid: Grid,
    *,
    modes: Sequence[int] | None,
    activation: str | None,
    skip: str | None,
    mlp_skip: str | None,
    coordinates: bool | None,
    boundaries: Sequence[Sequence[float]] | None,
    padding: float | Sequence[float] | None,
) -> Read:
    """What :meth:`sciml.FNO.from_neuraloperator` needs; raise :class:`InputError` for what ours cannot represent."""
    theirs = state_dict.get("_metadata")
    settings: dict[str, Any] = dict(theirs) if isinstance(theirs, Mapping) else {}
    _check_settings(settings)
    tensors = _Tensors(state_dict, grid.dtype)
    depth = tensors.count(r"fno_blocks\.convs\.(\d+)\.bias")
    if depth == 0:
        raise InputError(f"{WHO}: no entries fno_blocks.convs.0...; give the state_dict() of neuraloperator's FNO.")
    ndim = tensors.peek("fno_blocks.convs.0.bias").ndim - 1
    if ndim != grid.ndim:
        raise InputError(f"{WHO}: weights for {ndim} axes and a grid of {grid.ndim} given; they must be equal.")
    appended = _coordinates(coordinates, settings, boundaries)
    lifting = tensors.perceptron("lifting", "lift")
    if appended:
        _rescale(lifting, boundaries, ndim)
    state = {**lifting, **tensors.perceptron("projection", "project")}
    width = tensors.peek("fno_blocks.convs.0.bias").shape[0]
    kinds = [
        (tensors.kind("fno_skips", skip, "fno_skip", settings), "fno_skips", "skip"),
        (tensors.kind("channel_mlp_skips", mlp_skip, "channel_mlp_skip", settings), "channel_mlp_skips", "mlp_skip"),
    ]
    has_mlp = "fno_blocks.channel_mlp.0.fcs.0.weight" in tensors.left
    kept = modes if modes is not None else settings.get("n_modes")
    shape: tuple[int, ...] = ()
    weights = "dense"
    for n in range(depth):
        block = f"blocks.{n}"
        state[f"{block}.bias"] = tensors.take(f"fno_blocks.convs.{n}.bias").flatten()
        matrix, weights = tensors.spectral(f"fno_blocks.convs.{n}.weight", ndim)
        matrix = _cropped(matrix, kept, ndim)
        shape = tuple(matrix.shape[-ndim:])
        state[f"{block}.conv.mixing.weight"] = _separable(matrix, grid.dtype, ndim) if weights == "separable" else _dense(matrix, grid.dtype, ndim)
        if has_mlp:
            state.update(tensors.perceptron(f"fno_blocks.channel_mlp.{n}", f"{block}.mlp"))
        for kind, there, here in kinds[: 1 + has_mlp]:
            if kind == "linear":
                state[f"{block}.{here}.map.weight"] = tensors.take(f"fno_blocks.{there}.{n}.conv.weight").squeeze(-1)
            elif kind == "gate":
                state[f"{block}.{here}.weight"] = tensors.take(f"fno_blocks.{there}.{n}.weight").flatten()
    if tensors.left:
        raise InputError(f"{WHO}: entries without a counterpart: {', '.join(sorted(tensors.left)[:6])}; there are no norms or complex layers here.")
    out_channels = state[_last(state, "project")].shape[0]
    channels = state["lift.layers.0.weight"].shape[1] - (ndim if appended else 0)
    for name, number in (("before", channels), ("after", out_channels)):
        state[f"{name}.mean"], state[f"{name}.std"] = torch.zeros(number), torch.ones(number)
    arguments = {
        "channels": channels,
        "out_channels": out_channels,
        "modes": [*(n // 2 + 1 for n in shape[:-1]), shape[-1]],
        "width": width,
        "depth": depth,
        "activation": _activation(activation, settings),
        "mlp_activation": "gelu",  # whatever that of the layers is
        "twice": not has_mlp,  # after the skip, and again where the perceptron would have been
        "skip": kinds[0][0],
        "mlp": state["blocks.0.mlp.layers.0.weight"].shape[0] / width if has_mlp else 0.0,
        "mlp_skip": kinds[1][0] if has_mlp else "none",
        "lifting": state["lift.layers.0.weight"].shape[0] if "lift.layers.2.weight" in state else 0,
        "projection": state["project.layers.0.weight"].shape[0] if "project.layers.2.weight" in state else 0,
        "coordinates": "index" if appended else "none",
        "padding": _padding(padding, settings, ndim),
        "weights": {"name": weights},
    }
    return Read(arguments, state)


class _Tensors:
    """The tensors of a state dict, each to be taken once."""

    def __init__(self, state_dict: Mapping[str, Any], dtype: torch.dtype) -> None:
        self.left = {name: value for name, value in state_dict.items() if isinstance(value, Tensor)}
        self.dtype = dtype

    def count(self, pattern: str) -> int:
        return len([name for name in self.left if re.fullmatch(pattern, name)])

    def peek(self, name: str) -> Tensor:
        if name not in self.left:
            raise InputError(f"{WHO}: the entry {name} is missing; give the whole state_dict() of neuraloperator's FNO.")
        return self.left[name]

    def take(self, name: str) -> Tensor:
        value = self.peek(name)
        del self.left[name]
        return value.detach() if value.is_complex() else value.detach().to("cpu", self.dtype)

    def perceptron(self, there: str, here: str) -> dict[str, Tensor]:
        """Its layers are numbered 0 and 1; ours 0 and 2, the activation between them."""
        found: dict[str, Tensor] = {}
        for n in range(self.count(rf"{re.escape(there)}\.fcs\.(\d+)\.weight")):
            found[f"{here}.layers.{2 * n}.weight"] = self.take(f"{there}.fcs.{n}.weight").squeeze(-1)
            found[f"{here}.layers.{2 * n}.bias"] = self.take(f"{there}.fcs.{n}.bias")
        if not 1 <= len(found) // 2 <= 2:
            raise InputError(f"{WHO}: {there} has {len(found) // 2} layers; one or two can be represented.")
        return found

    def kind(self, entry: str, given: str | None, argument: str, settings: dict[str, Any]) -> str:
        """Which skip connection there is: shown by the weights, or else by the argument here or there."""
        if f"fno_blocks.{entry}.0.conv.weight" in self.left:
            return "linear"
        if f"fno_blocks.{entry}.0.weight" in self.left:
            return "gate"
        if entry == "channel_mlp_skips" and "fno_blocks.channel_mlp.0.fcs.0.weight" not in self.left:
            return "none"
        named = given if given is not None else SKIP_NAMES.get(settings[argument]) if argument in settings else None
        if named not in ("identity", "none"):
            ours = {"fno_skip": "skip", "channel_mlp_skip": "mlp_skip"}[argument]
            raise InputError(f"{WHO}: the weights hold no {entry}; say with {ours}='identity' or {ours}='none' which of the two the model had.")
        return named

    def spectral(self, prefix: str, ndim: int) -> tuple[Tensor, str]:
        """The spectral weights of one layer as one complex tensor, and whether they are "dense" or "separable"."""
        if f"{prefix}.tensor" in self.left:
            full = self.take(f"{prefix}.tensor")
        else:
            count = self.count(rf"{re.escape(prefix)}\.factors\.factor_(\d+)")
            if count == 0:
                raise InputError(f"{WHO}: {prefix} is neither dense nor in Tucker, CP or tensor-train form; these are what can be read.")
            factors = [self.take(f"{prefix}.factors.factor_{n}") for n in range(count)]
            if f"{prefix}.core" in self.left:
                full = _tucker(self.take(f"{prefix}.core"), factors)
            elif f"{prefix}.weights" in self.left:
                full = _sum_of_products(self.take(f"{prefix}.weights"), factors)
            else:
                full = _train(factors)
        if full.ndim not in (ndim + 1, ndim + 2):
            raise InputError(f"{WHO}: {prefix} has {full.ndim} axes; {ndim + 2} (dense) or {ndim + 1} (separable) are expected here.")
        return full.to("cpu", torch.complex128), "dense" if full.ndim == ndim + 2 else "separable"


def _tucker(core: Tensor, factors: list[Tensor]) -> Tensor:
    for axis, factor in enumerate(factors):
        core = torch.tensordot(factor, core, dims=([1], [axis])).movedim(0, axis)
    return core


def _sum_of_products(scale: Tensor, factors: list[Tensor]) -> Tensor:
    full = scale
    for factor in factors:
        full = full.unsqueeze(-2) * factor
    return full.sum(-1)


def _train(factors: list[Tensor]) -> Tensor:
    full = factors[0]
    for factor in factors[1:]:
        full = torch.tensordot(full, factor, dims=1)
    return full.squeeze(0).squeeze(-1)


def _cropped(matrix: Tensor, modes: Sequence[int] | None, ndim: int) -> Tensor:
    """The centred part of weights with room for more modes than the model uses."""
    if modes is None:
        return matrix
    wanted = [int(n) for n in ([modes] if isinstance(modes, int) else modes)]
    if len(wanted) != ndim or min(wanted) < 1:
        raise InputError(f"{WHO}: modes={list(wanted)} given for {ndim} axes; one positive number per axis is needed, as in n_modes.")
    for axis, n in enumerate(wanted):
        dim, last = axis - ndim, axis == ndim - 1
        n = n // 2 + 1 if last else n
        spare = matrix.shape[dim] - n
        if spare < 0:
            raise InputError(f"{WHO}: modes={list(wanted)} given, but the weights hold only {list(matrix.shape[-ndim:])} along their axes.")
        matrix = matrix.narrow(dim, 0 if last else spare // 2, n)
    return matrix


def _all_signs(matrix: Tensor, ndim: int) -> Tensor:
    """Zero weight for the mode n/2 of inner axes with an even number of modes, -n/2..n/2-1."""
    for axis in range(-ndim, -1):
        if matrix.shape[axis] % 2 == 0:
            edge = list(matrix.shape)
            edge[axis] = 1
            matrix = torch.cat([matrix, matrix.new_zeros(edge)], axis)
    return matrix


def _dense(matrix: Tensor, dtype: torch.dtype, ndim: int) -> Tensor:
    """``(in, out, *modes)`` complex -> ``(*modes, in, 2, out)`` real."""
    full = _all_signs(matrix, ndim).permute(*range(2, ndim + 2), 0, 1)
    return torch.stack([full.real, full.imag], -2).to(dtype)


def _separable(matrix: Tensor, dtype: torch.dtype, ndim: int) -> Tensor:
    """``(channels, *modes)`` complex -> ``(2, channels, *modes)`` real."""
    full = _all_signs(matrix, ndim)
    return torch.stack([full.real, full.imag]).to(dtype)


def _check_settings(settings: dict[str, Any]) -> None:
    for name, plain in PLAIN.items():
        if name in settings and settings[name] not in plain:
            raise InputError(f"{WHO}: the model was made with {name}={settings[name]!r}, which this class does not have; {plain[0]!r} is needed.")


def _coordinates(given: bool | None, settings: dict[str, Any], boundaries: Sequence[Sequence[float]] | None) -> bool:
    if given is not None:
        return given
    kind = settings.get("positional_embedding", "grid")
    if kind not in (None, "grid") and boundaries is None:
        raise InputError(f"{WHO}: the model has an embedding of its own ({type(kind).__name__}); give its boundaries=((0, 1), ...).")
    return kind is not None


def _rescale(lifting: dict[str, Tensor], boundaries: Sequence[Sequence[float]] | None, ndim: int) -> None:
    """Fold coordinates from a to b into weights for coordinates from 0 to 1."""
    if boundaries is None:
        return
    ends = torch.as_tensor(boundaries, dtype=torch.float64)
    if ends.shape != (ndim, 2):
        raise InputError(f"{WHO}: boundaries={boundaries} given; one pair (start, end) for each of {ndim} axes is needed.")
    weight = lifting["lift.layers.0.weight"].double()
    columns = weight[:, -ndim:]
    bias = lifting["lift.layers.0.bias"].double() + columns @ ends[:, 0]
    scaled = torch.cat([weight[:, :-ndim], columns * (ends[:, 1] - ends[:, 0])], 1)
    lifting["lift.layers.0.weight"], lifting["lift.layers.0.bias"] = (t.to(lifting["lift.layers.0.weight"].dtype) for t in (scaled, bias))


def _activation(given: str | None, settings: dict[str, Any]) -> str:
    if given is not None:
        return given
    function: Callable[..., Any] | None = settings.get("non_linearity")
    if function is None:
        return "gelu"
    name = getattr(function, "__name__", type(function).__name__)
    if name not in ACTIVATION_NAMES:
        raise InputError(f"{WHO}: the model's activation {name!r} is not known; give activation='gelu', 'relu', 'silu' or 'tanh'.")
    return ACTIVATION_NAMES[name]


def _padding(given: float | Sequence[float] | None, settings: dict[str, Any], ndim: int) -> list[float]:
    padding = given if given is not None else settings.get("domain_padding")
    if padding is None:
        return [0.0] * ndim
    return [float(padding)] * ndim if isinstance(padding, int | float) else [float(p) for p in padding]


def _last(state: dict[str, Tensor], name: str) -> str:
    return f"{name}.layers.2.weight" if f"{name}.layers.2.weight" in state else f"{name}.layers.0.weight"
