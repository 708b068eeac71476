"""The contract of an equation, as a test that users can run on their own classes."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sciml.core.coefficients import coefficients_of, substituted
from sciml.core.derivatives import Derivatives
from sciml.core.equation import Equation
from sciml.core.errors import ContractError, InputError, SciMLError, UnsupportedError
from sciml.core.field import Field
from sciml.core.grid import Grid
from sciml.core.printing import nonlinear_terms
from sciml.core.steady import SteadyEquation
from sciml.derivatives.fourier import Fourier
from sciml.derivatives.functional import Functional
from sciml.derivatives.points import Points
from sciml.derivatives.stencil import Stencil
from sciml.testing.trigonometric import Trigonometric

SHAPES: dict[int, tuple[int, ...]] = {0: (), 1: (48,), 2: (24, 22), 3: (16, 15, 14)}
LENGTHS = (6.0, 7.0, 5.0)
TIME = 0.7


def check_equation(equation: Equation, grid: Grid | None = None, *, engines: tuple[str, ...] = ("points", "functional"), seed: int = 0) -> None:
    """Raise :class:`ContractError` unless an equation keeps its contract.

    In this order: shapes; ``linear`` is linear, has constant coefficients and agrees with the symbol; ``nonlinear`` has at
    most the declared ``degree``; all engines give the same right-hand side for a band-limited field; a batch is the
    stack of its samples, also with coefficients given per sample; float32 stays float32 and agrees; the equation prints.

    The degree is measured in the amplitude s of :math:`N(su)`, a polynomial in s of that degree. Unlike the width of the
    spectrum of N(u), it is not blurred by forcings and variable coefficients.

    Parameters
    ----------
    equation : to be checked. Constructor parameters annotated ``float`` are taken to be numbers only; all others may be
        given per sample.
    grid : periodic; by default a small one with the equation's ``ndim`` axes.
    engines : to compare with the Fourier engine, of "points" and "functional". Engines that refuse a word of the
        equation (such as ``d.shift``) are passed over.
    """
    if not isinstance(equation, Equation):
        remedy = "use check_steady_equation" if isinstance(equation, SteadyEquation) else "give an instance of sciml.Equation"
        raise InputError(f"check_equation: got a {type(equation).__name__}; {remedy}.")
    if unknown := set(engines) - {"points", "functional"}:
        raise InputError(f"check_equation: unknown engines {sorted(unknown)}; known: points, functional.")
    ndim = equation.ndim
    grid = grid or Grid(SHAPES[ndim], LENGTHS[:ndim])
    case = _Case(equation, grid, torch.Generator().manual_seed(seed))
    single = _Case(_sample(equation, 0, case.reference.trailing), grid, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        _check_shape(single)
        _check_linear(single)
        _check_degree(single)
    _check_engines(single, engines)
    with torch.no_grad():
        _check_batch(case)
        _check_coefficients(single)
        _check_float32(single)
    _check_latex(single)


@dataclass
class _Case:
    """An equation on a grid, with the engine that the others are compared with and a band-limited state."""

    equation: Equation
    grid: Grid
    generator: torch.Generator

    def __post_init__(self) -> None:
        self.name = type(self.equation).__name__
        self.channels = len(self.equation.fields)
        factors = (self.equation.degree or 3) + 1
        self.band = max(1, min((min(self.grid.shape, default=8) - 1) // 2 // factors, 2))
        self.reference = self.engine(self.grid)
        self.function = self.draw()
        self.u = self.function.on(self.grid, TIME)
        self.scale = float(self.u.abs().amax())

    @property
    def spectral(self) -> bool:
        return self.grid.ndim > 0 and not self.equation.lattice

    def engine(self, grid: Grid) -> Derivatives:
        engine: Derivatives = Fourier(grid) if self.spectral else Stencil(grid)
        engine.time = TIME
        return engine

    def draw(self) -> Trigonometric:
        return Trigonometric.random(self.grid, self.band, self.channels, self.generator)

    def part(self, name: str, u: Tensor, equation: Equation | None = None) -> Tensor | None:
        """``linear`` or ``nonlinear`` at a state."""
        part: Callable[..., Any] = getattr(equation or self.equation, name)
        result = part(self.reference.field(u), self.reference)
        if result is not None and not isinstance(result, Field):
            self.fail(f"{name}() returned a {type(result).__name__}", "return a field built from u and d, or None")
        return None if result is None else self.reference.values(result)

    def rounding(self, function: Callable[[Tensor], Tensor | None], unit: float = 1e-15) -> float:
        """What rounding errors of relative size ``unit`` in the state grow to in ``function``, measured."""
        noise = unit * self.scale * (2 * torch.rand(self.u.shape, dtype=self.u.dtype, generator=self.generator) - 1)
        before, after = function(self.u), function(self.u + noise)
        return 0.0 if before is None or after is None else 10 * float((after - before).abs().amax())

    def rhs(self, u: Tensor) -> Tensor:
        value: Tensor = self.equation.rhs(u, self.reference)
        return value

    def fail(self, what: str, remedy: str) -> None:
        raise ContractError(f"{self.name}: {what}. To mend it, {remedy}.")


def _check_shape(case: _Case) -> None:
    for name in ("linear", "nonlinear"):
        value = case.part(name, case.u)
        if value is not None and value.shape != case.u.shape:
            case.fail(
                f"{name}() has shape {tuple(value.shape)} for a state of shape {tuple(case.u.shape)} (unknowns {case.equation.fields})",
                "return one channel per unknown, with d.stack(...)",
            )
        if value is not None and not bool(torch.isfinite(value).all()):
            case.fail(f"{name}() is not finite for a state between 0.7 and 1.3", "guard roots, logarithms and quotients")


def _check_linear(case: _Case) -> None:
    u, v = case.u, case.draw().on(case.grid, 0.0)
    at_u, at_v = case.part("linear", u), case.part("linear", v)
    if at_u is None or at_v is None:
        return

    def same(a: Tensor | None, b: Tensor, noise: float = 0.0) -> bool:
        return a is not None and bool((a - b).abs().amax() <= 1e-10 * max(float(at_u.abs().amax()), float(at_v.abs().amax())) + noise)

    def refuse(what: str) -> None:
        case.fail(f"linear() {what}{_offenders(case.equation)}", "move the term to nonlinear()")

    noise = 10 * case.rounding(lambda state: case.part("linear", state))
    if not same(case.part("linear", 2.0 * u - 3.0 * v), 2.0 * at_u - 3.0 * at_v, noise):
        refuse("is not linear: L(2u - 3v) differs from 2 L(u) - 3 L(v)")
    for axis in range(-case.grid.ndim, 0):
        if not same(case.part("linear", u.roll(1, axis)), at_u.roll(1, axis), noise):
            refuse("depends on the position: its coefficients are not constant in space")
    case.reference.time = TIME + 0.4
    later = case.part("linear", u)
    case.reference.time = TIME
    if not same(later, at_u):
        refuse("depends on time")
    if isinstance(case.reference, Fourier):
        try:
            symbol = case.equation.symbol(case.grid)
        except UnsupportedError as error:
            raise ContractError(f"{case.name}: linear() has no symbol{_offenders(case.equation)}: {error}") from error
        c = case.reference.transform.forward(u)
        product = symbol * c if case.channels == 1 else (symbol * c.unsqueeze(-2 - case.grid.ndim)).sum(-1 - case.grid.ndim)
        if not same(case.reference.transform.inverse(product), at_u, noise):
            case.fail("the symbol of linear() and linear() itself disagree", "use the vocabulary of d only inside linear()")


def _offenders(equation: Equation) -> str:
    """The terms of ``linear`` that do not belong there, for a message; nothing where SymPy cannot tell."""
    try:
        terms = nonlinear_terms(equation)
    except SciMLError:
        return ""
    return f" (offending: {'; '.join(terms)})" if terms else ""


def _check_degree(case: _Case) -> None:
    declared = case.equation.degree
    if declared is None or case.part("nonlinear", case.u) is None:
        return
    found = next((p for p in range(declared, declared + 6) if _vanishing_difference(case, p + 1)), None)
    if found is None:
        case.fail(f"nonlinear() is not a polynomial in u, but degree={declared} is declared", "set degree = None")
    elif found > declared:
        case.fail(f"degree={declared} is declared too low: nonlinear() is a polynomial of degree {found} in u", f"set degree = {found}")


def _vanishing_difference(case: _Case, order: int) -> bool:
    """Whether the n-th difference of s -> N(s u) vanishes, as it does for polynomials of degree below n."""
    total, weight, size = torch.zeros_like(case.u), 1.0, 0.0
    for j in range(order + 1):
        value = case.part("nonlinear", (1.8 * j / order - 0.8) * case.u)  # unsymmetric: odd functions would pass even orders
        assert value is not None
        total = total + weight * value
        size = max(size, abs(weight) * float(value.abs().amax()))
        weight *= -(order - j) / (j + 1)
    return bool(total.abs().amax() <= 1e-10 * size)


def _check_engines(case: _Case, engines: tuple[str, ...]) -> None:
    with torch.no_grad():
        expected = case.rhs(case.u).movedim(0, -1).reshape(-1, case.channels)
        noise = case.rounding(case.rhs)
    relative = 1e-9 if case.equation.degree is not None else 1e-5
    tolerance = relative * float(expected.abs().amax()) + noise
    for engine, value in _evaluations(case, engines, case.equation):
        error = float((value - expected).detach().abs().amax())
        if not error <= tolerance:
            case.fail(
                f"the right-hand side on {engine} differs from the {type(case.reference).__name__} engine's by {error:.3g} (allowed {tolerance:.3g})",
                "use d for derivatives and positions, torch functions for the rest, and no arrays tied to one grid",
            )


def _evaluations(case: _Case, engines: tuple[str, ...], equation: Equation, dtype: torch.dtype = torch.float64) -> Iterator[tuple[str, Tensor]]:
    """The right-hand side at the grid's points, ``(points, channels)``, by the engines that can."""
    grid, u = case.grid, case.function
    x = [c.reshape(-1, 1).to(dtype) for c in grid.points()]
    t = torch.full((math.prod(grid.shape), 1), TIME, dtype=dtype)

    def inverted(values: Tensor, shift: float) -> Trigonometric:
        engine = Fourier(grid)
        state = values.detach().to(grid.dtype).movedim(-1, 0).reshape(-1, *grid.shape)
        return Trigonometric.interpolating(engine.values(engine.inverse_laplacian(engine.field(state), shift)), grid)

    for name in engines:
        try:
            if name == "points":
                d, field = Points.of(u, t, *x)
                d.inverse = lambda w, shift, d=d: inverted(d.values(w), shift)(*d.inputs)
                yield name, d.values(equation.rhs(field, d))
            else:
                points = torch.cat([t, *x], -1)
                f = Functional(grid.ndim)
                f.inverse = lambda w, shift, f=f, points=points: f.unknown(_at_point(inverted(f.evaluate(w, points), shift)), w.channels)
                yield name, f.evaluate(equation.rhs(f.unknown(_at_point(u), case.channels), f), points)
        except UnsupportedError:
            continue


