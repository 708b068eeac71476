"""Trigonometric polynomials: fields that every engine can be given exactly, on a grid or as functions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.core.grid import Grid
from sciml.spectral.transforms import Transform


@dataclass(frozen=True)
class Trigonometric:
    r""":math:`u_c(t, x) = m_c + \sum_j a_{cj}\cos(\kappa_j\cdot x + \omega_j t + \varphi_{cj})`.

    Parameters
    ----------
    mean : m, ``(channels,)``.
    wavevectors : :math:`\kappa`, ``(terms, ndim)``.
    frequencies : :math:`\omega`, ``(terms,)``.
    amplitudes, phases : ``(channels, terms)``.
    """

    mean: Tensor
    wavevectors: Tensor
    frequencies: Tensor
    amplitudes: Tensor
    phases: Tensor

    @classmethod
    def random(cls, grid: Grid, band: int, channels: int, generator: torch.Generator, *, size: float = 0.3, terms: int = 6) -> Trigonometric:
        """Mean 1, ``|u - 1| <= size``, modes up to ``band`` along every axis (the highest one is present)."""
        modes = torch.randint(-band, band + 1, (terms, grid.ndim), generator=generator).double()
        if grid.ndim:
            modes[0] = band
        lengths = torch.tensor(grid.lengths, dtype=torch.float64)
        draws = [torch.rand(shape, generator=generator, dtype=torch.float64) for shape in ((terms,), (channels, terms), (channels, terms))]
        amplitudes = 0.2 + draws[1]
        return cls(
            torch.ones(channels, dtype=torch.float64),
            2 * math.pi * modes / lengths,
            draws[0] + 0.5,
            size * amplitudes / amplitudes.sum(-1, keepdim=True),
            2 * math.pi * draws[2],
        )

    @classmethod
    def interpolating(cls, values: Tensor, grid: Grid) -> Trigonometric:
        """The polynomial through ``values`` ``(channels, *space)`` on a periodic grid."""
        coefficients = Transform(grid).forward(values).flatten(1)
        k = [component.expand(Transform(grid).modes).flatten() for component in grid.wavenumbers()]
        nyquist = k[-1].amax() if grid.shape[-1] % 2 == 0 else math.inf
        weight = torch.where((k[-1] == 0) | (k[-1] == nyquist), 1.0, 2.0)
        size = coefficients.abs().amax(0)
        present = size > 1e-15 * size.amax()
        wavevectors = torch.stack(k, -1)[present]
        offset = wavevectors @ torch.tensor(grid.origin, dtype=wavevectors.dtype)
        kept = coefficients[:, present]
        return cls(
            torch.zeros(values.shape[0], dtype=values.dtype),
            wavevectors,
            torch.zeros(wavevectors.shape[0], dtype=values.dtype),
            kept.abs() * weight[present],
            kept.angle() - offset,
        )

    def __call__(self, t: Tensor, *x: Tensor) -> Tensor:
        """Values ``(*batch, channels)`` at coordinates ``(*batch, 1)``, in their dtype."""
        angle = t * self.frequencies
        for axis, coordinate in enumerate(x):
            angle = angle + coordinate * self.wavevectors[:, axis]
        value = self.mean + (self.amplitudes * torch.cos(angle.unsqueeze(-2) + self.phases)).sum(-1)
        return value.to(t.dtype)

    def on(self, grid: Grid, time: float) -> Tensor:
        """The state ``(channels, *space)`` on a grid."""
        t = torch.full((*grid.shape, 1), time, dtype=torch.float64)
        return self(t, *(x.double().unsqueeze(-1) for x in grid.points())).movedim(-1, 0).to(grid.dtype)
