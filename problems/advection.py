r"""Advection and advection-diffusion with constant coefficients: :math:`u_t + c\cdot\nabla u = \kappa\Delta u`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sciml.core.derivatives import Derivatives
from sciml.core.domain import Dirichlet, Domain, Neumann
from sciml.core.equation import Equation
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.problem import Problem, Profile
from sciml.spectral.transforms import Transform


class AdvectionDiffusion(Equation):
    r""":math:`u_t = -c\cdot\nabla u + \kappa\Delta u` in one to three dimensions.

    Parameters
    ----------
    speed : c, one number, tensor or parameter per axis (a single one for one axis).
    diffusivity : :math:`\kappa`; 0 is pure advection.
    """

    degree = 1

    def __init__(self, speed: Any, diffusivity: Any = 0.0) -> None:
        super().__init__()
        self.speed = tuple(speed) if isinstance(speed, Sequence) else speed
        self.diffusivity = diffusivity
        self.ndim = len(self.speed) if isinstance(self.speed, tuple) else 1

    def linear(self, u: Any, d: Derivatives) -> Any:
        if d.ndim != self.ndim:
            raise InputError(f"AdvectionDiffusion: speed={self.speed} has {self.ndim} components but the grid has {d.ndim} axes; give one per axis.")
        speed = self.speed if isinstance(self.speed, tuple) else (self.speed,)
        transport = -d.advect(speed, u)
        without = not isinstance(self.diffusivity, Tensor) and self.diffusivity == 0
        return transport if without else transport + self.diffusivity * d.laplacian(u)

    def velocity(self, u: Any) -> Any:
        """c, the same everywhere; a tuple in more than one dimension."""
        return self.speed if self.ndim > 1 or not isinstance(self.speed, tuple) else self.speed[0]

    def evolve(self, u: Tensor, grid: Grid, time: float) -> Tensor:
        r"""The exact solution at ``time`` from ``u``, ``(*batch, 1, *space)``: each mode is shifted and decays by itself."""
        transform = Transform(grid)
        c = transform.forward(u)
        return transform.inverse(c * torch.exp(time * self.symbol(grid)).to(c.dtype))


def plane_wave(
    t: Any, x: Sequence[Tensor], wavevector: Sequence[float], speed: Sequence[float], diffusivity: float = 0.0, phase: float = 0.0
) -> Tensor:
    r""":math:`e^{-\kappa|k|^2t}\sin(k\cdot(x-ct)+\varphi)`, the exact solution that every other one is a sum of."""
    theta = torch.as_tensor(phase, dtype=x[0].dtype, device=x[0].device)
    for k, c, coordinate in zip(wavevector, speed, x, strict=True):
        theta = theta + k * (coordinate - c * t)
    decay = torch.as_tensor(diffusivity * sum(k**2 for k in wavevector) * t, dtype=x[0].dtype, device=x[0].device)
    return torch.exp(-decay) * torch.sin(theta)


def krishnapriyan2021(speed: float = 30.0) -> Problem:
    r""":math:`u_0=\sin x` carried round :math:`[0,2\pi)` at a speed that defeats plain physics-informed networks."""

    def exact(t: Any, x: Tensor) -> Tensor:
        return plane_wave(t, (x,), (1.0,), (speed,))

    return Problem(
        name="advection:krishnapriyan2021",
        equation=AdvectionDiffusion(speed),
        domain=Domain.periodic(2 * math.pi),
        initial=Profile(lambda x: exact(0.0, x)),
        horizon=1.0,
        points=(128,),
        dt=0.01,
        exact=exact,
        reference="A. Krishnapriyan et al., NeurIPS 2021, arXiv 2109.01050",
        scores={"PINN, speed 50 (PINNsFormer notebooks)": {"relative_l2": 0.840}, "PINNsFormer, speed 50": {"relative_l2": 0.0268}},
        parameters={"speed": speed},
    )


def mojgani2023(speed: float = 50.0, diffusivity: float = 0.01) -> Problem:
    r"""Convection-diffusion of :math:`\sin x`, the test of Lagrangian physics-informed networks."""

    def exact(t: Any, x: Tensor) -> Tensor:
        return plane_wave(t, (x,), (1.0,), (speed,), diffusivity)

    return Problem(
        name="advection:mojgani2023",
        equation=AdvectionDiffusion(speed, diffusivity),
        domain=Domain.periodic(2 * math.pi),
        initial=Profile(lambda x: exact(0.0, x)),
        horizon=1.0,
        points=(256,),
        dt=0.01,
        exact=exact,
        reference="R. Mojgani, M. Balajewicz & P. Hassanzadeh, Comput. Methods Appl. Mech. Eng. 404 (2023) 115810",
        parameters={"speed": speed, "diffusivity": diffusivity},
    )


def chen2023(speed: float = 0.25, width: float = 0.1) -> Problem:
    r"""A Gaussian pulse carried from :math:`x=-1.5` along :math:`[-2,2]`: the first test of implicit neural representations.

    The value is 0 where it comes from and the slope 0 where it goes to, which it meets below 1e-5 of its height; at the end, t = 12, it stands at
    1.5. A value fixed at both ends, as in the article, is one condition too many for transport, and unstable on grids.
    """

    def exact(t: Any, x: Tensor) -> Tensor:
        return torch.exp(-(((x - speed * t + 1.5) / width) ** 2) / 2)

    return Problem(
        name="advection:chen2023",
        equation=AdvectionDiffusion(speed),
        domain=Domain.box(-2.0, 2.0, Dirichlet(0.0), Neumann(0.0)),
        initial=Profile(lambda x: exact(0.0, x)),
        horizon=12.0,
        points=(512,),
        dt=0.005,
        exact=exact,
        reference="H. Chen, R. Wu, E. Grinspun, C. Zheng & P. Y. Chen, ICML 2023, arXiv 2210.00124, section 5.1",
        parameters={"speed": speed, "width": width},
    )


def waves(ndim: int = 2, diffusivity: float = 0.02) -> Problem:
    """Two crossing waves on the unit cube in one to three dimensions, carried and damped: exact for every scheme's test."""
    if ndim not in (1, 2, 3):
        raise InputError(f"advection:waves: ndim={ndim} given; choose 1, 2 or 3.")
    speed = (1.0, -0.5, 0.25)[:ndim]
    first, second = ((2 * math.pi, 4 * math.pi, -2 * math.pi)[:ndim], (-4 * math.pi, 2 * math.pi, 2 * math.pi)[:ndim])

    def exact(t: Any, *x: Tensor) -> Tensor:
        return plane_wave(t, x, first, speed, diffusivity) + 0.5 * plane_wave(t, x, second, speed, diffusivity, phase=1.0)

    return Problem(
        name="advection:waves",
        equation=AdvectionDiffusion(speed[0] if ndim == 1 else speed, diffusivity),
        domain=Domain.periodic((1.0,) * ndim),
        initial=Profile(lambda *x: exact(0.0, *x)),
        horizon=1.0,
        points=((64,), (32, 32), (16, 16, 16))[ndim - 1],
        dt=0.01,
        exact=exact,
        reference="separation of variables",
        parameters={"ndim": ndim, "diffusivity": diffusivity},
    )
