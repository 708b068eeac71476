"""Inverse problems: coefficients within bounds, states that are not known at the start, and standard errors that are true."""

from __future__ import annotations

import copy
import csv
import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sciml
from sciml.problems import advection, burgers, heat, poisson
from sciml.surrogates.pinn.sandwich import Curvature, noise_of
from sciml.surrogates.pinn.unknowns import Bound

F64 = torch.float64
TAU = 2 * math.pi
KAPPA = 0.1
Data = tuple[Tensor, Tensor, Any]


def parameter(value: Any) -> nn.Parameter:
    return nn.Parameter(torch.tensor(value, dtype=F64))


def wave(t: Tensor, x: Tensor, kappa: float = KAPPA, speed: float = 0.0) -> Tensor:
    return torch.exp(-kappa * TAU**2 * t) * torch.sin(TAU * (x - speed * t))


def problem_of(equation: sciml.ResidualForm, name: str = "own:wave") -> sciml.Problem:
    domain = sciml.Domain.periodic(1.0)
    return sciml.Problem(name, equation, domain, sciml.Profile(lambda x: torch.sin(TAU * x)), 0.5, (32,))


def cooling(kappa: Any, **options: Any) -> sciml.PINN:
    torch.manual_seed(0)
    return sciml.PINN(problem_of(heat.Heat(kappa)), **{"width": 6, "depth": 1, **options})


def places(n: int, seed: int = 1, first: float = 0.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return first + (0.5 - first) * torch.rand(n, generator=generator, dtype=F64), torch.rand(n, generator=generator, dtype=F64)


def loss_of(n: int = 60, **weights: float) -> sciml.PinnObjective:
    return sciml.PinnObjective(points=sciml.Sobol(n), weights=weights)


def train(pinn: Any, data: Data, loss: sciml.PinnObjective, epochs: int, damping: float = 1e-3) -> None:
    sciml.fit(pinn, data=data, loss=loss, epochs=epochs, optimizer=sciml.GaussNewton(damping=damping))


# -- bounds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends", "values", "expected"),
    [
        ((0.5, None), [0.6, 2.5, 1e6], lambda xi: 0.5 + torch.exp(xi)),
        ((None, 2.0), [-50.0, 1.0, 1.999], lambda xi: 2 - torch.exp(xi)),
        ((-1.0, 3.0), [-0.999, 0.0, 2.9], lambda xi: -1 + 4 / (1 + torch.exp(-xi))),
    ],
)
def test_bounds_map_the_line_onto_their_interval(ends: tuple[Any, Any], values: list[float], expected: Callable[[Tensor], Tensor]) -> None:
    bound, c = Bound(*ends), torch.tensor(values, dtype=F64)
    torch.testing.assert_close(bound(bound.inverse(c)), c, rtol=1e-12, atol=0)
    xi = torch.tensor([-3.0, 0.2, 1.5], dtype=F64)
    torch.testing.assert_close(bound(xi), expected(xi), rtol=1e-14, atol=1e-14)
    far = bound(torch.tensor([-1e4, -40.0, 40.0, 1e4], dtype=F64))
    assert ends[0] is None or bool((far >= ends[0]).all())
    assert ends[1] is None or bool((far <= ends[1]).all())
    inside = bound.within(torch.tensor([e for e in ends if e is not None]))
    assert (
        torch.isfinite(bound.inverse(inside.double())).all() and float((inside - torch.tensor([e for e in ends if e is not None])).abs().max()) < 1e-6
    )


def test_several_bounded_coefficients_are_found_and_given_back() -> None:
    speed, kappa = parameter(1.2), nn.Parameter(torch.tensor(0.2))
    problem = problem_of(advection.AdvectionDiffusion((speed,), kappa))
    torch.manual_seed(0)
    pinn = sciml.PINN(problem, width=8, depth=2, bounds={"speed.0": (-1.0, 2.0), "diffusivity": (0.01, None)})
    assert not any(p is kappa or p is speed for p in pinn.parameters()) and kappa.dtype is F64
    assert {name: float(c) for name, c in pinn.coefficients().items()} == pytest.approx({"speed.0": 1.2, "diffusivity": 0.2}, rel=1e-7)
    t, x = places(40)
    train(pinn, (t, x, wave(t, x, 0.05, 0.7)), loss_of(60), 25)
    assert speed.item() == pytest.approx(0.7, abs=2e-3) and kappa.item() == pytest.approx(0.05, rel=2e-2)
    assert pinn.coefficients() == {"speed.0": speed, "diffusivity": kappa}
    assert problem.equation.diffusivity is kappa and kappa.requires_grad
    # the residual is that of the equation with these numbers
    again = sciml.PINN(problem_of(advection.AdvectionDiffusion((speed.item(),), kappa.item())), width=8, depth=2)
    again.network.load_state_dict(pinn.network.state_dict())
    z = torch.rand(7, 2, dtype=F64) * 0.5
    expected = again.residual(z)
    for found in (pinn.residual(z), pinn.residual_prepared(pinn.prepared(z))):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("optimizer", [lambda p: torch.optim.SGD(p, lr=1e4), lambda p: torch.optim.Adam(p, lr=30.0), sciml.GaussNewton(damping=0.0)])
