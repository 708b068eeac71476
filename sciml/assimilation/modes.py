"""Instruments that see waves: chosen Fourier modes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.assimilation.operators import Operator, chosen_channels, numbered
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.spectral.transforms import Transform

Mode = int | Sequence[int]


@dataclass(frozen=True)
class Fourier(Operator):
    """See :func:`fourier`."""

    modes: tuple[tuple[int, ...], ...]
    channels: Sequence[int] | None

    def __call__(self, u: Tensor, grid: Grid, time: float) -> Tensor:
        modes = torch.tensor(self._checked(grid))
        mirrored = modes[:, -1] < 0  # the transform stores half of the modes; the others are conjugates
        stored = torch.where(mirrored.unsqueeze(1), -modes, modes)
        index = torch.zeros(len(modes), dtype=torch.long)
        for axis, n in enumerate(grid.shape):
            size = n if axis < grid.ndim - 1 else n // 2 + 1
            index = index * size + stored[:, axis] % n
        c = Transform(grid).forward(chosen_channels(u, grid, self.channels)).flatten(u.ndim - grid.ndim)[..., index.to(u.device)]
        alone = ((2 * modes) % torch.tensor(grid.shape) == 0).all(1)  # their own conjugates: real, and counted once in the mean square
        factor = 1 + (math.sqrt(2) - 1) * (~alone).to(u)
        sign = 1 - 2 * mirrored.to(u)
        parts = torch.stack([c.real * factor, c.imag * (factor * sign)], -1).flatten(-2)
        keep = torch.stack([torch.ones_like(alone), ~alone], -1).flatten()
        return parts[..., keep.to(u.device)].flatten(-2)

    def _checked(self, grid: Grid) -> list[tuple[int, ...]]:
        grid.require_periodic("sciml.fourier")
        if grid.ndim == 0:
            raise InputError("fourier: given for an ordinary system, which has no space; use sciml.every(1, channels=...).")
        found: list[tuple[int, ...]] = []
        known: set[tuple[int, ...]] = set()
        for mode in self.modes:
            if len(mode) != grid.ndim:
                raise InputError(f"fourier: mode {mode} given for a grid with {grid.ndim} axes; give one whole number per axis.")
            if any(2 * abs(k) > n for k, n in zip(mode, grid.shape, strict=True)):
                raise InputError(f"fourier: mode {mode} given, but {grid.shape} points hold modes up to {tuple(n // 2 for n in grid.shape)} only.")
            same = {tuple(s * k % n for k, n in zip(mode, grid.shape, strict=True)) for s in (1, -1)}
            if same & known:
                raise InputError(f"fourier: mode {mode} given twice, or with its conjugate {tuple(-k for k in mode)}, which holds the same numbers.")
            known |= same
            found.append(mode)
        return found


def fourier(modes: Sequence[Mode], *, channels: Sequence[int] | None = None) -> Operator:
    r"""Amplitudes of chosen Fourier modes: :math:`\sqrt2\,\mathrm{Re}\,\hat u_k` and :math:`\sqrt2\,\mathrm{Im}\,\hat u_k` for each,
    :math:`\hat u_k=\frac1N\sum_j u_je^{-ik\cdot(x_j-o)}`, without :math:`\sqrt2` and imaginary part where a mode is its own conjugate.

    The convention is orthonormal for the mean over the domain: the squares of all modes add up to the mean of :math:`u^2`. Observations are
    ordered by channel, then by mode, then real before imaginary part. Modes have no places, so the data cannot be localised.

    Parameters
    ----------
    modes : numbers of waves per length of the domain, signed: whole numbers in one dimension, else one per axis such as ``(3, -1)``.
    channels : numbers of the fields that are seen; None for all.

    Raises InputError from the observation for grids that are not periodic, modes beyond the grid's, and modes that are given twice.
    """
    if isinstance(modes, int):
        raise InputError(f"fourier: modes={modes} given; a list is needed, such as range({modes + 1}).")
    listed = tuple((k,) if isinstance(k, int) else tuple(k) for k in modes)
    if not listed or any(isinstance(k, bool) or not isinstance(k, int) for mode in listed for k in mode):
        raise InputError(f"fourier: modes={list(modes)} given; one or more are needed, as whole numbers, or tuples of one per axis.")
    return Fourier(listed, numbered(channels))
