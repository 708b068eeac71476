"""Mean and spread per channel, measured on data and kept with the weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sciml.core.errors import InputError


class Normalisation(nn.Module):
    r""":math:`v\mapsto(v-\mu)/\sigma` per channel, and back; the identity until it is set.

    Attributes
    ----------
    mean, std : ``(channels,)``, buffers.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def do(self, v: Tensor) -> Tensor:
        """``(batch, channels, *space)`` in units of the spread."""
        return (v - self._over(self.mean, v)) / self._over(self.std, v)

    def undo(self, v: Tensor) -> Tensor:
        """The inverse of :meth:`do`."""
        return v * self._over(self.std, v) + self._over(self.mean, v)

    def set(self, mean: Tensor | Sequence[float], std: Tensor | Sequence[float]) -> None:
        """Take one mean and one spread per channel; raise unless they are finite and every spread is positive."""
        for name, values, kept in (("mean", mean, self.mean), ("std", std, self.std)):
            given = torch.as_tensor(values, dtype=kept.dtype, device=kept.device)
            if given.shape != kept.shape:
                raise InputError(f"Normalisation: {name} has shape {tuple(given.shape)}; one number for each of {len(kept)} channels is needed.")
            if not bool(torch.isfinite(given).all()) or (name == "std" and not bool((given > 0).all())):
                raise InputError(f"Normalisation: {name}={given.tolist()} given; finite numbers{' above 0' * (name == 'std')} are needed.")
        self.mean.copy_(torch.as_tensor(mean))
        self.std.copy_(torch.as_tensor(std))

    def measure(self, values: Tensor, ndim: int) -> None:
        """Take mean and spread of ``(*batch, channels, *space)`` with ``ndim`` space axes; a channel that is constant keeps its size."""
        rows = values.detach().movedim(-1 - ndim, 0).flatten(1).to(torch.float64)
        std = rows.std(1, correction=0)
        floor = 1e-12 * rows.abs().amax(1)
        self.set(rows.mean(1), torch.where(std > floor, std, torch.ones_like(std)))

    @staticmethod
    def _over(values: Tensor, v: Tensor) -> Tensor:
        return values.view(-1, *(1,) * (v.ndim - 2))
