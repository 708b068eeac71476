"""Against ensembles that believe themselves too much: inflation after an analysis, and rotations that mix members."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.assimilation.noise import drawn
from sciml.core.errors import InputError


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
    """

    factor: float = 1.0
    to_prior_spread: float = 0.0
    to_prior: float = 0.0

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


def as_inflation(given: float | Inflation) -> Inflation:
    """A number stands for a factor."""
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
