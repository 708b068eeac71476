r"""Orthonormal real transforms along one axis of samples at cell centres: cosine, sine and Hartley, each by one fast Fourier transform.

With samples at :math:`x_j = (j + 1/2)h`, a field that is even about a wall is a sum of cosines, one that is odd about it a sum of
sines; a periodic field (samples at :math:`jh`) is a sum of :math:`\mathrm{cas}\,kx = \cos kx + \sin kx`. All of these matrices are
orthogonal, so the inverse is the transpose. They act on the last axis, ``(..., N) -> (..., N)``, in float32 and float64, and are
differentiable.

Source of the N-point algorithm for the cosine transform: Makhoul, IEEE Trans. ASSP 28 (1980) 27.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


def cosine(u: Tensor) -> Tensor:
    r""":math:`c_k = s_k\sum_j u_j\cos\frac{\pi k(j+1/2)}{N}`, k = 0..N-1, with :math:`s_0=N^{-1/2}`, else :math:`(2/N)^{1/2}` (DCT-II)."""
    n = u.shape[-1]
    folded = torch.cat([u[..., ::2], u[..., 1::2].flip(-1)], dim=-1)
    z = torch.fft.rfft(folded) * _twist(n, u.dtype, u.device)
    tail = -z.imag[..., 1 : (n + 1) // 2].flip(-1)
    return torch.cat([z.real, tail], dim=-1) * _scale(n, u.dtype, u.device)


def cosine_inverse(c: Tensor) -> Tensor:
    """The inverse, and transpose, of :func:`cosine` (DCT-III)."""
    n = c.shape[-1]
    x = c / _scale(n, c.dtype, c.device)
    half = n // 2 + 1
    mirrored = torch.cat([torch.zeros_like(x[..., :1]), x[..., n - half + 1 :].flip(-1)], dim=-1)
    folded = torch.fft.irfft(torch.complex(x[..., :half], -mirrored) * _twist(n, c.dtype, c.device).conj(), n)
    u = torch.empty_like(folded)
    u[..., ::2] = folded[..., : (n + 1) // 2]
    u[..., 1::2] = folded[..., (n + 1) // 2 :].flip(-1)
    return u


def sine(u: Tensor) -> Tensor:
    r""":math:`c_m = s_k\sum_j u_j\sin\frac{\pi k(j+1/2)}{N}`, k = m + 1 = 1..N, with :math:`s_N=N^{-1/2}`, else :math:`(2/N)^{1/2}` (DST-II)."""
    return cosine(u * _alternating(u.shape[-1], u.dtype, u.device)).flip(-1)


def sine_inverse(c: Tensor) -> Tensor:
    """The inverse, and transpose, of :func:`sine` (DST-III)."""
    return cosine_inverse(c.flip(-1)) * _alternating(c.shape[-1], c.dtype, c.device)


def quarter_cosine(u: Tensor) -> Tensor:
    r""":math:`c_k = (2/N)^{1/2}\sum_j u_j\cos\frac{\pi(k+1/2)(j+1/2)}{N}`, its own inverse: even about the lower wall, odd about the upper."""
    return _quarter(u).real


def quarter_sine(u: Tensor) -> Tensor:
    r""":math:`c_k = (2/N)^{1/2}\sum_j u_j\sin\frac{\pi(k+1/2)(j+1/2)}{N}`, its own inverse: odd about the lower wall, even about the upper."""
    return -_quarter(u).imag


def hartley(u: Tensor) -> Tensor:
    r""":math:`c_m = N^{-1/2}\sum_j u_j\,\mathrm{cas}\frac{2\pi mj}{N}`, its own inverse; m counts as in a fast Fourier transform."""
    n = u.shape[-1]
    c = torch.fft.rfft(u, norm="ortho")
    tail = (c.real + c.imag)[..., 1 : (n + 1) // 2].flip(-1)
    return torch.cat([c.real - c.imag, tail], dim=-1)


def _quarter(u: Tensor) -> Tensor:
    r""":math:`(2/N)^{1/2}\sum_j u_j e^{-i\pi(k+1/2)(j+1/2)/N}` for k = 0..N-1."""
    n = u.shape[-1]
    before, after = _quarter_twists(n, u.dtype, u.device)
    return torch.fft.fft(u * before, 2 * n)[..., :n] * after


# Constants are kept per size; made outside of inference mode, so that they may take part in a later backward pass.


@lru_cache(maxsize=64)
def _quarter_twists(n: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):
        j = torch.arange(n, dtype=torch.float64)
        before = torch.polar(torch.full_like(j, math.sqrt(2 / n)), -math.pi * j / (2 * n))
        after = torch.polar(torch.ones_like(j), -math.pi * (j + 0.5) / (2 * n))
        return before.to(device, _complex(dtype)), after.to(device, _complex(dtype))


@lru_cache(maxsize=64)
def _twist(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    r""":math:`e^{-i\pi k/2N}` on the half spectrum."""
    with torch.inference_mode(False):
        k = torch.arange(n // 2 + 1, dtype=torch.float64)
        return torch.polar(torch.ones_like(k), -math.pi * k / (2 * n)).to(device, _complex(dtype))


@lru_cache(maxsize=64)
def _scale(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        scale = torch.full((n,), math.sqrt(2 / n), dtype=dtype, device=device)
        scale[0] = math.sqrt(1 / n)
        return scale


@lru_cache(maxsize=64)
def _alternating(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """1, -1, 1, ..."""
    with torch.inference_mode(False):
        signs = torch.ones(n, dtype=dtype, device=device)
        signs[1::2] = -1
        return signs


def _complex(dtype: torch.dtype) -> torch.dtype:
    return torch.complex64 if dtype == torch.float32 else torch.complex128
