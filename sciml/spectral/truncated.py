r"""The lowest modes of a periodic field by matrix products, and back: two of the ways to evaluate a spectral layer.

Coefficients are held as their real and imaginary parts, two tensors ``(batch, channel, *modes)``: along the last axis
modes 0..m-1 (the field is real), along the others -m+1..m-1 in this order. Both ways give the same numbers:

- by **matrices**: one real product per axis with the cosines and sines of the kept modes alone. Along an inner axis
  the modes k and -k share their products, since :math:`\cos` is even and :math:`\sin` odd. No complex number occurs,
  so that this compiles, runs in lower precision and on devices without complex types; any target grid costs the same.
- by **fast transforms**, cropped after each axis, which is cheaper where a large part of all modes is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sciml.spectral.waves import analysis, at_points, synthesis

Pair = tuple[Tensor, Tensor]


def analyse_by_matrices(u: Tensor, modes: Sequence[int]) -> Pair:
    """Coefficients of the modes below ``modes`` of ``u``, ``(batch, channel, *space)``."""
    batch, channels, *space = u.shape
    last = modes[-1]
    v = u @ analysis(space[-1], last, u, inner=False)
    if len(space) == 1:
        return v[..., :last], v[..., last:]
    tail: list[int] = []
    for axis in range(len(space) - 2, -1, -1):
        m, n = modes[axis], space[axis]
        groups, rest = batch * channels * math.prod(space[:axis]), math.prod(tail)
        products = (analysis(n, m, u, inner=True) @ v.reshape(groups, n, rest * 2 * last)).view(groups, 2, m, rest, 2, last)
        cos_re, cos_im, sin_re, sin_im = products[:, 0, ..., 0, :], products[:, 0, ..., 1, :], products[:, 1, ..., 0, :], products[:, 1, ..., 1, :]
        # (C - iS)(Re + i Im) for k >= 0; S changes sign for -k
        re = torch.cat([(cos_re - sin_im)[:, 1:].flip(1), cos_re + sin_im], 1)
        im = torch.cat([(cos_im + sin_re)[:, 1:].flip(1), cos_im - sin_re], 1)
        tail = [2 * m - 1, *tail]
        if axis:
            v = torch.stack([re, im], -2)
    return re.view(batch, channels, *tail, last), im.view(batch, channels, *tail, last)


def synthesise_by_matrices(re: Tensor, im: Tensor, size: Sequence[int]) -> Tensor:
    """The field with these coefficients on a grid of ``size`` points, ``(batch, channel, *size)``."""
    batch, channels, *kept, last = re.shape
    v = torch.stack([re, im], -2)
    for axis, n in enumerate(size[:-1]):
        groups, m, rest = batch * channels * math.prod(size[:axis]), (kept[axis] + 1) // 2, math.prod(kept[axis + 1 :])
        v = v.reshape(groups, kept[axis], rest, 2, last)
        v = synthesis(n, m, v, inner=True) @ _even_and_odd(v, m).view(groups, 2 * m, rest * 2 * last)
    return v.reshape(batch, channels, *size[:-1], 2 * last) @ synthesis(size[-1], last, v, inner=False)


def synthesise_at_points(re: Tensor, im: Tensor, points: Sequence[Tensor]) -> Tensor:
    """The field with these coefficients at scattered points, ``(batch, channel, points)``; positions are fractions of the period.

    Angles are formed in the precision of the positions, single at least, and their cosines and sines rounded to that of the coefficients.
    """
    _, _, *kept, last = re.shape
    cos, sin = at_points(points[-1], last, re)
    weight = torch.full((last,), 2.0, dtype=re.dtype, device=re.device)
    weight[0] = 1.0
    cos, sin = (cos * weight).T, (sin * weight).T
    # the last axis first: every remaining mode becomes a complex number per point
    a, b = re @ cos - im @ sin, re @ sin + im @ cos
    for axis in range(len(kept) - 1, -1, -1):
        m = (kept[axis] + 1) // 2
        cos, sin = at_points(points[axis], m, re)
        c = torch.cat([cos[:, 1:].flip(1), cos], 1).T
        s = torch.cat([-sin[:, 1:].flip(1), sin], 1).T
        a, b = (a * c - b * s).sum(-2), (a * s + b * c).sum(-2)
    return a


def _even_and_odd(v: Tensor, m: int) -> Tensor:
    """What cosines and sines of modes 0..m-1 multiply in a sum over -m+1..m-1, ``(groups, modes, rest, 2, last)`` -> 2m rows."""
    plus, minus = v[:, m - 1 :], v[:, : m - 1].flip(1)
    odd = plus[:, 1:] - minus
    # i S (Re + i Im): the sines of mode 0 vanish, whatever stands there
    odd = torch.stack([-odd[..., 1, :], odd[..., 0, :]], -2)
    return torch.cat([plus[:, :1], plus[:, 1:] + minus, plus[:, :1], odd], 1)


class _Lowest(torch.autograd.Function):
    """The modes 0..m-1 along the last axis by a fast transform.

    Its adjoint is an inverse transform of these modes. Autograd's own would fill the whole complex spectrum of both signs with zeros and
    transform that: four times the memory of the field.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, modes: int) -> Tensor:
        return _lowest(u, modes)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        ctx.points, ctx.modes = inputs[0].shape[-1], inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (g,) = gradients
        # each mode but 0 stands for its conjugate too in the inverse transform, and for itself alone here
        half = torch.cat([g[..., :1], 0.5 * g[..., 1:]], -1)
        return torch.fft.irfft(half, ctx.points), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return _lowest(tangents[0], ctx.modes)


def _lowest(u: Tensor, modes: int) -> Tensor:
    return torch.fft.rfft(u, norm="forward")[..., :modes]


def analyse_by_transforms(u: Tensor, modes: Sequence[int]) -> Pair:
    """The same coefficients as :func:`analyse_by_matrices`."""
    # compilers cannot trace a function with a forward derivative of its own, and plan memory themselves
    c = _lowest(u, modes[-1]) if torch.compiler.is_compiling() else torch.as_tensor(_Lowest.apply(u, modes[-1]))
    inner = len(modes) - 1
    for axis in range(inner - 1, -1, -1):
        dim, m = axis - inner - 1, modes[axis]
        c = torch.fft.fft(c, dim=dim, norm="forward")
        n = c.shape[dim]
        c = torch.cat([c.narrow(dim, n - m + 1, m - 1), c.narrow(dim, 0, m)], dim)
    parts = torch.view_as_real(c)
    return parts[..., 0], parts[..., 1]


def synthesise_by_transforms(re: Tensor, im: Tensor, size: Sequence[int]) -> Tensor:
    """The same field as :func:`synthesise_by_matrices`."""
    c = torch.complex(re, im)
    inner = len(size) - 1
    for axis, n in enumerate(size[:-1]):
        dim = axis - inner - 1
        m = (c.shape[dim] + 1) // 2
        gap = c.new_zeros([n - 2 * m + 1 if d == axis + 2 else length for d, length in enumerate(c.shape)])
        c = torch.fft.ifft(torch.cat([c.narrow(dim, m - 1, m), gap, c.narrow(dim, 0, m - 1)], dim), dim=dim, norm="forward")
    return torch.fft.irfft(c, size[-1], norm="forward")
