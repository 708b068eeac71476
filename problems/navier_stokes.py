r"""Two-dimensional incompressible flow: vorticity form, velocity-pressure residual, diagnostics and published cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sciml.core.derivatives import Derivatives
from sciml.core.domain import Domain
from sciml.core.equation import Equation
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.incompressible import IncompressibleFlow
from sciml.core.problem import Problem, Profile, RandomLaw
from sciml.derivatives.fourier import Fourier
from sciml.spectral.random_fields import GaussianRandomField, coloured_noise

Forcing = Callable[[Any, Any], Any]
"""Of the coordinates x and y: the curl of the body force for the vorticity form, the pair of its components for the other."""


class Vorticity(Equation):
    r""":math:`w_t = -(U+u)\cdot\nabla w + \nu\Delta w - \nu_4\Delta^2w - \mu w + g(x,y)`, with
    :math:`\Delta\psi=w`, :math:`u=(-\psi_y,\psi_x)`.

    One right-hand side costs 5 transforms: two velocities, two slopes and their product's way back.

    Parameters
    ----------
    viscosity : :math:`\nu`.
    drag : :math:`\mu`, linear friction.
    hyperviscosity : :math:`\nu_4`.
    mean_flow : (U, V), uniform, added to the velocity of the vorticity.
    forcing : g, the curl of the body force, a function of the coordinates; None for none.
    """

    fields = ("w",)
    ndim = 2

    def __init__(
        self,
        viscosity: Any,
        drag: Any = 0.0,
        hyperviscosity: Any = 0.0,
        mean_flow: Sequence[Any] = (0.0, 0.0),
        forcing: Forcing | None = None,
    ) -> None:
        super().__init__()
        if len(mean_flow) != 2:
            raise InputError(f"Vorticity: mean_flow={tuple(mean_flow)} has {len(mean_flow)} components; give two, along x and y.")
        self.viscosity = viscosity
        self.drag = drag
        self.hyperviscosity = hyperviscosity
        self.mean_flow = tuple(mean_flow)
        self.forcing = forcing

    def linear(self, u: Any, d: Derivatives) -> Any:
        total = self.viscosity * d.laplacian(u)
        if _given(self.drag):
            total = total - self.drag * u
        if _given(self.hyperviscosity):
            total = total - self.hyperviscosity * d.laplacian(u, 2)
        if any(map(_given, self.mean_flow)):
            total = total - d.advect(self.mean_flow, u)
        return total

    def nonlinear(self, u: Any, d: Derivatives) -> Any:
        total = -d.advect(velocity_of(u, d), u)
        return total if self.forcing is None else total + self.forcing(*d.coordinates())


class VelocityPressure(IncompressibleFlow):
    r"""The residual of :math:`u_t + u\cdot\nabla u = -\nabla p + \nu\Delta u - \mu u + f`, :math:`\nabla\cdot u = 0`.

    Three channels (momentum along x, along y, divergence) for the unknowns (u, v, p): what networks are trained on, and carried by.
    The curl of the momentum rows is the residual of :class:`Vorticity` where the divergence vanishes. A mean flow is part
    of (u, v) here.

    Parameters
    ----------
    viscosity, drag : :math:`\nu`, :math:`\mu`.
    forcing : f, a function of the coordinates that returns both components; None for none.
    """

    def __init__(self, viscosity: Any, drag: Any = 0.0, forcing: Forcing | None = None) -> None:
        super().__init__()
        self.viscosity = viscosity
        self.drag = drag
        self.forcing = forcing

    def forces(self, velocity: tuple[Any, ...], d: Derivatives) -> Sequence[Any]:
        body = (None, None) if self.forcing is None else self.forcing(*d.coordinates())
        return [self._force(component, f, d) for component, f in zip(velocity, body, strict=True)]

    def _force(self, component: Any, body: Any, d: Derivatives) -> Any:
        total = body
        if _given(self.viscosity):
            friction = self.viscosity * d.laplacian(component)
            total = friction if total is None else total + friction
        if _given(self.drag):
            total = -self.drag * component if total is None else total - self.drag * component
        return total


def velocity_of(w: Any, d: Derivatives) -> tuple[Any, Any]:
    r"""The velocity :math:`(-\psi_y,\psi_x)`, :math:`\Delta\psi=w`, of a vorticity field."""
    psi = d.define("psi", d.inverse_laplacian(w))
    return -d.y(psi), d.x(psi)


# -- diagnostics: per unit area, shape (*batch,), of states (*batch, 1, x, y) on a periodic grid ------------------------


def velocity(w: Tensor, grid: Grid) -> Tensor:
    """The velocity ``(*batch, 2, x, y)`` of a vorticity ``(*batch, 1, x, y)``, mean flow not included."""
    d = Fourier(grid)
    return d.values(d.stack(*velocity_of(d.field(w), d)))


def energy(w: Tensor, grid: Grid) -> Tensor:
    r"""Kinetic energy :math:`E=\tfrac12\langle|u|^2\rangle` of the flow without its mean."""
    return velocity(w, grid).pow(2).sum(-3).mean((-2, -1)) / 2


def enstrophy(w: Tensor) -> Tensor:
    r""":math:`Z=\tfrac12\langle w^2\rangle`."""
    return w.pow(2).sum(-3).mean((-2, -1)) / 2


def palinstrophy(w: Tensor, grid: Grid) -> Tensor:
    r""":math:`P=\tfrac12\langle|\nabla w|^2\rangle`."""
    d = Fourier(grid)
    return d.values(d.stack(*d.grad(d.field(w)))).pow(2).sum(-3).mean((-2, -1)) / 2


def dissipation(w: Tensor, viscosity: Any) -> Tensor:
    r""":math:`D=2\nu Z`, the energy lost to viscosity: :math:`dE/dt = \langle u\cdot f\rangle - D` without drag."""
    return 2 * viscosity * enstrophy(w)


# -- cases -------------------------------------------------------------------------------------------------------------


def taylor_green_vorticity(t: Any, x: Tensor, y: Tensor, viscosity: Any, k: float = 1.0, mean_flow: Sequence[float] = (0.0, 0.0)) -> Tensor:
    r""":math:`w = 2k\cos k(x-Ut)\cos k(y-Vt)\,e^{-2\nu k^2t}`, exact at any Reynolds number."""
    decay = torch.exp(torch.as_tensor(-2 * k**2 * viscosity * t, dtype=x.dtype, device=x.device))
    return 2 * k * decay * torch.cos(k * (x - mean_flow[0] * t)) * torch.cos(k * (y - mean_flow[1] * t))


def taylor_green_flow(
    t: Any, x: Tensor, y: Tensor, viscosity: Any, k: float = 1.0, mean_flow: Sequence[float] = (0.0, 0.0)
) -> tuple[Tensor, Tensor, Tensor]:
    """Velocity and pressure (u, v, p) of :func:`taylor_green_vorticity`, the mean flow included in (u, v)."""
    decay = torch.exp(torch.as_tensor(-2 * k**2 * viscosity * t, dtype=x.dtype, device=x.device))
    a, b = k * (x - mean_flow[0] * t), k * (y - mean_flow[1] * t)
    u = mean_flow[0] - decay * torch.cos(a) * torch.sin(b)
    v = mean_flow[1] + decay * torch.sin(a) * torch.cos(b)
    return u, v, -(decay**2) * (torch.cos(2 * a) + torch.cos(2 * b)) / 4


def taylor_green(viscosity: float = 0.01, mean_flow: tuple[float, float] = (1.0, 0.5)) -> Problem:
    """Decaying vortices carried by a uniform flow, without which advection would not act at all."""

    def exact(t: Any, x: Tensor, y: Tensor) -> Tensor:
        return taylor_green_vorticity(t, x, y, viscosity, 1.0, mean_flow)

    return Problem(
        name="navier_stokes:taylor_green",
        equation=Vorticity(viscosity, mean_flow=mean_flow),
        domain=Domain.periodic((2 * math.pi, 2 * math.pi)),
        initial=Profile(lambda x, y: exact(0.0, x, y)),
        horizon=5.0,
        points=(64, 64),
        dt=0.02,
        exact=exact,
        reference="G. I. Taylor & A. E. Green, Proc. R. Soc. A 158 (1937) 499",
        parameters={"viscosity": viscosity, "mean_flow": mean_flow},
    )


def li2021(viscosity: float = 1e-3) -> Problem:
    r"""The Navier-Stokes data of the Fourier neural operator: unit torus, :math:`g=0.1(\sin2\pi(x+y)+\cos2\pi(x+y))`.

    :math:`w_0\sim N(0, 7^3(-\Delta+49)^{-2.5})`, zero mean, unit variance per real mode (an early public generator drew
    twice that variance). Published horizons: 50, 30 and 20 for viscosities 1e-3, 1e-4 and 1e-5; published runs used 256 x 256
    points and a first-order step of 1e-4, fourth order allows the one below.
    """
    law = GaussianRandomField(sigma=7.0**1.5, tau=7.0, alpha=2.5)

    def forcing(x: Any, y: Any) -> Any:
        theta = 2 * math.pi * (x + y)
        return 0.1 * (torch.sin(theta) + torch.cos(theta))

    scores = {
        1e-3: {"FNO-3D": 0.0086, "FNO-2D": 0.0128, "U-Net": 0.0245, "TF-Net": 0.0225, "ResNet": 0.0701},
        1e-4: {"FNO-3D, 10000 samples": 0.0820, "FNO-2D, 10000 samples": 0.0973, "U-Net, 10000 samples": 0.1190},
        1e-5: {"FNO-3D": 0.1893, "FNO-2D": 0.1556, "U-Net": 0.1982, "TF-Net": 0.2268, "ResNet": 0.2753, "Transolver": 0.0900},
    }
    return Problem(
        name="navier_stokes:li2021",
        equation=Vorticity(viscosity, forcing=forcing),
        domain=Domain.periodic((1.0, 1.0)),
        initial=RandomLaw(law.sample),
        horizon={1e-3: 50.0, 1e-4: 30.0}.get(viscosity, 20.0),
        points=(256, 256),
        dt=5e-3,
        reference="Z. Li et al., ICLR 2021, arXiv 2010.08895, section 5.3",
        scores={method: {"relative_l2": value} for method, value in scores.get(viscosity, {}).items()},
        parameters={"viscosity": viscosity},
    )


def mcwilliams1984(viscosity: float = 1e-3) -> Problem:
    r"""Decaying turbulence from random phases with :math:`|\hat\psi_k|^2\propto[k(1+(k/6)^4)]^{-1}`, kinetic energy 0.5.

    The energy is that of the field as it is drawn, so that a coarse grid carries a little less. The original run used
    biharmonic friction (``hyperviscosity``); here it is Newtonian, as in the data sets made since.
    """

    def normalise(w: Tensor, grid: Grid) -> Tensor:
        return w * torch.sqrt(0.5 / energy(w.unsqueeze(0), grid))

    def amplitude(k: Tensor) -> Tensor:  # |w_k| = k^2 |psi_k|
        return torch.where(k > 0, k**1.5 / torch.sqrt(1 + (k / 6) ** 4), torch.zeros_like(k))

    def sample(grid: Grid, generator: torch.Generator) -> Tensor:
        return coloured_noise(amplitude, grid, generator, normalise=normalise)

    return Problem(
        name="navier_stokes:mcwilliams1984",
        equation=Vorticity(viscosity),
        domain=Domain.periodic((2 * math.pi, 2 * math.pi)),
        initial=RandomLaw(sample),
        horizon=40.0,
        points=(256, 256),
        dt=5e-3,
        reference="J. C. McWilliams, J. Fluid Mech. 146 (1984) 21",
        parameters={"viscosity": viscosity},
    )


def kolmogorov_laminar(x: Tensor, y: Tensor, reynolds: float = 40.0, wavenumber: int = 4) -> Tensor:
    r"""The vorticity :math:`-(\mathrm{Re}/n)\cos ny` of the steady flow :math:`u=(\mathrm{Re}/n^2)\sin ny`; input and
    dissipation are :math:`\mathrm{Re}/2n^2`, the energy :math:`\mathrm{Re}^2/4n^4`."""
    return -(reynolds / wavenumber) * torch.cos(wavenumber * y)


def kolmogorov(reynolds: float = 40.0, wavenumber: int = 4) -> Problem:
    r"""Flow driven by :math:`f=(\sin ny, 0)` with viscosity 1/Re and no drag; chaotic at Re 40, n 4.

    Initial states: random vorticity of the lowest wavenumbers with kinetic energy 0.5. The laminar flow
    (:func:`kolmogorov_laminar`) solves the equation exactly but is unstable to long waves.
    """

    def forcing(x: Any, y: Any) -> Any:
        return -wavenumber * torch.cos(wavenumber * y)

    def normalise(w: Tensor, grid: Grid) -> Tensor:
        return w * torch.sqrt(0.5 / energy(w.unsqueeze(0), grid))

    def sample(grid: Grid, generator: torch.Generator) -> Tensor:
        return coloured_noise(lambda k: torch.where((k > 0) & (k < 5.5), k, torch.zeros_like(k)), grid, generator, points=27, normalise=normalise)

    return Problem(
        name="navier_stokes:kolmogorov",
        equation=Vorticity(1 / reynolds, forcing=forcing),
        domain=Domain.periodic((2 * math.pi, 2 * math.pi)),
        initial=RandomLaw(sample),
        horizon=100.0,
        points=(64, 64),
        dt=0.02,
        reference="G. J. Chandler & R. R. Kerswell, J. Fluid Mech. 722 (2013) 554",
        scores={"laminar flow": {"dissipation": reynolds / (2 * wavenumber**2), "energy": reynolds**2 / (4 * wavenumber**4)}},
        parameters={"reynolds": reynolds, "wavenumber": wavenumber},
    )


def _given(coefficient: Any) -> bool:
    """False for a plain zero, so that absent terms cost nothing and are not printed."""
    return isinstance(coefficient, Tensor) or coefficient != 0
