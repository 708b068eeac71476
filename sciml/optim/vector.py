"""Parameters as one real vector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from sciml.core.errors import InputError

PRECISIONS = (torch.float32, torch.float64)


class Flat:
    """Tensors of any shapes as one real vector; a complex number takes two places.

    Parameters
    ----------
    parameters : leaves of one real precision (float32, float64 and their complex kin) on one device.
    who : the method, for messages.

    Raises
    ------
    InputError : other precisions, or several of them or of devices.
    """

    def __init__(self, parameters: Iterable[Tensor], who: str) -> None:
        self.parameters = list(parameters)
        kinds = {p.dtype.to_real() for p in self.parameters}
        if len(kinds) != 1 or not kinds <= set(PRECISIONS):
            raise InputError(
                f"{who}: parameters of {', '.join(sorted(map(str, kinds)))} given; all in float64 (model.double(), recommended), or all in float32, "
                "are needed."
            )
        devices = {p.device for p in self.parameters}
        if len(devices) != 1:
            raise InputError(f"{who}: parameters on {', '.join(sorted(map(str, devices)))} given; one device is needed.")
        (self.dtype,), (self.device,) = kinds, devices
        self.sizes = [p.numel() * (2 if p.is_complex() else 1) for p in self.parameters]
        self.size = sum(self.sizes)

    def join(self, parts: Sequence[Tensor | None]) -> Tensor:
        """One tensor per parameter, such as gradients, as a vector ``(size,)``; None counts as zeros."""
        given = [torch.zeros_like(p) if part is None else part for p, part in zip(self.parameters, parts, strict=True)]
        return torch.cat([as_real(part).reshape(-1) for part in given])

    def split(self, vector: Tensor) -> list[Tensor]:
        """Views of a vector ``(size,)`` with the shapes and kinds of the parameters."""
        return [as_kind(part, p) for part, p in zip(vector.split(self.sizes), self.parameters, strict=True)]

    def read(self) -> Tensor:
        """The parameters' values, a copy."""
        return self.join([p.detach() for p in self.parameters])

    @torch.no_grad()
    def write(self, vector: Tensor) -> None:
        """Set the parameters."""
        for p, part in zip(self.parameters, self.split(vector), strict=True):
            p.copy_(part)

    @contextmanager
    def exchanged(self, vector: Tensor) -> Iterator[None]:
        """Other values for a while. They take the place of the present ones without being written over them, so that graphs made before stay good."""
        before = [p.data for p in self.parameters]
        try:
            for p, part in zip(self.parameters, self.split(vector), strict=True):
                p.data = part.contiguous()
            yield
        finally:
            for p, values in zip(self.parameters, before, strict=True):
                p.data = values

    def gradient(self) -> Tensor:
        """The parameters' gradients, a copy."""
        return self.join([p.grad for p in self.parameters])


def as_real(t: Tensor) -> Tensor:
    return torch.view_as_real(t.resolve_conj()) if t.is_complex() else t


def as_kind(part: Tensor, p: Tensor) -> Tensor:
    """Real numbers as a tensor of the shape of ``p``, complex if that is."""
    return torch.view_as_complex(part.reshape(*p.shape, 2).contiguous()) if p.is_complex() else part.reshape(p.shape)


def at_least_double(t: Tensor) -> Tensor:
    """In float64 where the device has it: sums of squares of float32 numbers would lose half their digits."""
    return t if t.device.type == "mps" else t.double()
