r"""A nonlinear term recorded once and replayed without the cost of Python fields.

The Fourier engine runs the equation's own code on symbols instead of tensors. What comes out is a straight-line
program: multiply the state by stacked multipliers, one batched inverse transform, pointwise operations, one batched
forward transform, multiply. Every chain of derivatives and factors is one precomputed multiplier. An equation that
does something a recording cannot hold (a branch on values, say) is evaluated field by field as before.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sciml.core.equation import Equation
from sciml.core.field import map_fields
from sciml.core.tangent import constant
from sciml.derivatives.fourier import Fourier
from sciml.derivatives.recording import STATE, Base, Coefficients, Node, Recording, RecordingTransform, Unrecordable, Values

_IN_PLACE: dict[Any, str] = {torch.add: "add_", torch.sub: "sub_", torch.mul: "mul_", torch.addcmul: "addcmul_"}


class Program:
    """The recorded term: ``program(c)`` are the coefficients of the nonlinear term at the state ``c``.

    If the term is one multiplier times the transform of one product, ``fold`` is that multiplier and
    ``program.product(c)`` the transform, so that a scheme can absorb the multiplier into its own coefficients.
    """

    def __init__(self, recording: Recording, result: Coefficients) -> None:
        self.transform = recording.engine.transform
        self.ndim = recording.engine.ndim
        self.axis = -1 - self.ndim
        self.unknowns = result.channels
        self.nodes = _fused(_live(recording.nodes, result), result)
        self._uses = _uses(self.nodes, result)
        self.rows = result.rows
        self.outputs = sorted({base[0] for row in result.rows for base in row if base[0] != STATE})
        self.first = [i for i, node in enumerate(self.nodes) if node[0] == "inverse" and _from_state(node[1][0])]
        self.sizes = [len(self.nodes[i][1][0]) for i in self.first]
        self.stacked: Tensor | None = None
        if not self._stack():
            self.first = []
        self.identity = bool(self.first) and self.stacked is None
        single = len(result.rows) == 1 and len(result.rows[0]) == 1 and self.outputs == [base[0] for base in result.rows[0]]
        self.fold: Any = next(iter(result.rows[0].values())) if single else None
        self._differentiable = self._compiled(in_place=False)
        self._in_place = self._compiled(in_place=True)

    def _stack(self) -> bool:
        """Stack the multipliers of all inverse transforms of the state, to be done as one; False if that is not possible.

        With one unknown the stack has shape ``(rows, *modes)``; with several, ``(rows, unknowns, *modes)``.
        """
        rows = [row for i in self.first for row in self.nodes[i][1][0]]
        multipliers = [[row.get((STATE, channel), 0.0) for channel in range(self.unknowns)] for row in rows]
        tensors = [m for row in multipliers for m in row if isinstance(m, Tensor)]
        if not tensors:
            return multipliers == torch.eye(self.unknowns).tolist()  # the state itself
        full = torch.broadcast_shapes(*(m.shape for m in tensors))
        if len(full) > self.ndim:
            return False  # per-sample coefficients
        like = tensors[0]

        def expanded(m: Any) -> Tensor:
            return torch.as_tensor(m, dtype=like.dtype, device=like.device).expand(full)

        whole = torch.stack([torch.stack([expanded(m) for m in row]) for row in multipliers])
        self.stacked = self.transform.arranged(whole if self.unknowns > 1 else whole.squeeze(1))
        return True

    def _values(self, c: Tensor) -> tuple[Tensor, ...]:
        return self._differentiable(c) if torch.is_grad_enabled() else self._in_place(c)

    def _compiled(self, in_place: bool) -> Callable[[Tensor], tuple[Tensor, ...]]:
        """The values behind the outputs as one generated function of the state: no interpretation at run time.

        ``in_place`` lets an operation overwrite its first operand where nothing else reads it, which autograd forbids.
        """
        names: dict[str, Any] = {"inverse": self.transform.inverse, "constant": constant, "split": torch.split_with_sizes, "nested": self._nested}
        lines: list[str] = []

        def held(item: Any) -> str:
            name = f"k{len(names)}"
            names[name] = item
            return name

        def written(item: Any) -> str:
            if isinstance(item, Values):
                return f"v{item.index}"
            if isinstance(item, list | tuple):
                return f"[{', '.join(map(written, item))}]"
            return held(item)

        if self.first:
            state = "c"
            if self.stacked is not None and self.unknowns == 1:
                state = f"c * constant({held(self.stacked)})"
            elif self.stacked is not None:
                state = f"(c.unsqueeze({self.axis - 1}) * constant({held(self.stacked)})).sum({self.axis})"
            targets = ", ".join(f"v{i}" for i in self.first)
            lines.append(f"{targets} = " + (f"inverse({state})" if len(self.first) == 1 else f"split(inverse({state}), {self.sizes}, {self.axis})"))
        for index, (function, args, kwargs) in enumerate(self.nodes):
            if index in self.first or function is None:
                continue
            if function == "inverse":
                needed = sorted({base[0] for row in args[0] for base in row} - {STATE})
                lines.append(f"v{index} = nested({held(args[0])}, c, {{{', '.join(f'{n}: v{n}' for n in needed)}}})")
            else:
                options = "".join(f", {key}={written(value)}" for key, value in kwargs.items())
                if in_place and self._overwrites(function, args, kwargs):
                    lines.append(f"v{index} = {written(args[0])}.{_IN_PLACE[function]}({', '.join(map(written, args[1:]))})")
                else:
                    lines.append(f"v{index} = {written(function)}({', '.join(map(written, args))}{options})")
        lines.append(f"return ({''.join(f'v{n}, ' for n in self.outputs)})")
        exec("def values(c):\n    " + "\n    ".join(lines), names)
        values: Callable[[Tensor], tuple[Tensor, ...]] = names["values"]
        return values

    def _overwrites(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether an operation may overwrite its first operand: a temporary of full size that is read here only."""
        if function not in _IN_PLACE or kwargs or not all(isinstance(a, Values) for a in args):
            return False
        producer = self.nodes[args[0].index][0]
        temporary = args[0].index in self.first or producer in _IN_PLACE
        alone = self._uses[args[0].index] == 1 and all(a.index != args[0].index for a in args[1:])
        return temporary and alone and all(a.channels == args[0].channels for a in args)

    def _nested(self, rows: list[dict[Base, Any]], c: Tensor, values: dict[int, Tensor]) -> Tensor:
        """The inverse transform of a combination that itself holds transforms of products."""
        transforms = {n: self._forward(v) for n, v in values.items()}
        combined = [self._combine(row, c, transforms) for row in rows]
        return self.transform.inverse(combined[0] if len(combined) == 1 else torch.cat(combined, dim=self.axis))

    def product(self, c: Tensor) -> Tensor:
        """The transform of the single product node."""
        return self._forward(self._values(c)[0])

    def __call__(self, c: Tensor) -> Tensor:
        if self.fold is not None:
            return self.product(c) * constant(self.fold)
        transforms: dict[int, Tensor] = {}
        if self.outputs:
            parts = self._values(c)
            joined = parts[0] if len(parts) == 1 else torch.cat(parts, dim=self.axis)
            pieces = torch.split(self._forward(joined), [p.shape[self.axis] for p in parts], dim=self.axis)
            transforms = dict(zip(self.outputs, pieces, strict=True))
        rows = [self._combine(row, c, transforms) for row in self.rows]
        return rows[0] if len(rows) == 1 else torch.cat(rows, dim=self.axis)

    def _forward(self, v: Tensor) -> Tensor:
        return self.transform.forward(v, masked=False)

    def _combine(self, row: dict[Base, Any], c: Tensor, transforms: dict[int, Tensor]) -> Tensor:
        total: Any = None
        for (node, channel), multiplier in row.items():
            source = c if node == STATE else transforms[node]
            part = source if source.shape[self.axis] == 1 else source.narrow(self.axis, channel, 1)
            part = part * constant(multiplier)
            total = part if total is None else total + part
        return torch.zeros_like(c.narrow(self.axis, 0, 1)) if total is None else total


def record(equation: Equation, engine: Fourier) -> Program | None:
    """The program of ``equation.nonlinear`` for ``engine``, or None if it has to be evaluated field by field.

    The program is checked once against the fields it replaces, on a random state.
    """
    recording = Recording(engine)
    recorder: Any = copy.copy(engine)  # its transform takes symbols where the engine's takes tensors
    recorder.transform = RecordingTransform(recording, engine.transform)
    channels = len(equation.fields)
    state = Coefficients(recording, [{(STATE, channel): 1.0} for channel in range(channels)])
    with torch.no_grad():
        try:
            result = equation.nonlinear(recorder.from_coefficients(state), recorder)
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


def _live(nodes: list[Node], result: Coefficients) -> list[Node]:
    """The nodes with those that nothing reads blanked out."""
    kept = list(nodes)
    for index in range(len(kept) - 1, -1, -1):
        if index not in _uses(kept, result):
            kept[index] = (None, (), {})
    return kept


def _uses(nodes: list[Node], result: Coefficients) -> dict[int, int]:
    """How often each node is read."""
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
    return uses


def _fused(nodes: list[Node], result: Coefficients) -> list[Node]:
    """``a + b * c`` as one operation where the product is used nowhere else."""
    uses = _uses(nodes, result)
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

