"""An incompressible flow given by two networks of the coordinates: its velocity, which goes through no wall, and its pressure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sciml.core.derivatives import AXES
from sciml.core.domain import Periodic, Slip
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.field import Field
from sciml.core.incompressible import IncompressibleFlow
from sciml.core.problem import Problem
from sciml.surrogates.inr.forces import check_walls, needs_of, stacked
from sciml.surrogates.inr.representation import Representation
from sciml.surrogates.pinn.boundary import Axis, ClosedAxis, FreeAxis, PeriodicAxis
from sciml.surrogates.pinn.fixed import rows_of_fields
from sciml.surrogates.pinn.jets import Jets
from sciml.surrogates.pinn.networks import PointNetwork, make_network
from sciml.surrogates.pinn.posed import check_posed
from sciml.surrogates.pinn.sampling import Sampler, Sobol
from sciml.surrogates.pinn.series import Index, Series, Table

LATTICE = 24
"""Points per axis over which the pressure has the mean zero."""


class Tables(NamedTuple):
    """The derivatives in use, of the velocity's network and of the pressure's."""

    velocity: Table
    pressure: Table


class Flow(NamedTuple):
    """An engine with the velocity, one field per axis, and the pressure."""

    d: Jets
    velocity: tuple[Field, ...]
    pressure: Field


class WalledAxis(Axis):
    r"""Between walls: the coordinate, or two without slope there, and :math:`\cos h\pi\xi`, :math:`h=1,\dots,H-1`."""

    def __init__(self, lower: float, length: float, harmonics: int, even: bool) -> None:
        super().__init__(lower, length)
        self.harmonics, self.plain = harmonics, ClosedAxis(lower, length) if even else FreeAxis(lower, length)

    def features(self, x: Tensor) -> list[Tensor]:
        angle = math.pi * self.unit(x)
        return [*self.plain.features(x), *(torch.cos(h * angle) for h in range(1, self.harmonics))]


class FlowField(Representation):
    r"""Velocity and pressure that meet their conditions for any weights: :math:`u_i = B_i(x_i)\,N_i(x)`, :math:`p = M(x)`.

    On axes with walls the factor :math:`B_i` vanishes at both, so that nothing passes through, and M reads coordinates without slope there, so that
    :math:`\partial_np=0`: what the momentum along the normal of a flat wall leaves where no force pushes against it. Periodic axes enter as
    waves. A flow whose forces have second derivatives exerts no shear stress on the walls either: then N reads coordinates without slope too, and
    :math:`B_i=\sin\pi\xi_i`. An inviscid one may slide along walls at any shear: N reads :math:`\xi`, :math:`B_i=4\xi_i(1-\xi_i)`.
    With more ``harmonics`` the networks read cosines between walls too.

    Parameters
    ----------
    problem : with an :class:`IncompressibleFlow`, each axis periodic or between two :class:`Slip` faces.
    width, depth, network, activation, adaptive, fourier, frequency, harmonics : of both networks, as for :class:`sciml.PINN`.
    dtype : of the weights.

    Raises
    ------
    InputError : a dtype other than float32 and float64; a domain with more or fewer axes than the velocity has components.
    UnsupportedError : other boundary conditions, a force through a wall, forces that series do not know.
    """

    velocity: PointNetwork
    pressure: PointNetwork
    usual = "splitting"

    def __init__(self, problem: Problem, *, network: str, harmonics: int, dtype: torch.dtype, who: str, **options: Any) -> None:
        super().__init__()
        flow, domain = problem.equation, problem.domain
        assert isinstance(flow, IncompressibleFlow)  # by represent
        if len(flow.fields) != domain.ndim + 1:
            raise InputError(
                f"{who}: {problem.name} has the unknowns {flow.fields} on {domain.ndim} axes; one velocity per axis, and the pressure, are needed."
            )
        for axis, pair in zip(AXES, domain.boundaries, strict=False):
            if not all(isinstance(face, Periodic) for face in pair) and not all(isinstance(face, Slip) for face in pair):
                raise UnsupportedError(
                    f"{who}: {problem.name} has the boundaries {pair} along {axis}; a flow is stepped between Slip() walls or on Periodic() axes. "
                    "Use sciml.PINN for other conditions."
                )
        if dtype not in (torch.float32, torch.float64):
            raise InputError(f"{who}: dtype={dtype} given; torch.float64 or torch.float32 is needed.")
        self.problem, self.ndim, self.channels = problem, domain.ndim, domain.ndim + 1
        self.walls = tuple(isinstance(pair[0], Slip) for pair in domain.boundaries)
        self.forced, asked = needs_of(problem, who)
        self.stressed = any(sum(index) > 1 for index in asked)
        self.axes, self.closed = (self._axes(harmonics, even) for even in (self.stressed, True))
        self.velocity = make_network(network, self._inputs(self.axes), self.ndim, who=who, **options)
        self.pressure = make_network(network, self._inputs(self.closed), 1, who=who, **options)
        self.to(dtype)
        value, first, second = ([tuple(n * (i == axis) for i in range(1 + self.ndim)) for axis in range(1, 1 + self.ndim)] for n in (0, 1, 2))
        moving = Table([*asked, *first])
        self.short, self.moving, self.full = (
            Tables(Table(value), Table(value)),
            Tables(moving, Table(first)),
            Tables(moving, Table([*first, *second])),
        )
        check_walls(self.force, problem, dtype, who)

    @property
    def flow(self) -> IncompressibleFlow:
        """The problem's equation, with its coefficients as they are now."""
        assert isinstance(self.problem.equation, IncompressibleFlow)  # by the constructor
        return self.problem.equation

    def check(self, who: str) -> None:
        check_posed(self.problem, self.flow, None, 0.0, self.problem.horizon, who=who)

    def given(self) -> tuple[dict[str, torch.nn.Parameter], int]:
        return self.part("velocity"), self.ndim

    def points(self, size: int) -> Sampler:
        return Sobol(max(64, 4 * max(sum(p.numel() for p in self.part(name).values()) for name in ("velocity", "pressure"))))

    def part(self, name: str) -> dict[str, torch.nn.Parameter]:
        """The weights of "velocity" or "pressure", by name."""
        return {key: p for key, p in self.named_parameters() if key.startswith(f"{name}.")}

    # -- rows -----------------------------------------------------------------------------------------------------------

    def prepared(self, x: Tensor, *, rates: bool = True) -> Tensor:
        tables = self.full if rates else self.short
        z = torch.cat([torch.zeros_like(x[:, :1]), x], 1)
        with torch.no_grad():
            return torch.cat([z, *(part.movedim(0, 1).flatten(1) for part in self._features(z, tables))], 1)

    def lattice(self) -> Tensor:
        """Short rows of points whose mean is that over the domain: to rounding for what is periodic, and nearly so for what has no slope at walls."""
        unit = (torch.arange(LATTICE, dtype=torch.float64) + 0.5) / LATTICE
        lines = [low + length * unit for low, length in zip(self.problem.domain.lower, self.problem.domain.lengths, strict=True)]
        x = torch.stack(torch.meshgrid(*lines, indexing="ij"), -1).flatten(0, -2)
        return self.prepared(x.to(self.velocity.last.weight.dtype), rates=False)

    def where(self, row: Tensor) -> Tensor:
        """The points ``(n, ndim)`` of rows."""
        return row[..., 1 : 1 + self.ndim]

    def values(self, row: Tensor) -> Tensor:
        d, velocity, pressure = self._of_row(row, self.short)
        return d.values(d.stack(*velocity, pressure))

    def state_and_rate(self, row: Tensor, time: float, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The fields, and u_t with 0 in the place of the pressure's rate, which no equation states."""
        flow = self._of_row(row, self.full, time)
        rate = stacked(flow.d, self._total(flow))
        return flow.d.values(flow.d.stack(*flow.velocity, flow.pressure)), torch.cat([rate, torch.zeros_like(rate[..., :1])], -1)

    def velocity_and_force(self, row: Tensor, time: float) -> tuple[Tensor, Tensor]:
        """u and F(u) at full rows, each ``(..., ndim)``."""
        flow = self._of_row(row, self.full, time)
        return stacked(flow.d, flow.velocity), stacked(flow.d, self._force(flow))

    def slopes(self, row: Tensor) -> tuple[Tensor, Tensor]:
        r""":math:`\nabla p` ``(..., ndim)`` and :math:`\Delta p` ``(..., 1)`` at full rows."""
        flow = self._of_row(row, self.full)
        return stacked(flow.d, flow.d.grad(flow.pressure)), flow.d.values(flow.d.laplacian(flow.pressure))

    def gradient(self, row: Tensor) -> Tensor:
        r""":math:`\partial_ju_i` at full rows, ``(..., i, j)``; its trace is the divergence."""
        flow = self._of_row(row, self.full)
        return torch.stack([stacked(flow.d, flow.d.grad(component)) for component in flow.velocity], -2)

    # -- anywhere, to be differentiated by the place --------------------------------------------------------------------

    def motion(self, x: Tensor, time: float) -> tuple[Tensor, Tensor, Tensor]:
        r"""u, :math:`F-\nabla p` and :math:`u\cdot\nabla u` at points ``(n, ndim)``, each ``(n, ndim)``."""
        flow = self._anywhere(x, time)
        advected = [flow.d.advect(flow.velocity, component) for component in flow.velocity]
        pushed = [_less(force, slope) for force, slope in zip(self._force(flow), flow.d.grad(flow.pressure), strict=True)]
        return stacked(flow.d, flow.velocity), stacked(flow.d, pushed), stacked(flow.d, advected)

    def force(self, x: Tensor, time: float) -> Tensor:
        """F(u) at points ``(n, ndim)``."""
        flow = self._anywhere(x, time)
        return stacked(flow.d, self._force(flow))

    def inside(self, x: Tensor) -> Tensor:
        """Points brought back into the domain: round a torus, onto the nearest wall."""
        domain, columns = self.problem.domain, []
        for i, (low, high, wall) in enumerate(zip(domain.lower, domain.upper, self.walls, strict=True)):
            c = x[..., i]
            columns.append(c.clamp(low, high) if wall else c - (high - low) * torch.floor((c - low) / (high - low)))
        return torch.stack(columns, -1)

    # -- parts ----------------------------------------------------------------------------------------------------------

    def _total(self, flow: Flow) -> list[Any]:
        """u_t."""
        parts = zip(flow.velocity, self._force(flow), flow.d.grad(flow.pressure), strict=True)
        return [_less(force, slope + flow.d.advect(flow.velocity, component)) for component, force, slope in parts]

    def _force(self, flow: Flow) -> list[Any]:
        return list(self.flow.forces(flow.velocity, flow.d))

    def _of_row(self, row: Tensor, tables: Tables, time: float = 0.0) -> Flow:
        z, rest = row[..., : 1 + self.ndim], row[..., 1 + self.ndim :]
        sizes = [len(table) * self._width(net) for table, net in zip(tables, (self.velocity, self.pressure), strict=True)]
        features = [part.unflatten(-1, (len(table), -1)).movedim(-2, 0) for part, table in zip(rest.split(sizes, -1), tables, strict=True)]
        return self._flow(torch.cat([torch.full_like(z[..., :1], time), z[..., 1:]], -1), tables, features)

    def _anywhere(self, x: Tensor, time: float) -> Flow:
        z = torch.cat([torch.full_like(x[:, :1], time), x], 1)
        return self._flow(z, self.moving, self._features(z, self.moving))

    def _flow(self, z: Tensor, tables: Tables, features: Sequence[Tensor]) -> Flow:
        parts = zip((self.velocity, self.pressure), features, tables, strict=True)
        velocity, pressure = (_Coefficients(net, Series(f, table)) for net, f, table in parts)
        return self._made(Jets(z), velocity, pressure)

    def _made(self, d: Jets, velocity: Callable[[Index], Tensor], pressure: Callable[[Index], Tensor]) -> Flow:
        components = d.split(d.unknown(velocity))
        bounded = [self._closing(i, d.space[i]) * c if self.walls[i] else c for i, c in enumerate(components)]
        return Flow(d, tuple(bounded), d.unknown(pressure))

    def _closing(self, axis: int, x: Any) -> Any:
        """What vanishes at both walls of an axis."""
        domain = self.problem.domain
        xi = (x - domain.lower[axis]) * (1 / domain.lengths[axis])
        return torch.sin(math.pi * xi) if self.stressed else 4 * xi * (1 - xi)

    def _features(self, z: Tensor, tables: Tables) -> list[Tensor]:
        """The embedded features of both networks, each ``(len(table), n, features)``."""
        d, found = Jets(z), []
        columns: Sequence[Any] = d.space  # axes are written for tensors, but arithmetic works on fields too
        for net, axes, table in zip((self.velocity, self.pressure), (self.axes, self.closed), tables, strict=True):
            fields: list[Any] = [f for axis, x in zip(axes, columns, strict=True) for f in axis.features(x)]
            found.append(net.embedded(Series(rows_of_fields(d, fields, table, z).movedim(1, 0), table)).c)
        return found

    def _axes(self, harmonics: int, even: bool) -> list[Axis]:
        domain = self.problem.domain
        return [
            WalledAxis(low, length, harmonics, even) if wall else PeriodicAxis(low, length, harmonics)
            for low, length, wall in zip(domain.lower, domain.lengths, self.walls, strict=True)
        ]

    def _inputs(self, axes: Sequence[Axis]) -> int:
        return sum(len(axis.features(torch.zeros(1))) for axis in axes)

    def _width(self, net: PointNetwork) -> int:
        return net.embedding(torch.zeros(1, self._inputs(self.axes if net is self.velocity else self.closed))).shape[-1]


def _less(force: Any, slope: Any) -> Any:
    """A force less a slope."""
    return -slope if force is None else force - slope


class _Coefficients:
    """The Taylor coefficients of a network's values, computed together when the first is asked for."""

    def __init__(self, network: PointNetwork, features: Series) -> None:
        self.network, self.features = network, features
        self.found: Tensor | None = None

    def __call__(self, index: Index) -> Tensor:
        if self.found is None:
            self.found = self.network.series(self.features).c
        return self.found[self.features.table.place[index]]
