"""Initial states with corners: hard, and rounded off by the equation's own linear part."""

from __future__ import annotations

import math

import pytest
import torch

import sciml
from sciml.problems import advection, allen_cahn, burgers, heat, navier_stokes, porous_medium
from sciml.surrogates.pinn.diffused import Diffused, rates_of


def tent(x):
    return (x - x.floor() - 0.5).abs()


def heated(points=512):
    problem = sciml.Problem(
        name="tent",
        equation=heat.Heat(0.02),
        domain=sciml.Domain.periodic(1.0),
        initial=sciml.Profile(tent),
        horizon=0.3,
        points=(64,),
    )
    torch.manual_seed(0)
    return problem, sciml.PINN(problem, width=6, depth=2, initial="diffused", points=points)


def fourier_tent(t, x, modes=200):
    """Of |x - 1/2| on the unit circle under u_t = 0.02 u_xx: its Fourier series by hand."""
    total = torch.full_like(x, 0.25)
    for k in range(1, 2 * modes, 2):
        total = total + 2 / (math.pi * k) ** 2 * torch.cos(2 * math.pi * k * x) * math.exp(-0.02 * (2 * math.pi * k) ** 2 * t)
    return total


def test_part_without_the_network_solves_a_linear_equation():
    _, pinn = heated()
    x = torch.linspace(0, 1, 41, dtype=torch.float64)
    for t in (0.05, 0.3):
        z = torch.stack([torch.full_like(x, t), x], -1)
        assert torch.allclose(pinn.ansatz.base(z)[:, 0], fourier_tent(t, x), atol=2e-5)


def test_start_is_the_initial_state_whatever_the_weights():
    problem, pinn = heated(64)
    grid = problem.grid(64)
    assert torch.allclose(pinn.field(grid, [0.0])[0], problem.initial_state(grid), atol=1e-13)


def test_training_leaves_nothing_to_learn():
    pinn = heated()[1]
    sciml.fit(pinn, epochs=12, loss=sciml.PinnObjective(sciml.Sobol(60)), optimizer=sciml.GaussNewton())
    x = torch.linspace(0, 1, 33, dtype=torch.float64)
    fine = fourier_tent(0.2, x)
    assert float((pinn(0.2, x)[:, 0].detach() - fine).norm() / fine.norm()) < 3e-5


@pytest.mark.parametrize("make", [lambda: allen_cahn.raissi2019(), lambda: burgers.raissi2019(viscosity=0.05), lambda: navier_stokes.taylor_green()])
def test_series_agree_with_nested_differentiation(make):
    torch.manual_seed(1)
    problem = make()
    points = (16, 16) if problem.domain.ndim == 2 else 64
    pinn = sciml.PINN(problem, width=5, depth=2, initial="diffused", points=points)
    assert isinstance(pinn.ansatz.state, Diffused) and pinn.table is not None
    unit = torch.rand((9, 1 + pinn.ndim), dtype=torch.float64)
    low = torch.tensor([0.0, *problem.domain.lower], dtype=torch.float64)
    high = torch.tensor([problem.horizon, *problem.domain.upper], dtype=torch.float64)
    z = low + (high - low) * unit
    nested, series = pinn.residual(z), pinn.residual_prepared(pinn.prepared(z))
    assert torch.allclose(series, nested, rtol=1e-9, atol=1e-9 * float(nested.abs().max()))


def test_rates_are_of_the_linear_part_and_never_negative():
    problem = allen_cahn.raissi2019()  # its reaction grows, which is not the state's to do
    grid = problem.grid(32)
    k = math.pi * torch.arange(17, dtype=torch.float64)
    assert torch.allclose(rates_of(problem.equation, grid, who="here"), 1e-4 * k**2, atol=1e-14)


def test_start_may_be_later():
    problem, _ = heated()
    pinn = sciml.PINN(problem, width=4, depth=1, initial="diffused", start=0.1, end=0.3, points=256)
    x = torch.linspace(0, 1, 17, dtype=torch.float64)
    assert torch.allclose(pinn(0.1, x)[:, 0], tent(x), atol=2e-3)
    z = torch.stack([torch.full_like(x, 0.3), x], -1)
    assert torch.allclose(pinn.ansatz.base(z)[:, 0], fourier_tent(0.2, x), atol=3e-5)


def test_files_and_single_precision(tmp_path):
    torch.manual_seed(0)
    pinn = sciml.PINN(allen_cahn.raissi2019(), width=4, depth=1, initial="diffused", points=128, dtype=torch.float32)
    pinn.save(tmp_path / "pinn.pt")
    again = sciml.PINN.load(tmp_path / "pinn.pt")
    x = torch.linspace(-1, 1, 9)
    assert torch.equal(again(0.5, x), pinn(0.5, x)) and again.options["initial"] == "diffused" and pinn(0.5, x).dtype == torch.float32


def test_refusals():
    with pytest.raises(sciml.UnsupportedError, match=r"one field on a periodic domain.*initial='hard'"):
        sciml.PINN(porous_medium.stefan(), initial="diffused", bc="soft")
    with pytest.raises(sciml.InputError, match="damps no wave"):
        sciml.PINN(advection.krishnapriyan2021(speed=2.0), initial="diffused")
    with pytest.raises(sciml.InputError, match="choose 'hard'.*'soft'.*'diffused'"):
        sciml.PINN(burgers.raissi2019(), initial="firm")
