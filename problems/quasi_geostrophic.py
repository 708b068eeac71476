r"""Two-layer quasi-geostrophic turbulence on a beta plane, driven by the baroclinic instability of a mean shear."""

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
from sciml.derivatives.fourier import Fourier
from sciml.solvers.adams_bashforth import AB2
from sciml.solvers.filtered import Filtered
from sciml.spectral.random_fields import coloured_noise

DAY = 86400.0
YEAR = 360 * DAY


class TwoLayerQG(Equation):
    r""":math:`q_{i,t} + J(\psi_i,q_i) + \beta_i\psi_{i,x} + U_iq_{i,x} = -r\,\delta_{i2}\Delta\psi_2`.

    .. math:: q_1=\Delta\psi_1+F_1(\psi_2-\psi_1),\quad q_2=\Delta\psi_2+F_2(\psi_1-\psi_2),\quad
              F_1=\frac{r_d^{-2}}{1+\delta},\quad F_2=\delta F_1,

    :math:`\beta_1=\beta+F_1(U_1-U_2)`, :math:`\beta_2=\beta-F_2(U_1-U_2)`. The inversion decouples into the barotropic
    mode, :math:`\Delta\psi_b=(F_2q_1+F_1q_2)/(F_1+F_2)`, and the baroclinic one, :math:`\Delta\tau-(F_1+F_2)\tau=q_1-q_2`, where
    :math:`\tau=\psi_1-\psi_2`. Everything linear, the drag included, is in the matrix symbol.

    Parameters
    ----------
    beta : planetary vorticity gradient, 1/(m s).
    radius : deformation radius :math:`r_d`, m.
    ratio : layer thicknesses :math:`\delta=H_1/H_2`.
    upper, lower : mean zonal flows :math:`U_1, U_2`, m/s.
    drag : bottom friction r, 1/s.
    """

    fields = ("q1", "q2")
    ndim = 2

    def __init__(
        self,
        beta: float = 1.5e-11,
        radius: float = 15000.0,
        ratio: float = 0.25,
        upper: Any = 0.025,
        lower: Any = 0.0,
        drag: Any = 5.787e-7,
    ) -> None:
        super().__init__()
        if not (radius > 0 and ratio > 0):
            raise InputError(f"TwoLayerQG: radius={radius}, ratio={ratio}; the deformation radius and the thickness ratio must be positive.")
        self.beta = beta
        self.radius = radius
        self.ratio = ratio
        self.upper = upper
        self.lower = lower
        self.drag = drag

    @property
    def coupling(self) -> tuple[float, float]:
        """(F1, F2)."""
        first = self.radius**-2 / (1 + self.ratio)
        return first, self.ratio * first

    def streamfunctions(self, q: Any, d: Derivatives) -> tuple[Any, Any]:
        """(psi1, psi2) from the potential vorticities of both layers, a field with two channels."""
        q1, q2 = d.split(q)
        f1, f2 = self.coupling
        barotropic = d.inverse_laplacian((f2 / (f1 + f2)) * q1 + (f1 / (f1 + f2)) * q2)
        baroclinic = d.inverse_laplacian(q1 - q2, f1 + f2)
        first, second = barotropic + (f1 / (f1 + f2)) * baroclinic, barotropic - (f2 / (f1 + f2)) * baroclinic
        return d.define("psi1", first), d.define("psi2", second)

    def linear(self, u: Any, d: Derivatives) -> Any:
        q1, q2 = d.split(u)
        psi1, psi2 = self.streamfunctions(u, d)
        f1, f2 = self.coupling
        shear = self.upper - self.lower
        first = -(self.beta + f1 * shear) * d.x(psi1) - self.upper * d.x(q1)
        second = -(self.beta - f2 * shear) * d.x(psi2) - self.lower * d.x(q2) - self.drag * d.laplacian(psi2)
        return d.stack(first, second)

    def nonlinear(self, u: Any, d: Derivatives) -> Any:
        # flux form: what conserves the mean of q with or without de-aliasing
        return d.stack(*(-d.div((-d.y(psi) * q, d.x(psi) * q)) for psi, q in zip(self.streamfunctions(u, d), d.split(u), strict=True)))

    def growth_rates(self, grid: Grid) -> Tensor:
        """Growth rate of the most unstable normal mode at every wavenumber of the half spectrum, 1/s."""
        matrix = self.symbol(grid).movedim((0, 1), (-2, -1))
        return torch.linalg.eigvals(matrix).real.amax(-1)

    # -- diagnostics of states (*batch, 2, x, y), shape (*batch,) -----------------------------------------------------

    def kinetic_energy(self, q: Tensor, grid: Grid) -> Tensor:
        r"""Eddy kinetic energy of each layer, :math:`\tfrac12\langle|\nabla\psi_i|^2\rangle`, shape ``(*batch, 2)``."""
        d = Fourier(grid)
        psi = d.stack(*self.streamfunctions(d.field(q), d))
        return sum((d.values(g).pow(2).mean((-2, -1)) / 2 for g in d.grad(psi)), start=torch.zeros((), dtype=q.dtype))

    def potential_energy_generation(self, q: Tensor, grid: Grid) -> Tensor:
        r"""Source of eddy energy from the mean shear per unit mass,
        :math:`\frac{\delta}{(1+\delta)^2}r_d^{-2}(U_1-U_2)\langle\tau\,\partial_x\psi_m\rangle`,
        where :math:`\psi_m` is the mean of both layers weighted by thickness."""
        d = Fourier(grid)
        psi1, psi2 = self.streamfunctions(d.field(q), d)
        weight = self.ratio / (1 + self.ratio)
        transport = d.values(d.x(weight * psi1 + (1 - weight) * psi2)) * d.values(psi1 - psi2)
        return (self.upper - self.lower) * self.radius**-2 * weight * (1 - weight) * transport.mean((-3, -2, -1))

    def drag_dissipation(self, q: Tensor, grid: Grid) -> Tensor:
        r"""Eddy energy lost to the bottom per unit mass, :math:`\frac{r}{1+\delta}\langle|\nabla\psi_2|^2\rangle`."""
        return 2 * self.drag / (1 + self.ratio) * self.kinetic_energy(q, grid)[..., 1]

    def energy(self, q: Tensor, grid: Grid) -> Tensor:
        r"""Total eddy energy per unit mass: kinetic of both layers, and potential
        :math:`\frac{\delta}{2(1+\delta)^2}r_d^{-2}\langle\tau^2\rangle`."""
        d = Fourier(grid)
        psi1, psi2 = self.streamfunctions(d.field(q), d)
        weight = self.ratio / (1 + self.ratio)
        kinetic = (self.kinetic_energy(q, grid) * torch.tensor([weight, 1 - weight], dtype=q.dtype, device=q.device)).sum(-1)
        return kinetic + weight * (1 - weight) * self.radius**-2 * d.values(psi1 - psi2).pow(2).mean((-3, -2, -1)) / 2


