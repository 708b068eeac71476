"""Objectives: what the training loop makes small. A new kind of training is a class here or in the user's own code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final, runtime_checkable

import torch
from torch import Tensor, nn

from sciml.core.errors import InputError
from sciml.training.losses import Loss, check_shapes, relative_l2
from sciml.training.pairs import Batch
from sciml.training.residual import Residual


class Objective(ABC):
    """A loss of a model on a batch, whatever the batch holds.

    It must be a mean over the samples of the batch: the loop splits batches among processes and weighs the parts by their sizes.
    """

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
        """The loss, a scalar with a graph. All randomness comes from ``generator``; ``model.training`` tells training from validation."""


class LeastSquares(Objective):
    """An objective that is the mean square of residuals: what Gauss-Newton methods need to know."""

    @abstractmethod
    def residual(self, model: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
        """The residuals, one number per equation and sample, of any shape."""

    @final
    def loss(self, model: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
        return self.residual(model, batch, generator).square().mean()


@runtime_checkable
class Noisy(Protocol):
    """A model that adds noise to its argument in training mode, from the generator it is called with."""

    noise: float

    def __call__(self, u: Tensor, inputs: Tensor | None = None, *, generator: torch.Generator | None = None) -> Tensor: ...


@dataclass(frozen=True)
class Supervised(Objective):
    """The loss between ``model(u)`` and the target; over a rollout if the batch has several targets.

    Parameters
    ----------
    of : a function of prediction and target, such as :func:`sciml.relative_l2`.
    noise : Gaussian noise added to ``u`` in training, relative to the spread of each field over space.
    """

    of: Loss = relative_l2
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.noise < float("inf"):
            raise InputError(f"noise={self.noise} given; a finite number of at least 0 is needed.")

    def loss(self, model: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
        u, target, inputs = as_batch(batch)
        if model.training and self.noise:
            space = tuple(range(2, u.ndim))
            draw = torch.randn(u.shape, generator=generator, dtype=u.dtype, device=generator.device).to(u.device)
            u = u + self.noise * u.std(space, correction=0, keepdim=True) * draw
        if target.ndim == u.ndim:
            return self.of(apply(model, u, inputs, generator), target)
        return self.of(unrolled(model, u, inputs, target.shape[1], generator), target)


@dataclass(frozen=True)
class SquaredError(LeastSquares):
    r"""The mean over samples of :math:`\|p-y\|^2/\|y\|^2`, p the model's prediction and y the target, as residuals for Gauss-Newton steps.

    Over a rollout if the batch has several targets, with norms over all of them together. A sample whose target is zero counts as if its norm
    were that of ones.

    Parameters
    ----------
    relative : divide by the target's norm; without it the loss is the mean of :math:`(p-y)^2`.
    """

    relative: bool = True

    def residual(self, model: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
        u, target, inputs = as_batch(batch)
        prediction = apply(model, u, inputs, generator) if target.ndim == u.ndim else unrolled(model, u, inputs, target.shape[1], generator)
        check_shapes(prediction, target, "SquaredError")
        if not self.relative:
            return prediction - target
        size = target.flatten(1).square().mean(1).sqrt()
        return (prediction - target) / torch.where(size > 0, size, torch.ones_like(size)).view(-1, *(1,) * (target.ndim - 1))


@dataclass(frozen=True)
class Physics(Objective):
    """The equation's residual along the model's own rollout, with or without data.

    Parameters
    ----------
    residual : of the equation, with the model's step.
    steps : of the rollout from ``u``; at least the residual's accuracy. By default that.
    weight : of the residual.
    data : an objective that is added to it; None trains on the equation alone.
    """

    residual: Residual
    steps: int | None = None
    weight: float = 1.0
    data: Objective | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            raise InputError(f"Physics: weight={self.weight} given; a finite number of at least 0 is needed.")
        if self.steps is not None and self.steps < self.residual.accuracy:
            raise InputError(f"Physics: steps={self.steps} given; a residual of accuracy {self.residual.accuracy} needs as many steps at least.")

    def loss(self, model: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
        u, _, inputs = as_batch(batch)
        predicted = unrolled(model, u, inputs, self.steps or self.residual.accuracy, generator)
        total = self.weight * self.residual(torch.cat([u.unsqueeze(1), predicted], 1).movedim(1, 0))
        return total if self.data is None else total + self.data.loss(model, batch, generator)


def apply(model: nn.Module, u: Tensor, inputs: Tensor | None, generator: torch.Generator) -> Tensor:
    """One call of the model, with its given fields and its noise where it has them."""
    given = () if inputs is None else (inputs,)
    noisy = model.training and isinstance(model, Noisy) and model.noise > 0
    return torch.as_tensor(model(u, *given, generator=generator) if noisy else model(u, *given))


def unrolled(model: nn.Module, u: Tensor, inputs: Tensor | None, steps: int, generator: torch.Generator) -> Tensor:
    """``steps`` states that follow ``u``, ``(sample, steps, channel, *space)``."""
    states = []
    for _ in range(steps):
        u = apply(model, u, inputs, generator)
        states.append(u)
    return torch.stack(states, 1)


def as_batch(batch: Any) -> Batch:
    """What a data set of pairs or triples of tensors was collated to."""
    if isinstance(batch, Batch):
        return batch
    if isinstance(batch, Sequence) and 2 <= len(batch) <= 3 and all(isinstance(part, Tensor) for part in batch):
        return Batch(*batch)
    raise InputError(
        f"fit: the data give batches of type {type(batch).__name__}; pairs (u, target) or triples (u, target, inputs) of tensors are needed."
    )
