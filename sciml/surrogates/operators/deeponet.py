r"""The deep operator network: coefficients from the sampled argument, basis functions from coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from sciml.core.checks import check_state
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.spectral.resample import evaluate, resample
from sciml.surrogates.base import Common, Surrogate
from sciml.surrogates.operators import coordinates as places
from sciml.surrogates.operators.pointwise import activation_of


class DeepONet(Surrogate):
    r""":math:`N(u)(x)=\sum_p b_p\big(u(s_1),\dots,u(s_S)\big)\,t_p(x)+c`, with perceptrons b (branch) and t (trunk).

    The branch reads u at fixed sensors, the trunk coordinates, so that the result can be evaluated anywhere (:meth:`at`).
    All output channels share the trunk. On periodic axes the trunk reads :math:`\cos,\sin` of the position. Lu et al., Nature
    Machine Intelligence 3 (2021) 218 (arXiv 1910.03193), eq. (2).

    Parameters
    ----------
    grid, channels : where fields live, and how many there are.
    width, depth : hidden width and number of hidden layers of branch and trunk.
    basis : number p of basis functions.
    sensors : points per axis of the sensors' grid; those of ``grid`` by default. Fields on other (periodic) grids are
        resampled to it exactly.
    activation : as for :class:`sciml.FNO`.
    """

    def __init__(
        self,
        grid: Grid,
        channels: int = 1,
        *,
        width: int = 128,
        depth: int = 3,
        basis: int = 128,
        sensors: int | Sequence[int] | None = None,
        activation: str = "gelu",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(grid, channels, **common)
        if min(width, depth, basis) < 1:
            raise InputError(f"DeepONet: width={width}, depth={depth}, basis={basis} given; at least 1 is needed.")
        self.sensors = grid.shape if sensors is None else grid.resized(sensors if isinstance(sensors, int) else tuple(sensors)).shape
        self.check_grid(grid)
        self.width, self.depth, self.basis, self.activation = int(width), int(depth), int(basis), activation
        read = (self.channels + self.inputs) * math.prod(self.sensors)
        self.branch = perceptron(read, width, depth, self.out_channels * basis, activation)
        self.trunk = perceptron(places.feature_count(grid), width, depth, basis, activation)
        self.offset = nn.Parameter(torch.zeros(self.out_channels))
        self.to(grid.device, grid.dtype)

    def operate(self, v: Tensor) -> Tensor:
        flat = [x.flatten() for x in self.grid.points()]
        return self._combined(self.coefficients(v), self.functions(flat)).unflatten(-1, self.grid.shape)

    def at(self, u: Tensor, points: Sequence[Tensor], inputs: Tensor | None = None) -> Tensor:
        """The result at scattered points: ``u`` as in a call, one tensor ``(n,)`` of positions per axis -> ``(*batch, out_channels, n)``.

        On the grid's own points it is what a call returns. Differentiable in ``u`` and in the positions.
        """
        check_state(u, self.grid, self.channels, who="DeepONet.at")
        places.check_points(points, self.grid, "DeepONet.at")
        inputs = self._checked(inputs)
        if self.residual and not all(self.grid.periodic):
            raise InputError(
                "DeepONet.at: a residual model on a bounded domain is known on its grid alone; call model(u), or make it with residual=False."
            )
        ndim = self.grid.ndim
        y = self._combined(self.coefficients(self._prepared(u, inputs, ndim)), self.functions(points))
        return self._finished(y, u.shape[: u.ndim - 1 - ndim], evaluate(u, self.grid, points) if self.residual else None)

    def coefficients(self, v: Tensor) -> Tensor:
        """The branch: normalised fields ``(batch, channels + inputs, *space)`` -> ``(batch, out_channels, basis)``."""
        if self.sensors != self.grid.shape:
            v = resample(v, self.grid, self.sensors)
        return torch.as_tensor(self.branch(v.flatten(1))).unflatten(-1, (self.out_channels, self.basis))

    def functions(self, points: Sequence[Tensor]) -> Tensor:
        """The trunk: the basis functions at scattered points, ``(n, basis)``."""
        return torch.as_tensor(self.trunk(places.features(points, self.grid)))

    def check_grid(self, grid: Grid) -> None:
        if grid.shape != self.sensors and not all(grid.periodic):
            raise InputError(
                f"DeepONet: a bounded grid of {grid.shape} points and sensors on {self.sensors}; "
                "fields on bounded domains must be given at the sensors. model.at(u, points) evaluates the result anywhere."
            )

    def options(self) -> dict[str, Any]:
        return {"width": self.width, "depth": self.depth, "basis": self.basis, "sensors": list(self.sensors), "activation": self.activation}

    def _combined(self, coefficients: Tensor, functions: Tensor) -> Tensor:
        # the sum of p terms of unit size has size sqrt(p)
        return coefficients @ functions.T / math.sqrt(self.basis) + self.offset.unsqueeze(-1)


def perceptron(read: int, width: int, depth: int, written: int, activation: str) -> nn.Sequential:
    """``depth`` hidden layers of ``width``, then a linear one."""
    layers: list[nn.Module] = []
    for n in range(depth):
        layers += [nn.Linear(width if n else read, width), activation_of(activation, "DeepONet")]
    return nn.Sequential(*layers, nn.Linear(width, written))
