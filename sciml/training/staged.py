"""What models and objectives tell the training loop beyond a loss: data of their own, and a state that changes between steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import nn
from torch.utils.data import Dataset

from sciml.training.objective import Objective


@runtime_checkable
class SelfTaught(Protocol):
    """A model that knows what it is to be trained on, such as one that solves an equation; ``sciml.fit(model)`` needs no data then."""

    def objective(self) -> Objective:
        """What to make small if :func:`sciml.fit` is given no ``loss``."""

    def dataset(self, data: Any) -> Dataset:
        """Observations as a data set of one sample, so that an epoch is one step; ``None`` stands for none."""


@runtime_checkable
class Staged(Protocol):
    """An objective with a state that changes between steps, such as points and weights, and that can tell its terms."""

    def prepare(self, model: nn.Module, batch: Any, step: int, seed: int) -> None:
        """Called before step number ``step`` with the weights and the batch of that step; what is random hangs on ``(seed, step)`` alone."""

    def parts(self) -> Mapping[str, float]:
        """The terms of the loss and their weights before the latest step, by name: further columns of the history."""

    def state(self) -> dict[str, Any]:
        """All that is needed to go on, of tensors and plain values."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""

    def rescue(self, model: nn.Module, step: int) -> str:
        """Put back the latest weights that a step before number ``step`` started from; a sentence that says which they are."""


__all__ = ["SelfTaught", "Staged"]
