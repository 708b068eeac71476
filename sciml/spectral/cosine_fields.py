"""Gaussian random fields on bounded boxes, as cosine series: one seed is one function, which any grid samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.core.grid import Grid

MODES = {1: 1024, 2: 256, 3: 40}
"""Cosines per axis."""


@dataclass(frozen=True)
class CosineRandomField:
    r"""The law :math:`N(0, \sigma^2(-\Delta+\tau^2)^{-\alpha})` with homogeneous Neumann conditions on a box of volume V.

    .. math:: g(x)=\sum_{m\ne0}\sqrt{\lambda_m}\,\xi_m\prod_i s_{m_i}\cos\frac{\pi m_i x_i}{L_i},\quad
              \lambda_m=\sigma^2\bigl(\pi^2\textstyle\sum_i m_i^2/L_i^2+\tau^2\bigr)^{-\alpha},\quad \xi_m\sim N(0,1),

    with the normalised cosines :math:`s_0 = L^{-1/2}`, else :math:`(2/L)^{1/2}`; the constant is left out. Coefficients are drawn for a
    fixed set of modes, so that a seed gives one function whatever the grid.

    Parameters
    ----------
    sigma, tau, alpha : amplitude, inverse correlation length, smoothness.
    modes : cosines per axis; 1024, 256 and 40 in one, two and three dimensions by default.
    """

    sigma: float
    tau: float
    alpha: float
    modes: int | None = None

    def __post_init__(self) -> None:
        if self.sigma < 0 or self.tau < 0 or (self.modes is not None and self.modes < 2):
            raise InputError(
                f"CosineRandomField: sigma={self.sigma}, tau={self.tau}, modes={self.modes}; sigma and tau must not be negative, modes at least 2."
            )

    def sample(self, grid: Grid, generator: torch.Generator) -> Tensor:
        """One field on ``grid``, ``(*space)``, drawn and summed in float64."""
        count = MODES[grid.ndim] if self.modes is None else self.modes
        exact = grid.to(generator.device, torch.float64)
        size = torch.zeros((count,) * grid.ndim, dtype=torch.float64, device=generator.device)
        m = torch.arange(count, dtype=torch.float64, device=generator.device)
        for axis, length in enumerate(grid.lengths):
            size = size + ((math.pi / length * m) ** 2).view((-1,) + (1,) * (grid.ndim - 1 - axis))
        base = size + self.tau**2
        base.view(-1)[0] = 1.0
        field = torch.randn(size.shape, dtype=torch.float64, device=generator.device, generator=generator) * (self.sigma * base ** (-self.alpha / 2))
        field.view(-1)[0] = 0.0
        for axis, (x, length, origin) in enumerate(zip(exact.axes(), grid.lengths, grid.origin, strict=True)):
            waves = torch.cos((math.pi / length) * m * (x - origin).unsqueeze(-1)) * math.sqrt(2 / length)
            waves[:, 0] = math.sqrt(1 / length)
            field = torch.tensordot(waves, field.movedim(axis, 0), dims=1).movedim(0, axis)
        return field.to(grid.device, grid.dtype)
