"""Against ensembles that believe themselves too much: inflation after an analysis, and rotations that mix members."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.assimilation.ensemble import Prior
from sciml.assimilation.noise import drawn
from sciml.core.errors import InputError


@dataclass(frozen=True)
class AdaptiveInflation:
    r"""A factor :math:`\rho` of the prior covariance, estimated from innovations: spread and errors of the data must explain them,
    :math:`E|\tilde d|^2=\rho\,\mathrm{tr}\,G+m` with :math:`G=SS^T/(N-1)`.

    What one analysis sees, :math:`\rho_o=(|\tilde d|^2-m)/\mathrm{tr}\,G`, has the variance :math:`v_o=2(\rho^2\mathrm{tr}\,G^2+2\rho\,
    \mathrm{tr}\,G+m)/(\mathrm{tr}\,G)^2` for Gaussian errors. A Kalman filter for the one number follows it from cycle to cycle,
    :math:`\rho\leftarrow\rho+v_b(\rho_o-\rho)/(v_b+v_o)`, and each experiment of a batch has its own.

    H. Li, E. Kalnay & T. Miyoshi, Q. J. R. Meteorol. Soc. 135 (2009) 523; T. Miyoshi, Mon. Weather Rev. 139 (2011) 1519 (there for every point,
    with an approximate :math:`v_o`); J. L. Anderson, Tellus A 59 (2007) 210.

    Parameters
    ----------
    deviation : :math:`\sqrt{v_b}`, by how much :math:`\rho` may change from cycle to cycle; large values follow noise.
    start : first factor of the deviations, :math:`\sqrt\rho`.
    least, most : bounds of :math:`\sqrt\rho`.

    The factor is the series "inflation" of :func:`sciml.cycle`, and goes from cycle to cycle as the record's ``memory``.

    *Good values*: a deviation of 0.02 to 0.1.
    """

    deviation: float = 0.04
    start: float = 1.0
    least: float = 0.9
    most: float = 3.0

    def __post_init__(self) -> None:
        if not 0 < self.deviation < float("inf"):
            raise InputError(f"AdaptiveInflation: deviation={self.deviation} given; a positive number is needed.")
        if not 0 < self.least <= self.start <= self.most < float("inf"):
            raise InputError(
                f"AdaptiveInflation: least={self.least}, start={self.start}, most={self.most} given; positive numbers in this order are needed."
            )

    def first(self, prior: Prior) -> Tensor:
        """The memory before any data, ``(*batch,)``."""
        return torch.full_like(prior.innovation[..., 0], self.start**2)

    def __call__(self, prior: Prior) -> Tensor:
        r""":math:`\rho` ``(*batch,)`` given that of the prior's memory and the data."""
        before = self.first(prior) if prior.memory is None else prior.memory
        s, d = prior.whitened
        gram = s @ s.transpose(-1, -2) / (prior.size - 1)
        trace, square = gram.diagonal(dim1=-2, dim2=-1).sum(-1), gram.square().sum((-1, -2))
        seen, m = d.square().sum(-1), prior.present.sum(-1)
        # gain and innovation times the trace, so that an ensemble without spread divides by nothing
        variance = 2 * (before.square() * square + 2 * before * trace + m)
        change = self.deviation**2 * trace * (seen - m - before * trace) / (self.deviation**2 * trace.square() + variance)
        return (before + change).clamp(self.least**2, self.most**2)


@dataclass(frozen=True)
class Inflation:
    r"""Larger deviations after an analysis.

    Parameters
    ----------
    factor : of the deviations, :math:`A\leftarrow fA`.
    to_prior_spread : :math:`\alpha` of relaxation to the prior's spread, :math:`A\leftarrow A\,(1+\alpha(\sigma_b-\sigma_a)/\sigma_a)` for every
        variable (J. S. Whitaker & T. M. Hamill, Mon. Weather Rev. 140 (2012) 3078, eq. 2).
    to_prior : :math:`\alpha` of relaxation to the prior's deviations, :math:`A\leftarrow(1-\alpha)A+\alpha A_b` (F. Zhang, C. Snyder & J. Sun,
        Mon. Weather Rev. 132 (2004) 1238, eq. 5).
    adaptive : inflation before the analysis that follows the innovations; :class:`AdaptiveInflation`.
    """

    factor: float = 1.0
    to_prior_spread: float = 0.0
    to_prior: float = 0.0
    adaptive: AdaptiveInflation | None = None

    def __post_init__(self) -> None:
        if not 0 < self.factor < float("inf"):
            raise InputError(f"Inflation: factor={self.factor} given; a positive number is needed, 1 for none.")
        for name in ("to_prior_spread", "to_prior"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"Inflation: {name}={getattr(self, name)} given; a number from 0 to 1 is needed.")

    def __call__(self, anomalies: Tensor, prior: Tensor) -> Tensor:
        """Deviations ``(*batch, N, n)`` after the analysis, from those and the prior's."""
        a = anomalies
        if self.to_prior:
            a = (1 - self.to_prior) * a + self.to_prior * prior
        if self.to_prior_spread:
            before, after = prior.std(-2, keepdim=True), a.std(-2, keepdim=True)
            a = a * torch.where(after > 0, 1 + self.to_prior_spread * (before - after) / after, 1.0)
        return a if self.factor == 1.0 else self.factor * a


Inflated = float | Inflation | AdaptiveInflation


def as_inflation(given: Inflated) -> Inflation:
    """A number stands for a factor."""
    if isinstance(given, AdaptiveInflation):
        return Inflation(adaptive=given)
    return given if isinstance(given, Inflation) else Inflation(float(given))


def rotation(batch: tuple[int, ...], n: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """Random orthogonal matrices ``(*batch, n, n)`` that keep the vector of ones, and with it mean and covariance of an ensemble.

    Uniform on such matrices: a uniform rotation of the directions orthogonal to the ones (P. Sakov & P. R. Oke, Mon. Weather Rev. 136 (2008) 1042).
    """
    q, r = torch.linalg.qr(drawn((*batch, n - 1, n - 1), like, generator))
    q = q * torch.where(r.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).unsqueeze(-2)  # without this QR's choice of signs is not uniform
    basis = contrasts(n, like)
    return basis.T @ q @ basis + 1 / n


def contrasts(n: int, like: Tensor) -> Tensor:
    """Orthonormal rows ``(n - 1, n)`` orthogonal to the ones (Helmert)."""
    i = torch.arange(1, n, dtype=like.dtype, device=like.device)
    lower = torch.ones((n - 1, n), dtype=like.dtype, device=like.device).tril()
    return (lower - torch.diag_embed(i, offset=1)[: n - 1, :n]) / (i * (i + 1)).sqrt().unsqueeze(1)
