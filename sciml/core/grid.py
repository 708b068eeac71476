"""Uniform grids in any dimension: the one place that knows shapes, lengths and sample positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sciml.core.errors import InputError


@dataclass(frozen=True)
class Grid:
    r"""A uniform Cartesian grid; arrays on it are ``(*batch, channel, *space)``.

    Along a periodic axis the samples are :math:`x_j = o + jL/N`, :math:`j = 0..N-1` (the end point is not
    repeated). Along a bounded axis they are cell centres :math:`x_j = o + (j + 1/2)L/N`. A grid without axes
    (``shape=()``) carries an ordinary system.

    Parameters
    ----------
    shape : number of samples per axis, each at least 2.
    lengths : extent of the domain per axis, in the problem's unit of length.
    periodic : per axis, or one value for all.
    origin : position of the domain's lower corner (periodic axes: of sample 0).
    dtype, device : of every array made on this grid.

    >>> Grid((4,), (2.0,)).axes()[0].tolist()
    [0.0, 0.5, 1.0, 1.5]
    """

    shape: tuple[int, ...]
    lengths: tuple[float, ...]
    periodic: tuple[bool, ...] = ()
    origin: tuple[float, ...] = ()
    dtype: torch.dtype = torch.float64
    device: torch.device = torch.device("cpu")

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in _sequence(self.shape))
        lengths = tuple(float(length) for length in _sequence(self.lengths))
        n = len(shape)
        periodic = self.periodic
        if isinstance(periodic, bool):
            periodic = (periodic,) * n
        periodic = tuple(bool(p) for p in periodic) or (True,) * n
        origin = tuple(float(o) for o in _sequence(self.origin)) or (0.0,) * n
        for name, value in (("lengths", lengths), ("periodic", periodic), ("origin", origin)):
            if len(value) != n:
                raise InputError(f"Grid: {name}={value} has {len(value)} entries but shape={shape} has {n} axes; give one entry per axis.")
        if n > 3:
            raise InputError(f"Grid: shape={shape} has {n} axes; at most 3 are supported.")
        for count, length in zip(shape, lengths, strict=True):
            if count < 2:
                raise InputError(f"Grid: shape={shape} has an axis of {count} samples; at least 2 are needed.")
            if not (length > 0 and math.isfinite(length)):
                raise InputError(f"Grid: lengths={lengths} must be positive and finite.")
        if self.dtype not in (torch.float32, torch.float64):
            raise InputError(f"Grid: dtype={self.dtype} is not a real floating type; use torch.float32 or torch.float64.")
        normalised = {"shape": shape, "lengths": lengths, "periodic": periodic, "origin": origin, "device": torch.device(self.device)}
        for field, content in normalised.items():
            object.__setattr__(self, field, content)

    @property
    def ndim(self) -> int:
        """Number of space axes."""
        return len(self.shape)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Distance between neighbouring samples per axis, ``L / N``."""
        return tuple(length / n for length, n in zip(self.lengths, self.shape, strict=True))

    @property
    def cell_volume(self) -> float:
        """Product of the spacings: the weight of one sample in an integral over the domain."""
        return math.prod(self.spacing)

    def axes(self) -> tuple[Tensor, ...]:
        """Positions along each axis, one 1-D tensor per axis."""
        return tuple(
            o + h * (torch.arange(n, dtype=self.dtype, device=self.device) + (0.0 if p else 0.5))
            for n, h, o, p in zip(self.shape, self.spacing, self.origin, self.periodic, strict=True)
        )

    def points(self) -> tuple[Tensor, ...]:
        """Coordinates of every sample: one tensor of shape ``shape`` per axis (matrix order)."""
        return tuple(torch.meshgrid(*self.axes(), indexing="ij")) if self.shape else ()

    def wavenumbers(self) -> tuple[Tensor, ...]:
        r"""Angular wavenumbers :math:`2\pi n / L`, one tensor per axis, shaped to broadcast over a half spectrum.

        The last axis holds ``n = 0..N//2``, the others ``0..N/2-1, -N/2..-1`` in FFT order.
        """
        self.require_periodic("wavenumbers()")
        result = []
        for axis, (n, length) in enumerate(zip(self.shape, self.lengths, strict=True)):
            if axis == self.ndim - 1:
                modes = torch.arange(n // 2 + 1, dtype=torch.float64)
            else:
                modes = (torch.arange(n, dtype=torch.float64) + n // 2) % n - n // 2
            k = (2 * math.pi / length) * modes
            view = [1] * self.ndim
            view[axis] = -1
            result.append(k.to(self.device, self.dtype).view(view))
        return tuple(result)

    def require_periodic(self, who: str) -> None:
        """Raise unless every axis is periodic; ``who`` is named in the message."""
        if not all(self.periodic):
            raise InputError(
                f"{who} needs a grid that is periodic along every axis, but periodic={self.periodic} was given. "
                "Use the finite-volume solver or the stencil engine on bounded domains."
            )

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Grid:
        """The same grid with its arrays on another device or in another precision."""
        return replace(self, device=self.device if device is None else torch.device(device), dtype=dtype or self.dtype)

    def resized(self, shape: Sequence[int] | int) -> Grid:
        """The same domain with another number of samples."""
        counts = (shape,) * self.ndim if isinstance(shape, int) else tuple(shape)
        return replace(self, shape=counts)


def _sequence(value: Sequence[float] | float) -> Sequence[float]:
    return (value,) if isinstance(value, int | float) else tuple(value)
