r"""The Poisson equation :math:`-\Delta u = f`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sciml.core.derivatives import Derivatives
from sciml.core.domain import Dirichlet, Domain, Neumann
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.problem import Problem, Profile, RandomLaw
from sciml.core.steady import SteadyDiffusion
from sciml.spectral.cosine_fields import CosineRandomField

SERIES = "S. D. Poisson, Nouveau Bulletin de la Societe Philomatique 3 (1813) 388"


class Poisson(SteadyDiffusion):
    r""":math:`-\Delta u = f`.

    Parameters
    ----------
    f : the source: a number, a function of the coordinates or values on a grid; None until a law draws it.
    ndim : number of space axes.
    """

    inputs = ("f",)

    def __init__(self, f: Any = None, ndim: int = 2) -> None:
        super().__init__()
        self.f = f
        self.ndim = ndim

    def source(self, d: Derivatives) -> Any:
        return self.given("f", d)


def _modes(name: str, domain: Domain, first: float, wave: Callable[[Tensor], Tensor]) -> Problem:
    """Two eigenfunctions of the Laplacian, whose source follows."""
    ndim = domain.ndim
    factors = ((1, 2, 1)[:ndim], (3, 1, 2)[:ndim])

    def product(x: tuple[Tensor, ...], factor: tuple[int, ...]) -> Tensor:
        value = wave(first * factor[0] * x[0])
        for c, k in zip(x[1:], factor[1:], strict=True):
            value = value * wave(first * k * c)
        return value

    def exact(t: Any, *x: Tensor) -> Tensor:
        return product(x, factors[0]) + 0.5 * product(x, factors[1])

    def source(*x: Tensor) -> Tensor:
        slow, fast = (first**2 * sum(k**2 for k in factor) for factor in factors)
        return slow * product(x, factors[0]) + 0.5 * fast * product(x, factors[1])

    return Problem(
        name=f"poisson:{name}",
        equation=Poisson(ndim=ndim),
        domain=domain,
        initial=Profile(source),
        horizon=0.0,
        points=((64,), (48, 48), (24, 24, 24))[ndim - 1],
        exact=exact,
        reference=SERIES,
        parameters={"ndim": ndim},
    )


def periodic(ndim: int = 2) -> Problem:
    """Two modes on the periodic unit cube in one to three dimensions."""
    _check(ndim)
    return _modes("periodic", Domain.periodic((1.0,) * ndim), 2 * math.pi, torch.sin)


def dirichlet(ndim: int = 2) -> Problem:
    """Two modes on the unit cube, zero on its faces."""
    _check(ndim)
    return _modes("dirichlet", Domain.box((0.0,) * ndim, (1.0,) * ndim, Dirichlet(0.0)), math.pi, torch.sin)


def neumann(ndim: int = 2) -> Problem:
    """Two modes on the unit cube between closed walls, where the solution is known up to its mean, taken as 0."""
    _check(ndim)
    return _modes("neumann", Domain.box((0.0,) * ndim, (1.0,) * ndim, Neumann(0.0)), math.pi, torch.cos)


def random(ndim: int = 2, tau: float = 3.0, alpha: float = 2.0) -> Problem:
    r"""Random sources :math:`f\sim N(0,\tau^{4}(-\Delta+\tau^2)^{-\alpha})` on the unit cube, u = 0 on its faces: for operator learning."""
    _check(ndim)
    field = CosineRandomField(tau**2, tau, alpha)

    def law(grid: Grid, generator: torch.Generator) -> Tensor:
        return field.sample(grid, generator)

    return Problem(
        name="poisson:random",
        equation=Poisson(ndim=ndim),
        domain=Domain.box((0.0,) * ndim, (1.0,) * ndim, Dirichlet(0.0)),
        initial=RandomLaw(law),
        horizon=0.0,
        points=((256,), (64, 64), (24, 24, 24))[ndim - 1],
        reference=SERIES,
        parameters={"ndim": ndim, "tau": tau, "alpha": alpha},
    )


def _check(ndim: int) -> None:
    if ndim not in (1, 2, 3):
        raise InputError(f"poisson: ndim={ndim} given; choose 1, 2 or 3.")
