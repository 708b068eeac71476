r"""Which label is at a place: :math:`X + \delta(X,t) = x` solved for X, for any number of points at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sciml.core.errors import BlowUpError

Displacement = Callable[[Tensor, Tensor], Tensor]
r"""Times and labels, each ``(n,)``, to :math:`\delta` there; periodic in the label."""

LABELS = 512
ROWS = 129
"""Labels per period, and instants, of the table that first guesses are read from."""
CHUNK = 2**15
MOST = 100
"""Iterations; three are usual, and halving the bracket from the worst guess takes sixty."""


@torch.no_grad()
def labels_at(displacement: Displacement, t: Tensor, x: Tensor, length: float) -> Tensor:
    r"""The labels at places ``x`` and times ``t``, both ``(n,)``: by Newton's method with chords for slopes, within a bracket.

    The map is monotone while :math:`J = 1+\delta_X > 0` and moves by a period when the label does, so that every residual brackets its own root.
    First guesses and slopes are interpolated in a table of labels and instants, after which a network is evaluated three times per point.

    Raises BlowUpError where J is not positive on the table: characteristics have crossed.
    """
    if not len(x):
        return x.clone()
    table = Table(displacement, t, length)
    found = [_solved(displacement, a, b, *table.guess(a, b), length) for a, b in zip(t.split(CHUNK), x.split(CHUNK), strict=True)]
    return torch.cat(found)


def _solved(displacement: Displacement, t: Tensor, x: Tensor, label: Tensor, slope: Tensor, length: float) -> Tensor:
    result = label.clone()
    where = torch.arange(len(label), device=label.device)
    low, high = torch.full_like(label, -torch.inf), torch.full_like(label, torch.inf)
    tolerance = 8 * torch.finfo(label.dtype).eps * (x.abs() + length)
    before = torch.zeros_like(label), torch.full_like(label, torch.nan)  # of the last step: its length, and the residual that it started from
    for _ in range(MOST):
        f = label + displacement(t, label) - x
        chord = (f - before[1]) / before[0]
        change = (chord / slope - 1).abs()
        slope = torch.where(chord > 0, chord, slope)
        # one period further the residual is larger by one period
        periods = torch.ceil(f.abs() / length) * length
        low = torch.maximum(low, torch.where(f > 0, label - periods, label))
        high = torch.minimum(high, torch.where(f > 0, label, label + periods))
        step = label - f / slope
        middle = (low + high) / 2
        good = (step >= low) & (step <= high)
        result[where] = torch.where(f.abs() <= tolerance, label, torch.where(good, step, middle))
        # the next residual is this one times the error of the slope, of which the last change is an upper bound
        left = (f.abs() > tolerance) & ~(good & (f.abs() * change <= tolerance))
        if not bool(left.any()):
            break
        before = (result[where] - label)[left], f[left]
        where, t, x, low, high, slope, tolerance = (v[left] for v in (where, t, x, low, high, slope, tolerance))
        label = result[where]
    return result


def check_stretch(stretch: Tensor, t: Tensor, x: Tensor) -> None:
    """Raise BlowUpError unless J is positive everywhere."""
    if bool((stretch > 0).all()):
        return
    worst = int(torch.where(torch.isnan(stretch), -torch.inf, stretch).argmin())
    where = f"t={float(t[worst]):.4g} near x={float(x[worst]):.4g}"
    raise BlowUpError(
        f"Characteristics have crossed: J = dx/dX = {float(stretch[worst]):.3g} at {where}, so the place has no single label. Train longer, end "
        "earlier, or raise the viscosity; for a standing shock that is narrower than the network resolves take sciml.PINN or a finite-volume solver."
    )


class Table:
    """Labels over place and time, in a frame that moves with the mean displacement, where they vary slowly."""

    def __init__(self, displacement: Displacement, t: Tensor, length: float) -> None:
        self.length = length
        distinct = torch.unique(t)
        if len(distinct) > ROWS:
            distinct = torch.linspace(float(t.min()), float(t.max()), ROWS, dtype=t.dtype, device=t.device)
        self.times = distinct
        labels = torch.arange(LABELS + 1, dtype=t.dtype, device=t.device) * (length / LABELS)
        times, label = distinct.repeat_interleave(len(labels)), labels.repeat(len(distinct))
        delta, slope = torch.func.jvp(lambda v: displacement(times, v), (label,), (torch.ones_like(label),))[:2]
        check_stretch(1 + slope, times, label + delta)
        delta = delta.view(len(distinct), -1)
        self.mean = delta[:, :-1].mean(1)
        shifted = labels + delta - self.mean[:, None]
        self.first = shifted[:, 0]
        # labels at places that are equally spaced from that of label 0, by linear interpolation
        wanted = labels[:-1].expand(len(distinct), -1)
        rising = (shifted - self.first[:, None]).contiguous()
        right = torch.searchsorted(rising, wanted.contiguous(), right=True).clamp(1, LABELS)
        a, b = rising.gather(1, right - 1), rising.gather(1, right)
        part = (wanted - a) / (b - a)
        self.labels = labels[right - 1] + part * (labels[right] - labels[right - 1])

    def guess(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Labels near the right ones, and the slopes of place over label there."""
        if len(self.times) == 1:
            return self._row(torch.zeros_like(t, dtype=torch.long), x - self.mean[0])
        right = torch.searchsorted(self.times, t.contiguous()).clamp(1, len(self.times) - 1)
        a, b = self.times[right - 1], self.times[right]
        part = (t - a) / (b - a)
        x = x - (self.mean[right - 1] + part * (self.mean[right] - self.mean[right - 1]))
        first, second = self._row(right - 1, x), self._row(right, x)
        return first[0] * (1 - part) + second[0] * part, first[1] * (1 - part) + second[1] * part

    def _row(self, row: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The label at the moving place ``x`` in the table's row, and the slope."""
        offset = x - self.first[row]
        turns = torch.floor(offset / self.length)
        place = (offset - turns * self.length) * (LABELS / self.length)
        left = place.long().clamp(0, LABELS - 1)
        lower = self.labels[row, left]
        upper = torch.where(left + 1 < LABELS, self.labels[row, (left + 1) % LABELS], self.length)
        return lower + (place - left) * (upper - lower) + turns * self.length, self.length / LABELS / (upper - lower)
