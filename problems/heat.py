r"""The heat equation :math:`u_t = \kappa\Delta u` in one to three dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sciml.core.conservation import ConservationLaw
from sciml.core.domain import Dirichlet, Domain
from sciml.core.errors import InputError
from sciml.core.problem import Problem, Profile


class Heat(ConservationLaw):
    r""":math:`u_t = \kappa\Delta u`.

    Parameters
    ----------
    diffusivity : :math:`\kappa\ge0`, a number, a tensor with one value per sample, or a parameter.
    ndim : number of space axes.
    """

    degree = 1

    def __init__(self, diffusivity: Any, ndim: int = 1) -> None:
        super().__init__()
        smallest = diffusivity.detach().min().item() if isinstance(diffusivity, Tensor) else diffusivity
        if not smallest >= 0:
            raise InputError(f"Heat: diffusivity={smallest} given; it must not be negative (the equation would be ill-posed).")
        self.kappa = diffusivity
        self.ndim = ndim

    def diffusivity(self, u: Any) -> Any:
        return self.kappa


def mode(t: Any, x: Sequence[Tensor], wavevector: Sequence[float], diffusivity: Any) -> Tensor:
    r""":math:`e^{-\kappa|k|^2t}\prod_i\sin k_ix_i`."""
    value = torch.exp(-diffusivity * sum(k**2 for k in wavevector) * torch.as_tensor(t, dtype=x[0].dtype, device=x[0].device))
    for k, coordinate in zip(wavevector, x, strict=True):
        value = value * torch.sin(k * coordinate)
    return value


def _modes(name: str, domain: Domain, points: tuple[int, ...], dt: float, diffusivity: float, first: float) -> Problem:
    ndim = domain.ndim
    factors = ((1, 2, 1)[:ndim], (3, 1, 2)[:ndim])

    def exact(t: Any, *x: Tensor) -> Tensor:
        slow, fast = ([first * f for f in factor] for factor in factors)
        return mode(t, x, slow, diffusivity) + 0.5 * mode(t, x, fast, diffusivity)

    return Problem(
        name=f"heat:{name}",
        equation=Heat(diffusivity, ndim),
        domain=domain,
        initial=Profile(lambda *x: exact(0.0, *x)),
        horizon=1.0,
        points=points,
        dt=dt,
        exact=exact,
        reference="J. Fourier, Theorie analytique de la chaleur, 1822",
        parameters={"ndim": ndim, "diffusivity": diffusivity},
    )


def periodic(ndim: int = 1, diffusivity: float = 0.01) -> Problem:
    """Two decaying modes on the periodic unit cube in one to three dimensions."""
    _check(ndim)
    return _modes("periodic", Domain.periodic((1.0,) * ndim), ((64,), (32, 32), (16, 16, 16))[ndim - 1], 0.01, diffusivity, 2 * math.pi)


def dirichlet(ndim: int = 1, diffusivity: float = 0.05) -> Problem:
    """Two decaying modes on the unit cube, zero on its faces."""
    _check(ndim)
    domain = Domain.box((0.0,) * ndim, (1.0,) * ndim, Dirichlet(0.0))
    return _modes("dirichlet", domain, ((128,), (64, 64), (24, 24, 24))[ndim - 1], 1e-3, diffusivity, math.pi)


def chen2024(diffusivity: float = 0.1) -> Problem:
    r""":math:`u_0=\tfrac{1}{25}\cosh(3\sin x)\sinh(\sin y)` on the torus, hills and hollows that flatten: a test of networks stepped in time."""
    return Problem(
        name="heat:chen2024",
        equation=Heat(diffusivity, 2),
        domain=Domain.periodic((2 * math.pi,) * 2),
        initial=Profile(lambda x, y: torch.cosh(3 * torch.sin(x)) * torch.sinh(torch.sin(y)) / 25),
        horizon=4.0,
        points=(64, 64),
        dt=0.02,
        reference="Z. Chen, J. McCarran, E. Vizcaino, M. Soljacic & D. Luo, arXiv 2404.10771, section 4",
        parameters={"diffusivity": diffusivity},
    )


def _check(ndim: int) -> None:
    if ndim not in (1, 2, 3):
        raise InputError(f"heat: ndim={ndim} given; choose 1, 2 or 3.")
