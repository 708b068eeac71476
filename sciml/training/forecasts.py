"""How long a rollout of a learned model stays good: the figures that an error at one instant does not show."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sciml.core.errors import InputError


def time_to_correlation(predicted: Tensor, true: Tensor, dt: float, *, ndim: int, threshold: float = 0.8) -> Tensor:
    r"""The time until which a forecast keeps a correlation of ``threshold`` with the truth, ``(*batch,)``, float64.

    The correlation at one instant is :math:`\langle p,y\rangle/(\|p\|\|y\|)` over channels and space, of the deviations from each channel's
    mean over space. The answer is the first instant at which it is below the threshold, or not a number, linearly interpolated from the
    instant before; infinity if there is none.

    Parameters
    ----------
    predicted, true : ``(time, *batch, channel, *space)``, the first instant that of the initial state, at time 0.
    dt : time between two states.
    ndim : number of space axes.
    threshold : between -1 and 1.
    """
    _check(predicted, true, ndim)
    if not -1 <= threshold <= 1:
        raise InputError(f"time_to_correlation: threshold={threshold} given; a correlation lies between -1 and 1.")
    space, all_axes = tuple(range(-ndim, 0)), tuple(range(-ndim - 1, 0))
    p, y = ((v.double() - v.double().mean(space, keepdim=True)) for v in (predicted, true))
    sizes = torch.linalg.vector_norm(p, dim=all_axes) * torch.linalg.vector_norm(y, dim=all_axes)
    alike = (p == y).flatten(-ndim - 1).all(-1)
    correlation = torch.where(alike, 1.0, (p * y).sum(all_axes) / sizes)  # two constant fields are alike; 0/0 is not
    below = ~(correlation >= threshold)
    first = below.int().argmax(0)
    after = correlation.gather(0, first.unsqueeze(0))[0]
    before = correlation.gather(0, (first - 1).clamp(min=0).unsqueeze(0))[0]
    part = torch.where(torch.isfinite(after) & (first > 0), (before - threshold) / (before - after), 1.0)
    time = torch.where(first > 0, (first - 1 + part) * dt, 0.0)
    return torch.where(below.any(0), time, math.inf)


def blown_up(predicted: Tensor, true: Tensor, *, ndim: int, factor: float = 10.0) -> float:
    """The fraction of forecasts that left the finite numbers, or exceeded ``factor`` times the largest value of their truth, at any instant.

    ``predicted`` and ``true`` are ``(time, *batch, channel, *space)``.
    """
    _check(predicted, true, ndim)
    if not factor > 0:
        raise InputError(f"blown_up: factor={factor} given; a positive number is needed.")
    batch = predicted.ndim - ndim - 2

    def largest(v: Tensor) -> Tensor:
        return v.abs().movedim(0, batch).flatten(batch).amax(-1)

    return float((~(largest(predicted) <= factor * largest(true))).double().mean())


def _check(predicted: Tensor, true: Tensor, ndim: int) -> None:
    if predicted.shape != true.shape or not 0 <= ndim <= predicted.ndim - 2 or len(predicted) == 0:
        raise InputError(
            f"Forecasts of shape {tuple(predicted.shape)} and truth of shape {tuple(true.shape)} given for {ndim} space axes; "
            "both must be (time, *batch, channel, *space)."
        )
