"""Method of lines: the semi-discrete right-hand side that explicit schemes and SciPy integrate."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod

from torch import Tensor

from sciml.core.derivatives import Derivatives
from sciml.core.equation import Equation
from sciml.core.grid import Grid
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


def semi_discrete(equation: Equation, grid: Grid, engine: Derivatives | None, *, dealias: bool, who: str) -> Lines:
    """Spectral lines on a periodic grid; the given engine's, or the stencil engine's, otherwise."""
    if engine is None and all(grid.periodic) and not equation.lattice:
        return SpectralLines(equation, grid, dealias=dealias, who=who)
    return GridLines(equation, engine if engine is not None else Stencil(grid))
