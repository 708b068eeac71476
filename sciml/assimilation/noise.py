"""Errors of observations: their covariance R, applied without ever being inverted as a matrix."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from sciml.core.errors import InputError


class Noise(ABC):
    """Gaussian errors of zero mean of m observations; missing ones take no part.

    Attributes
    ----------
    diagonal : whether the errors are independent of each other.
    """

    diagonal = False

    @abstractmethod
    def whiten(self, r: Tensor, present: Tensor) -> Tensor:
        r""":math:`R^{-1/2}r` for rows r ``(*batch, k, m)`` with ``present`` ``(*batch, m)``: unit variance, zero where an observation is missing."""

    @abstractmethod
    def sample(self, batch: tuple[int, ...], m: int, like: Tensor, generator: torch.Generator) -> Tensor:
        """Draws ``(*batch, m)``."""

    @abstractmethod
    def variances(self, m: int, like: Tensor) -> Tensor:
        """The diagonal of R, ``(m,)``."""

    @abstractmethod
    def covariance(self, m: int, like: Tensor) -> Tensor:
        """R, ``(m, m)``."""

    def log_determinant(self, present: Tensor, like: Tensor) -> Tensor:
        r""":math:`\ln\det R` of the observations that are ``present`` ``(*batch, m)``, ``(*batch,)``."""
        both = present.unsqueeze(-1) & present.unsqueeze(-2)
        m = present.shape[-1]
        found = torch.where(both, self.covariance(m, like), torch.eye(m, dtype=like.dtype, device=like.device))
        return 2 * torch.linalg.cholesky(found).diagonal(dim1=-2, dim2=-1).log().sum(-1)


class Independent(Noise):
    """Standard deviations: one number, or one per observation ``(m,)``."""

    diagonal = True

    def __init__(self, deviation: float | Tensor) -> None:
        self.deviation = torch.as_tensor(deviation, dtype=torch.float64).detach()
        if self.deviation.ndim > 1 or not bool(((self.deviation > 0) & self.deviation.isfinite()).all()):
            raise InputError(
                f"Observation: noise={_shown(self.deviation)} given; standard deviations must be positive and finite: without errors no weight "
                "between forecast and data exists. Give the size of what the model cannot represent, such as 1e-6 of the signal."
            )

    def deviations(self, m: int, like: Tensor) -> Tensor:
        """``(m,)``."""
        if self.deviation.ndim and len(self.deviation) != m:
            raise InputError(f"Observation: {len(self.deviation)} standard deviations given for {m} observations; give one, or one for each.")
        return self.deviation.to(like).expand(m)

    def whiten(self, r: Tensor, present: Tensor) -> Tensor:
        return torch.where(present.unsqueeze(-2), r / self.deviations(r.shape[-1], r), 0.0)

    def sample(self, batch: tuple[int, ...], m: int, like: Tensor, generator: torch.Generator) -> Tensor:
        return drawn((*batch, m), like, generator) * self.deviations(m, like)

    def variances(self, m: int, like: Tensor) -> Tensor:
        return self.deviations(m, like).square()

    def covariance(self, m: int, like: Tensor) -> Tensor:
        return torch.diag(self.variances(m, like))

    def log_determinant(self, present: Tensor, like: Tensor) -> Tensor:
        return torch.where(present, self.variances(present.shape[-1], like).log(), 0.0).sum(-1)


class Correlated(Noise):
    """A covariance matrix ``(m, m)``, symmetric and positive definite."""

    def __init__(self, matrix: Tensor) -> None:
        full = torch.as_tensor(matrix, dtype=torch.float64).detach()
        if full.ndim != 2 or full.shape[0] != full.shape[1] or not torch.allclose(full, full.T, rtol=1e-10, atol=0.0):
            raise InputError(f"Observation: covariance of shape {tuple(full.shape)} given; a symmetric matrix (m, m) is needed.")
        factor, info = torch.linalg.cholesky_ex(full)
        if int(info) or bool(factor.diagonal().min() <= 1e-8 * factor.diagonal().max()):
            raise InputError(
                "Observation: the covariance is singular, or not positive definite: some combination of observations would have no error. Drop what "
                "follows from other observations, or add a small variance to the diagonal."
            )
        self.matrix, self.factor = full, factor

    def whiten(self, r: Tensor, present: Tensor) -> Tensor:
        return whitened(self._fitting(r.shape[-1], r), r, present)

    def sample(self, batch: tuple[int, ...], m: int, like: Tensor, generator: torch.Generator) -> Tensor:
        self._fitting(m, like)
        return drawn((*batch, m), like, generator) @ self.factor.to(like).T

    def variances(self, m: int, like: Tensor) -> Tensor:
        return self._fitting(m, like).diagonal()

    def covariance(self, m: int, like: Tensor) -> Tensor:
        return self._fitting(m, like)

    def _fitting(self, m: int, like: Tensor) -> Tensor:
        if len(self.matrix) != m:
            raise InputError(f"Observation: a covariance of {len(self.matrix)} observations given, and there are {m}.")
        return self.matrix.to(like)


class Given(Noise):
    r"""A covariance known by what it does, as a user's own model of errors.

    Parameters
    ----------
    whiten : :math:`R^{-1/2}r` for rows r ``(*batch, k, m)``; linear, any root.
    sample : ``(shape, generator)`` to draws of that shape, ``(*batch, m)``.

    Where data are missing, and for single variances, R itself is needed, an ``(m, m)`` matrix that is made from ``whiten`` once.
    """

    def __init__(self, whiten: Callable[[Tensor], Tensor], sample: Callable[[tuple[int, ...], torch.Generator], Tensor]) -> None:
        self._whiten, self._sample = whiten, sample
        self._matrices: dict[int, Tensor] = {}

    def whiten(self, r: Tensor, present: Tensor) -> Tensor:
        if bool(present.all()):
            return self._whiten(r)
        return whitened(self.covariance(r.shape[-1], r), r, present)

    def sample(self, batch: tuple[int, ...], m: int, like: Tensor, generator: torch.Generator) -> Tensor:
        drawn = self._sample((*batch, m), generator)
        if tuple(drawn.shape) != (*batch, m):
            raise InputError(f"Observation: errors of shape {tuple(drawn.shape)} were drawn; {(*batch, m)} is expected.")
        return drawn.to(like)

    def variances(self, m: int, like: Tensor) -> Tensor:
        return self.covariance(m, like).diagonal()

    def covariance(self, m: int, like: Tensor) -> Tensor:
        if m not in self._matrices:
            root = self._whiten(torch.eye(m, dtype=like.dtype, device=like.device))  # its rows are the columns of the root of the inverse
            factor, info = torch.linalg.cholesky_ex((root @ root.T).to(torch.float64))
            if int(info):
                raise InputError("Observation: whiten given is singular: some combination of data would have no weight. Give an invertible one.")
            self._matrices[m] = torch.cholesky_inverse(factor)
        return self._matrices[m].to(like)


def whitened(covariance: Tensor, r: Tensor, present: Tensor) -> Tensor:
    r""":math:`R^{-1/2}r` for rows r ``(*batch, k, m)``, covariances ``(*batch, m, m)`` and ``present`` ``(*batch, m)``; zero if missing."""
    # what is missing leaves the matrix: its rows and columns become those of the identity, which the others do not see
    both = present.unsqueeze(-1) & present.unsqueeze(-2)
    factor = torch.linalg.cholesky(torch.where(both, covariance, torch.eye(r.shape[-1], dtype=r.dtype, device=r.device)))
    rows = torch.where(present.unsqueeze(-2), r, 0.0)
    return torch.linalg.solve_triangular(factor, rows.transpose(-1, -2), upper=False).transpose(-1, -2)


def drawn(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers; in double precision on the generator's device, so that precision and place do not change what is drawn."""
    return torch.randn(shape, dtype=torch.float64, device=generator.device, generator=generator).to(like)


def _shown(value: Tensor) -> str:
    return f"{float(value):g}" if value.ndim == 0 else f"a tensor of shape {tuple(value.shape)}, least {float(value.min()):g}"
