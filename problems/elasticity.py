r"""Elastic bodies in the plane: rotation-free strain and change of volume, and cases of large and of small motions."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sciml.core.domain import Dirichlet, Domain, Free, Periodic
from sciml.core.elastic import ElasticBody, Load, Matrix
from sciml.core.errors import InputError
from sciml.core.problem import Problem, Profile


class FixedCorotated(ElasticBody):
    r"""The energy :math:`W=\mu\sum_i(\sigma_i-1)^2+\tfrac\lambda2(\det F-1)^2`, :math:`\sigma_i` the singular values of F.

    The first term is as rigid as possible: :math:`\sum_i(\sigma_i-1)^2=|F-R|^2` with the nearest rotation R. In the plane it is
    :math:`\tfrac12[(r-2)^2+c^2+s^2]`, :math:`r=|(F_{11}+F_{22}, F_{21}-F_{12})|`, :math:`c=F_{11}-F_{22}`, :math:`s=F_{12}+F_{21}`; where the
    body is turned inside out, one singular value counts as negative. For small strains the body is that of Hooke with Lame's moduli, and
    longitudinal and
    transverse waves have the speeds :math:`\sqrt{(\lambda+2\mu)/\rho}` and :math:`\sqrt{\mu/\rho}`.

    Parameters
    ----------
    shear, lame : :math:`\mu>0` and :math:`\lambda\ge0`, in Pa if lengths, masses and times are in SI units.
    density, load : as for :class:`ElasticBody`.

    A. Stomakhin, R. Howes, C. Schroeder & J. M. Teran, SCA 2012, 25 (the energy); O. Sorkine & M. Alexa, SGP 2007, 109 (its first term).
    """

    def __init__(self, shear: Any, lame: Any, density: Any = 1.0, load: Load = (0.0, 0.0)) -> None:
        super().__init__(density, load)
        if not (float(torch.as_tensor(shear).detach()) > 0 and float(torch.as_tensor(lame).detach()) >= 0):
            raise InputError(f"FixedCorotated: shear={shear}, lame={lame} given; a positive shear modulus and lame >= 0 are needed.")
        self.shear, self.lame = shear, lame

    def strains(self, f: Matrix) -> tuple[Any, ...]:
        (xx, xy), (yx, yy) = f
        a, b = xx + yy, yx - xy
        shear = self.shear**0.5
        return shear * ((a * a + b * b) ** 0.5 - 2.0), shear * (xx - yy), shear * (xy + yx), self.lame**0.5 * (xx * yy - xy * yx - 1.0)

    def stress(self, f: Matrix) -> Matrix:
        (xx, xy), (yx, yy) = f
        a, b = xx + yy, yx - xy
        stretch = self.shear * (1.0 - 2.0 / (a * a + b * b) ** 0.5)
        pressure = self.lame * (xx * yy - xy * yx - 1.0)
        c, s = self.shear * (xx - yy), self.shear * (xy + yx)
        return (stretch * a + c + pressure * yy, s - stretch * b - pressure * yx), (s + stretch * b - pressure * xy, stretch * a - c + pressure * xx)


def lame_of(young: float, poisson: float) -> tuple[float, float]:
    r"""Lame's moduli :math:`\mu=E/2(1+\nu)` and :math:`\lambda=E\nu/(1+\nu)(1-2\nu)` of a slab in plane strain, in the unit of ``young``."""
    if not (young > 0 and 0 <= poisson < 0.5):
        raise InputError(f"young={young}, poisson={poisson} given; a positive modulus and a ratio of at least 0 and below 0.5 are needed.")
    return young / (2 * (1 + poisson)), young * poisson / ((1 + poisson) * (1 - 2 * poisson))


