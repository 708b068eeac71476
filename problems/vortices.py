r"""Vortices in a box and on a torus: flows by velocity and pressure between free-slip walls, and the merging of two vortices."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sciml.core.domain import Domain, Periodic, Slip
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.grid import Grid
from sciml.core.problem import Problem, Profile, RandomLaw
from sciml.derivatives.fourier import Fourier
from sciml.solvers.solve import solve
from sciml.spectral.resample import evaluate

from .navier_stokes import VelocityPressure, Vorticity, velocity

Component = Callable[[Tensor, Tensor], Tensor]
"""Coordinates to values."""
Rewritten = Problem
"""A problem made from another one, which is no case of the catalogue."""
BOX = Domain.box((-1.0, -1.0), (1.0, 1.0), Slip())


# -- cases ---------------------------------------------------------------------------------------------------------------


def cell(t: Any, x: Tensor, y: Tensor, viscosity: Any) -> Tensor:
    r"""The exact flow (u, v, p) of :func:`taylor_green`, ``(3, ...)``."""
    a, b = math.pi * (x + 1), math.pi * (y + 1)
    decay = torch.exp(torch.as_tensor(-2 * math.pi**2 * viscosity * t, dtype=x.dtype, device=x.device)) / math.pi
    u, v = decay * torch.sin(a) * torch.cos(b), -decay * torch.cos(a) * torch.sin(b)
    return torch.stack([u, v, decay**2 * (torch.cos(2 * a) + torch.cos(2 * b)) / 4])


def taylor_green(viscosity: float = 0.0) -> Problem:
    r"""Four vortices between walls, :math:`u=\tfrac1\pi(\sin a\cos b, -\cos a\sin b)`, :math:`a=\pi(x+1)`, :math:`b=\pi(y+1)`.

    Without viscosity the flow is steady, and what changes is error; with it the velocity decays as :math:`e^{-2\nu\pi^2t}`, and the walls exert no
    shear.
    """

    def exact(t: Any, x: Tensor, y: Tensor) -> Tensor:
        return cell(t, x, y, viscosity)

    return Problem(
        name="vortices:taylor_green",
        equation=VelocityPressure(viscosity),
        domain=BOX,
        initial=Profile(lambda x, y: exact(0.0, x, y)),
        horizon=5.0,
        points=(128, 128),
        dt=0.05,
        exact=exact,
        reference="H. Chen et al., ICML 2023, arXiv 2210.00124, section 5.2",
        parameters={"viscosity": viscosity},
    )


def chen2023(viscosity: float = 0.0, power: int = 3) -> Problem:
    r"""A vortex in the lower left quarter of the box, and one four times smaller in its upper right corner.

    On its square of side L a vortex has the streamfunction :math:`(L/\pi)^2(\sin\pi\xi\sin\pi\eta)^m`, :math:`\xi,\eta` from 0 to 1, and no
    velocity outside. The published state is m = 1 (``power``): its velocity jumps on the inner edges of the squares, which smooth representations
    and spectral solvers cannot hold. With m = 3, the default here, velocity and vorticity are continuous. Four times smaller is read as a quarter
    of the side and of the velocity: the two have the same vorticity.
    """
    if isinstance(power, bool) or not isinstance(power, int) or power < 1:
        raise InputError(f"vortices:chen2023: power={power!r} given; a whole number of at least 1 is needed.")

    def patch(x: Tensor, y: Tensor, corner: float, side: float) -> Tensor:
        xi, eta = math.pi * (x - corner) / side, math.pi * (y - corner) / side
        inside = ((xi - math.pi / 2).abs() < math.pi / 2) & ((eta - math.pi / 2).abs() < math.pi / 2)
        s, r = torch.sin(xi), torch.sin(eta)
        size = power * side / math.pi
        u = size * s**power * r ** (power - 1) * torch.cos(eta)
        v = -size * s ** (power - 1) * torch.cos(xi) * r**power
        return torch.where(inside, torch.stack([u, v, torch.zeros_like(u)]), 0.0)

    return Problem(
        name="vortices:chen2023",
        equation=VelocityPressure(viscosity),
        domain=BOX,
        initial=Profile(lambda x, y: patch(x, y, -1.0, 1.0) + patch(x, y, 0.75, 0.25)),
        horizon=5.0,
        points=(128, 128),
        dt=0.05,
        reference="H. Chen et al., ICML 2023, arXiv 2210.00124, section 5.2",
        parameters={"viscosity": viscosity, "power": power},
    )


def merging(reynolds: float = 1000.0, core: float = 0.3) -> Problem:
    r"""Two equal Gaussian vortices that turn about each other and become one, on the torus :math:`[0,2\pi)^2`.

    Each has the vorticity :math:`\frac\Gamma{\pi a^2}e^{-r^2/a^2}` with :math:`\Gamma=2\pi`; their distance is :math:`b=\pi/2`, a quarter of the
    box, ``core`` is a/b and ``reynolds`` :math:`\Gamma/\nu`. The mean vorticity, which a torus cannot have, is taken off. Alone in the plane the
    pair turns once in :math:`2\pi^2b^2/\Gamma=7.75`; viscosity widens the cores as :math:`a^2+4\nu t`, and beyond a/b of about 0.22 they merge.
    The default is beyond: one maximum is left from t = 6 on. With a smaller ``core`` the vortices wait for viscosity.
    """
    circulation, distance = 2 * math.pi, math.pi / 2
    if not (0 < core < 0.5 and reynolds > 0):
        raise InputError(f"vortices:merging: core={core}, reynolds={reynolds} given; 0 < core < 0.5 and a positive Reynolds number are needed.")
    radius = core * distance
    mean = 2 * circulation / (2 * math.pi) ** 2

    def initial(x: Tensor, y: Tensor) -> Tensor:
        total = torch.full_like(x, -mean)
        for centre in (math.pi - distance / 2, math.pi + distance / 2):
            for i in (-1, 0, 1):  # the images in the neighbouring boxes
                for j in (-1, 0, 1):
                    square = (x - centre - 2 * math.pi * i) ** 2 + (y - math.pi - 2 * math.pi * j) ** 2
                    total = total + circulation / (math.pi * radius**2) * torch.exp(-square / radius**2)
        return total

    return Problem(
        name="vortices:merging",
        equation=Vorticity(circulation / reynolds),
        domain=Domain.periodic((2 * math.pi, 2 * math.pi)),
        initial=Profile(initial),
        horizon=10.0,
        points=(128, 128),
        dt=0.01,
        reference="S. Le Dizes & A. Verga, J. Fluid Mech. 467 (2002) 389; L. K. Brandt & K. K. Nomura, J. Fluid Mech. 592 (2007) 413",
        parameters={"reynolds": reynolds, "core": core},
    )


# -- flows by velocity and pressure, solved on a torus -----------------------------------------------------------------------


def on_torus(problem: Problem) -> Rewritten:
    r"""The same flow by its vorticity on a torus, for spectral solvers: a box with :class:`Slip` walls is a part of one of twice the size.

    Beyond a wall the flow is its own mirror image: the component along the normal odd, the other even, the vorticity odd. It is as smooth there as
    the vorticity vanishes at walls.

    Raises UnsupportedError for other equations than :class:`VelocityPressure`, for other faces than Periodic and Slip, and for forcings or random
    states.
    """
    flow, domain = problem.equation, problem.domain
    faces = [face for pair in domain.boundaries for face in pair]
    if not isinstance(flow, VelocityPressure) or not all(isinstance(face, Periodic | Slip) for face in faces) or domain.ndim != 2:
        raise UnsupportedError(f"on_torus: {problem.name} is no VelocityPressure on two Periodic() axes or between Slip() walls.")
    if flow.forcing is not None or not isinstance(problem.initial, Profile):
        raise UnsupportedError(f"on_torus: {problem.name} has a forcing, or an initial state that is no Profile; write its vorticity form.")
    profile = problem.initial.function

    def component(axis: int) -> Component:
        def mirrored(x: Tensor, y: Tensor) -> Tensor:
            inside, sign = zip(*(_folded(c, domain, i) for i, c in enumerate((x, y))), strict=True)
            return profile(*inside)[axis] * sign[axis]

        return mirrored

    def vorticity(x: Tensor, y: Tensor) -> Tensor:
        place = (x.contiguous(), y.contiguous())
        one, none = torch.ones_like(place[0]), torch.zeros_like(place[0])
        across: Tensor = torch.func.jvp(component(1), place, (one, none))[1]
        along: Tensor = torch.func.jvp(component(0), place, (none, one))[1]
        return across - along

    lengths = tuple(length * (2 if isinstance(pair[0], Slip) else 1) for length, pair in zip(domain.lengths, domain.boundaries, strict=True))
    torus = Domain.periodic(lengths, domain.lower)
    x, y = torus.grid(64).points()
    mean = tuple(float(component(axis)(x, y).mean()) if isinstance(domain.boundaries[axis][0], Periodic) else 0.0 for axis in (0, 1))
    return Problem(
        name=f"{problem.name}, vorticity",
        equation=Vorticity(flow.viscosity, drag=flow.drag, mean_flow=mean),
        domain=torus,
        initial=Profile(vorticity),
        horizon=problem.horizon,
        points=tuple(n * (2 if isinstance(pair[0], Slip) else 1) for n, pair in zip(problem.points, domain.boundaries, strict=True)),
        dt=problem.dt,
        reference=problem.reference,
        parameters=problem.parameters,
    )


def by_velocity(problem: Problem) -> Rewritten:
    """The flow of a :class:`Vorticity` problem on a torus by velocity and pressure, its mean flow among them: what networks step by splitting.

    Raises UnsupportedError for other equations, and for vorticities with a forcing or hyperviscosity.
    """
    equation = problem.equation
    if not isinstance(equation, Vorticity) or equation.forcing is not None or equation.hyperviscosity != 0:
        raise UnsupportedError(f"by_velocity: {problem.name} is no Vorticity without forcing and hyperviscosity, and only that is rewritten.")
    mean_flow = equation.mean_flow

    def sample(grid: Grid, generator: torch.Generator) -> Tensor:
        u = velocity(problem.initial_state(grid, generator), grid) + torch.tensor(mean_flow, dtype=grid.dtype, device=grid.device)[:, None, None]
        return torch.cat([u, pressure_of(u, grid)])

    return replace(
        problem,
        name=f"{problem.name}, velocity",
        equation=VelocityPressure(equation.viscosity, equation.drag),
        initial=RandomLaw(sample),
        exact=None,
        scores={},
    )


def reference_flow(problem: Problem, grid: Grid, times: Sequence[float], *, points: int = 128, dt: float | None = None) -> Tensor:
    """Velocity and pressure on ``grid`` by a spectral solution of :func:`on_torus`, ``(time, 3, *grid.shape)``; the pressure has the mean zero.

    ``points`` are those of the box along each axis, ``times`` as for :func:`sciml.solve`; ``dt`` is chosen by the solver unless given.
    """
    unfolded = on_torus(problem)
    shape = tuple(round(points * n / m) for n, m in zip(unfolded.points, problem.points, strict=True))
    found = torch.from_numpy(solve(unfolded, points=shape, times=list(times), dt=dt)["w"].values)[:, None]
    torus, equation = unfolded.grid(shape), unfolded.equation
    assert isinstance(equation, Vorticity)
    moving = torch.tensor(equation.mean_flow, dtype=found.dtype)[:, None, None]
    scattered = [c.flatten() for c in grid.points()]
    states = []
    for w in found:
        u = velocity(w, torus) + moving
        states.append(evaluate(torch.cat([u, pressure_of(u, torus)]), torus, scattered).unflatten(-1, grid.shape))
    return torch.stack(states)


def pressure_of(u: Tensor, grid: Grid) -> Tensor:
    r"""p of a velocity ``(2, x, y)`` on a torus without forces, ``(1, x, y)``: :math:`\Delta p=-\nabla\cdot(u\cdot\nabla u)`, of mean zero."""
    d = Fourier(grid)
    parts = tuple(d.field(c[None]) for c in u)
    return d.values(d.inverse_laplacian(-d.div([d.advect(parts, c) for c in parts])))


def _folded(x: Tensor, domain: Domain, axis: int) -> tuple[Tensor, Tensor]:
    """A coordinate brought back into the domain, and the sign that a mirror gives to what points along the axis."""
    low, length = domain.lower[axis], domain.lengths[axis]
    if isinstance(domain.boundaries[axis][0], Periodic):
        return low + torch.remainder(x - low, length), torch.ones_like(x)
    r = torch.remainder(x - low, 2 * length)
    return low + torch.where(r > length, 2 * length - r, r), torch.where(r > length, -1.0, 1.0).to(x.dtype)
