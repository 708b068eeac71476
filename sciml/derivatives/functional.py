"""The functional engine: fields are functions of one space-time point; derivatives are nested forward-mode ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial as bound
from typing import Any

import torch
from torch import Tensor, nn

from sciml.core.derivatives import Derivatives
from sciml.core.equation import ResidualForm
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.field import ELEMENTWISE, Field, map_fields
from sciml.derivatives.spacetime import SpaceTime

PointFunction = Callable[[Tensor], Tensor]
InverseLaplacian = Callable[[Field, float], Any]


class FunctionalField(Field):
    """A function of one point ``z = (t, x, ...)`` of shape ``(1 + ndim,)`` with values ``(channels,)``."""

    __slots__ = ("channels", "derivatives", "function")

    def __init__(self, engine: Derivatives, function: PointFunction, channels: int) -> None:
        self.engine = engine
        self.function = function
        self.channels = channels
        self.derivatives: dict[int, FunctionalField] = {}

    def __call__(self, z: Tensor) -> Tensor:
        """The value at ``z``; within one evaluation, a field used twice at one point is computed once."""
        engine: Any = self.engine
        if engine.known is None:
            return self.function(z)
        key = (id(self), id(z))
        if key not in engine.known:
            engine.remember(self, z, self.function(z))
        return engine.known[key][-1]

    def apply(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Field:
        if function in ELEMENTWISE:
            map_fields((args, tuple(kwargs.values())), _refuse_samples)

        def value(z: Tensor) -> Tensor:
            def unwrap(item: Any) -> Any:
                return item(z) if isinstance(item, FunctionalField) else item

            return function(*map_fields(args, unwrap), **{k: map_fields(v, unwrap) for k, v in kwargs.items()})

        fields: list[int] = []
        map_fields((args, tuple(kwargs.values())), lambda item: fields.append(item.channels) if isinstance(item, FunctionalField) else None)
        return FunctionalField(self.engine, value, max(fields))


class Functional(SpaceTime):
    r"""Derivatives by nested ``torch.func.jvp`` of functions of a point; everything can be ``vmap``-ed and ``jacrev``-ed.

    Use it where per-point derivatives with respect to network weights are needed (Gauss-Newton, natural gradient).

    Parameters
    ----------
    ndim : number of space axes.
    inverse_laplacian : ``f(u, shift)`` returning a field (or a function of z) v with :math:`\Delta v - s\,v = u`.

    >>> d = Functional(1)
    >>> u = d.unknown(lambda z: z[1:] ** 3)
    >>> d.evaluate(d.x(u, 2), torch.tensor([[0.0, 0.5], [0.0, 1.0]])).flatten().tolist()
    [3.0, 6.0]
    """

    trailing = 1

    def __init__(self, ndim: int, inverse_laplacian: InverseLaplacian | None = None) -> None:
        if not 0 <= ndim <= 3:
            raise InputError(f"Functional: ndim={ndim} given; 0 to 3 space axes are supported.")
        self.ndim = ndim
        self.inverse = inverse_laplacian
        self.time = FunctionalField(self, lambda z: z[:1], 1)
        self.known: dict[tuple[int, int], tuple[FunctionalField, Tensor, Tensor]] | None = None

    def unknown(self, function: PointFunction, channels: int = 1) -> FunctionalField:
        """The field of a function of z; ``function(z)`` has shape ``(channels,)``."""

        def checked(z: Tensor) -> Tensor:
            value = function(z)
            if value.shape != (channels,):
                raise InputError(f"Functional: the function returned shape {tuple(value.shape)} at one point; ({channels},) was declared.")
            return value

        return FunctionalField(self, checked, channels)

    def remember(self, u: FunctionalField, z: Tensor, value: Tensor) -> None:
        """Keep a value for the rest of this evaluation; the entry holds its keys' owners, so that ids stay unique."""
        if self.known is not None:
            self.known[id(u), id(z)] = (u, z, value)

    def evaluate(self, u: Field, points: Tensor) -> Tensor:
        """Values ``(*batch, channels)`` at points ``(*batch, 1 + ndim)``."""
        if points.shape[-1:] != (1 + self.ndim,):
            raise InputError(f"Functional: points of shape {tuple(points.shape)} given; (*batch, {1 + self.ndim}) is needed, with columns t and x.")
        field = self._own(u)

        def at(z: Tensor) -> Tensor:
            self.known = {}
            try:
                return field(z)
            finally:
                self.known = None

        if points.ndim == 1:
            return at(points)
        values = torch.func.vmap(at)(points.reshape(-1, points.shape[-1]))
        return values.reshape(*points.shape[:-1], -1)

    def field(self, u: Any) -> Field:
        """A field from a function of z; arrays have no derivatives here."""
        if isinstance(u, Field):
            return u
        if isinstance(u, Tensor):
            raise InputError("Functional: an array was given; this engine needs the function itself: d.unknown(lambda z: ...), z = (t, x, ...).")
        return self.unknown(u)

    def values(self, u: Field) -> Tensor:
        raise UnsupportedError("the Functional engine's fields are functions; use d.evaluate(field, points).")

    def inverse_laplacian(self, u: Field, shift: float = 0.0) -> Field:
        if self.inverse is None:
            raise UnsupportedError(
                "the Functional engine cannot invert the Laplacian. Let the network output the potential (streamfunction) psi, take "
                "u = d.laplacian(psi), and hand psi in: Functional(2, inverse_laplacian=lambda u, shift: psi)."
            )
        return self.field(self.inverse(u, shift))

    def coordinates(self) -> tuple[Field, ...]:
        return tuple(FunctionalField(self, bound(_component, index=i), 1) for i in range(1, 1 + self.ndim))

    def split(self, u: Field) -> tuple[Field, ...]:
        own = self._own(u)
        return tuple(FunctionalField(self, bound(_channel, field=own, index=i), 1) for i in range(own.channels))

    def stack(self, *fields: Field) -> Field:
        own = [self._own(f) for f in fields]
        return FunctionalField(self, lambda z: torch.cat([f(z) for f in own], dim=-1), sum(f.channels for f in own))

    def _own(self, u: Field) -> FunctionalField:
        if not isinstance(u, FunctionalField):
            raise UnsupportedError(f"the functional engine was given a {type(u).__name__} of another engine; build it with this engine's unknown().")
        return u

    def _repeated(self, u: Field, coordinate: int, order: int) -> Field:
        field = self._own(self.field(u))
        for _ in range(order):
            if coordinate not in field.derivatives:
                field.derivatives[coordinate] = self._first(field, coordinate)
            field = field.derivatives[coordinate]
        return field

    def _first(self, u: FunctionalField, coordinate: int) -> FunctionalField:
        def derivative(z: Tensor) -> Tensor:
            direction = torch.zeros_like(z)
            direction[coordinate] = 1.0
            value, tangent = torch.func.jvp(u, (z,), (direction,))[:2]
            self.remember(u, z, value)
            return tangent

        return FunctionalField(self, derivative, u.channels)


