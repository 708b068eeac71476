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

    In one dimension the layout is the full half spectrum and the band limit is a mask; in two and three dimensions
    coefficients outside the band are not stored, and the transforms skip them.

    Parameters
    ----------
    grid : periodic.
    keep : largest retained |mode| per axis, or None for all.

    Attributes
    ----------
    modes : shape of the coefficient array's trailing axes.
    mask : multiplier that removes what lies outside the band, or None if the layout already does.
    """

    def __init__(self, grid: Grid, keep: tuple[int, ...] | None = None) -> None:
        grid.require_periodic("the Fourier transform")
        if grid.ndim == 0:
            raise InputError("The Fourier transform needs a grid with at least one axis; this one has none (an ordinary system).")
        self.grid = grid
        self.keep = keep
        self.axes = tuple(range(-grid.ndim, 0))
        self.compact = keep is not None and grid.ndim > 1
        self.mask: Tensor | None = None
        if keep is not None and not self.compact:
            self.mask = (torch.arange(grid.shape[0] // 2 + 1, device=grid.device) <= keep[0]).to(grid.dtype)
        self.modes = tuple(2 * k + 1 for k in keep[:-1]) + (keep[-1] + 1,) if self.compact and keep else grid.shape[:-1] + (grid.shape[-1] // 2 + 1,)

    def symbols(self, channels: int = 1, dtype: torch.dtype | None = None) -> Symbol:
        """The symbol engine in this transform's coefficient layout."""
        grid = self.grid.to(dtype=dtype or self.grid.dtype)
        if not self.compact or self.keep is None:
            return grid_symbol_engine(grid, channels)
        k = []
        for axis, (m, length) in enumerate(zip(self.keep, grid.lengths, strict=True)):
            last = axis == grid.ndim - 1
            n = torch.arange(m + 1 if last else 2 * m + 1, dtype=torch.float64, device=grid.device)
            n = n if last else torch.where(n <= m, n, n - (2 * m + 1))
            view = [1] * grid.ndim
            view[axis] = -1
            k.append((2 * math.pi / length * n).to(grid.dtype).view(view))
        return Symbol(k, [None] * grid.ndim, channels)

    def forward(self, u: Tensor, *, masked: bool = True) -> Tensor:
        """Coefficients of ``u`` (``(..., *space)`` -> ``(..., *modes)``); what lies outside the band is removed.

        ``masked=False`` leaves the one-dimensional band limit to the caller, who multiplies by ``mask`` later.
        """
        self._count(u)
        if not self.compact or self.keep is None:
            c = torch.fft.rfftn(u, dim=self.axes, norm="forward") if len(self.axes) > 1 else torch.fft.rfft(u, norm="forward")
            return c * self.mask if masked and self.mask is not None else c
        c = torch.fft.rfft(u, norm="forward")[..., : self.modes[-1]]
        for axis in reversed(self.axes[:-1]):
            m = self.keep[axis]
            c = torch.fft.fft(c, dim=axis, norm="forward")
            n = c.shape[axis]
            c = torch.cat([c.narrow(axis, 0, m + 1), c.narrow(axis, n - m, m)], dim=axis)
        return c

    def inverse(self, c: Tensor) -> Tensor:
        """Values of coefficients ``c`` (``(..., *modes)`` -> ``(..., *space)``)."""
        self._count(c)
        shape = self.grid.shape
        if not self.compact or self.keep is None:
            if len(shape) == 1:
                return torch.fft.irfft(c, shape[0], norm="forward")
            return torch.fft.irfftn(c, shape, dim=self.axes, norm="forward")
        for axis in self.axes[:-1]:
            m, n = self.keep[axis], shape[axis]
            gap = list(c.shape)
            gap[axis] = n - 2 * m - 1
            c = torch.cat([c.narrow(axis, 0, m + 1), c.new_zeros(gap), c.narrow(axis, m + 1, m)], dim=axis)
            c = torch.fft.ifft(c, dim=axis, norm="forward")
        return torch.fft.irfft(c, shape[-1], norm="forward")

    def _count(self, array: Tensor) -> None:
        if _counters:
            stack = array.shape[-self.grid.ndim - 1] if array.ndim > self.grid.ndim else 1
            for counter in _counters:
                counter[0] += stack
