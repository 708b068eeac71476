"""Particle filters: members weighed by the data, which need not be nearly Gaussian."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from sciml.assimilation.analysis import Analysis, record_of, where_heard
from sciml.assimilation.ensemble import Prior, prior_of
from sciml.assimilation.noise import drawn
from sciml.assimilation.observation import Observation
from sciml.assimilation.resampling import SCHEMES, effective_size
from sciml.assimilation.stages import Assimilator, Data, Stage
from sciml.assimilation.stochastic import Stochastic
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.rollout import trajectory


@dataclass(frozen=True)
class ParticleFilter(Analysis):
    r"""Bootstrap particle filter: members keep their states and are weighed, :math:`w_i\leftarrow w_i\exp(-\tfrac12|R^{-1/2}(y-h(x_i))|^2)/\sum`.

    Where the effective size :math:`1/\sum w^2` is small, members are drawn by their weights and weigh the same again. Copies then go the same way,
    unless the model is :class:`sciml.Stochastic` or a jitter parts them. It is exact for any h and any distribution as N grows, but N must grow
    exponentially with the number of independent observations.

    N. J. Gordon, D. J. Salmond & A. F. M. Smith, IEE Proc. F 140 (1993) 107; A. Doucet, S. Godsill & C. Andrieu, Stat. Comput. 10 (2000) 197.

    Parameters
    ----------
    threshold : resample where the effective size is at most this part of N; 1 for always.
    resampling : "systematic", "stratified", "residual" or "multinomial".
    jitter : size of a random displacement of members that go on more than once. It has the members' weighted covariance times the square of
        :math:`\mathrm{jitter}\;N^{-1/(n+4)}`, Scott's width of a kernel for n variables; a bias that goes to 0 as N grows.

    Weights travel from cycle to cycle as the record's ``memory``; scores, means and ``record.weights`` use them, and the series "effective" of
    :func:`sciml.cycle` is the effective size. Gradients pass through states and weights, not through the choice of members.

    *Good values*: ``threshold=0.2, jitter=0.9`` for 800 members of Lorenz 63; no jitter for stochastic models.
    """

    threshold: float = 0.5
    resampling: str = "systematic"
    jitter: float = 0.0

    weighted = True

    def __post_init__(self) -> None:
        _check(type(self).__name__, self.threshold, self.resampling)
        if not 0 <= self.jitter < float("inf"):
            raise InputError(f"ParticleFilter: jitter={self.jitter} given; a number of at least 0 is needed.")

    @final
    def first(self, prior: Prior) -> Tensor:
        return alike(prior)

    @final
    def update(self, prior: Prior) -> Tensor:
        assert prior.memory is not None
        s, d = prior.whitened
        weights = reweighted(prior.memory, -(d.unsqueeze(-2) - s).square().sum(-1) / 2)
        members = prior.mean.unsqueeze(-2) + prior.anomalies
        prior.notes.numbers["effective"] = effective_size(weights)
        chosen, after = chosen_by(weights, self.threshold, self.resampling, prior.generator)
        moved = taken(members, chosen)
        if self.jitter:
            twice = chosen[..., 1:] == chosen[..., :-1]
            no = torch.zeros_like(twice[..., :1])
            copies = (torch.cat([twice, no], -1) | torch.cat([no, twice], -1)).unsqueeze(-1)
            moved = torch.where(copies, moved + self._displacements(prior, weights), moved)
        prior.notes.memory = after
        return moved

    def _displacements(self, prior: Prior, weights: Tensor) -> Tensor:
        """``(*batch, N, n)``."""
        size, n = prior.size, prior.mean.shape[-1]
        # a single member that has all the weight tells no covariance
        told = torch.where((effective_size(weights) > 1 + 1e-6).unsqueeze(-1), weights, alike(prior))
        a = prior.weighted(told).anomalies / (size - 1) ** 0.5
        if n < size:
            values, vectors = torch.linalg.eigh(a.transpose(-1, -2) @ a)
            a = values.clamp_min(0).sqrt().unsqueeze(-1) * vectors.transpose(-1, -2)
        z = drawn((*a.shape[:-2], size, a.shape[-2]), a, prior.generator)
        return self.jitter * size ** (-1 / (n + 4)) * (z @ a)


@dataclass(frozen=True)
class OptimalParticleFilter(Assimilator):
    r"""Particle filter that knows the data when it draws the model's error: for :class:`sciml.Stochastic` models and linear instruments.

    With the forecast :math:`f_i` of member i before the last error :math:`q\sim N(0,Q)` and :math:`C=HQH^T+R`, :math:`K=QH^TC^{-1}`, weights and new
    members are exactly

    .. math:: w_i\leftarrow w_i\exp(-\tfrac12(y-Hf_i)^TC^{-1}(y-Hf_i))/\sum,\qquad x_i\sim N(f_i+K(y-Hf_i),(I-KH)Q).

    The weights do not depend on the draw, so members are resampled before it, and no two stay alike. No other choice of draws leaves less variance
    in the weights given the members before.

    A. Doucet, S. Godsill & C. Andrieu, Stat. Comput. 10 (2000) 197, section II.D.1; A. J. Chorin & X. Tu, Proc. Natl. Acad. Sci. 106 (2009) 17249.

    Parameters
    ----------
    threshold, resampling : see :class:`ParticleFilter`.

    From :func:`sciml.cycle` raises InputError for a model that is not Stochastic, UnsupportedError for an instrument that is not linear.
    """

    threshold: float = 0.5
    resampling: str = "systematic"

    def __post_init__(self) -> None:
        _check(type(self).__name__, self.threshold, self.resampling)

    def stages(self, data: Data, ensemble: Tensor, generator: torch.Generator, *, begin: int = 0, state: Any = None) -> Iterator[Stage]:
        step = data.step
        if not isinstance(step, Stochastic):
            raise InputError(f"OptimalParticleFilter: a {type(step).__name__} given; its errors are needed: sciml.Stochastic(step, covariance=...).")
        members, weights = (ensemble, None) if state is None else state
        for k in range(begin, len(data.y)):
            centres = data.checked(_before_last(data, step, members, k), k)
            forecast = step.disturbed(centres, generator)
            prior = prior_of(forecast, data.y[k], data.observation, generator=generator, time=data.time(k), least=2, who=type(self).__name__)
            before = alike(prior) if weights is None else weights
            members, weights, effective = self._drawn(prior, centres, forecast, data.y[k], step, before)
            record = record_of(prior.weighted(before))
            record.numbers["effective"] = effective
            yield Stage(k, data.time(k), forecast, members, record.weighing(before, weights), (members, weights))

    def _drawn(self, prior: Prior, centres: Tensor, forecast: Tensor, y: Tensor, step: Stochastic, before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Members ``(*batch, N, channel, *space)``, weights ``(*batch, N)`` and effective sizes ``(*batch,)`` after the data."""
        f, x = (e.reshape(prior.anomalies.shape) for e in (centres, forecast))
        rows = linear(prior.observation, f.shape[-1], centres, prior.time)
        offset = prior.observation(centres, prior.time) - f @ rows
        present = prior.present.unsqueeze(-2)
        q, m = step.errors.covariance(f.shape[-1], f), rows.shape[-1]
        both = prior.present.unsqueeze(-1) & present
        seen = rows.T @ q @ rows + prior.observation.errors.covariance(m, f)
        factor = torch.linalg.cholesky(torch.where(both, seen, torch.eye(m, dtype=f.dtype, device=f.device)))

        def innovations(of: Tensor) -> Tensor:
            return torch.where(present, y.to(of).unsqueeze(-2) - (of @ rows + offset), 0.0)

        white = torch.linalg.solve_triangular(factor, innovations(f).transpose(-1, -2), upper=False)
        weights = reweighted(before, -white.square().sum(-2) / 2)
        chosen, after = chosen_by(weights, self.threshold, self.resampling, prior.generator)
        after = where_heard(prior, after, before)
        # f + q + K (y + e - H (f + q)) with e ~ N(0, R) has the mean and the covariance that are wanted
        moved = taken(f, chosen) + (x - f)
        errors = prior.observation.errors.sample(tuple(moved.shape[:-1]), m, moved, prior.generator)
        pulled = torch.where(present, innovations(moved) + errors, 0.0)
        gained = torch.cholesky_solve(pulled.transpose(-1, -2), factor).transpose(-1, -2) @ (rows.T @ q)
        return where_heard(prior, (moved + gained).reshape(forecast.shape), forecast), after, effective_size(weights)


