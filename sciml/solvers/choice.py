"""Choosing a scheme and a step from the problem itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sciml.core.conservation import ConservationLaw
from sciml.core.derivatives import Derivatives
from sciml.core.elastic import ElasticBody
from sciml.core.equation import Equation
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.field import Field
from sciml.core.grid import Grid
from sciml.core.problem import Problem
from sciml.derivatives.fourier import Fourier
from sciml.derivatives.stencil import Stencil
from sciml.solvers.schemes import NAMES, SPECTRAL

# Fraction of 1/rho per step, rho the largest rate of the explicitly treated part: accuracy for the exponential and
# implicit-explicit schemes, stability for the explicit ones (their regions reach 2.8 and 3.3 along the axes).
STEP_FRACTION = {"etdrk1": 0.02, "etdrk2": 0.2, "etdrk3": 0.5, "etdrk4": 1.0, "cnab2": 0.2, "ark3": 0.5, "ab2": 0.2, "rk4": 1.5, "dopri5": 1.5}


def choose_method(problem: Problem, grid: Grid) -> tuple[str, str]:
    """The name of the scheme, and why."""
    equation = problem.equation
    if isinstance(equation, ElasticBody):
        return "ritz", "an elastic body: polynomials that its energy moves"
    if not isinstance(equation, Equation):
        raise UnsupportedError(f"{problem.name} states a residual only ({type(equation).__name__}); solve the evolution form of the same problem.")
    if problem.scheme is not None:
        return problem.scheme, "the problem names it"
    if equation.lattice:
        return "rk4", "an ordinary system"
    if isinstance(equation, ConservationLaw):
        if not all(grid.periodic):
            return "finite_volume", "a conservation law on a bounded domain"
        if not smooth(equation, grid):
            return "finite_volume", "a conservation law without a constant, positive diffusivity can form shocks or fronts"
    if all(grid.periodic):
        return "etdrk4", "periodic domain: spectral in space, linear part exact in time"
    return "dopri5", "bounded domain: central differences with error control"


def smooth(law: ConservationLaw, grid: Grid) -> bool:
    """Whether a constant positive diffusivity, or a linear flux, keeps solutions smooth."""
    d = Stencil(grid)
    probe = d.field(torch.linspace(0.5, 1.5, math.prod(grid.shape), dtype=grid.dtype, device=grid.device).view(1, *grid.shape))
    k = law.diffusivity(probe)
    if isinstance(k, Field):
        return False
    if k is not None and float(torch.as_tensor(k).detach().min()) > 0:
        return True
    return law.flux(probe) is None


def check_method(name: str, problem: Problem, grid: Grid) -> None:
    """Raise unless the scheme exists and can run the problem."""
    if name not in NAMES:
        raise InputError(f"Unknown method {name!r}; known: {', '.join(NAMES)}.")
    if (name == "ritz") != isinstance(problem.equation, ElasticBody):
        needed = "an elastic body (an energy of the deformation)" if name == "ritz" else "an evolution equation"
        raise UnsupportedError(f"{name} needs {needed}; {type(problem.equation).__name__} is none. Leave the method out, and one is chosen.")
    if name in SPECTRAL:
        grid.require_periodic(f"method {name!r}")
    if name == "finite_volume" and not isinstance(problem.equation, ConservationLaw):
        raise UnsupportedError(
            f"finite_volume needs a ConservationLaw (flux and diffusivity); {type(problem.equation).__name__} is none. "
            "Write it in divergence form, or use etdrk4."
        )


def engine_of(problem: Problem, grid: Grid) -> Derivatives | None:
    """The grid engine for explicit schemes where Fourier does not apply: the stencil engine with the domain's boundaries."""
    if isinstance(problem.equation, Equation) and not problem.equation.lattice and all(grid.periodic):
        return None
    return Stencil(grid, problem.domain.boundaries)


def explicit_rate(problem: Problem, grid: Grid, method: str, u: Tensor, time: float = 0.0) -> float:
    r"""The largest rate :math:`\rho` of the explicitly treated right-hand side, linearised about ``u``.

    By power iteration with Jacobian-vector products: the nonlinear part for schemes that treat the linear part
    exactly or implicitly, all of it for explicit ones.
    """
    equation = problem.equation
    assert isinstance(equation, Equation)
    engine = engine_of(problem, grid)
    if engine is None:
        engine = Fourier(grid, equation.degree if problem.dealias else None)
    d = engine.at(time)

    def tendency(v: Tensor) -> Tensor:
        if method not in SPECTRAL:
            result: Tensor = equation.rhs(v, d)
            return result
        part = equation.nonlinear(d.field(v), d)
        return torch.zeros_like(v) if part is None else d.values(part)

    return spectral_radius(tendency, u)


def spectral_radius(function: Callable[[Tensor], Tensor], u: Tensor, iterations: int = 12) -> float:
    """Growth factor of repeated Jacobian-vector products of ``function`` at ``u``, from a fixed rough direction."""
    with torch.no_grad():
        v = torch.randn(u.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(u)
        v = v / v.norm()
        rates = []
        for _ in range(iterations):
            image = torch.func.jvp(function, (u,), (v,))[1]
            size = float(image.norm())
            rates.append(size)
            if not (size > 0 and math.isfinite(size)):
                break
            v = image / size
    return max(rates[-4:]) if rates else 0.0
