"""Gaussian random fields on periodic boxes whose samples do not depend on the resolution they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.spectral.resample import resample

REFERENCE_POINTS = {1: 2187, 2: 243, 3: 75}
"""Samples per axis of the grid on which fields are drawn: odd (no Nyquist mode) with small factors (fast)."""


def coloured_noise(
    amplitude: Callable[[Tensor], Tensor],
    grid: Grid,
    generator: torch.Generator,
    *,
    samples: int | None = None,
    points: int | None = None,
    normalise: Callable[[Tensor, Grid], Tensor] | None = None,
) -> Tensor:
    r"""A stationary isotropic Gaussian field with :math:`E|\hat u_k|^2 = a(|k|)^2`.

    White noise is drawn in float64 on a reference grid of ``points`` samples per axis over the same box, whatever
    ``grid`` is, coloured there in Fourier space, and resampled. One seed therefore gives one field: on a finer grid
    its interpolant, on a coarser one its low-pass.

    Parameters
    ----------
    amplitude : a, a function of :math:`|k|` (radians per unit of length; 0 included).
    grid : periodic; gives box, shape, dtype and device of the result.
    generator : source of randomness; every sample consumes ``points ** ndim`` numbers from it.
    samples : None gives ``(*space)``, a number gives ``(samples, *space)``.
    points : defaults to 2187, 243 and 75 in one, two and three dimensions.
    normalise : maps the field on the reference grid, of shape ``(*reference)``, to a rescaled one.
    """
    grid.require_periodic("coloured_noise")
    count = REFERENCE_POINTS[grid.ndim] if points is None else points
    if count < 2:
        raise InputError(f"coloured_noise: points={points}; at least 2 are needed, odd numbers avoid a Nyquist mode.")
    reference = grid.resized(count).to(device=generator.device, dtype=torch.float64)
    axes = tuple(range(-grid.ndim, 0))
    k = reference.wavenumbers()
    size = sum((c**2 for c in k[1:]), start=k[0] ** 2).sqrt()
    colour = amplitude(size) * count ** (grid.ndim / 2)  # white noise has E|c|^2 = count^-ndim
    fields = []
    for _ in range(samples or 1):
        noise = torch.randn(reference.shape, dtype=torch.float64, device=generator.device, generator=generator)
        u = torch.fft.irfftn(torch.fft.rfftn(noise, dim=axes, norm="forward") * colour, reference.shape, dim=axes, norm="forward")
        fields.append(resample(u if normalise is None else normalise(u, reference), reference, grid.shape))
    result = fields[0] if samples is None else torch.stack(fields)
    return result.to(device=grid.device, dtype=grid.dtype)


@dataclass(frozen=True)
class GaussianRandomField:
    r"""The law :math:`N(0, \sigma^2(-\Delta+\tau^2)^{-\alpha})` on a periodic box of volume V.

    .. math:: u(x)=\sum_{k}\sqrt{\lambda_k/V}\,\xi_k\,(\cos k\cdot x+\sin k\cdot x),\quad
              \lambda_k=\sigma^2(|k|^2+\tau^2)^{-\alpha},\quad \xi_k\sim N(0,1)\text{ independent.}

    Li et al., ICLR 2021 (arXiv 2010.08895), section 5: Burgers sigma 25, tau 5, alpha 2 on (0, 1); Navier-Stokes
    sigma 7^1.5, tau 7, alpha 2.5 on the unit torus.

    Parameters
    ----------
    sigma, tau, alpha : amplitude, inverse correlation length, smoothness.
    zero_mean : leave out k = 0.
    points : samples per axis of the reference grid on which fields are drawn, see :func:`coloured_noise`.
    """

    sigma: float
    tau: float
    alpha: float
    zero_mean: bool = True
    points: int | None = None

    def __post_init__(self) -> None:
        if self.sigma < 0 or self.tau < 0 or (self.tau == 0 and not self.zero_mean):
            raise InputError(
                f"GaussianRandomField: sigma={self.sigma}, tau={self.tau}, zero_mean={self.zero_mean}; "
                "sigma and tau must not be negative, and tau=0 needs zero_mean=True."
            )

    def eigenvalues(self, size: Tensor) -> Tensor:
        r""":math:`\lambda_k` as a function of :math:`|k|`; 0 at k = 0 if ``zero_mean``."""
        drop = (size == 0) & self.zero_mean
        base = torch.where(drop, torch.ones_like(size), size**2 + self.tau**2)
        return torch.where(drop, torch.zeros_like(size), self.sigma**2 * base**-self.alpha)

    def sample(self, grid: Grid, generator: torch.Generator, samples: int | None = None) -> Tensor:
        """``(*space)``, or ``(samples, *space)``; the same seed gives the same fields at every resolution."""
        volume = _volume(grid)
        return coloured_noise(lambda k: (self.eigenvalues(k) / volume).sqrt(), grid, generator, samples=samples, points=self.points)

    def variance(self, grid: Grid) -> float:
        r"""The pointwise variance :math:`V^{-1}\sum_k\lambda_k` over the modes that are drawn and that ``grid`` keeps."""
        count = REFERENCE_POINTS[grid.ndim] if self.points is None else self.points
        total: Any = torch.zeros((), dtype=torch.float64)
        for n, length in zip(grid.shape, grid.lengths, strict=True):
            m = (min(n, count) - 1) // 2
            k = (2 * torch.pi / length) * torch.arange(-m, m + 1, dtype=torch.float64)
            total = total.unsqueeze(-1) + k**2
        return float(self.eigenvalues(total.sqrt()).sum()) / _volume(grid)


def _volume(grid: Grid) -> float:
    volume = 1.0
    for length in grid.lengths:
        volume *= length
    return volume