def test_no_step_leaves_the_bounds(optimizer: Any) -> None:
    kappa = parameter(0.2)
    pinn = cooling(kappa, bounds={"kappa": (0.15, 0.5)})
    t, x = places(20)
    for _ in range(3):
        sciml.fit(pinn, data=(t, x, wave(t, x)), loss=loss_of(30), epochs=1, optimizer=optimizer, schedule="constant")
        assert 0.15 < kappa.item() < 0.5
        assert 0.15 <= float(pinn.coefficients()["kappa"]) <= 0.5


def test_bounded_coefficients_in_files(tmp_path: Path) -> None:
    nu = parameter(0.2)
    torch.manual_seed(0)
    pinn = sciml.PINN(burgers.raissi2019(viscosity=nu), width=5, depth=1, bounds={"viscosity": (0.1, 0.3)})
    with torch.no_grad():
        pinn.unknowns.free["viscosity"].fill_(60.0)  # so far that rounding puts it on the bound
    pinn.save(tmp_path / "pinn.pt")
    assert nu.item() < 0.3 and nu.item() == pytest.approx(0.3, abs=1e-12)
    again = sciml.PINN.load(tmp_path / "pinn.pt")
    assert again.unknowns.free["viscosity"].item() == 60.0
    assert again.problem.parameters["viscosity"].item() == nu.item() and again.options["bounds"] == {"viscosity": [0.1, 0.3]}
    z = torch.rand(5, 2, dtype=F64)
    assert torch.equal(again.residual(z), pinn.residual(z))


def test_bounded_coefficients_in_checkpoints(tmp_path: Path) -> None:
    t, x = places(20)
    found = []
    for name, lengths in (("whole", (6,)), ("parts", (3, 6))):
        for epochs in lengths:
            kappa = parameter(0.2)
            pinn = cooling(kappa, bounds={"kappa": (0.0, None)})
            place = tmp_path / f"{name}.ckpt"
            sciml.fit(
                pinn, (t, x, wave(t, x)), loss=loss_of(30), epochs=epochs, optimizer=sciml.GaussNewton(), checkpoint=place, resume=place.exists()
            )
        found.append((kappa.item(), pinn.state_dict()["unknowns.free.kappa"].item()))
    assert found[0] == found[1] and math.log(found[0][0]) == pytest.approx(found[0][1], rel=1e-12)
    other = cooling(parameter(0.2), bounds={"kappa": (0.0, 5.0)})
    with pytest.raises(sciml.InputError, match="checkpoint of another training"):
        sciml.fit(
            other, (t, x, wave(t, x)), loss=loss_of(30), epochs=6, optimizer=sciml.GaussNewton(), checkpoint=tmp_path / "whole.ckpt", resume=True
        )


def test_precision_averages_and_copies() -> None:
    kappa = parameter(0.2)
    pinn = cooling(kappa, bounds={"kappa": (0.0, None)})
    pinn.to(torch.float32)
    assert kappa.dtype is torch.float32 and pinn.coefficients()["kappa"].dtype is torch.float32
    t, x = places(20)
    sciml.fit(pinn, (t, x, wave(t, x)), loss=loss_of(30), epochs=4, optimizer=torch.optim.Adam, lr=0.1, schedule="constant", ema=0.9)
    assert kappa.item() == pytest.approx(math.exp(pinn.unknowns.free["kappa"].item()), rel=1e-6) and kappa.item() != pytest.approx(0.2, rel=1e-3)
    twin = copy.deepcopy(pinn)
    with torch.no_grad():
        twin.unknowns.free["kappa"].add_(1.0)
    assert twin.coefficients()["kappa"].item() == pytest.approx(math.e * kappa.item(), rel=1e-5)
    assert pinn.coefficients()["kappa"].item() == kappa.item()


