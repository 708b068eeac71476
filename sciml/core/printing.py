"""Equations typeset, coefficients by name; and a check that the part declared linear is linear."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import sympy
from sympy.core.function import AppliedUndef
from sympy.printing.latex import LatexPrinter, greek_letters_set
from torch import Tensor

from sciml.core.coefficients import substituted
from sciml.core.derivatives import Derivatives
from sciml.core.errors import UnsupportedError
from sciml.core.symbolic import SPACE, Operator, Shift, SymPy, SymPyField, T, constant_factor, number

if TYPE_CHECKING:
    from sciml.core.equation import Equation, ResidualForm
    from sciml.core.steady import SteadyEquation

_NEW_LINE = r" \\ "
NAMES = {
    "viscosity": r"\nu",
    "diffusivity": r"\kappa",
    "hyperviscosity": r"\nu_{4}",
    "dispersion": r"\delta",
    "conductivity": r"\kappa",
    "speed": "c",
    "drag": r"\mu",
    "exponent": "m",
    "forcing": "F",
    "mean_flow": "U",
    "density": r"\rho",
    "shear": r"\mu",
    "lame": r"\lambda",
    "load": "b",
    **{name: f"{name[0]}_{{{name[1]}}}" for name in ("dx", "dy", "vx", "vy")},
}


def latex_of(equation: Equation) -> str:
    r"""``u_t = ...``, one line per unknown separated by ``\\``: linear terms first, then by order of derivative."""

    def rows(equation: Equation) -> list[str]:
        engine = SymPy(equation.ndim, equation.fields)
        u = engine.unknown()
        parts = [_expressions(part, equation) for part in (equation.linear(u, engine), equation.nonlinear(u, engine)) if part is not None]
        sums = zip(*parts, strict=True) if parts else [()] * len(equation.fields)
        return [f"{Printer().unknown(name, 't')} = {_sum(terms)}" for name, terms in zip(equation.fields, sums, strict=True)] + _definitions(engine)

    return _NEW_LINE.join(_named(equation, rows))


def residual_latex(form: ResidualForm) -> str:
    r"""``... = 0``, one line per residual: for equations that are not of evolution form."""

    def rows(form: ResidualForm) -> list[str]:
        engine = SymPy(form.ndim, form.fields)
        result = form.residual(engine.unknown(), engine)
        return [f"{_sum((expression,))} = 0" for expression in _expressions(result, form)] + _definitions(engine)

    return _NEW_LINE.join(_named(form, rows))


def balance_latex(equation: SteadyEquation) -> str:
    r"""``operator = source``, one line per unknown."""

    def rows(equation: SteadyEquation) -> list[str]:
        engine = SymPy(equation.ndim, equation.fields)
        left = _expressions(equation.operator(engine.unknown(), engine), equation)
        f = equation.source(engine)
        right = (0,) * len(left) if f is None else _expressions(f, equation) if isinstance(f, SymPyField) else (number(f),) * len(left)
        return [f"{_sum((a,))} = {_sum((sympy.sympify(b),))}" for a, b in zip(left, right, strict=True)] + _definitions(engine)

    return _NEW_LINE.join(_named(equation, rows))


def nonlinear_terms(equation: Equation) -> list[str]:
    """The terms of ``equation.linear`` that are not linear with constant coefficients, typeset; empty for a sound split."""
    ndim, names = equation.ndim, equation.fields

    def rows(equation: Equation) -> list[Any]:
        engine = SymPy(ndim, names, expand=True)
        part = equation.linear(engine.unknown(), engine)
        return [] if part is None else list(_expressions(part, equation))

    functions = [sympy.Function(n, real=True)(T, *SPACE[:ndim]) for n in names]
    others = [sympy.Function(f"{n}'", real=True)(T, *SPACE[:ndim]) for n in names]
    a, b = sympy.symbols("a b")

    def at(term: Any, unknowns: list[Any]) -> Any:
        return sympy.expand(term.xreplace(dict(zip(functions, unknowns, strict=True))).doit())

    def sound(term: Any) -> bool:
        mixed = at(term, [a * u + b * v for u, v in zip(functions, others, strict=True)])
        superposed = sympy.expand(mixed - a * at(term, functions) - b * at(term, others)) == 0
        # constant coefficients: the operator commutes with every derivative
        constant = all(sympy.expand(at(term, functions).diff(s) - at(term, [u.diff(s) for u in functions])) == 0 for s in (T, *SPACE[:ndim]))
        return superposed and constant

    return [Printer().doprint(term) for expression in _named(equation, rows) for term in _terms(expression) if not sound(term)]


def is_linear(equation: Equation) -> bool:
    """Whether ``equation.linear`` is linear with constant coefficients, as SymPy sees it."""
    return not nonlinear_terms(equation)


class Printer(LatexPrinter):
    r"""Subscripts for derivatives, ``u_{xx}`` and :math:`\left(u^{2}\right)_{x}`; no arguments after the unknowns."""

    def unknown(self, name: str, subscript: str = "") -> str:
        """An unknown's name with its derivatives: ``q1`` and ``xx`` give ``q_{1,xx}``."""
        stem, _, index = _symbol(name).partition("_")
        subscripts = ",".join(s for s in (index.strip("{}"), subscript) if s)
        return stem + _index(subscripts)

    def _print_Function(self, expr: Any, exp: Any = None) -> str:
        if isinstance(expr, Shift):
            return self._subscripted(expr.args[1], expr.args[0].name, exp)
        if isinstance(expr, Operator):
            inner = expr.args[1]
            body = self._print(inner) if isinstance(inner, AppliedUndef | sympy.Derivative | Operator) else rf"\left({self._print(inner)}\right)"
            return self._power(rf"{expr.args[0].name} {body}", exp, bracket=True)
        if isinstance(expr, AppliedUndef):
            if expr.args[:1] == (T,) and all(a in SPACE for a in expr.args[1:]):
                return self._power(self.unknown(expr.func.__name__), exp)
            arguments = ", ".join(self._print(a) for a in expr.args)
            return self._power(rf"{_symbol(expr.func.__name__)}\left({arguments}\right)", exp)
        return str(super()._print_Function(expr, exp))

    def _print_Derivative(self, expr: Any) -> str:
        return self._subscripted(expr.expr, "".join(self._print(v) * int(n) for v, n in expr.variable_count))

    def parenthesize(self, item: Any, *args: Any, **kwargs: Any) -> str:
        return self._print(item) if isinstance(item, sympy.Derivative) else str(super().parenthesize(item, *args, **kwargs))

    def _subscripted(self, inner: Any, subscript: str, exp: Any = None) -> str:
        if isinstance(inner, AppliedUndef) and inner.args[:1] == (T,):
            return self._power(self.unknown(inner.func.__name__, subscript), exp)
        return self._power(rf"\left({self._print(inner)}\right){_index(subscript)}", exp)

    def _power(self, body: str, exp: Any, bracket: bool = False) -> str:
        if exp is None:
            return body
        return rf"\left({body}\right)^{{{exp}}}" if bracket else f"{body}^{{{exp}}}"


