"""The least-squares problem of a window of data: a state at its start, what it becomes, and what instruments see of that."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from sciml.assimilation.analysis import record_of
from sciml.assimilation.covariance import Covariance
from sciml.assimilation.ensemble import Prior, prior_of
from sciml.assimilation.least_squares import LeastSquares, Minimum
from sciml.assimilation.observation import Observation
from sciml.assimilation.record import Record
from sciml.assimilation.stages import Data
from sciml.assimilation.stochastic import Stochastic
from sciml.core.errors import InputError
from sciml.core.tangent import constant, tangent_linear


class Window(NamedTuple):
    """Data and what lies between them.

    Attributes
    ----------
    observation : with the grid of the states.
    y : rows of data ``(rows, *batch, m)``, NaN where missing.
    times : of these rows.
    ahead : forecasts from the start of the window to the first row.
    forecast : ``(states, number from 1, checkpoint)`` to the states at the next time of data.
    """

    observation: Observation
    y: Tensor
    times: Sequence[float]
    ahead: int
    forecast: Callable[[Tensor, int, bool], Tensor]


class Solved(NamedTuple):
    """Ensembles at the rows before the data, at the start and every time after it with the data, and one record per row."""

    forecasts: tuple[Tensor, ...]
    states: tuple[Tensor, ...]
    records: tuple[Record, ...]


class Problem(NamedTuple):
    """Least squares for :class:`LeastSquares`.

    Attributes
    ----------
    residual : :math:`R^{-1/2}(y-h(x))` of all rows, ``(*batch, N, r)``, of controls ``(*batch, N, c)``.
    path : the states from the window's start on, of such controls. Both take further axes in front.
    zero : controls of the background.
    before : the background's states at the rows.
    priors : these beside the data.
    """

    residual: Callable[[Tensor], Tensor]
    path: Callable[[Tensor], list[Tensor]]
    zero: Tensor
    before: list[Tensor]
    priors: list[Prior]


def posed(window: Window, members: Tensor, covariance: Covariance, model_error: Covariance | None, generator: torch.Generator, who: str) -> Problem:
    r"""For every member ``(*batch, N, channel, *space)`` as background :math:`x_b`

    .. math:: J=\tfrac12|v_0|^2+\tfrac12\sum_j|v_j|^2+\tfrac12\sum_{j}\left|R^{-1/2}\big(y_j-h(x_j)\big)\right|^2,\quad
              x_0=x_b+B^{1/2}v_0,\quad x_j=M(x_{j-1})+Q^{1/2}v_j ,

    without the :math:`v_j` if there is no Q.
    """
    grid = window.observation.grid
    background = members.flatten(members.ndim - 1 - (0 if grid is None else grid.ndim)).contiguous()
    tail, n = members.shape[background.ndim - 1 :], background.shape[-1]
    first = covariance.columns(n)
    more = 0 if model_error is None else model_error.columns(n)
    steps = window.ahead + len(window.y) - 1

    def path(v: Tensor) -> list[Tensor]:
        x = constant(background) + covariance.root(v[..., :first], n)
        states = [x.unflatten(-1, tail)]
        for j in range(1, steps + 1):
            later = window.forecast(states[-1], j, torch.is_grad_enabled())
            if model_error is not None:
                later = later + model_error.root(v[..., first + (j - 1) * more : first + j * more], n).unflatten(-1, tail)
            states.append(later)
        return states

    zero = background.new_zeros((*background.shape[:-1], first + steps * more))
    with torch.no_grad():
        before = path(zero)[window.ahead :]
    priors = [
        prior_of(e, y, window.observation, generator=generator, time=t, least=1, who=who)
        for e, y, t in zip(before, window.y, window.times, strict=True)
    ]
    data = [torch.where(p.present, y, 0.0).unsqueeze(-2).contiguous() for p, y in zip(priors, window.y, strict=True)]

    def residual(v: Tensor) -> Tensor:
        parts = []
        for x, y, p, t in zip(path(v)[window.ahead :], data, priors, window.times, strict=True):
            seen = window.observation(x, t)
            present = p.present.unsqueeze(-2).expand(seen.shape)
            parts.append(window.observation.errors.whiten((constant(y) - seen).unsqueeze(-2), present).squeeze(-2))
        return torch.cat(parts, -1)

    return Problem(residual, path, zero, before, priors)


def solve(problem: Problem, solver: LeastSquares, ahead: int, uncertainty: bool) -> Solved:
    """The most likely states; with ``uncertainty`` also the spread that the curvature of J implies, where the Jacobian is formed."""
    minimum = solver(problem.residual, problem.zero)
    with torch.no_grad():
        states = problem.path(minimum.control)
        formed = uncertainty and minimum.last is not None and problem.zero.shape[-1] <= solver.direct
        spreads = _spreads(problem.path, problem.zero, minimum, ahead) if formed else None
        records = []
        for i, prior in enumerate(problem.priors):
            m = prior.innovation.shape[-1]
            seen = None if minimum.first is None else _rows(minimum.first[..., i * m : (i + 1) * m, :])
            records.append(believed(prior, seen, None if spreads is None else spreads[i]))
    return Solved(tuple(problem.before), tuple(states), tuple(records))


def believed(prior: Prior, seen: Tensor | None, spread: tuple[Tensor, Tensor] | None) -> Record:
    r"""The record of a method with a covariance of its own.

    Parameters
    ----------
    prior : of its mean, or of several.
    seen : rows Y ``(*batch, rows, m)`` with :math:`Y^TY=R^{-1/2}HPH^TR^{-1/2}`; None where that is not known.
    spread : see :class:`Record`; None where it is not known.
    """
    told = record_of(prior)
    white, d = told.whitened
    unknown = torch.full(white.shape[:-2], torch.nan, dtype=white.dtype, device=white.device)
    spread = (unknown, unknown) if spread is None else spread
    if seen is None:
        return replace(told, prior_variance=torch.full_like(told.prior_variance, torch.nan), whitened=(white[..., :0, :], d), spread=spread)
    m, count = seen.shape[-2:][::-1]
    errors = prior.observation.errors
    if errors.diagonal:
        coloured = seen * errors.variances(m, seen).sqrt()
    else:
        identity = torch.eye(m, dtype=seen.dtype, device=seen.device)
        whitening = errors.whiten(identity.expand(*seen.shape[:-2], m, m), prior.present) + torch.diag_embed((~prior.present).to(seen))
        coloured = torch.linalg.solve(whitening.transpose(-1, -2), seen.transpose(-1, -2)).transpose(-1, -2)
    scaled = torch.cat([math.sqrt(count) * seen, torch.zeros_like(seen[..., :1, :])], -2)
    return replace(told, prior_variance=coloured.square().sum(-2), whitened=(scaled, d), spread=spread)


def check_repeatable(data: Data, who: str, remedy: str) -> None:
    """Raise InputError for a model with random errors."""
    if isinstance(data.step, Stochastic):
        raise InputError(f"{who}: a model with random errors given, and it has to give the same forecast each time; {remedy}.")


def root_of(matrix: Tensor) -> Tensor:
    """The symmetric root of positive semi-definite matrices."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(0).sqrt().unsqueeze(-2)) @ vectors.transpose(-1, -2)


