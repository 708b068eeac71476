r"""Weights of a spectral layer: what each mode's channels are multiplied by.

A complex weight :math:`W_k=P_k+iQ_k` is kept as real numbers. With the batch's real and imaginary parts stacked as
rows, one real product per mode with :math:`[P_k|Q_k]` gives all four parts of the complex one and reads every weight once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sciml.core.errors import InputError

Pair = tuple[Tensor, Tensor]


class Mixing(nn.Module, ABC):
    """Maps coefficients ``(batch, in_channels, *modes)`` to ``(batch, out_channels, *modes)``, mode by mode.

    Attributes
    ----------
    extents : number of coefficients per axis, 2m - 1 along inner axes and m along the last.
    """

    extents: tuple[int, ...]

    @abstractmethod
    def forward(self, re: Tensor, im: Tensor) -> Pair:
        """Real and imaginary parts of the products."""

    @abstractmethod
    def grow(self, extents: Sequence[int]) -> None:
        """Make room for more modes, whose weights are zero: what the layer computes does not change."""


class Weights(ABC):
    """A kind of weights: makes a :class:`Mixing` for given channels and modes."""

    @abstractmethod
    def build(self, in_channels: int, out_channels: int, extents: tuple[int, ...]) -> Mixing:
        """Freshly drawn weights of zero mean and such a size that a mode's variance passes unchanged."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Name and arguments, for a checkpoint."""


def multiply(re: Tensor, im: Tensor, weight: Tensor) -> Pair:
    """Complex products per mode: ``(batch, in, *modes)`` with ``(*modes, in, 2, out)``."""
    batch, channels, *extents = re.shape
    count, out = math.prod(extents), weight.shape[-1]
    rows = torch.stack([_modes_first(re), _modes_first(im)], -3).reshape(count, 2 * batch, channels)
    products = torch.bmm(rows, weight.reshape(count, channels, 2 * out)).view(*extents, 2, batch, 2, out)
    real = products[..., 0, :, 0, :] - products[..., 1, :, 1, :]
    imag = products[..., 0, :, 1, :] + products[..., 1, :, 0, :]
    return _batch_first(real), _batch_first(imag)


def _modes_first(t: Tensor) -> Tensor:
    return t.permute(*range(2, t.ndim), 0, 1)


def _batch_first(t: Tensor) -> Tensor:
    return t.permute(t.ndim - 2, t.ndim - 1, *range(t.ndim - 2))


def _drawn(shape: Sequence[int], variance: float) -> nn.Parameter:
    return nn.Parameter(torch.randn(tuple(shape)) * math.sqrt(variance))


def _centred(old: Tensor, extents: Sequence[int], first: int) -> Tensor:
    """``old`` inside zeros: in the middle of the inner mode axes and at the beginning of the last (axes from ``first`` on)."""
    shape = list(old.shape)
    shape[first : first + len(extents)] = extents
    grown = old.new_zeros(shape)
    inside: list[slice] = [slice(None)] * first
    for axis, (new, before) in enumerate(zip(extents, old.shape[first:], strict=False)):
        start = 0 if axis == len(extents) - 1 else (new - before) // 2
        inside.append(slice(start, start + before))
    grown[tuple(inside)] = old
    return grown


class Dense(Weights):
    """A full complex matrix for every mode."""

    def build(self, in_channels: int, out_channels: int, extents: tuple[int, ...]) -> Mixing:
        return _Dense(in_channels, out_channels, extents)

    def config(self) -> dict[str, Any]:
        return {"name": "dense"}


class _Dense(Mixing):
    def __init__(self, in_channels: int, out_channels: int, extents: tuple[int, ...]) -> None:
        super().__init__()
        self.extents = extents
        self.weight = _drawn((*extents, in_channels, 2, out_channels), 0.5 / in_channels)

    def forward(self, re: Tensor, im: Tensor) -> Pair:
        return multiply(re, im, self.weight)

    def grow(self, extents: Sequence[int]) -> None:
        self.weight = nn.Parameter(_centred(self.weight.detach(), extents, 0), self.weight.requires_grad)
        self.extents = tuple(extents)


class Separable(Weights):
    """One complex number per mode and channel; channels are not mixed."""

    def build(self, in_channels: int, out_channels: int, extents: tuple[int, ...]) -> Mixing:
        if in_channels != out_channels:
            raise InputError(f"Separable weights keep channels apart: in_channels={in_channels} and out_channels={out_channels} must be equal.")
        return _Separable(in_channels, extents)

    def config(self) -> dict[str, Any]:
        return {"name": "separable"}


class _Separable(Mixing):
    def __init__(self, channels: int, extents: tuple[int, ...]) -> None:
        super().__init__()
        self.extents = extents
        self.weight = _drawn((2, channels, *extents), 0.5)

    def forward(self, re: Tensor, im: Tensor) -> Pair:
        p, q = self.weight[0], self.weight[1]
        return re * p - im * q, re * q + im * p

    def grow(self, extents: Sequence[int]) -> None:
        self.weight = nn.Parameter(_centred(self.weight.detach(), extents, 2), self.weight.requires_grad)
        self.extents = tuple(extents)


