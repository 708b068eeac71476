"""One step of an optimiser, as a closure that first- and second-order methods can use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from sciml.core.errors import InputError
from sciml.training.objective import LeastSquares, Objective
from sciml.training.pointwise import PointTerm, PointwiseLeastSquares
from sciml.training.seeds import generator_of, seed_defaults, seed_of


class Trained(nn.Module):
    """A model with its objective: one forward call is one loss, so that processes exchange gradients once per step."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: Any, generator: torch.Generator) -> Tensor:
        loss = self.objective.loss(self.model, batch, generator)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            got = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
            raise InputError(f"fit: the loss is {got}; a scalar tensor, the mean over the samples of the batch, is needed.")
        return loss.reshape(())


class Closure:
    """What an optimiser's ``step`` is given: called, it computes the loss and its gradient, the same ones every time.

    Parameters
    ----------
    fabric, trained, optimizer : of the training, as Fabric set them up.
    batch : of this process; ``weight`` is its part of the global batch.
    place : numbers that seed what is random in this step.
    clip : largest norm of the gradient, or None.
    """

    def __init__(
        self, fabric: Fabric, trained: nn.Module, optimizer: Any, batch: Any, weight: float, place: tuple[int, ...], clip: float | None
    ) -> None:
        self.fabric, self.trained, self.optimizer, self.batch, self.weight = fabric, trained, optimizer, batch, weight
        self.place, self.clip = place, clip
        self.first: Tensor | None = None
        self._terms: list[PointTerm] = []

    @torch.enable_grad()
    def __call__(self) -> Tensor:
        seed_defaults(seed_of(*self.place, 1), self.fabric.device)  # of dropout and the like; the caller's own state is put back after the training
        self.optimizer.zero_grad()
        loss: Tensor = self.trained(self.batch, generator_of(*self.place))
        if self.first is None:
            self.first = loss.detach()
        # without a gradient nothing is updated; elsewhere a look would make the device wait, or leave the other processes waiting
        if self.fabric.world_size == 1 and loss.device.type == "cpu" and not bool(torch.isfinite(loss)):
            return loss
        self.fabric.backward(loss * self.weight)
        if self.clip is not None:
            self.fabric.clip_gradients(self.trained, self.optimizer, max_norm=self.clip, error_if_nonfinite=False)
        return loss

    def observe(self, loss: Tensor, values: Sequence[Tensor] | None = None) -> None:
        """Take note of the loss before the step, from an optimiser that computes it from the residuals; ``values`` are those of each term."""
        if self.first is None:
            self.first = loss.detach()
        _, objective = self._least_squares()
        if values is not None and isinstance(objective, PointwiseLeastSquares):
            objective.observe(self._terms, values)

    @torch.enable_grad()
    def residual(self) -> Tensor:
        """The residuals whose mean square is the loss, with their graph; only where the objective is a :class:`LeastSquares`."""
        model, objective = self._least_squares()
        seed_defaults(seed_of(*self.place, 1), self.fabric.device)
        return objective.residual(model, self.batch, generator_of(*self.place))

    def pointwise(self) -> tuple[list[PointTerm], Mapping[str, Tensor]] | None:
        """The terms of a :class:`PointwiseLeastSquares`, with the same points every time, and the model's parameters by name.

        None if the objective is a :class:`LeastSquares` of another kind.
        """
        model, objective = self._least_squares()
        if not isinstance(objective, PointwiseLeastSquares):
            return None
        seed_defaults(seed_of(*self.place, 1), self.fabric.device)
        self._terms = objective.terms(model, self.batch, generator_of(*self.place))
        return self._terms, dict(model.named_parameters())

    def _least_squares(self) -> tuple[nn.Module, LeastSquares]:
        inner = self.trained.module  # Fabric's wrapper knows the module that it was given
        if not isinstance(inner, Trained) or not isinstance(inner.objective, LeastSquares):
            raise InputError(
                "This optimiser needs the residuals, and the objective is no LeastSquares; give loss=sciml.SquaredError() or a LeastSquares of your "
                "own, or use a first-order optimiser such as Adam."
            )
        return inner.model, inner.objective
