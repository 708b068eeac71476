r"""The systems of Lorenz (1963, 1996): ordinary equations under the same protocol as the partial ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sciml.core.derivatives import Derivatives
from sciml.core.domain import Domain
from sciml.core.equation import Equation
from sciml.core.grid import Grid
from sciml.core.problem import Problem, RandomLaw


class Lorenz63(Equation):
    r""":math:`\dot x=\sigma(y-x),\ \dot y=x(\rho-z)-y,\ \dot z=xy-\beta z`; states are ``(*batch, 3)`` on a grid without axes.

    Parameters
    ----------
    sigma, rho, beta : Prandtl number, reduced Rayleigh number, aspect of the cells.
    """

    fields = ("x", "y", "z")
    ndim = 0
    lattice = True

    def __init__(self, sigma: Any = 10.0, rho: Any = 28.0, beta: Any = 8.0 / 3.0) -> None:
        super().__init__()
        self.sigma = sigma
        self.rho = rho
        self.beta = beta

    def linear(self, u: Any, d: Derivatives) -> Any:
        x, y, z = d.split(u)
        return d.stack(self.sigma * (y - x), self.rho * x - y, -self.beta * z)

    def nonlinear(self, u: Any, d: Derivatives) -> Any:
        x, y, z = d.split(u)
        return d.stack(0.0 * x, -x * z, x * y)


class Lorenz96(Equation):
    r""":math:`\dot X_i=(X_{i+1}-X_{i-2})X_{i-1}-X_i+F`; states are ``(*batch, 1, n)`` on a periodic lattice of spacing 1.

    Parameters
    ----------
    forcing : F; 8 is chaotic.
    """

    fields = ("X",)
    degree = None
    lattice = True

    def __init__(self, forcing: Any = 8.0) -> None:
        super().__init__()
        self.forcing = forcing

    def linear(self, u: Any, d: Derivatives) -> Any:
        return -u

    def nonlinear(self, u: Any, d: Derivatives) -> Any:
        return (d.shift(u, 1) - d.shift(u, -2)) * d.shift(u, -1) + self.forcing


def sakov2012() -> Problem:
    """Lorenz 63: RK4 with dt 0.01, all three variables observed every 25 steps with variance 2."""
    centre = (1.509, -1.531, 25.46)

    def sample(grid: Grid, generator: torch.Generator) -> Tensor:
        noise = torch.randn(3, dtype=torch.float64, device=generator.device, generator=generator)
        return (torch.tensor(centre, dtype=torch.float64, device=generator.device) + 2**0.5 * noise).to(device=grid.device, dtype=grid.dtype)

    return Problem(
        name="lorenz:sakov2012",
        equation=Lorenz63(),
        domain=Domain.periodic(()),
        initial=RandomLaw(sample),
        horizon=250.0,
        points=(),
        dt=0.01,
        scheme="rk4",
        reference="P. Sakov, D. S. Oliver & L. Bertino, Mon. Weather Rev. 140 (2012) 1988, table 1; scores as listed by DAPPER",
        scores={
            "ETKF N=10 inflation=1.02 rotation": {"rmse.a": 0.60},
            "ETKF N=3 inflation=1.30": {"rmse.a": 0.80},
            "EnKF perturbed observations N=10 inflation=1.04": {"rmse.a": 0.65},
            "EnKF perturbed observations N=100 inflation=1.01": {"rmse.a": 0.56},
            "EnKF-N N=3": {"rmse.a": 0.60},
            "EnKF-N N=10 rotation": {"rmse.a": 0.54},
            "iEnKS N=10 inflation=1.02 rotation": {"rmse.a": 0.31},
            "particle filter N=100": {"rmse.a": 0.38},
            "particle filter N=800": {"rmse.a": 0.28},
            "extended Kalman filter inflation=180": {"rmse.a": 0.92},
            "3D-Var background=0.1": {"rmse.a": 1.04},
            "optimal interpolation": {"rmse.a": 1.25},
            "climatology": {"rmse.a": 7.6},
        },
        parameters={"observe_every": 0.25, "noise_variance": 2.0, "initial_variance": 2.0},
    )


def sakov2008(points: int = 40) -> Problem:
    """Lorenz 96: 40 points, F = 8, RK4 with dt 0.05, every point observed each step with variance 1."""

    return Problem(
        name="lorenz:sakov2008",
        equation=Lorenz96(8.0),
        domain=Domain.periodic(float(points)),
        initial=_disturbed_rest(0.001),
        horizon=50.0,
        points=(points,),
        dt=0.05,
        scheme="rk4",
        dealias=False,
        reference="P. Sakov & P. R. Oke, Tellus A 60 (2008) 361, table 1; scores as listed by DAPPER",
        scores={
            "ETKF N=24 inflation=1.013 rotation": {"rmse.a": 0.18},
            "EnKF perturbed observations N=40 inflation=1.06": {"rmse.a": 0.22},
            "EnKF perturbed observations N=28 inflation=1.08": {"rmse.a": 0.24},
            "DEnKF N=40 inflation=1.01": {"rmse.a": 0.18},
            "LETKF N=7 inflation=1.04 rotation radius=4": {"rmse.a": 0.22},
            "SL-EAKF N=7 inflation=1.07 rotation radius=6": {"rmse.a": 0.23},
            "EnKF-N N=24 rotation": {"rmse.a": 0.21},
            "EnKF-N N=24 rotation xN=2": {"rmse.a": 0.18},
            "extended Kalman filter inflation=10": {"rmse.a": 0.24},
            "3D-Var background=0.02": {"rmse.a": 0.41},
            "optimal interpolation": {"rmse.a": 0.95},
            "climatology": {"rmse.a": 3.6},
        },
        parameters={"observe_every": 0.05, "noise_variance": 1.0, "initial_variance": 0.001},
    )


def bocquet2010_m40() -> Problem:
    """Lorenz 96 as in :func:`sakov2008`, every second point observed each step with variance 2.25."""
    return Problem(
        name="lorenz:bocquet2010_m40",
        equation=Lorenz96(8.0),
        domain=Domain.periodic(40.0),
        initial=_disturbed_rest(0.001, bump=0.0),
        horizon=64.0,
        points=(40,),
        dt=0.05,
        scheme="rk4",
        dealias=False,
        reference="M. Bocquet, C. A. Pires & L. Wu, Mon. Weather Rev. 138 (2010) 2997, fig. 5; scores as listed by DAPPER",
        scores={
            "EnKF-N N=24 inflation=1.01 rotation": {"rmse.a": 0.58},
            "iEnKS N=19 lag=2 inflation=1.04": {"rmse.a": 0.46},
        },
        parameters={"observe_every": 0.05, "observe_stride": 2, "noise_variance": 2.25, "initial_variance": 0.001},
    )


def spantini2019() -> Problem:
    """Lorenz 96 with rare data: RK4 with dt 0.02, every second point observed every 0.4 with variance 0.5; far from Gaussian."""
    return Problem(
        name="lorenz:spantini2019",
        equation=Lorenz96(8.0),
        domain=Domain.periodic(40.0),
        initial=_disturbed_rest(0.1),
        horizon=800.0,
        points=(40,),
        dt=0.02,
        scheme="rk4",
        dealias=False,
        reference="A. Spantini, R. Baptista & Y. Marzouk, arXiv 1907.00389 (2019), fig. 9; scores as listed by DAPPER",
        scores={
            "ETKF N=40 inflation=1.10": {"rmse.a": 2.2},
            "ETKF N=60 inflation=1.10": {"rmse.a": 1.3},
            "ETKF N=100 inflation=1.10": {"rmse.a": 0.97},
            "LETKF N=40 inflation=1.10 radius=4": {"rmse.a": 1.0},
            "LETKF N=60 inflation=1.02 radius=4": {"rmse.a": 0.89},
            "LETKF N=100 inflation=1.02 radius=4": {"rmse.a": 0.84},
            "iEnKS N=40 lag=2 inflation=1.10": {"rmse.a": 0.52},
            "climatology": {"rmse.a": 3.6},
            "optimal interpolation": {"rmse.a": 2.5},
        },
        parameters={"observe_every": 0.4, "observe_stride": 2, "noise_variance": 0.5, "initial_variance": 0.1},
    )


def _disturbed_rest(variance: float, bump: float = 1.0) -> RandomLaw:
    """Independent values of a variance around 0, the first around ``bump``."""

    def sample(grid: Grid, generator: torch.Generator) -> Tensor:
        noise = torch.randn(grid.shape, dtype=torch.float64, device=generator.device, generator=generator)
        state = variance**0.5 * noise
        state[0] += bump
        return state.to(device=grid.device, dtype=grid.dtype)

    return RandomLaw(sample)
