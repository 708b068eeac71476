r"""Cosines and sines of the lowest modes as matrices: a truncated Fourier transform is a product with them.

With :math:`\theta_{jk}=2\pi jk/n`, the coefficients :math:`\hat u_k=n^{-1}\sum_j u_je^{-i\theta_{jk}}` of the modes
:math:`|k|<m` are all that a spectral layer reads, and :math:`u_j=\sum_k\hat u_ke^{i\theta_{jk}}` all that it writes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

_Make = Callable[[int, int], Tensor]


def analysis(n: int, modes: int, like: Tensor, *, inner: bool) -> Tensor:
    r"""From n values to modes 0..m-1.

    Along the last axis ``(n, 2m)``, the columns :math:`[\cos|-\sin]/n` (real and imaginary part of a real row's
    coefficients); along an inner axis ``(2m, n)``, the rows :math:`[\cos;\sin]/n`.
    """
    return _matrix(_inner_analysis if inner else _last_analysis, n, modes, like)


def synthesis(n: int, modes: int, like: Tensor, *, inner: bool) -> Tensor:
    r"""From modes to n values.

    Along the last axis ``(2m, n)``, the rows :math:`[c_k\cos;-c_k\sin]` with :math:`c_0=1` and 2 elsewhere (each mode
    stands for its conjugate too); along an inner axis ``(n, 2m)``, the columns :math:`[\cos|\sin]`.
    """
    return _matrix(_inner_synthesis if inner else _last_synthesis, n, modes, like)


def at_points(x: Tensor, modes: int, like: Tensor) -> tuple[Tensor, Tensor]:
    r""":math:`\cos 2\pi kx` and :math:`\sin 2\pi kx` for positions x as fractions of the period, ``(points, m)`` each, of the type of ``like``."""
    exact = x if x.dtype in (torch.float32, torch.float64) else x.to(torch.float32)
    exact = exact.to(torch.promote_types(exact.dtype, like.dtype))
    angle = (2 * math.pi) * exact.unsqueeze(-1) * torch.arange(modes, dtype=exact.dtype, device=exact.device)
    return angle.cos().to(like.dtype), angle.sin().to(like.dtype)


def _matrix(make: _Make, n: int, modes: int, like: Tensor) -> Tensor:
    # a compiler keeps the matrix in its own graph; a cache would have it trace through the look-up
    if torch.compiler.is_compiling():
        return make(n, modes).to(like.device, like.dtype)
    return _cached(make, n, modes, like.dtype, like.device)


@lru_cache(maxsize=256)
def _cached(make: _Make, n: int, modes: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False), torch.no_grad():
        return make(n, modes).to(device, dtype)


def _angles(n: int, modes: int) -> tuple[Tensor, Tensor]:
    """The integer product is reduced before the angle is formed, so that large n lose no digits."""
    turns = torch.arange(n).unsqueeze(-1) * torch.arange(modes) % n
    angle = (2 * math.pi / n) * turns.to(torch.float64)
    return angle.cos(), angle.sin()


def _last_analysis(n: int, modes: int) -> Tensor:
    c, s = _angles(n, modes)
    return torch.cat([c, -s], 1) / n


def _inner_analysis(n: int, modes: int) -> Tensor:
    c, s = _angles(n, modes)
    return torch.cat([c.T, s.T], 0) / n


def _last_synthesis(n: int, modes: int) -> Tensor:
    c, s = _angles(n, modes)
    weight = torch.full((modes,), 2.0, dtype=torch.float64)
    weight[0] = 1.0
    return torch.cat([c * weight, -s * weight], 1).T.contiguous()


def _inner_synthesis(n: int, modes: int) -> Tensor:
    c, s = _angles(n, modes)
    return torch.cat([c, s], 1)

