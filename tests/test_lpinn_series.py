"""Residuals of Lagrangian networks by one pass of series are those of the functional engine, with the same slopes in every weight."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sciml
from sciml.core.domain import Domain
from sciml.core.problem import Problem, Profile
from sciml.derivatives.functional import Functional
from sciml.derivatives.lagrangian import Lagrangian
from sciml.problems import advection, burgers
from sciml.surrogates.lpinn.jets import LagrangianJets
from sciml.surrogates.lpinn.lpinn import BARRIER
from sciml.surrogates.pinn.series import Index, factorial

F64 = torch.float64
TAU = 2 * math.pi


class Spreading(sciml.ConservationLaw):
    """A flux without a velocity in closed form, and a diffusivity that depends on the state."""

    def __init__(self, rate: Any = 0.3) -> None:
        super().__init__()
        self.rate = rate

    def flux(self, u: Any) -> Any:
        return torch.sin(u) + u**2 / 3

    def diffusivity(self, u: Any) -> Any:
        return 0.05 + self.rate * u**2


class Forced(burgers.Burgers):
    """Burgers' equation with a source of time, place, state and its slopes."""

    def source(self, u: Any, d: Any) -> Any:
        (x,) = d.coordinates()
        return torch.sin(x) * d.time - 0.2 * u**3 + d.given("q", _bump) + 0.01 * d.x(u, 3) + torch.exp(0.1 * d.x(u)) / (2 + u**2)


def _bump(x: Tensor) -> Tensor:
    return torch.exp(torch.sin(x))  # by functions of the place that torch, not the engine, evaluates


class Odd(burgers.Burgers):
    def source(self, u: Any, d: Any) -> Any:
        return torch.lgamma(u + 9)


def of(equation: sciml.Equation, **changes: Any) -> Problem:
    domain = Domain.periodic(TAU, origin=-1.0)
    initial = Profile(lambda x: 0.4 * torch.sin(x) + 0.1 * torch.cos(3 * x) + 1.5)
    return replace(Problem("own", equation, domain, initial, 0.8, (32,), 1e-3), **changes)


def made(problem: Problem, **options: Any) -> sciml.LPINN:
    torch.manual_seed(2)
    lpinn = sciml.LPINN(problem, **{"width": 6, "depth": 2, "path_width": 5, **options})
    for net in (lpinn.network, lpinn.path):
        nn.init.normal_(net.last.weight, std=0.2)
    return lpinn


def labels(lpinn: sciml.LPINN, count: int = 40) -> Tensor:
    unit = torch.rand(count, 2, dtype=F64, generator=torch.Generator().manual_seed(4))
    return unit * torch.tensor([lpinn.end - lpinn.start, lpinn.length], dtype=F64) + torch.tensor([lpinn.start, lpinn.origin], dtype=F64)


CASES: dict[str, Callable[[], sciml.LPINN]] = {
    "burgers": lambda: made(burgers.mojgani2023(10.0)),
    "inviscid": lambda: made(of(burgers.Burgers(0.0))),
    "advection": lambda: made(advection.mojgani2023(30.0, 0.1)),
    "random state": lambda: made(burgers.li2021(0.1), points=32, end=0.3),
    "samples": lambda: made(of(burgers.Burgers(0.1)), state=torch.sin(torch.arange(32) * TAU / 32).double()[None], start=0.1),
    "nonlinear diffusivity": lambda: made(of(Spreading())),
    "trained coefficient": lambda: made(of(Spreading(nn.Parameter(torch.tensor(0.2, dtype=F64))))),
    "source": lambda: made(of(Forced(0.07))),
    "fourier": lambda: made(of(burgers.Burgers(0.1)), network="modified", fourier=(4, 0.5), adaptive=True, harmonics=3),
    "pirate": lambda: made(of(burgers.Burgers(0.1)), network="pirate", activation="swish", path_depth=1),
}


@pytest.mark.parametrize("name", CASES)
def test_both_engines_give_the_same_residual_and_slopes(name: str) -> None:
    lpinn = CASES[name]()
    assert lpinn.table is not None
    z = labels(lpinn)
    rows = lpinn.prepared(z)
    found, truth = lpinn.residual_prepared(rows), lpinn.residual(z)
    size = truth.detach().abs().amax(0)
    assert found.shape == truth.shape == (len(z), 3)
    for i in (0, 1):
        assert size[i] > 1e-3
        torch.testing.assert_close(found[:, i], truth[:, i], rtol=1e-10, atol=1e-10 * float(size[i]))
    torch.testing.assert_close(found[:, 2], truth[:, 2], rtol=1e-10, atol=1e-10)
    weights = [p for p in lpinn.parameters() if p.requires_grad]
    mixed = torch.randn(truth.shape, dtype=F64, generator=torch.Generator().manual_seed(5))
    slopes, expected = (torch.autograd.grad((r * mixed).sum(), weights) for r in (found, truth))
    largest = max(float(g.abs().max()) for g in expected)
    for a, b in zip(slopes, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10 * largest)
    # per point, as Gauss-Newton steps ask for it
    single = torch.func.vmap(lpinn.residual_prepared)(rows)
    torch.testing.assert_close(single, found, rtol=1e-12, atol=1e-12 * float(size.max()))