class PointResidual(nn.Module):
    r"""The residual of an equation for a network, as a module: ``forward(points)`` is ``(*batch, unknowns)``.

    ``torch.func.functional_call(module, parameters, (points,))`` evaluates it for other weights, those of the network
    and trainable coefficients of the equation alike, so ``jacrev`` over ``parameters`` gives the Jacobian that
    Gauss-Newton methods need.

    Parameters
    ----------
    equation : whose residual.
    network : ``network(t, *x)`` for coordinates ``(*batch, 1)``, with values ``(*batch, unknowns)``.
    ndim : number of space axes.
    """

    def __init__(self, equation: ResidualForm, network: nn.Module, ndim: int) -> None:
        super().__init__()
        self.equation = equation
        self.network = network
        self.ndim = ndim

    def forward(self, points: Tensor) -> Tensor:
        """The residual at points ``(*batch, 1 + ndim)``, whose columns are t and x."""
        d = Functional(self.ndim)
        u = d.unknown(lambda z: self.network(*z.split(1)), len(self.equation.fields))
        return d.evaluate(self.equation.residual(u, d), points)


def _component(z: Tensor, index: int) -> Tensor:
    return z[index : index + 1]


def _channel(z: Tensor, field: FunctionalField, index: int) -> Tensor:
    return _component(field(z), index)


def _refuse_samples(coefficient: Any) -> None:
    if isinstance(coefficient, Tensor) and coefficient.numel() > 1:
        raise UnsupportedError(
            f"the Functional engine works at one point, where a coefficient of shape {tuple(coefficient.shape)} has no meaning. "
            "Use the points engine, or torch.vmap over the samples so that each sees a single value."
        )
