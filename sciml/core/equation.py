"""Equations: a PDE written once, in plain Python, in the vocabulary of derivatives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, final

from torch import Tensor, nn

from sciml.core.coefficients import coefficients_of
from sciml.core.derivatives import Derivatives
from sciml.core.errors import InputError
from sciml.core.field import Field
from sciml.core.grid import Grid
from sciml.core.printing import latex_of
from sciml.core.symbol import symbol_of

Term = Callable[[Field, Derivatives], Any]
"""Equation parts, candidate features and closures: (field, engine) -> field."""


class ResidualForm(nn.Module, ABC):
    """Anything with a space-time residual: what a physics-informed network can be trained on.

    Attributes
    ----------
    fields : names of the unknowns, one channel each.
    ndim : number of space axes on which :meth:`latex` writes the equation.
    """

    fields: tuple[str, ...] = ("u",)
    ndim: int = 1

    @abstractmethod
    def residual(self, u: Any, d: Derivatives) -> Any:
        """The residual field, zero for a solution."""

    @abstractmethod
    def latex(self) -> str:
        """The equation, typeset."""


class Equation(ResidualForm):
    r"""An evolution equation :math:`u_t = L u + N(u)`.

    Subclasses declare the split: :meth:`linear` holds what is linear with constant coefficients in space (it is
    integrated exactly or implicitly), :meth:`nonlinear` the rest. Either may be left out. Coefficients are floats,
    tensors of batch shape (one value per sample) or ``nn.Parameter``.

    Attributes
    ----------
    fields : names of the unknowns; arrays carry one channel per name.
    degree : polynomial degree of :meth:`nonlinear`, from which spectral solvers take the de-aliasing rule;
        None for a non-polynomial one (no rule removes its aliasing).
    autonomous : False if the equation reads ``d.time``.
    lattice : True for ordinary systems and lattices (Lorenz 63 and 96): neighbours, but no space derivatives.

    >>> class Heat(Equation):
    ...     def linear(self, u, d): return 0.1 * d.x(u, 2)
    """

    degree: int | None = 2
    autonomous: bool = True
    lattice: bool = False

    def linear(self, u: Any, d: Derivatives) -> Any:
        """The linear, constant-coefficient part; None if there is none."""
        return None

    def nonlinear(self, u: Any, d: Derivatives) -> Any:
        """The remaining part; None if there is none."""
        return None

    @final
    def rhs(self, u: Any, d: Derivatives) -> Any:
        """``linear + nonlinear``; a tensor for a tensor, a field for a field."""
        field = d.field(u) if isinstance(u, Tensor) else u
        parts = [part for part in (self.linear(field, d), self.nonlinear(field, d)) if part is not None]
        if not parts:
            raise InputError(f"{type(self).__name__} has neither a linear nor a nonlinear part; define at least one.")
        total = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        return d.values(total) if isinstance(u, Tensor) else total

    @final
    def residual(self, u: Any, d: Derivatives) -> Any:
        """``d.t(u) - rhs``; a tensor for a tensor, a field for a field."""
        field = d.field(u) if isinstance(u, Tensor) else u
        result = d.t(field) - self.rhs(field, d)
        return d.values(result) if isinstance(u, Tensor) else result

    @final
    def symbol(self, grid: Grid) -> Tensor:
        r"""The Fourier symbol of :meth:`linear`, complex, on the half spectrum of ``grid``.

        Shape ``(*batch, *half spectrum)`` for one field, ``(*batch, C, C, *half spectrum)`` for C fields.
        """
        return symbol_of(self, grid)

    def latex(self) -> str:
        """The equation typeset by the SymPy engine, as ``u_t = ...`` per field."""
        return latex_of(self)

    @property
    def trainable(self) -> bool:
        """Whether a coefficient requires a gradient."""
        return any(p.requires_grad for p in self.parameters()) or any(
            isinstance(v, Tensor) and v.requires_grad for v in coefficients_of(self).values()
        )

    def __add__(self, other: Equation | Term) -> Equation:
        """This equation with another right-hand side, or a single term, added to its own."""
        return SumEquation(self, other)


class TermEquation(Equation):
    """A single term as an equation: its right-hand side is the term, all of it in the nonlinear part."""

    def __init__(self, term: Term, degree: int | None = 2) -> None:
        super().__init__()
        self.term = term
        self.degree = degree

    def nonlinear(self, u: Any, d: Derivatives) -> Any:
        return self.term(u, d)


class SumEquation(Equation):
    """The sum of two right-hand sides for the same unknowns."""

    def __init__(self, first: Equation, second: Equation | Term) -> None:
        super().__init__()
        other = second if isinstance(second, Equation) else TermEquation(second, getattr(second, "degree", first.degree))
        if isinstance(second, Equation) and first.fields != other.fields:
            raise InputError(f"Cannot add equations for {first.fields} and {other.fields}: both must have the same unknowns.")
        self.first = first
        self.second = other
        self.fields = first.fields
        self.degree = None if first.degree is None or other.degree is None else max(first.degree, other.degree)
        self.autonomous = first.autonomous and other.autonomous
        self.ndim = max(first.ndim, other.ndim) if isinstance(second, Equation) else first.ndim

    def linear(self, u: Any, d: Derivatives) -> Any:
        return _add(self.first.linear(u, d), self.second.linear(u, d))

    def nonlinear(self, u: Any, d: Derivatives) -> Any:
        return _add(self.first.nonlinear(u, d), self.second.nonlinear(u, d))


def _add(a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def check_fields(equation: ResidualForm, channels: int) -> None:
    """Raise unless an array with ``channels`` channels can carry the equation's unknowns."""
    if channels != len(equation.fields):
        raise InputError(
            f"{type(equation).__name__} has the unknowns {equation.fields}, so arrays need {len(equation.fields)} channel(s); {channels} given. "
            "Arrays are (*batch, channel, *space)."
        )


__all__ = ["Equation", "ResidualForm", "SumEquation", "Term", "TermEquation", "check_fields"]
