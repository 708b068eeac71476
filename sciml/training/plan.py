"""The settings of a training that are plain numbers, checked before time is spent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from sciml.core.checks import check_whole
from sciml.core.errors import InputError
from sciml.optim.base import SecondOrder
from sciml.training.schedules import Constant, Schedule

OptimizerOf = Callable[..., torch.optim.Optimizer]
"""``(parameters) -> optimiser``, such as ``torch.optim.Adam`` or a ``partial`` of it; also given ``lr=`` if :func:`sciml.fit` is."""

DEFAULT_OPTIMIZER: OptimizerOf = partial(torch.optim.AdamW, lr=1e-3, weight_decay=1e-4)


@dataclass(frozen=True)
class Plan:
    """How long, in what portions, and with what safeguards; :func:`sciml.fit` says what each means."""

    epochs: int | None
    budget: float | None
    batch_size: int
    schedule: Schedule
    clip: float | None
    patience: int | None
    seed: int
    workers: int
    every: float

    def __post_init__(self) -> None:
        if self.epochs is None and self.budget is None:
            raise InputError("fit: give epochs, or a budget in seconds, or both.")
        asked = {"epochs": self.epochs, "batch_size": self.batch_size, "patience": self.patience}
        check_whole(1, who="fit", **{name: value for name, value in asked.items() if value is not None})
        for name, number in (("budget", self.budget), ("clip", self.clip)):
            if number is not None and not (isinstance(number, int | float) and number > 0 and math.isfinite(number)):
                raise InputError(f"fit: {name}={number!r} given; a positive, finite number is needed.")
        if not (isinstance(self.every, int | float) and self.every >= 0):
            raise InputError(f"fit: checkpoint_every={self.every!r} given; seconds of at least 0 are needed.")
        check_whole(0, who="fit", seed=self.seed, workers=self.workers)

    def fraction(self, step: int, per_epoch: int, seconds: float) -> float:
        """How much of the training is done before step number ``step``."""
        of_steps = 0.0 if self.epochs is None else step / (self.epochs * per_epoch)
        of_time = 0.0 if self.budget is None else seconds / self.budget
        return min(max(of_steps, of_time), 1.0)

    def recipe(self) -> dict[str, Any]:
        """What a checkpoint must agree with; a schedule that falls to an end fixes where the end is."""
        free = isinstance(self.schedule, Constant)
        end = {} if free else {"epochs": self.epochs, "budget": self.budget}
        return {"batch_size": self.batch_size, "schedule": self.schedule, "clip": self.clip, "patience": self.patience, "seed": self.seed, **end}


def for_optimizer(plan: Plan, made: torch.optim.Optimizer, schedule: str | Schedule | None, precision: str, processes: int) -> Plan:
    """The plan with the schedule that suits the optimiser, where none was asked for; raise for settings that one with steps of its own cannot use."""
    if isinstance(made, torch.optim.LBFGS) and processes > 1:
        # its line search would go by the loss of each process's own part of the batch, and the weights would part company
        raise InputError(f"fit: torch.optim.LBFGS runs in one process, and there are {processes}; start one, or use Adam or sciml.SOAP().")
    if not isinstance(made, SecondOrder):
        return plan
    if schedule is not None and not isinstance(plan.schedule, Constant):
        raise InputError(f"fit: schedule={schedule!r} given with {made.name}, which finds the length of its steps itself; leave the schedule out.")
    if plan.clip is not None:
        raise InputError(f"fit: clip={plan.clip} given with {made.name}, which needs the true gradient; leave it out.")
    if precision != "full":
        raise InputError(f"fit: precision={precision!r} given with {made.name}, whose steps rest on small differences; use 'full'.")
    if processes > 1:
        raise InputError(f"fit: {made.name} runs in one process, and there are {processes}; start one, or use Adam or sciml.SOAP().")
    return replace(plan, schedule=Constant())


def make_optimizer(given: OptimizerOf | None, lr: float | None, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser of these parameters."""
    if lr is not None and not (lr > 0 and math.isfinite(lr)):
        raise InputError(f"fit: lr={lr} given; a positive, finite number is needed.")
    trainable = [p for p in parameters if p.requires_grad]
    if not trainable:
        raise InputError("fit: the model has no parameter that requires a gradient, so there is nothing to train.")
    if isinstance(given, torch.optim.Optimizer) or not callable(given or DEFAULT_OPTIMIZER):
        raise InputError(
            f"fit: optimizer is a {type(given).__name__}; give what makes one, such as torch.optim.Adam or partial(torch.optim.SGD, momentum=0.9)."
        )
    make = given or DEFAULT_OPTIMIZER
    try:
        made = make(trainable) if lr is None else make(trainable, lr=lr)
    except (TypeError, ValueError) as error:
        raise InputError(f"fit: the optimiser cannot be made ({error}).") from error
    if not isinstance(made, torch.optim.Optimizer):
        raise InputError(f"fit: optimizer made a {type(made).__name__}; a torch.optim.Optimizer is needed.")
    for group in made.param_groups:
        group.setdefault("initial_lr", group["lr"])
    return made
