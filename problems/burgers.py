r"""Burgers: :math:`u_t + (u^2/2)_x = \nu u_{xx}`, the simplest equation that steepens and dissipates."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sciml.core.conservation import ConservationLaw
from sciml.core.domain import Dirichlet, Domain
from sciml.core.errors import InputError
from sciml.core.problem import Problem, Profile, RandomLaw
from sciml.spectral.random_fields import GaussianRandomField

RAISSI = "M. Raissi, P. Perdikaris & G. E. Karniadakis, J. Comput. Phys. 378 (2019) 686, section 3.1"
RAISSI_SCORES = {
    "PINN, Adam, 5x100 (PINNacle, table 3)": {"relative_l2": 1.45e-2},
    "PINN, L-BFGS, 5x100 (PINNacle, table 3)": {"relative_l2": 1.33e-2},
}


class Burgers(ConservationLaw):
    r""":math:`u_t + \sum_i\partial_i(u^2/2) = \nu\Delta u`.

    Parameters
    ----------
    viscosity : :math:`\nu\ge 0`, a number, a tensor with one value per sample, or a parameter; 0 is inviscid.
    ndim : number of space axes; the flux is the same along each.

    *Good values*: an inviscid profile steepens into a shock at :math:`t=-1/\min u_0'`; a viscous shock between
    :math:`\pm U` has width :math:`2\nu/U`, which the grid must resolve.
    """

    def __init__(self, viscosity: Any, ndim: int = 1) -> None:
        super().__init__()
        smallest = viscosity.detach().min().item() if isinstance(viscosity, Tensor) else viscosity
        if not smallest >= 0:
            raise InputError(f"Burgers: viscosity={smallest} given; it must not be negative (0 is the inviscid equation).")
        self.viscosity = viscosity
        self.ndim = ndim

    def flux(self, u: Any) -> Any:
        f = u**2 / 2
        return f if self.ndim == 1 else (f,) * self.ndim

    def velocity(self, u: Any) -> Any:
        return u if self.ndim == 1 else (u,) * self.ndim

    def diffusivity(self, u: Any) -> Any:
        inviscid = not isinstance(self.viscosity, Tensor) and self.viscosity == 0
        return None if inviscid else self.viscosity


def cole_hopf(t: Any, x: Tensor, viscosity: Any) -> Tensor:
    r"""The solution from :math:`u(x, 0) = -\sin\pi x`, periodic with period 2, for any :math:`\nu > 0` and :math:`t\ge0`.

    .. math:: u = -\frac{\int\sin(\pi y)\,e^{\phi}\,ds}{\int e^{\phi}\,ds},\qquad
              \phi = -s^2 - \frac{\cos\pi y}{2\pi\nu},\quad y = x - 2\sqrt{\nu t}\,s

    [Cole, Quart. Appl. Math. 9 (1951) 225; Basdevant et al., Comput. Fluids 14 (1986) 23]. The integrands are entire
    and decay like a Gaussian, so the trapezoidal rule converges geometrically; exponents are taken relative to their
    largest value, so that no viscosity overflows.

    Parameters
    ----------
    t : time, a number or a tensor that broadcasts against x; differentiable for t > 0.
    x : positions, any shape.
    viscosity : a positive number or 0-d tensor; differentiable.
    """
    dtype, device = x.dtype, x.device
    t, nu = (torch.as_tensor(v, dtype=dtype, device=device) for v in (t, viscosity))
    if not (float(nu.detach().min()) > 0 and float(t.detach().min()) >= 0):
        raise InputError(f"cole_hopf: viscosity={viscosity}, t={t}; the viscosity must be positive and the time not negative.")
    shape = torch.broadcast_shapes(t.shape, x.shape)
    t, x = t.expand(shape).reshape(-1, 1), x.expand(shape).reshape(-1, 1)
    s = _nodes(float(nu.detach()), float(t.detach().min()), float(t.detach().max())).to(dtype=dtype, device=device)
    rows = max(1, 2**21 // len(s))
    parts = [_cole_hopf(a, b, nu, s) for a, b in zip(torch.split(t, rows), torch.split(x, rows), strict=True)]
    return torch.cat(parts).reshape(shape)


def _cole_hopf(t: Tensor, x: Tensor, nu: Tensor, s: Tensor) -> Tensor:
    y = x - 2 * torch.sqrt(nu * t) * s
    weight = torch.softmax(-(s**2) - torch.cos(math.pi * y) / (2 * math.pi * nu), dim=-1)
    return -(weight * torch.sin(math.pi * y)).sum(-1)


def _nodes(nu: float, first: float, last: float) -> Tensor:
    r"""Nodes of the trapezoidal rule in s for times between ``first`` and ``last``.

    Range: phi is at least :math:`-1/(2\pi\nu)` somewhere, and at least :math:`1/(2\pi\nu)-1/(4\nu t)` since a maximum of -cos
    lies within distance 1 of every x; beyond the range taken everything is below :math:`e^{-45}` times that.
    Spacing: moving the path to :math:`s+i\eta` shows an error below :math:`e^{g(\eta)-2\pi\eta/h}`, where
    :math:`g=\eta^2+a\eta+(\cosh a\eta-1)/(2\pi\nu)`, :math:`a=2\pi\sqrt{\nu t}`, bounds the growth of the integrands; h is the
    largest that brings this to :math:`e^{-45}` for some :math:`\eta`.
    """
    reach = 1 / (math.pi * nu)
    if first > 0:
        reach = min(reach, 1 / (4 * nu * first))
    a = 2 * math.pi * math.sqrt(nu * last)
    h = 0.0
    for i in range(1, 400):
        eta = 0.02 * i
        if a * eta < 300:  # cosh would overflow, and such an eta is useless
            h = max(h, 2 * math.pi * eta / (45 + eta**2 + a * eta + (math.cosh(a * eta) - 1) / (2 * math.pi * nu)))
    count = math.ceil(math.sqrt(reach + 45) / h)
    return h * torch.arange(-count, count + 1, dtype=torch.float64)


def _raissi(name: str, viscosity: Any, domain: Domain, points: int, dt: float | None) -> Problem:
    def exact(t: Any, x: Tensor) -> Tensor:
        return cole_hopf(t, x, viscosity)

    return Problem(
        name=f"burgers:{name}",
        equation=Burgers(viscosity),
        domain=domain,
        initial=Profile(lambda x: -torch.sin(math.pi * x)),
        horizon=1.0,
        points=(points,),
        dt=dt,
        exact=exact,
        reference=RAISSI,
        scores=RAISSI_SCORES,
        parameters={"viscosity": viscosity},
    )


def raissi2019(viscosity: Any = 0.01 / math.pi) -> Problem:
    r""":math:`u_0=-\sin\pi x` on [-1, 1] with :math:`u(\pm1)=0`: the shock test of physics-informed networks.

    The initial state is odd about 0 and about 1, hence so is the solution of period 2: it vanishes at :math:`\pm1`, and the
    periodic problem solved here is the Dirichlet problem. At the default viscosity 2048 points and this step keep the
    largest error of ETDRK4 below 5e-10 (1024 points: 2e-5 with de-aliasing).
    """
    return _raissi("raissi2019", viscosity, Domain.periodic(2.0, origin=-1.0), 2048, 2e-4)


def raissi2019_dirichlet(viscosity: Any = 0.01 / math.pi) -> Problem:
    """:func:`raissi2019` on the bounded box [-1, 1] with homogeneous Dirichlet conditions, for finite volumes and networks."""
    return _raissi("raissi2019_dirichlet", viscosity, Domain.box(-1.0, 1.0, Dirichlet(0.0)), 1024, None)


def mojgani2023(offset: float = 50.0, viscosity: Any = 0.01) -> Problem:
    r""":math:`u_0=\sin x + C` on :math:`[0,2\pi)`: a wave that steepens until t = 1 and moves at C, the test of Lagrangian physics-informed networks.

    With :math:`\xi=(x-Ct)/\pi-1` and :math:`\tau=t/\pi` it is C plus the solution of :func:`cole_hopf` at the viscosity :math:`\nu/\pi`.
    These points and this step keep the largest error of ETDRK4 below 5e-6 at the default values, and below 2e-12 at C = 0: what remains is the
    wave's motion.

    Parameters
    ----------
    offset : C, the mean of u and the speed of the frame in which the wave stands.
    """

    def exact(t: Any, x: Tensor) -> Tensor:
        return offset + cole_hopf(t / math.pi, (x - offset * t) / math.pi - 1, viscosity / math.pi)

    return Problem(
        name="burgers:mojgani2023",
        equation=Burgers(viscosity),
        domain=Domain.periodic(2 * math.pi),
        initial=Profile(lambda x: torch.sin(x) + offset),
        horizon=1.0,
        points=(1024,),
        dt=5e-5,
        exact=exact,
        reference="R. Mojgani, M. Balajewicz & P. Hassanzadeh, Comput. Methods Appl. Mech. Eng. 404 (2023) 115810, section 4",
        parameters={"offset": offset, "viscosity": viscosity},
    )


def kassam2005() -> Problem:
    r""":math:`\nu=0.03`, :math:`u_0=e^{-10\sin^2(x/2)}` on :math:`[-\pi,\pi]`, 256 points: the Burgers test of Kassam & Trefethen."""
    return Problem(
        name="burgers:kassam2005",
        equation=Burgers(0.03),
        domain=Domain.periodic(2 * math.pi, origin=-math.pi),
        initial=Profile(lambda x: torch.exp(-10 * torch.sin(x / 2) ** 2)),
        horizon=1.0,
        points=(256,),
        dt=1 / 256,
        dealias=False,
        reference="A.-K. Kassam & L. N. Trefethen, SIAM J. Sci. Comput. 26 (2005) 1214, section 4",
        parameters={"viscosity": 0.03},
    )


def chen2024(viscosity: float = 0.1) -> Problem:
    """Two axes: the hills and hollows of ``heat:chen2024``, which lean over along the diagonal."""
    return Problem(
        name="burgers:chen2024",
        equation=Burgers(viscosity, 2),
        domain=Domain.periodic((2 * math.pi,) * 2),
        initial=Profile(lambda x, y: torch.cosh(3 * torch.sin(x)) * torch.sinh(torch.sin(y)) / 25),
        horizon=4.0,
        points=(64, 64),
        dt=0.02,
        reference="Z. Chen, J. McCarran, E. Vizcaino, M. Soljacic & D. Luo, arXiv 2404.10771, section 4",
        parameters={"viscosity": viscosity},
    )


def li2021(viscosity: float = 0.1) -> Problem:
    r"""The Burgers data of the Fourier neural operator: :math:`u(\cdot,0)\mapsto u(\cdot,1)` on the unit interval.

    :math:`u_0\sim N(0, 625(-\partial_{xx}+25)^{-2})`, zero mean. The files that circulate under this name were made with
    another viscosity or domain than the paper states (at :math:`\nu=0.1` mode 1 decays by :math:`e^{-4\pi^2\nu}=0.019`), so
    the published figures below are orientation, not targets for this data.
    """
    law = GaussianRandomField(sigma=25.0, tau=5.0, alpha=2.0)
    return Problem(
        name="burgers:li2021",
        equation=Burgers(viscosity),
        domain=Domain.periodic(1.0),
        initial=RandomLaw(law.sample),
        horizon=1.0,
        points=(1024,),
        dt=1e-3,
        reference="Z. Li et al., ICLR 2021, arXiv 2010.08895, section 5.1",
        scores={
            "FNO, s=1024 (paper)": {"relative_l2": 0.0160},
            "LNO, s=1024 (paper)": {"relative_l2": 0.0217},
            "PCA+NN, s=1024 (paper)": {"relative_l2": 0.0391},
            "FCN, s=1024 (paper)": {"relative_l2": 0.1877},
            "FNO without BatchNorm, s=1024, 500 epochs (neuraloperator issue 30)": {"relative_l2": 2.54e-3},
        },
        parameters={"viscosity": viscosity},
    )
