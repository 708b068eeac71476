"""Weights whose field has given values: where a representation starts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from sciml.core.errors import InputError
from sciml.optim.gauss_newton import GaussNewton, GaussNewtonSteps
from sciml.surrogates.inr.fits import Residual
from sciml.surrogates.inr.integrators import Network
from sciml.training.pointwise import PointTerm

STEPS = 400
"""Gauss-Newton steps at most."""
STALLED = 0.999
"""Ratio of the errors of two successive steps from which on nothing more is gained, if it stays so for :data:`PATIENCE` steps."""
PATIENCE = 15


class Loss:
    """What :class:`GaussNewtonSteps` asks of a loss: that of a residual at rows, for some of a network's weights by name."""

    def __init__(self, residual: Residual, rows: Tensor, names: Mapping[str, nn.Parameter]) -> None:
        self.function, self.points, self.names = residual, rows, names
        self.loss = torch.tensor(math.inf)

    def pointwise(self) -> tuple[Sequence[PointTerm], Mapping[str, Tensor]]:
        return [PointTerm("start", self.function, self.points)], self.names

    def observe(self, loss: Tensor, values: Sequence[Tensor] | None = None) -> None:
        self.loss = loss

    def residual(self) -> Tensor:
        return self.function(self.names, self.points).flatten()

    def __call__(self) -> Tensor:
        return self.residual().square().mean()


def fit_values(network: Network, rows: Tensor, values: Tensor, good: float) -> Tensor:
    """Weights for which the first channels of the field, those given at the start, are close to ``values`` ``(n, channels)``, from the field's own.

    Rows are those of ``prepared(x, rates=False)``. The fit ends at the relative root mean square error ``good``, or when it no longer gains.

    Raises InputError for values that are not finite.
    """
    if not bool(torch.isfinite(values).all()):
        raise InputError("INRStepper: the field to start from is not finite at some points; correct it.")
    channels = values.shape[1]

    def residual(named: Mapping[str, Tensor], row: Tensor) -> Tensor:
        return network.values(named, row[..., :-channels])[..., :channels] - row[..., -channels:]

    found = settled(residual, torch.cat([rows, values], 1), network.field.given()[0], float(values.square().sum(-1).mean().sqrt()) or 1.0, good)
    return network.flat.join([found.get(name, p.detach()) for name, p in network.names.items()])


def settled(residual: Residual, rows: Tensor, names: Mapping[str, nn.Parameter], scale: float, good: float) -> dict[str, Tensor]:
    """Weights by name, from their present values, for which a residual at rows is ``good`` relative to ``scale``, or no longer gets smaller."""
    before = {name: p.detach().clone() for name, p in names.items()}
    closure = Loss(residual, rows, names)
    steps = GaussNewton()(names.values())
    assert isinstance(steps, GaussNewtonSteps)
    steps.memory["told"] = True  # that a finer precision may help: single precision is the caller's choice
    try:
        last, stalled = math.inf, 0
        for _ in range(STEPS):
            steps.step(closure)
            error = float(closure.loss.sqrt()) / scale
            stalled = stalled + 1 if error > STALLED * last else 0
            if error <= good or stalled == PATIENCE:
                break
            last = error
        return {name: p.detach().clone() for name, p in names.items()}
    finally:
        with torch.no_grad():
            for name, p in names.items():
                p.copy_(before[name])
