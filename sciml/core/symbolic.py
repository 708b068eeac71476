"""The SymPy engine: the same equation as a symbolic expression, for printing and for checking the declared split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy
import torch
from sympy.core.function import AppliedUndef
from torch import Tensor

from sciml.core.derivatives import AXES, Derivatives
from sciml.core.errors import UnsupportedError
from sciml.core.field import Field, map_fields

T = sympy.Symbol("t", real=True)
SPACE = tuple(sympy.Symbol(a, real=True) for a in AXES)


class Operator(sympy.Function):
    """A linear operator with constant coefficients that commutes with derivatives: ``Operator(name, expression)``."""

    @classmethod
    def eval(cls, name: Any, expression: Any) -> Any:
        """Distribute over sums and take constants out."""
        if expression.is_Add:
            return sympy.Add(*(cls(name, term) for term in expression.args))
        constant, rest = constant_factor(expression)
        if rest == 1:
            return cls.of_constant(constant)
        return None if constant == 1 else constant * cls(name, rest)

    @classmethod
    def of_constant(cls, value: Any) -> Any:
        """The operator on a constant: the Laplacian and its inverse (mean zero) annihilate it."""
        return sympy.Integer(0)

    def _eval_derivative(self, symbol: Any) -> Any:
        return self.func(self.args[0], self.args[1].diff(symbol))


class Shift(Operator):
    """The neighbour on a lattice; its name is the subscript, such as ``i+1``."""

    @classmethod
    def of_constant(cls, value: Any) -> Any:
        return value


def constant_factor(expression: Any) -> tuple[Any, Any]:
    """``(c, rest)`` with ``expression = c * rest`` and c free of unknowns, time and space."""
    return expression.as_independent(AppliedUndef, T, *SPACE, as_Add=False)


def _where(condition: Any, a: Any, b: Any) -> Any:
    return sympy.Piecewise((a, condition), (b, True))


def _clamp(a: Any, min: Any = None, max: Any = None) -> Any:
    lower = a if min is None else sympy.Max(a, min)
    return lower if max is None else sympy.Min(lower, max)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b, alpha=1: a + alpha * b,
    "sub": lambda a, b, alpha=1: a - alpha * b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "neg": lambda a: -a,
    "square": lambda a: a**2,
    "reciprocal": lambda a: 1 / a,
    "abs": sympy.Abs,
    "sqrt": sympy.sqrt,
    "relu": lambda a, inplace=False: sympy.Max(a, 0),
    "clamp": _clamp,
    "clamp_min": lambda a, min: sympy.Max(a, min),
    "clamp_max": lambda a, max: sympy.Min(a, max),
    "maximum": sympy.Max,
    "minimum": sympy.Min,
    "where": _where,
    "gt": sympy.StrictGreaterThan,
    "lt": sympy.StrictLessThan,
    "ge": sympy.GreaterThan,
    "le": sympy.LessThan,
    "zeros_like": lambda a: sympy.Integer(0),
    "ones_like": lambda a: sympy.Integer(1),
    **{name: getattr(sympy, name) for name in ("sin", "cos", "tan", "atan", "exp", "log", "sinh", "cosh", "tanh", "erf", "sign")},
}


class SymPyField(Field):
    """A tuple of SymPy expressions, one per channel."""

    __slots__ = ("expressions",)

    def __init__(self, engine: SymPy, expressions: tuple[sympy.Expr, ...]) -> None:
        self.engine = engine
        self.expressions = expressions

    def apply(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Field:
        engine = self.engine
        assert isinstance(engine, SymPy)
        handler = _FUNCTIONS.get(getattr(function, "__name__", "")) if _is_torch(function) else None
        if handler is None:
            return engine.named(getattr(function, "__name__", type(function).__name__), args)
        fields: list[SymPyField] = []
        map_fields((args, tuple(kwargs.values())), lambda item: fields.append(item) if isinstance(item, SymPyField) else None)
        rows = []
        for channel in range(max(len(f.expressions) for f in fields)):

            def pick(item: Any, channel: int = channel) -> Any:
                return item.expressions[min(channel, len(item.expressions) - 1)] if isinstance(item, SymPyField) else number(item)

            rows.append(handler(*map_fields(args, pick), **{k: map_fields(v, pick) for k, v in kwargs.items()}))
        return SymPyField(engine, tuple(rows))


class SymPy(Derivatives):
    """Derivatives as unevaluated SymPy derivatives of functions of time and space.

    Parameters
    ----------
    ndim : number of space axes.
    names : of the unknowns, one channel each.
    expand : write the Laplacian as a sum of derivatives instead of an operator, so that SymPy can reason about it.
    """

    def __init__(self, ndim: int, names: tuple[str, ...] = ("u",), expand: bool = False) -> None:
        self.ndim = ndim
        self.trailing = 1
        self.space = SPACE[:ndim]
        self.time = SymPyField(self, (T,))
        self.names = names
        self.expand = expand
        self.definitions: dict[str, tuple[Any, ...]] = {}

    def unknown(self) -> SymPyField:
        """The unknowns as functions of time and space."""
        return SymPyField(self, tuple(sympy.Function(n, real=True)(T, *self.space) for n in self.names))

    def field(self, u: Any) -> Field:
        return SymPyField(self, tuple(u))

    def values(self, u: Field) -> Any:
        return _own(u).expressions

    def partial(self, u: Field, axis: int, order: int) -> Field:
        return self._differentiated(u, self.space[axis], order)

    def t(self, u: Field, order: int = 1) -> Field:
        return self._differentiated(u, T, order)

    def laplacian(self, u: Field, power: int = 1) -> Field:
        if self.ndim == 1:
            return self.partial(u, 0, 2 * power)
        if self.expand:
            return super().laplacian(u, power)
        name = sympy.Symbol(r"\Delta" if power == 1 else rf"\Delta^{{{power}}}")
        return self._map(u, lambda e: Operator(name, e))

    def inverse_laplacian(self, u: Field, shift: float = 0.0) -> Field:
        s = number(shift)
        name = sympy.Symbol(r"\Delta^{-1}" if s == 0 else rf"\left(\Delta - {sympy.latex(sympy.factor(s))}\right)^{{-1}}")
        return self._map(u, lambda e: Operator(name, e))

    def shift(self, u: Field, n: int, axis: int = 0) -> Field:
        name = sympy.Symbol(f"{'ijk'[axis]}{n:+d}")
        return self._map(u, lambda e: Shift(name, e))

    def define(self, name: str, u: Field) -> Field:
        if self.expand:
            return u
        self.definitions[name] = _own(u).expressions
        count = len(_own(u).expressions)
        names = [name] if count == 1 else [f"{name}_{i + 1}" for i in range(count)]
        return SymPyField(self, tuple(sympy.Function(n, real=True)(T, *self.space) for n in names))

    def given(self, name: str, value: Any) -> Field:
        return SymPyField(self, (sympy.Function(name, real=True)(T, *self.space),))

    def coordinates(self) -> tuple[Field, ...]:
        return tuple(SymPyField(self, (s,)) for s in self.space)

    def split(self, u: Field) -> tuple[Field, ...]:
        return tuple(SymPyField(self, (e,)) for e in _own(u).expressions)

    def stack(self, *fields: Field) -> Field:
        return SymPyField(self, tuple(e for f in fields for e in _own(f).expressions))

    def pointwise(self, function: Callable[..., Tensor], *fields: Field) -> Field:
        return fields[0].apply(function, fields, {})

    def named(self, name: str, args: Any) -> SymPyField:
        """A function that has no symbolic form, such as a network, by its name; it has as many channels as its widest argument."""
        found: list[SymPyField] = []
        map_fields(args, lambda item: found.append(item) if isinstance(item, SymPyField) else None)
        arguments = [e for f in found for e in f.expressions] + [a for a in args if isinstance(a, sympy.Expr)]
        channels = max(len(f.expressions) for f in found)
        names = [name] if channels == 1 else [f"{name}_{i + 1}" for i in range(channels)]
        return SymPyField(self, tuple(sympy.Function(n, real=True)(*arguments) for n in names))

    def _differentiated(self, u: Field, symbol: Any, order: int) -> Field:
        def derivative(e: Any) -> Any:
            constant, rest = constant_factor(e)
            return constant * sympy.Derivative(rest, (symbol, order))

        return self._map(u, derivative)

    def _map(self, u: Field, operation: Callable[[Any], Any]) -> Field:
        return SymPyField(self, tuple(operation(sympy.sympify(e)) for e in _own(u).expressions))


def number(value: Any) -> Any:
    """A number or tensor as a SymPy object; simple fractions, also of pi, stay exact; an unnamed array prints as a bold c."""
    if isinstance(value, Tensor):
        return number(value.item()) if value.numel() == 1 else sympy.Symbol(r"\mathbf{c}")
    if isinstance(value, float):
        for unit in (sympy.Integer(1), sympy.pi):
            fraction = sympy.Rational(value / float(unit)).limit_denominator(64)
            if float(fraction) * float(unit) == value and abs(value) < 1e6:
                return fraction * unit
        return sympy.Float(value, 6)
    return value


def _is_torch(function: Any) -> bool:
    name = getattr(function, "__name__", "")
    return function is getattr(torch, name, None) or function is getattr(torch.nn.functional, name, None)


def _own(u: Field) -> SymPyField:
    if not isinstance(u, SymPyField):
        raise UnsupportedError(f"the SymPy engine was given a {type(u).__name__} of another engine; start from its unknown().")
    return u