def _at_point(function: Trigonometric) -> Callable[[Tensor], Tensor]:
    return lambda z: function(*z.split(1))


def _check_batch(case: _Case) -> None:
    """The state axis in front is a batch axis, and nothing else."""
    trailing = case.reference.trailing
    count = _samples(case.equation, trailing) or 3
    states = torch.stack([case.draw().on(case.grid, 0.0) for _ in range(count)])
    together = case.equation.rhs(states, case.reference)
    apart = torch.stack([_sample(case.equation, i, trailing).rhs(u, case.reference) for i, u in enumerate(states)])
    if together.shape != apart.shape or not torch.allclose(together, apart, rtol=1e-9, atol=1e-10 * float(apart.abs().amax())):
        case.fail("the right-hand side of a batch is not the stack of its samples", "let no operation reduce over or mix leading axes")


def _check_coefficients(case: _Case) -> None:
    parameters = inspect.signature(type(case.equation)).parameters
    factors = (1.0, 1.25, 0.75)
    states = torch.stack([case.u * f for f in factors])
    for name, value in coefficients_of(case.equation).items():
        if name not in parameters or parameters[name].annotation in (float, "float") or (isinstance(value, Tensor) and value.numel() > 1):
            continue
        values = [f * (float(value) or 0.1) for f in factors]

        def exchanged(new: Any, name: str = name) -> Equation:
            return substituted(case.equation, lambda other, old: new if other == name else old)

        apart = torch.stack([exchanged(v).rhs(u, case.reference) for v, u in zip(values, states, strict=True)])
        remedy = f"combine {name} with fields by arithmetic only, or annotate it as float if it must be one number"
        try:
            together = exchanged(torch.tensor(values, dtype=torch.float64)).rhs(states, case.reference)
        except (RuntimeError, TypeError, ValueError) as error:
            raise ContractError(f"{case.name}: {name} cannot be given per sample ({type(error).__name__}: {error}). To mend it, {remedy}.") from error
        if together.shape != apart.shape or not torch.allclose(together, apart, rtol=1e-9, atol=1e-10 * float(apart.abs().amax())):
            case.fail(f"{name} given per sample is not aligned with the batch", remedy)