class _Network:
    """Stands for a module inside an equation: a term is traced, anything else prints as a function of its arguments."""

    def __init__(self, name: str, module: Any, convert: Callable[[str, Any], Any]) -> None:
        self.__name__ = name.rpartition(".")[-1]
        self._traced = substituted(module, convert, lambda n, m: _Network(n, m, convert), f"{name}.")

    def __call__(self, *args: Any) -> Any:
        if any(isinstance(a, Derivatives) for a in args):
            return self._traced(*args)
        engine: Any = next(a for a in args if isinstance(a, SymPyField)).engine
        return engine.named(self.__name__, args)


def _named(equation: Any, rows: Callable[[Any], list[Any]]) -> list[Any]:
    """``rows`` of the equation with its coefficients as symbols; with their values where Python needs a number."""
    taken: dict[str, Any] = {}

    def name(path: str, value: Any) -> Any:
        # Zero and one are structure rather than data: they print as such, so that absent terms vanish.
        if not (isinstance(value, Tensor) and (value.requires_grad or value.numel() > 1)) and float(value) in (0.0, 1.0):
            return sympy.Integer(int(value))
        label = _symbol(_stem(path))
        owner = value if isinstance(value, Tensor) else path  # a shared parameter is one coefficient, equal floats are two
        while taken.setdefault(label, owner) is not owner:
            label += "'"
        return sympy.Symbol(label, real=True)

    def network(path: str, module: Any) -> Any:
        return _Network(path, module, name)

    try:
        return rows(substituted(equation, name, network))
    except (TypeError, ValueError, AttributeError, RuntimeError):
        pass
    try:
        return rows(substituted(equation, lambda _, value: value, network))
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise UnsupportedError(
            f"{type(equation).__name__} cannot be written symbolically ({type(error).__name__}: {error}). Use the vocabulary of d, arithmetic and "
            "torch functions on fields, and d.pointwise for functions of values; or override latex()."
        ) from error


