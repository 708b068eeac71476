"""What the forces of a flow need of its velocity, and whether one acts through a wall."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sciml.core.derivatives import AXES
from sciml.core.domain import Slip
from sciml.core.errors import UnsupportedError
from sciml.core.field import Field
from sciml.core.incompressible import IncompressibleFlow
from sciml.core.problem import Problem
from sciml.surrogates.pinn.jets import Jets
from sciml.surrogates.pinn.series import Index

ROUNDING = 1e4
"""Force through a wall, relative to the largest of all forces and in units of the rounding error, that counts as none."""


def stacked(d: Jets, components: Sequence[Any]) -> Tensor:
    """The values of fields, numbers, or None for 0, ``(..., components)``."""
    zero = torch.zeros_like(d.points[..., :1])
    return torch.cat([zero if c is None else d.values(c).expand_as(zero) if isinstance(c, Field) else zero + c for c in components], -1)


def needs_of(problem: Problem, who: str) -> tuple[bool, set[Index]]:
    """Whether there are forces, and the derivatives of the velocity that they read. Raises UnsupportedError for functions that series do not know."""
    flow = problem.equation
    assert isinstance(flow, IncompressibleFlow)  # by the caller
    asked: set[Index] = set()
    z = _somewhere(problem, torch.float64, 2)

    def note(index: Index) -> Tensor:
        asked.add(index)
        return torch.full((len(z), 1), 0.7, dtype=z.dtype)

    d = Jets(z)
    try:
        forces = list(flow.forces(tuple(d.unknown(note) for _ in range(problem.domain.ndim)), d))
        stacked(d, forces)
    except UnsupportedError as error:
        raise UnsupportedError(f"{who}: the forces of {problem.name} cannot be evaluated by series ({error}); use sciml.PINN.") from error
    return any(force is not None for force in forces), asked


@torch.no_grad()
def check_walls(force: Callable[[Tensor, float], Tensor], problem: Problem, dtype: torch.dtype, who: str) -> None:
    """Raise UnsupportedError for a force ``(points, time)`` through a wall, against which the pressure would have to have a slope there."""
    x = _somewhere(problem, dtype, 16)[:, 1:]
    size = float(force(x, 0.0).abs().max())
    for axis, (name, pair) in enumerate(zip(AXES, problem.domain.boundaries, strict=False)):
        for upper in (False, True) if isinstance(pair[0], Slip) else ():
            position = (problem.domain.upper if upper else problem.domain.lower)[axis]
            on = x.clone()
            on[:, axis] = position
            through = float(force(on, 0.0)[:, axis].abs().max())
            if through > ROUNDING * torch.finfo(dtype).eps * max(size, through):
                raise UnsupportedError(
                    f"{who}: a force of {through:.3g} acts through the wall {name}={position:g} of {problem.name}, and none may. Leave out its part "
                    "that is a gradient (gravity, say): the pressure balances it, and the velocity does not change."
                )


def _somewhere(problem: Problem, dtype: torch.dtype, n: int) -> Tensor:
    """Points of space at the time 0, ``(n, 1 + ndim)``."""
    unit = torch.rand((n, problem.domain.ndim), generator=torch.Generator().manual_seed(0), dtype=dtype)
    low, length = (torch.tensor(c, dtype=dtype) for c in (problem.domain.lower, problem.domain.lengths))
    return torch.cat([torch.zeros(n, 1, dtype=dtype), low + length * unit], 1)
