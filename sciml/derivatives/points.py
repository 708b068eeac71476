"""The points engine: derivatives at scattered points of space-time by repeated reverse-mode differentiation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sciml.core.derivatives import Derivatives, channel_split
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.field import Field, ValueField
from sciml.derivatives.spacetime import SpaceTime

InverseLaplacian = Callable[[Field, float], Any]


class PointsField(ValueField):
    """Values ``(*batch, channel)``, with the gradient in space-time kept once it has been computed."""

    __slots__ = ("from_user", "gradient")

    def __init__(self, engine: Derivatives, value: Tensor, from_user: bool = False) -> None:
        super().__init__(engine, value)
        self.from_user = from_user
        self.gradient: tuple[PointsField, ...] | None = None


class Points(SpaceTime):
    r"""Derivatives by automatic differentiation at points :math:`(t, x, y, \dots)`, all inside the graph.

    One backward pass gives the gradient in time and space together and is kept on the field, so that ``d.t(u)``,
    ``d.x(u)`` and ``d.x(u, 2)`` share their work.

    Parameters
    ----------
    t, x : coordinates, each ``(*batch, 1)`` or ``(*batch,)``; ``t`` may be a number. Those that do not require a
        gradient are copied to leaves that do, so evaluate functions on :attr:`inputs`, or use :meth:`of`.
    inverse_laplacian : ``f(u, shift)``, the field (or tensor) v with :math:`\Delta v - s\,v = u`. A formulation whose
        network outputs the potential hands it in here.

    >>> x = torch.linspace(0, 1, 3, dtype=torch.float64)
    >>> d, u = Points.of(lambda t, x: x**3, 0.0, x)
    >>> d.values(d.x(u, 2)).flatten().tolist()
    [0.0, 3.0, 6.0]
    """

    trailing = 1

    def __init__(self, t: Tensor | float, *x: Tensor, inverse_laplacian: InverseLaplacian | None = None) -> None:
        columns = [_column(c) for c in x]
        if not columns and not isinstance(t, Tensor):
            raise InputError(f"Points: t={t!r} given and no space coordinate; without space axes t must be a tensor of times.")
        like = columns[0] if columns else _column(t)
        time = _column(t) if isinstance(t, Tensor) and t.ndim else torch.as_tensor(t, dtype=like.dtype, device=like.device).expand(like.shape)
        for name, c in zip("xyz", columns, strict=False):
            if c.shape != time.shape or c.dtype != time.dtype or c.device != time.device:
                raise InputError(
                    f"Points: t is {tuple(time.shape)} {time.dtype} on {time.device} but {name} is {tuple(c.shape)} {c.dtype} on {c.device}; "
                    "give every coordinate the same shape (*batch, 1), dtype and device."
                )
        if len(columns) > 3:
            raise InputError(f"Points: {len(columns)} space coordinates given; at most 3 are supported.")
        if not time.is_floating_point():
            raise InputError(f"Points: coordinates are {time.dtype}; give a floating type such as torch.float64.")
        self.inputs: tuple[Tensor, ...] = tuple(c if c.requires_grad else c.detach().clone().requires_grad_() for c in (time, *columns))
        self.ndim = len(columns)
        self.inverse = inverse_laplacian
        self.time = PointsField(self, self.inputs[0])

    @classmethod
    def of(
        cls, function: Callable[..., Tensor], t: Tensor | float, *x: Tensor, inverse_laplacian: InverseLaplacian | None = None
    ) -> tuple[Points, Field]:
        """The engine on these points, and the field ``function(t, *x)``, whose values are ``(*batch, channel)``."""
        engine = cls(t, *x, inverse_laplacian=inverse_laplacian)
        return engine, engine._checked(function(*engine.inputs), from_user=False)

    def field(self, u: Tensor) -> Field:
        """A field from values ``(*batch, channel)`` that were computed from :attr:`inputs`."""
        return u if isinstance(u, Field) else self._checked(u, from_user=True)

    def values(self, u: Field) -> Tensor:
        value = self._own(u).value
        batch = self.inputs[0].shape[:-1]
        return value if value.ndim > len(batch) else value.expand(*batch, 1)

    def inverse_laplacian(self, u: Field, shift: float = 0.0) -> Field:
        if self.inverse is None:
            raise UnsupportedError(
                "the Points engine cannot invert the Laplacian at scattered points. Let the network output the potential (streamfunction) psi, "
                "take u = d.laplacian(psi), and hand psi in: Points(t, x, y, inverse_laplacian=lambda u, shift: psi)."
            )
        result = self.inverse(u, shift)
        return result if isinstance(result, Field) else self.field(result)

    def coordinates(self) -> tuple[Field, ...]:
        return tuple(PointsField(self, c) for c in self.inputs[1:])

    def split(self, u: Field) -> tuple[Field, ...]:
        own = self._own(u)
        return tuple(PointsField(self, c, own.from_user) for c in channel_split(own.value, -1))

    def stack(self, *fields: Field) -> Field:
        return PointsField(self, torch.cat([self.values(f) for f in fields], dim=-1))

    def _checked(self, u: Tensor, from_user: bool) -> PointsField:
        batch = self.inputs[0].shape[:-1]
        if not isinstance(u, Tensor) or u.ndim != len(batch) + 1 or u.shape[:-1] != batch:
            given = tuple(u.shape) if isinstance(u, Tensor) else type(u).__name__
            raise InputError(f"Points: values of shape {given} given for points of shape {tuple(batch)}; give (*batch, channel), channels last.")
        return PointsField(self, u, from_user)

    def _own(self, u: Field) -> PointsField:
        if not isinstance(u, PointsField):
            raise UnsupportedError(f"the points engine was given a {type(u).__name__} of another engine; build it with this engine's field().")
        return u

    def _repeated(self, u: Field, coordinate: int, order: int) -> Field:
        for _ in range(order):
            u = self._gradient(self._own(u if isinstance(u, Field) else self.field(u)))[coordinate]
        return u

    def _gradient(self, u: PointsField) -> tuple[PointsField, ...]:
        """The derivatives along t, x, ..., each with u's channels."""
        if u.gradient is None:
            if not torch.is_grad_enabled():
                raise InputError(
                    "Points: derivatives are made by automatic differentiation, which torch.no_grad() switches off; they would silently be zero. "
                    "Leave that block (or use torch.enable_grad()) and detach the result, or use the functional engine."
                )
            # Every sample depends on its own coordinates only, so the gradient of the sum holds each sample's derivative.
            channels = [self._gradient_of_sum(c, u.from_user) for c in channel_split(u.value, -1)]
            u.gradient = tuple(PointsField(self, torch.cat(g, dim=-1) if len(g) > 1 else g[0]) for g in zip(*channels, strict=True))
        return u.gradient

    def _gradient_of_sum(self, value: Tensor, from_user: bool) -> tuple[Tensor, ...]:
        found: tuple[Tensor | None, ...] = (None,) * len(self.inputs)
        if value.requires_grad:
            found = torch.autograd.grad(value.sum(), self.inputs, create_graph=True, allow_unused=True)
        if from_user and all(g is None for g in found):
            raise InputError(
                "Points: these values do not depend on the engine's coordinates, so their derivatives would silently be zero. "
                "Evaluate the network on d.inputs, or use Points.of(network, t, *x)."
            )
        return tuple(torch.zeros_like(c) if g is None else g for g, c in zip(found, self.inputs, strict=True))


def _column(coordinate: Any) -> Tensor:
    """A coordinate as ``(*batch, 1)``."""
    if not isinstance(coordinate, Tensor):
        raise InputError(f"Points: a coordinate is a {type(coordinate).__name__}; give tensors of shape (*batch, 1).")
    return coordinate if coordinate.ndim > 1 and coordinate.shape[-1] == 1 else coordinate.unsqueeze(-1)
