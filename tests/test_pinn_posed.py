"""Equations that cannot be solved forward in time are refused, whoever wrote them; those that can are not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sciml
from sciml.methods.registry import methods
from sciml.problems import advection, allen_cahn, burgers, heat, kuramoto_sivashinsky, navier_stokes, porous_medium
from sciml.surrogates.pinn.posed import check_posed
from sciml.surrogates.pinn.states import state_of

F64 = torch.float64


class Own(sciml.Equation):
    """u_t = f(u, d)."""

    def __init__(self, slope: Callable[[Any, Any], Any], fields: tuple[str, ...] = ("u",)) -> None:
        super().__init__()
        self.slope, self.fields = slope, fields

    def nonlinear(self, u: Any, d: Any) -> Any:
        return self.slope(u, d)

    def latex(self) -> str:
        return "u_t = f(u)"


def own(slope: Callable[[Any, Any], Any], fields: int = 1, ndim: int = 1, length: float = 1.0, mean: float = 0.0) -> sciml.Problem:
    def start(*x: Tensor) -> Tensor:
        wave = mean + 0.5 * torch.sin(2 * math.pi * x[0] / length)
        return wave if fields == 1 else torch.stack([wave] * fields)

    return sciml.Problem(
        "own:case", Own(slope, tuple("uvw"[:fields])), sciml.Domain.periodic((length,) * ndim), sciml.Profile(start), 1.0, (16,) * ndim
    )


def pair(a: float, b: float) -> Callable[[Any, Any], Any]:
    """Two fields that diffuse and react."""

    def slope(u: Any, d: Any) -> Any:
        p, q = d.split(u)
        return d.stack(a * d.laplacian(p) - p * q, b * d.laplacian(q) + p)

    return slope


def split(first: Callable[[Any, Any, Any], Any], second: Callable[[Any, Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def slope(u: Any, d: Any) -> Any:
        p, q = d.split(u)
        return d.stack(first(p, q, d), second(p, q, d))

    return slope


ILL: dict[str, Callable[[], sciml.Problem]] = {
    "heat": lambda: own(lambda u, d: -0.1 * d.x(u, 2)),
    "slightly": lambda: own(lambda u, d: -1e-7 * d.x(u, 2)),
    "on a long domain": lambda: own(lambda u, d: -0.1 * d.x(u, 2), length=1e3),
    "Burgers": lambda: own(lambda u, d: -u * d.x(u) - 0.01 * d.x(u, 2)),
    "advection-diffusion": lambda: own(lambda u, d: -50 * d.x(u) - 1e-3 * d.x(u, 2)),
    "dispersion and anti-diffusion": lambda: own(lambda u, d: -d.x(u, 3) - 1e-6 * d.x(u, 2)),
    "Allen-Cahn": lambda: own(lambda u, d: 5 * (u - u**3) - 1e-4 * d.x(u, 2)),
    "porous medium": lambda: own(lambda u, d: -d.x(u**3, 2), mean=1.0),
    "hyperdiffusion": lambda: own(lambda u, d: -d.x(u, 2) + d.x(u, 4)),
    "eighth order": lambda: own(lambda u, d: d.x(u, 2) + 1e-12 * d.x(u, 8)),
    "of the place": lambda: own(lambda u, d: d.x((0.5 + torch.cos(d.coordinates()[0])) * d.x(u)), length=6.0),
    "one axis of three": lambda: own(lambda u, d: d.x(u, 2) + d.y(u, 2) - 0.01 * d.z(u, 2), ndim=3),
    "between the axes": lambda: own(lambda u, d: d.laplacian(u) + 3 * d.x(d.y(u)), ndim=2),
    "one field of two": lambda: own(pair(0.1, -0.2), fields=2),
    "one field of two in the plane": lambda: own(pair(-0.1, 0.2), fields=2, ndim=2),
    "elliptic system": lambda: own(split(lambda p, q, d: d.x(q), lambda p, q, d: -d.x(p)), fields=2),
    "elliptic wave": lambda: own(split(lambda p, q, d: q, lambda p, q, d: -d.x(p, 2)), fields=2),
    "a function that series do not know": lambda: own(lambda u, d: -torch.lgamma(u + 5) * d.x(u, 2)),
}
WELL: dict[str, Callable[[], sciml.Problem]] = {
    "Kuramoto-Sivashinsky": lambda: own(lambda u, d: -u * d.x(u) - d.x(u, 2) - d.x(u, 4), length=32.0),
    "with little hyperdiffusion": lambda: own(lambda u, d: -d.x(u, 2) - 1e-8 * d.x(u, 4)),
    "Korteweg-de Vries": lambda: own(lambda u, d: -u * d.x(u) + d.x(u, 3)),
    "pure reaction": lambda: own(lambda u, d: 5 * u - u**3),
    "pure advection": lambda: own(lambda u, d: 30 * d.x(u)),
    "porous medium": lambda: own(lambda u, d: d.x(u**3, 2), mean=1.0),
    "Cahn-Hilliard": lambda: own(lambda u, d: d.laplacian(u**3 - u - 1e-3 * d.laplacian(u)), ndim=2),
    "between the axes": lambda: own(lambda u, d: d.laplacian(u) + 1.5 * d.x(d.y(u)), ndim=2),
    "no diffusion in one direction": lambda: own(lambda u, d: d.x(u, 2) + d.y(u), ndim=2),
    "two fields": lambda: own(pair(0.1, 0.2), fields=2),
    "Schroedinger": lambda: own(split(lambda p, q, d: -d.x(q, 2), lambda p, q, d: d.x(p, 2)), fields=2),
    "shallow water": lambda: own(split(lambda p, q, d: -d.x(p * q), lambda p, q, d: -q * d.x(q) - d.x(p)), fields=2, mean=1.0),
    "wave": lambda: own(split(lambda p, q, d: q, lambda p, q, d: d.x(p, 2)), fields=2),
    # a double rate with a single wave, whose computed real parts are the root of rounding
    "Jordan block": lambda: own(split(lambda p, q, d: -1.3 * d.x(p, 3) - d.x(q, 3), lambda p, q, d: d.x(p, 3) + 0.7 * d.x(q, 3)), fields=2),
    "weakly hyperbolic": lambda: own(split(lambda p, q, d: -d.x(p * q), lambda p, q, d: -q * d.x(q)), fields=2),
    "a function that series do not know": lambda: own(lambda u, d: torch.lgamma(u + 5) * d.x(u, 2)),
}


def check(problem: sciml.Problem) -> None:
    check_posed(problem, problem.equation, state_of(problem, problem.grid(), None, who="X"), 0.0, problem.horizon, who="X")


@pytest.mark.parametrize("name", ILL)
def test_ill_posed_equations_are_refused(name: str) -> None:
    with pytest.raises(sciml.InputError, match="X: own:case is ill-posed forward in time: at t=.*, x=.*grow the faster the shorter"):
        check(ILL[name]())


@pytest.mark.parametrize("name", WELL)
def test_well_posed_equations_are_not(name: str) -> None:
    check(WELL[name]())


class Mixed(sciml.Equation):
    """u_t - a u_xxt = sign u_x with the short waves of u_x bounded by the mixed derivative, and u_xx unbounded no more."""

    def __init__(self, sign: float) -> None:
        super().__init__()
        self.sign = sign

    def residual(self, u: Any, d: Any) -> Any:
        return d.t(u) - d.t(d.x(u, 2)) - self.sign * d.x(u, 2)

    def latex(self) -> str:
        return "u_t - u_{xxt} = s u_{xx}"


def test_mixed_derivatives_bound_the_growth() -> None:
    for sign in (1.0, -1.0):  # rates -s k^2/(1 + k^2): bounded either way
        check(replace(own(lambda u, d: u), equation=Mixed(sign)))


def test_constraints_have_no_rate() -> None:
    def start(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack(navier_stokes.taylor_green_flow(0.0, x, y, 0.1))

    domain = sciml.Domain.periodic((2 * math.pi, 2 * math.pi))
    for viscosity in (0.1, 1e-3):
        check(sciml.Problem("own:case", navier_stokes.VelocityPressure(viscosity), domain, sciml.Profile(start), 1.0, (8, 8)))
    with pytest.raises(sciml.InputError, match=r"ill-posed.*negative here: viscosity=-0.1\)"):
        check(sciml.Problem("own:case", navier_stokes.VelocityPressure(-0.1), domain, sciml.Profile(start), 1.0, (8, 8)))


class Backward(sciml.ConservationLaw):
    """A law of one's own, with a diffusivity of the wrong sign."""

    def flux(self, u: Any) -> Any:
        return u**2 / 2

    def velocity(self, u: Any) -> Any:
        return u

    def diffusivity(self, u: Any) -> Any:
        return -0.05

    def latex(self) -> str:
        return "u_t + u u_x = -0.05 u_{xx}"


