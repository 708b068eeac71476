r"""Korteweg-de Vries: :math:`u_t + u u_x + \delta u_{xxx} = 0`, solitons; and its mixture with Burgers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sciml.core.derivatives import Derivatives
from sciml.core.domain import Domain
from sciml.core.equation import Equation
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.problem import Problem, Profile
from sciml.derivatives.fourier import Fourier


class KortewegDeVries(Equation):
    r""":math:`u_t = -(u^2/2)_x - \delta u_{xxx}`.

    Parameters
    ----------
    dispersion : :math:`\delta`.
    """

    def __init__(self, dispersion: Any = 1.0) -> None:
        super().__init__()
        self.dispersion = dispersion

    def linear(self, u: Any, d: Derivatives) -> Any:
        return -self.dispersion * d.x(u, 3)

    def nonlinear(self, u: Any, d: Derivatives) -> Any:
        return -d.x(u**2) / 2


class KortewegDeVriesBurgers(Equation):
    r""":math:`u_t = -(u^2/2)_x + \nu u_{xx} - \delta u_{xxx}`: dissipative and dispersive at once.

    Parameters
    ----------
    viscosity : :math:`\nu`.
    dispersion : :math:`\delta`.
    """

    def __init__(self, viscosity: Any, dispersion: Any) -> None:
        super().__init__()
        self.viscosity = viscosity
        self.dispersion = dispersion

    def linear(self, u: Any, d: Derivatives) -> Any:
        return self.viscosity * d.x(u, 2) - self.dispersion * d.x(u, 3)

    def nonlinear(self, u: Any, d: Derivatives) -> Any:
        return -d.x(u**2) / 2


def solitons(t: Any, x: Tensor, wavenumbers: Sequence[float], positions: Sequence[float], dispersion: float = 1.0) -> Tensor:
    r"""N solitons of heights :math:`3\delta A_i^2` and speeds :math:`\delta A_i^2` on the whole line, interacting exactly.

    .. math:: u = 12\delta\,(\log\tau)_{xx},\quad
              \tau=\sum_{S}\exp\Big(\sum_{i\in S}\theta_i+\sum_{i<j\in S}\log a_{ij}\Big),\quad
              \theta_i = A_i(x-x_i-\delta A_i^2t),\quad a_{ij}=\Big(\frac{A_i-A_j}{A_i+A_j}\Big)^2

    over all subsets S [Hirota, Phys. Rev. Lett. 27 (1971) 1192]. With :math:`p_S\propto` the summands and
    :math:`\kappa_S=\sum_{i\in S}A_i` the second derivative is the variance of :math:`\kappa` under p: no cancellation.

    Parameters
    ----------
    t : time, a number or a tensor that broadcasts against x.
    x : positions, any shape.
    wavenumbers : distinct :math:`A_i > 0`.
    positions : where each soliton is seen at t = 0, as long as they are well apart then.
    dispersion : :math:`\delta > 0`.
    """
    if len(wavenumbers) != len(positions) or len(set(wavenumbers)) != len(wavenumbers) or min(wavenumbers) <= 0 or dispersion <= 0:
        raise InputError(
            f"solitons: wavenumbers={tuple(wavenumbers)}, positions={tuple(positions)}, dispersion={dispersion}; "
            "give one position per wavenumber, and distinct positive wavenumbers and a positive dispersion."
        )
    n = len(wavenumbers)
    log_a = {(i, j): 2 * math.log(abs(a - b) / (a + b)) for i, a in enumerate(wavenumbers) for j, b in enumerate(wavenumbers) if i != j}
    t = torch.as_tensor(t, dtype=x.dtype, device=x.device)
    theta = []
    for i, (a, start) in enumerate(zip(wavenumbers, positions, strict=True)):
        # To the right of soliton j, tau is dominated by subsets that hold j, which displaces i by log(a_ij)/A_i.
        behind = sum(log_a[i, j] for j in range(n) if positions[j] < start)
        theta.append(a * (x - start - dispersion * a**2 * t) - behind)
    exponents, slopes = [], []
    for size in range(n + 1):
        for subset in itertools.combinations(range(n), size):
            phase = torch.zeros_like(theta[0]) + sum(log_a[pair] for pair in itertools.combinations(subset, 2))
            exponents.append(phase + sum(theta[i] for i in subset))
            slopes.append(sum(wavenumbers[i] for i in subset))
    weight = torch.softmax(torch.stack(exponents, -1), -1)
    kappa = torch.tensor(slopes, dtype=x.dtype, device=x.device)
    mean = (weight * kappa).sum(-1, keepdim=True)
    return 12 * dispersion * (weight * (kappa - mean) ** 2).sum(-1)


def periodic_solitons(
    t: Any, x: Tensor, wavenumbers: Sequence[float], positions: Sequence[float], length: float, dispersion: float = 1.0
) -> Tensor:
    """:func:`solitons` with one image to each side added.

    An approximation on a periodic box, exact up to the products of tails of neighbouring images, and only until a
    soliton leaves the box for the second time.
    """
    return sum((solitons(t, x + n * length, wavenumbers, positions, dispersion) for n in (0, -1, 1)), start=torch.zeros_like(x))


def invariants(u: Tensor, grid: Grid, dispersion: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    r"""Mass :math:`\int u`, momentum :math:`\int u^2` and energy :math:`\int(u^3/3-\delta u_x^2)` of states ``(*batch, 1, x)``."""
    d = Fourier(grid)
    slope = d.values(d.x(d.field(u)))
    h = grid.cell_volume
    mass, momentum, energy = (h * q.sum((-2, -1)) for q in (u, u**2, u**3 / 3 - dispersion * slope**2))
    return mass, momentum, energy


def _soliton_problem(name: str, wavenumbers: Sequence[float], positions: Sequence[float], horizon: float, dt: float, reference: str) -> Problem:
    length = 2 * math.pi

    def exact(t: Any, x: Tensor) -> Tensor:
        return periodic_solitons(t, x, wavenumbers, positions, length)

    return Problem(
        name=f"korteweg_de_vries:{name}",
        equation=KortewegDeVries(),
        domain=Domain.periodic(length, origin=-math.pi),
        initial=Profile(lambda x: exact(0.0, x)),
        horizon=horizon,
        points=(512,),
        dt=dt,
        exact=exact,
        reference=reference,
        parameters={"wavenumbers": tuple(wavenumbers), "positions": tuple(positions)},
    )


def one_soliton(wavenumber: float = 16.0) -> Problem:
    r"""One soliton of speed :math:`A^2` on :math:`[-\pi,\pi]`, starting at -1, for one unit of length."""
    horizon = 1.28 / wavenumber**2
    return _soliton_problem("one_soliton", (wavenumber,), (-1.0,), horizon, horizon / 2000, "D. J. Korteweg & G. de Vries, Phil. Mag. 39 (1895) 422")


def two_solitons() -> Problem:
    """A = 25 from -2 overtakes A = 16 from -1: the case of Kassam & Trefethen, with the exact interaction as initial state."""
    reference = "A.-K. Kassam & L. N. Trefethen, SIAM J. Sci. Comput. 26 (2005) 1214; R. Hirota, Phys. Rev. Lett. 27 (1971) 1192"
    return _soliton_problem("two_solitons", (25.0, 16.0), (-2.0, -1.0), 0.006, 1e-6, reference)


def raissi2019() -> Problem:
    r""":math:`\delta=0.0025`, :math:`u_0=\cos\pi x` on [-1, 1), 512 points."""
    return Problem(
        name="korteweg_de_vries:raissi2019",
        equation=KortewegDeVries(0.0025),
        domain=Domain.periodic(2.0, origin=-1.0),
        initial=Profile(lambda x: torch.cos(math.pi * x)),
        horizon=1.0,
        points=(512,),
        dt=1e-4,
        reference="M. Raissi, P. Perdikaris & G. E. Karniadakis, J. Comput. Phys. 378 (2019) 686, section 4.2.1",
        parameters={"dispersion": 0.0025},
    )


def zabusky1965() -> Problem:
    r""":math:`\delta=0.022^2`, :math:`u_0=\cos\pi x` on [0, 2): the run in which solitons were found."""
    return Problem(
        name="korteweg_de_vries:zabusky1965",
        equation=KortewegDeVries(0.022**2),
        domain=Domain.periodic(2.0),
        initial=Profile(lambda x: torch.cos(math.pi * x)),
        horizon=3.6 / math.pi,
        points=(512,),
        dt=1e-4,
        reference="N. J. Zabusky & M. D. Kruskal, Phys. Rev. Lett. 15 (1965) 240",
        parameters={"dispersion": 0.022**2},
    )


def mixed(viscosity: float = 0.01, dispersion: float = 0.001) -> Problem:
    """Korteweg-de Vries-Burgers from a smooth wave: neither purely dissipative nor purely dispersive."""
    return Problem(
        name="korteweg_de_vries:mixed",
        equation=KortewegDeVriesBurgers(viscosity, dispersion),
        domain=Domain.periodic(2.0),
        initial=Profile(lambda x: 0.5 + torch.sin(math.pi * x)),
        horizon=1.0,
        points=(256,),
        dt=1e-3,
        reference="R. S. Johnson, J. Fluid Mech. 42 (1970) 49",
        parameters={"viscosity": viscosity, "dispersion": dispersion},
    )