def test_bounds_of_nested_and_shared_coefficients() -> None:
    shared, other = parameter(0.2), nn.ParameterList([parameter(0.3)])

    class Listed(sciml.Equation):
        def __init__(self) -> None:
            super().__init__()
            self.rates = other

        def linear(self, u: Any, d: sciml.Derivatives) -> Any:
            return self.rates[0] * u

    equation = advection.AdvectionDiffusion(shared, shared) + Listed()
    torch.manual_seed(0)
    pinn = sciml.PINN(problem_of(equation), width=4, depth=1, bounds={"first.speed": (0.0, 1.0), "second.rates.0": (None, 1.0)})
    assert set(pinn.coefficients()) == {"first.speed", "second.rates.0"}
    trained = {name for name, p in pinn.named_parameters() if p.requires_grad and not name.startswith("network")}
    assert trained == {"unknowns.free.first_speed", "unknowns.free.second_rates_0"}
    with torch.no_grad():
        pinn.unknowns.free["first_speed"].fill_(0.0)
        pinn.unknowns.free["second_rates_0"].fill_(0.0)
    pinn.coefficients()
    assert shared.item() == 0.5 and other[0].item() == 0.0
    plain = sciml.PINN(problem_of(advection.AdvectionDiffusion(0.5, 0.5) + (lambda u, d: 0.0 * u)), width=4, depth=1)
    plain.network.load_state_dict(pinn.network.state_dict())
    z = torch.rand(5, 2, dtype=F64) * 0.5
    torch.testing.assert_close(pinn.residual(z), plain.residual(z), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"nu": (0.0, None)}, r"bounds of 'nu' given; the equation's coefficients are diffusivity, speed"),
        ({"speed": (0.0, None)}, r"'speed' given, which is not trained; make it a torch.nn.Parameter"),
        ({"diffusivity": (0.3, 0.1)}, r"\(0.3, 0.1\) of 'diffusivity' given; the lower one must be below"),
        ({"diffusivity": (0.5, None)}, r"'diffusivity' starts at 0.2, not between its bounds 0.5 and None"),
        ({"diffusivity": (0.0, 0.2)}, r"starts at 0.2, not between its bounds 0.0 and 0.2"),
        ({"diffusivity": (None, None)}, r"bounds \(None, None\) of 'diffusivity' given; \(lower, upper\) is needed"),
        ({"diffusivity": (0.0, math.inf)}, r"finite numbers, one of them may be None"),
        ({"diffusivity": 3.0}, r"bounds 3.0 of 'diffusivity' given"),
        ([("diffusivity", 0.0, 1.0)], r"bounds is a list; a mapping such as"),
    ],
)
def test_bounds_that_cannot_be_kept(bounds: Any, message: str) -> None:
    with pytest.raises(sciml.InputError, match=f"PINN: .*{message}"):
        sciml.PINN(problem_of(advection.AdvectionDiffusion(1.0, parameter(0.2))), bounds=bounds)


def test_one_parameter_with_two_bounds() -> None:
    shared = parameter(0.2)
    with pytest.raises(sciml.InputError, match="'speed' and 'diffusivity' are one parameter with two bounds"):
        sciml.PINN(problem_of(advection.AdvectionDiffusion(shared, shared)), bounds={"speed": (0.0, 1.0), "diffusivity": (0.0, 2.0)})


def test_without_bounds_the_equation_is_the_problems_own() -> None:
    kappa = parameter(0.2)
    pinn = cooling(kappa)
    assert pinn.equation is pinn.problem.equation and pinn.coefficients() == {"kappa": kappa}
    with pytest.raises(sciml.InputError, match="must not be negative"):
        cooling(parameter(-0.1))


def test_a_lagrangian_network_with_a_bounded_coefficient() -> None:
    kappa = parameter(0.2)
    equation = advection.AdvectionDiffusion(3.0, kappa)
    torch.manual_seed(0)
    lpinn = sciml.LPINN(problem_of(equation), width=6, depth=1, path_width=4, path_depth=1, bounds={"diffusivity": (0.0, None)})
    t, x = places(30)
    generator = torch.Generator().manual_seed(3)
    data = (t, x, wave(t, x, KAPPA, 3.0) + 0.01 * torch.randn(30, generator=generator, dtype=F64))
    loss = loss_of(50)
    train(lpinn, data, loss, 20)
    found = sciml.estimate(lpinn, data, loss=loss, noise=0.01)
    bound = 0.01 / float((TAU**2 * t * wave(t, x, KAPPA, 3.0)).norm())
    assert found.standard_errors["diffusivity"] == pytest.approx(bound, rel=0.1)
    assert kappa.item() == pytest.approx(KAPPA, abs=3 * bound) and kappa.item() == found.values["diffusivity"]
    band = found.band(0.25, torch.tensor([0.1, 0.6], dtype=F64))
    assert torch.equal(band.value, lpinn(0.25, torch.tensor([0.1, 0.6], dtype=F64)).detach())
    with pytest.raises(sciml.UnsupportedError, match="LPINN: initial='free' given"):
        sciml.LPINN(problem_of(equation), initial="free")


# -- unknown initial states --------------------------------------------------------------------------------------------


