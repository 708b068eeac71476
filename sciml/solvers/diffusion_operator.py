r"""What the discretisations of :math:`-\nabla\cdot(a\nabla u)` share: the checked coefficient, the gauge and the preconditioner."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, final

import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.core.field import Field, align
from sciml.core.grid import Grid
from sciml.derivatives.ghosts import Pair
from sciml.spectral.modes import Modes

SMOOTH = 0.25
"""Largest part of the range of log a between neighbours that still counts as smooth."""


class DiffusionOperator(ABC):
    r"""A symmetric discretisation A on values ``(*batch, 1, *space)``, and its preconditioner.

    The preconditioner inverts the operator with constant coefficient in the basis of :class:`Modes`; the condition number is then
    at most max(a)/min(a) on every grid. Where a is smooth, it is :math:`M = \sqrt a(-\Delta_h)\sqrt a` instead [Concus & Golub,
    SIAM J. Numer. Anal. 10 (1973) 1103], which takes the variation of a in: :math:`-\nabla\cdot(a\nabla u) =
    \sqrt a(-\Delta + q)\sqrt a\,u` with :math:`q = \Delta\sqrt a/\sqrt a`. Where a jumps q is singular, and the first is faster.
    Each sample gets its own.

    Attributes
    ----------
    coefficient : a on the samples, broadcast over what does not vary.
    singular : whether constants are in the kernel; right-hand sides then need mean zero, and solutions have it.
    """

    def __init__(self, grid: Grid, boundaries: tuple[Pair, ...], coefficient: Tensor) -> None:
        self.grid = grid
        self.boundaries = boundaries
        self.coefficient = coefficient
        self.modes = Modes(grid, boundaries)
        self.singular = self.modes.singular
        _check_positive(coefficient, grid)
        a = coefficient.detach()
        smooth = is_smooth(a, grid)
        eigenvalues = self._eigenvalues()
        self._inner = _inverse(eigenvalues)
        self._outer = torch.where(smooth, a, _level(a, grid)).rsqrt()
        if self.singular:  # the scaled preconditioner has another kernel than A, so it must have none
            shift = 0.5 * float(eigenvalues[eigenvalues > 0].min())
            self._inner = torch.where(smooth, 1 / (eigenvalues + shift), self._inner)

    @abstractmethod
    def apply(self, u: Tensor) -> Tensor:
        """A u, with homogeneous conditions on the walls."""

    @abstractmethod
    def right_hand_side(self, f: Tensor) -> Tensor:
        """``f`` with what prescribed values and slopes on the walls add to it."""

    @abstractmethod
    def _eigenvalues(self) -> Tensor:
        """Those of the operator with a = 1, ``(*space)``."""

    def finished(self, u: Tensor) -> Tensor:
        """The solution from what the linear system gave."""
        return self.centred(u)

    @final
    def precondition(self, r: Tensor) -> Tensor:
        """The approximate inverse of A."""
        return self.centred(self._outer * self.modes.inverse(self._inner * self.modes.forward(self._outer * r)))

    @final
    def centred(self, u: Tensor) -> Tensor:
        """``u`` without its mean where A is singular."""
        return u - u.mean(tuple(range(-self.grid.ndim, 0)), keepdim=True) if self.singular else u


def sampled_coefficient(value: Any, engine: Any) -> Tensor:
    """A coefficient (a field of ``engine``, a number, a tensor per sample) as an array that broadcasts over ``(*batch, 1, *space)``."""
    if isinstance(value, Field):
        result: Tensor = engine.values(value)
        return result
    return align(torch.as_tensor(value, dtype=engine.grid.dtype, device=engine.grid.device), engine.trailing)


def is_smooth(a: Tensor, grid: Grid) -> Tensor:
    """Per sample, shaped to broadcast: whether log a changes from sample to sample by a small part of its range only."""
    if a.ndim < grid.ndim:
        return torch.ones((), dtype=torch.bool, device=a.device)
    space = tuple(range(-grid.ndim, 0))
    log = a.log()
    span = log.amax(space, keepdim=True) - log.amin(space, keepdim=True)
    jump = torch.zeros_like(span)
    for axis, n in enumerate(grid.shape):
        dim = axis - grid.ndim
        if a.shape[dim] == n:
            jump = torch.maximum(jump, torch.diff(log, dim=dim).abs().amax(space, keepdim=True))
            if grid.periodic[axis]:
                jump = torch.maximum(jump, (log.narrow(dim, 0, 1) - log.narrow(dim, n - 1, 1)).abs().amax(space, keepdim=True))
    return jump <= SMOOTH * span


def _level(a: Tensor, grid: Grid) -> Tensor:
    """The geometric mean of the extremes, per sample."""
    if a.ndim < grid.ndim:
        return a
    space = tuple(range(-grid.ndim, 0))
    return a.amin(space, keepdim=True).sqrt() * a.amax(space, keepdim=True).sqrt()


def _inverse(eigenvalues: Tensor) -> Tensor:
    """1 / eigenvalue, 0 where that is 0."""
    zero = eigenvalues == 0
    return torch.where(zero, torch.zeros_like(eigenvalues), 1 / torch.where(zero, torch.ones_like(eigenvalues), eigenvalues))


def _check_positive(a: Tensor, grid: Grid) -> None:
    bad = ~(torch.isfinite(a) & (a > 0)).reshape(-1)
    if not bool(bad.any()):
        return
    first = int(bad.nonzero()[0])
    place = ""
    if tuple(a.shape[a.ndim - grid.ndim :]) == grid.shape:
        index = torch.unravel_index(torch.tensor(first % math.prod(grid.shape)), grid.shape)
        place = f", first at {tuple(int(i) for i in index)}"
    value = float(a.detach().reshape(-1)[first])
    raise InputError(f"The diffusivity is {value:.6g} at {int(bad.sum())} of {bad.numel()} points{place}; it must be positive and finite everywhere.")
