"""The progress of a training on standard error."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

from tqdm import tqdm

from sciml.training.history import Epoch
from sciml.training.plan import Plan


class Bar:
    """A bar over the training with losses and time left if ``show`` is True; a function is called with the fraction done."""

    def __init__(self, plan: Plan, per_epoch: int, show: bool | Callable[[float], None]) -> None:
        self.plan, self.per_epoch, self.losses, self.show = plan, per_epoch, "", show
        form = "{desc} {percentage:3.0f}%|{bar:24}| [{elapsed}<{remaining}]{postfix}"
        self._bar = tqdm(total=1.0, desc="training", bar_format=form, file=sys.stderr, disable=show is not True, mininterval=0.2)

    def reached(self, step: int, seconds: float, loss: float) -> None:
        """So many steps and seconds are done; ``loss`` is the latest batch's."""
        fraction = self.plan.fraction(step, self.per_epoch, seconds)
        if callable(self.show):
            self.show(fraction)
        if self._bar.disable:
            return
        epochs = "" if self.plan.epochs is None else f"/{self.plan.epochs}"
        now = f"epoch {min(step // self.per_epoch + 1, self.plan.epochs or sys.maxsize)}{epochs}, batch {loss:.3e}"
        self._bar.set_postfix_str(", ".join(filter(None, (now, self.losses))), refresh=False)
        self._bar.update(fraction - self._bar.n)

    def finished(self, row: Epoch) -> None:
        """An epoch has ended."""
        self.losses = f"training {row.loss:.3e}" + (f", validation {row.validation:.3e}" if math.isfinite(row.validation) else "")

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()