def test_the_state_at_the_start_from_later_observations() -> None:
    pinn = cooling(0.05, initial="free", width=10, depth=2)
    assert pinn.ansatz.state is None and pinn.soft_state is None
    t, x = places(80, first=0.15)
    generator = torch.Generator().manual_seed(2)
    other = torch.cos(TAU * x) * torch.exp(-0.05 * TAU**2 * t)  # nothing like the problem's own initial state
    data = (t, x, other + 0.01 * torch.randn(80, generator=generator, dtype=F64))
    loss = loss_of(150, equation=10.0)
    train(pinn, data, loss, 40)
    x = torch.linspace(0, 1, 21, dtype=F64)
    start = pinn(0.0, x)[:, 0].detach()
    assert float((start - torch.cos(TAU * x)).norm() / torch.cos(TAU * x).norm()) < 0.03
    band = sciml.estimate(pinn, data, loss=loss).band(0.0, x)
    assert set(sciml.fit(pinn, data=data, loss=loss, epochs=1).parts) == {"equation", "data"}
    inside = (band.lower[:, 0] <= torch.cos(TAU * x)) & (torch.cos(TAU * x) <= band.upper[:, 0])
    assert int(inside.sum()) >= 15 and float(band.standard_error.max()) < 0.03


def test_choices_of_the_initial_state(tmp_path: Path) -> None:
    with pytest.raises(sciml.InputError, match=r"initial='none' given; choose 'hard' \(built in\) or 'soft' \(a term of the loss\), or 'free'"):
        cooling(0.1, initial="none")
    with pytest.raises(sciml.InputError, match="a state given with initial='free', which leaves the initial state to the data"):
        cooling(0.1, initial="free", state=torch.sin)
    with pytest.raises(sciml.InputError, match=r"bc='free' given; choose 'hard' \(built in\) or 'soft' \(a term of the loss\)\."):
        cooling(0.1, bc="free")
    shock = replace(burgers.raissi2019(viscosity=0.0), exact=None)
    with pytest.raises(sciml.UnsupportedError, match="characteristics"):
        sciml.PINN(shock)
    assert sciml.PINN(shock, initial="free", width=3, depth=1).options["initial"] == "free"
    pinn = sciml.PINN(burgers.raissi2019_dirichlet(0.1), initial="free", width=4, depth=1)
    assert float(pinn(0.3, torch.tensor([-1.0, 1.0])).detach().abs().max()) < 1e-15 and float(pinn(0.0, torch.tensor(0.5)).detach().abs()) > 0
    pinn.save(tmp_path / "free.pt")
    assert torch.equal(sciml.PINN.load(tmp_path / "free.pt").field(), pinn.field())


# -- standard errors: algebra ------------------------------------------------------------------------------------------


def test_curvature_is_the_inverse_of_the_hessian() -> None:
    torch.manual_seed(0)
    j = torch.randn(30, 7, dtype=F64)
    hessian = j.T @ j + 0.3 * torch.diag(torch.tensor([1.0] * 5 + [0.0] * 2, dtype=F64))
    curvature = Curvature([j[:20], j[20:]], 2, 0.3)
    b = torch.randn(7, 3, dtype=F64)
    torch.testing.assert_close(curvature.solve(b), torch.linalg.solve(hessian, b))
    torch.testing.assert_close(curvature.information, 1 / torch.linalg.inv(hessian).diagonal()[5:])
    assert curvature.undetermined.tolist() == [False, False]
    # of two coefficients of which only the sum counts neither is known, and a third that has no column is not either
    same = torch.cat([j, j[:, -1:], torch.zeros(30, 1, dtype=F64)], 1)
    lost = Curvature([same], 4, 0.3)
    assert lost.undetermined.tolist() == [False, True, True, True]
    torch.testing.assert_close(lost.information[0], curvature.information[0])


def test_noise_of_least_squares_has_the_usual_degrees_of_freedom() -> None:
    torch.manual_seed(0)
    j, y = torch.randn(12, 4, dtype=F64), torch.randn(12, dtype=F64)
    r = y - j @ torch.linalg.lstsq(j, y).solution
    scale = 0.37
    variances, left = noise_of([r], [scale * j], [scale], Curvature([scale * j], 0, 1e-20))
    torch.testing.assert_close(left, torch.tensor([8.0], dtype=F64))
    torch.testing.assert_close(variances, r.square().sum().reshape(1) / 8)
    # fields that share no unknown are fitted apart, whatever their weights
    k, z = torch.randn(9, 2, dtype=F64), torch.randn(9, dtype=F64)
    s = z - k @ torch.linalg.lstsq(k, z).solution
    both = [torch.cat([j, torch.zeros(12, 2, dtype=F64)], 1), 5.0 * torch.cat([torch.zeros(9, 4, dtype=F64), k], 1)]
    variances, left = noise_of([r, s], both, [1.0, 5.0], Curvature(both, 0, 1e-20))
    torch.testing.assert_close(left, torch.tensor([8.0, 7.0], dtype=F64))
    torch.testing.assert_close(variances, torch.stack([r.square().sum() / 8, s.square().sum() / 7]))


