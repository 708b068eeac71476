"""The Lagrangian engine on series: fields are Taylor series in time and label, their derivatives those at the place where the label is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sciml.core.field import Field
from sciml.surrogates.pinn.jets import Coefficient, JetField, Jets, nested


class LagrangianJets(Jets):
    r"""What :class:`~sciml.derivatives.lagrangian.Lagrangian` gives, by arithmetic on Taylor coefficients in (t, X).

    .. math:: \partial_x u = J^{-1}\,\partial_X u,\qquad \partial_t|_x u = \partial_t u - \delta_t\,J^{-1}\partial_X u,\qquad J=1+\delta_X

    where the derivatives in t and X shift the coefficients of a series, and :math:`J^{-1}` is the series of a quotient, computed once for all fields.

    Parameters
    ----------
    z : times and labels, ``(..., 2)``.
    displacement : the coefficients of :math:`\delta` there.
    """

    def __init__(self, z: Tensor, displacement: Coefficient) -> None:
        super().__init__(z)
        self.displacement = self.unknown(displacement)
        self.speed = self._along(self.displacement, 0)
        self.stretch = self._sum(self._along(self.displacement, 1), 1.0)
        self._inverse = self._power(self.stretch, -1.0)
        self.space = (self._sum(self.space[0], self.displacement),)
        self._derived: dict[tuple[int, int], tuple[JetField, JetField]] = {}

    def _along(self, u: JetField, coordinate: int) -> JetField:
        """The derivative in t or X."""
        return self.own(super()._repeated(u, coordinate, 1))

    def _repeated(self, u: Field, coordinate: int, order: int) -> Field:
        own = self.own(u)
        for _ in range(order):
            own = self._first(own, coordinate)
        return own

    def _first(self, u: JetField, coordinate: int) -> JetField:
        key = id(u), coordinate
        if key not in self._derived:  # kept beside its field, so that no other can have the field's id
            found = self._product(self._along(u, 1), self._inverse)
            if coordinate == 0:
                found = self._sum(self._along(u, 0), -self._product(found, self.speed))
            self._derived[key] = u, found
        return self._derived[key][1]

    def _of_position(self, function: Callable[..., Any], fields: list[JetField]) -> JetField:
        """A function of the place, which is itself a series in time and label."""

        def of_place(x: Tensor) -> Tensor:
            return torch.as_tensor(function(*[x] * len(fields)), dtype=x.dtype, device=x.device).expand_as(x)

        return self._composed(lambda x, n: nested(of_place, x, n), fields[0])
