"""Exponential Runge-Kutta steps of single trajectories and small batches on the CPU.

One trajectory of a thousand points is bound by the number of calls, not by arithmetic: a call into torch costs about
a microsecond, one into NumPy less than half. The same scheme, on the same numbers, is therefore stepped through NumPy
where that is possible and no gradient is asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml.core.tangent import undifferentiated
from sciml.derivatives.recorded import Program
from sciml.derivatives.recording import Values
from sciml.spectral.pocket import SmallTransforms, small_transforms

LARGEST = 4096
"""Complex coefficients in a batch above which torch's threaded kernels win; for one trajectory they never do on the CPU."""

# How each recorded pointwise operation is written in the generated function.
_WRITTEN: dict[Any, str] = {
    torch.add: "({} + {})",
    torch.sub: "({} - {})",
    torch.mul: "({} * {})",
    torch.div: "({} / {})",
    torch.pow: "({} ** {})",
    torch.neg: "(-{})",
    torch.square: "({0} * {0})",
    torch.sin: "sin({})",
    torch.cos: "cos({})",
    torch.exp: "exp({})",
    torch.tanh: "tanh({})",
}


class SmallSteps:
    """The tableau of an exponential scheme and a recorded nonlinear term as one generated NumPy function.

    Interpreting the tableau step by step would cost as much as the arithmetic, so the step is written out once as
    straight-line source: ``v = c2r(a, ...); s1 = r2c((v ** 2), ...); ...``.
    """

    def __init__(self, program: Program, small: SmallTransforms, scheme: Any, nodes: tuple[float, ...]) -> None:
        exponentials, rows, weights = scheme
        names: dict[str, Any] = {**small.namespace(), **{f: getattr(np, f) for f in ("sin", "cos", "exp", "tanh")}}
        lines: list[str] = []

        def constant(multiplier: Any) -> str:
            name = f"k{len(names)}"
            names[name] = multiplier.value.numpy()
            return name

        def combination(start: str, row: Any) -> str:
            return " + ".join([start, *(f"{constant(m)} * s{j}" for j, m in enumerate(row) if m is not None)])

        def slope(index: int, state: str) -> None:
            lines.append(f"v0 = {small.inverse.format(state)}")
            for n, (function, args, _) in enumerate(program.nodes[1:], start=1):
                if function is None:
                    continue
                written = [f"v{a.index}" if isinstance(a, Values) else repr(a) for a in args]
                squared = function is torch.pow and args[1] == 2  # a product is cheaper to call than a power
                lines.append(f"v{n} = {_WRITTEN[torch.square if squared else function].format(*written)}")
            lines.append(f"s{index} = {small.forward.format(f'v{program.outputs[0]}')}")

        linear = {node: f"l{i}" for i, node in enumerate(exponentials)}
        lines += [f"{linear[node]} = {constant(e)} * c" for node, e in exponentials.items()]
        slope(0, "c")
        for i, (node, row) in enumerate(zip(nodes, rows, strict=True), start=1):
            slope(i, combination(linear[node], row))
        lines.append(f"return {combination(linear[1.0], weights)}")
        exec("def step(c):\n    " + "\n    ".join(lines), names)
        self._step = names["step"]

    @classmethod
    def of(cls, program: Program | None, scheme: Any, nodes: tuple[float, ...], points: int) -> SmallSteps | None:
        """The NumPy form of a scheme, or None if the term is not one product of simple pointwise operations."""
        if program is None or program.fold is None or not program.identity or program.first != [0]:
            return None
        small = small_transforms(points)
        simple = all(
            function is None or (function in _WRITTEN and not kwargs and all(isinstance(a, Values | int | float) for a in args))
            for function, args, kwargs in program.nodes[1:]
        )
        return cls(program, small, scheme, nodes) if small is not None and simple else None

    def accepts(self, state: Tensor) -> bool:
        """Whether ``state`` is small and nothing differentiates through it."""
        small = state.numel() <= LARGEST or state.numel() == state.shape[-1]
        return small and state.dtype == torch.complex128 and undifferentiated(state)

    def march(self, state: Tensor, steps: int) -> Tensor | None:
        """Several steps; None if the tensor holds no memory of its own (inside ``torch.func`` transforms)."""
        try:
            c = state.numpy()
        except RuntimeError:
            return None
        for _ in range(steps):
            c = self._step(c)
        return torch.from_numpy(c)
