"""Where a problem lives and what holds at its edges: boundaries belong to the domain, never to the equation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.core.errors import InputError, UnsupportedError
from sciml.core.grid import Grid

BoundaryValue = float | Callable[[float], float | Tensor]


@dataclass(frozen=True)
class Periodic:
    """The field continues on the other side."""


@dataclass(frozen=True)
class Dirichlet:
    """The field takes ``value`` (a number, or a function of time) on the face."""

    value: BoundaryValue = 0.0

    def at(self, time: float) -> float | Tensor:
        """The prescribed value at ``time``."""
        return self.value(time) if callable(self.value) else self.value


@dataclass(frozen=True)
class Neumann:
    """The derivative along the axis (not the outward normal) takes ``value`` on the face."""

    value: BoundaryValue = 0.0

    def at(self, time: float) -> float | Tensor:
        """The prescribed derivative at ``time``."""
        return self.value(time) if callable(self.value) else self.value


@dataclass(frozen=True)
class Free:
    """Nothing is imposed on the face: what holds there is what the equation's own form implies, such as no traction on an elastic body."""


@dataclass(frozen=True)
class Slip:
    """Nothing passes through the face: of the first fields, one per axis, the one along its normal vanishes; nothing holds back what moves along it.

    The other fields are left to the equation. A viscous flow exerts no shear stress on such a face.
    """


Boundary = Periodic | Dirichlet | Neumann | Free | Slip


@dataclass(frozen=True)
class Domain:
    """A box with one boundary condition per face.

    Parameters
    ----------
    lower, upper : corners, one entry per axis.
    boundaries : per axis a pair (lower face, upper face); periodic on both or on none.

    >>> Domain.periodic(2.0).lengths
    (2.0,)
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    boundaries: tuple[tuple[Boundary, Boundary], ...]

    def __post_init__(self) -> None:
        if not (len(self.lower) == len(self.upper) == len(self.boundaries)):
            raise InputError(
                f"Domain: lower={self.lower}, upper={self.upper} and {len(self.boundaries)} boundary pairs were given; give one entry per axis."
            )
        for low, high, (left, right) in zip(self.lower, self.upper, self.boundaries, strict=True):
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise InputError(f"Domain: lower={self.lower} must lie below upper={self.upper} along every axis.")
            if isinstance(left, Periodic) != isinstance(right, Periodic):
                raise InputError(f"Domain: an axis has boundaries {left} and {right}; both or neither must be Periodic().")

    @classmethod
    def periodic(cls, lengths: float | Sequence[float], origin: float | Sequence[float] = 0.0) -> Domain:
        """A box that is periodic along every axis, with its sample 0 at ``origin``."""
        extent = (lengths,) if isinstance(lengths, int | float) else tuple(lengths)
        corner = (origin,) * len(extent) if isinstance(origin, int | float) else tuple(origin)
        upper = tuple(o + length for o, length in zip(corner, extent, strict=True))
        return cls(tuple(map(float, corner)), upper, ((Periodic(), Periodic()),) * len(extent))

    @classmethod
    def box(cls, lower: float | Sequence[float], upper: float | Sequence[float], *boundaries: Boundary) -> Domain:
        """A bounded box. ``boundaries``: one for all faces, or one per face in the order lower, upper of each axis."""
        low = (lower,) if isinstance(lower, int | float) else tuple(lower)
        high = (upper,) if isinstance(upper, int | float) else tuple(upper)
        faces = boundaries * (2 * len(low)) if len(boundaries) == 1 else boundaries
        if len(faces) != 2 * len(low):
            raise InputError(f"Domain.box: {len(boundaries)} boundaries given for {len(low)} axes; give 1 or {2 * len(low)}.")
        pairs = tuple((faces[2 * i], faces[2 * i + 1]) for i in range(len(low)))
        return cls(tuple(map(float, low)), tuple(map(float, high)), pairs)

    @property
    def ndim(self) -> int:
        """Number of space axes."""
        return len(self.lower)

    @property
    def lengths(self) -> tuple[float, ...]:
        """Extent per axis."""
        return tuple(high - low for low, high in zip(self.lower, self.upper, strict=True))

    @property
    def is_periodic(self) -> tuple[bool, ...]:
        """Per axis."""
        return tuple(isinstance(left, Periodic) for left, _ in self.boundaries)

    def grid(self, points: int | Sequence[int], *, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu") -> Grid:
        """A uniform grid over this domain, ``points`` samples per axis."""
        if self.ndim == 0 and points != () and list(points if isinstance(points, Sequence) else [points]):
            raise InputError(f"points={points} given, but an ordinary system has no space axes; leave the points out.")
        shape = (points,) * self.ndim if isinstance(points, int) else tuple(points)
        return Grid(shape, self.lengths, self.is_periodic, self.lower, dtype, torch.device(device))


def check_imposed(boundaries: Sequence[tuple[Boundary, Boundary]], *, who: str, also: tuple[type, ...] = ()) -> None:
    """Raise UnsupportedError unless every face is Periodic, Dirichlet or Neumann, or of a kind in ``also``."""
    known = (Periodic, Dirichlet, Neumann, *also)
    for axis, pair in enumerate(boundaries):
        for side, face in zip(("lower", "upper"), pair, strict=True):
            if not isinstance(face, known):
                names = " or ".join(f"{kind.__name__}()" for kind in known)
                raise UnsupportedError(
                    f"{who}: the {side} face of axis {axis} is {type(face).__name__}(), which it does not know; use {names}, or another method."
                )
