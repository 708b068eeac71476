"""The iterative ensemble Kalman smoother: a nonlinear least-squares problem in the space of the members, over a window of data times."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sciml.assimilation.analysis import record_of, where_heard
from sciml.assimilation.ensemble import Prior, prior_of
from sciml.assimilation.inflation import Inflation, as_inflation, rotation
from sciml.assimilation.stages import Assimilator, Data, Stage
from sciml.assimilation.window import check_repeatable
from sciml.core.checks import check_whole
from sciml.core.errors import InputError


@dataclass(frozen=True)
class IEnKS(Assimilator):
    r"""Iterative ensemble Kalman smoother: the members ``lag`` times of data ago that best explain the newest data, by Gauss-Newton steps on

    .. math:: J(w)=\tfrac12\left|R^{-1/2}\big(y_k-h\circ M(\bar x+wA)\big)\right|^2+\tfrac{N-1}2|w|^2 .

    The whole ensemble goes through the model again in every iteration, spread as the posterior is: :math:`\bar x+(1w^T+T)A`; the sensitivities are
    :math:`S_0=T^{-1}S` of the whitened deviations S that it shows at time k, and

    .. math:: w\leftarrow w+C\,(S_0R^{-1/2}d-(N-1)w),\quad C=(S_0S_0^T+(N-1)I)^{-1},\quad T=\sqrt{N-1}\,C^{1/2} .

    Every datum is used once; then the window moves on by one time of data. With a linear model and linear data the analyses are those of the ETKF and
    the smoothed states those of ``EnKS(ETKF())``. The strength is strongly nonlinear growth between data, where filters diverge.

    The analysis of a :class:`Stage` is at the newest data, the last iteration's forecast with the last step added linearly; smoothed states are at
    the window's start. An analysis costs N * (iterations * lag + 1) forecasts between two times of data.

    Parameters
    ----------
    lag : L, times of data in the window; 1 is the iterative ensemble Kalman filter, 0 iterates for a nonlinear h only.
    iterations : at most.
    tolerance : an experiment whose step is below it, :math:`|\delta w|^2\le\mathrm{tolerance}\,N`, waits for the others; 0 makes all iterations.
    inflation, rotate : of the ensemble at the window's start, after its analysis.
    xN : if given, the inflation before the analysis that the finite-size prior implies, found along with w: N - 1 before :math:`|w|^2` becomes
        :math:`(N-1)c_L/(\epsilon_N+|w|^2)`, see :func:`finite_size`. A larger xN is more certain of the members' own spread: 1 for very chaotic or
        stochastic models, 2 for others. Then no ``inflation`` is needed.

    P. Sakov, D. S. Oliver & L. Bertino, Mon. Weather Rev. 140 (2012) 1988 (lag 1); M. Bocquet & P. Sakov, Q. J. R. Meteorol. Soc. 140 (2014) 1521;
    the finite-size prior: M. Bocquet, P. N. Raanes & A. Hannart, Nonlin. Processes Geophys. 22 (2015) 645.
    """

    lag: int = 1
    iterations: int = 10
    tolerance: float = 1e-5
    inflation: float | Inflation = 1.0
    rotate: bool = False
    xN: float | None = None

    def __post_init__(self) -> None:
        check_whole(0, who="IEnKS", lag=self.lag)
        check_whole(1, who="IEnKS", iterations=self.iterations)
        if as_inflation(self.inflation).adaptive is not None:
            raise InputError("IEnKS: an inflation that adapts to innovations given; use xN=1, which finds the inflation along with the analysis.")
        if not 0 <= self.tolerance < math.inf:
            raise InputError(f"IEnKS: tolerance={self.tolerance} given; a finite number of at least 0 is needed.")
        if self.xN is not None and not 0 < self.xN < math.inf:
            raise InputError(f"IEnKS: xN={self.xN} given; a positive number is needed, or None for no finite-size prior.")

    def stages(self, data: Data, ensemble: Tensor, generator: torch.Generator, *, begin: int = 0, state: Any = None) -> Iterator[Stage]:
        check_repeatable(data, "IEnKS", "give the model without them and inflate more")
        members, end = ensemble if state is None else state, len(data.y) - 1
        for k in range(begin, end + 1):
            start = max(k - self.lag, -1)
            if start > max(k - 1 - self.lag, -1):  # the window moves on
                members = data.forecast(members, start)
            forecast, analysed, members, prior = self._window(data, members, start, k, generator)
            smoothed = [(start, members)] if start >= 0 else []
            if k == end:  # nothing will be known later: the rest of the window is as good as it gets
                for j in range(start + 1, k + 1):
                    smoothed.append((j, data.forecast(smoothed[-1][1] if smoothed else members, j)))
            yield Stage(k, data.time(k), forecast, analysed, record_of(prior), members, tuple(smoothed))

    def _window(self, data: Data, members: Tensor, start: int, k: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Prior]:
        """Forecast and analysis at row k, the members at row ``start`` after the analysis, and the forecast beside the data."""
        flat = members.reshape(*members.shape[: members.ndim - 1 - data.step.grid.ndim], -1)
        mean, n = flat.mean(-2, keepdim=True), flat.shape[-2]
        deviations = flat - mean
        identity = torch.eye(n, dtype=flat.dtype, device=flat.device)
        weights = Weights(flat.new_zeros((*flat.shape[:-2], n)), identity, identity)
        forecast: Tensor | None = None
        active = torch.ones(flat.shape[:-2], dtype=torch.bool, device=flat.device)
        for _ in range(self.iterations):
            later = (mean + (weights.w.unsqueeze(-2) + weights.t) @ deviations).reshape(members.shape) if forecast is not None else members
            for j in range(start + 1, k + 1):
                later = data.forecast(later, j)
            now = prior_of(later, data.y[k], data.observation, generator=generator, time=data.time(k), least=2, who="IEnKS")
            if forecast is None:
                forecast, prior, analysed = later, now, later
            if not bool(now.present.any()):
                return forecast, forecast, members, prior
            next_weights = gauss_newton(*now.whitened, weights, self.xN)
            step = next_weights.w - weights.w
            # what the last step adds is put in linearly, so that one iteration is the ETKF's analysis
            added = (step.unsqueeze(-2) + next_weights.t - weights.t) @ prior.anomalies
            analysed = _where(active, later + added.reshape(later.shape), analysed)
            weights = Weights(*(_where(active, new, old.expand_as(new)) for new, old in zip(next_weights, weights, strict=True)))
            active = active & ~(step.square().sum(-1) <= self.tolerance * n)
            if not bool(active.any()):
                break
        assert forecast is not None
        anomalies = as_inflation(self.inflation)(weights.t @ deviations, deviations)
        if self.rotate:
            anomalies = rotation(tuple(anomalies.shape[:-2]), n, anomalies, generator) @ anomalies
        moved = (mean + weights.w.unsqueeze(-2) @ deviations + anomalies).reshape(members.shape)
        return forecast, where_heard(prior, analysed, forecast), where_heard(prior, moved, members), prior


class Weights(NamedTuple):
    """Of the members at the window's start: w ``(*batch, N)``, T and its inverse ``(*batch, N, N)``."""

    w: Tensor
    t: Tensor
    inverse: Tensor