def _check_float32(case: _Case) -> None:
    grid = case.grid.resized(tuple(min(n, 2 * ((case.equation.degree or 3) + 1) + 2) for n in case.grid.shape)) if case.spectral else case.grid
    small = _Case(case.equation, grid, case.generator)
    single = substituted(copy.deepcopy(case.equation).float(), lambda _, value: value.float() if isinstance(value, Tensor) else value)
    expected = small.rhs(small.u)
    value = single.rhs(small.u.float(), small.engine(grid.to(dtype=torch.float32)))
    with torch.enable_grad():  # grid engines cast what they return; values at points show the dtype as it came out
        dtypes = [value.dtype, *(v.dtype for _, v in _evaluations(small, ("points",), single, torch.float32))]
    for dtype in dtypes:
        if dtype != torch.float32:
            case.fail(f"a float32 state gives a {dtype} right-hand side", "make constants with the dtype of the field, or use Python numbers")
    error, allowed = float((value - expected).abs().amax()), 1e-5 * float(expected.abs().amax()) + small.rounding(small.rhs, 1e-7)
    if not error <= allowed:
        case.fail(f"float32 and float64 differ by {error:.3g} (allowed {allowed:.3g})", "avoid differences of large numbers and casts")


def _check_latex(case: _Case) -> None:
    try:
        text = case.equation.latex()
    except SciMLError as error:
        raise ContractError(f"{case.name}: latex() fails: {error}") from error
    if not text.strip():
        case.fail("latex() is empty", "return the typeset equation")


def _samples(equation: Equation, trailing: int) -> int | None:
    """The batch size that coefficients given per sample ask for."""
    return next((v.shape[0] for v in coefficients_of(equation).values() if _per_sample(v, trailing)), None)


def _sample(equation: Equation, index: int, trailing: int) -> Equation:
    """The equation of one sample."""
    return substituted(equation, lambda _, value: value[index] if _per_sample(value, trailing) else value)


def _per_sample(value: Any, trailing: int) -> bool:
    return isinstance(value, Tensor) and value.numel() > 1 and 0 < value.ndim < max(trailing, 2)
