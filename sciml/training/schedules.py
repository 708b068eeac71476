"""Learning rates over a training: the factor of the optimiser's own rate as a function of the fraction done.

Being functions of the fraction alone they have no state, and serve trainings of a given number of epochs and of a given time alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from sciml.core.errors import InputError

Schedule = Callable[[float], float]
"""``fraction of the training done, from 0 to 1 -> factor of the learning rate``."""


@dataclass(frozen=True)
class Constant:
    """The same rate throughout."""

    def __call__(self, fraction: float) -> float:
        return 1.0


@dataclass(frozen=True)
class Cosine:
    r"""A linear rise during ``warmup``, then :math:`e+(1-e)(1+\cos\pi s)/2` with s from 0 to 1 and e = ``end``."""

    warmup: float = 0.0
    end: float = 0.0

    def __post_init__(self) -> None:
        _check_between("Cosine", warmup=self.warmup, end=self.end)

    def __call__(self, fraction: float) -> float:
        if fraction < self.warmup:
            return max(fraction / self.warmup, 1e-3)
        s = (fraction - self.warmup) / (1 - self.warmup)
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * s)) / 2


@dataclass(frozen=True)
class OneCycle:
    """A cosine rise from ``start`` to 1 during ``rise``, then a cosine fall to ``end`` (Smith & Topin 2019, arXiv 1708.07120)."""

    rise: float = 0.3
    start: float = 0.04
    end: float = 1e-4

    def __post_init__(self) -> None:
        _check_between("OneCycle", rise=self.rise, start=self.start, end=self.end)

    def __call__(self, fraction: float) -> float:
        if fraction < self.rise:
            return self.start + (1 - self.start) * (1 - math.cos(math.pi * fraction / self.rise)) / 2
        s = (fraction - self.rise) / (1 - self.rise)
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * s)) / 2


@dataclass(frozen=True)
class Steps:
    """The rate multiplied by ``factor`` after each part ``every`` of the training: 0.2 and 0.5 halve it four times."""

    every: float = 0.2
    factor: float = 0.5

    def __post_init__(self) -> None:
        _check_between("Steps", factor=self.factor)
        if not 0 < self.every <= 1:
            raise InputError(f"Steps: every={self.every} given; a fraction of the training, above 0 and at most 1, is needed.")

    def __call__(self, fraction: float) -> float:
        return self.factor ** math.floor(fraction / self.every + 1e-9)


def schedule_of(given: str | Schedule) -> Schedule:
    """A schedule, or the one called so."""
    if isinstance(given, str):
        if given not in SCHEDULES:
            raise InputError(f"schedule={given!r} is not known; use {', '.join(SCHEDULES)}, or a function of the fraction done.")
        return SCHEDULES[given]
    if not callable(given):
        raise InputError(f"schedule={given!r} given; a name ({', '.join(SCHEDULES)}) or a function of the fraction done is needed.")
    return given


def _check_between(who: str, **values: float) -> None:
    for name, value in values.items():
        if not 0 <= value < 1:
            raise InputError(f"{who}: {name}={value} given; a number of at least 0 and below 1 is needed.")


SCHEDULES: dict[str, Schedule] = {"constant": Constant(), "cosine": Cosine(), "onecycle": OneCycle(), "steps": Steps()}