def test_pinn_and_lpinn_refuse_what_is_ill_posed() -> None:
    for make in ("heat", "one field of two"):
        with pytest.raises(sciml.InputError, match="PINN: own:case is ill-posed"):
            sciml.PINN(ILL[make](), width=4)
    with pytest.raises(sciml.InputError, match="PINN: own:case is ill-posed"):
        sciml.PINN(ILL["heat"](), width=4, initial="soft", bc="soft")
    problem = replace(advection.krishnapriyan2021(1.0), equation=advection.AdvectionDiffusion(1.0, 0.1))
    for kind in (sciml.PINN, sciml.LPINN):
        kind(problem, width=4)
        with pytest.raises(sciml.InputError, match=f"{kind.__name__}: advection:krishnapriyan2021 is ill-posed"):
            kind(replace(problem, equation=Backward()), width=4)
    sciml.PINN(kuramoto_sivashinsky.kassam2005(), width=4, points=32)
    sciml.PINN(porous_medium.barenblatt1d(), width=4, initial="soft", bc="soft")


@pytest.mark.parametrize(
    ("problem", "equation"),
    [
        (advection.krishnapriyan2021(), advection.AdvectionDiffusion(50.0, -0.01)),
        (allen_cahn.raissi2019(), allen_cahn.AllenCahn(-1e-4)),
        (kuramoto_sivashinsky.kassam2005(), kuramoto_sivashinsky.KuramotoSivashinsky(1.0, 1.0, -1.0)),
        (porous_medium.pme(), porous_medium.PorousMedium(3.0, -1.0)),  # empty at the start: the boundary tells
        (porous_medium.barenblatt1d(), porous_medium.PorousMedium(1.0, -1.0)),
    ],
    ids=lambda p: p.name if isinstance(p, sciml.Problem) else "",
)
def test_negative_coefficients_of_the_package_s_equations(problem: sciml.Problem, equation: Any) -> None:
    options: dict[str, Any] = {"width": 4, "bc": "soft", "initial": "soft"}
    sciml.PINN(problem, **options)
    with pytest.raises(sciml.InputError, match=r"PINN: .* is ill-posed forward in time.*negative here: \w+="):
        sciml.PINN(replace(problem, equation=equation), **options)