def _before_last(data: Data, step: Stochastic, ensemble: Tensor, k: int) -> Tensor:
    """Members at row k from those at row k - 1, but for the errors of the last step."""
    time, steps = data.time(k - 1), data.every - 1
    if steps:
        *_, (_, ensemble) = trajectory(step, ensemble, steps, every=steps, time=time)
    return step.undisturbed(ensemble, time + steps * step.dt)


def alike(prior: Prior) -> Tensor:
    """Equal weights ``(*batch, N)``."""
    return torch.full_like(prior.anomalies[..., 0], 1 / prior.size)


def reweighted(weights: Tensor, log_likelihood: Tensor) -> Tensor:
    """Bayes' rule for weights ``(*batch, N)``."""
    return torch.softmax(weights.log() + log_likelihood, -1)


def chosen_by(weights: Tensor, threshold: float, scheme: str, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Numbers of the members that go on and their weights, both ``(*batch, N)``; as they are where the effective size is large enough."""
    n = weights.shape[-1]
    uniform = torch.rand(weights.shape, dtype=torch.float64, device=generator.device, generator=generator).to(weights.device)
    again = (effective_size(weights) <= threshold * n * (1 + 1e-6)).unsqueeze(-1)
    chosen = torch.where(again, SCHEMES[scheme](weights.detach(), uniform), torch.arange(n, device=weights.device))
    return chosen, torch.where(again, 1 / n, weights)


def taken(members: Tensor, chosen: Tensor) -> Tensor:
    """Members ``(*batch, N, n)`` of numbers ``(*batch, N)``."""
    return members.gather(-2, chosen.unsqueeze(-1).expand(members.shape))


def linear(observation: Observation, n: int, like: Tensor, time: float) -> Tensor:
    """:math:`H^T` ``(n, m)`` of an instrument that is linear but for a constant, from what it sees of unit states.

    Raises UnsupportedError unless it is, by what it sees of the states ``like`` ``(*batch, N, channel, *space)``.
    """
    grid = observation.grid
    assert grid is not None
    shape = like.shape[like.ndim - 1 - grid.ndim :]
    zero = observation(like.new_zeros((1, *shape)), time)
    rows = observation(torch.eye(n, dtype=like.dtype, device=like.device).reshape(n, *shape), time) - zero
    seen = observation(like, time)
    error = (like.reshape(*like.shape[: like.ndim - len(shape)], n) @ rows + zero - seen).abs().amax()
    if not bool(error <= 1e3 * torch.finfo(like.dtype).eps * (seen.abs().amax() + rows.abs().amax() * like.abs().amax() + zero.abs().amax())):
        raise UnsupportedError(
            "OptimalParticleFilter: the instrument is not linear in the state; use sciml.ParticleFilter, which needs only what members show."
        )
    return rows


def _check(who: str, threshold: float, resampling: str) -> None:
    if not 0 <= threshold <= 1:
        raise InputError(f"{who}: threshold={threshold} given; a part of the members from 0 to 1 is needed, 1 to resample always.")
    if resampling not in SCHEMES:
        raise InputError(f"{who}: resampling={resampling!r} given; choose {', '.join(SCHEMES)}.")
