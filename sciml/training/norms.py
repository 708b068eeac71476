"""Sobolev norms of periodic fields, for any real order."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.spectral.transforms import Transform


def sobolev_norm(u: Tensor, grid: Grid, order: float = 0.0, *, alpha: float = 1.0) -> Tensor:
    r"""The norm :math:`\|u\|_{H^s}=\big(\sum_k(\alpha+|k|^2)^s\,|\hat u_k|^2\big)^{1/2}`, summed over channels.

    The coefficients are :math:`\hat u_k=N^{-1}\sum_j u_j e^{-ikx_j}` and the wavenumbers :math:`k=2\pi n/L`, so that order 0 is the root mean
    square of u over space, whatever the resolution (Parseval). With alpha = 0 and a negative order the mean is left out.

    Parameters
    ----------
    u : ``(*batch, channel, *space)``; the result is ``(*batch,)``.
    grid : periodic; of the shape of u.
    order : s, any real number.
    alpha : at least 0, in units of wavenumber squared.

    Raises :class:`InputError` for a grid that is not periodic or does not fit, and for a negative alpha.
    """
    check_fits(u, grid, "sobolev_norm")
    weights = amplitude_weights(grid.to(u.device, u.dtype), order, alpha)
    coefficients = Transform(grid.to(u.device, u.dtype)).forward(u)
    return torch.linalg.vector_norm(coefficients * weights, dim=tuple(range(-grid.ndim - 1, 0)))


def amplitude_weights(grid: Grid, order: float, alpha: float) -> Tensor:
    r"""Factors of the amplitudes :math:`|\hat u_k|` on the half spectrum: the square roots of the weights of their squares.

    A coefficient of the half spectrum counts for itself and its conjugate, except where the last wavenumber is 0 or Nyquist's.
    """
    if not (alpha >= 0 and math.isfinite(alpha) and math.isfinite(order)):
        raise InputError(f"Sobolev norm: order={order}, alpha={alpha} given; a finite order and a finite alpha of at least 0 are needed.")
    wavenumbers = grid.to("cpu", torch.float64).wavenumbers()
    squared = sum((k**2 for k in wavenumbers[1:]), start=wavenumbers[0] ** 2) + alpha
    weights = torch.where(squared > 0, squared, 1.0 if order == 0 else 0.0)
    inside = weights > 0
    weights = torch.where(inside, torch.where(inside, weights, 1.0) ** order, 0.0)
    twice = torch.full((weights.shape[-1],), 2.0, dtype=torch.float64)
    twice[0] = 1.0
    if grid.shape[-1] % 2 == 0:
        twice[-1] = 1.0
    return (weights * twice).sqrt().to(grid.device, grid.dtype)


def check_fits(u: Tensor, grid: Grid, who: str) -> None:
    """Raise unless ``u`` is ``(..., channel, *grid.shape)`` with a real floating type."""
    if u.ndim <= grid.ndim or tuple(u.shape[u.ndim - grid.ndim :]) != grid.shape or not u.is_floating_point():
        axes = ", ".join(map(str, grid.shape))
        raise InputError(f"{who}: {u.dtype} of shape {tuple(u.shape)} given; real numbers (..., channel, {axes}) are needed.")