def test_only_what_the_residual_needs_is_computed() -> None:
    for name, indices in (("inviscid", [(0, 0), (1, 0), (0, 1)]), ("burgers", [(0, 0), (1, 0), (0, 1), (0, 2)])):
        table = CASES[name]().table
        assert table is not None and table.indices == indices


def test_functions_that_series_do_not_know_are_left_to_the_functional_engine() -> None:
    lpinn = made(of(Odd(0.1)))
    assert lpinn.table is None
    z = labels(lpinn)
    assert torch.equal(lpinn.prepared(z), z) and torch.equal(lpinn.residual_prepared(z), lpinn.residual(z))
    without = made(of(burgers.Burgers(0.1)))
    u = without.carried(z)
    torch.testing.assert_close(lpinn.residual(z)[:, 1:2], without.residual(z)[:, 1:2] - torch.lgamma(u + 9), rtol=1e-10, atol=1e-10)


class Wave(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.height = nn.Parameter(torch.tensor(1.0, dtype=F64))

    def forward(self, x: Tensor) -> Tensor:
        return 2 + self.height * torch.sin(x)


def test_a_trained_initial_state_is_followed() -> None:
    wave = Wave()
    lpinn = made(of(burgers.Burgers(0.1)), state=wave)
    z = labels(lpinn)
    rows = lpinn.prepared(z)
    before = lpinn.residual_prepared(rows)
    with torch.no_grad():
        wave.height.add_(0.5)
    after = lpinn.residual_prepared(rows)
    assert (after - before).abs().max() > 0.1 and torch.equal(after, lpinn.residual(z))


def test_the_barrier_is_the_same_by_both_engines() -> None:
    lpinn = made(burgers.mojgani2023(1.0))
    lpinn.speed_spread = 40.0
    z = labels(lpinn, 400)
    rows = lpinn.prepared(z)
    with torch.no_grad():
        found, truth = lpinn.residual_prepared(rows)[:, 2], lpinn.residual(z)[:, 2]
    torch.testing.assert_close(found, truth, rtol=1e-9, atol=1e-9)
    assert found.min() == 0 < 1 < found.max()
    d = Lagrangian(lpinn.displacement)
    with torch.no_grad():
        stretch = d.evaluate(d.stretch, z)[:, 0]
    assert torch.equal(truth > 0, stretch < BARRIER)


# -- the engine itself -------------------------------------------------------------------------------------------------

POINTS = torch.rand(30, 2, generator=torch.Generator().manual_seed(0), dtype=F64) * torch.tensor([1.0, 6.0], dtype=F64)


def displacement(z: Tensor) -> Tensor:
    t, label = z[:1], z[1:]
    return t * (3.0 + 0.4 * torch.sin(label) + 0.1 * t * torch.cos(2 * label))


def state(z: Tensor) -> Tensor:
    return torch.sin(z[1:] - 2 * z[:1]) * torch.exp(-0.3 * z[:1]) + 0.2 * torch.cos(3 * z[1:])


def coefficients(function: Callable[[Tensor], Tensor]) -> Callable[[Index], Tensor]:
    d = Functional(1)
    u = d.unknown(function)

    def coefficient(index: Index) -> Tensor:
        at = d.t(u, index[0]) if index[0] else u
        return d.evaluate(d.x(at, index[1]) if index[1] else at, POINTS) / factorial(index)

    return coefficient


WORDS: dict[str, Callable[[Any, Any], Any]] = {
    "x": lambda d, u: d.x(u),
    "xx": lambda d, u: d.x(u, 2),
    "xxxx": lambda d, u: d.x(u, 4),
    "t": lambda d, u: d.t(u),
    "tt": lambda d, u: d.t(u, 2),
    "tx": lambda d, u: d.t(d.x(u)),
    "xt": lambda d, u: d.x(d.t(u)),
    "product": lambda d, u: d.x(u * d.x(u) / (2 + u**2)) + d.t(torch.exp(u)),
    "place": lambda d, u: d.coordinates()[0] * d.x(u) + d.time * u,
    "of place": lambda d, u: d.x(d.given("k", _bump) * d.x(u)) + d.t(d.given("k", _bump)),
    "speed and stretch": lambda d, u: d.speed * u + d.stretch,
}


@pytest.mark.parametrize("word", WORDS)
def test_it_is_the_lagrangian_engine(word: str) -> None:
    d = LagrangianJets(POINTS, coefficients(displacement))
    e = Lagrangian(displacement)
    found = d.values(WORDS[word](d, d.unknown(coefficients(state))))
    truth = e.evaluate(WORDS[word](e, e.unknown(state)), POINTS)
    torch.testing.assert_close(found, truth, rtol=1e-10, atol=1e-10 * float(truth.abs().max()))


def test_a_function_of_the_place_may_be_a_number() -> None:
    d = LagrangianJets(POINTS, coefficients(displacement))
    u = d.unknown(coefficients(state))
    two = d.given("k", lambda x: 2.0)
    torch.testing.assert_close(d.values(d.x(two * u)), 2 * d.values(d.x(u)), rtol=1e-13, atol=1e-13)


def test_derivatives_are_computed_once() -> None:
    d = LagrangianJets(POINTS, coefficients(displacement))
    u = d.unknown(coefficients(state))
    assert d.x(u) is d.x(u) and d.t(u) is d.t(u) and d.x(u) is not d.t(u)
    field: Any = u
    with pytest.raises(sciml.UnsupportedError, match="lgamma"):
        torch.lgamma(field)
