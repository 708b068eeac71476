"""Method of lines: the semi-discrete right-hand side that explicit schemes and SciPy integrate."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, Self

from torch import Tensor

from sciml.core.checks import check_step
from sciml.core.derivatives import Derivatives
from sciml.core.equation import Equation
from sciml.core.grid import Grid
from sciml.core.propagator import Stepper
from sciml.derivatives.stencil import Stencil
from sciml.solvers.spectral import SemiLinear


class Lines(ABC):
    """u' = slope(state, time) for a working state of coefficients or of values."""

    @abstractmethod
    def encode(self, u: Tensor) -> Tensor:
        """The working state of a field."""

    @abstractmethod
    def decode(self, state: Tensor) -> Tensor:
        """The field of a working state."""

    @abstractmethod
    def slope(self, state: Tensor, time: float) -> Tensor:
        """The time derivative of the working state."""

    def bind(self) -> Lines:
        """With everything that depends on parameters alone computed once."""
        return self


class SpectralLines(Lines):
    """Coefficients on a periodic grid; the slope is the symbol times the state plus the nonlinear term."""

    def __init__(self, equation: Equation, grid: Grid, *, dealias: bool = True, who: str = "SpectralLines") -> None:
        self.system = SemiLinear(equation, grid, dealias=dealias, who=who)
        self._symbol = None if equation.trainable else self.system.finished(*self.system.functions(self.system.symbol()))

    def bind(self) -> SpectralLines:
        bound = copy.copy(self)
        bound._symbol = self._symbol or self.system.finished(*self.system.functions(self.system.symbol()))
        return bound

    def encode(self, u: Tensor) -> Tensor:
        return self.system.transform.forward(u)

    def decode(self, state: Tensor) -> Tensor:
        return self.system.transform.inverse(state)

    def slope(self, state: Tensor, time: float) -> Tensor:
        symbol = self._symbol or self.system.finished(*self.system.functions(self.system.symbol()))
        return symbol(state) + self.system.nonlinear(state, time)


class GridLines(Lines):
    """Values on a grid; the slope is the equation's right-hand side by any grid engine."""

    def __init__(self, equation: Equation, engine: Derivatives) -> None:
        self.equation = equation
        self.engine = engine

    def encode(self, u: Tensor) -> Tensor:
        return u

    def decode(self, state: Tensor) -> Tensor:
        return state

    def slope(self, state: Tensor, time: float) -> Tensor:
        result: Tensor = self.equation.rhs(state, self.engine.at(time))
        return result


class ExplicitStepper(Stepper):
    """Base of the explicit schemes: they differ in :meth:`advance` only.

    Parameters
    ----------
    equation : any :class:`sciml.Equation`, an ordinary system included.
    grid : periodic (Fourier engine) or bounded (stencil engine), unless ``engine`` is given.
    dt : time step.
    engine : derivative engine on ``grid``.
    dealias : as for :class:`sciml.ETDRK4`; used with the Fourier engine only.
    """

    order: int

    def __init__(self, equation: Equation, grid: Grid, dt: float, *, engine: Derivatives | None = None, dealias: bool = True) -> None:
        who = type(self).__name__
        self.equation = equation
        self.grid = grid
        self.dt = check_step(dt, who=who)
        self.channels = len(equation.fields)
        self.lines = semi_discrete(equation, grid, engine, dealias=dealias, who=who)

    def bind(self) -> Self:
        bound = copy.copy(self)
        bound.lines = self.lines.bind()
        return bound

    def encode(self, u: Tensor, time: float = 0.0) -> Any:
        return self.lines.encode(u)

    def decode(self, state: Any) -> Tensor:
        return self.lines.decode(state)


def semi_discrete(equation: Equation, grid: Grid, engine: Derivatives | None, *, dealias: bool, who: str) -> Lines:
    """Spectral lines on a periodic grid; the given engine's, or the stencil engine's, otherwise."""
    if engine is None and all(grid.periodic) and not equation.lattice:
        return SpectralLines(equation, grid, dealias=dealias, who=who)
    return GridLines(equation, engine if engine is not None else Stencil(grid))
