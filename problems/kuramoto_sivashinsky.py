r"""Kuramoto-Sivashinsky: :math:`u_t = -u u_x - u_{xx} - u_{xxxx}`, the simplest equation with space-time chaos."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sciml.core.derivatives import Derivatives
from sciml.core.domain import Domain
from sciml.core.equation import Equation
from sciml.core.problem import Problem, Profile


class KuramotoSivashinsky(Equation):
    r""":math:`u_t = -\lambda_0 (u^2/2)_x - \lambda_1 u_{xx} - \lambda_2 u_{xxxx}`.

    Parameters
    ----------
    advection : :math:`\lambda_0`.
    antidiffusion : :math:`\lambda_1`, positive values destabilise.
    hyperdiffusion : :math:`\lambda_2`.
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


def kassam2005() -> Problem:
    r"""The case of Kassam & Trefethen (2005), section 4: L = 32 pi, N = 128, :math:`x_j = jL/N`, j = 1..N."""
    length, n = 32 * math.pi, 128

    def profile(x: Tensor) -> Tensor:
        return torch.cos(x / 16) * (1 + torch.sin(x / 16))

    return Problem(
        name="kuramoto_sivashinsky:kassam2005",
        equation=KuramotoSivashinsky(),
        domain=Domain.periodic(length, origin=length / n),
        initial=Profile(profile),
        horizon=150.0,
        points=(n,),
        dt=0.25,
        dealias=False,
        reference="A.-K. Kassam & L. N. Trefethen, SIAM J. Sci. Comput. 26 (2005) 1214",
    )