def gauss_newton(s: Tensor, d: Tensor, at: Weights, xN: float | None) -> Weights:
    """One step from whitened deviations ``(*batch, N, m)`` of an ensemble with these weights and its innovations ``(*batch, m)``."""
    n = s.shape[-2]
    sensitivity = at.inverse @ s
    values, vectors = torch.linalg.eigh(sensitivity @ sensitivity.transpose(-1, -2))
    values = values.clamp_min(0)
    prior = n - 1.0 if xN is None else finite_size(values, at.w, xN).unsqueeze(-1)
    total = values + prior

    def power(p: float) -> Tensor:
        return (vectors * total.pow(p).unsqueeze(-2)) @ vectors.transpose(-1, -2)

    slope = (sensitivity @ d.unsqueeze(-1)).squeeze(-1) - prior * at.w
    step = (power(-1.0) @ slope.unsqueeze(-1)).squeeze(-1)
    return Weights(at.w + step, math.sqrt(n - 1) * power(-0.5), power(0.5) / math.sqrt(n - 1))


def finite_size(values: Tensor, w: Tensor, xN: float) -> Tensor:
    r"""What stands for N - 1 where the members' own covariance is uncertain, :math:`(N-1)c_L/(\epsilon_N+|w|^2)`, ``(*batch,)``.

    :math:`\epsilon_N=1+1/N` and :math:`c_L=N/(N-1)`, moved so that without information in the data it is N - 1, and times xN. ``values`` are the
    eigenvalues of :math:`S_0S_0^T`.
    """
    n = values.shape[-1]
    uncertain, weight = (n + 1) / n, n / (n - 1)
    kept = ((n - 1) / (values + n - 1)).mean(-1)  # about the prior's weight in the analysis, 1 without information
    shift = (uncertain / weight) ** (kept / 2)
    return (n - 1) * xN * weight * shift / (xN * uncertain / shift + w.square().sum(-1))


def _where(active: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(active.reshape(*active.shape, *(1,) * (new.ndim - active.ndim)), new, old)
