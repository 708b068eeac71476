"""Conservation laws: the divergence form that finite volumes, and Lagrangian methods, need."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from sciml.core.derivatives import Derivatives, as_vector
from sciml.core.equation import Equation
from sciml.core.field import Field, Probe, ValueField


class ConservationLaw(Equation):
    r""":math:`u_t + \nabla\cdot f(u) = \nabla\cdot(k(u)\,\nabla u) + s`.

    Subclasses declare any of :meth:`flux`, :meth:`diffusivity` and :meth:`source`; the linear/nonlinear split
    follows: a diffusivity that does not depend on u (a number, a tensor, a parameter) makes the diffusion linear.
    """

    def flux(self, u: Any) -> Any:
        """f(u): one field in one dimension, a tuple with one entry per axis otherwise; None for no flux."""
        return None

    def diffusivity(self, u: Any) -> Any:
        """k(u) >= 0: a field if it depends on u, else a number or tensor; None for no diffusion."""
        return None

    def potential(self, u: Any) -> Any:
        r"""A field :math:`\Phi(u)` with :math:`\Phi' = k`, if known in closed form; None otherwise.

        Finite volumes then take face coefficients as :math:`\Delta\Phi/\Delta u`, which stays right where k jumps or vanishes.
        """
        return None

    def source(self, u: Any, d: Derivatives) -> Any:
        """s; None for no source."""
        return None

    def velocity(self, u: Any) -> Any:
        """f'(u), the characteristic velocity: by forward-mode differentiation of :meth:`flux` unless overridden."""
        if not isinstance(u, Field):
            return torch.func.jvp(self.flux, (u,), (torch.ones_like(u),))[1]
        engine = u.engine
        flux = self.flux(u)

        def component(value: Tensor, axis: int) -> Tensor:
            def along(v: Tensor) -> Tensor:
                part: Any = as_vector(self.flux(ValueField(engine, v)))[axis]
                return part.value if isinstance(part, ValueField) else torch.as_tensor(part, dtype=v.dtype, device=v.device).expand_as(v)

            return torch.func.jvp(along, (value,), (torch.ones_like(value),))[1]

        parts = tuple(u.apply(component, (u, axis), {}) for axis in range(len(as_vector(flux))))
        return parts if isinstance(flux, tuple | list) else parts[0]

    @final
    def linear(self, u: Any, d: Derivatives) -> Any:
        k = self.diffusivity(Probe(d))  # not u itself: the symbol engine refuses the functions that a k(u) may need
        return None if k is None or isinstance(k, Field) else d.diffuse(k, u)

    @final
    def nonlinear(self, u: Any, d: Derivatives) -> Any:
        terms = []
        if self.flux(u) is not None:
            terms.append(-d.flux_divergence(self.flux, u, self.velocity))
        k = self.diffusivity(u)
        if isinstance(k, Field):
            terms.append(d.diffuse(k, u))
        s = self.source(u, d)
        if s is not None:
            terms.append(s)
        total = None
        for term in terms:
            total = term if total is None else total + term
        return total
