"""The symbol engine: a linear operator becomes multiplication by a function of the wavenumber."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sciml.core.derivatives import Derivatives
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.field import Field, align
from sciml.core.grid import Grid

if TYPE_CHECKING:
    from sciml.core.equation import Equation


class SymbolField(Field):
    """A row of multipliers, shape ``(*batch, channel, *modes)``: what a linear expression does to one unit input."""

    __slots__ = ("row",)

    def __init__(self, engine: Symbol, row: Tensor) -> None:
        self.engine = engine
        self.row = row

    def apply(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Field:
        engine = self.engine
        assert isinstance(engine, Symbol)
        if function is torch.neg:
            return SymbolField(engine, -self.row)
        if function in (torch.add, torch.sub) and all(isinstance(a, SymbolField) for a in args):
            return SymbolField(engine, function(args[0].row, args[1].row))
        if function in (torch.mul, torch.div) and not (isinstance(args[0], Field) and isinstance(args[1], Field)):
            if function is torch.div and isinstance(args[1], Field):
                raise _not_linear("divides by the unknown")
            a, b = (x.row if isinstance(x, SymbolField) else _coefficient(x, engine) for x in args)
            return SymbolField(engine, function(a, b))
        if function is torch.pow and args[1] == 1:
            return self
        raise _not_linear(f"applies {getattr(function, '__name__', function)} to the unknown or adds a constant")


class Symbol(Derivatives):
    r"""Derivatives as multipliers: :math:`\partial_x^n \mapsto (ik)^n`.

    Parameters
    ----------
    wavenumbers : one real tensor per axis that broadcasts over the modes.
    nyquist : per axis, the mask of modes on which odd derivatives vanish (None where there is no such mode).
    channels : number of unknowns.
    """

    def __init__(self, wavenumbers: Sequence[Tensor], nyquist: Sequence[Tensor | None], channels: int = 1) -> None:
        self.k = tuple(wavenumbers)
        self.ndim = len(self.k)
        self.trailing = self.ndim + 1
        self.channels = channels
        self._nyquist = tuple(nyquist)

    def multiplier(self, axis: int, order: int) -> Tensor:
        r""":math:`(ik)^n`, with the Nyquist mode of odd derivatives set to zero."""
        k, unit = self.k[axis], (1, 1j, -1, -1j)[order % 4]
        value = k.to(torch.complex128 if k.dtype == torch.float64 else torch.complex64) ** order * unit
        mask = self._nyquist[axis]
        return value.masked_fill(mask, 0.0) if mask is not None and order % 2 else value

    def squared(self) -> Tensor:
        r""":math:`|k|^2`, broadcast over the modes."""
        total: Tensor = sum((k**2 for k in self.k[1:]), start=self.k[0] ** 2)
        return total

    def inverse_laplacian_multiplier(self, shift: float | Tensor = 0.0) -> Tensor:
        r""":math:`-1/(|k|^2 + s)`, zero where the denominator vanishes; s may be given per sample."""
        denominator = self.squared() + (align(shift, self.trailing) if isinstance(shift, Tensor) else shift)
        zero = denominator == 0
        return torch.where(zero, torch.zeros_like(denominator), -1.0 / torch.where(zero, torch.ones_like(denominator), denominator))

    def unit(self, channel: int) -> SymbolField:
        """The input that is 1 in one channel and 0 in the others."""
        shape = torch.broadcast_shapes(*(k.shape for k in self.k))
        dtype = torch.complex128 if self.k[0].dtype == torch.float64 else torch.complex64
        row = torch.zeros((self.channels, *shape), dtype=dtype, device=self.k[0].device)
        row[channel] = 1.0
        return SymbolField(self, row)

    def field(self, u: Tensor) -> Field:
        return SymbolField(self, u)

    def values(self, u: Field) -> Tensor:
        assert isinstance(u, SymbolField)
        return u.row

    def partial(self, u: Field, axis: int, order: int) -> Field:
        assert isinstance(u, SymbolField)
        return SymbolField(self, u.row * self.multiplier(axis, order))

    def inverse_laplacian(self, u: Field, shift: float = 0.0) -> Field:
        assert isinstance(u, SymbolField)
        return SymbolField(self, u.row * self.inverse_laplacian_multiplier(shift))

    def coordinates(self) -> tuple[Field, ...]:
        raise _not_linear("uses the coordinates (a variable coefficient)")

    def split(self, u: Field) -> tuple[Field, ...]:
        assert isinstance(u, SymbolField)
        return tuple(SymbolField(self, part) for part in torch.split(u.row, 1, dim=-1 - self.ndim))

    def stack(self, *fields: Field) -> Field:
        rows = [f.row for f in fields if isinstance(f, SymbolField)]
        batch = torch.broadcast_shapes(*(r.shape for r in rows))
        return SymbolField(self, torch.cat([r.expand(batch) for r in rows], dim=-1 - self.ndim))


def grid_symbol_engine(grid: Grid, channels: int = 1, last: int | None = None) -> Symbol:
    """The symbol engine on the half spectrum of a periodic grid, or on its first ``last`` modes along the last axis."""
    k = list(grid.wavenumbers())
    nyquist: list[Tensor | None] = []
    for axis, n in enumerate(grid.shape):
        mask = torch.zeros_like(k[axis], dtype=torch.bool)
        if n % 2 == 0:
            mask.view(-1)[n // 2] = True
        nyquist.append(None if n % 2 else mask)
    if last is not None and last < k[-1].shape[-1]:
        k[-1], nyquist[-1] = k[-1][..., :last], None
    return Symbol(k, nyquist, channels)


def linear_symbol(equation: Equation, engine: Symbol) -> Tensor:
    """The symbol matrix of ``equation.linear``, shape ``(*batch, C, C, *modes)``; entry (i, j) maps input j to output i."""
    columns = []
    for channel in range(engine.channels):
        unit = engine.unit(channel)
        result = equation.linear(unit, engine)
        if result is None:
            columns.append(torch.zeros_like(unit.row))
        elif isinstance(result, SymbolField):
            columns.append(result.row)
        else:
            raise InputError(f"{type(equation).__name__}.linear returned {type(result).__name__}; it must return a field built from its argument u.")
    shape = torch.broadcast_shapes(*(c.shape for c in columns))
    return torch.stack([c.expand(shape) for c in columns], dim=-1 - engine.ndim)


def symbol_of(equation: Equation, grid: Grid) -> Tensor:
    """See :meth:`sciml.Equation.symbol`."""
    channels = len(equation.fields)
    matrix = linear_symbol(equation, grid_symbol_engine(grid.to(dtype=torch.float64), channels))
    if channels > 1:
        return matrix
    return matrix.squeeze(-1 - grid.ndim).squeeze(-1 - grid.ndim)


def _coefficient(value: Any, engine: Derivatives) -> Any:
    if not isinstance(value, Tensor):
        return value
    aligned = align(value, engine.trailing)
    if aligned.ndim and any(n > 1 for n in aligned.shape[-engine.ndim :]):
        raise _not_linear(f"multiplies the unknown by an array of shape {tuple(value.shape)}, which varies in space")
    return aligned


def _not_linear(what: str) -> UnsupportedError:
    return UnsupportedError(
        f"linear() {what}, so it is not linear with constant coefficients. "
        "Move that term to nonlinear(); linear() may use derivatives, sums and coefficients only."
    )
