"""Losses between a prediction and a target: per sample, then averaged over samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.training.norms import sobolev_norm

Loss = Callable[[Tensor, Tensor], Tensor]
"""``(prediction, target) -> loss``, a mean over the samples along the first axis, so that parts of a batch combine by their sizes."""


def relative_l2(prediction: Tensor, target: Tensor) -> Tensor:
    r"""The mean over samples of :math:`\|p-y\|_2/\|y\|_2`, each norm over all other axes together (time, if there is one, channel, space).

    Parameters
    ----------
    prediction, target : ``(sample, ...)``, of one shape. A sample whose target is zero everywhere counts with the norm of its error.

    >>> relative_l2(torch.full((1, 1, 4), 1.1), torch.ones(1, 1, 4))
    tensor(0.1000)
    """
    check_shapes(prediction, target, "relative_l2")
    difference, size = (torch.linalg.vector_norm(v.flatten(1), dim=1) for v in (prediction - target, target))
    return ratio(difference, size).mean()


@dataclass(frozen=True)
class Sobolev:
    r"""The mean over samples of :math:`\|p-y\|_{H^s}/\|y\|_{H^s}`; over all instants together if there is a time axis.

    :math:`\|v\|^2_{H^s}=\sum_k(\alpha+|k|^2)^s|\hat v_k|^2` as in :func:`sciml.sobolev_norm`; order 0 is :func:`sciml.relative_l2`. A positive
    order weighs small scales more, a negative one less.

    Parameters
    ----------
    grid : periodic.
    order : s, any real number.
    alpha : at least 0.
    relative : divide by the target's norm; without it the norm is the root mean square over instants.
    """

    grid: Grid
    order: float = 1.0
    alpha: float = 1.0
    relative: bool = True

    def __post_init__(self) -> None:
        self.grid.require_periodic("Sobolev")
        sobolev_norm(torch.zeros(1, *self.grid.shape), self.grid, self.order, alpha=self.alpha)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of ``(sample, [time,] channel, *space)``."""
        check_shapes(prediction, target, "Sobolev")
        difference = self._size(prediction - target)
        return (ratio(difference, self._size(target)) if self.relative else difference).mean()

    def _size(self, v: Tensor) -> Tensor:
        if v.ndim < self.grid.ndim + 2:
            raise InputError(f"Sobolev: an array of shape {tuple(v.shape)} given; (sample, [time,] channel, *space) is needed.")
        frames = sobolev_norm(v, self.grid, self.order, alpha=self.alpha).flatten(1) if v.ndim > self.grid.ndim + 2 else None
        if frames is None:
            return sobolev_norm(v, self.grid, self.order, alpha=self.alpha)
        return torch.linalg.vector_norm(frames, dim=1) / frames.shape[1] ** 0.5


def ratio(difference: Tensor, size: Tensor) -> Tensor:
    """``difference / size``, and the difference itself where the size is zero."""
    return difference / torch.where(size > 0, size, torch.ones_like(size))


def check_shapes(prediction: Tensor, target: Tensor, who: str) -> None:
    """Raise unless both have one shape with a sample axis; broadcasting one against the other would compare the wrong values."""
    if prediction.shape != target.shape or prediction.ndim < 2:
        raise InputError(
            f"{who}: a prediction of shape {tuple(prediction.shape)} and a target of shape {tuple(target.shape)} given; "
            "both must have one shape (sample, ...)."
        )
