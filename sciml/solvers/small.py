"""Exponential Runge-Kutta steps of small states on the CPU.

One trajectory of a thousand points is bound by the number of calls, not by arithmetic: a call into torch costs about
a microsecond, one into NumPy less than half. The same scheme, on the same numbers, is therefore stepped through NumPy
where that is possible and no gradient is asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from sciml.core.field import map_fields
from sciml.derivatives.recorded import Program, Values
from sciml.spectral.pocket import Transforms, small_transforms

LARGEST = 2600
"""Complex coefficients in a state above which torch's vectorised, threaded kernels win."""

_UFUNCS: dict[Any, Any] = {
    torch.add: np.add,
    torch.sub: np.subtract,
    torch.mul: np.multiply,
    torch.div: np.divide,
    torch.neg: np.negative,
    torch.square: np.square,
    torch.sin: np.sin,
    torch.cos: np.cos,
    torch.exp: np.exp,
    torch.tanh: np.tanh,
}

Row = list[tuple[int, Any]]


class SmallSteps:
    """The tableau of an exponential scheme and a recorded nonlinear term as NumPy operations."""

    def __init__(self, program: Program, transforms: Transforms, scheme: Any, nodes: tuple[float, ...]) -> None:
        self.forward, self.inverse = transforms
        exponentials, rows, weights = scheme
        self.linear = {c: e.value.numpy() for c, e in exponentials.items()}
        self.stages: list[tuple[float, Row]] = [(c, _row(row)) for c, row in zip(nodes, rows, strict=True)]
        self.weights = _row(weights)
        self.output = program.outputs[0]
        self.operations = [(_ufunc(function, args), args) for function, args, _ in program.nodes[1:]]

    @classmethod
    def of(cls, program: Program | None, scheme: Any, nodes: tuple[float, ...], points: int) -> SmallSteps | None:
        """The NumPy form of a scheme, or None if the term is not one product of simple pointwise operations."""
        if program is None or program.fold is None or not program.identity or program.first != [0]:
            return None
        transforms = small_transforms(points)
        if transforms is None or any(kwargs or _ufunc(function, args) is None for function, args, kwargs in program.nodes[1:]):
            return None
        return cls(program, transforms, scheme, nodes)

    def accepts(self, state: Tensor) -> bool:
        """Whether ``state`` is small and nothing differentiates through it."""
        if state.requires_grad or state.numel() > LARGEST or state.dtype != torch.complex128:
            return False
        return getattr(forward_ad, "_current_level", 0) < 0

    def advance(self, state: Tensor) -> Tensor | None:
        """One step; None if the tensor holds no memory of its own (inside ``torch.func`` transforms)."""
        try:
            c = state.numpy()
        except RuntimeError:
            return None
        linear = {node: e * c for node, e in self.linear.items()}
        slopes = [self._slope(c)]
        for node, row in self.stages:
            slopes.append(self._slope(_accumulate(linear[node], row, slopes)))
        return torch.from_numpy(_accumulate(linear[1.0], self.weights, slopes))

    def _slope(self, c: Any) -> Any:
        values = [self.inverse(c)]
        for operation, args in self.operations:
            values.append(operation(*[values[a.index] if isinstance(a, Values) else a for a in args]))
        return self.forward(values[self.output])


def _accumulate(total: Any, row: Row, slopes: list[Any]) -> Any:
    for index, multiplier in row:
        total = total + multiplier * slopes[index]
    return total


def _row(multipliers: Any) -> Row:
    return [(i, m.value.numpy()) for i, m in enumerate(multipliers) if m is not None]


def _ufunc(function: Any, args: tuple[Any, ...]) -> Any:
    """The NumPy operation for a recorded torch one, or None."""
    simple: list[bool] = []
    map_fields(args, lambda a: simple.append(isinstance(a, Values | int | float)))
    if not all(simple):
        return None
    if function is torch.pow and isinstance(args[0], Values) and isinstance(args[1], int):
        return lambda base, exponent: base**exponent
    return _UFUNCS.get(function)
