"""When a conservation law without diffusion forms a shock, after which its residual at points means nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sciml.core.conservation import ConservationLaw
from sciml.core.derivatives import as_vector
from sciml.core.errors import UnsupportedError
from sciml.core.problem import Problem

SAMPLES = (2048, 128, 48)
"""Per axis, by the number of axes."""


@torch.no_grad()
def check_smooth(problem: Problem, state: nn.Module | None, start: float, end: float, *, who: str) -> None:
    r"""Raise UnsupportedError if the characteristics of an inviscid law cross before ``end``.

    They first do :math:`-1/\min\nabla\cdot f'(u_0)` after the start, from when on the solution is discontinuous. ``state`` is :math:`u_0`, points
    ``(..., ndim)`` to ``(..., 1)``; nothing is said where it is None.
    """
    equation = problem.equation
    if not isinstance(equation, ConservationLaw) or len(equation.fields) > 1 or state is None:
        return
    probe = torch.zeros(1, dtype=torch.float64)
    if equation.flux(probe) is None or not _vanishes(equation.diffusivity(probe)):
        return
    grid = problem.grid(SAMPLES[problem.domain.ndim - 1])
    x = torch.stack([c.flatten() for c in grid.points()], -1)
    u = state(x)[:, 0].reshape(grid.shape)
    velocity = [torch.as_tensor(v, dtype=u.dtype).expand_as(u) for v in as_vector(equation.velocity(u))]
    first = start + breaking_time(velocity, grid.spacing, grid.periodic)
    if first < end:
        raise UnsupportedError(
            f"{who}: {problem.name} has no diffusion (it is inviscid), and its characteristics cross at t={first:.4g}, before {end:g}: "
            "from then on the solution has a shock, which residuals at points do not see. Give a positive viscosity, an earlier end=, or use a "
            "finite-volume solver."
        )


def breaking_time(velocity: list[Tensor], spacing: tuple[float, ...], periodic: tuple[bool, ...]) -> float:
    """From samples of the characteristic velocity, one tensor per axis, by differences between neighbours; infinite if nothing converges."""
    total = torch.zeros_like(velocity[0])
    for axis, (v, h, around) in enumerate(zip(velocity, spacing, periodic, strict=True)):
        (slope,) = torch.gradient(v, spacing=h, dim=axis)
        if around:
            slope = (v.roll(-1, axis) - v.roll(1, axis)) / (2 * h)
        total = total + slope
    steepest = -float(total.min())
    return 1 / steepest if steepest > 1e-12 * (1 + float(total.abs().max())) else math.inf


def _vanishes(coefficient: object) -> bool:
    if coefficient is None:
        return True
    if isinstance(coefficient, Tensor):
        return not coefficient.requires_grad and not bool(coefficient.any())
    return coefficient == 0