def test_noise_of_fields_that_share_unknowns() -> None:
    """Against the matrix that maps observations to fitted values, with other rows of the loss and a prior beside them."""
    torch.manual_seed(0)
    j, k, rest = torch.randn(20, 5, dtype=F64), torch.randn(15, 5, dtype=F64), torch.randn(8, 5, dtype=F64)
    r, s, scales = torch.randn(20, dtype=F64), 4 * torch.randn(15, dtype=F64), [0.7, 0.2]
    rows = [scales[0] * j, scales[1] * k]
    curvature = Curvature([rest, *rows], 1, 0.5)
    hessian = rest.T @ rest + rows[0].T @ rows[0] + rows[1].T @ rows[1] + 0.5 * torch.diag(torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0], dtype=F64))
    both, weight = torch.cat([j, k]), torch.tensor([scales[0] ** 2] * 20 + [scales[1] ** 2] * 15, dtype=F64)
    left = (torch.eye(35, dtype=F64) - both @ torch.linalg.solve(hessian, both.T * weight)).square()
    counts = torch.stack([torch.stack([part.sum() for part in half.split([20, 15], 1)]) for half in left.split([20, 15])])
    variances, freedom = noise_of([r, s], rows, scales, curvature)
    torch.testing.assert_close(variances, torch.linalg.solve(counts, torch.stack([r.square().sum(), s.square().sum()])))
    torch.testing.assert_close(freedom, counts.diagonal())


# -- standard errors: networks -----------------------------------------------------------------------------------------


def test_the_standard_error_reaches_the_bound_of_the_exact_solution() -> None:
    """With a strong equation the network is as good as the exact solution, of which the Cramer-Rao bound is known."""
    kappa = parameter(0.15)
    pinn, loss = cooling(kappa, bounds={"kappa": (0.0, None)}), loss_of(80)
    t, x = places(40)
    data = (t, x, wave(t, x))
    train(pinn, data, loss, 40)
    found = sciml.estimate(pinn, data, loss=loss, noise=0.02)
    bound = 0.02 / float((TAU**2 * t * wave(t, x)).norm())
    assert found.standard_errors["kappa"] == pytest.approx(bound, rel=0.02) and found.freedom == math.inf
    low, high = found.intervals()["kappa"]
    assert math.sqrt(low * high) == pytest.approx(kappa.item(), rel=1e-12)  # symmetric in the logarithm
    assert math.log(high / low) / 2 == pytest.approx(1.959964 * found.standard_errors["kappa"] / kappa.item(), rel=1e-6)
    assert found.noise == {"u": 0.02}
    twice = sciml.estimate(pinn, data, loss=loss, noise={"u": 0.04}).standard_errors["kappa"]
    assert twice == pytest.approx(2 * found.standard_errors["kappa"], rel=1e-2)
    # at a point the field's error is that of the exact solution's derivative
    at, where = torch.tensor(0.3, dtype=F64), torch.tensor([0.25, 0.6], dtype=F64)
    expected = (TAU**2 * at * wave(at, where)).abs() * bound
    torch.testing.assert_close(found.band(at, where).standard_error[:, 0], expected, rtol=0.1, atol=0)


@pytest.mark.parametrize(("weight", "initial"), [(1.0, "soft"), (1e-4, "hard")])
def test_errors_are_what_a_change_of_the_data_does(weight: float, initial: str) -> None:
    """The minimiser's derivative by every observation, by training again; also where a weak equation leaves much to the network."""
    kappa = parameter(0.15)
    pinn, loss = cooling(kappa, width=4, initial=initial), loss_of(30, equation=weight)
    t, x = places(5)
    u = wave(t, x)
    train(pinn, (t, x, u), loss, 100, 1e-6)
    found = sciml.estimate(pinn, (t, x, u), loss=loss, noise=1e-3)
    start, at, where = copy.deepcopy(pinn.state_dict()), 0.4, torch.tensor([0.3], dtype=F64)
    changes, fields = [], []
    for i in range(5):
        ends = []
        for side in (-1e-3, 1e-3):
            pinn.load_state_dict(start)
            moved = u.clone()
            moved[i] += side
            train(pinn, (t, x, moved), loss, 4, 1e-9)
            ends.append((kappa.item(), pinn(at, where).item()))
        changes.append((ends[1][0] - ends[0][0]) / 2e-3)
        fields.append((ends[1][1] - ends[0][1]) / 2e-3)
    assert found.standard_errors["kappa"] == pytest.approx(1e-3 * torch.tensor(changes).norm().item(), rel=0.05)
    assert found.band(at, where).standard_error.item() == pytest.approx(1e-3 * torch.tensor(fields).norm().item(), rel=0.05)


