"""What the methods that choose their own steps have in common, and what they ask of the closure that they are given."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, final, runtime_checkable

import torch
from torch import Tensor

from sciml.core.errors import BlowUpError, InputError
from sciml.optim.vector import Flat


class Term(Protocol):
    r"""One part :math:`w\,n^{-1}\sum_j|r(\theta;z_j)|^2` of a loss; ``function(parameters by name, z)`` is r at one point."""

    @property
    def function(self) -> Callable[[Mapping[str, Tensor], Tensor], Tensor]: ...
    @property
    def points(self) -> Tensor: ...
    @property
    def weight(self) -> float: ...


@runtime_checkable
class Residuals(Protocol):
    """A closure that knows more than loss and gradient: what :func:`sciml.fit` hands to an optimiser's ``step``."""

    def __call__(self) -> Tensor:
        """The loss, with the parameters' gradients set."""

    def observe(self, loss: Tensor, values: Sequence[Tensor] | None = None) -> None:
        """Take note of the loss before the step, and of the residuals ``(n, r)`` of each term, from a method that does not call the closure."""

    def residual(self) -> Tensor:
        """The residuals whose mean square is the loss, with their graph."""

    def pointwise(self) -> tuple[Sequence[Term], Mapping[str, Tensor]] | None:
        """The terms of the loss at this step and the model's parameters by name; None for losses that are no sums over points."""


class SecondOrder(torch.optim.Optimizer):
    """An optimiser that finds direction and length of its steps itself: no learning rate, no schedule, no clipping, one process.

    The loss after a step is never above the one before it on the same batch. State lives with the first parameter, so that it is kept in
    checkpoints.

    Parameters
    ----------
    parameters : one group, of float64 (recommended) or float32.
    settings : of the method.
    """

    def __init__(self, parameters: Iterable[Tensor], settings: Mapping[str, Any]) -> None:
        super().__init__(parameters, {"lr": 1.0, **settings})
        if len(self.param_groups) != 1:
            raise InputError(f"{self.name}: {len(self.param_groups)} groups of parameters given; it takes one.")
        self.flat = Flat(self.param_groups[0]["params"], self.name)

    @property
    def name(self) -> str:
        return type(self).__name__.removesuffix("Steps")

    @property
    def memory(self) -> dict[str, Any]:
        """What is carried from step to step."""
        return self.state[self.flat.parameters[0]]

    @final
    def step(self, closure: Any = None) -> Any:
        """One step on the closure's batch; the loss before it. A loss that is not finite leaves the weights as they are."""
        if closure is None:
            raise InputError(f"{self.name}: step() was called without a closure; it evaluates the loss several times, so give step(closure).")
        with torch.enable_grad():
            return self.advance(closure)

    @abstractmethod
    def advance(self, closure: Any) -> Tensor:
        """What :meth:`step` does."""

    def not_finite(self, what: str) -> BlowUpError:
        """For a step that cannot be made; the caller has put the weights back."""
        return BlowUpError(
            f"{self.name}: {what} not finite although the loss is; the weights are those before this step. "
            "Look for a square root, a logarithm or a division at 0 in the loss."
        )

    def no_progress(self) -> None:
        """Say once that no lower loss was found, where a finer precision may help."""
        if self.flat.dtype is torch.float32 and not self.memory.get("told", False):
            self.memory["told"] = True
            warnings.warn(
                f"{self.name}: no step with a lower loss was found, and the weights are float32; in float64 (model.double(), and the data too) it "
                "may go on further.",
                stacklevel=3,
            )
