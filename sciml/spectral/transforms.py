"""Real Fourier transforms between values on a grid and coefficients; the package calls ``torch.fft`` here only.

Convention: ``norm="forward"``, so that coefficients do not depend on resolution,
:math:`\\hat u_k = N^{-1}\\sum_j u_j e^{-ikx_j}`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.symbol import Symbol, grid_symbol_engine
from sciml.core.tangent import constant

_counters: list[list[int]] = []


@contextmanager
def count_transforms() -> Iterator[list[int]]:
    """Count field transforms inside the block: ``with count_transforms() as n: ...; n[0]``.

    A transform of a stack of fields counts once per channel of the stack, batch axes do not count.
    """
    counter = [0]
    _counters.append(counter)
    try:
        yield counter
    finally:
        _counters.remove(counter)


def retained(shape: tuple[int, ...], degree: int | None) -> tuple[int, ...] | None:
    r"""Largest retained |mode| per axis such that products of ``degree`` factors alias onto none of them.

    A product of p factors with modes up to K reaches pK, which aliases to pK - N; it misses \|k\| <= K if
    N >= (p + 1)K + 1. For p = 2 this is the 2/3 rule (Orszag 1971). None: keep everything.
    """
    if degree is None or degree < 2:
        return None
    return tuple((n - 1) // (degree + 1) for n in shape)


class Transform:
    """Values <-> half-spectrum coefficients on one grid, with an optional band limit.

    In two and three dimensions modes above the band limit of the last axis are not stored, which spares a third of
    the transforms along the other axes and of a time stepper's arithmetic. Cropping the other axes as well would cost
    more in copies than it saves (docs/performance.md); there, and in one dimension, the band limit is a mask.

    Parameters
    ----------
    grid : periodic.
    keep : largest retained |mode| per axis, or None for all.

    Attributes
    ----------
    modes : shape of the coefficient array's trailing axes.
    mask : 1 on retained modes, 0 elsewhere, shape ``modes``; None if every mode is retained.
    """

    def __init__(self, grid: Grid, keep: tuple[int, ...] | None = None) -> None:
        grid.require_periodic("the Fourier transform")
        if grid.ndim == 0:
            raise InputError("The Fourier transform needs a grid with at least one axis; this one has none (an ordinary system).")
        self.grid = grid
        self.keep = keep
        half = grid.shape[-1] // 2 + 1
        self.stored = half if keep is None or grid.ndim == 1 else keep[-1] + 1
        self.modes = (*grid.shape[:-1], self.stored)
        self.mask: Tensor | None = None
        if keep is not None:
            inside = torch.ones(self.modes, dtype=torch.bool, device=grid.device)
            for k, n, length in zip(self.symbols().k, keep, grid.lengths, strict=True):
                inside = inside & (k.abs() < 2 * math.pi / length * (n + 0.5))
            self.mask = inside.to(grid.dtype)

    def symbols(self, channels: int = 1) -> Symbol:
        """The symbol engine on this transform's modes, in the grid's precision."""
        return grid_symbol_engine(self.grid, channels, last=self.stored)

    def double_symbols(self, channels: int = 1) -> Symbol:
        """The same in double precision: on the grid's device, or on the CPU where that device has none (Apple's)."""
        device = "cpu" if self.grid.device.type == "mps" else self.grid.device
        return grid_symbol_engine(self.grid.to(device, torch.float64), channels, last=self.stored)

    def arranged(self, t: Tensor) -> Tensor:
        """``t`` (``(..., *modes)``) in the memory order in which transforms leave coefficients.

        A transform along an inner axis leaves that axis contiguous. Multipliers in the same order spare every product
        with coefficients a transposition.
        """
        if self.grid.ndim == 1 or tuple(t.shape[-self.grid.ndim :]) != self.modes:
            return t
        probe = self.forward(torch.zeros((2, *self.grid.shape), dtype=self.grid.dtype, device=self.grid.device), masked=False)
        strides = probe.stride()
        order = sorted(range(-self.grid.ndim, 0), key=lambda axis: -strides[axis])
        leading = list(range(t.ndim - self.grid.ndim))
        permutation = [*leading, *(t.ndim + axis for axis in order)]
        inverse = sorted(range(t.ndim), key=permutation.__getitem__)
        return t.permute(permutation).contiguous().permute(inverse)

    def forward(self, u: Tensor, *, masked: bool = True) -> Tensor:
        """Coefficients of ``u`` (``(..., *space)`` -> ``(..., *modes)``); what lies outside the band is removed.

        ``masked=False`` leaves the mask to the caller, who multiplies by it later.
        """
        self._count(u)
        c = torch.fft.rfft(u, norm="forward")
        if self.stored < c.shape[-1]:
            c = c[..., : self.stored]
        for axis in range(-2, -self.grid.ndim - 1, -1):
            c = torch.fft.fft(c, dim=axis, norm="forward")
        return c * constant(self.mask) if masked and self.mask is not None else c

    def inverse(self, c: Tensor) -> Tensor:
        """Values of coefficients ``c`` (``(..., *modes)`` -> ``(..., *space)``)."""
        self._count(c)
        for axis in range(-self.grid.ndim, -1):
            c = torch.fft.ifft(c, dim=axis, norm="forward")
        return torch.fft.irfft(c, self.grid.shape[-1], norm="forward")

    def _count(self, array: Tensor) -> None:
        if _counters:
            stack = array.shape[-self.grid.ndim - 1] if array.ndim > self.grid.ndim else 1
            for counter in _counters:
                counter[0] += stack
