"""Two-dimensional flow: transform count, exact flows, the two forms tied together, budgets, published laws."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.rollout import rollout
from sciml.derivatives.fourier import Fourier
from sciml.derivatives.points import Points
from sciml.problems import navier_stokes as ns
from sciml.solvers.etdrk import ETDRK4
from sciml.spectral.power import power_spectrum
from sciml.spectral.random_fields import coloured_noise
from sciml.spectral.transforms import count_transforms

TORUS = Grid((48, 40), (2 * math.pi, 2 * math.pi))


def forcing(x: Any, y: Any) -> Any:
    """The curl of (sin 4y, 0.3 cos x)."""
    return -0.3 * torch.sin(x) - 4 * torch.cos(4 * y)


def body_force(x: Any, y: Any) -> tuple[Any, Any]:
    return torch.sin(4 * y), 0.3 * torch.cos(x)


def turbulence(grid: Grid = TORUS, seed: int = 0) -> Tensor:
    """A state inside the de-aliased band, ``(1, x, y)``."""
    u = coloured_noise(lambda k: torch.where((k > 0) & (k < 8), k, torch.zeros_like(k)), grid, torch.Generator().manual_seed(seed), points=27)
    return 3 * u[None] / u.std()


def right_hand_side(equation: ns.Vorticity, w: Tensor, grid: Grid = TORUS) -> Tensor:
    """The de-aliased semi-discretisation."""
    d = Fourier(grid, equation.degree)
    return equation.rhs(w, d)


def mean(*factors: Tensor) -> float:
    product = factors[0]
    for f in factors[1:]:
        product = product * f
    return float(product.sum(-3).mean())


@pytest.mark.parametrize("equation", [ns.Vorticity(0.01), ns.Vorticity(0.01, drag=0.1, mean_flow=(1.0, 2.0), forcing=forcing)])
def test_a_right_hand_side_costs_five_transforms(equation: ns.Vorticity) -> None:
    d = Fourier(TORUS, equation.degree)
    c = d.coefficients(d.field(turbulence()))
    with count_transforms() as count:
        d.coefficients(equation.nonlinear(d.from_coefficients(c), d))
    assert count[0] == 5


def test_taylor_green_with_a_mean_flow_is_reproduced_to_rounding() -> None:
    problem = ns.taylor_green(0.05, (1.0, -0.5))
    grid = problem.grid(32)
    with torch.no_grad():
        u = rollout(ETDRK4(problem.equation, grid, 0.02), problem.initial_state(grid), 100, every=50)
    for i, time in enumerate((0.0, 1.0, 2.0)):
        assert float((u[i] - problem.exact_state(grid, time)).abs().max()) < 1e-12
    # the flow moves: it is not the decaying wave at rest
    assert float((problem.exact_state(grid, 1.0) - problem.initial_state(grid) * math.exp(-0.1)).abs().max()) > 0.5


def test_diagnostics_of_taylor_green() -> None:
    """u = -cos x sin y, v = sin x cos y: E = 1/4, w = 2 cos x cos y: Z = 1/2, P = 1."""
    w = ns.taylor_green_vorticity(0.0, *TORUS.points(), 0.05)[None]
    x, y = TORUS.points()
    assert torch.allclose(ns.velocity(w, TORUS), torch.stack([-torch.cos(x) * torch.sin(y), torch.sin(x) * torch.cos(y)]), atol=1e-14)
    for value, expected in ((ns.energy(w, TORUS), 0.25), (ns.enstrophy(w), 0.5), (ns.palinstrophy(w, TORUS), 1.0), (ns.dissipation(w, 0.05), 0.05)):
        assert value.shape == () and abs(float(value) - expected) < 1e-14
    assert ns.energy(torch.stack([w, 2 * w]), TORUS).tolist() == pytest.approx([0.25, 1.0])


@pytest.mark.parametrize("mean_flow", [(0.0, 0.0), (0.7, -0.4)])
def test_the_velocity_pressure_residual_vanishes_for_taylor_green(mean_flow: tuple[float, float]) -> None:
    generator = torch.Generator().manual_seed(0)
    t, x, y = (3 * torch.rand((40, 1), dtype=torch.float64, generator=generator) for _ in range(3))
    d, field = Points.of(lambda t, x, y: torch.cat(ns.taylor_green_flow(t, x, y, 0.1, 2.0, mean_flow), -1), t, x, y)
    equation = ns.VelocityPressure(0.1)
    residual = d.values(equation.residual(field, d)).detach()
    assert residual.shape == (40, 3) and float(residual.abs().max()) < 1e-12
    # each term counts: another viscosity, or no pressure, breaks the balance
    assert float(d.values(ns.VelocityPressure(0.11).residual(field, d)).detach().abs().max()) > 1e-3
    u, v, p = d.split(field)
    assert float(d.values(equation.residual(d.stack(u, v, 0.0 * p), d)).detach().abs().max()) > 0.1
    w = d.curl((u, v))
    expected = ns.taylor_green_vorticity(*d.inputs, 0.1, 2.0, mean_flow)
    assert float((d.values(w) - expected).detach().abs().max()) < 1e-13


def test_the_curl_of_the_momentum_residual_is_the_vorticity_residual() -> None:
    """For a flow that solves nothing: psi a sum of waves, p arbitrary, with drag, forcing and a mean flow."""
    generator = torch.Generator().manual_seed(1)
    t, x, y = (3 * torch.rand((40, 1), dtype=torch.float64, generator=generator) for _ in range(3))
    waves = ((0.8, 1.0, 2.0, 0.3), (0.5, -3.0, 1.0, -0.7), (0.3, 2.0, 2.0, 1.1))
    mean_flow = (0.6, -0.2)

    def flow(t: Tensor, x: Tensor, y: Tensor) -> Tensor:
        u, v = mean_flow[0] + 0 * x, mean_flow[1] + 0 * x
        for a, k, m, omega in waves:
            theta = k * x + m * y + omega * t
            u, v = u + a * m * torch.sin(theta), v - a * k * torch.sin(theta)  # (-psi_y, psi_x) of a cos(theta)
        return torch.cat([u, v, torch.sin(x + 2 * y) * torch.cos(t)], -1)

    def stream(u: Any, shift: float) -> Tensor:
        t, x, y = d.inputs
        return sum((a * torch.cos(k * x + m * y + omega * t) for a, k, m, omega in waves), start=torch.zeros_like(x))

    d, field = Points.of(flow, t, x, y, inverse_laplacian=stream)
    momentum_x, momentum_y, divergence = d.split(ns.VelocityPressure(0.03, drag=0.2, forcing=body_force).residual(field, d))
    u, v, _ = d.split(field)
    vorticity = ns.Vorticity(0.03, drag=0.2, mean_flow=mean_flow, forcing=forcing)
    first, second = (d.values(f).detach() for f in (d.curl((momentum_x, momentum_y)), vorticity.residual(d.curl((u, v)), d)))
    assert float((first - second).abs().max()) < 1e-11 and float(first.abs().max()) > 1
    assert float(d.values(divergence).detach().abs().max()) < 1e-13


def test_both_forms_print() -> None:
    text = ns.VelocityPressure(0.1, drag=0.2, forcing=body_force).latex()
    assert text.count("= 0") == 3 and r"\nu" in text and "p_x" in text
    assert r"\nu" in ns.Vorticity(0.1).latex()


def test_energy_and_enstrophy_budgets() -> None:
    """dE/dt = <u.f> - 2 nu Z - 2 mu E - 2 nu4 P and dZ/dt = <w curl f> - 2 nu P - 2 mu Z - nu4 <|lap w|^2>."""
    nu, mu, nu4 = 0.02, 0.3, 1e-3
    w = turbulence()
    equation = ns.Vorticity(nu, drag=mu, hyperviscosity=nu4, mean_flow=(1.0, 0.5), forcing=forcing)
    rate = right_hand_side(equation, w)
    d = Fourier(TORUS)
    psi, lap = d.values(d.inverse_laplacian(d.field(w))), d.values(d.laplacian(d.field(w)))
    x, y = TORUS.points()
    force, g = torch.stack(body_force(x, y)), forcing(x, y)[None]
    energy, enstrophy, palinstrophy = (float(q) for q in (ns.energy(w, TORUS), ns.enstrophy(w), ns.palinstrophy(w, TORUS)))
    power = mean(ns.velocity(w, TORUS), force)
    assert abs(-mean(psi, rate) - (power - 2 * nu * enstrophy - 2 * mu * energy - 2 * nu4 * palinstrophy)) < 1e-12
    assert abs(mean(w, rate) - (mean(w, g) - 2 * nu * palinstrophy - 2 * mu * enstrophy - nu4 * mean(lap, lap))) < 1e-11
    assert abs(power) > 1e-4 and abs(float(ns.dissipation(w, nu)) - 2 * nu * enstrophy) < 1e-14


def test_the_dealiased_semi_discretisation_conserves_energy_and_enstrophy() -> None:
    w = turbulence(TORUS, 5)
    d = Fourier(TORUS, 2)
    inviscid = ns.Vorticity(0.0)
    band = d.values(d.from_coefficients(d.coefficients(d.field(w))))
    rate = right_hand_side(inviscid, band)
    psi = d.values(d.inverse_laplacian(d.field(band)))
    scale = float(rate.square().mean().sqrt())
    assert scale > 0.1
    assert abs(mean(band, rate)) < 1e-13 * scale * float(band.std()) and abs(mean(psi, rate)) < 1e-13 * scale
    # without de-aliasing aliased products leak enstrophy once the spectrum reaches the edge
    rough = torch.randn((1, 48, 40), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert abs(mean(rough, inviscid.rhs(rough, Fourier(TORUS)))) > 1e-6


def test_kolmogorov_flow_laminar_solution_and_energy_balance() -> None:
    problem = ns.kolmogorov(40.0, 4)
    grid = problem.grid(32)
    equation = problem.equation
    assert isinstance(equation, ns.Vorticity)
    laminar = ns.kolmogorov_laminar(*grid.points())[None]
    assert float(right_hand_side(equation, laminar, grid).abs().max()) < 1e-11
    assert abs(float(ns.energy(laminar, grid)) - 1.5625) < 1e-12 and problem.scores["laminar flow"]["energy"] == 1.5625
    assert abs(float(ns.dissipation(laminar, 1 / 40)) - 1.25) < 1e-12 and problem.scores["laminar flow"]["dissipation"] == 1.25
    _, y = grid.points()
    assert float((ns.velocity(laminar, grid)[0] - 2.5 * torch.sin(4 * y)).abs().max()) < 1e-12
    w = problem.initial_state(grid)
    assert abs(float(ns.energy(w, grid)) - 0.5) < 1e-12
    d = Fourier(grid)
    rate = right_hand_side(equation, w, grid)
    work = float((ns.velocity(w, grid)[0] * torch.sin(4 * y)).mean())
    assert abs(-mean(d.values(d.inverse_laplacian(d.field(w))), rate) - (work - float(ns.dissipation(w, 1 / 40)))) < 1e-12


def test_li2021_force_law_and_horizons() -> None:
    problem = ns.li2021(1e-4)
    grid = problem.grid(32)
    equation = problem.equation
    assert isinstance(equation, ns.Vorticity) and equation.forcing is not None
    x, y = grid.points()
    at_rest = right_hand_side(equation, torch.zeros((1, 32, 32), dtype=torch.float64), grid)
    expected = 0.1 * (torch.sin(2 * math.pi * (x + y)) + torch.cos(2 * math.pi * (x + y)))
    assert float((at_rest[0] - expected).abs().max()) < 1e-14
    assert [ns.li2021(nu).horizon for nu in (1e-3, 1e-4, 1e-5)] == [50.0, 30.0, 20.0]
    assert ns.li2021(1e-5).scores["FNO-2D"]["relative_l2"] == 0.1556
    w = problem.initial_state(grid, samples=40)
    variance = sum(343 * ((2 * math.pi) ** 2 * (k * k + m * m) + 49) ** -2.5 for k in range(-15, 16) for m in range(-15, 16) if k or m)
    assert abs(float(w.square().mean()) / variance - 1) < 0.1
    assert float(w.mean((-2, -1)).abs().max()) < 1e-13


def test_mcwilliams1984_spectrum_and_energy() -> None:
    problem = ns.mcwilliams1984()
    grid = problem.grid(256)
    w = problem.initial_state(grid, samples=4)
    assert float((ns.energy(w, grid) - 0.5).abs().max()) < 1e-6
    # a single mode has |w_k|^2 = k^4 |psi_k|^2 = k^3 / (1 + (k/6)^4); a shell holds about 2 pi k of them
    k, shells = power_spectrum(w[:, 0], grid)
    shape = shells.mean(0) / (2 * math.pi * k * k**3 / (1 + (k / 6) ** 4))
    assert abs(float(shape[10:30].mean() / shape[40:90].mean()) - 1) < 0.05
    assert abs(float(shape[4:8].mean() / shape[40:90].mean()) - 1) < 0.3


def test_bad_mean_flow_is_refused() -> None:
    with pytest.raises(InputError, match="give two, along x and y"):
        ns.Vorticity(0.1, mean_flow=(1.0,))