def _rows(jacobian: Tensor) -> Tensor:
    """Rows for :func:`believed` from Jacobians of every member ``(*batch, N, m, c)``, their mean covariance."""
    m, c = jacobian.shape[-2:]
    rows = jacobian.transpose(-1, -2) if c <= m else root_of(jacobian @ jacobian.transpose(-1, -2))
    return rows.flatten(-3, -2) / math.sqrt(jacobian.shape[-3])


def _spreads(path: Callable[[Tensor], list[Tensor]], zero: Tensor, minimum: Minimum, ahead: int) -> list[tuple[Tensor, Tensor]]:
    """Of forecast and analysis at every row, from the tangents of all controls before and after."""
    c = zero.shape[-1]
    assert minimum.last is not None
    k = minimum.last
    factor = torch.linalg.cholesky(torch.eye(c, dtype=k.dtype, device=k.device) + k.transpose(-1, -2) @ k)
    every = torch.eye(c, dtype=zero.dtype, device=zero.device).reshape(c, *(1,) * (zero.ndim - 1), c).expand(c, *zero.shape)

    def tangents(v: Tensor) -> Tensor:
        def rows(v: Tensor) -> Tensor:
            return torch.stack([x.flatten(zero.ndim) for x in path(v)[ahead:]])

        return tangent_linear(rows, v.expand(c, *v.shape), every)[1].movedim(1, -2)  # (rows, *batch, N, c, n)

    before = tangents(zero)
    after = torch.linalg.solve_triangular(factor, tangents(minimum.control), upper=False)
    return [(_size(f), _size(a)) for f, a in zip(before, after, strict=True)]


def _size(root: Tensor) -> Tensor:
    """Root mean square over the state and the members of the standard deviation, from ``(*batch, N, c, n)``."""
    return root.square().sum(-2).mean((-1, -2)).sqrt()