class Tucker(Weights):
    r""":math:`W_k=\sum G_{a\dots pq}\,A_{k_1a}\cdots U_{\cdot p}V_{\cdot q}` with a complex core G and real factors.

    Parameters
    ----------
    rank : fraction of each axis's length that the core keeps, in (0, 1].
    """

    def __init__(self, rank: float = 0.5) -> None:
        self.rank = _checked_rank(rank, "Tucker")

    def build(self, in_channels: int, out_channels: int, extents: tuple[int, ...]) -> Mixing:
        return _Tucker(in_channels, out_channels, extents, self.rank)

    def config(self) -> dict[str, Any]:
        return {"name": "tucker", "rank": self.rank}


class _Tucker(Mixing):
    def __init__(self, in_channels: int, out_channels: int, extents: tuple[int, ...], rank: float) -> None:
        super().__init__()
        self.extents = extents
        self.rank = rank
        *kept, into, out = _ranks(rank, (*extents, in_channels, out_channels))
        self.core = _drawn((*kept, into, 2, out), 0.5 / in_channels)
        self.axes = nn.ParameterList([_drawn((n, r), 1.0 / r) for n, r in zip(extents, kept, strict=True)])
        self.lift = _drawn((in_channels, into), 1.0 / into)
        self.project = _drawn((out, out_channels), 1.0 / out)

    def forward(self, re: Tensor, im: Tensor) -> Pair:
        weight = self.core
        for axis, factor in enumerate(self.axes):
            weight = (weight.movedim(axis, -1) @ factor.T).movedim(-1, axis)
        re, im = multiply(_channels(re, self.lift), _channels(im, self.lift), weight)
        return _channels(re, self.project), _channels(im, self.project)

    def grow(self, extents: Sequence[int]) -> None:
        # the rank grows with the modes: new columns of the factors are drawn, and meet zeros in the core
        kept = _ranks(self.rank, extents)
        core = self.core.new_zeros((*kept, *self.core.shape[len(kept) :]))
        core[tuple(slice(n) for n in self.core.shape)] = self.core.detach()
        self.core = nn.Parameter(core, self.core.requires_grad)
        _grow_factors(self.axes, extents)
        for i, (factor, r) in enumerate(zip(self.axes, kept, strict=True)):
            new = torch.randn((factor.shape[0], r - factor.shape[1])).to(factor) / math.sqrt(r)
            self.axes[i] = nn.Parameter(torch.cat([factor.detach(), new], 1), factor.requires_grad)
        self.extents = tuple(extents)


class CP(Weights):
    r""":math:`W_k=\sum_r c_r\,A_{k_1r}B_{k_2r}\cdots U_{\cdot r}V_{\cdot r}` with complex :math:`c_r` and real factors per axis.

    Parameters
    ----------
    rank : number of terms r.
    """

    def __init__(self, rank: int = 64) -> None:
        if rank < 1:
            raise InputError(f"CP: rank={rank} given; at least 1 term is needed.")
        self.rank = int(rank)

    def build(self, in_channels: int, out_channels: int, extents: tuple[int, ...]) -> Mixing:
        return _CP(in_channels, out_channels, extents, self.rank)

    def config(self) -> dict[str, Any]:
        return {"name": "cp", "rank": self.rank}


class _CP(Mixing):
    def __init__(self, in_channels: int, out_channels: int, extents: tuple[int, ...], rank: int) -> None:
        super().__init__()
        self.extents = extents
        self.scale = _drawn((2, rank), 0.5 / in_channels)
        self.axes = nn.ParameterList([_drawn((n, rank), 1.0) for n in extents])
        self.lift = _drawn((in_channels, rank), 1.0)
        self.project = _drawn((rank, out_channels), 1.0 / rank)

    def forward(self, re: Tensor, im: Tensor) -> Pair:
        factor = self.axes[0].T
        for axis in list(self.axes)[1:]:
            factor = factor.unsqueeze(-1) * axis.T.reshape(axis.shape[1], *(1,) * (factor.ndim - 1), axis.shape[0])
        shape = (-1, *(1,) * len(self.extents))
        p, q = self.scale[0].view(shape) * factor, self.scale[1].view(shape) * factor
        a, b = _channels(re, self.lift), _channels(im, self.lift)
        return _channels(a * p - b * q, self.project), _channels(a * q + b * p, self.project)

    def grow(self, extents: Sequence[int]) -> None:
        _grow_factors(self.axes, extents)
        self.extents = tuple(extents)


def _channels(t: Tensor, matrix: Tensor) -> Tensor:
    """``(batch, in, *modes)`` times ``(in, out)``."""
    return (t.movedim(1, -1) @ matrix).movedim(-1, 1)


def _grow_factors(axes: nn.ParameterList, extents: Sequence[int]) -> None:
    for i, (factor, n) in enumerate(zip(axes, extents, strict=True)):
        before = factor.shape[0]
        start = 0 if i == len(extents) - 1 else (n - before) // 2
        grown = factor.new_zeros((n, factor.shape[1]))
        grown[start : start + before] = factor.detach()
        axes[i] = nn.Parameter(grown, factor.requires_grad)


def _ranks(fraction: float, lengths: Sequence[int]) -> list[int]:
    return [max(1, round(fraction * n)) for n in lengths]


def _checked_rank(rank: float, who: str) -> float:
    if not 0 < rank <= 1:
        raise InputError(f"{who}: rank={rank} given; a fraction in (0, 1] is needed.")
    return float(rank)
