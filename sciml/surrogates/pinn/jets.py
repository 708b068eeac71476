"""The jets engine: fields are Taylor series at a point, each coefficient computed when it is asked for, by plain tensor operations.

It gives what the functional engine gives, in a small part of its time: nested forward-mode differentiation costs about a millisecond
per operation and level, whatever the number of points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sciml.core.domain import Domain
from sciml.core.errors import UnsupportedError
from sciml.core.field import Field
from sciml.derivatives.spacetime import SpaceTime
from sciml.surrogates.pinn.series import (
    Index,
    cosine_series,
    exponential_series,
    factorial,
    minus,
    monomials,
    plus,
    sine_series,
    tanh_series,
)

Coefficient = Callable[[Index], Tensor | None]
r"""An index :math:`\alpha` to :math:`\partial^\alpha u/\alpha!`, ``(..., channels)``; None for zero."""
CLOSED: dict[Any, Callable[[Tensor, int], list[Tensor]]] = {
    torch.tanh: tanh_series,
    torch.sin: sine_series,
    torch.cos: cosine_series,
    torch.exp: exponential_series,
}
SMOOTH: frozenset[Any] = frozenset((torch.log, torch.log1p, torch.expm1, torch.tan, torch.atan, torch.sinh, torch.cosh, torch.sqrt, torch.rsqrt)) | {
    *(torch.abs, torch.sign, torch.relu, torch.sigmoid, torch.erf, torch.zeros_like, torch.ones_like)
}
COMPARISONS = (torch.gt, torch.lt, torch.ge, torch.le)


class JetField(Field):
    """A field by its coefficients, each kept once computed."""

    __slots__ = ("coefficient", "kept")

    def __init__(self, engine: Jets, coefficient: Coefficient) -> None:
        self.engine = engine
        self.coefficient = coefficient
        self.kept: dict[Index, Tensor | None] = {}

    def at(self, index: Index) -> Tensor | None:
        """One coefficient; None for zero."""
        if index not in self.kept:
            self.kept[index] = self.coefficient(index)
        return self.kept[index]

    def apply(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Field:
        engine = self.engine
        assert isinstance(engine, Jets)
        return engine.applied(function, args, kwargs)


class Jets(SpaceTime):
    """Derivatives of fields given by their Taylor coefficients at points z, ``(..., 1 + ndim)``.

    Raises UnsupportedError for functions other than arithmetic, comparisons and the usual elementary ones; the functional engine has no such limit.
    """

    trailing = 1

    def __init__(self, z: Tensor, inverse: Callable[[Field, float], Field] | None = None) -> None:
        self.points, self.ndim, self.inverse = z, z.shape[-1] - 1, inverse
        self.zero: Index = (0,) * (1 + self.ndim)
        self.time = self._coordinate(0)
        self.space = tuple(self._coordinate(i) for i in range(1, 1 + self.ndim))

    def unknown(self, coefficient: Coefficient) -> JetField:
        """The field with these coefficients."""
        return JetField(self, coefficient)

    def field(self, u: Any) -> Field:
        if isinstance(u, Field):
            return u
        raise UnsupportedError("the jets engine works on the series of a network; use another engine for arrays.")

    def values(self, u: Field) -> Tensor:
        value = self.own(u).at(self.zero)
        return torch.zeros_like(self.points[..., :1]) if value is None else value

    def coordinates(self) -> tuple[Field, ...]:
        return self.space

    def inverse_laplacian(self, u: Field, shift: float = 0.0) -> Field:
        if self.inverse is None:
            raise UnsupportedError("the jets engine cannot invert the Laplacian of a field that is not made from a potential.")
        return self.inverse(u, shift)

    def split(self, u: Field) -> tuple[Field, ...]:
        own = self.own(u)
        count = self.values(own).shape[-1]
        return tuple(self.unknown(partial(_channel, own, i)) for i in range(count))

    def stack(self, *fields: Field) -> Field:
        own = [self.own(f) for f in fields]

        def stacked(index: Index) -> Tensor | None:
            parts = [f.at(index) for f in own]
            if all(p is None for p in parts):
                return None
            zero = torch.zeros_like(self.points[..., :1])
            return torch.cat([zero if p is None else p.expand_as(zero) if p.ndim == 0 or p.shape[-1] == 1 else p for p in parts], -1)

        return self.unknown(stacked)

    def _repeated(self, u: Field, coordinate: int, order: int) -> Field:
        own, step = self.own(u), tuple(order if i == coordinate else 0 for i in range(1 + self.ndim))

        def derived(index: Index) -> Tensor | None:
            n = index[coordinate]
            return _times(own.at(plus(index, step)), math.factorial(n + order) // math.factorial(n))

        return self.unknown(derived)

    def _coordinate(self, axis: int, less: Tensor | None = None) -> JetField:
        value = self.points[..., axis : axis + 1]
        value = value if less is None else value - less

        def coefficient(index: Index) -> Tensor | None:
            return value if not any(index) else torch.ones_like(value) if sum(index) == index[axis] == 1 else None

        return JetField(self, coefficient)

    def wrapped(self, domain: Domain) -> tuple[JetField, ...]:
        """The coordinates, those of periodic axes brought back into the domain."""
        found = []
        for axis, (low, length, periodic) in enumerate(zip(domain.lower, domain.lengths, domain.is_periodic, strict=True)):
            x = self.points[..., axis + 1 : axis + 2]
            found.append(self._coordinate(axis + 1, length * torch.floor((x - low) / length) if periodic else None))
        return tuple(found)

    def own(self, u: Field) -> JetField:
        """The field, if it is one of this kind."""
        if not isinstance(u, JetField):
            raise UnsupportedError(f"the jets engine was given a {type(u).__name__} of another engine.")
        return u

    # -- functions of fields ------------------------------------------------------------------------------------------

    def applied(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> JetField:
        """A function of fields and constants."""
        for item in args:
            if isinstance(item, Tensor) and item.numel() > 1:
                raise UnsupportedError(f"the jets engine works at one point, where a coefficient of shape {tuple(item.shape)} has no meaning.")
        fields = [item for item in args if isinstance(item, Field)]
        if args and len(fields) == len(args) and all(any(f is c for c in self.space) for f in fields) and not _known(function):
            return self._of_position(function, [self.own(f) for f in fields])
        if kwargs or not args or any(isinstance(item, tuple | list) for item in args):
            raise UnsupportedError(f"the jets engine does not know {getattr(function, '__name__', function)} with these arguments.")
        if function in (torch.add, torch.sub):
            return self._sum(args[0], args[1] if function is torch.add else -args[1])
        if function is torch.mul:
            return self._product(args[0], args[1])
        if function is torch.neg:
            return self._product(args[0], -1.0)
        if function is torch.square:
            return self._product(args[0], args[0])
        if function is torch.div:
            return self._product(args[0], self._power(args[1], -1.0) if isinstance(args[1], Field) else 1 / args[1])
        if function is torch.pow and isinstance(args[0], Field) and not isinstance(args[1], Field):
            return self._power(args[0], args[1])
        if function is torch.where:
            return self._choice(*args)
        if function in COMPARISONS:
            return self.unknown(lambda index: None if any(index) else function(*(self.values(a) if isinstance(a, Field) else a for a in args)))
        if len(args) == 1 and function in CLOSED:
            return self._composed(CLOSED[function], self.own(args[0]))
        if len(args) == 1 and function in SMOOTH:
            return self._composed(lambda a, n: nested(function, a, n), self.own(args[0]))
        raise UnsupportedError(f"the jets engine does not know {getattr(function, '__name__', function)}.")

    def _constant(self, value: Any) -> JetField:
        return self.unknown(lambda index: None if any(index) else torch.as_tensor(value, dtype=self.points.dtype, device=self.points.device))

    def _sum(self, a: Any, b: Any) -> JetField:
        first, second = (item if isinstance(item, JetField) else self._constant(item) for item in (a, b))

        def total(index: Index) -> Tensor | None:
            p, q = first.at(index), second.at(index)
            return q if p is None else p if q is None else p + q

        return self.unknown(total)

    def _product(self, a: Any, b: Any) -> JetField:
        if not isinstance(a, JetField):
            a, b = b, a
        first = self.own(a)
        if not isinstance(b, JetField):
            return self.unknown(lambda index: _times(first.at(index), b))

        def total(index: Index) -> Tensor | None:
            found: Tensor | None = None
            for below, above in _splits(index):
                p = first.at(below)
                q = None if p is None else b.at(above)
                if p is not None and q is not None:
                    found = p * q if found is None else found + p * q
            return found

        return self.unknown(total)

    def _power(self, a: Any, exponent: Any) -> JetField:
        base = self.own(a)
        if isinstance(exponent, int | float) and exponent in (1, 2, 3, 4):
            result = base
            for _ in range(int(exponent) - 1):
                result = self._product(result, base)
            return result

        def powers(x: Tensor, n: int) -> list[Tensor]:
            factor: Any = 1.0
            found = []
            for k in range(n + 1):
                vanishes = not isinstance(factor, Tensor) and factor == 0
                found.append(torch.zeros_like(x) if vanishes else factor * x ** (exponent - k))
                factor = factor * (exponent - k) / (k + 1)
            return found

        return self._composed(powers, base)

    def _composed(self, series: Callable[[Tensor, int], list[Tensor]], a: JetField) -> JetField:
        known: list[list[Tensor]] = []

        def coefficient(index: Index) -> Tensor | None:
            order = sum(index)
            if not known or len(known[0]) <= order:
                known[:] = [series(self.values(a), order)]
            if not order:
                return known[0][0]
            found: Tensor | None = None
            for k, multiple, parts in monomials(index):
                factors = [f for f in (a.at(part) for part in parts) if f is not None]
                if len(factors) < len(parts):
                    continue
                term = known[0][k]
                for f in factors:
                    term = term * f
                term = term if multiple == 1 else term * multiple
                found = term if found is None else found + term
            return found

        return self.unknown(coefficient)

    def _choice(self, condition: Any, a: Any, b: Any) -> JetField:
        chosen = self.values(condition) if isinstance(condition, Field) else condition
        first, second = (item if isinstance(item, JetField) else self._constant(item) for item in (a, b))

        def coefficient(index: Index) -> Tensor | None:
            p, q = first.at(index), second.at(index)
            if p is None and q is None:
                return None
            zero = torch.zeros((), dtype=self.points.dtype, device=self.points.device)
            return torch.where(chosen, zero if p is None else p, zero if q is None else q)

        return self.unknown(coefficient)

    def _of_position(self, function: Callable[..., Any], fields: list[JetField]) -> JetField:
        """A function of coordinates that torch knows nothing of; its derivatives by nested forward-mode differentiation."""
        axes = [next(i for i, c in enumerate(self.space) if c is f) for f in fields]

        def coefficient(index: Index) -> Tensor | None:
            if index[0]:
                return None
            derivative: Callable[..., Any] = function
            for n, axis in zip(index[1:], range(self.ndim), strict=True):
                for _ in range(n):
                    if axis not in axes:
                        return None
                    derivative = _along(derivative, axes.index(axis))
            columns = [self.values(f) for f in fields]
            value = torch.as_tensor(derivative(*columns), dtype=self.points.dtype, device=self.points.device)
            return value.expand_as(columns[0]) / factorial(index)

        return self.unknown(coefficient)


def nested(function: Callable[[Tensor], Tensor], a: Tensor, n: int) -> list[Tensor]:
    """f^(k)(a)/k! for k = 0..n of a function of single values."""
    found, derivative = [], function
    for k in range(n + 1):
        found.append(derivative(a) / math.factorial(k))
        derivative = _along(derivative, 0)
    return found


def _along(function: Callable[..., Any], which: int) -> Callable[..., Any]:
    def derivative(*x: Tensor) -> Any:
        tangents = tuple(torch.ones_like(c) if i == which else torch.zeros_like(c) for i, c in enumerate(x))
        return torch.func.jvp(lambda *y: torch.as_tensor(function(*y), dtype=x[0].dtype), x, tangents)[1]

    return derivative


def _known(function: Any) -> bool:
    return getattr(function, "__module__", None) in ("torch", None) or hasattr(torch.Tensor, getattr(function, "__name__", ""))


def _splits(index: Index) -> list[tuple[Index, Index]]:
    parts: list[Index] = [()]
    for n in index:
        parts = [(*p, i) for p in parts for i in range(n + 1)]
    return [(p, minus(index, p)) for p in parts]


def _times(value: Tensor | None, factor: Any) -> Tensor | None:
    return None if value is None else value if isinstance(factor, int) and factor == 1 else value * factor


def _channel(u: JetField, i: int, index: Index) -> Tensor | None:
    value = u.at(index)
    return None if value is None else value[..., i : i + 1]
