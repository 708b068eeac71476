"""The solvers of steady problems as methods."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import xarray as xr

from sciml.core.errors import SciMLError
from sciml.core.problem import Problem
from sciml.core.steady import SteadyDiffusion
from sciml.methods.base import Method, Progress, Run, Settings
from sciml.solvers.mode_operator import common_value
from sciml.solvers.solve import solve


@dataclass(frozen=True, repr=False)
class Steady(Method):
    """One solver of :func:`sciml.solve` for steady problems; ``series`` if it expands in modes that must meet the walls."""

    name: str
    description: str
    series: bool

    def applies(self, problem: Problem) -> str | None:
        if not problem.steady:
            return "it needs a steady problem, and this one evolves"
        if not isinstance(problem.equation, SteadyDiffusion):
            return "it needs a steady diffusion equation, and this one declares an operator of its own"
        if self.series:
            try:
                common_value(problem.grid(2), problem.domain.boundaries)
            except SciMLError as error:
                return str(error).removeprefix(f"{self.name}: ").rstrip(".")
        return None

    def warm_up(self, problem: Problem, settings: Settings) -> None:
        self._solve(problem, replace(settings, points=8))

    def solve(self, problem: Problem, settings: Settings, progress: Progress | None = None) -> Run:
        ds = self._solve(problem, settings, progress)
        note = f"relative residual {ds.attrs['residual']:.1e}"
        return Run(ds, note, {"iterations": float(ds.attrs["iterations"])})

    def _solve(self, problem: Problem, settings: Settings, progress: Progress | None = None) -> xr.Dataset:
        return solve(
            problem,
            points=settings.points,
            dt=settings.dt,
            method=self.name,
            seed=settings.seed,
            dtype=settings.dtype or torch.float64,
            device=settings.device,
            progress=progress or False,
        )


METHODS = (
    Steady("finite_volume_cg", "steady: two-point fluxes, conjugate gradients preconditioned by fast transforms", False),
    Steady("spectral_cg", "steady: Fourier, sine and cosine collocation, preconditioned conjugate gradients", True),
)
