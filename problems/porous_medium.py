r"""The generalised porous medium equation :math:`u_t = \nabla\cdot(k(u)\,\nabla u)`: heat, porous medium, Stefan.

Cases on the unit interval after D. Hansen, D. C. Maddix, S. Alizadeh, G. Gupta & M. W. Mahoney, "Learning physical models
that can respect conservation laws" (ProbConserv), ICML 2023, arXiv:2302.11002, in order of difficulty; and the
self-similar solution of G. I. Barenblatt (1952) in one and two dimensions [J. L. Vazquez, The Porous Medium
Equation (2007), eq. (17.29)].
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
from scipy.optimize import brentq
from torch import Tensor

from sciml.core.conservation import ConservationLaw
from sciml.core.domain import Dirichlet, Domain, Neumann
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.problem import Problem, Profile

from .heat import Heat, mode

PROBCONSERV = "D. Hansen et al., ICML 2023, arXiv:2302.11002"


class PorousMedium(ConservationLaw):
    r""":math:`u_t = \nabla\cdot(\kappa\,|u|^m\,\nabla u)`: diffusion that stops where u is zero, so fronts move at finite speed.

    Parameters
    ----------
    exponent : m > 0, a number, a tensor with one value per sample, or a parameter.
    conductivity : :math:`\kappa`; with :math:`\kappa = m + 1` the equation reads :math:`u_t = \Delta(u^{m+1})` for u >= 0.
    ndim : number of space axes.

    Raises InputError for an exponent that is not positive (m = 0 is the heat equation; m < 0 is fast diffusion, singular at 0).
    """

    degree = None

    def __init__(self, exponent: Any = 1.0, conductivity: Any = 1.0, ndim: int = 1) -> None:
        super().__init__()
        smallest = exponent.detach().min().item() if isinstance(exponent, Tensor) else exponent
        if not smallest > 0:
            raise InputError(f"PorousMedium: exponent={smallest} given; it must be positive (use the heat equation for a constant coefficient).")
        self.exponent = exponent
        self.conductivity = conductivity
        self.ndim = ndim

    def diffusivity(self, u: Any) -> Any:
        return self.conductivity * abs(u) ** self.exponent

    def potential(self, u: Any) -> Any:
        return self.conductivity * u * abs(u) ** self.exponent / (self.exponent + 1)

    def exact(self, t: float, x: Tensor) -> Tensor:
        r""":math:`(m\,(t - x)_+)^{1/m}` (:math:`\kappa = 1`): a front that enters the empty half line at speed 1."""
        m = self.exponent
        result: Tensor = (m * torch.relu(t - x)) ** (1 / m)
        return result

    def front(self, t: float) -> float:
        """The position of the front of :meth:`exact`."""
        return t

    def mass(self, t: float) -> float:
        r"""The integral of :meth:`exact` over x > 0, :math:`m^{1+1/m}\,t^{1+1/m}/(m+1)`."""
        m = self.exponent
        return m ** (1 + 1 / m) / (m + 1) * t ** (1 + 1 / m)


class Stefan(ConservationLaw):
    r""":math:`u_t = (k(u) u_x)_x` with k = 1 where :math:`u\ge u_*` and 0 elsewhere: a jump that moves as :math:`\sqrt t`.

    With u = 1 at x = 0 and u = 0 ahead, :math:`u = 1 - c_1\,\mathrm{erf}(x/(2\sqrt t))` behind the front
    :math:`x = 2 z_1\sqrt t`, where :math:`c_1 = (1-u_*)/\mathrm{erf}\,z_1` and
    :math:`u_*\,\mathrm{erf}(z_1)\,z_1 e^{z_1^2} = (1-u_*)/\sqrt\pi`.

    Parameters
    ----------
    threshold : :math:`u_*` in (0, 1).
    """

    degree = None

    def __init__(self, threshold: float = 0.6) -> None:
        super().__init__()
        if not 0 < threshold < 1:
            raise InputError(f"Stefan: threshold={threshold} given; it must lie between the wall value 1 and the empty state 0.")
        self.threshold = threshold

        def balance(z: float) -> float:
            return threshold * math.erf(z) * z * math.exp(z * z) - (1 - threshold) / math.sqrt(math.pi)

        self._z1 = float(brentq(balance, 1e-12, 10.0, xtol=1e-15))
        self._c1 = (1 - threshold) / math.erf(self._z1)

    def diffusivity(self, u: Any) -> Any:
        return torch.where(u >= self.threshold, torch.ones_like(u), torch.zeros_like(u))

    def potential(self, u: Any) -> Any:
        return torch.relu(u - self.threshold)

    def exact(self, t: float, x: Tensor) -> Tensor:
        """The solution at t > 0; at t = 0 the empty state."""
        if t <= 0:
            return torch.zeros_like(x)
        behind = x <= self.front(t)
        return torch.where(behind, 1 - self._c1 * torch.erf(x / (2 * math.sqrt(t))), torch.zeros_like(x))

    def front(self, t: float) -> float:
        r""":math:`2 z_1\sqrt t`."""
        return 2 * self._z1 * math.sqrt(t)

    def mass(self, t: float) -> float:
        r""":math:`2 c_1\sqrt{t/\pi}`."""
        return 2 * self._c1 * math.sqrt(t / math.pi)


class Barenblatt:
    r"""The spreading of a point source, :math:`U = t^{-a}(C - k|x|^2t^{-2b})_+^{1/(m-1)}`, of :math:`U_t = \Delta(U^m)`.

    :math:`a = d/(d(m-1)+2)`, :math:`b = a/d`, :math:`k = a(m-1)/(2md)`.

    Parameters
    ----------
    exponent : m > 1.
    ndim : d.
    start : the time t0 > 0 of the solution at which the problem's clock reads 0.
    constant : C.
    """

    def __init__(self, exponent: float, ndim: int, start: float = 1.0, constant: float = 1.0) -> None:
        if not exponent > 1:
            raise InputError(f"Barenblatt: exponent={exponent} given; u_t = Lap(u^m) has a front for m > 1 only.")
        if not start > 0:
            raise InputError(f"Barenblatt: start={start} given; the solution is a point mass at time 0, so start must be positive.")
        m, d = exponent, ndim
        self.m, self.d, self.start, self.constant = m, d, start, constant
        self.a = d / (d * (m - 1) + 2)
        self.b = self.a / d
        self.k = self.a * (m - 1) / (2 * m * d)

    def exact(self, t: float, *x: Tensor) -> Tensor:
        """U at the clock time t, ``(*space)``."""
        s = t + self.start
        squared = torch.stack([c**2 for c in x]).sum(0)
        return s ** (-self.a) * torch.relu(self.constant - self.k * squared * s ** (-2 * self.b)) ** (1 / (self.m - 1))

    def front(self, t: float) -> float:
        r"""The radius :math:`\sqrt{C/k}\,(t + t_0)^b`."""
        return math.sqrt(self.constant / self.k) * (t + self.start) ** self.b

    def mass(self) -> float:
        r"""The integral of U over space, the same at all times: :math:`C^{p+d/2}(\pi/k)^{d/2}\,\Gamma(p+1)/\Gamma(p+1+d/2)`, p = 1/(m-1)."""
        p, half = 1 / (self.m - 1), self.d / 2
        return self.constant ** (p + half) * (math.pi / self.k) ** half * math.gamma(p + 1) / math.gamma(p + 1 + half)


@dataclass(frozen=True)
class CellAverages(Profile):
    """A profile sampled as means over the cells of the grid: where it has a front, point values would misstate the mass."""

    subdivisions: int = 16

    def sample(self, grid: Grid, generator: torch.Generator) -> Tensor:
        offsets = [(j + 0.5) / self.subdivisions - 0.5 for j in range(self.subdivisions)]
        total = torch.zeros(grid.shape, dtype=grid.dtype, device=grid.device)
        for offset in itertools.product(offsets, repeat=grid.ndim):
            total += self.function(*(x + o * h for x, o, h in zip(grid.points(), offset, grid.spacing, strict=True)))
        return total / self.subdivisions**grid.ndim


def heat(diffusivity: Any = 1.0) -> Problem:
    r""":math:`e^{-\kappa t}\sin x` on the periodic interval [0, 2 pi]; training range :math:`\kappa\in[1,5]`."""

    def exact(t: Any, x: Tensor) -> Tensor:
        return mode(t, (x,), (1.0,), diffusivity)

    return Problem(
        name="porous_medium:heat",
        equation=Heat(diffusivity),
        domain=Domain.periodic(2 * math.pi),
        initial=Profile(torch.sin),
        horizon=1.0,
        points=(128,),
        dt=1 / 256,
        exact=exact,
        reference=PROBCONSERV,
        parameters={"diffusivity": diffusivity},
    )


def pme(exponent: float = 3.0) -> Problem:
    r"""A front entering an empty interval, :math:`u(0, t) = (mt)^{1/m}`; training range m in [1, 6], tests m = 1 and 3."""
    equation = PorousMedium(exponent)

    def inflow(t: float) -> float:
        return float((exponent * max(t, 0.0)) ** (1 / exponent))

    scores = {
        1.0: {"ANP": _score(6.65, 3.489, 1.07), "SoftC-ANP": _score(5.46, 3.113, 1.23), "HardC-ANP": _score(0.0, 3.142, 0.54),
              "ProbConserv-ANP": _score(0.0, 3.564, 0.27)},
        3.0: {"ANP": _score(-1.29, 3.669, 2.01), "SoftC-ANP": _score(-0.57, 3.456, 2.16), "HardC-ANP": _score(0.0, 3.414, 1.96),
              "ProbConserv-ANP": _score(0.0, 3.681, 2.18)},
    }  # fmt: skip
    return Problem(
        name="porous_medium:pme",
        equation=equation,
        domain=Domain.box(0.0, 1.0, Dirichlet(inflow), Dirichlet(0.0)),
        initial=Profile(torch.zeros_like),
        horizon=1.0,
        points=(200,),
        dt=1 / 400,
        exact=equation.exact,
        scheme="finite_volume",
        reference=PROBCONSERV,
        scores=scores.get(float(exponent), {}),
        parameters={"exponent": exponent},
    )


def stefan(threshold: float = 0.6) -> Problem:
    r"""The jump of the Stefan problem entering an empty interval from u(0, t) = 1; training range :math:`u_*\in[0.55, 0.7]`."""
    equation = Stefan(threshold)
    scores = {
        0.6: {"ANP": _score(-12.90, 3.538, 53.7), "HardC-ANP": _score(0.0, 1.964, 51.7), "ProbConserv-ANP": _score(0.0, 3.559, 18.97)},
    }
    return Problem(
        name="porous_medium:stefan",
        equation=equation,
        domain=Domain.box(0.0, 1.0, Dirichlet(1.0), Dirichlet(0.0)),
        initial=Profile(torch.zeros_like),
        horizon=0.1,
        points=(200,),
        dt=1 / 4000,
        exact=equation.exact,
        scheme="finite_volume",
        reference=PROBCONSERV,
        scores=scores.get(threshold, {}),
        parameters={"threshold": threshold},
    )


def barenblatt1d(exponent: float = 2.0) -> Problem:
    r"""The self-similar solution of :math:`u_t = (u^m)_{xx}` on [-6, 6], from t0 = 1."""
    return _barenblatt("barenblatt1d", exponent, 1, 6.0, 200)


def barenblatt2d(exponent: float = 2.0) -> Problem:
    r"""The self-similar solution of :math:`u_t = \Delta(u^m)` on [-6, 6]^2, from t0 = 1."""
    return _barenblatt("barenblatt2d", exponent, 2, 6.0, 96)


def _barenblatt(case: str, exponent: float, ndim: int, half: float, points: int) -> Problem:
    source = Barenblatt(exponent, ndim)
    return Problem(
        name=f"porous_medium:{case}",
        equation=PorousMedium(exponent - 1.0, float(exponent), ndim),
        domain=Domain.box((-half,) * ndim, (half,) * ndim, Neumann(0.0)),
        initial=CellAverages(lambda *x: source.exact(0.0, *x)),
        horizon=1.0,
        points=(points,) * ndim,
        dt=1 / points,
        exact=source.exact,
        scheme="finite_volume",
        reference="G. I. Barenblatt, Prikl. Mat. Mekh. 16 (1952) 67; J. L. Vazquez, The Porous Medium Equation (2007), section 17.5",
        parameters={"exponent": exponent},
    )


def _score(mass_error: float, log_likelihood: float, squared_error: float) -> dict[str, float]:
    """Figures at the published test time: mass error x 1e3, mean log-likelihood, mean squared error x 1e4."""
    return {"mass_error_1e3": mass_error, "log_likelihood": log_likelihood, "mse_1e4": squared_error}