def swinging_beam(
    length: float = 4.0,
    height: float = 1.0,
    young: float = 4e6,
    poisson: float = 0.3,
    density: float = 1000.0,
    gravity: float = 9.81,
) -> Problem:
    r"""A thick beam of soft rubber, clamped at its left end, that is let go from rest and swings under its own weight.

    With the values given its end falls by 1.69 m of 4 m within 0.76 s and comes back. The horizon is the longest period of a thin clamped beam,
    :math:`\tfrac{2\pi}{3.516}L^2\sqrt{12\rho(1-\nu^2)/(EH^2)}`, rounded up to 0.1 s. The sudden weight sends waves through the beam, and the
    strain is singular (weakly) in the two clamped corners: polynomials and networks alike converge slowly in the last digits.

    Parameters
    ----------
    length, height : L, H, in m.
    young, poisson : modulus of elasticity E in Pa, and ratio of Poisson.
    density : in kg per cubic metre.
    gravity : downwards, in m per second squared.
    """
    for name, value in (("length", length), ("height", height), ("density", density)):
        if not (value > 0 and math.isfinite(value)):
            raise InputError(f"elasticity:swinging_beam: {name}={value} given; a positive, finite number is needed.")
    period = 2 * math.pi / 3.516 * length**2 * math.sqrt(12 * density * (1 - poisson**2) / (young * height**2))
    return Problem(
        name="elasticity:swinging_beam",
        equation=FixedCorotated(*lame_of(young, poisson), density, (0.0, -gravity)),
        domain=Domain.box((0.0, 0.0), (length, height), Dirichlet(0.0), Free(), Free(), Free()),
        initial=Profile(_rest),
        horizon=math.ceil(10 * period) / 10,
        points=(33, 9),
        dt=0.025,
        reference="H. Chen et al., ICML 2023, arXiv 2210.00124 (the energy and the integrator; dimensions and moduli are ours)",
        parameters={"length": length, "height": height, "young": young, "poisson": poisson, "density": density, "gravity": gravity},
        units=UNITS,
    )


def longitudinal_wave(
    amplitude: float = 0.05, wavenumber: int = 1, shear: float = 1.0, lame: float = 1.0, density: float = 1.0, ends: str = "clamped"
) -> Problem:
    r"""A standing wave of compression along a slab that continues periodically across, exact at any amplitude.

    .. math:: d = (A\,s(kx)\cos\omega t,\ 0),\qquad k=n\pi,\quad \omega=k\sqrt{(\lambda+2\mu)/\rho}

    with s the sine between clamped ends and the cosine between free ones, on the unit square, for one period. For strains along one axis alone
    this body's energy is quadratic in them, and what stress there is across is the same everywhere along that direction.

    Parameters
    ----------
    amplitude, wavenumber : A and n, with :math:`Ak<1`, so that the body is not turned inside out.
    shear, lame, density : :math:`\mu,\lambda,\rho`, without dimensions.
    ends : "clamped" or "free".
    """
    who = "elasticity:longitudinal_wave"
    if ends not in ("clamped", "free"):
        raise InputError(f"{who}: ends={ends!r} given; choose 'clamped' or 'free'.")
    if not (isinstance(wavenumber, int) and wavenumber >= 1 and 0 < amplitude * wavenumber * math.pi < 1):
        raise InputError(f"{who}: amplitude={amplitude}, wavenumber={wavenumber} given; a whole n >= 1 and 0 < A n pi < 1 are needed.")
    body = FixedCorotated(shear, lame, density)
    k = wavenumber * math.pi
    omega = k * math.sqrt((lame + 2 * shear) / density)
    wave = torch.sin if ends == "clamped" else torch.cos
    face = Dirichlet(0.0) if ends == "clamped" else Free()

    def exact(t: Any, x: Tensor, y: Tensor) -> Tensor:
        phase = torch.as_tensor(omega * t, dtype=x.dtype, device=x.device)
        place = amplitude * wave(k * x) * torch.cos(phase)
        still = torch.zeros_like(place)
        return torch.stack([place, still, -omega * amplitude * wave(k * x) * torch.sin(phase), still])

    return Problem(
        name=who,
        equation=body,
        domain=Domain((0.0, 0.0), (1.0, 1.0), ((face, face), (Periodic(), Periodic()))),
        initial=Profile(lambda x, y: exact(0.0, x, y)),
        horizon=2 * math.pi / omega,
        points=(33, 8),
        dt=2 * math.pi / omega / 80,
        exact=exact,
        reference="K. F. Graff, Wave Motion in Elastic Solids, 1975, section 2.1 (a rod's standing waves)",
        parameters={"amplitude": amplitude, "wavenumber": wavenumber, "shear": shear, "lame": lame, "density": density, "ends": ends},
    )


UNITS = {"x": "m", "y": "m", "t": "s", "dx": "m", "dy": "m", "vx": "m s-1", "vy": "m s-1"}


def _rest(x: Tensor, y: Tensor) -> Tensor:
    return torch.stack([torch.zeros_like(x)] * 4)