def test_the_spread_over_noise_is_the_standard_error_and_intervals_hold_the_truth() -> None:
    kappa = parameter(0.15)
    pinn, loss = cooling(kappa, bounds={"kappa": (0.0, None)}), loss_of(50)
    t, x = places(30)
    clean, sigma, draws = wave(t, x), 0.03, 30
    train(pinn, (t, x, clean), loss, 40)
    start, generator = copy.deepcopy(pinn.state_dict()), torch.Generator().manual_seed(4)
    values, errors, noises, inside = [], [], [], 0
    for _ in range(draws):
        pinn.load_state_dict(start)
        data = (t, x, clean + sigma * torch.randn(30, generator=generator, dtype=F64))
        train(pinn, data, loss, 3, 1e-8)
        found = sciml.estimate(pinn, data, loss=loss)
        low, high = found.intervals()["kappa"]
        inside += low <= KAPPA <= high
        values.append(found.values["kappa"])
        errors.append(found.standard_errors["kappa"])
        noises.append(found.noise["u"] ** 2)
    spread = torch.tensor(values).std().item()
    assert spread == pytest.approx(sum(errors) / draws, rel=3 / math.sqrt(2 * draws))
    assert sum(values) / draws == pytest.approx(KAPPA, abs=3 * spread / math.sqrt(draws))
    assert math.sqrt(sum(noises) / draws) == pytest.approx(sigma, rel=3 / math.sqrt(2 * draws * 29))
    assert 26 <= inside <= 30


def test_coefficients_that_the_observations_do_not_see() -> None:
    pinn, loss = cooling(parameter(0.1)), loss_of()
    _, x = places(20)
    at_start = (torch.zeros(20, dtype=F64), x, torch.sin(TAU * x))  # where the initial state is built in
    with pytest.warns(UserWarning, match="the observations say nothing about kappa; its standard error is infinite"):
        found = sciml.estimate(pinn, at_start, loss=loss, noise=0.1)
    assert found.standard_errors == {"kappa": math.inf} and found.intervals() == {"kappa": (-math.inf, math.inf)}
    # what counts is the sum of two
    first, second = parameter(0.1), parameter(0.2)
    torch.manual_seed(0)
    bounds = {"first.kappa": (0.05, None), "second.kappa": (0.0, 1.0)}
    both = sciml.PINN(problem_of(heat.Heat(first) + heat.Heat(second)), width=6, depth=1, bounds=bounds)
    t, x = places(30)
    with pytest.warns(UserWarning, match="say nothing about (first|second).kappa"):
        found = sciml.estimate(both, (t, x, wave(t, x)), loss=loss_of(), noise=0.1)
    assert set(found.standard_errors.values()) == {math.inf} and torch.isnan(found.correlation).all()
    assert found.intervals() == {"first.kappa": (0.05, math.inf), "second.kappa": (0.0, 1.0)}


def test_a_training_that_has_not_ended_is_told() -> None:
    kappa = parameter(0.2)
    pinn, loss = cooling(kappa), loss_of()
    t, x = places(40)
    data = (t, x, wave(t, x))
    train(pinn, data, loss, 2)
    with pytest.warns(UserWarning, match=r"would move kappa by .* standard errors, so the training has not come to an end"):
        sciml.estimate(pinn, data, loss=loss, noise=1e-4)
    assert not pinn.training
    train(pinn, data, loss, 60)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sciml.estimate(pinn, data, loss=loss, noise=1e-2)


class Coupled(sciml.Equation):
    """u_t = a u_xx + c v, v_t = b v_xx."""

    fields = ("u", "v")
    degree = 1

    def __init__(self, a: Any, b: Any, c: float) -> None:
        super().__init__()
        self.a, self.b, self.c = a, b, c

    def linear(self, u: Any, d: sciml.Derivatives) -> Any:
        first, second = d.split(u)
        return d.stack(self.a * d.x(first, 2) + self.c * second, self.b * d.x(second, 2))


def coupled(t: Tensor, x: Tensor, a: float, b: float, c: float) -> tuple[Tensor, Tensor]:
    """From u = v = sin, by hand."""
    fall, decay = torch.exp(-a * TAU**2 * t), torch.exp(-b * TAU**2 * t)
    u = fall + c * (decay - fall) / ((a - b) * TAU**2)
    return u * torch.sin(TAU * x), decay * torch.sin(TAU * x)


