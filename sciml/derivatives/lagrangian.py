"""The Lagrangian engine: fields are functions of a label and time, their derivatives those with respect to the place where the label is."""

from __future__ import annotations

import torch
from torch import Tensor

from sciml.core.field import Field
from sciml.derivatives.functional import Functional, FunctionalField, PointFunction


class Lagrangian(Functional):
    r"""Derivatives at :math:`x = X + \delta(X,t)` of functions of ``z = (t, X)``, in one space dimension.

    .. math:: \partial_x = J^{-1}\partial_X,\qquad \partial_t|_x = \partial_t|_X - \delta_t\,J^{-1}\partial_X,\qquad J = 1+\delta_X

    is the chain rule, whatever the displacement is. Repeated, it gives :math:`u_{xx} = J^{-1}\partial_X(J^{-1}u_X)` with the slope of J in it, which
    is not :math:`u_{XX}`. An equation evaluated by this engine is the same equation; where :math:`\delta_t` is its
    characteristic velocity the advection cancels and what is left along a characteristic is diffusion and sources.

    Parameters
    ----------
    displacement : :math:`\delta`, ``(2,)`` to ``(1,)``.

    >>> d = Lagrangian(lambda z: 0.5 * z[1:])                  # x = 1.5 X
    >>> u = d.unknown(lambda z: (1.5 * z[1:]) ** 2)            # x^2
    >>> d.evaluate(d.x(u), torch.tensor([[0.0, 2.0]])).item()  # 2 x
    6.0
    """

    def __init__(self, displacement: PointFunction) -> None:
        super().__init__(1)
        self.displacement = self.unknown(displacement)
        self._speed, self._strain = (super(Lagrangian, self)._first(self.displacement, i) for i in (0, 1))

    @property
    def speed(self) -> FunctionalField:
        r""":math:`\delta_t`, how fast a label moves."""
        return self._speed

    @property
    def stretch(self) -> FunctionalField:
        r""":math:`J = 1+\delta_X`: positive as long as no two labels meet."""
        return FunctionalField(self, lambda z: 1 + self._strain(z), 1)

    def coordinates(self) -> tuple[Field, ...]:
        return (FunctionalField(self, lambda z: z[1:] + self.displacement(z), 1),)

    def _first(self, u: FunctionalField, coordinate: int) -> FunctionalField:
        def derivative(z: Tensor) -> Tensor:
            along_label = 1 / (1 + self._strain(z))
            along_time = torch.zeros_like(along_label)
            if coordinate == 0:
                along_time = along_time + 1
                along_label = -self._speed(z) * along_label
            value, tangent = torch.func.jvp(u, (z,), (torch.cat([along_time, along_label]),))[:2]
            self.remember(u, z, value)
            return tangent

        return FunctionalField(self, derivative, u.channels)
