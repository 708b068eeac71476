"""Incompressible flow of uniform density: momentum and continuity written once, for any forces."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, final

from torch import Tensor

from sciml.core.derivatives import Derivatives
from sciml.core.equation import ResidualForm
from sciml.core.printing import residual_latex


class IncompressibleFlow(ResidualForm):
    r""":math:`u_t + u\cdot\nabla u = -\nabla p + F(u)`, :math:`\nabla\cdot u = 0`.

    The unknowns are the velocity, one component per axis, and the pressure behind them, divided by the density and free by a function of time.
    The residual has as many channels: momentum along each axis, then divergence. Subclasses state the forces alone; in three dimensions they set
    ``fields`` and ``ndim`` too.
    """

    fields = ("u", "v", "p")
    ndim = 2

    @abstractmethod
    def forces(self, velocity: tuple[Any, ...], d: Derivatives) -> Sequence[Any]:
        """F per unit of mass, one field per axis, None along axes where nothing acts; of the velocity and the place, not of the pressure."""

    @final
    def residual(self, u: Any, d: Derivatives) -> Any:
        field = d.field(u) if isinstance(u, Tensor) else u
        *velocity, pressure = d.split(field)
        rows = []
        for component, slope, force in zip(velocity, d.grad(pressure), self.forces(tuple(velocity), d), strict=True):
            row = d.t(component) + d.advect(velocity, component) + slope
            rows.append(row if force is None else row - force)
        result = d.stack(*rows, d.div(velocity))
        return d.values(result) if isinstance(u, Tensor) else result

    def latex(self) -> str:
        return residual_latex(self)
