"""Symbols that stand for coefficients and values while the Fourier engine runs an equation, and write down what it does.

:class:`Coefficients` keeps linear combinations of transforms in normal form, so that a chain of derivatives and factors
becomes one multiplier; :class:`Values` notes pointwise operations one by one. The program they leave is executed by
:mod:`sciml.derivatives.recorded`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sciml.core.field import map_fields
from sciml.derivatives.fourier import Fourier
from sciml.spectral.transforms import Transform

Base = tuple[int, int]
"""(-1, c): channel c of the state; (n, c): channel c of the transform of value node n."""
Node = tuple[Any, tuple[Any, ...], dict[str, Any]]
STATE = -1


class Unrecordable(Exception):
    """The term does something that a straight-line program cannot hold."""


class Recording:
    """The value nodes in order of creation; node n is ``function(*args)`` with ``Values`` standing for other nodes."""

    def __init__(self, engine: Fourier) -> None:
        self.engine = engine
        self.nodes: list[Node] = []

    def add(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], channels: int) -> Values:
        self.nodes.append((function, args, kwargs))
        return Values(self, len(self.nodes) - 1, channels)


class Symbolic:
    """Arithmetic for both kinds of symbol, routed through ``torch`` functions."""

    recording: Recording
    channels: int

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        raise Unrecordable

    def _call(self, function: Any, *args: Any) -> Any:
        return type(self).__torch_function__(function, (), args)

    def __add__(self, other: Any) -> Any:
        return self._call(torch.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return self._call(torch.add, self, other)

    def __sub__(self, other: Any) -> Any:
        return self._call(torch.sub, self, other)

    def __rsub__(self, other: Any) -> Any:
        return self._call(torch.add, self._call(torch.neg, self), other)

    def __mul__(self, other: Any) -> Any:
        return self._call(torch.mul, self, other)

    __rmul__ = __mul__

    def __neg__(self) -> Any:
        return self._call(torch.neg, self)

    def __bool__(self) -> bool:
        raise Unrecordable

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.channels, *self.recording.engine.grid.shape)


class Values(Symbolic):
    """Values on the grid: the result of node ``index`` times a number, which the multiplier behind it absorbs."""

    def __init__(self, recording: Recording, index: int, channels: int, factor: float = 1.0) -> None:
        self.recording, self.index, self.channels, self.factor = recording, index, channels, factor

    def plain(self) -> Values:
        """The same values with the number multiplied in."""
        if self.factor == 1.0:
            return self
        unscaled = Values(self.recording, self.index, self.channels)
        return self.recording.add(torch.mul, (unscaled, self.factor), {}, self.channels)

    def _scaled(self, function: Any, args: tuple[Any, ...]) -> Values | None:
        """Multiples by a number need no operation of their own."""
        if function is torch.neg:
            return Values(self.recording, self.index, self.channels, -self.factor)
        numbers = [a for a in args if isinstance(a, int | float)]
        if len(numbers) == 1 and function is torch.mul:
            return Values(self.recording, self.index, self.channels, self.factor * numbers[0])
        if len(numbers) == 1 and function is torch.div and args[0] is self:
            return Values(self.recording, self.index, self.channels, self.factor / numbers[0])
        return None

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        found: list[Values] = []
        map_fields(args, lambda a: found.append(a) if isinstance(a, Values) else None)
        if not found:
            raise Unrecordable
        recording, channels = found[0].recording, max(v.channels for v in found)
        scaled = found[0]._scaled(function, args) if len(found) == 1 and not kwargs else None
        if scaled is not None:
            return scaled
        args = map_fields(args, lambda a: a.plain() if isinstance(a, Values) else a)
        if function is torch.split:
            value, size, axis = args[0], args[1], (kwargs or {}).get("dim", 0)
            return tuple(recording.add(torch.narrow, (value, axis, i, size), {}, size) for i in range(0, value.channels, size))
        if function is torch.cat:
            channels = sum(v.channels for v in args[0])
        return recording.add(function, args, kwargs or {}, channels)

    def expand(self, shape: Any) -> Values:
        return self

    def abs(self) -> Any:
        return self._call(torch.abs, self)


class Coefficients(Symbolic):
    """Per channel, a linear combination of transforms: ``{base: multiplier}``."""

    def __init__(self, recording: Recording, rows: list[dict[Base, Any]]) -> None:
        self.recording, self.rows, self.channels = recording, rows, len(rows)

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if function is torch.cat:
            return Coefficients(args[0][0].recording, [row for part in args[0] for row in part.rows])
        if function is torch.split:
            return tuple(Coefficients(args[0].recording, [row]) for row in args[0].rows)
        if function is torch.neg:
            return args[0]._scaled(lambda m: -m)
        a, b = args
        if function in (torch.add, torch.sub) and isinstance(a, Coefficients) and isinstance(b, Coefficients):
            return a._plus(b if function is torch.add else -b)
        if function is torch.mul and not (isinstance(a, Symbolic) and isinstance(b, Symbolic)):
            field, factor = (a, b) if isinstance(a, Coefficients) else (b, a)
            return field._scaled(lambda m: m * factor)
        if function is torch.div and not isinstance(b, Symbolic):
            return a._scaled(lambda m: m / b)
        raise Unrecordable

    def _scaled(self, change: Callable[[Any], Any]) -> Coefficients:
        return Coefficients(self.recording, [{base: change(m) for base, m in row.items()} for row in self.rows])

    def _plus(self, other: Coefficients) -> Coefficients:
        if self.channels != other.channels:
            raise Unrecordable
        rows = []
        for mine, theirs in zip(self.rows, other.rows, strict=True):
            row = dict(mine)
            for base, m in theirs.items():
                row[base] = row[base] + m if base in row else m
            rows.append(row)
        return Coefficients(self.recording, rows)

    def expand(self, shape: Any) -> Coefficients:
        return self


class RecordingTransform:
    """Stands in for the engine's transform while recording."""

    def __init__(self, recording: Recording, transform: Transform) -> None:
        self.recording, self.transform, self.mask = recording, transform, transform.mask

    def inverse(self, c: Any) -> Any:
        if isinstance(c, Tensor):
            return self.transform.inverse(c)
        return self.recording.add("inverse", (c.rows,), {}, c.channels)

    def forward(self, v: Any) -> Any:
        if isinstance(v, Tensor):
            raise Unrecordable  # a constant forcing is added after the transform; the eager engine does that
        mask = self.transform.mask
        return Coefficients(self.recording, [{(v.index, channel): v.factor if mask is None else v.factor * mask} for channel in range(v.channels)])
