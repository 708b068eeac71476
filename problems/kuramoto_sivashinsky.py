r"""Kuramoto-Sivashinsky: :math:`u_t = -u u_x - u_{xx} - u_{xxxx}`, the simplest equation with space-time chaos."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sciml.core.derivatives import Derivatives
from sciml.core.domain import Domain
from sciml.core.equation import Equation
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.problem import Problem, Profile, RandomLaw
from sciml.spectral.random_fields import coloured_noise

IMPERFECT_MODELS = {
    1: (0.0, 1.0, 1.0),
    2: (1.0, 0.0, 1.0),
    3: (1.0, 1.0, 0.0),
    4: (1.0, 0.0, 0.0),
    5: (0.0, 1.0, 0.0),
    6: (0.0, 0.0, 1.0),
    7: (0.5, 1.0, 1.0),
    8: (1.0, 0.5, 1.0),
    9: (1.0, 1.0, 0.5),
    10: (2.0, 2.0, 2.0),
    11: (0.0, 0.5, 2.0),
    12: (0.5, 0.0, 1.0),
}
"""Coefficients (advection, antidiffusion, hyperdiffusion) of the imperfect models of Mojgani et al. (2022), by case."""


class KuramotoSivashinsky(Equation):
    r""":math:`u_t = -\lambda_0 (u^2/2)_x - \lambda_1 u_{xx} - \lambda_2 u_{xxxx}`.

    Parameters
    ----------
    advection : :math:`\lambda_0`.
    antidiffusion : :math:`\lambda_1`, positive values destabilise.
    hyperdiffusion : :math:`\lambda_2`.

    *Good values*: the mean of u is conserved. Lengths of 22 give weak chaos (leading Lyapunov exponent 0.05), lengths of
    :math:`32\pi` about a dozen positive exponents; 64 and 128 points are usual for them.
    """

    def __init__(self, advection: Any = 1.0, antidiffusion: Any = 1.0, hyperdiffusion: Any = 1.0) -> None:
        super().__init__()
        self.advection = advection
        self.antidiffusion = antidiffusion
        self.hyperdiffusion = hyperdiffusion

    def linear(self, u: Any, d: Derivatives) -> Any:
        return -self.antidiffusion * d.x(u, 2) - self.hyperdiffusion * d.x(u, 4)

    def nonlinear(self, u: Any, d: Derivatives) -> Any:
        return -self.advection * d.x(u**2) / 2


def _kassam_profile(x: Tensor) -> Tensor:
    return torch.cos(x / 16) * (1 + torch.sin(x / 16))


def kassam2005(points: int = 128) -> Problem:
    r"""The case of Kassam & Trefethen (2005), section 4: L = 32 pi, N = 128, :math:`x_j = jL/N`, j = 1..N.

    Parameters
    ----------
    points : N, which also places the first sample. With N = 1024 and a step of 0.025 the case is the data set of
        Rudy et al., Sci. Adv. 3 (2017) e1602614.
    """
    length, n = 32 * math.pi, points
    return Problem(
        name="kuramoto_sivashinsky:kassam2005",
        equation=KuramotoSivashinsky(),
        domain=Domain.periodic(length, origin=length / n),
        initial=Profile(_kassam_profile),
        horizon=150.0,
        points=(n,),
        dt=0.25,
        dealias=False,
        reference="A.-K. Kassam & L. N. Trefethen, SIAM J. Sci. Comput. 26 (2005) 1214",
    )


def mojgani2022(case: int | None = None) -> Problem:
    r"""Model-error discovery: L = 100, 1024 points, :math:`u_0=-\cos(kx)(1-\sin(kx))`, :math:`k=2\pi/100`.

    Parameters
    ----------
    case : None gives the true system, 1 to 12 the imperfect model of that case (see ``IMPERFECT_MODELS``). Its error
        :math:`|\lambda_{true}-\lambda|/|\lambda_{true}|` is recorded in ``scores``.

    The first 100 units of time are spin-up; the published samples are 10 or 100 units apart by 10 or 1 after it.
    """
    if case is not None and case not in IMPERFECT_MODELS:
        raise InputError(f"mojgani2022: case={case} given; choose 1 to {len(IMPERFECT_MODELS)}, or None for the true system.")
    coefficients = (1.0, 1.0, 1.0) if case is None else IMPERFECT_MODELS[case]
    error = math.sqrt(sum((1 - c) ** 2 for c in coefficients) / 3)
    k = 2 * math.pi / 100

    def profile(x: Tensor) -> Tensor:
        return -torch.cos(k * x) * (1 - torch.sin(k * x))

    return Problem(
        name="kuramoto_sivashinsky:mojgani2022",
        equation=KuramotoSivashinsky(*coefficients),
        domain=Domain.periodic(100.0),
        initial=Profile(profile),
        horizon=200.0,
        points=(1024,),
        dt=1e-3,
        reference="R. Mojgani, A. Chattopadhyay & P. Hassanzadeh, Chaos 32 (2022) 061105",
        scores={"imperfect model": {"coefficient_error_percent": 100 * error}},
        parameters={"case": case, "spin_up": 100.0},
    )


def bocquet2019() -> Problem:
    r"""Assimilation: L = 32 pi, 128 points, ETDRK4 with dt 0.5; every point observed each unit of time with variance 1.

    Initial states are Gaussian around the profile of :func:`kassam2005` with variance 0.001 at each of 128 points.
    """
    length, n = 32 * math.pi, 128

    def sample(grid: Grid, generator: torch.Generator) -> Tensor:
        # white on 128 points (127 modes drawn), so the same at every resolution
        noise = coloured_noise(lambda k: torch.full_like(k, math.sqrt(0.001 / (n - 1))), grid, generator, points=n - 1)
        return _kassam_profile(*grid.points()) + noise

    return Problem(
        name="kuramoto_sivashinsky:bocquet2019",
        equation=KuramotoSivashinsky(),
        domain=Domain.periodic(length, origin=length / n),
        initial=RandomLaw(sample),
        horizon=20000 * 0.5,
        points=(n,),
        dt=0.5,
        dealias=False,
        scheme="etdrk4",
        reference="M. Bocquet & A. Farchi, Nonlin. Processes Geophys. 26 (2019) 143, fig. 4; scores as listed by DAPPER",
        scores={
            "LETKF N=4 inflation=1.11 rotation radius=15/1.82": {"rmse.a": 0.18},
            "LETKF N=6 inflation=1.06 rotation radius=25/1.82": {"rmse.a": 0.14},
            "LETKF N=16 inflation=1.02 rotation radius=51/1.82": {"rmse.a": 0.11},
            "ETKF N=20 inflation=1.03 rotation": {"rmse.a": 0.115},
            "ETKF N=13 inflation=1.60 rotation": {"rmse.a": 0.5},
            "optimal interpolation": {"rmse.a": 0.5},
            "climatology": {"rmse.a": 1.3},
        },
        parameters={"observe_every": 1.0, "noise_variance": 1.0, "initial_variance": 0.001, "burn_in": 1000.0},
    )


def cvitanovic2010() -> Problem:
    """L = 22, the smallest well-studied chaotic case; initial states are small random waves of the lowest 7 modes."""
    length = 22.0

    def sample(grid: Grid, generator: torch.Generator) -> Tensor:
        return coloured_noise(lambda k: torch.where(k > 0, 0.1, 0.0).to(k.dtype), grid, generator, points=15)

    return Problem(
        name="kuramoto_sivashinsky:cvitanovic2010",
        equation=KuramotoSivashinsky(),
        domain=Domain.periodic(length),
        initial=RandomLaw(sample),
        horizon=1000.0,
        points=(64,),
        dt=0.25,
        reference="P. Cvitanovic, R. L. Davidchack & E. Siminos, SIAM J. Appl. Dyn. Syst. 9 (2010) 1",
        scores={
            "Lyapunov exponents": {"values": (0.048, 0.0, 0.0, -0.003, -0.189, -0.256, -0.290, -0.310, -1.963)},
            "Edson et al., ANZIAM J. 2019": {"kaplan_yorke_dimension": 5.198, "leading_exponent": 0.043},
        },
    )