def test_systems_of_which_one_field_is_seen() -> None:
    a, b = parameter(0.08), parameter(0.04)
    problem = sciml.Problem(
        "own:coupled", Coupled(a, b, 2.0), sciml.Domain.periodic(1.0), sciml.Profile(lambda x: torch.sin(TAU * x).expand(2, *x.shape)), 0.5, (32,)
    )
    torch.manual_seed(0)
    pinn, loss = sciml.PINN(problem, width=8, depth=1, bounds={"b": (0.0, None)}), loss_of(120, equation=0.01)
    t, x = places(60)
    sigma = 0.01
    u, v = coupled(t, x, 0.1, 0.05, 2.0)
    train(pinn, (t, x, {"u": u}), loss, 40)
    assert a.item() == pytest.approx(0.1, rel=0.02) and b.item() == pytest.approx(0.05, rel=0.02)
    found = sciml.estimate(pinn, (t, x, {"u": u}), loss=loss, noise=sigma)
    # the exact solution's derivatives by both coefficients
    h = 1e-6
    ends = [coupled(t, x, 0.1 + i, 0.05 + j, 2.0)[0] for i, j in ((h, 0.0), (-h, 0.0), (0.0, h), (0.0, -h))]
    j = torch.stack([(ends[0] - ends[1]) / (2 * h), (ends[2] - ends[3]) / (2 * h)], 1)
    exact = sigma**2 * torch.linalg.inv(j.T @ j)
    assert list(found.standard_errors.values()) == pytest.approx(exact.diagonal().sqrt().tolist(), rel=0.1)
    assert found.correlation[0, 1].item() == pytest.approx((exact[0, 1] / (exact[0, 0] * exact[1, 1]).sqrt()).item(), abs=0.05)
    assert found.noise == {"u": sigma} and found.band(0.2, 0.3).value.shape == (2,)
    # each field has noise of its own
    generator = torch.Generator().manual_seed(1)
    noisy = torch.stack([u + 0.02 * torch.randn(60, generator=generator, dtype=F64), v + 0.002 * torch.randn(60, generator=generator, dtype=F64)], 1)
    train(pinn, (t, x, noisy), loss, 15)
    found = sciml.estimate(pinn, (t, x, noisy), loss=loss)
    assert found.noise["u"] == pytest.approx(0.02, rel=0.3) and found.noise["v"] == pytest.approx(0.002, rel=0.3)
    with pytest.raises(sciml.InputError, match="noise of u given; it is needed of u, v"):
        sciml.estimate(pinn, (t, x, noisy), loss=loss, noise={"u": 0.1})


