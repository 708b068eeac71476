"""The classical schemes of ``sciml.solve`` as methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import xarray as xr

from sciml.core.conservation import ConservationLaw
from sciml.core.elastic import ElasticBody
from sciml.core.equation import Equation
from sciml.core.problem import Problem
from sciml.methods.base import Method, Progress, Run, Settings
from sciml.solvers.solve import solve

SPECTRAL, CELLS, ANY, BODY = "spectral", "cells", "any", "body"


@dataclass(frozen=True, repr=False)
class Classical(Method):
    """One scheme of :func:`sciml.solve`.

    Parameters
    ----------
    name : as ``sciml.solve(method=...)`` knows it.
    description : one line.
    needs : a periodic domain (``spectral``), a conservation law (``cells``), an elastic body (``body``), or any evolution equation (``any``).
    default : see :class:`Method`.
    """

    name: str
    description: str
    needs: str
    default: bool = True

    def applies(self, problem: Problem) -> str | None:
        if self.needs == BODY:
            return None if isinstance(problem.equation, ElasticBody) else "it needs an elastic body, and this problem has no energy of a deformation"
        if not isinstance(problem.equation, Equation):
            return "it needs an evolution equation, and this problem states a residual only"
        if self.needs == SPECTRAL:
            if problem.domain.ndim == 0:
                return "it needs at least one space axis, and this is an ordinary system"
            if not all(problem.domain.is_periodic):
                return "it needs a domain that is periodic along every axis"
        if self.needs == CELLS and not isinstance(problem.equation, ConservationLaw):
            return "it needs a conservation law, and this equation declares no flux"
        return None

    def warm_up(self, problem: Problem, settings: Settings) -> None:
        self._solve(problem, settings, (0.0, 1e-3 * settings.times[1]))

    def solve(self, problem: Problem, settings: Settings, progress: Progress | None = None) -> Run:
        ds = self._solve(problem, settings, settings.times, progress)
        cost = {key: float(ds.attrs[key]) for key in ("dt", "steps") if key in ds.attrs}
        return Run(ds, f"step: {ds.attrs['dt_reason']}", cost)

    def _solve(self, problem: Problem, settings: Settings, times: Sequence[float], progress: Progress | None = None) -> xr.Dataset:
        return solve(
            problem,
            points=settings.points,
            dt=settings.dt,
            times=times,
            method=self.name,
            seed=settings.seed,
            dtype=settings.dtype or torch.float64,
            device=settings.device,
            progress=progress or False,
        )


METHODS = (
    Classical("etdrk4", "exponential Runge-Kutta, order 4 (Cox & Matthews 2002)", SPECTRAL),
    Classical("etdrk3", "exponential Runge-Kutta, order 3 (Cox & Matthews 2002)", SPECTRAL, default=False),
    Classical("etdrk2", "exponential Runge-Kutta, order 2 (Cox & Matthews 2002)", SPECTRAL),
    Classical("etdrk1", "exponential Euler (Cox & Matthews 2002)", SPECTRAL, default=False),
    Classical("cnab2", "Crank-Nicolson / Adams-Bashforth, order 2", SPECTRAL),
    Classical("ark3", "implicit-explicit Runge-Kutta, order 3", SPECTRAL),
    Classical("ab2", "explicit Adams-Bashforth, order 2", ANY, default=False),
    Classical("rk4", "classical explicit Runge-Kutta, order 4", ANY),
    Classical("dopri5", "adaptive Dormand-Prince 5(4), error control", ANY),
    Classical("finite_volume", "conservative cell averages with limited fluxes", CELLS),
    Classical("ritz", "polynomials moved by an elastic body's energy, symplectic, order 4", BODY),
    Classical("scipy", "scipy.integrate.solve_ivp, an independent integrator", ANY, default=False),
)
