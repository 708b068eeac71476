"""The SymPy engine: the same equation as a symbolic expression, for printing and for checking the declared split."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import sympy
from torch import Tensor, nn

from sciml.core.derivatives import AXES, Derivatives
from sciml.core.errors import UnsupportedError
from sciml.core.field import Field, map_fields

if TYPE_CHECKING:
    from sciml.core.equation import Equation

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "neg": lambda a: -a,
    "square": lambda a: a**2,
    "abs": sympy.Abs,
    "relu": lambda a: sympy.Max(a, 0),
    "clamp_min": sympy.Max,
    "maximum": sympy.Max,
    "minimum": sympy.Min,
    "sqrt": sympy.sqrt,
    "reciprocal": lambda a: 1 / a,
    **{name: getattr(sympy, name) for name in ("sin", "cos", "tan", "exp", "log", "sinh", "cosh", "tanh", "erf", "sign")},
}


class SymPyField(Field):
    """A tuple of SymPy expressions, one per channel."""

    __slots__ = ("expressions",)

    def __init__(self, engine: SymPy, expressions: tuple[sympy.Expr, ...]) -> None:
        self.engine = engine
        self.expressions = expressions

    @property
    def expression(self) -> sympy.Expr:
        """The expression of a field with one channel."""
        (single,) = self.expressions
        return single

    def apply(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Field:
        engine = self.engine
        assert isinstance(engine, SymPy)
        handler = _FUNCTIONS.get(getattr(function, "__name__", ""))
        channels = max(len(a.expressions) for a in args if isinstance(a, SymPyField))
        if handler is None:
            name = getattr(function, "__name__", type(function).__name__).strip("_")
            handler = sympy.Function(rf"\mathrm{{{name.replace('_', ' ')}}}")
        rows = []
        for channel in range(channels):

            def pick(item: Any, channel: int = channel) -> Any:
                if isinstance(item, SymPyField):
                    return item.expressions[min(channel, len(item.expressions) - 1)]
                return engine.coefficient(item)

            rows.append(handler(*map_fields(args, pick)))
        return SymPyField(engine, tuple(rows))


class SymPy(Derivatives):
    """Derivatives as unevaluated SymPy derivatives of functions of time and space.

    Parameters
    ----------
    ndim : number of space axes.
    names : of the unknowns, one channel each.
    coefficients : symbol name for each tensor or number that the equation uses, looked up by identity, so that
        ``viscosity`` prints as a letter and not as its value.
    """

    def __init__(self, ndim: int, names: tuple[str, ...] = ("u",), coefficients: dict[int, sympy.Symbol] | None = None) -> None:
        self.ndim = ndim
        self.trailing = 1
        self.space = tuple(sympy.Symbol(a, real=True) for a in AXES[:ndim])
        self.t_symbol = sympy.Symbol("t", real=True)
        self.time = SymPyField(self, (self.t_symbol,))
        self.names = names
        self._coefficients = coefficients or {}

    def coefficient(self, value: Any) -> Any:
        """A number or tensor as a SymPy object."""
        if id(value) in self._coefficients:
            return self._coefficients[id(value)]
        if isinstance(value, Tensor):
            return sympy.nsimplify(value.item(), rational=False) if value.ndim == 0 else sympy.Symbol("c")
        if isinstance(value, float):
            return sympy.Integer(int(value)) if value.is_integer() and abs(value) < 1e6 else sympy.Float(value, 6)
        return value

    def unknown(self) -> SymPyField:
        """The unknowns as functions of time and space."""
        return SymPyField(self, tuple(sympy.Function(n)(self.t_symbol, *self.space) for n in self.names))

    def field(self, u: Any) -> Field:
        return SymPyField(self, tuple(u))

    def values(self, u: Field) -> Any:
        assert isinstance(u, SymPyField)
        return u.expressions

    def partial(self, u: Field, axis: int, order: int) -> Field:
        return self._map(u, lambda e: sympy.Derivative(e, (self.space[axis], order)))

    def t(self, u: Field, order: int = 1) -> Field:
        return self._map(u, lambda e: sympy.Derivative(e, (self.t_symbol, order)))

    def inverse_laplacian(self, u: Field, shift: float = 0.0) -> Field:
        operator = sympy.Function(r"\Delta^{-1}" if not shift else r"(\Delta-s)^{-1}")
        return self._map(u, lambda e: operator(e))

    def laplacian(self, u: Field, power: int = 1) -> Field:
        if self.ndim == 1:
            return self.partial(u, 0, 2 * power)
        operator = sympy.Function(r"\Delta" if power == 1 else rf"\Delta^{{{power}}}")
        return self._map(u, lambda e: operator(e))

    def shift(self, u: Field, n: int, axis: int = 0) -> Field:
        return self._map(u, lambda e: sympy.Function(f"S_{{{n:+d}}}")(e))

    def coordinates(self) -> tuple[Field, ...]:
        return tuple(SymPyField(self, (s,)) for s in self.space)

    def split(self, u: Field) -> tuple[Field, ...]:
        assert isinstance(u, SymPyField)
        return tuple(SymPyField(self, (e,)) for e in u.expressions)

    def stack(self, *fields: Field) -> Field:
        return SymPyField(self, tuple(f.expression for f in fields if isinstance(f, SymPyField)))

    def _map(self, u: Field, operation: Callable[[sympy.Expr], sympy.Expr]) -> Field:
        assert isinstance(u, SymPyField)
        return SymPyField(self, tuple(operation(e) for e in u.expressions))


def sympy_engine(equation: Equation, ndim: int) -> SymPy:
    """The SymPy engine that prints the equation's coefficients by name."""
    named: dict[int, sympy.Symbol] = {}
    members = {**vars(equation), **dict(equation.named_parameters(recurse=False)), **dict(equation.named_buffers(recurse=False))}
    for name, value in members.items():
        if isinstance(value, Tensor | nn.Parameter) or (isinstance(value, float) and not name.startswith("_")):
            named[id(value)] = sympy.Symbol(GREEK.get(name, rf"\mathrm{{{name.replace('_', ' ')}}}"))
    return SymPy(ndim, equation.fields, named)


GREEK = {
    "viscosity": r"\nu",
    "diffusivity": r"\kappa",
    "hyperdiffusion": r"\nu_4",
    "dispersion": r"\delta",
    "speed": "c",
    "drag": r"\mu",
    "beta": r"\beta",
}


def latex_of(equation: Equation) -> str:
    """``u_t = ...``, one line per unknown, for the smallest number of space axes that the equation accepts."""
    engine = sympy_engine(equation, equation.ndim)
    right = equation.rhs(engine.unknown(), engine)
    if not isinstance(right, SymPyField):
        raise UnsupportedError(f"{type(equation).__name__}.rhs did not return a field; it cannot be printed.")
    arguments = ", ".join(("t", *AXES[: equation.ndim]))
    lines = []
    for name, expression in zip(equation.fields, right.expressions, strict=True):
        body = sympy.latex(sympy.expand(expression)).replace(rf"{{\left({arguments.replace(', ', ',')} \right)}}", "")
        lines.append(rf"{name}_t = {body}")
    return r" \\ ".join(lines)


