"""The Fourier engine: spectral derivatives on periodic grids, with fields that transform only where a product needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sciml.core.checks import as_channel, check_state
from sciml.core.derivatives import Derivatives
from sciml.core.errors import UnsupportedError
from sciml.core.field import ELEMENTWISE, LINEAR, Field, align, map_fields
from sciml.core.grid import Grid
from sciml.spectral.transforms import Transform, retained


class FourierField(Field):
    """The sum of a part held as coefficients and a part held as values; either may be absent.

    Sums and multiples act on both parts, so no transform happens until a derivative needs coefficients or a product
    needs values.
    """

    __slots__ = ("_values", "coefficient_part", "value_part")

    def __init__(self, engine: Fourier, coefficient_part: Tensor | None = None, value_part: Any = None) -> None:
        self.engine = engine
        self.coefficient_part = coefficient_part
        self.value_part = value_part
        self._values: Tensor | None = None

    def values(self) -> Tensor:
        """The field on the grid, ``(*batch, channel, *space)``; computed once."""
        if self._values is None:
            engine: Any = self.engine
            v = self.value_part
            if self.coefficient_part is not None:
                inverse = engine.transform.inverse(self.coefficient_part)
                v = inverse if v is None else inverse + v
            self._values = v
        return self._values

    def coefficients(self) -> Tensor:
        """The field's Fourier coefficients, ``(*batch, channel, *modes)``."""
        engine: Any = self.engine
        if self.value_part is not None:
            value = engine.on_grid(self.value_part)
            c = engine.transform.forward(value)
            if self.coefficient_part is None and engine.transform.mask is None:
                self._values = value  # nothing was removed, so a later product need not transform back
            self.coefficient_part = c if self.coefficient_part is None else self.coefficient_part + c
            self.value_part = None
        assert self.coefficient_part is not None
        return self.coefficient_part

    def apply(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Field:
        engine: Any = self.engine
        if function in LINEAR and not kwargs:
            result = self._linear(function, args)
            if result is not None:
                return result
        trailing, aligned = engine.trailing, function in ELEMENTWISE

        def unwrap(item: Any) -> Any:
            if isinstance(item, FourierField):
                return item.values()
            return align(item, trailing) if aligned and isinstance(item, Tensor) else item

        value = function(*map_fields(args, unwrap), **{k: map_fields(v, unwrap) for k, v in kwargs.items()})
        return FourierField(engine, None, value)

    def _linear(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Field | None:
        """Sums and multiples, part by part; None where values are needed."""
        engine: Any = self.engine
        if function is torch.neg:
            return FourierField(engine, *(None if p is None else -p for p in (self.coefficient_part, self.value_part)))
        a, b = args
        if function in (torch.add, torch.sub):
            pa, pb = (_parts(x, engine) for x in (a, b))
            sign = 1 if function is torch.add else -1
            return FourierField(engine, _combine(pa[0], pb[0], sign), _combine(pa[1], pb[1], sign))
        field, factor = (a, b) if isinstance(a, FourierField) else (b, a)
        if isinstance(factor, FourierField) or (function is torch.div and field is b):
            return None
        if isinstance(factor, Tensor):
            factor = align(factor, engine.trailing)
            if any(n > 1 for n in factor.shape[-engine.ndim :]):  # varies in space: a product of values
                return None
        return FourierField(engine, *(None if p is None else function(p, factor) for p in (field.coefficient_part, field.value_part)))


class Fourier(Derivatives):
    r"""Spectral derivatives on a periodic grid, :math:`\partial_x^n u \mapsto (ik)^n \hat u_k`.

    The Nyquist mode of odd derivatives is zero. Fields are lazy: the right-hand side of Kuramoto-Sivashinsky costs
    2 transforms, that of two-dimensional vorticity 5.

    Parameters
    ----------
    grid : periodic along every axis.
    degree : polynomial degree of the products to de-alias (2 gives the 2/3 rule); None keeps every mode.
    """

    def __init__(self, grid: Grid, degree: int | None = None) -> None:
        self.grid = grid
        self.ndim = grid.ndim
        self.trailing = grid.ndim + 1
        self.transform = Transform(grid, retained(grid.shape, degree))
        self._symbols = self.transform.symbols()
        self._multipliers: dict[tuple[int, int], Tensor] = {}

    def field(self, u: Tensor) -> Field:
        if isinstance(u, Field):
            return u
        check_state(u, self.grid, u.shape[-self.trailing] if u.ndim >= self.trailing else 1, who="Fourier.field")
        # With a band limit the field is the projection of u, in every product as in every derivative.
        return FourierField(self, None, u) if self.transform.mask is None else FourierField(self, self.transform.forward(u))

    def sampled(self, name: str, values: Tensor) -> Field:
        return self.field(as_channel(values, self.grid, name))

    def from_coefficients(self, c: Tensor) -> FourierField:
        """A field from its coefficients in the layout of ``self.transform``."""
        return FourierField(self, c, None)

    def values(self, u: Field) -> Tensor:
        return self.on_grid(_own(u).values())

    def coefficients(self, u: Field) -> Tensor:
        """The coefficients of a field."""
        return _own(u).coefficients()

    def on_grid(self, value: Any) -> Any:
        """A value part, which may be a number or broadcastable, expanded to the grid."""
        if not isinstance(value, Tensor | int | float):
            return value  # a recorded value, already of the grid's shape
        v = torch.as_tensor(value, dtype=self.grid.dtype, device=self.grid.device)
        shape = torch.broadcast_shapes(v.shape, (1, *self.grid.shape))
        return v if v.shape == shape else v.expand(shape)

    def partial(self, u: Field, axis: int, order: int) -> Field:
        return self._multiplied(u, self._multiplier(axis, order))

    def laplacian(self, u: Field, power: int = 1) -> Field:
        return self._multiplied(u, (-self._symbols.squared()) ** power)

    def inverse_laplacian(self, u: Field, shift: float = 0.0) -> Field:
        return self._multiplied(u, self._symbols.inverse_laplacian_multiplier(shift))

    def shift(self, u: Field, n: int, axis: int = 0) -> Field:
        return FourierField(self, None, torch.roll(self.values(u), -n, dims=axis - self.ndim))

    def coordinates(self) -> tuple[Field, ...]:
        return tuple(FourierField(self, None, x.unsqueeze(0)) for x in self.grid.points())

    def split(self, u: Field) -> tuple[Field, ...]:
        axis, f = -self.trailing, _own(u)
        channels = (f.coefficient_part if f.coefficient_part is not None else f.value_part).shape[axis]
        none = (None,) * channels
        c = none if f.coefficient_part is None else torch.split(f.coefficient_part, 1, dim=axis)
        v = none if f.value_part is None else torch.split(f.value_part, 1, dim=axis)
        return tuple(FourierField(self, ci, vi) for ci, vi in zip(c, v, strict=True))

    def stack(self, *fields: Field) -> Field:
        parts = [_own(f) for f in fields]
        if all(p.coefficient_part is None for p in parts):
            return FourierField(self, None, _cat([self.on_grid(p.value_part) for p in parts], -self.trailing))
        return FourierField(self, _cat([p.coefficients() for p in parts], -self.trailing))

    def _multiplier(self, axis: int, order: int) -> Tensor:
        key = (axis, order)
        if key not in self._multipliers:
            self._multipliers[key] = self._symbols.multiplier(axis, order)
        return self._multipliers[key]

    def _multiplied(self, u: Field, multiplier: Tensor) -> Field:
        return FourierField(self, _own(u if isinstance(u, Field) else self.field(u)).coefficients() * multiplier)


def _own(u: Field) -> FourierField:
    if not isinstance(u, FourierField):
        raise UnsupportedError(f"the Fourier engine was given a {type(u).__name__} of another engine; build it with this engine's field().")
    return u


def _parts(x: Any, engine: Fourier) -> tuple[Any, Any]:
    if isinstance(x, FourierField):
        return x.coefficient_part, x.value_part
    return None, align(x, engine.trailing) if isinstance(x, Tensor) else x


def _combine(a: Any, b: Any, sign: int) -> Any:
    if b is None:
        return a
    if a is None:
        return b if sign > 0 else -b
    return a + b if sign > 0 else a - b


def _cat(tensors: list[Tensor], axis: int) -> Tensor:
    shape = torch.broadcast_shapes(*(t.shape for t in tensors))
    return torch.cat([t.expand(shape) for t in tensors], dim=axis)
