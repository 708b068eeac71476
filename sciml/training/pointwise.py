"""Objectives whose residuals belong to points: what methods with exact Jacobians per point need."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from sciml.core.errors import InputError
from sciml.training.objective import LeastSquares

PointFunction = Callable[[Mapping[str, Tensor], Tensor], Tensor]
"""``(parameters by name, one point (k,)) -> residuals (r,)`` there; made of operations that ``torch.func`` can transform."""


class PointTerm(NamedTuple):
    r"""One part of a loss: :math:`w\,n^{-1}\sum_{j=1}^n|r(\theta;z_j)|^2`.

    Attributes
    ----------
    name : of the part in histories and figures.
    function : r, for one point.
    points : z, ``(n, k)``; whatever a residual depends on: coordinates, and values observed there.
    weight : w, at least 0.
    """

    name: str
    function: PointFunction
    points: Tensor
    weight: float = 1.0


class PointwiseLeastSquares(LeastSquares):
    """A loss that is a sum of :class:`PointTerm`: of physics-informed networks, and of fits to values at points."""

    @abstractmethod
    def terms(self, model: nn.Module, batch: Any, generator: torch.Generator) -> list[PointTerm]:
        """The parts of the loss at this step, for ``batch`` and points drawn from ``generator``; the same ones for the same generator."""

    def observe(self, terms: Sequence[PointTerm], values: Sequence[Tensor]) -> None:
        """Take note of the residuals ``(n, r)`` of each term, for histories; called when the loss is computed."""

    @final
    def residual(self, model: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
        terms = self.terms(model, batch, generator)
        values = evaluated(terms, dict(model.named_parameters()))
        self.observe(terms, values)
        return joined(terms, values)


def evaluated(terms: Sequence[PointTerm], parameters: Mapping[str, Tensor]) -> list[Tensor]:
    """The residuals ``(n, r)`` of each term."""
    if not terms:
        raise InputError("An objective without terms was given; it needs one at least.")
    return [torch.func.vmap(term.function, in_dims=(None, 0))(parameters, term.points) for term in terms]


def joined(terms: Sequence[PointTerm], values: Sequence[Tensor]) -> Tensor:
    """All residuals in one vector ``(N,)``, scaled so that its mean square is the sum of the terms."""
    total = sum(value.numel() for value in values)
    return torch.cat([value.flatten() * math.sqrt(term.weight * total / len(term.points)) for term, value in zip(terms, values, strict=True)])
