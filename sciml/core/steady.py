"""Steady equations: a linear operator on the unknown balances a source; some fields in them are given, not solved for."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Self, final

import torch
from torch import Tensor

from sciml.core.derivatives import Derivatives
from sciml.core.equation import ResidualForm
from sciml.core.errors import InputError
from sciml.core.printing import balance_latex


class SteadyEquation(ResidualForm):
    r"""A steady equation :math:`A u = f`, A linear.

    Subclasses declare :meth:`operator` and :meth:`source`. Fields that are given, such as a coefficient, are named in
    ``inputs``, kept under these names as attributes, and read by ``self.given(name, d)``: numbers, functions of the
    coordinates ``f(x, y, ...)`` (which every engine understands), or values on a grid, ``(*space)`` or
    ``(*batch, 1, *space)`` (which grid engines understand). None stands for what a problem's law will draw.

    Attributes
    ----------
    fields : names of the unknowns.
    inputs : names of the given fields that tell one sample from the next: the channels of a data set's input.

    >>> class Helmholtz(SteadyEquation):
    ...     def operator(self, u, d): return -d.laplacian(u) - 25.0 * u
    """

    inputs: tuple[str, ...] = ()

    @abstractmethod
    def operator(self, u: Any, d: Derivatives) -> Any:
        """A u, linear in u."""

    def source(self, d: Derivatives) -> Any:
        """f: a field, a number or a tensor per sample; None for none."""
        return None

    @final
    def residual(self, u: Any, d: Derivatives) -> Any:
        """``operator - source``; a tensor for a tensor, a field for a field."""
        field = d.field(u) if isinstance(u, Tensor) else u
        f = self.source(d)
        result = self.operator(field, d) if f is None else self.operator(field, d) - f
        return d.values(result) if isinstance(u, Tensor) else result

    @final
    def given(self, name: str, d: Derivatives) -> Any:
        """The given field called ``name`` as the engine ``d`` has it; a number stays a number."""
        return d.given(name, getattr(self, name))

    @final
    def with_inputs(self, values: Tensor | Mapping[str, Any]) -> Self:
        """This equation with other given fields; the original is untouched.

        Parameters
        ----------
        values : by name, each a number, a function of the coordinates, or values on a grid; or all inputs together as
            one array ``(*batch, input, *space)`` of ``ndim`` space axes, such as ``Problem.initial_state`` makes.
        """
        if isinstance(values, Tensor):
            channel = values.ndim - 1 - self.ndim
            if channel < 0 or values.shape[channel] != len(self.inputs):
                raise InputError(
                    f"{type(self).__name__}.with_inputs: an array of shape {tuple(values.shape)} given for the inputs {self.inputs}; "
                    f"(*batch, {len(self.inputs)}, *space) with {self.ndim} space axes is expected."
                )
            parts = torch.split(values, 1, dim=channel)
            values = dict(zip(self.inputs, parts, strict=True))
        if unknown := sorted(set(values) - set(self.inputs)):
            raise InputError(f"{type(self).__name__}.with_inputs: {', '.join(unknown)} given; its inputs are {', '.join(self.inputs) or 'none'}.")
        clone = copy.copy(self)
        for store in ("_parameters", "_buffers", "_modules"):
            kept = {name: value for name, value in self.__dict__[store].items() if name not in values}
            clone.__dict__[store] = kept
        for name, value in values.items():
            clone.__dict__.pop(name, None)
            setattr(clone, name, value)
        return clone

    def latex(self) -> str:
        """The equation typeset by the SymPy engine, operator on the left and source on the right."""
        return balance_latex(self)

    @property
    def trainable(self) -> bool:
        """Whether a parameter, or a given field, requires a gradient."""
        own = [*self.parameters(), *(getattr(self, name, None) for name in self.inputs)]
        return any(isinstance(v, Tensor) and v.requires_grad for v in own)


class SteadyDiffusion(SteadyEquation):
    r""":math:`-\nabla\cdot(a\,\nabla u) = f` with :math:`a>0`.

    Subclasses declare :meth:`diffusivity` and :meth:`source`; solvers read both, and the operator follows.
    """

    def diffusivity(self, d: Derivatives) -> Any:
        """a: a field, a number or a tensor per sample."""
        return 1.0

    @final
    def operator(self, u: Any, d: Derivatives) -> Any:
        return -d.diffuse(self.diffusivity(d), u)


def check_input(value: Any, *, who: str) -> None:
    """Raise unless a number given as a coefficient that must be positive is positive; fields are checked where they are used."""
    if not isinstance(value, int | float | Tensor):
        return
    number = torch.as_tensor(value).detach()
    if not bool((number > 0).all()):
        raise InputError(f"{who}: a coefficient of {float(number.min()):.6g} given; it must be positive everywhere (else the equation is ill-posed).")


__all__ = ["SteadyDiffusion", "SteadyEquation", "check_input"]
