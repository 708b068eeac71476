r"""Expansions that satisfy the boundary conditions of a box: one real orthonormal basis per axis, chosen by its two faces.

=====================  ===========================  =================  ==========================
faces (lower, upper)   basis                        wavenumbers        basis of the derivative
=====================  ===========================  =================  ==========================
periodic               cas kx (Hartley)             2 pi m / L         cas(-kx)
Dirichlet, Dirichlet   sin kx                       pi (m + 1) / L     cos kx
Neumann, Neumann       cos kx                       pi m / L           sin kx
Dirichlet, Neumann     sin kx                       pi (m + 1/2) / L   cos kx
Neumann, Dirichlet     cos kx                       pi (m + 1/2) / L   sin kx
=====================  ===========================  =================  ==========================

The values are those at cell centres (periodic axes: at jh), and the conditions are homogeneous.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.core.domain import Boundary, Dirichlet, Periodic, check_imposed
from sciml.core.grid import Grid
from sciml.spectral.sine import cosine, cosine_inverse, hartley, quarter_cosine, quarter_sine, sine, sine_inverse

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Line:
    """The basis of one axis.

    Attributes
    ----------
    forward, inverse : values to coefficients and back, on the last axis.
    synthesis, analysis : the same for the basis of the derivative.
    shift : coefficient m of a field belongs to coefficient m + shift of its derivative; None where m belongs to -m (periodic).
    k : signed wavenumbers, so that the derivative's coefficients are k times the field's.
    """

    forward: Map
    inverse: Map
    analysis: Map
    synthesis: Map
    shift: int | None
    k: Tensor

    @classmethod
    def of(cls, faces: tuple[Boundary, Boundary], n: int, length: float) -> Line:
        """The basis for an axis of n samples between these faces."""
        m = torch.arange(n, dtype=torch.float64)
        unit = math.pi / length
        low, high = faces
        if isinstance(low, Periodic):
            return cls(hartley, hartley, hartley, hartley, None, 2 * unit * ((m + n // 2) % n - n // 2))
        if isinstance(low, Dirichlet):
            if isinstance(high, Dirichlet):
                return cls(sine, sine_inverse, cosine, cosine_inverse, 1, unit * (m + 1))
            return cls(quarter_sine, quarter_sine, quarter_cosine, quarter_cosine, 0, unit * (m + 0.5))
        if isinstance(high, Dirichlet):
            return cls(quarter_cosine, quarter_cosine, quarter_sine, quarter_sine, 0, -unit * (m + 0.5))
        return cls(cosine, cosine_inverse, sine, sine_inverse, -1, -unit * m)

    def lost(self) -> Tensor:
        """Mask of modes whose derivative vanishes at every sample although k does not: the Nyquist mode."""
        n = len(self.k)
        mask = torch.zeros(n, dtype=torch.bool)
        if self.shift == 1:
            mask[-1] = True
        if self.shift is None and n % 2 == 0:
            mask[n // 2] = True
        return mask


class Modes:
    """The product basis on a grid; arrays are ``(..., *grid.shape)``, values and coefficients alike.

    Parameters
    ----------
    grid : gives sizes, lengths, dtype and device.
    boundaries : per axis a pair (lower, upper) as in ``Domain.boundaries``.
    """

    def __init__(self, grid: Grid, boundaries: Sequence[tuple[Boundary, Boundary]]) -> None:
        check_imposed(boundaries, who=type(self).__name__)
        self.grid = grid
        self.lines = [Line.of(faces, n, length) for faces, n, length in zip(boundaries, grid.shape, grid.lengths, strict=True)]
        self._factors = [self._along(axis, line.k.masked_fill(line.lost(), 0.0)) for axis, line in enumerate(self.lines)]

    def forward(self, u: Tensor) -> Tensor:
        """Coefficients of the values ``u``."""
        for axis, line in enumerate(self.lines):
            u = self._apply(line.forward, u, axis)
        return u

    def inverse(self, c: Tensor) -> Tensor:
        """Values of the coefficients ``c``."""
        for axis, line in enumerate(self.lines):
            c = self._apply(line.inverse, c, axis)
        return c

    def derivative(self, c: Tensor, axis: int) -> Tensor:
        """Values of the derivative along ``axis`` of the field with coefficients ``c``; the Nyquist mode has none."""
        c = self._moved(self._factors[axis] * c, axis)
        for other, line in enumerate(self.lines):
            c = self._apply(line.synthesis if other == axis else line.inverse, c, other)
        return c

    def adjoint(self, v: Tensor, axis: int) -> Tensor:
        """The transpose of :meth:`derivative`: coefficients of minus the derivative of the values ``v``, a flux along ``axis``."""
        for other, line in enumerate(self.lines):
            v = self._apply(line.analysis if other == axis else line.forward, v, other)
        return self._factors[axis] * self._moved(v, axis, back=True)

    def squared_wavenumbers(self) -> Tensor:
        r""":math:`|k|^2`: minus the Laplacian of each mode, ``(*grid.shape)``."""
        return self._sum([line.k**2 for line in self.lines])

    def difference_eigenvalues(self) -> Tensor:
        r""":math:`\sum_i (2\sin(k_ih_i/2)/h_i)^2`: minus the second difference of each mode, ``(*grid.shape)``."""
        return self._sum([(2 / h * torch.sin(line.k * h / 2)) ** 2 for line, h in zip(self.lines, self.grid.spacing, strict=True)])

    def lost(self, axis: int) -> tuple[Tensor, float] | None:
        """The mode that :meth:`derivative` loses along ``axis``, as a unit vector shaped to broadcast, and its wavenumber; None if there is none."""
        line = self.lines[axis]
        mask = line.lost()
        if not bool(mask.any()):
            return None
        wave = line.inverse(mask.to(torch.float64))
        return self._along(axis, wave), float(line.k[mask].abs())

    @property
    def singular(self) -> bool:
        """Whether constants satisfy every boundary condition, so that the Laplacian has no inverse."""
        return all(line.shift in (None, -1) for line in self.lines)

    def _apply(self, transform: Map, u: Tensor, axis: int) -> Tensor:
        dim = axis - self.grid.ndim
        return transform(u) if dim == -1 else transform(u.movedim(dim, -1)).movedim(-1, dim)

    def _moved(self, c: Tensor, axis: int, back: bool = False) -> Tensor:
        """Coefficients put where the derivative's basis (or, ``back``, the field's) has that wave."""
        shift, dim = self.lines[axis].shift, axis - self.grid.ndim
        if shift is None:
            return c.flip(dim).roll(1, dim)
        return c if shift == 0 else c.roll(-shift if back else shift, dim)

    def _along(self, axis: int, values: Tensor) -> Tensor:
        return values.to(self.grid.device, self.grid.dtype).view((-1,) + (1,) * (self.grid.ndim - 1 - axis))

    def _sum(self, parts: Sequence[Tensor]) -> Tensor:
        total = torch.zeros(self.grid.shape, dtype=self.grid.dtype, device=self.grid.device)
        for axis, part in enumerate(parts):
            total = total + self._along(axis, part)
        return total
