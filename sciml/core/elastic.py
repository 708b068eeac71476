"""Hyperelastic bodies: an energy of the deformation, from which the potential of a time step and the strong form both follow."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from sciml.core.derivatives import Derivatives
from sciml.core.domain import Dirichlet, Free, Periodic
from sciml.core.equation import ResidualForm
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.printing import residual_latex
from sciml.core.problem import Problem

Load = Sequence[float] | Callable[..., Sequence[Any]]
"""Force per mass: its components, or a function of the coordinates that returns them."""
Matrix = tuple[tuple[Any, Any], tuple[Any, Any]]
"""Rows of a 2 x 2 matrix of fields, or of tensors of one shape."""


class Energy(NamedTuple):
    """Energies per area of the unstrained body, which add up to a constant while no clamp moves: of the motion, of the strain, and of the load."""

    kinetic: float
    elastic: float
    load: float

    @property
    def total(self) -> float:
        """Their sum."""
        return self.kinetic + self.elastic + self.load


class ElasticBody(ResidualForm):
    r"""A body with the energy density :math:`W(F)=\tfrac12\sum_k e_k(F)^2` of its deformation gradient :math:`F=I+\nabla d`, in the plane.

    .. math:: d_t = v,\qquad \rho\,v_t = \nabla\cdot P + \rho\,b,\qquad P=\partial W/\partial F

    The unknowns are the displacement d and the velocity v of every point of the unstrained shape, which is the domain. On faces that are
    ``Free()`` there is no traction, :math:`P\,n=0`, which the principle of least action implies and the residual alone does not; ``Dirichlet(0.0)``
    clamps a face.

    Subclasses state :meth:`strains` e, from which comes the potential that a step minimises, and :meth:`stress` P, from which comes the
    residual; both by arithmetic and ``torch`` functions, so that they work on fields and tensors alike. :meth:`check` compares them.

    Parameters
    ----------
    density : :math:`\rho`, mass per area of the unstrained body (per volume of a slab in plane strain).
    load : b, force per mass, such as gravity ``(0.0, -9.81)``: two numbers, or a function of the coordinates that returns two components.

    Raises InputError for a density that is not positive, and loads without two components.
    """

    fields = ("dx", "dy", "vx", "vy")
    ndim = 2

    def __init__(self, density: Any, load: Load = (0.0, 0.0)) -> None:
        super().__init__()
        if not float(torch.as_tensor(density).detach().min()) > 0:
            raise InputError(f"{type(self).__name__}: density={density} given; it must be positive.")
        if not callable(load) and len(load) != 2:
            raise InputError(f"{type(self).__name__}: load={tuple(load)} has {len(load)} components; give two, along x and y.")
        self.density = density
        self.load = load if callable(load) else tuple(load)

    @abstractmethod
    def strains(self, f: Matrix) -> tuple[Any, ...]:
        r"""The :math:`e_k` of F, in units of the square root of an energy density."""

    @abstractmethod
    def stress(self, f: Matrix) -> Matrix:
        r"""The first Piola-Kirchhoff stress :math:`P_{ij}=\partial W/\partial F_{ij}`."""

    @final
    def accelerations(self, *x: Any) -> tuple[Any, Any]:
        """b at coordinates."""
        found = self.load(*x) if callable(self.load) else self.load
        return found[0], found[1]

    @final
    def forces(self, u: Any, d: Derivatives) -> tuple[Any, Any]:
        r""":math:`\nabla\cdot P+\rho\,b` of a field (dx, dy, vx, vy)."""
        (xx, xy), (yx, yy) = (d.grad(component) for component in d.split(u)[:2])
        f = _rows(d.split(d.define("F", d.stack(1.0 + xx, xy, yx, 1.0 + yy))))
        p = self.stress(f)
        load = self.accelerations(*d.coordinates())
        stress = _rows(d.split(d.define("P", d.stack(*p[0], *p[1]))))
        one, two = (d.div(row) + self.density * b if _given(b) else d.div(row) for row, b in zip(stress, load, strict=True))
        return one, two

    @final
    def residual(self, u: Any, d: Derivatives) -> Any:
        r""":math:`d_t-v` and :math:`\rho v_t-\nabla\cdot P-\rho b`; a tensor for a tensor, a field for a field."""
        field = d.field(u) if isinstance(u, Tensor) else u
        parts = d.split(field)
        kinematic = [d.t(place) - speed for place, speed in zip(parts[:2], parts[2:], strict=True)]
        dynamic = [self.density * d.t(speed) - force for speed, force in zip(parts[2:], self.forces(field, d), strict=True)]
        result = d.stack(*kinematic, *dynamic)
        return d.values(result) if isinstance(u, Tensor) else result

    @final
    def energy_density(self, f: Tensor) -> Tensor:
        """W at deformation gradients ``(..., 2, 2)``, ``(...)``."""
        return self.strains_of(f).square().sum(-1) / 2

    @final
    def strains_of(self, f: Tensor) -> Tensor:
        """e at deformation gradients ``(..., 2, 2)``, ``(..., k)``."""
        return torch.stack(self.strains(rows_of(f)), -1)

    @final
    def stress_of(self, f: Tensor) -> Tensor:
        """P at deformation gradients ``(..., 2, 2)``, ``(..., 2, 2)``."""
        return torch.stack([torch.stack(row, -1) for row in self.stress(rows_of(f))], -2)

    @final
    def energy(self, x: Tensor, parts: Tensor, d: Tensor, v: Tensor, gradient: Tensor) -> Energy:
        r"""The means of :math:`\tfrac12\rho|v|^2`, W and :math:`-\rho\,b\cdot d`.

        From points ``(n, 2)`` with their parts in a mean ``(n,)``, displacements and velocities there ``(n, 2)``, and displacement gradients
        ``(n, 2, 2)``.
        """
        density = float(self.density)
        f = torch.eye(2, dtype=gradient.dtype) + gradient
        terms = (density / 2 * v.square().sum(1), self.energy_density(f), -density * (self.load_at(x) * d).sum(1))
        return Energy(*(float((term * parts).sum()) for term in terms))

    @final
    def load_at(self, x: Tensor) -> Tensor:
        """b at points ``(n, 2)``, ``(n, 2)``."""
        return torch.stack([torch.as_tensor(b, dtype=x.dtype).expand(len(x)) for b in self.accelerations(*x.unbind(1))], 1)

    @final
    @torch.no_grad()
    def check(self, who: str) -> None:
        """Raise InputError unless the stress is the energy's derivative and vanishes with the strains for every rotation."""
        generator = torch.Generator().manual_seed(0)
        f = torch.eye(2, dtype=torch.float64) + 0.3 * torch.randn((16, 2, 2), generator=generator, dtype=torch.float64)
        found, wanted = self.stress_of(f), torch.func.vmap(torch.func.grad(self.energy_density))(f)
        if not float((found - wanted).norm()) <= 1e-8 * float(wanted.norm()):
            raise InputError(f"{who}: the stress of {type(self).__name__} is not the derivative of half the sum of its squared strains; correct one.")
        angle = torch.linspace(0.0, 6.0, 7, dtype=torch.float64)
        c, s = angle.cos(), angle.sin()
        turned = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)
        if not float(self.strains_of(turned).norm()) <= 1e-8 * float(self.strains_of(f).norm()):
            raise InputError(f"{who}: the strains of {type(self).__name__} do not vanish when the body is only turned, as they must.")

    def latex(self) -> str:
        return residual_latex(self)


def rows_of(f: Tensor) -> Matrix:
    """The entries of matrices ``(..., 2, 2)``."""
    return (f[..., 0, 0], f[..., 0, 1]), (f[..., 1, 0], f[..., 1, 1])


def check_body(problem: Problem, who: str) -> None:
    """Raise UnsupportedError for faces that a body cannot have."""
    for pair in problem.domain.boundaries:
        for face in pair:
            if not (isinstance(face, Periodic | Free) or (isinstance(face, Dirichlet) and not callable(face.value) and face.value == 0)):
                raise UnsupportedError(
                    f"{who}: {problem.name} has a face with {face}; the faces of a body are Periodic(), Dirichlet(0.0) (clamped) or Free()."
                )


def _rows(entries: Sequence[Any]) -> Matrix:
    return (entries[0], entries[1]), (entries[2], entries[3])


def _given(load: Any) -> bool:
    """False for a plain zero, so that absent terms cost nothing and are not printed."""
    return not isinstance(load, int | float) or load != 0


__all__ = ["ElasticBody", "Energy", "Load", "Matrix", "check_body"]
