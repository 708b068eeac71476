"""The vocabulary in which equations are written; engines say what each word means on their kind of points."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from sciml.core.errors import InputError, UnsupportedError
from sciml.core.field import Field

Coefficient = Any  # float | Tensor (per sample) | nn.Parameter
AXES = ("x", "y", "z")


class Derivatives(ABC):
    r"""A derivative engine. One primitive, :meth:`partial`; every other word is derived from it.

    ``d.x(u, n)`` is :math:`\partial_x^n u`; ``d.laplacian(u)`` is :math:`\sum_i \partial_i^2 u`; and so on.

    Attributes
    ----------
    ndim : number of space axes.
    trailing : number of array axes behind the batch axes (channel and space).
    time : the current time, a number or a tensor that broadcasts against a field.
    """

    ndim: int
    trailing: int
    time: Any = 0.0

    def at(self, time: Any) -> Self:
        """This engine at another time; the original is untouched."""
        other = copy.copy(self)
        other.time = time
        return other

    @abstractmethod
    def field(self, u: Tensor) -> Field:
        """Wrap an array of this engine's layout as a field."""

    @abstractmethod
    def values(self, u: Field) -> Tensor:
        """The array of a field."""

    @abstractmethod
    def partial(self, u: Field, axis: int, order: int) -> Field:
        r""":math:`\partial_{x_i}^n u` for ``axis`` i and ``order`` n >= 1."""

    @abstractmethod
    def coordinates(self) -> tuple[Field, ...]:
        """One field per space axis holding the position: for forcings and variable coefficients."""

    @abstractmethod
    def split(self, u: Field) -> tuple[Field, ...]:
        """One field per channel."""

    @abstractmethod
    def stack(self, *fields: Field) -> Field:
        """The inverse of :meth:`split`."""

    # -- words that need more than `partial`; engines that can do them override them --------------------------------

    def t(self, u: Field, order: int = 1) -> Field:
        r""":math:`\partial_t^n u`; only engines whose points lie in space-time know it."""
        raise UnsupportedError(f"{self._name} knows a field at one instant only, so d.t is undefined; use the points or functional engine.")

    def inverse_laplacian(self, u: Field, shift: float = 0.0) -> Field:
        r"""The field v with :math:`\Delta v - s\,v = u` (mean zero when the shift s is 0)."""
        raise UnsupportedError(
            f"{self._name} cannot invert the Laplacian; use the Fourier engine, or a formulation whose unknown is the potential itself."
        )

    def shift(self, u: Field, n: int, axis: int = 0) -> Field:
        """The field whose sample i is u's sample i + n (cyclic): for lattice systems."""
        raise UnsupportedError(f"{self._name} has no lattice neighbours; use the Fourier or the stencil engine on a periodic grid.")

    def flux_divergence(self, flux: Callable[[Field], Any], u: Field, velocity: Callable[[Field], Any]) -> Field:
        r""":math:`\nabla\cdot f(u)`. Finite-volume engines use face fluxes and the wave speed ``velocity``."""
        return self.div(as_vector(flux(u)))

    def diffuse(self, coefficient: Any, u: Field) -> Field:
        r""":math:`\nabla\cdot(k\,\nabla u)` for a field, a tensor or a number k."""
        if isinstance(coefficient, Field):
            return self.div([coefficient * g for g in self.grad(u)])
        return coefficient * self.laplacian(u)

    def pointwise(self, function: Callable[..., Tensor], *fields: Field) -> Field:
        """A function of the values at each point, such as a network: ``function`` takes and returns ``(..., channels)``.

        The same closure then serves engines whose channel axis lies elsewhere.
        """
        channel = -self.trailing

        def moved(*values: Tensor) -> Tensor:
            return function(*(v.movedim(channel, -1) for v in values)).movedim(-1, channel)

        return fields[0].apply(moved, fields, {})

    def define(self, name: str, u: Field) -> Field:
        """``u`` itself; a printed equation shows it as ``name`` and gives its definition in a line of its own."""
        return u

    def given(self, name: str, value: Any) -> Any:
        """A field that is given, not solved for: a number, a function of the coordinates, or values on this engine's grid.

        Boundary conditions, which are the unknown's, do not apply to it. A printed equation shows it as ``name``.
        """
        if value is None:
            raise InputError(f"the given field {name} has no values yet; use equation.with_inputs({{{name!r}: ...}}), or solve a problem with a law.")
        if isinstance(value, Tensor) and value.numel() > 1:
            return self.sampled(name, value)
        if isinstance(value, Tensor) or not callable(value):
            return value
        x = self.coordinates()
        return x[0].apply(value, x, {})

    def sampled(self, name: str, values: Tensor) -> Field:
        """The given field with these values on the grid, ``(*space)`` or ``(*batch, 1, *space)``; engines without a grid refuse."""
        raise UnsupportedError(f"{self._name} has no grid on which {name} could have values; give it as a function of the coordinates.")

    # -- derived words --------------------------------------------------------------------------------------------

    def x(self, u: Field, order: int = 1) -> Field:
        r""":math:`\partial_x^n u`."""
        return self._partial(u, 0, order)

    def y(self, u: Field, order: int = 1) -> Field:
        r""":math:`\partial_y^n u`."""
        return self._partial(u, 1, order)

    def z(self, u: Field, order: int = 1) -> Field:
        r""":math:`\partial_z^n u`."""
        return self._partial(u, 2, order)

    def mixed(self, u: Field, orders: Sequence[int]) -> Field:
        r""":math:`\partial_x^{n_1}\partial_y^{n_2}\dots u`."""
        for axis, order in enumerate(orders):
            if order:
                u = self._partial(u, axis, order)
        return u

    def grad(self, u: Field) -> tuple[Field, ...]:
        r""":math:`(\partial_x u, \partial_y u, \dots)`."""
        return tuple(self._partial(u, axis, 1) for axis in range(self.ndim))

    def div(self, v: Sequence[Field]) -> Field:
        r""":math:`\sum_i \partial_i v_i`."""
        if len(v) != self.ndim:
            raise InputError(f"d.div: got {len(v)} components on {self.ndim} space axes; give one per axis.")
        return _sum([self._partial(component, axis, 1) for axis, component in enumerate(v)])

    def curl(self, v: Sequence[Field]) -> Field:
        r""":math:`\partial_x v_2 - \partial_y v_1` (two dimensions)."""
        if len(v) != 2 or self.ndim != 2:
            raise InputError(f"d.curl: got {len(v)} components on {self.ndim} space axes; it is defined for 2 and 2.")
        return self.x(v[1]) - self.y(v[0])

    def laplacian(self, u: Field, power: int = 1) -> Field:
        r""":math:`\Delta^p u`."""
        for _ in range(power):
            u = _sum([self._partial(u, axis, 2) for axis in range(self.ndim)])
        return u

    def advect(self, velocity: Sequence[Any], u: Field) -> Field:
        r""":math:`\sum_i v_i\,\partial_i u`."""
        if len(velocity) != self.ndim:
            raise InputError(f"d.advect: got {len(velocity)} velocity components on {self.ndim} space axes; give one per axis.")
        return _sum([v * g for v, g in zip(velocity, self.grad(u), strict=True)])

    def jacobian(self, a: Field, b: Field) -> Field:
        r""":math:`J(a, b) = a_x b_y - a_y b_x` (two dimensions)."""
        return self.x(a) * self.y(b) - self.y(a) * self.x(b)

    def _partial(self, u: Field, axis: int, order: int) -> Field:
        if axis >= self.ndim:
            raise InputError(f"d.{AXES[axis]}: the domain has {self.ndim} space ax{'is' if self.ndim == 1 else 'es'}; there is no {AXES[axis]}.")
        if order < 0 or int(order) != order:
            raise InputError(f"d.{AXES[axis]}: order={order} given; a non-negative integer is needed.")
        if isinstance(u, Tensor):
            u = self.field(u)
        return self.partial(u, axis, int(order)) if order else u

    @property
    def _name(self) -> str:
        return f"the {type(self).__name__} engine"


def as_vector(components: Any) -> tuple[Any, ...]:
    """A flux or velocity as a tuple, whether the author returned one field (1-D) or a sequence."""
    return tuple(components) if isinstance(components, tuple | list) else (components,)


def channel_split(value: Tensor, axis: int) -> tuple[Tensor, ...]:
    """One tensor per channel, the channel axis kept with size 1."""
    return torch.split(value, 1, dim=axis)


def _sum(terms: Sequence[Any]) -> Any:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
