r"""Darcy flow :math:`-\nabla\cdot(a\nabla u) = f`: pressure u in a medium of permeability a."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sciml.core.derivatives import Derivatives
from sciml.core.domain import Dirichlet, Domain
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.problem import Problem, Profile, RandomLaw
from sciml.core.steady import SteadyDiffusion, check_input
from sciml.spectral.cosine_fields import CosineRandomField


class Darcy(SteadyDiffusion):
    r""":math:`-\nabla\cdot(a\nabla u) = f`.

    Parameters
    ----------
    a : the permeability, positive: a number, a function of the coordinates or values on a grid; None until a law draws it.
    forcing : f, a number or a function of the coordinates.
    ndim : number of space axes.
    """

    inputs = ("a",)

    def __init__(self, a: Any = None, forcing: Any = 1.0, ndim: int = 2) -> None:
        super().__init__()
        check_input(a, who="Darcy")
        self.a = a
        self.forcing = forcing
        self.ndim = ndim

    def diffusivity(self, d: Derivatives) -> Any:
        return self.given("a", d)

    def source(self, d: Derivatives) -> Any:
        return d.given("f", self.forcing) if callable(self.forcing) else self.forcing


def two_phase(grid: Grid, generator: torch.Generator, low: float, high: float) -> Tensor:
    """``high`` where a Gaussian field is not negative, else ``low``, ``(*space)``."""
    g = CosineRandomField(1.0, 3.0, 2.0).sample(grid, generator)
    return torch.where(g >= 0, torch.full_like(g, high), torch.full_like(g, low))


def li2021(low: float = 3.0, high: float = 12.0) -> Problem:
    r"""Two phases in the unit square: :math:`g\sim N(0,(-\Delta+9)^{-2})`, a = 12 where :math:`g\ge0`, else 3; f = 1, u = 0 on the walls.

    The published data were made by finite differences on 421 x 421 vertices, walls included, from a coefficient interpolated to
    them, and thinned to 85 and other sizes. Here the points are cell centres and the coefficient enters by conservative face
    averages, so single samples are not those of the published files; the law is.
    """
    return Problem(
        name="darcy:li2021",
        equation=Darcy(),
        domain=Domain.box((0.0, 0.0), (1.0, 1.0), Dirichlet(0.0)),
        initial=RandomLaw(lambda grid, generator: two_phase(grid, generator, low, high)),
        horizon=0.0,
        points=(85, 85),
        reference="Z. Li et al., Fourier neural operator, ICLR 2021, section 5.2",
        scores={
            "FNO": {"relative_l2": {85: 0.0108, 141: 0.0109, 211: 0.0109, 421: 0.0098}},
            "RBM": {"relative_l2": {85: 0.0244, 141: 0.0251, 211: 0.0255, 421: 0.0259}},
            "PCA+NN": {"relative_l2": {85: 0.0299, 141: 0.0298, 211: 0.0298, 421: 0.0299}},
            "FCN": {"relative_l2": {85: 0.0253, 141: 0.0493, 211: 0.0727, 421: 0.1097}},
            "LNO": {"relative_l2": {85: 0.0520, 141: 0.0461, 211: 0.0445}},
            "Transolver": {"relative_l2": {85: 0.0057}},
        },
        parameters={"low": low, "high": high},
    )


def lognormal(ndim: int = 2, deviation: float = 0.5, scale: float = 0.2) -> Problem:
    r"""A smooth medium in the unit cube: :math:`a = e^{\sigma g}`, g of unit mean square and correlation length ``scale``; f = 1, u = 0 on the walls.

    *Good values*: ``deviation`` :math:`\sigma` up to 2, for a contrast in the thousands.
    """
    _check(ndim)
    if not scale > 0:
        raise InputError(f"darcy:lognormal: scale={scale} given; a positive correlation length is needed.")
    count, tau = {1: 256, 2: 64, 3: 24}[ndim], 1 / scale
    alpha = ndim / 2 + 3

    def law(grid: Grid, generator: torch.Generator) -> Tensor:
        return torch.exp(deviation * CosineRandomField(_unit(ndim, tau, alpha, count), tau, alpha, count).sample(grid, generator))

    return Problem(
        name="darcy:lognormal",
        equation=Darcy(ndim=ndim),
        domain=Domain.box((0.0,) * ndim, (1.0,) * ndim, Dirichlet(0.0)),
        initial=RandomLaw(law),
        horizon=0.0,
        points=((256,), (64, 64), (24, 24, 24))[ndim - 1],
        reference="log-normal permeability, e.g. G. Dagan, Flow and Transport in Porous Formations, 1989, chapter 2",
        parameters={"ndim": ndim, "deviation": deviation, "scale": scale},
    )


def periodic(ndim: int = 2, strength: float = 0.5) -> Problem:
    r"""A manufactured solution on the periodic unit cube: :math:`u = \prod_i\sin2\pi x_i` in :math:`a = e^{s\sum_i\cos2\pi x_i}`."""
    _check(ndim)
    w = 2 * math.pi

    def medium(*x: Tensor) -> Tensor:
        total = torch.cos(w * x[0])
        for c in x[1:]:
            total = total + torch.cos(w * c)
        return torch.exp(strength * total)

    def exact(t: Any, *x: Tensor) -> Tensor:
        value = torch.sin(w * x[0])
        for c in x[1:]:
            value = value * torch.sin(w * c)
        return value

    def forcing(*x: Tensor) -> Tensor:
        # -a (lap u + grad log a . grad u); d_i log a d_i u = -s w^2 sin(w x_i) cos(w x_i) prod_{j != i} sin(w x_j) = -s w^2 cos(w x_i) u
        total = torch.cos(w * x[0])
        for c in x[1:]:
            total = total + torch.cos(w * c)
        return w**2 * medium(*x) * exact(0.0, *x) * (len(x) + strength * total)

    return Problem(
        name="darcy:periodic",
        equation=Darcy(forcing=forcing, ndim=ndim),
        domain=Domain.periodic((1.0,) * ndim),
        initial=Profile(medium),
        horizon=0.0,
        points=((64,), (48, 48), (24, 24, 24))[ndim - 1],
        exact=exact,
        reference="manufactured solution, P. J. Roache, J. Fluids Eng. 124 (2002) 4",
        parameters={"ndim": ndim, "strength": strength},
    )


def layers(low: float = 1.0, high: float = 100.0, count: int = 4) -> Problem:
    r"""Flow across ``count`` layers of equal width on [0, 1], permeabilities ``low`` and ``high`` in turn; u(0) = 0, u(1) = 1, f = 0.

    The flux is the harmonic mean of all layers, and :math:`u = \int_0^x a^{-1}\,/\int_0^1 a^{-1}`: straight in every layer. With layer
    edges at faces of cells (points a multiple of ``count``) finite volumes are exact.
    """
    if count < 1 or int(count) != count:
        raise InputError(f"darcy:layers: count={count} given; a whole number of layers, 1 or more, is needed.")

    def layer(x: Tensor) -> Tensor:
        return torch.clamp(torch.floor(x * count), 0, count - 1)

    def medium(x: Tensor) -> Tensor:
        odd = torch.remainder(layer(x), 2)
        return low + (high - low) * odd

    def resistance(x: Tensor) -> Tensor:
        below = layer(x)
        passed = torch.floor((below + 1) / 2) / low + torch.floor(below / 2) / high
        return passed / count + (x - below / count) / medium(x)

    def exact(t: Any, x: Tensor) -> Tensor:
        return resistance(x) / resistance(torch.ones((), dtype=x.dtype, device=x.device))

    check_input(min(low, high), who="darcy:layers")
    return Problem(
        name="darcy:layers",
        equation=Darcy(forcing=0.0, ndim=1),
        domain=Domain.box(0.0, 1.0, Dirichlet(0.0), Dirichlet(1.0)),
        initial=Profile(medium),
        horizon=0.0,
        points=(64,),
        exact=exact,
        reference="resistances in series, e.g. J. Bear, Dynamics of Fluids in Porous Media, 1972, section 5.8",
        parameters={"low": low, "high": high, "count": count},
    )


def _unit(ndim: int, tau: float, alpha: float, count: int) -> float:
    """The amplitude that gives the cosine field a mean square of one, averaged over the unit cube."""
    m = math.pi * torch.arange(count, dtype=torch.float64)
    size = torch.zeros((count,) * ndim, dtype=torch.float64)
    for axis in range(ndim):
        size = size + (m**2).view((-1,) + (1,) * (ndim - 1 - axis))
    eigenvalues = (size + tau**2) ** -alpha
    return float((eigenvalues.sum() - eigenvalues.view(-1)[0]) ** -0.5)


def _check(ndim: int) -> None:
    if ndim not in (1, 2, 3):
        raise InputError(f"darcy: ndim={ndim} given; choose 1, 2 or 3.")
