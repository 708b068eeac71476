"""What every Fourier time stepper shares: coefficients as the working state, the symbol, the nonlinear term."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import Any, Self

import torch
from torch import Tensor

from sciml.core.checks import check_step
from sciml.core.equation import Equation
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.propagator import Stepper
from sciml.core.symbol import linear_symbol
from sciml.core.tangent import constant
from sciml.derivatives.fourier import Fourier
from sciml.derivatives.recorded import record


class SemiLinear:
    r"""An equation on a periodic grid as :math:`\hat u_t = \Lambda_k \hat u + \hat N(u)`.

    Parameters
    ----------
    equation : its ``linear`` part becomes the symbol, its ``nonlinear`` part is evaluated pseudo-spectrally.
    grid : periodic.
    dealias : remove aliasing of products up to the equation's ``degree``; states then live in the retained band.
    """

    def __init__(self, equation: Equation, grid: Grid, *, dealias: bool = True, who: str = "SemiLinear") -> None:
        if not isinstance(equation, Equation):
            raise InputError(f"{who}: got a {type(equation).__name__}; give a sciml.Equation.")
        if equation.lattice:
            raise InputError(f"{who}: {type(equation).__name__} lives on a lattice and has no Fourier symbol; use RK4 or DormandPrince.")
        grid.require_periodic(who)
        self.equation = equation
        self.grid = grid
        self.dealias = dealias
        self.channels = len(equation.fields)
        self.engine = Fourier(grid, equation.degree if dealias else None)
        self.transform = self.engine.transform
        self.program = None if equation.trainable or not equation.autonomous else record(equation, self.engine)

    def __reduce__(self) -> tuple[Any, ...]:
        return _semi_linear, (self.equation, self.grid, self.dealias)  # generated code is made again, not stored

    def symbol(self) -> Tensor:
        """The symbol matrix ``(*batch, C, C, *modes)`` in double precision."""
        return linear_symbol(self.equation, self.transform.double_symbols(self.channels))

    def nonlinear(self, c: Tensor, time: float) -> Tensor:
        """Coefficients of ``equation.nonlinear`` at the state with coefficients ``c``; never aliases ``c``."""
        if self.program is not None:
            return self.program(c)
        engine = self.engine if self.equation.autonomous else self.engine.at(time)
        result = self.equation.nonlinear(engine.from_coefficients(c), engine)
        return torch.zeros_like(c) if result is None else engine.coefficients(result)

    def slope(self, c: Tensor, time: float) -> Tensor:
        """:meth:`nonlinear` up to the factor that :meth:`absorb` puts into a scheme's multipliers."""
        if self.program is not None and self.program.fold is not None:
            return self.program.product(c)
        return self.nonlinear(c, time)

    def absorb(self, multiplier: Multiplier) -> Multiplier:
        """``multiplier`` for use on :meth:`slope` instead of :meth:`nonlinear`."""
        if self.program is None or self.program.fold is None:
            return multiplier
        return self.multiplier(multiplier.value * self.program.fold, diagonal=True)

    def multiplier(self, value: Tensor, *, diagonal: bool) -> Multiplier:
        """A function of the symbol, ``(*batch, C, *modes)`` or ``(*batch, C, C, *modes)``, in the grid's precision."""
        dtype = torch.complex128 if self.grid.dtype == torch.float64 else torch.complex64
        return Multiplier(self.transform.arranged(value.to(self.grid.device, dtype)), diagonal, self.grid.ndim)

    def functions(self, symbol: Tensor) -> tuple[Tensor, bool]:
        """What functions of the symbol are taken of: its diagonal, or matrices with their axes last; and which."""
        ndim = self.grid.ndim
        diagonal = diagonal_of(symbol, ndim)
        return (symbol.movedim((-2 - ndim, -1 - ndim), (-2, -1)), False) if diagonal is None else (diagonal, True)

    def finished(self, value: Tensor, diagonal: bool) -> Multiplier:
        """The multiplier for a value computed in the layout of :meth:`functions`."""
        ndim = self.grid.ndim
        return self.multiplier(value if diagonal else value.movedim((-2, -1), (-2 - ndim, -1 - ndim)), diagonal=diagonal)


def _semi_linear(equation: Equation, grid: Grid, dealias: bool) -> SemiLinear:
    return SemiLinear(equation, grid, dealias=dealias)


class SpectralStepper(Stepper):
    """Base of the Fourier schemes.

    Coefficients of the scheme are computed when the stepper is made. If a coefficient of the equation requires a
    gradient they are rebuilt inside the graph instead, once per call or once per rollout.

    Parameters
    ----------
    equation, grid, dealias : see :class:`SemiLinear`.
    dt : time step.
    """

    order: int

    def __init__(self, equation: Equation, grid: Grid, dt: float, *, dealias: bool = True) -> None:
        who = type(self).__name__
        self.system = SemiLinear(equation, grid, dealias=dealias, who=who)
        self.equation = equation
        self.grid = grid
        self.dt = check_step(dt, who=who)
        self.channels = self.system.channels
        self._scheme: Any = None
        if not equation.trainable:
            with torch.no_grad():
                self._scheme = self._build(self.system.symbol())

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_small"}  # generated code is made again

    @abstractmethod
    def _build(self, symbol: Tensor) -> Any:
        """The scheme's coefficients from the symbol matrix ``(*batch, C, C, *modes)`` (complex128)."""

    @property
    def scheme(self) -> Any:
        """The scheme's coefficients, cached unless they must be part of a graph."""
        return self._scheme if self._scheme is not None else self._build(self.system.symbol())

    def bind(self) -> Self:
        if self._scheme is not None:
            return self
        bound = copy.copy(self)
        bound._scheme = self._build(self.system.symbol())
        return bound

    def encode(self, u: Tensor, time: float = 0.0) -> Any:
        return self.system.transform.forward(u)

    def decode(self, state: Any) -> Tensor:
        return self.system.transform.inverse(state)


class Multiplier:
    """Multiplication by a function of the symbol: elementwise where the matrix is diagonal, a small matrix otherwise."""

    def __init__(self, value: Tensor, diagonal: bool, ndim: int) -> None:
        self.value = value
        self.diagonal = diagonal
        self.ndim = ndim

    def __call__(self, c: Tensor) -> Tensor:
        value = constant(self.value)
        if self.diagonal:
            return value * c
        return (value * c.unsqueeze(-2 - self.ndim)).sum(-1 - self.ndim)

    def added(self, total: Tensor, c: Tensor, *, in_place: bool) -> Tensor:
        """``total + self(c)``; ``in_place`` only if ``total`` is a temporary."""
        if not self.diagonal:
            return total + self(c)
        value = constant(self.value)
        return total.addcmul_(value, c) if in_place else torch.addcmul(total, value, c)


def diagonal_of(matrix: Tensor, ndim: int) -> Tensor | None:
    """The diagonal ``(*batch, C, *modes)`` of a symbol matrix, or None if it couples the unknowns."""
    rows, columns = -2 - ndim, -1 - ndim
    channels = matrix.shape[columns]
    off = ~torch.eye(channels, dtype=torch.bool, device=matrix.device).view(channels, channels, *(1,) * ndim)
    if channels > 1 and bool((matrix.detach() * off != 0).any()):
        return None
    return matrix.diagonal(dim1=rows, dim2=columns).movedim(-1, -1 - ndim)
