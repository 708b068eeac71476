"""The stencil engine: central differences on periodic and bounded grids, for conditions of Dirichlet and Neumann type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from sciml.core.checks import as_channel, check_state
from sciml.core.derivatives import Derivatives, channel_split
from sciml.core.domain import Dirichlet, Neumann
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.field import ELEMENTWISE, Field, ValueField, align, map_fields
from sciml.core.grid import Grid
from sciml.derivatives.ghosts import Pair, check_boundaries, ghosts_from_trace, joined, trace_from_samples, trace_from_slope, wrapped

Trace = Callable[[int, int, int], Tensor]
"""(axis, side, points) -> wall values with size 1 along the axis, which broadcast over the others."""


class CellField(ValueField):
    """Values on the cells, and on demand on the walls.

    What is computed pointwise on the cells is computed pointwise on the walls too, so that :math:`k(u)` takes the
    value :math:`k(g)` where u = g is prescribed.
    """

    __slots__ = ("_trace",)
    engine: Stencil

    def __init__(self, engine: Stencil, value: Tensor, trace: Trace | None = None) -> None:
        super().__init__(engine, value)
        self._trace = trace

    def trace(self, axis: int, side: int, points: int = 1) -> Tensor:
        """The wall values on ``side`` (0 lower, 1 upper) of ``axis``; unless prescribed, from the nearest ``points`` cells."""
        if self._trace is not None:
            return self._trace(axis, side, points)
        return trace_from_samples(self.value, axis - self.engine.ndim, side, points)

    def apply(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Field:
        engine, axes = self.engine, self.value.ndim
        aligned = function in ELEMENTWISE

        def evaluate(convert: Callable[[Any], Any]) -> Any:
            return function(*map_fields(args, convert), **{k: map_fields(v, convert) for k, v in kwargs.items()})

        def on_cells(item: Any) -> Any:
            if isinstance(item, ValueField):
                return item.value
            return align(item, engine.trailing, axes) if aligned and isinstance(item, Tensor) else item

        def trace(axis: int, side: int, points: int) -> Tensor:
            def on_wall(item: Any) -> Any:
                if isinstance(item, CellField):
                    return item.trace(axis, side, points)
                item, dim = on_cells(item), axis - engine.ndim
                varies = aligned and isinstance(item, Tensor) and item.ndim >= engine.ndim and item.shape[dim] == engine.grid.shape[axis]
                return trace_from_samples(item, dim, side, points) if varies else item

            result: Tensor = evaluate(on_wall)
            return result

        return CellField(engine, evaluate(on_cells), trace)


class Stencil(Derivatives):
    r"""Central differences of even order; :math:`\partial_x^n u_i \approx h^{-n}\sum_j c_j u_{i+j}`.

    Along bounded axes samples sit at cell centres; beyond a wall the field is continued by the polynomial through the
    wall value and the nearest cells whose degree makes the difference as accurate there as inside.

    Parameters
    ----------
    grid : any number of axes, also none (an ordinary system).
    boundaries : per axis a pair (lower, upper) as in ``Domain.boundaries``; None for periodic grids.
    order : of accuracy: 2, 4 or 6.

    Values of Dirichlet and Neumann conditions that are functions of time are read at ``time``.
    """

    def __init__(self, grid: Grid, boundaries: Sequence[Pair] | None = None, order: int = 2) -> None:
        if order not in (2, 4, 6):
            raise InputError(f"{type(self).__name__}: order={order} given; central differences of order 2, 4 and 6 are offered.")
        self.grid = grid
        self.ndim = grid.ndim
        self.trailing = grid.ndim + 1
        self.order = order
        self.boundaries = check_boundaries(boundaries, grid, who=type(self).__name__)

    def field(self, u: Tensor) -> Field:
        if isinstance(u, Field):
            return u
        check_state(u, self.grid, u.shape[-self.trailing] if u.ndim >= self.trailing else 1, who=f"{type(self).__name__}.field")
        if all(self.grid.periodic):
            return CellField(self, u)
        return CellField(self, u, lambda axis, side, points: self._prescribed_trace(u, axis, side, points))

    def sampled(self, name: str, values: Tensor) -> Field:
        return CellField(self, as_channel(values, self.grid, name))

    def values(self, u: Field) -> Tensor:
        value = torch.as_tensor(own(u).value, dtype=self.grid.dtype, device=self.grid.device)
        if value.ndim >= self.trailing and value.shape[1 - self.trailing :] == self.grid.shape:
            return value
        shape = torch.broadcast_shapes(value.shape, (1, *self.grid.shape))
        return value.expand(shape)

    def partial(self, u: Field, axis: int, order: int) -> Field:
        offsets, weights = central_weights(order, self.order)
        width, n, dim = offsets[-1], self.grid.shape[axis], axis - self.ndim
        # one degree more than the difference needs: its error is then smooth up to the wall, and d.x(d.x(u)) keeps the order
        extended = self.extended(u, axis, width, order + self.order)
        total = None
        for offset, weight in zip(offsets, weights, strict=True):
            if weight:
                term = weight * extended.narrow(dim, width + offset, n)
                total = term if total is None else total + term
        assert total is not None
        return CellField(self, total / self.grid.spacing[axis] ** order)

    def extended(self, u: Field, axis: int, width: int, points: int) -> Tensor:
        """The values of ``u`` with ``width`` ghost cells at both ends of ``axis``."""
        value, dim, n = self.values(u), axis - self.ndim, self.grid.shape[axis]
        needed = width if self.grid.periodic[axis] else points
        if n < needed:
            raise InputError(f"{type(self).__name__}: axis {axis} has {n} samples; this needs at least {needed}. Use more points or a lower order.")
        if self.grid.periodic[axis]:
            return wrapped(value, dim, width)
        low, high = (ghosts_from_trace(own(u).trace(axis, s, points), value, dim, s, width, points) for s in (0, 1))
        return joined([low, value, high], dim)

    def shift(self, u: Field, n: int, axis: int = 0) -> Field:
        if not self.grid.periodic[axis]:
            raise UnsupportedError(f"{self._name} cannot shift along axis {axis}, which ends at walls; d.shift needs a periodic axis.")
        return CellField(self, torch.roll(self.values(u), -n, dims=axis - self.ndim))

    def coordinates(self) -> tuple[Field, ...]:
        def wall(value: Tensor, along: int) -> Trace:
            def trace(axis: int, side: int, points: int) -> Tensor:
                edge = self.grid.origin[along] + side * self.grid.lengths[along]
                side_values = value.narrow(axis - self.ndim, 0, 1)
                return torch.full_like(side_values, edge) if axis == along else side_values

            return trace

        return tuple(CellField(self, x.unsqueeze(0), wall(x.unsqueeze(0), i)) for i, x in enumerate(self.grid.points()))

    def split(self, u: Field) -> tuple[Field, ...]:
        parts = channel_split(self.values(u), -self.trailing)

        def channel(i: int) -> Trace:
            def trace(axis: int, side: int, points: int) -> Tensor:
                wall = own(u).trace(axis, side, points)
                return wall if wall.shape[-self.trailing] == 1 else wall.narrow(-self.trailing, i, 1)

            return trace

        return tuple(CellField(self, part, channel(i)) for i, part in enumerate(parts))

    def stack(self, *fields: Field) -> Field:
        parts = [own(f) for f in fields]

        def trace(axis: int, side: int, points: int) -> Tensor:
            return _cat([p.trace(axis, side, points) for p in parts], -self.trailing)

        return CellField(self, _cat([self.values(p) for p in parts], -self.trailing), trace)

    def prescribed(self, axis: int, side: int) -> Tensor:
        """The value of the condition on a wall at the engine's time, aligned with fields."""
        boundary = self.boundaries[axis][side]
        assert isinstance(boundary, Dirichlet | Neumann)
        value = torch.as_tensor(boundary.at(self.time), dtype=self.grid.dtype, device=self.grid.device)
        value = align(value, self.trailing)
        return value if value.ndim else value.view((1,) * self.trailing)

    def _prescribed_trace(self, u: Tensor, axis: int, side: int, points: int) -> Tensor:
        datum, dim = self.prescribed(axis, side), axis - self.ndim
        if isinstance(self.boundaries[axis][side], Neumann):
            return trace_from_slope(datum, u, dim, side, points, self.grid.spacing[axis])
        return datum


