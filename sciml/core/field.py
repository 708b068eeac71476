"""Fields: what an equation computes with. Operators and ``torch`` functions work on them; the engine decides how."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from sciml.core.derivatives import Derivatives

Operand = Any  # a Field, a Tensor or a number

# Tensor's own operator methods arrive here when the left operand is a tensor; they are mapped to one function each.
_CANONICAL: dict[str, Callable[..., Any]] = {
    "add": torch.add,
    "sub": torch.sub,
    "subtract": torch.sub,
    "mul": torch.mul,
    "multiply": torch.mul,
    "div": torch.div,
    "divide": torch.div,
    "truediv": torch.div,
    "true_divide": torch.div,
    "pow": torch.pow,
    "neg": torch.neg,
    "negative": torch.neg,
    "square": torch.square,
}
LINEAR = (torch.add, torch.sub, torch.mul, torch.div, torch.neg)
# Functions whose tensor arguments are coefficients. The weights that a network hands to other functions are left alone.
_ARITHMETIC = (torch.add, torch.sub, torch.mul, torch.div, torch.pow, torch.fmod, torch.remainder, torch.atan2, torch.hypot)
_CHOICES = (torch.where, torch.maximum, torch.minimum, torch.clamp, torch.clamp_min, torch.clamp_max, torch.gt, torch.lt, torch.ge, torch.le)
ELEMENTWISE = frozenset((*_ARITHMETIC, *_CHOICES))


class Field(ABC):
    """A field on which an equation's right-hand side operates.

    Supports ``+ - * / **``, every elementwise ``torch`` function and any callable that takes tensors. Subclasses
    implement :meth:`apply` once; all arithmetic goes through it.
    """

    __slots__ = ("engine",)
    __array_ufunc__ = None  # numpy scalars on the left hand back to us
    engine: Derivatives

    @abstractmethod
    def apply(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Field:
        """The field ``function(*args, **kwargs)``, where at least one argument is a field of this engine."""

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Field:
        name = getattr(function, "__name__", "").strip("_")
        if name not in _CANONICAL and name[:1] == "r" and name[1:] in _CANONICAL:
            name, args = name[1:], args[::-1]
        return first_field(args).apply(_CANONICAL.get(name, function), args, kwargs or {})

    def __add__(self, other: Operand) -> Field:
        return self.apply(torch.add, (self, other), {})

    def __radd__(self, other: Operand) -> Field:
        return self.apply(torch.add, (other, self), {})

    def __sub__(self, other: Operand) -> Field:
        return self.apply(torch.sub, (self, other), {})

    def __rsub__(self, other: Operand) -> Field:
        return self.apply(torch.sub, (other, self), {})

    def __mul__(self, other: Operand) -> Field:
        return self.apply(torch.mul, (self, other), {})

    def __rmul__(self, other: Operand) -> Field:
        return self.apply(torch.mul, (other, self), {})

    def __truediv__(self, other: Operand) -> Field:
        return self.apply(torch.div, (self, other), {})

    def __rtruediv__(self, other: Operand) -> Field:
        return self.apply(torch.div, (other, self), {})

    def __pow__(self, exponent: Operand) -> Field:
        return self.apply(torch.pow, (self, exponent), {})

    def __rpow__(self, base: Operand) -> Field:
        return self.apply(torch.pow, (base, self), {})

    def __gt__(self, other: Operand) -> Field:
        return self.apply(torch.gt, (self, other), {})

    def __lt__(self, other: Operand) -> Field:
        return self.apply(torch.lt, (self, other), {})

    def __ge__(self, other: Operand) -> Field:
        return self.apply(torch.ge, (self, other), {})

    def __le__(self, other: Operand) -> Field:
        return self.apply(torch.le, (self, other), {})

    def __neg__(self) -> Field:
        return self.apply(torch.neg, (self,), {})

    def __pos__(self) -> Field:
        return self

    def __abs__(self) -> Field:
        return self.apply(torch.abs, (self,), {})


def first_field(args: Any) -> Field:
    """The first field among nested arguments."""
    for item in args:
        if isinstance(item, Field):
            return item
        if isinstance(item, tuple | list):
            try:
                return first_field(item)
            except LookupError:
                continue
    raise LookupError("no field among the arguments")


def map_fields(value: Any, convert: Callable[[Any], Any]) -> Any:
    """``value`` with ``convert`` applied to every leaf of nested tuples and lists."""
    if isinstance(value, tuple | list):
        return type(value)(map_fields(item, convert) for item in value)
    return convert(value)


def align(coefficient: Tensor, trailing: int, axes: int | None = None) -> Tensor:
    """Give a coefficient per sample, of batch shape, the ``trailing`` axes (channel and space) of a field.

    On a grid, a tensor with at least ``trailing`` axes is taken to be a field-shaped array and left alone. Where
    fields have no space axes (``trailing`` is 1) the leading axes are the batch's, up to the ``axes`` of the field.
    A tensor that holds a single value needs no axes.
    """
    if coefficient.ndim == 0:
        return coefficient
    missing = (axes or trailing) - coefficient.ndim if trailing == 1 else trailing * (coefficient.ndim < trailing)
    if missing <= 0:
        return coefficient
    return coefficient.reshape(()) if coefficient.numel() == 1 else coefficient.reshape(coefficient.shape + (1,) * missing)


class Probe(Field):
    """Stands for any field: every operation gives a field again. Tells whether an expression depends on the unknown."""

    __slots__ = ()

    def __init__(self, engine: Derivatives) -> None:
        self.engine = engine

    def apply(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Field:
        return self


class ValueField(Field):
    """A field known by its values on the engine's points: a thin wrapper that aligns coefficients."""

    __slots__ = ("value",)

    def __init__(self, engine: Derivatives, value: Tensor) -> None:
        self.engine = engine
        self.value = value

    def apply(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Field:
        trailing, axes = self.engine.trailing, self.value.ndim
        aligned = function in ELEMENTWISE

        def unwrap(item: Any) -> Any:
            if isinstance(item, ValueField):
                return item.value
            return align(item, trailing, axes) if aligned and isinstance(item, Tensor) else item

        result = function(*map_fields(args, unwrap), **{k: map_fields(v, unwrap) for k, v in kwargs.items()})
        return type(self)(self.engine, result)
