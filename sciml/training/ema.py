"""An exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sciml.core.errors import InputError


class Average:
    r"""Weights :math:`\bar w\leftarrow\beta_n\bar w+(1-\beta_n)w` after step n; :math:`\beta_n=\min(\beta,(1+n)/(10+n))` forgets the start.

    Parameters
    ----------
    model : whose parameters are averaged.
    decay : :math:`\beta`, at least 0 and below 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"ema={decay} given; a decay of at least 0 and below 1 is needed, such as 0.999.")
        self.decay = decay
        self.live: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
        self.weights = [p.detach().clone() for p in self.live]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step number ``step``, which counts from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.weights, self.live, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model with averaged weights inside the block."""
        kept = [p.detach().clone() for p in self.live]
        self._write(self.weights)
        try:
            yield
        finally:
            self._write(kept)

    def take(self) -> None:
        """Leave the model with the averaged weights."""
        self._write(self.weights)

    def restore(self, weights: list[Tensor]) -> None:
        """Go on from averaged weights that were kept."""
        for mine, its in zip(self.weights, weights, strict=True):
            mine.copy_(its)

    @torch.no_grad()
    def _write(self, weights: list[Tensor]) -> None:
        for live, value in zip(self.live, weights, strict=True):
            live.copy_(value)
