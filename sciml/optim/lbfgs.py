"""L-BFGS with strong Wolfe line searches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from sciml.core.checks import check_whole
from sciml.optim.quasi_newton import QuasiNewton


@dataclass(frozen=True)
class LBFGS:
    """L-BFGS with strong Wolfe line searches (Nocedal & Wright, Numerical Optimization, 2nd ed., algorithm 7.4); it needs the loss alone.

    Unlike ``torch.optim.LBFGS``, it steps back from losses that are not finite, and never ends higher than it began.

    Parameters
    ----------
    iterations : inner steps per step of the training, on one batch; each costs one to two evaluations of loss and gradient.
    history : pairs of steps and changes of the gradient that are remembered; each takes the memory of two sets of weights.

    >>> sciml.fit(model, data, loss=objective, optimizer=sciml.LBFGS(), epochs=500)     # doctest: +SKIP
    """

    iterations: int = 20
    history: int = 100

    def __post_init__(self) -> None:
        check_whole(1, who="LBFGS", iterations=self.iterations, history=self.history)

    def __call__(self, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        return LBFGSSteps(parameters, asdict(self))


class LBFGSSteps(QuasiNewton):
    """The optimiser that :class:`LBFGS` makes; ``memory`` holds the latest ``steps`` and ``changes`` of the gradient, the oldest first."""

    def direction(self, gradient: Tensor) -> Tensor:
        q, taken = -gradient, []
        pairs = list(zip(self.memory.get("steps", []), self.memory.get("changes", []), strict=True))
        for s, y in reversed(pairs):
            ys = y @ s
            a = (s @ q) / ys
            q = q - a * y
            taken.append((s, y, ys, a))
        if pairs:
            s, y = pairs[-1]
            q = q * ((y @ s) / (y @ y))
        for s, y, ys, a in reversed(taken):
            q = q + s * (a - (y @ q) / ys)
        return q

    def learn(self, s: Tensor, y: Tensor, b: float) -> None:
        history = self.param_groups[0]["history"]
        self.memory["steps"] = [*self.memory.get("steps", []), s][-history:]
        self.memory["changes"] = [*self.memory.get("changes", []), y][-history:]
