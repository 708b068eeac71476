"""Coefficients estimated with the state: every member takes its own step, and twin experiments find the true values."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import sciml
from sciml.problems.lorenz import Lorenz96

LORENZ = "lorenz:sakov2008"


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (1, 2)])
def test_every_member_takes_the_step_of_its_own_coefficient(batch: tuple[int, ...]) -> None:
    step = sciml.augmented(LORENZ, ["forcing"])
    u = 8 * torch.rand(*batch, 1, 40, dtype=torch.float64, generator=generator())
    forcing = 6 + 4 * torch.rand(batch, dtype=torch.float64, generator=generator(1))
    state = step.joined(u, {"forcing": forcing})
    later = sciml.rollout(step, state, 4)[-1]
    assert step.channels == 2 and later.shape == state.shape
    torch.testing.assert_close(step.values(later)["forcing"], forcing)
    grid = step.grid
    for place in torch.cartesian_prod(*map(torch.arange, batch)).reshape(-1, len(batch)).tolist() if batch else [[]]:
        own = sciml.RK4(Lorenz96(float(forcing[tuple(place)])), grid, dt=0.05)
        torch.testing.assert_close(step.fields(later)[tuple(place)], sciml.rollout(own, u[tuple(place)], 4)[-1], rtol=0, atol=1e-12)


def test_linear_coefficients_of_exponential_schemes_and_logarithms() -> None:
    step = sciml.augmented("kuramoto_sivashinsky:cvitanovic2010", ["antidiffusion", "hyperdiffusion"], positive=["hyperdiffusion"])
    problem = sciml.load_problem("kuramoto_sivashinsky:cvitanovic2010")
    u = problem.initial_state(step.grid, generator(), samples=4).unflatten(0, (2, 2))
    first, second = torch.rand(2, 2, 2, dtype=torch.float64, generator=generator()) + 0.5
    later = step(step.joined(u, {"antidiffusion": first, "hyperdiffusion": second}))
    torch.testing.assert_close(later[1, 0, 2], second[1, 0].log().expand(64))
    kind = type(problem.equation)
    own = sciml.ETDRK4(kind(1.0, float(first[1, 0]), float(second[1, 0])), step.grid, dt=0.25)
    torch.testing.assert_close(step.fields(later)[1, 0], own(u[1, 0]), rtol=0, atol=1e-12)


def test_estimates_that_differ_by_place_are_averaged_by_the_next_forecast() -> None:
    step = sciml.augmented(LORENZ, ["forcing"])
    u = 8 * torch.rand(2, 1, 40, dtype=torch.float64, generator=generator())
    uneven = step.joined(u, {"forcing": 8.0})
    uneven[:, 1] += torch.linspace(-1, 2, 40, dtype=torch.float64)
    even = step.joined(u, {"forcing": 8.5})
    torch.testing.assert_close(step(uneven), step(even), rtol=0, atol=1e-12)
    torch.testing.assert_close(step.values(uneven)["forcing"], torch.full((2,), 8.5, dtype=torch.float64))


def test_instruments_see_fields_only() -> None:
    step = sciml.augmented(LORENZ, ["forcing"])
    seen = step.observing(sciml.Observation(sciml.every(5), 0.3))
    state = step.joined(torch.arange(40, dtype=torch.float64).reshape(1, 40), {"forcing": 99.0})
    assert seen(state).tolist() == list(range(0, 40, 5))
    places = seen.locations(2)
    assert places is not None and places.flatten().tolist() == list(range(0, 40, 5))
    assert seen.errors.variances(8, state).tolist() == pytest.approx([0.09] * 8)


@pytest.mark.parametrize("analysis", [sciml.ETKF(1.02, rotate=True), sciml.LETKF(1.03, radius=4.0), sciml.EnKF(1.04)], ids=["etkf", "letkf", "enkf"])
def test_the_forcing_of_lorenz_96_is_found(analysis: Any) -> None:
    step = sciml.augmented(LORENZ, ["forcing"])
    experiment = sciml.twin(LORENZ, sciml.Observation(sciml.every(1), 1.0), 120, members=40, experiments=2, spread=1.0, spin_up=5.0)
    run = step.twin(experiment, {"forcing": (6.5, 1.0)}).run(analysis)
    found = step.values(run.mean)["forcing"]
    assert float((found[0] - 8).abs().min()) > 0.3  # it began elsewhere
    torch.testing.assert_close(found[-40:].mean(0), torch.full((2,), 8.0, dtype=torch.float64), rtol=0.03, atol=0)
    assert "forcing" in run.to_xarray() and float(run.to_xarray()["forcing_truth"].mean()) == 8.0


def test_coefficients_of_partial_equations_are_found() -> None:
    name = "kuramoto_sivashinsky:cvitanovic2010"
    step = sciml.augmented(name, ["hyperdiffusion"], positive=["hyperdiffusion"])
    experiment = sciml.twin(name, sciml.Observation(sciml.every(4), 0.1), 50, members=20, every=4, spin_up=100.0, spread=0.2)
    run = step.twin(experiment, {"hyperdiffusion": (1.3, 0.2)}).run(sciml.ETKF(1.02, rotate=True))
    assert float(step.values(run.mean)["hyperdiffusion"][-1]) == pytest.approx(1.0, rel=0.02)
    step = sciml.augmented("burgers:li2021", ["viscosity"], positive=["viscosity"], points=64, dt=0.005)
    experiment = sciml.twin("burgers:li2021", sciml.Observation(sciml.every(4), 0.02), 20, members=30, points=64, dt=0.005, every=4)
    run = step.twin(experiment, {"viscosity": (0.05, 0.02)}).run(sciml.ETKF())
    assert float(step.values(run.mean)["viscosity"][-1]) == pytest.approx(0.1, rel=0.05)
    assert "log_viscosity" in run.to_xarray()


def test_an_ordinary_system_without_axes() -> None:
    step = sciml.augmented("lorenz:sakov2012", ["rho", "sigma"])
    u = torch.tensor([[1.0, 2, 20], [3, -1, 22]], dtype=torch.float64)
    later = step(step.joined(u, {"rho": torch.tensor([28.0, 30.0]), "sigma": 9.0}))
    kind = type(sciml.load_problem("lorenz:sakov2012").equation)
    torch.testing.assert_close(later[1, :3], sciml.RK4(kind(9.0, 30.0), step.grid, dt=0.01)(u[1]))
    torch.testing.assert_close(later[:, 3:], torch.tensor([[28.0, 9], [30, 9]], dtype=torch.float64))


def test_first_members_have_the_parameters_that_were_asked_for() -> None:
    experiment = sciml.twin(LORENZ, sciml.Observation(sciml.every(2), 1.0), 1, members=4000)
    for positive, expected in (([], 0.5), (["forcing"], 0.5)):
        step = sciml.augmented(LORENZ, ["forcing"], positive=positive)
        found = step.values(step.twin(experiment, {"forcing": (6.0, 0.5)}).ensemble)["forcing"]
        assert float(found.mean()) == pytest.approx(6.0, rel=0.01) and float(found.std()) == pytest.approx(expected, rel=0.05)
        assert found.shape == (4000,)


def test_gradients_reach_the_coefficient() -> None:
    step = sciml.augmented(LORENZ, ["forcing"])
    u = 8 * torch.rand(1, 40, dtype=torch.float64, generator=generator())

    def later(forcing: Tensor) -> Tensor:
        return step(step.joined(u, {"forcing": forcing}))

    assert torch.autograd.gradcheck(later, torch.tensor(8.0, dtype=torch.float64, requires_grad=True))


def test_parameters_that_do_not_fit_are_refused() -> None:
    with pytest.raises(sciml.InputError, match="each once: forcing"):
        sciml.augmented(LORENZ, ["viscosity"])
    with pytest.raises(sciml.InputError, match="each once"):
        sciml.augmented(LORENZ, ["forcing", "forcing"])
    with pytest.raises(sciml.InputError, match="positive=.'rho'. given"):
        sciml.augmented(LORENZ, ["forcing"], positive=["rho"])
    with pytest.raises(sciml.InputError, match="has no step of its own; give dt="):
        sciml.augmented("burgers:li2021", ["viscosity"], method="scipy")
    with pytest.raises(sciml.UnsupportedError, match="no evolution in time"):
        sciml.augmented("poisson:periodic", ["source"])
    step = sciml.augmented(LORENZ, ["forcing"], positive=["forcing"])
    u = torch.zeros(3, 1, 40, dtype=torch.float64)
    with pytest.raises(sciml.InputError, match="values of forcing are needed"):
        step.joined(u, {})
    with pytest.raises(sciml.InputError, match="least value -1 given, but it is said to be positive"):
        step.joined(u, {"forcing": -1.0})
    with pytest.raises(sciml.InputError, match=r"forcing of shape \(2,\) given; a number, or \(3,\)"):
        step.joined(u, {"forcing": torch.ones(2)})
    with pytest.raises(sciml.InputError, match="first values of"):
        step.twin(sciml.twin(LORENZ, sciml.Observation(sciml.every(2), 1.0), 1, members=3), {})
