"""Power spectra: how the mean square of a field is spread over scales."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.core.grid import Grid


def power_spectrum(u: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    r"""Isotropic shell sums :math:`E(k_n)=\sum_{|k|\in\text{shell }n}|\hat u_k|^2`.

    By Parseval they add up to the mean of :math:`u^2`. Shell n holds the wavenumbers nearest to
    :math:`k_n = n\,2\pi/L_{\max}`, half a spacing to each side (lower edge included).

    Parameters
    ----------
    u : ``(..., *grid.shape)``.
    grid : periodic.

    Returns
    -------
    ``k`` of shape ``(shells,)`` in radians per unit of length, and ``E`` of shape ``(..., shells)``.
    """
    grid.require_periodic("power_spectrum")
    if grid.ndim == 0 or u.ndim < grid.ndim or tuple(u.shape[u.ndim - grid.ndim :]) != grid.shape:
        raise InputError(f"power_spectrum: a field of shape {tuple(u.shape)} on a grid of shape {grid.shape}; (..., *grid.shape) is expected.")
    axes = tuple(range(-grid.ndim, 0))
    power = torch.fft.rfftn(u, dim=axes, norm="forward").abs() ** 2
    # The half spectrum stands for both signs of the last wavenumber, except on its own mirror planes 0 and Nyquist.
    weight = torch.full((power.shape[-1],), 2.0, dtype=u.dtype, device=u.device)
    weight[0] = 1.0
    if grid.shape[-1] % 2 == 0:
        weight[-1] = 1.0
    unit = 2 * math.pi / max(grid.lengths)
    wavenumbers = grid.to(device=u.device, dtype=torch.float64).wavenumbers()
    size = sum((k**2 for k in wavenumbers[1:]), start=wavenumbers[0] ** 2).sqrt()
    shell = torch.floor(size / unit + 0.5).long().reshape(-1)
    shells = int(shell.max()) + 1
    flat = (power * weight).flatten(-grid.ndim)
    energy = flat.new_zeros((*flat.shape[:-1], shells)).index_add(-1, shell, flat)
    return unit * torch.arange(shells, dtype=u.dtype, device=u.device), energy
