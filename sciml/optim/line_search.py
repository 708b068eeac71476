"""A line search for the strong Wolfe conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

DECREASE, CURVATURE = 1e-4, 0.9
"""The two constants of the conditions, for quasi-Newton directions."""
EVALUATIONS = 25
"""The most that one search may cost."""


class Trial(NamedTuple):
    """The loss along a line at one step length.

    Attributes
    ----------
    length : of the step, in multiples of the direction.
    loss, slope : there; the slope is the derivative by the length.
    gradient : of the loss by the weights.
    """

    length: float
    loss: float
    slope: float
    gradient: Tensor

    def finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.slope)


def strong_wolfe(evaluate: Callable[[float], Trial], start: Trial, length: float) -> Trial | None:
    r"""A step :math:`\alpha` with :math:`f(\alpha)\le f(0)+c_1\alpha f'(0)` and :math:`|f'(\alpha)|\le c_2|f'(0)|`; ``length`` is tried first.

    The step grows until an interval surely holds such a point, which cubic interpolation then narrows (Nocedal & Wright, Numerical
    Optimization, 2nd ed., algorithms 3.5 and 3.6). A loss that is not finite counts as too far.

    Where the evaluations are used up, or rounding leaves no room, the lowest trial with the first condition is returned, and None if there is none.
    """
    before, held = start, Held(evaluate, start)
    while held.spent < EVALUATIONS:
        here = held.at(length)
        if not here.finite() or not held.low_enough(here) or (held.spent > 1 and here.loss >= before.loss):
            return held.narrowed(before, here)
        if held.flat_enough(here):
            return here
        if here.slope >= 0:
            return held.narrowed(here, before)
        guess = _minimum(before, here)
        before, length = here, min(max(guess, 2 * length), 10 * length) if math.isfinite(guess) else 10 * length
    return held.best


class Held:
    """One search: its start, its lowest good trial, and what it has spent."""

    def __init__(self, evaluate: Callable[[float], Trial], start: Trial) -> None:
        self.evaluate, self.start, self.spent = evaluate, start, 0
        self.best: Trial | None = None

    def at(self, length: float) -> Trial:
        trial = self.evaluate(length)
        self.spent += 1
        if trial.finite() and self.low_enough(trial) and trial.loss < (self.start if self.best is None else self.best).loss:
            self.best = trial
        return trial

    def low_enough(self, trial: Trial) -> bool:
        return trial.loss <= self.start.loss + DECREASE * trial.length * self.start.slope

    def flat_enough(self, trial: Trial) -> bool:
        return abs(trial.slope) <= -CURVATURE * self.start.slope

    def narrowed(self, low: Trial, high: Trial) -> Trial | None:
        """Search between ``low``, the best end, from where the loss falls towards ``high``, and ``high``."""
        while self.spent < EVALUATIONS:
            width = high.length - low.length
            if abs(width) <= 1e-14 * max(low.length, high.length):
                break
            length = _minimum(low, high) if high.finite() else math.nan
            nearest = low.length + 0.1 * width, low.length + 0.9 * width
            if not min(nearest) <= length <= max(nearest):
                length = low.length + 0.5 * width  # interpolation failed, or hardly shrinks the interval
            here = self.at(length)
            if not here.finite() or not self.low_enough(here) or here.loss >= low.loss:
                high = here
            else:
                if self.flat_enough(here):
                    return here
                if here.slope * width >= 0:
                    high = low
                low = here
        return self.best


def _minimum(a: Trial, b: Trial) -> float:
    """Where the cubic through losses and slopes of two trials is smallest; NaN if nowhere."""
    if a.length == b.length:
        return math.nan
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.length - b.length)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return math.nan
    d2 = math.copysign(math.sqrt(square), b.length - a.length)
    below = b.slope - a.slope + 2 * d2
    return b.length - (b.length - a.length) * (b.slope + d2 - d1) / below if below != 0 else math.nan