def exponential_filter(grid: Grid, strength: float, cutoff: float = 0.65 * math.pi) -> Tensor:
    r""":math:`e^{-s(k^*-c)^4}` for :math:`k^*>c`, else 1, with :math:`k^*=\sqrt{(k\,\Delta x)^2+(l\,\Delta y)^2}`, on the half spectrum.

    Small-scale dissipation of Arbic & Flierl, J. Phys. Oceanogr. 33 (2003), applied after every step.
    """
    scaled = [k * h for k, h in zip(grid.wavenumbers(), grid.spacing, strict=True)]
    size = sum((k**2 for k in scaled[1:]), start=scaled[0] ** 2).sqrt()
    return torch.exp(-strength * (size - cutoff).clamp_min(0.0) ** 4)


def pyqg_reference() -> Problem:
    """The reference run by which pyqg tests its two-layer model: 32 x 32 points, 3 years of 360 days.

    Its published figures (``scores``; see :func:`reference_figures`) belong to the second-order Adams-Bashforth steps they
    were made with: the wave is still growing at the end, and how far it has come depends on the step. A fourth-order
    scheme at this step ends with a sum of q1^2 of 8.73e-8; halving the step gives 8.95e-8 by it and 9.35e-8 by theirs.
    """
    length, n = 1e6, 32
    k = 10 * math.pi / length

    def profile(x: Tensor, y: Tensor) -> Tensor:
        upper = 1e-6 * torch.cos(k * x) + 1e-7 * torch.cos(k * y)
        return torch.stack([upper, torch.zeros_like(upper)])

    return Problem(
        name="quasi_geostrophic:pyqg_reference",
        equation=TwoLayerQG(beta=1.5e-11, radius=30000.0, ratio=0.25, upper=0.05, lower=0.0, drag=5.787e-7),
        domain=Domain.periodic((length, length), origin=length / (2 * n)),
        initial=Profile(profile),
        horizon=3 * YEAR,
        points=(n, n),
        dt=12800.0,
        scheme="ab2",
        dealias=False,
        filter=lambda grid: exponential_filter(grid, 18.4),
        reference="R. Abernathey et al., pyqg (MIT licence), pyqg/tests/test_reference_solns.py",
        scores={
            "pyqg": {
                "sum of q1^2 at the end": 9.561430503712755e-8,
                "mean EKE, both layers": 0.00833994,
                "mean APE generation x nx^2": 2.5225558e-7,
                "mean EKE dissipation x nx^2": 1.4806764e-7,
            }
        },
        parameters={"average_from": YEAR, "filter_strength": 18.4},
        units={"t": "s", "x": "m", "y": "m", "q1": "1/s", "q2": "1/s"},
    )


