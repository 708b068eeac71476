"""Exact resampling of periodic fields: to another uniform grid, or to scattered points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.core.grid import Grid

CHUNK = 2**22
"""Largest number of intermediate values that :func:`evaluate` holds at once."""


def resample(u: Tensor, grid: Grid, shape: Sequence[int] | int) -> Tensor:
    r"""The trigonometric interpolant of ``u`` sampled on a grid of ``shape`` over the same domain.

    Exact for band-limited fields, in one to three dimensions, to more or fewer points, odd or even. The Nyquist mode
    of an even axis is the cosine :math:`\tfrac12(e^{ik_Nx}+e^{-ik_Nx})`: going up it is split over both signs, going
    down the two are added, so that up and back down returns ``u`` itself whatever it holds.

    Parameters
    ----------
    u : ``(..., *grid.shape)``, float32 or float64; differentiable.
    grid : periodic; sample 0 stays where it is.
    shape : samples per axis (one number for all axes).
    """
    _check(u, grid, "resample")
    target = (shape,) * grid.ndim if isinstance(shape, int) else tuple(int(n) for n in shape)
    if len(target) != grid.ndim or min(target) < 1:
        raise InputError(f"resample: shape={shape} for a grid of shape {grid.shape}; give {grid.ndim} positive sizes.")
    # Shrinking axes first keeps the intermediate arrays small; the axes commute because each map acts on one axis only.
    for axis in sorted(range(grid.ndim), key=lambda a: target[a] / grid.shape[a]):
        u = _resample_axis(u, axis - grid.ndim, target[axis])
    return u


def _resample_axis(u: Tensor, axis: int, m: int) -> Tensor:
    n = u.shape[axis]
    if m == n:
        return u
    c = torch.fft.rfft(u.movedim(axis, -1), norm="forward")[..., : m // 2 + 1]
    edge = min(m, n)
    if edge % 2 == 0:
        # The real transform stores one number for k_N: half of it belongs to each sign when the grid grows beyond
        # k_N, and both signs fall together when the new grid ends there.
        weight = torch.ones(c.shape[-1], dtype=u.dtype, device=u.device)
        weight[edge // 2] = 0.5 if m > n else 2.0
        c = c * weight
    return torch.fft.irfft(c, m, norm="forward").movedim(-1, axis)


def evaluate(u: Tensor, grid: Grid, points: Sequence[Tensor]) -> Tensor:
    r"""The trigonometric interpolant of ``u`` at scattered points, :math:`\sum_k \hat u_k e^{ik\cdot(x-o)}`.

    Costs (number of points) x (number of modes) operations; points are taken in chunks to bound memory.

    Parameters
    ----------
    u : ``(..., *grid.shape)``.
    grid : periodic.
    points : one tensor of shape ``(n,)`` per axis, anywhere on the line (the field repeats); differentiable.

    Returns
    -------
    ``(..., n)``.
    """
    _check(u, grid, "evaluate")
    if len(points) != grid.ndim or any(p.ndim != 1 or p.shape != points[0].shape for p in points):
        shapes = [tuple(p.shape) for p in points]
        raise InputError(f"evaluate: points of shapes {shapes}; give {grid.ndim} tensors of one common shape (n,), one per axis.")
    axes = tuple(range(-grid.ndim, 0))
    c = torch.fft.rfftn(u, dim=axes, norm="forward")
    width = max(1, c.numel() // c.shape[-1], max(grid.shape))
    chunk = max(1, CHUNK // width)
    pieces = [_evaluate(c, grid, part) for part in zip(*(torch.split(p.to(u.dtype), chunk) for p in points), strict=True)]
    return torch.cat(pieces, dim=-1)


def _evaluate(c: Tensor, grid: Grid, points: tuple[Tensor, ...]) -> Tensor:
    """Contract the coefficients with one matrix of waves per axis, the last (half) axis first."""
    value = c
    for axis in reversed(range(grid.ndim)):
        waves = _waves(grid, axis, points[axis], c.dtype)
        # (..., modes of the other axes, modes of the last) -> (..., modes of the other axes, n) -> ... -> (..., n)
        value = value @ waves if axis == grid.ndim - 1 else (value * waves).sum(-2)
    return value.real


def _waves(grid: Grid, axis: int, x: Tensor, dtype: torch.dtype) -> Tensor:
    """The waves of one axis at the points, ``(modes, n)``; the half axis carries the weight 2 of its mirror modes."""
    n, last = grid.shape[axis], axis == grid.ndim - 1
    modes = torch.arange(n, device=x.device)
    modes = modes[: n // 2 + 1] if last else (modes + n // 2) % n - n // 2
    phase = (2 * math.pi / grid.lengths[axis]) * modes.to(x.dtype).unsqueeze(1) * (x - grid.origin[axis])
    waves = torch.complex(torch.cos(phase), torch.sin(phase))
    weight = torch.ones((len(modes), 1), dtype=x.dtype, device=x.device)
    if last:
        weight[1 : (n + 1) // 2] = 2.0
    if n % 2 == 0:
        nyquist = torch.zeros_like(weight, dtype=torch.bool)
        nyquist[n // 2] = True
        waves = torch.where(nyquist, waves.real.to(dtype), waves)
    return (weight * waves).to(dtype)


def _check(u: Tensor, grid: Grid, who: str) -> None:
    grid.require_periodic(who)
    if grid.ndim == 0 or u.ndim < grid.ndim or tuple(u.shape[u.ndim - grid.ndim :]) != grid.shape:
        raise InputError(f"{who}: a field of shape {tuple(u.shape)} on a grid of shape {grid.shape}; (..., *grid.shape) is expected.")
    if not u.is_floating_point():
        raise InputError(f"{who}: the field is {u.dtype}; give float32 or float64.")
