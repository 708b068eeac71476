"""What a cycle is made of: forecasts, analyses, and what both leave behind, whatever the method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sciml.assimilation.lost import redrawn
from sciml.assimilation.observation import Observation
from sciml.assimilation.record import Record
from sciml.core.errors import BlowUpError
from sciml.core.propagator import Propagator, Stepper
from sciml.core.rollout import trajectory


class Stage(NamedTuple):
    """One time of data.

    Attributes
    ----------
    number : of the cycle, from 0.
    time : of its data.
    forecast, analysis : ensembles at that time, before and after the data, ``(*batch, N, channel, *space)``.
    record : of the analysis.
    state : from which the next cycles go on; tensors, or tuples and lists of tensors.
    smoothed : of smoothers, numbers of earlier cycles with their ensembles, now that no later data will change them.
    """

    number: int
    time: float
    forecast: Tensor
    analysis: Tensor
    record: Record
    state: Any
    smoothed: tuple[tuple[int, Tensor], ...] = ()


class Data(NamedTuple):
    """What is assimilated.

    Attributes
    ----------
    step : the forecast model.
    observation : with the model's grid.
    y : ``(cycles, *batch, m)``, NaN where missing; row k at ``start + (k + 1) * every * step.dt``.
    every : steps between two rows.
    start : time of the first ensemble.
    generator : of the random choices of a forecast.
    lost : what happens to members whose forecast is not finite: "raise" or "replace".
    notes : to which replacements are added.
    """

    step: Propagator | Stepper
    observation: Observation
    y: Tensor
    every: int
    start: float
    generator: torch.Generator | None = None
    lost: str = "raise"
    notes: list[str] | None = None

    def time(self, k: int) -> float:
        """Of row k; -1 is the start."""
        return self.start + (k + 1) * self.every * self.step.dt

    def forecast(self, ensemble: Tensor, k: int, *, checkpoint: bool = False) -> Tensor:
        """The members at row k from those at row k - 1. Raises BlowUpError for members that are no longer finite.

        ``checkpoint`` spares memory where derivatives go backward: the steps between are computed again there.
        """
        *_, (_, later) = trajectory(self.step, ensemble, self.every, every=self.every, time=self.time(k - 1), checkpoint=checkpoint)
        return self.checked(later, k)

    def checked(self, later: Tensor, k: int) -> Tensor:
        """Members of a forecast to row k if they are finite, or with those that are not replaced; else raises BlowUpError."""
        if bool(torch.isfinite(later).all()):
            return later
        if self.lost == "replace" and self.generator is not None:
            found, notes = redrawn(later, self.step.grid.ndim, self.generator, self.time(k))
            if self.notes is not None:
                self.notes.extend(notes)
            return found
        bad = (~torch.isfinite(later.flatten(later.ndim - 1 - self.step.grid.ndim)).all(-1)).nonzero().tolist()
        which = ", ".join(str(place[0] if len(place) == 1 else tuple(place)) for place in bad[:4])
        raise BlowUpError(
            f"cycle: the forecast of member {which}{' and others' if len(bad) > 4 else ''} is not finite at t={self.time(k):.6g}. Take a smaller "
            f"step than dt={self.step.dt:.3g}, less inflation, or a smaller spread of the first ensemble; or lost='replace', which draws such "
            "members from the others."
        )


class Assimilator(ABC):
    """Anything that :func:`sciml.cycle` can run: filters and smoothers."""

    @abstractmethod
    def stages(self, data: Data, ensemble: Tensor, generator: torch.Generator, *, begin: int = 0, state: Any = None) -> Iterator[Stage]:
        """One stage per row of data from number ``begin`` on, there from the ``state`` of the stage before."""
