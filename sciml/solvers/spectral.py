"""What every Fourier time stepper shares: coefficients as the working state, the symbol, the nonlinear term."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from sciml.core.checks import check_step
from sciml.core.equation import Equation
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.propagator import Stepper
from sciml.core.symbol import linear_symbol
from sciml.derivatives.fourier import Fourier
from sciml.derivatives.recorded import record


class SpectralStepper(Stepper):
    r"""Base of the schemes for :math:`\hat u_t = \lambda_k \hat u + \hat N(u)` on periodic grids.

    Parameters
    ----------
    equation : its ``linear`` part becomes the symbol, its ``nonlinear`` part is evaluated pseudo-spectrally.
    grid : periodic.
    dt : time step.
    dealias : remove aliasing of products up to the equation's ``degree``; the state then lives in the retained band.

    Coefficients of the scheme are computed when the stepper is made. If a coefficient of the equation requires a
    gradient they are rebuilt inside the graph instead, once per call or once per rollout.
    """

    order: int

    def __init__(self, equation: Equation, grid: Grid, dt: float, *, dealias: bool = True) -> None:
        who = type(self).__name__
        if not isinstance(equation, Equation):
            raise InputError(f"{who}: got a {type(equation).__name__}; give a sciml.Equation.")
        grid.require_periodic(who)
        self.equation = equation
        self.grid = grid
        self.dt = check_step(dt, who=who)
        self.channels = len(equation.fields)
        self.engine = Fourier(grid, equation.degree if dealias else None)
        self.transform = self.engine.transform
        self._bound: Any = None
        self._program = None
        if not equation.trainable:
            with torch.no_grad():
                self._bound = self._scheme(self._symbol())
            if equation.autonomous:
                self._program = record(equation, self.engine)

    @abstractmethod
    def _scheme(self, symbol: Tensor) -> Any:
        """The scheme's coefficients from the symbol matrix ``(*batch, C, C, *modes)`` (complex128)."""

    def _symbol(self) -> Tensor:
        symbols = self.transform.symbols(self.channels, dtype=torch.float64)
        return linear_symbol(self.equation, symbols)

    @property
    def scheme(self) -> Any:
        """The scheme's coefficients, cached unless they must be part of a graph."""
        return self._bound if self._bound is not None else self._scheme(self._symbol())

    def bind(self) -> Stepper:
        if self._bound is not None:
            return self
        bound = copy.copy(self)
        bound._bound = self._scheme(self._symbol())
        return bound

    def nonlinear(self, c: Tensor, time: float) -> Tensor:
        """Coefficients of ``equation.nonlinear`` at the state with coefficients ``c``."""
        if self._program is not None:
            return self._program(c)
        engine = self.engine
        engine.time = time
        result = self.equation.nonlinear(engine.from_coefficients(c), engine)
        if result is None:
            return torch.zeros_like(c)
        return engine.coefficients(result)

    def encode(self, u: Tensor, time: float = 0.0) -> Any:
        return self.transform.forward(u)

    def decode(self, state: Any) -> Tensor:
        return self.transform.inverse(state)


class Multiplier:
    """Multiplication by a function of the symbol: elementwise where the matrix is diagonal, a small matrix otherwise."""

    def __init__(self, value: Tensor, diagonal: bool, ndim: int) -> None:
        self.value = value
        self.diagonal = diagonal
        self.ndim = ndim

    def __call__(self, c: Tensor) -> Tensor:
        if self.diagonal:
            return self.value * c
        return (self.value * c.unsqueeze(-2 - self.ndim)).sum(-1 - self.ndim)

    def add_to(self, total: Tensor, c: Tensor) -> Tensor:
        """``total + self(c)``, in place: ``total`` must be a temporary."""
        return total.addcmul_(self.value, c) if self.diagonal else total.add_(self(c))


def diagonal_of(matrix: Tensor, ndim: int) -> Tensor | None:
    """The diagonal ``(*batch, C, *modes)`` of a symbol matrix, or None if it couples the unknowns."""
    rows, columns = -2 - ndim, -1 - ndim
    channels = matrix.shape[columns]
    off = ~torch.eye(channels, dtype=torch.bool, device=matrix.device).view(channels, channels, *(1,) * ndim)
    if channels > 1 and bool((matrix.detach() * off != 0).any()):
        return None
    moved = matrix.diagonal(dim1=rows, dim2=columns)
    return moved.movedim(-1, -1 - ndim)