def reference_figures(problem: Problem) -> dict[str, float]:
    """The figures of :func:`pyqg_reference`, integrated as pyqg does: everything explicit, Adams-Bashforth 2, filter last.

    Averages are of the states before every step from year 1 on.
    """
    equation = problem.equation
    assert isinstance(equation, TwoLayerQG) and problem.filter is not None and problem.dt is not None
    grid = problem.grid()
    step = Filtered(AB2(equation, grid, problem.dt, dealias=problem.dealias), problem.filter(grid))
    first, last = (round(t / problem.dt) for t in (problem.parameters["average_from"], problem.horizon))
    totals = torch.zeros(3, dtype=torch.float64)
    with torch.no_grad():
        state = step.encode(problem.initial_state(grid))
        for n in range(last):
            if n >= first:
                q = step.decode(state)
                kinetic = equation.kinetic_energy(q, grid)
                totals += torch.stack([kinetic.sum(), equation.potential_energy_generation(q, grid), equation.drag_dissipation(q, grid)])
            state = step.advance(state)
        q = step.decode(state)
    kinetic, generation, dissipation = (totals / (last - first)).tolist()
    size = grid.shape[0] ** 2
    return dict(zip(problem.scores["pyqg"], (float(q[0].pow(2).sum()), kinetic, size * generation, size * dissipation), strict=True))


def eddy() -> Problem:
    """pyqg's default set-up: small eddies (deformation radius 15 km) in a box of 1000 km, 64 x 64 points."""
    length, n = 1e6, 64

    def sample(grid: Grid, generator: torch.Generator) -> Tensor:
        # white noise of 1e-7, plus 1e-6 times a function of x alone, both drawn on n - 1 points whatever the grid
        def white(k: Tensor, axes: int) -> Tensor:
            return torch.full_like(k, (n - 1) ** (-axes / 2))

        line = Grid(grid.shape[:1], grid.lengths[:1], origin=grid.origin[:1], dtype=grid.dtype, device=grid.device)
        stripes = coloured_noise(lambda k: white(k, 1), line, generator, points=n - 1).unsqueeze(-1)
        upper = 1e-7 * coloured_noise(lambda k: white(k, 2), grid, generator, points=n - 1) + 1e-6 * stripes
        return torch.stack([upper, torch.zeros_like(upper)])

    return Problem(
        name="quasi_geostrophic:eddy",
        equation=TwoLayerQG(),
        domain=Domain.periodic((length, length)),
        initial=RandomLaw(sample),
        horizon=10 * YEAR,
        points=(n, n),
        dt=7200.0,
        dealias=False,
        filter=lambda grid: exponential_filter(grid, 23.6),
        reference="R. Abernathey et al., pyqg (MIT licence), defaults of QGModel",
        parameters={"filter_strength": 23.6},
        units={"t": "s", "x": "m", "y": "m", "q1": "1/s", "q2": "1/s"},
    )