def own(u: Field) -> CellField:
    """``u`` as a field of these engines; anything else is refused."""
    if not isinstance(u, CellField):
        raise UnsupportedError(f"the stencil engine was given a {type(u).__name__} of another engine; build it with this engine's field().")
    return u


@lru_cache(maxsize=64)
def central_weights(derivative: int, order: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Offsets and weights of the central difference, exact on polynomials of degree ``derivative + order - 1``."""
    half = (derivative + 1) // 2 - 1 + order // 2
    offsets = torch.arange(-half, half + 1, dtype=torch.float64)
    powers = torch.arange(2 * half + 1, dtype=torch.float64)
    target = (powers == derivative).double() * torch.prod(torch.arange(1, derivative + 1, dtype=torch.float64))
    weights = torch.linalg.solve(offsets.unsqueeze(0) ** powers.unsqueeze(1), target)
    weights = (weights + (-1) ** derivative * weights.flip(0)) / 2  # exactly symmetric or antisymmetric
    weights[half] -= weights.sum()  # a constant has derivative zero to the last digit
    return tuple(range(-half, half + 1)), tuple(weights.tolist())


def _cat(tensors: list[Tensor], axis: int) -> Tensor:
    shape = torch.broadcast_shapes(*(t.shape for t in tensors))
    return torch.cat([t.expand(shape) for t in tensors], dim=axis)
