"""The observed order of every fixed-step scheme on a dissipative, a dispersive and a mixed problem."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from sciml.core.equation import Equation
from sciml.core.grid import Grid
from sciml.core.rollout import rollout
from sciml.solvers.adams_bashforth import AB2
from sciml.solvers.adaptive import DormandPrince
from sciml.solvers.etdrk import ETDRK1, ETDRK2, ETDRK3, ETDRK4
from sciml.solvers.imex import ARK3, CNAB2
from sciml.solvers.runge_kutta import RK4

SCHEMES = [ETDRK1, ETDRK2, ETDRK3, ETDRK4, CNAB2, ARK3, AB2, RK4, DormandPrince]


class Wave(Equation):
    """u_t = a u_xx - b u_xxx - u u_x."""

    def __init__(self, diffusion: float, dispersion: float) -> None:
        super().__init__()
        self.diffusion, self.dispersion = diffusion, dispersion

    def linear(self, u: Any, d: Any) -> Any:
        return self.diffusion * d.x(u, 2) - self.dispersion * d.x(u, 3)

    def nonlinear(self, u: Any, d: Any) -> Any:
        return -d.x(u**2) / 2


KINDS = {"dissipative": Wave(0.1, 0.0), "dispersive": Wave(0.0, 0.05), "mixed": Wave(0.05, 0.05)}
END = 0.6


def final(scheme: Any, equation: Equation, steps: int) -> torch.Tensor:
    grid = Grid((32,), (2 * math.pi,))
    (x,) = grid.points()
    u0 = (torch.sin(x) + 0.5 * torch.cos(2 * x) + 0.2)[None]
    with torch.no_grad():
        return rollout(scheme(equation, grid, END / steps), u0, steps, every=steps)[-1]


@pytest.fixture(scope="module")
def truth() -> dict[str, torch.Tensor]:
    return {kind: final(ETDRK4, equation, 4000) for kind, equation in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_observed_order_is_the_nominal_one(scheme: Any, kind: str, truth: dict[str, torch.Tensor]) -> None:
    # Low orders are measured at finer steps, high orders above the rounding floor.
    counts = {1: (800, 1600, 3200), 2: (400, 800, 1600), 3: (80, 160, 320), 4: (40, 80, 160), 5: (24, 36, 48)}[scheme.order]
    errors = [float((final(scheme, KINDS[kind], n) - truth[kind]).norm()) for n in counts]
    orders = [math.log(a / b) / math.log(n / m) for a, b, m, n in zip(errors, errors[1:], counts, counts[1:], strict=False)]
    assert abs(orders[-1] - scheme.order) < 0.15, (errors, orders)
    assert errors[-1] < 0.02


@pytest.mark.parametrize("scheme", SCHEMES)
def test_linear_dispersion_rotates_the_phase_exactly(scheme: Any) -> None:
    """u_t = -u_xxx moves exp(ikx) by the phase k^3 t and keeps its size: real coefficients would lose the phase."""

    class Airy(Equation):
        def linear(self, u: Any, d: Any) -> Any:
            return -d.x(u, 3)

    grid = Grid((16,), (2 * math.pi,))
    (x,) = grid.points()
    u = rollout(scheme(Airy(), grid, 1e-3), torch.sin(2 * x)[None], 100)[-1, 0]
    tolerance = 1e-13 if scheme.__name__.startswith("ETDRK") else 1e-4
    assert float((u - torch.sin(2 * x + 8 * 0.1)).abs().max()) < tolerance
