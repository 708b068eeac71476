"""Two-layer quasi-geostrophic flow: inversion, instability, budgets, the filter, and pyqg's published run."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.derivatives.fourier import Fourier
from sciml.problems import quasi_geostrophic as qg
from sciml.spectral.random_fields import coloured_noise
from sciml.spectral.transforms import count_transforms

LENGTH = 1e6
GRID = Grid((32, 24), (LENGTH, 0.8 * LENGTH))
EQUATION = qg.TwoLayerQG(beta=1.5e-11, radius=30000.0, ratio=0.3, upper=0.05, lower=0.01, drag=5.787e-7)


def waves(seed: int) -> Tensor:
    k0 = 2 * math.pi / LENGTH
    return coloured_noise(lambda k: torch.where((k > 0) & (k < 5.5 * k0), 1.0, 0.0).to(k.dtype), GRID, torch.Generator().manual_seed(seed), points=17)


def potential_vorticity(psi: Tensor) -> Tensor:
    """The definition, from both streamfunctions ``(2, x, y)``."""
    d = Fourier(GRID)
    f1 = EQUATION.radius**-2 / (1 + EQUATION.ratio)
    lap = d.values(d.laplacian(d.field(psi)))
    return lap + torch.stack([f1 * (psi[1] - psi[0]), EQUATION.ratio * f1 * (psi[0] - psi[1])])


def state(seed: int = 0) -> tuple[Tensor, Tensor]:
    psi = 1e3 * torch.stack([waves(seed), waves(seed + 1)])
    return psi, potential_vorticity(psi)


def test_inversion_recovers_the_streamfunctions() -> None:
    psi, q = state()
    d = Fourier(GRID)
    result = d.values(d.stack(*EQUATION.streamfunctions(d.field(q), d)))
    assert float((result - psi).abs().max()) < 1e-9 * float(psi.abs().max())


def test_the_symbol_holds_the_linear_terms_and_ten_transforms_the_rest() -> None:
    psi, q = state()
    d = Fourier(GRID)
    beta1 = EQUATION.beta + EQUATION.coupling[0] * 0.04
    beta2 = EQUATION.beta - EQUATION.coupling[1] * 0.04
    dx = {name: d.values(d.x(d.field(v))) for name, v in (("psi", psi), ("q", q))}
    expected = torch.stack(
        [-beta1 * dx["psi"][0] - 0.05 * dx["q"][0], -beta2 * dx["psi"][1] - 0.01 * dx["q"][1] - 5.787e-7 * d.values(d.laplacian(d.field(psi)))[1]]
    )
    assert float((d.values(EQUATION.linear(d.field(q), d)) - expected).abs().max()) < 1e-10 * float(expected.abs().max())
    c = d.coefficients(d.field(q))
    applied = d.values(d.from_coefficients((EQUATION.symbol(GRID) * c).sum(1)))
    assert float((applied - expected).abs().max()) < 1e-10 * float(expected.abs().max())
    with count_transforms() as count:
        d.coefficients(EQUATION.nonlinear(d.from_coefficients(c), d))
    assert count[0] == 10


def test_the_nonlinear_term_is_the_jacobian_and_vanishes_for_a_plane_wave() -> None:
    psi, q = state()
    d = Fourier(GRID)
    jacobian = torch.cat([d.values(d.jacobian(d.field(psi[i : i + 1]), d.field(q[i : i + 1]))) for i in range(2)])
    flux = d.values(EQUATION.nonlinear(d.field(q), d))
    assert float((flux + jacobian).abs().max()) < 1e-10 * float(jacobian.abs().max())
    x, y = GRID.points()
    phase = 2 * math.pi * (3 * x / LENGTH - 2 * y / (0.8 * LENGTH))
    wave = potential_vorticity(1e3 * torch.stack([torch.cos(phase), 0.5 * torch.cos(phase + 0.3)]))
    assert float(d.values(EQUATION.nonlinear(d.field(wave), d)).abs().max()) < 1e-13 * float(jacobian.abs().max())


@pytest.mark.parametrize("ratio", [1.0, 0.25])
def test_growth_rates_are_those_of_phillips(ratio: float) -> None:
    r"""Normal modes exp(ik(x - ct)) without friction.

    (U1 - c)(F1 psi2 - (K2 + F1) psi1) + beta1 psi1 = 0 and the same for layer 2 give a c^2 + b c + d = 0 with U2 = 0:
    a = K2 (K2 + F1 + F2), b = beta1 (K2 + F2) + beta2 (K2 + F1) - U a, d = beta1 beta2 - U beta2 (K2 + F1).
    """
    u = 0.15
    equation = qg.TwoLayerQG(beta=1.5e-11, radius=30000.0, ratio=ratio, upper=u, lower=0.0, drag=0.0)
    f1, f2 = equation.coupling
    beta1, beta2 = 1.5e-11 + f1 * u, 1.5e-11 - f2 * u
    k, m = GRID.wavenumbers()
    k2 = (k**2 + m**2).clamp_min(1e-30)
    a = k2 * (k2 + f1 + f2)
    b = beta1 * (k2 + f2) + beta2 * (k2 + f1) - u * a
    d = beta1 * beta2 - u * beta2 * (k2 + f1)
    expected = m * 0 + k.abs() * (4 * a * d - b**2).clamp_min(0.0).sqrt() / (2 * a)
    rates = equation.growth_rates(GRID)
    nyquist = torch.zeros_like(expected, dtype=torch.bool)
    nyquist[GRID.shape[0] // 2] = True  # where odd derivatives are zero by convention
    close = (rates - expected).abs() < 1e-6 * float(expected.max())
    assert bool((close | nyquist).all()) and float(expected.max()) > 1e-7


def test_no_growth_below_the_critical_shear() -> None:
    """Layers of equal depth are stable where beta exceeds F U: no layer has a reversed gradient."""
    stable = qg.TwoLayerQG(radius=30000.0, ratio=1.0, upper=0.9 * 1.5e-11 * 2 * 30000.0**2, drag=0.0)
    unstable = qg.TwoLayerQG(radius=30000.0, ratio=1.0, upper=4 * 1.5e-11 * 2 * 30000.0**2, drag=0.0)
    assert float(stable.growth_rates(GRID).max()) < 1e-12 < 1e-7 < float(unstable.growth_rates(GRID).max())


def test_the_energy_budget_closes() -> None:
    """dE/dt = generation from the shear - bottom drag, for the de-aliased semi-discretisation."""
    _, q = state(4)
    d = Fourier(GRID, EQUATION.degree)
    band = d.values(d.from_coefficients(d.coefficients(d.field(q))))
    rate = EQUATION.rhs(band, d)
    # the energy is quadratic: a central difference is its exact derivative
    reach = rate * float(band.std() / rate.std())
    slope = (EQUATION.energy(band + reach, GRID) - EQUATION.energy(band - reach, GRID)) / 2 * float(rate.std() / band.std())
    generation, drag = EQUATION.potential_energy_generation(band, GRID), EQUATION.drag_dissipation(band, GRID)
    assert abs(float(slope - (generation - drag))) < 1e-9 * float(drag)
    assert abs(float(generation)) > 1e-3 * float(drag)


def test_diagnostics_of_a_single_wave() -> None:
    x, y = GRID.points()
    k, amplitude, turned = 2 * math.pi * 3 / LENGTH, 2e3, 0.4
    psi = amplitude * torch.stack([torch.cos(k * x), 0.5 * torch.cos(k * x + turned)]) + 0 * y
    q = potential_vorticity(psi)
    kinetic = EQUATION.kinetic_energy(q, GRID)
    assert kinetic.tolist() == pytest.approx([(k * amplitude) ** 2 / 4, (k * amplitude) ** 2 / 16], rel=1e-10)
    assert float(EQUATION.drag_dissipation(q, GRID)) == pytest.approx(5.787e-7 / 1.3 * (k * amplitude) ** 2 / 8, rel=1e-10)
    # <tau d_x psi_m> = k A1 A2 sin(turned) / 2, whatever the weights
    expected = 0.04 * 30000.0**-2 * 0.3 / 1.3**2 * k * amplitude**2 / 4 * math.sin(turned)
    assert abs(float(EQUATION.potential_energy_generation(q, GRID))) == pytest.approx(expected, rel=1e-10)
    assert EQUATION.kinetic_energy(torch.stack([q, 2 * q]), GRID)[1].tolist() == pytest.approx([4 * v for v in kinetic.tolist()])


def test_the_filter_touches_high_wavenumbers_only() -> None:
    grid = Grid((32, 32), (LENGTH, LENGTH))
    multiplier = qg.exponential_filter(grid, 18.4)
    assert multiplier.shape == (32, 17)
    k, m = (n * 2 * math.pi / 32 for n in (12, 5))
    size = math.hypot(k, m)
    assert size > 0.65 * math.pi and abs(float(multiplier[12, 5]) - math.exp(-18.4 * (size - 0.65 * math.pi) ** 4)) < 1e-14
    assert float(multiplier[10, 0]) == float(multiplier[0, 10]) == float(multiplier[-7, 7]) == 1.0
    assert abs(float(multiplier[16, 0]) / math.exp(-18.4 * (0.35 * math.pi) ** 4) - 1) < 1e-10


def test_the_published_pyqg_figures_are_reproduced() -> None:
    problem = qg.pyqg_reference()
    figures = qg.reference_figures(problem)
    for name, value in problem.scores["pyqg"].items():
        assert abs(figures[name] / value - 1) < 0.01, (name, figures[name], value)


def test_the_cases_have_their_own_filter() -> None:
    for problem, strength in ((qg.pyqg_reference(), 18.4), (qg.eddy(), 23.6)):
        grid = problem.grid()
        assert problem.filter is not None
        assert -math.log(float(problem.filter(grid)[0, -1])) == pytest.approx(strength * (0.35 * math.pi) ** 4, rel=1e-9)


def test_the_eddy_case_starts_from_stripes_and_noise() -> None:
    problem = qg.eddy()
    u = problem.initial_state(problem.grid(63), samples=60)
    assert float(u[:, 1].abs().max()) == 0.0
    stripes = u[:, 0].mean(-1)
    assert abs(float(stripes.std()) / 1e-6 - 1) < 0.1
    assert abs(float((u[:, 0] - stripes.unsqueeze(-1)).std()) / 1e-7 - 1) < 0.1


def test_bad_layers_are_refused() -> None:
    with pytest.raises(InputError, match="must be positive"):
        qg.TwoLayerQG(radius=0.0)
