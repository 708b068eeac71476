"""Weights whose field has given values: where a representation starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.optim.gauss_newton import GaussNewton, GaussNewtonSteps
from sciml.surrogates.inr.integrators import Network
from sciml.training.pointwise import PointTerm

STEPS = 400
"""Gauss-Newton steps at most."""
STALLED = 0.999
"""Ratio of the errors of two successive steps from which on nothing more is gained, if it stays so for :data:`PATIENCE` steps."""
PATIENCE = 15


class Values:
    """What :class:`GaussNewtonSteps` asks of a loss: that of values at rows."""

    def __init__(self, network: Network, rows: Tensor, values: Tensor) -> None:
        self.network = network
        self.points = torch.cat([rows, values], 1)
        self.loss = torch.tensor(float("inf"))
        self.channels = values.shape[1]
        self.names = dict(network.field.named_parameters())

    def pointwise(self) -> tuple[Sequence[PointTerm], Mapping[str, Tensor]]:
        return [PointTerm("values", self._residual, self.points)], self.names

    def observe(self, loss: Tensor, values: Sequence[Tensor] | None = None) -> None:
        self.loss = loss

    def residual(self) -> Tensor:
        found: Tensor = self._residual(self.names, self.points)
        return found.flatten()

    def __call__(self) -> Tensor:
        return self.residual().square().mean()

    def _residual(self, named: Mapping[str, Tensor], row: Tensor) -> Tensor:
        return self.network.values(named, row[..., : -self.channels]) - row[..., -self.channels :]


def fit_values(network: Network, rows: Tensor, values: Tensor, good: float) -> Tensor:
    """Weights for which the field at rows of ``prepared(x, rates=False)`` is close to ``values`` ``(n, channels)``, from the field's own.

    The fit ends at the relative root mean square error ``good``, or when it no longer gains.

    Raises InputError for values that are not finite.
    """
    if not bool(torch.isfinite(values).all()):
        raise InputError("INRStepper: the field to start from is not finite at some points; correct it.")
    before = network.flat.read()
    closure = Values(network, rows, values)
    steps = GaussNewton()(network.flat.parameters)
    assert isinstance(steps, GaussNewtonSteps)
    steps.memory["told"] = True  # that a finer precision may help: single precision is the caller's choice
    scale = float(values.square().sum(-1).mean().sqrt()) or 1.0
    try:
        last, stalled = float("inf"), 0
        for _ in range(STEPS):
            steps.step(closure)
            error = float(closure.loss.sqrt()) / scale
            stalled = stalled + 1 if error > STALLED * last else 0
            if error <= good or stalled == PATIENCE:
                break
            last = error
        return network.flat.read()
    finally:
        network.flat.write(before)