def _definitions(engine: SymPy) -> list[str]:
    lines = []
    for name, expressions in engine.definitions.items():
        for i, expression in enumerate(expressions):
            lines.append(f"{Printer().unknown(name if len(expressions) == 1 else f'{name}{i + 1}')} = {_sum((expression,))}")
    return lines


def _expressions(part: Any, equation: Any) -> tuple[Any, ...]:
    if not isinstance(part, SymPyField):
        raise UnsupportedError(f"{type(equation).__name__} returned a {type(part).__name__}, not a field; it cannot be printed.")
    return tuple(sympy.sympify(e) for e in part.expressions)


def _sum(parts: tuple[Any, ...]) -> str:
    """The parts one after the other, the terms of each ordered by derivative."""
    printer = Printer()
    text = ""
    for part in parts:
        for term in sorted(_terms(part), key=lambda e: (_order(e), printer.doprint(e))):
            piece = printer.doprint(term)
            negative = piece.startswith("-")
            text += f"{' - ' if negative else ' + '}{piece.lstrip('- ')}" if text else piece
    return text or "0"


def _terms(expression: Any) -> list[Any]:
    """The summands of an expression, sums multiplied out at the top level only."""

    def flat(e: Any) -> list[Any]:
        if e.is_Add:
            return [term for a in e.args for term in flat(a)]
        if e.is_Mul and any(a.is_Add for a in e.args):
            return flat(sympy.expand_mul(e, deep=False))
        return [e]

    def tidy(e: Any) -> Any:
        constant, rest = constant_factor(e)
        return (constant if constant.is_Atom else sympy.factor(constant)) * rest

    total = sympy.Add(*flat(expression))
    return [] if total == 0 else [tidy(e) for e in sympy.Add.make_args(total)]


def _order(term: Any) -> int:
    """Order of the highest derivative in a term."""
    orders = [d.derivative_count for d in term.atoms(sympy.Derivative)] + [2 for _ in term.atoms(Operator) - term.atoms(Shift)]
    return max(orders, default=0)


def _index(subscript: str) -> str:
    return f"_{{{subscript}}}" if len(subscript) > 1 else f"_{subscript}" if subscript else ""


def _stem(path: str) -> str:
    """``child.name`` -> ``name``; ``velocity.0`` -> ``velocity1``."""
    *_, last = parts = path.split(".")
    return f"{parts[-2]}{int(last) + 1}" if last.isdigit() and len(parts) > 1 else last


def _symbol(name: str) -> str:
    """A name as LaTeX: a letter, a Greek letter, or upright words; trailing digits become an index."""
    stem = name.rstrip("0123456789").rstrip("_")
    index = name[len(stem) :].strip("_")
    if name in NAMES:
        return NAMES[name]
    if stem in NAMES:
        base = NAMES[stem]
    elif stem.lower() in greek_letters_set:
        base = f"\\{stem}"
    elif len(stem) <= 1 or stem.startswith("\\"):
        base = stem
    else:
        base = rf"\mathrm{{{stem.replace('_', chr(92) + ' ')}}}"
    return f"{base}_{{{index}}}" if index else base