def test_the_entries_of_a_tensor() -> None:
    class Both(sciml.Equation):
        def __init__(self) -> None:
            super().__init__()
            self.rates = parameter([0.1, 1.0])

        def linear(self, u: Any, d: sciml.Derivatives) -> Any:
            return self.rates[0] * d.x(u, 2) - self.rates[1] * d.x(u)

    torch.manual_seed(0)
    pinn, loss = sciml.PINN(problem_of(Both()), width=8, depth=1, bounds={"rates": (0.0, 2.0)}), loss_of(60, equation=0.01)
    t, x = places(30)
    data = (t, x, wave(t, x, 0.05, 0.7))
    train(pinn, data, loss, 40)
    found = sciml.estimate(pinn, data, loss=loss, noise=0.01)
    assert found.names == ("rates[0]", "rates[1]")
    assert list(found.values.values()) == pytest.approx([0.05, 0.7], rel=1e-2)
    slopes = [TAU**2 * t * data[2], TAU * t * torch.exp(-0.05 * TAU**2 * t) * torch.cos(TAU * (x - 0.7 * t))]
    j = torch.stack(slopes, 1)
    assert list(found.standard_errors.values()) == pytest.approx((1e-4 * torch.linalg.inv(j.T @ j)).diagonal().sqrt().tolist(), rel=0.2)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_steady_problems_and_both_precisions(dtype: torch.dtype) -> None:
    class Heated(sciml.SteadyDiffusion):
        def __init__(self, k: Any) -> None:
            super().__init__()
            self.k = k

        def diffusivity(self, d: sciml.Derivatives) -> Any:
            return self.k

        def source(self, d: sciml.Derivatives) -> Any:
            return 1.0

    k, domain = parameter(2.0), sciml.Domain.box(0.0, 1.0, sciml.Dirichlet(0.0))
    torch.manual_seed(0)
    pinn = sciml.PINN(sciml.Problem("own:heated", Heated(k), domain, sciml.Profile(torch.zeros_like), 0.0, (32,)), width=6, depth=1, dtype=dtype)
    _, x = places(20)
    generator = torch.Generator().manual_seed(1)
    clean = x * (1 - x) / 2
    data = (torch.zeros_like(x), x, clean + 0.002 * torch.randn(20, generator=generator, dtype=F64))
    loss = loss_of(40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # float32 goes on until nothing lower is found, and says so
        train(pinn, data, loss, 30)
    found = sciml.estimate(pinn, data, loss=loss, noise=0.002)
    assert found.standard_errors["k"] == pytest.approx(0.002 * k.item() / float(clean.norm()), rel=0.02)
    best = float(clean.square().sum() / (clean @ data[2]))  # u = x (1 - x) / (2 k), so 1 / k is linear in the data
    assert k.item() == pytest.approx(best, rel=1e-3)
    band = found.band(0.0, 0.5)
    assert band.value.dtype is dtype and band.standard_error.item() == pytest.approx(0.125 / k.item() * 0.002 / float(clean.norm()), rel=0.02)


def test_the_band_of_a_solution_known_up_to_a_constant() -> None:
    problem = poisson.neumann(1)
    torch.manual_seed(0)
    pinn, loss = sciml.PINN(problem, width=6, depth=1), loss_of(40)
    _, x = places(20)
    data = (torch.zeros_like(x), x, problem.exact(0.0, x) + 3.0)
    train(pinn, data, loss, 10)
    found = sciml.estimate(pinn, data, loss=loss, noise=0.1)
    where = torch.linspace(0.0, 1.0, 5, dtype=F64)
    band = found.band(0.0, where)
    torch.testing.assert_close(band.value, pinn(0.0, where).detach())
    assert found.names == () and str(found).startswith("noise: u 0.1, as given")
    assert float(band.standard_error.max()) < 0.01 < 0.1 / math.sqrt(20)  # the noise moves the constant, which is not in the field


def test_tables(tmp_path: Path) -> None:
    speed, kappa = parameter(0.7), parameter(0.05)
    torch.manual_seed(0)
    pinn = sciml.PINN(problem_of(advection.AdvectionDiffusion(speed, kappa)), width=6, depth=1, bounds={"diffusivity": (None, 1.0)})
    t, x = places(40)
    generator = torch.Generator().manual_seed(1)
    data = (t, x, wave(t, x, 0.05, 0.7) + 0.01 * torch.randn(40, generator=generator, dtype=F64))
    loss = loss_of(60, equation=0.01)
    train(pinn, data, loss, 50)
    found = sciml.estimate(pinn, data, loss=loss, level=0.9)
    text = str(found)
    assert text.splitlines()[0].split() == ["coefficient", "value", "standard", "error", "90", "%", "interval"]
    assert f"{speed.item():.6g}" in text and "correlation: speed and diffusivity" in text and "degrees of freedom" in text
    found.to_csv(tmp_path / "found.csv")
    with (tmp_path / "found.csv").open() as file:
        rows = list(csv.DictReader(file))
    low, high = found.intervals()["diffusivity"]
    assert rows[1]["coefficient"] == "diffusivity" and float(rows[1]["lower"]) == low and float(rows[1]["upper"]) == high < 1
    assert float(rows[0]["value"]) == speed.item() and float(rows[0]["standard_error"]) == found.standard_errors["speed"]
    assert found.to_dict()["correlation"] == found.correlation.tolist()
    torch.testing.assert_close(found.correlation.diagonal(), torch.ones(2, dtype=F64))
    wide = found.intervals(0.99)["speed"]
    assert wide[0] < found.intervals()["speed"][0] < speed.item() < wide[1]
    with pytest.raises(sciml.InputError, match="Estimate: level=1.5 given"):
        found.band(0.1, 0.2, level=1.5)


def test_what_estimate_refuses() -> None:
    pinn, loss = cooling(parameter(0.1)), loss_of(20)
    t, x = places(5)
    data = (t, x, wave(t, x))
    refusals: list[tuple[str, Any, dict[str, Any]]] = [
        ("no observations given", None, {}),
        ("loss is a Physics|loss is a str", data, {"loss": "l2"}),
        ("level=95 given", data, {"level": 95}),
        ("noise=-1 given; its standard deviation", data, {"noise": -1}),
        ("the observations have the weight 0", data, {"loss": loss_of(20, data=0.0)}),
        ("the 5 observations are met by as many combinations", data, {"loss": loss_of(20, equation=0.0)}),
    ]
    for message, given, options in refusals:
        with pytest.raises(sciml.InputError, match=f"estimate: {message}"):
            sciml.estimate(pinn, given, **{"loss": loss, **options})
    with pytest.raises(sciml.InputError, match="estimate: 4[0-9]* parameters are trained, and at most 4096"):
        sciml.estimate(cooling(0.1, width=64, depth=2), data, loss=loss)
    exact = cooling(parameter(0.1))
    t, x = places(20)
    fitted = exact(t, x).detach()  # residuals of zero: no noise, no error, and still away from the minimum
    with pytest.warns(UserWarning, match="by inf standard errors"):
        assert sciml.estimate(exact, (t, x, fitted), loss=loss).noise == {"u": 0.0}
    with torch.no_grad():
        next(pinn.network.parameters()).fill_(math.nan)
    with pytest.raises(sciml.InputError, match="estimate: residuals or their derivatives are not finite"):
        sciml.estimate(pinn, data, loss=loss)
    with pytest.raises(sciml.InputError, match="a Linear given"):
        sciml.estimate(nn.Linear(2, 1), data)
