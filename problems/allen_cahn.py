r"""Allen-Cahn: :math:`u_t = D\,\Delta u + a(u - u^3)`, two phases separated by moving fronts."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sciml.core.derivatives import Derivatives
from sciml.core.domain import Dirichlet, Domain
from sciml.core.equation import Equation
from sciml.core.problem import Problem, Profile


class AllenCahn(Equation):
    r""":math:`u_t = D\,\Delta u + a(u - u^3)`.

    Parameters
    ----------
    diffusivity : D.
    reaction : a.
    ndim : number of space axes.

    *Good values*: fronts are :math:`\sqrt{2D/a}` wide, which the grid must resolve.
    """

    degree = 3

    def __init__(self, diffusivity: Any = 1e-4, reaction: Any = 5.0, ndim: int = 1) -> None:
        super().__init__()
        self.diffusivity = diffusivity
        self.reaction = reaction
        self.ndim = ndim

    def linear(self, u: Any, d: Derivatives) -> Any:
        return self.diffusivity * d.laplacian(u) + self.reaction * u

    def nonlinear(self, u: Any, d: Derivatives) -> Any:
        return -self.reaction * u**3


def steady_front(x: Tensor, diffusivity: Any, reaction: Any) -> Tensor:
    r""":math:`\tanh(x\sqrt{a/2D})`: the resting front between the phases -1 and 1."""
    return torch.tanh(x * torch.as_tensor(reaction / (2 * diffusivity), dtype=x.dtype, device=x.device).sqrt())


def travelling_front(t: Any, x: Tensor, diffusivity: Any, reaction: Any) -> Tensor:
    r""":math:`\tfrac12(1-\tanh\frac{x-ct}{2\sqrt{2D/a}})`, :math:`c=3\sqrt{aD/2}`: the phase 1 invades the unstable phase 0.

    Directly verified; the special wave of cubic reactions, e.g. Murray, Mathematical Biology I, section 13.5.
    """
    d, a = (torch.as_tensor(v, dtype=x.dtype, device=x.device) for v in (diffusivity, reaction))
    speed, width = 3 * torch.sqrt(a * d / 2), torch.sqrt(2 * d / a)
    return (1 - torch.tanh((x - speed * t) / (2 * width))) / 2


def raissi2019() -> Problem:
    r""":math:`D=10^{-4}`, a = 5, :math:`u_0=x^2\cos\pi x` on [-1, 1), 512 points.

    The periodic continuation of the initial state has a slope jump (2 to -2) at :math:`x=\pm1`, which spectral methods
    resolve slowly at first: near it, files made with 512 modes (all public ones) are wrong by up to 1e-3.
    """
    return Problem(
        name="allen_cahn:raissi2019",
        equation=AllenCahn(1e-4, 5.0),
        domain=Domain.periodic(2.0, origin=-1.0),
        initial=Profile(lambda x: x**2 * torch.cos(math.pi * x)),
        horizon=1.0,
        points=(512,),
        dt=5e-4,
        dealias=False,
        reference="M. Raissi, P. Perdikaris & G. E. Karniadakis, J. Comput. Phys. 378 (2019) 686, section 3.2",
        scores={
            "PINN (jaxpi, plain)": {"relative_l2": 0.517},
            "PINN (jaxpi, best)": {"relative_l2": 5.37e-5},
            "PirateNet": {"relative_l2": 2.24e-5},
        },
        parameters={"diffusivity": 1e-4, "reaction": 5.0},
    )


def chen2024(diffusivity: float = 0.1, reaction: float = 1.0) -> Problem:
    """The hills and hollows of ``heat:chen2024``, which grow towards the two phases."""
    return Problem(
        name="allen_cahn:chen2024",
        equation=AllenCahn(diffusivity, reaction, 2),
        domain=Domain.periodic((2 * math.pi,) * 2),
        initial=Profile(lambda x, y: torch.cosh(3 * torch.sin(x)) * torch.sinh(torch.sin(y)) / 25),
        horizon=4.0,
        points=(64, 64),
        dt=0.02,
        reference="Z. Chen, J. McCarran, E. Vizcaino, M. Soljacic & D. Luo, arXiv 2404.10771, section 4",
        parameters={"diffusivity": diffusivity, "reaction": reaction},
    )


def front(diffusivity: float = 0.01, reaction: float = 1.0) -> Problem:
    """A front that invades the unstable phase on [-2, 4], with the exact values on the faces."""
    lower, upper = -2.0, 4.0

    def exact(t: Any, x: Tensor) -> Tensor:
        return travelling_front(t, x, diffusivity, reaction)

    def face(position: float) -> Dirichlet:
        x = torch.tensor(position, dtype=torch.float64)
        return Dirichlet(lambda t: float(exact(t, x)))

    return Problem(
        name="allen_cahn:front",
        equation=AllenCahn(diffusivity, reaction),
        domain=Domain.box(lower, upper, face(lower), face(upper)),
        initial=Profile(lambda x: exact(0.0, x)),
        horizon=5.0,
        points=(300,),
        dt=0.01,
        exact=exact,
        reference="J. D. Murray, Mathematical Biology I (2002), section 13.5",
        parameters={"diffusivity": diffusivity, "reaction": reaction},
    )
