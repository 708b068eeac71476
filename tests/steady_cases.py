"""What the tests of steady problems share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sciml.core.domain import Dirichlet, Neumann, Periodic
from sciml.core.steady import SteadyDiffusion

D, N, P = Dirichlet(), Neumann(), Periodic()
F64 = torch.float64


def numbers(*shape: int, seed: int = 0, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Uniform random numbers in float64."""
    return low + (high - low) * torch.rand(shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


class Given(SteadyDiffusion):
    """Both fields given."""

    inputs = ("a", "f")

    def __init__(self, a: Any = None, f: Any = None, ndim: int = 1) -> None:
        super().__init__()
        self.a, self.f, self.ndim = a, f, ndim

    def diffusivity(self, d: Any) -> Any:
        return self.given("a", d)

    def source(self, d: Any) -> Any:
        return self.given("f", d)
