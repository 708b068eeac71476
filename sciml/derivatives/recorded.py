r"""A nonlinear term recorded once and replayed without the cost of Python fields.

The Fourier engine runs the equation's own code on symbols instead of tensors. What comes out is a straight-line
program: multiply the state by stacked multipliers, one batched inverse transform, pointwise operations, one batched
forward transform, multiply. Every chain of derivatives and factors is one precomputed multiplier. An equation that
does something a recording cannot hold (a branch on values, say) is evaluated field by field as before.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from sciml.core.equation import Equation
from sciml.core.field import map_fields
from sciml.core.tangent import constant
from sciml.derivatives.fourier import Fourier
from sciml.derivatives.recording import STATE, Base, Coefficients, Node, Recording, RecordingTransform, Unrecordable, Values


class Program:
    """The recorded term: ``program(c)`` are the coefficients of the nonlinear term at the state ``c``.

    If the term is one multiplier times the transform of one product, ``fold`` is that multiplier and
    ``program.product(c)`` the transform, so that a scheme can absorb the multiplier into its own coefficients.
    """

    def __init__(self, recording: Recording, result: Coefficients) -> None:
        self.transform = recording.engine.transform
        self.ndim = recording.engine.ndim
        self.nodes = _fused(recording.nodes, result)
        self.first = [i for i, node in enumerate(self.nodes) if node[0] == "inverse" and _from_state(node[1][0])]
        self.rows = result.rows
        self.outputs = sorted({base[0] for row in result.rows for base in row if base[0] != STATE})
        self._stack()
        single = len(result.rows) == 1 and len(result.rows[0]) == 1 and self.outputs == [base[0] for base in result.rows[0]]
        self.fold: Any = next(iter(result.rows[0].values())) if single else None

    def _stack(self) -> None:
        """Stack the multipliers of all inverse transforms that depend on the state alone."""
        rows = [row for i in self.first for row in self.nodes[i][1][0]]
        self.sizes = [len(self.nodes[i][1][0]) for i in self.first]
        self.channels = [next(iter(row))[1] for row in rows]
        plain = all(len(row) == 1 for row in rows)
        multipliers = [next(iter(row.values())) for row in rows]
        self.stacked: Tensor | None = None
        self.identity = plain and all(isinstance(m, float) and m == 1.0 for m in multipliers)
        if not plain:
            self.first = []
        elif not self.identity:
            template = next(m for m in multipliers if isinstance(m, Tensor))
            full = torch.broadcast_shapes(*(m.shape for m in multipliers if isinstance(m, Tensor)))
            if len(full) > self.ndim:  # per-sample coefficients: evaluated one by one
                self.first = []
                return
            rows_of = [torch.as_tensor(m, dtype=template.dtype, device=template.device).expand(full) for m in multipliers]
            self.stacked = self.transform.arranged(torch.stack(rows_of))

    def product(self, c: Tensor) -> Tensor:
        """The transform of the single product node."""
        return self._forward(self._values(c)[self.outputs[0]])

    def __call__(self, c: Tensor) -> Tensor:
        if self.fold is not None:
            return self.product(c) * constant(self.fold)
        values = self._values(c)
        axis = -1 - self.ndim
        transforms: dict[int, Tensor] = {}
        if self.outputs:
            parts = [values[n] for n in self.outputs]
            joined = parts[0] if len(parts) == 1 else torch.cat(parts, dim=axis)
            pieces = torch.split(self._forward(joined), [p.shape[axis] for p in parts], dim=axis)
            transforms = dict(zip(self.outputs, pieces, strict=True))
        rows = [self._combine(row, c, transforms) for row in self.rows]
        return rows[0] if len(rows) == 1 else torch.cat(rows, dim=axis)

    def _forward(self, v: Tensor) -> Tensor:
        return self.transform.forward(v, masked=False)

    def _values(self, c: Tensor) -> dict[int, Tensor]:
        axis = -1 - self.ndim
        values: dict[int, Tensor] = {}
        if self.first:
            state = c if len(self.channels) == 1 or c.shape[axis] == 1 else c.index_select(axis, torch.tensor(self.channels, device=c.device))
            if self.identity and state.shape[axis] != len(self.channels):
                state = state.expand(*state.shape[:axis], len(self.channels), *state.shape[axis + 1 :])
            v = self.transform.inverse(state if self.stacked is None else state * constant(self.stacked))
            values = dict(zip(self.first, (v,) if len(self.first) == 1 else torch.split(v, self.sizes, dim=axis), strict=True))
        for index, (function, args, kwargs) in enumerate(self.nodes):
            if index in values or function is None:
                continue
            if function == "inverse":
                transforms = {n: self._forward(values[n]) for n in {b[0] for row in args[0] for b in row} - {STATE}}
                rows = [self._combine(row, c, transforms) for row in args[0]]
                values[index] = self.transform.inverse(rows[0] if len(rows) == 1 else torch.cat(rows, dim=axis))
            else:
                plain = map_fields(args, lambda a: values[a.index] if isinstance(a, Values) else a)
                values[index] = function(*plain, **kwargs)
        return values

    def _combine(self, row: dict[Base, Any], c: Tensor, transforms: dict[int, Tensor]) -> Tensor:
        total: Any = None
        for (node, channel), multiplier in row.items():
            source = c if node == STATE else transforms[node]
            part = source if source.shape[-1 - self.ndim] == 1 else source.narrow(-1 - self.ndim, channel, 1)
            part = part * constant(multiplier)
            total = part if total is None else total + part
        return torch.zeros_like(c.narrow(-1 - self.ndim, 0, 1)) if total is None else total


def record(equation: Equation, engine: Fourier) -> Program | None:
    """The program of ``equation.nonlinear`` for ``engine``, or None if it has to be evaluated field by field.

    The program is checked once against the fields it replaces, on a random state.
    """
    recording = Recording(engine)
    recorder = copy.copy(engine)
    recorder.transform = RecordingTransform(recording, engine.transform)  # type: ignore[assignment]
    channels = len(equation.fields)
    state = Coefficients(recording, [{(STATE, channel): 1.0} for channel in range(channels)])
    with torch.no_grad():
        try:
            result = equation.nonlinear(recorder.from_coefficients(state), recorder)  # type: ignore[arg-type]
            if result is None:
                return None
            recorded = recorder.coefficients(result)
            if not isinstance(recorded, Coefficients) or recorded.channels != channels:
                return None
            program = Program(recording, recorded)
            generator = torch.Generator().manual_seed(0)
            u = torch.randn((2, channels, *engine.grid.shape), generator=generator, dtype=torch.float64).to(engine.grid.device, engine.grid.dtype)
            c = engine.transform.forward(u)
            expected = engine.coefficients(equation.nonlinear(engine.from_coefficients(c), engine))
            same = torch.allclose(program(c), expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))
        except (Unrecordable, TypeError, AttributeError, RuntimeError, IndexError):
            return None
    return program if same else None


def _fused(nodes: list[Node], result: Coefficients) -> list[Node]:
    """``a + b * c`` as one operation where the product is used nowhere else."""
    uses: dict[int, int] = {}

    def count(item: Any) -> None:
        if isinstance(item, Values):
            uses[item.index] = uses.get(item.index, 0) + 1
        elif isinstance(item, dict):
            for node, _ in item:
                uses[node] = uses.get(node, 0) + 1

    for _, args, kwargs in nodes:
        map_fields(args, count)
        map_fields(list(kwargs.values()), count)
    map_fields(result.rows, count)
    fused = list(nodes)
    for index, (function, args, kwargs) in enumerate(nodes):
        if function is not torch.add or kwargs or not all(isinstance(a, Values) for a in args):
            continue
        for value, product in (args, args[::-1]):
            inner, factors, _ = fused[product.index]
            if inner is torch.mul and uses[product.index] == 1 and all(isinstance(f, Values) for f in factors):
                fused[index] = (torch.addcmul, (value, *factors), {})
                fused[product.index] = (None, (), {})
                break
    return fused


def _from_state(rows: list[dict[Base, Any]]) -> bool:
    return all(base[0] == STATE for row in rows for base in row)

