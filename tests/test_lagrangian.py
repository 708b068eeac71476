"""Derivatives at moving labels are those at fixed places, and an equation there is the same equation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import sciml
from sciml.derivatives.functional import Functional
from sciml.derivatives.lagrangian import Lagrangian
from sciml.problems import burgers

F64 = torch.float64
POINTS = torch.rand(40, 2, generator=torch.Generator().manual_seed(0), dtype=F64) * torch.tensor([1.0, 6.0], dtype=F64)


def displacement(z: Tensor) -> Tensor:
    t, label = z[:1], z[1:]
    return t * (3.0 + 0.4 * torch.sin(label) + 0.1 * t * torch.cos(2 * label))


def place(points: Tensor) -> Tensor:
    """The same points as ``(t, x)``."""
    moved = torch.func.vmap(displacement)(points)
    return torch.cat([points[:, :1], points[:, 1:] + moved], 1)


def field(z: Tensor) -> Tensor:
    """A function of (t, x)."""
    return torch.sin(z[1:] - 2 * z[:1]) * torch.exp(-0.3 * z[:1]) + 0.2 * torch.cos(3 * z[1:])


def along(z: Tensor) -> Tensor:
    """The same as a function of (t, X)."""
    return field(torch.cat([z[:1], z[1:] + displacement(z)]))


@pytest.mark.parametrize(("axis", "order"), [(0, 1), (0, 2), (0, 3), (0, 4)])
def test_space_derivatives_are_those_at_the_place(axis: int, order: int) -> None:
    d, e = Lagrangian(displacement), Functional(1)
    found = d.evaluate(d.partial(d.unknown(along), axis, order), POINTS)
    torch.testing.assert_close(found, e.evaluate(e.partial(e.unknown(field), axis, order), place(POINTS)), rtol=1e-11, atol=1e-11)


def test_time_and_mixed_derivatives_are_those_at_the_place() -> None:
    d, e = Lagrangian(displacement), Functional(1)
    u, v = d.unknown(along), e.unknown(field)
    for a, b in ((d.t(u), e.t(v)), (d.t(u, 2), e.t(v, 2)), (d.x(d.t(u)), e.x(e.t(v))), (d.t(d.x(u, 2)), e.t(e.x(v, 2)))):
        torch.testing.assert_close(d.evaluate(a, POINTS), e.evaluate(b, place(POINTS)), rtol=1e-11, atol=1e-11)
    (x,) = d.coordinates()
    torch.testing.assert_close(d.evaluate(x, POINTS), place(POINTS)[:, 1:], rtol=0, atol=1e-14)
    assert d.evaluate(d.x(x) - 1, POINTS).abs().max() < 1e-14 and d.evaluate(d.t(x), POINTS).abs().max() < 1e-13


@pytest.mark.parametrize("viscosity", [0.0, 0.05])
def test_residuals_are_the_same_numbers(viscosity: float) -> None:
    equation = burgers.Burgers(viscosity)
    d, e = Lagrangian(displacement), Functional(1)
    found = d.evaluate(equation.residual(d.unknown(along), d), POINTS)
    wanted = e.evaluate(equation.residual(e.unknown(field), e), place(POINTS))
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)
    assert wanted.abs().max() > 0.5


def test_diffusion_along_labels_is_another_equation() -> None:
    """What a published code solves, W_t = nu W_XX along characteristics, fails the equation that it is meant for."""
    nu = 0.1

    def state(z: Tensor) -> Tensor:
        return torch.exp(-nu * z[:1]) * torch.sin(z[1:])

    def moved(z: Tensor) -> Tensor:
        return (1 - torch.exp(-nu * z[:1])) / nu * torch.sin(z[1:])

    d = Lagrangian(moved)
    u = d.unknown(state)
    torch.testing.assert_close(d.evaluate(d.speed - u, POINTS).abs().max(), torch.tensor(0.0, dtype=F64), rtol=0, atol=1e-14)
    labels = Functional(1)
    w = labels.unknown(state)
    assert labels.evaluate(labels.t(w) - nu * labels.x(w, 2), POINTS).abs().max() < 1e-14
    early = POINTS[POINTS[:, 0] < 0.5]
    assert d.evaluate(burgers.Burgers(nu).residual(u, d), early).abs().max() > 0.05
    # its own derivative of second order, by hand: W_XX / J^2 - W_X delta_XX / J^3
    t, label = early[:, :1], early[:, 1:]
    a = (1 - torch.exp(-nu * t)) / nu
    jacobian, slope = 1 + a * torch.cos(label), -a * torch.sin(label)
    by_hand = torch.exp(-nu * t) * (-torch.sin(label) / jacobian**2 - torch.cos(label) * slope / jacobian**3)
    torch.testing.assert_close(d.evaluate(d.x(u, 2), early), by_hand, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(d.evaluate(d.stretch, early), jacobian, rtol=0, atol=1e-14)


def test_gradients_reach_the_displacement() -> None:
    amplitude = torch.tensor(0.3, dtype=F64, requires_grad=True)

    def residual(a: Tensor) -> Tensor:
        d = Lagrangian(lambda z: a * z[:1] * torch.sin(z[1:]))
        return d.evaluate(d.x(d.unknown(lambda z: torch.sin(z[1:])), 2), POINTS[:3])

    (slope,) = torch.autograd.grad(residual(amplitude).sum(), amplitude)
    h = 1e-6
    difference = (residual(amplitude.detach() + h) - residual(amplitude.detach() - h)).sum() / (2 * h)
    assert slope.item() == pytest.approx(difference.item(), rel=1e-6) and math.isfinite(slope.item())


def test_it_is_an_engine_like_the_others() -> None:
    d = Lagrangian(displacement)
    with pytest.raises(sciml.UnsupportedError):
        d.evaluate(d.inverse_laplacian(d.unknown(along)), POINTS)
    with pytest.raises(sciml.InputError, match="columns t and x"):
        d.evaluate(d.unknown(along), POINTS[:, :1])