def test_vorticity_with_a_negative_viscosity() -> None:
    problem = navier_stokes.taylor_green(0.1)
    sciml.PINN(problem, width=4, points=8)
    problem.equation.viscosity = -0.1
    with pytest.raises(sciml.InputError, match=r"PINN: navier_stokes:taylor_green is ill-posed.*negative here: viscosity=-0.1"):
        sciml.PINN(problem, width=4, points=8)


def test_trained_coefficients_are_looked_at_where_they_start() -> None:
    kappa = nn.Parameter(torch.tensor(0.1))
    problem = replace(heat.periodic(1), equation=heat.Heat(kappa))
    sciml.PINN(problem, width=4)
    with torch.no_grad():
        kappa.fill_(-0.1)
    with pytest.raises(sciml.InputError, match=r"ill-posed.*kappa=-0.1"):
        sciml.PINN(problem, width=4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: burgers.raissi2019(-0.1), "Burgers: viscosity=-0.1 given; it must not be negative"),
        (lambda: heat.Heat(-0.1), "Heat: diffusivity=-0.1 given; it must not be negative"),
    ],
)
def test_classes_that_know_their_coefficients(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(sciml.InputError, match=message):
        make()


# -- inviscid laws ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("viscosity", [0, 0.0, torch.tensor(0.0)])
@pytest.mark.parametrize("kind", [sciml.PINN, sciml.LPINN])
def test_without_viscosity_a_law_is_said_to_be_inviscid(kind: type[Any], viscosity: Any) -> None:
    small: dict[str, Any] = {"width": 4}
    with pytest.raises(sciml.UnsupportedError, match=rf"{kind.__name__}: burgers:raissi2019 has no diffusion .it is inviscid.*cross at t=0\.3183"):
        kind(burgers.raissi2019(viscosity), **small)
    kind(burgers.raissi2019(viscosity), end=0.3, **small)
    kind(burgers.raissi2019(nn.Parameter(torch.tensor(0.0))), **small)  # one that is trained may become positive


@pytest.mark.parametrize("kind", [sciml.PINN, sciml.LPINN])
def test_characteristics_of_the_state_that_it_really_starts_from(kind: type[Any]) -> None:
    problem = burgers.raissi2019(0.0)
    with pytest.raises(sciml.UnsupportedError, match=r"inviscid.*cross at t=0\.6366, before 1"):
        kind(problem, width=4, state=lambda x: -0.5 * torch.sin(math.pi * x))
    kind(problem, width=4, state=lambda x: 0.1 * torch.sin(math.pi * x))  # steepens after the end
    with pytest.raises(sciml.UnsupportedError, match=r"inviscid.*cross at t=0\.7183, before 1"):
        kind(problem, width=4, start=0.4)  # 1/pi after its own start
    kind(problem, width=4, start=0.8)
    drawn = burgers.li2021(viscosity=0.0)  # a random state has a slope too
    with pytest.raises(sciml.UnsupportedError, match=r"inviscid.*cross at t=0\.\d+, before 1"):
        kind(drawn, width=4, points=64)
    grid = problem.grid(64)
    with pytest.raises(sciml.UnsupportedError, match=r"inviscid.*cross at t=0\.3183"):
        kind(problem, width=4, points=64, state=-torch.sin(math.pi * grid.points()[0]).unsqueeze(0))


def test_characteristics_in_the_plane_converge_along_both_axes() -> None:
    def bump(x: Tensor, y: Tensor) -> Tensor:
        return -0.2 * (torch.sin(math.pi * x) + torch.sin(math.pi * y))

    domain = sciml.Domain.periodic((2.0, 2.0), origin=(-1.0, -1.0))
    problem = sciml.Problem("burgers:own", burgers.Burgers(0.0, 2), domain, sciml.Profile(bump), 1.0, (16, 16))
    with pytest.raises(sciml.UnsupportedError, match=r"inviscid.*cross at t=0\.79"):  # 1/(0.4 pi), by differences on 128 samples
        sciml.PINN(problem, width=4)
    sciml.PINN(problem, width=4, end=0.75)


def test_windows_end_before_a_shock_that_a_later_one_would_meet() -> None:
    with pytest.raises(sciml.UnsupportedError, match=r"march_pinn: .*inviscid.*cross at t=0\.6366"):
        sciml.march_pinn(
            burgers.raissi2019(0.0), 4, options={"width": 4, "state": lambda x: -0.5 * torch.sin(math.pi * x)}, epochs=1, optimizer=torch.optim.Adam
        )


@pytest.mark.parametrize("name", ["pinn", "lpinn"])
def test_methods_of_compare_say_the_same(name: str) -> None:
    method = methods()[name]
    assert "inviscid" in str(method.applies(burgers.raissi2019(0.0)))
    assert "ill-posed" in str(method.applies(ILL["heat"]())) or name == "lpinn"
    assert method.applies(burgers.raissi2019(0.1)) is None
