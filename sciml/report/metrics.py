"""The figures of a comparison: errors against the truth, and conservation of the mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sciml.report.truth import Pair, relative_l2


@dataclass(frozen=True)
class Errors:
    """How far a solution is from the truth.

    Attributes
    ----------
    times : ``(T,)``.
    over_time : relative L2 error at each time, ``(T,)``.
    final : relative L2 error at the last time.
    total : relative L2 error over all times and points together.
    largest : largest pointwise error, in the unit of the field.
    """

    times: np.ndarray
    over_time: np.ndarray
    final: float
    total: float
    largest: float


def errors(pair: Pair) -> Errors:
    """The errors of a pair."""
    over_time = relative_l2(pair.predicted, pair.true)
    difference = pair.predicted - pair.true
    total = float(np.sqrt((difference**2).sum()) / (np.sqrt((pair.true**2).sum()) or 1.0))
    return Errors(pair.times, over_time, float(over_time[-1]), total, float(np.abs(difference).max()))


def mean_drift(values: np.ndarray) -> float:
    r"""Largest change of the mean of any field, :math:`\max_t |\bar u(t)-\bar u(0)|`, relative to the field's initial root mean square.

    ``values`` is ``(T, field, *space)`` on a uniform grid.
    """
    if values.ndim == 2:
        values = values[..., None]
    space = tuple(range(2, values.ndim))
    means = values.mean(axis=space)
    size = np.sqrt((values[0] ** 2).mean(axis=tuple(a - 1 for a in space)))
    scale = np.where(size > 0, size, 1.0)
    return float((np.abs(means - means[0]) / scale).max())
