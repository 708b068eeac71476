"""Covariances of states, kept as a root that is applied: climatological, of an ensemble, Gaussian in space, or given."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sciml.assimilation.noise import drawn
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.spectral.transforms import Transform


class Covariance(ABC):
    r"""B of flat states of n numbers (channel by channel, space in matrix order), by a root: :math:`B=LL^T` with L of any number of columns.

    ``a + b`` adds two of them (hybrid of static and ensemble covariance, say), ``a.scaled(0.02)`` multiplies all variances.
    """

    @abstractmethod
    def columns(self, n: int) -> int:
        """Columns of the root for states of n numbers. Raises InputError if states of that size do not fit."""

    @abstractmethod
    def root(self, v: Tensor, n: int) -> Tensor:
        """L v for states of n numbers: ``(*batch, columns)`` to ``(*batch, n)``; differentiable."""

    def factor(self, n: int, like: Tensor) -> Tensor:
        """L itself, ``(n, columns)``."""
        return self.root(torch.eye(self.columns(n), dtype=like.dtype, device=like.device), n).T

    def matrix(self, n: int, like: Tensor) -> Tensor:
        """B, ``(n, n)``."""
        factor = self.factor(n, like)
        return factor @ factor.T

    def sample(self, batch: tuple[int, ...], n: int, like: Tensor, generator: torch.Generator) -> Tensor:
        """Draws of zero mean, ``(*batch, n)``."""
        return self.root(drawn((*batch, self.columns(n)), like, generator), n)

    def scaled(self, variance: float) -> Covariance:
        """All variances and covariances times a number."""
        return Scaled(self, variance)

    def __add__(self, other: Covariance | Tensor | float) -> Covariance:
        return Added(self, as_covariance(other))


@dataclass(frozen=True, eq=False)
class Uncorrelated(Covariance):
    """Standard deviations: one number, or one per entry of the state ``(n,)``; 0 for what is known."""

    deviation: float | Tensor

    def __post_init__(self) -> None:
        if not bool(((self._deviations >= 0) & self._deviations.isfinite()).all()):
            raise InputError("Uncorrelated: standard deviations that are negative or not finite given; numbers of at least 0 are needed.")

    def columns(self, n: int) -> int:
        return _fits(n, n if len(self._deviations) == 1 else len(self._deviations))

    def root(self, v: Tensor, n: int) -> Tensor:
        return self._deviations.to(v) * v

    @property
    def _deviations(self) -> Tensor:
        return torch.as_tensor(self.deviation, dtype=torch.float64).detach().flatten()


@dataclass(frozen=True, eq=False)
class Factored(Covariance):
    """A root L ``(n, columns)``."""

    left: Tensor

    def columns(self, n: int) -> int:
        _fits(n, len(self.left))
        return self.left.shape[1]

    def root(self, v: Tensor, n: int) -> Tensor:
        return v @ self.left.to(v).T


def given(matrix: Tensor) -> Covariance:
    """A matrix ``(n, n)``, symmetric and positive semi-definite. Raises InputError for others."""
    full = torch.as_tensor(matrix, dtype=torch.float64).detach()
    if full.ndim != 2 or full.shape[0] != full.shape[1] or not torch.allclose(full, full.T, rtol=1e-10, atol=0.0):
        raise InputError(f"Covariance: a matrix of shape {tuple(full.shape)} given; a symmetric and finite one (n, n) is needed.")
    values, vectors = torch.linalg.eigh(full)
    if float(values[0]) < -1e-10 * float(values[-1].abs()):
        raise InputError(f"Covariance: a matrix with the eigenvalue {float(values[0]):.3g} given; variances cannot be negative.")
    return Factored(vectors * values.clamp_min(0).sqrt())


def sampled_covariance(states: Tensor) -> Covariance:
    r""":math:`\frac1{K-1}\sum(x_i-\bar x)(x_i-\bar x)^T` of states ``(samples, channel, *space)``: an ensemble, or snapshots of a long run.

    The root is that of the n x n matrix where there are more samples than numbers in a state. Raises InputError for fewer than two samples.
    """
    flat = states.detach().flatten(1)
    if len(flat) < 2 or not bool(torch.isfinite(flat).all()):
        raise InputError(f"Covariance: {len(flat)} samples given; at least two states are needed, all finite.")
    deviations = (flat - flat.mean(0)) / math.sqrt(len(flat) - 1)
    if len(flat) <= flat.shape[1]:
        return Factored(deviations.T)
    deviations = deviations.double()
    return given(deviations.T @ deviations)


@dataclass(frozen=True, eq=False)
class GaussianCovariance(Covariance):
    r"""Correlations :math:`e^{-|x-y|^2/2\ell^2}` between the points of a grid, none between channels.

    On a periodic grid it is summed over all periods and divided by its value at 0, and its symmetric root is diagonal in Fourier space; on
    others it is a product of one matrix per axis.

    Parameters
    ----------
    grid : of the states.
    length : :math:`\ell`, in units of length of the grid; one number, or one per axis.
    deviation : standard deviation; one number, or one per channel.
    """

    grid: Grid
    length: float | Sequence[float]
    deviation: float | Sequence[float] = 1.0

    def __post_init__(self) -> None:
        ndim = self.grid.ndim
        if ndim == 0 or len(self._lengths) != ndim or not all(0 < one < math.inf for one in self._lengths):
            raise InputError(
                f"GaussianCovariance: length={self.length} given for a grid with {ndim} axes; positive numbers are needed, one per axis or one."
            )
        if not self._deviations or not all(0 <= one < math.inf for one in self._deviations):
            raise InputError(f"GaussianCovariance: deviation={self.deviation} given; numbers of at least 0 are needed.")

    def columns(self, n: int) -> int:
        points, channels = math.prod(self.grid.shape), len(self._deviations)
        return _fits(n, n if channels == 1 and n % points == 0 else channels * points)

    def root(self, v: Tensor, n: int) -> Tensor:
        u = v.reshape(*v.shape[:-1], -1, *self.grid.shape)
        if all(self.grid.periodic):
            transform = Transform(self.grid.to(v.device, v.dtype))
            u = transform.inverse(transform.forward(u) * self._spectrum.to(v))
        else:
            for axis, root in enumerate(self._roots):
                u = (u.movedim(axis - self.grid.ndim, -1) @ root.to(v)).movedim(-1, axis - self.grid.ndim)
        return (u * torch.tensor(self._deviations).to(v).reshape(-1, *(1,) * self.grid.ndim)).reshape(v.shape)

    @property
    def _lengths(self) -> tuple[float, ...]:
        return (float(self.length),) * self.grid.ndim if isinstance(self.length, int | float) else tuple(self.length)

    @property
    def _deviations(self) -> tuple[float, ...]:
        return (float(self.deviation),) if isinstance(self.deviation, int | float) else tuple(self.deviation)

    @cached_property
    def _matrices(self) -> list[Tensor]:
        return [_correlation(self.grid.to("cpu", torch.float64), axis, one) for axis, one in enumerate(self._lengths)]

    @cached_property
    def _spectrum(self) -> Tensor:
        """Roots of the eigenvalues: of a circulant matrix, these are the transform of its first row."""
        first, *others = (matrix[0] for matrix in self._matrices)
        for row in others:
            first = first.unsqueeze(-1) * row
        return (Transform(self.grid.to("cpu", torch.float64)).forward(first) * first.numel()).real.clamp_min(0).sqrt()

    @cached_property
    def _roots(self) -> list[Tensor]:
        """One symmetric root per axis."""
        found = []
        for matrix in self._matrices:
            values, vectors = torch.linalg.eigh(matrix)
            found.append((vectors * values.clamp_min(0).sqrt()) @ vectors.T)
        return found


@dataclass(frozen=True, eq=False)
class Scaled(Covariance):
    """See :meth:`Covariance.scaled`."""

    of: Covariance
    variance: float

    def __post_init__(self) -> None:
        if not 0 <= self.variance < math.inf:
            raise InputError(f"Covariance: a scale of {self.variance} given; a number of at least 0 is needed.")

    def columns(self, n: int) -> int:
        return self.of.columns(n)

    def root(self, v: Tensor, n: int) -> Tensor:
        return math.sqrt(self.variance) * self.of.root(v, n)


@dataclass(frozen=True, eq=False)
class Added(Covariance):
    """A sum; the columns of one root beside those of the other."""

    first: Covariance
    second: Covariance

    def columns(self, n: int) -> int:
        return self.first.columns(n) + self.second.columns(n)

    def root(self, v: Tensor, n: int) -> Tensor:
        split = self.first.columns(n)
        return self.first.root(v[..., :split], n) + self.second.root(v[..., split:], n)


def as_covariance(value: Covariance | Tensor | float) -> Covariance:
    """A matrix or a standard deviation stands for the covariance that it gives."""
    if isinstance(value, Covariance):
        return value
    return given(value) if isinstance(value, Tensor) and value.ndim == 2 else Uncorrelated(value)


def _correlation(grid: Grid, axis: int, length: float) -> Tensor:
    """Correlations ``(points, points)`` along one axis, summed over the periods of a periodic one."""
    x = grid.axes()[axis]
    d = x.unsqueeze(1) - x
    if not grid.periodic[axis]:
        return torch.exp(-((d / length) ** 2) / 2)
    period = grid.lengths[axis]
    most = math.ceil(1 + 9 * length / period)  # beyond 9 lengths it is below 1e-17
    images = torch.exp(-(((d.unsqueeze(-1) + period * torch.arange(-most, most + 1)) / length) ** 2) / 2).sum(-1)
    return images / images[0, 0]


def _fits(n: int, expected: int) -> int:
    if n != expected:
        raise InputError(f"Covariance: made for states of {expected} numbers, given one of {n}; make it for the grid and channels of the model.")
    return n
