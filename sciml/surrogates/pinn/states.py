"""States that can be evaluated at any point: what a network starts from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sciml.core.domain import Domain
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.grid import Grid
from sciml.core.problem import Problem, Profile
from sciml.spectral.transforms import Transform

CHUNK = 2**22
"""Waves evaluated at once."""
NEGLIGIBLE = 1e-16
"""Modes below this part of the largest one are left out."""


class ProfileState(nn.Module):
    """A function of the coordinates, continued periodically: points ``(..., ndim)`` to values ``(..., channels)``."""

    def __init__(self, function: Callable[..., Any], domain: Domain, channels: int) -> None:
        super().__init__()
        self.function, self.domain, self.channels = function, domain, channels

    def forward(self, x: Tensor) -> Tensor:
        columns = []
        for axis, (low, length, periodic) in enumerate(zip(self.domain.lower, self.domain.lengths, self.domain.is_periodic, strict=True)):
            c = x[..., axis]
            columns.append(c - length * torch.floor((c - low) / length) if periodic else c)
        value = torch.as_tensor(self.function(*columns), dtype=x.dtype, device=x.device)
        batch = x.shape[:-1]
        if value.ndim == 0 or tuple(value.shape) == tuple(batch):
            value = value.expand(batch).unsqueeze(0)
        if tuple(value.shape) != (self.channels, *batch):
            raise InputError(
                f"The initial state has shape {tuple(value.shape)} at points of shape {tuple(batch)}; "
                f"{(self.channels, *batch)}, one entry per field, is expected."
            )
        return value.movedim(0, -1)


class BandLimited(nn.Module):
    r"""The trigonometric interpolant :math:`\sum_k a_k\cos k\cdot(x-o)+b_k\sin k\cdot(x-o)` of a field on a periodic grid.

    Parameters
    ----------
    u : ``(channels, *grid.shape)``.
    grid : periodic.
    multiplier : of the coefficients, such as that of an inverse operator, on the half spectrum; real.
    """

    k: Tensor
    a: Tensor
    b: Tensor

    def __init__(self, u: Tensor, grid: Grid, multiplier: Tensor | None = None) -> None:
        super().__init__()
        c = Transform(grid).forward(u)
        if multiplier is not None:
            c = c * multiplier
        waves = torch.broadcast_tensors(*grid.wavenumbers())
        k = torch.stack([w.flatten() for w in waves], -1)
        half = grid.shape[-1] // 2
        last = torch.arange(half + 1, device=u.device).expand(waves[0].shape).flatten()
        # the half spectrum stores one of two conjugate modes, but for those that are their own mirror images along the last axis
        weight = torch.where((last == 0) | ((last == half) & (grid.shape[-1] % 2 == 0)), 1.0, 2.0)
        flat = c.flatten(1) * weight
        for axis, (n, length) in enumerate(zip(grid.shape, grid.lengths, strict=True)):
            if n % 2 == 0:  # the mode N/2 is a cosine: half of it belongs to each sign
                edge = k[:, axis].abs() > (math.pi * n / length) * (1 - 1e-9)
                mirrored = k[edge].clone()
                mirrored[:, axis] *= -1
                flat = torch.cat([torch.where(edge, flat / 2, flat), flat[:, edge] / 2], 1)
                k = torch.cat([k, mirrored])
        size = flat.abs().amax(0)
        kept = size > NEGLIGIBLE * size.max() if bool(size.max() > 0) else torch.zeros_like(size, dtype=torch.bool)
        self.register_buffer("k", k[kept].contiguous())
        self.register_buffer("a", flat.real[:, kept].T.clone(memory_format=torch.contiguous_format))
        self.register_buffer("b", -flat.imag[:, kept].T.clone(memory_format=torch.contiguous_format))
        self.origin = grid.origin

    def forward(self, x: Tensor) -> Tensor:
        origin = torch.tensor(self.origin, dtype=x.dtype, device=x.device)
        phase = (x - origin) @ self.k.T
        return torch.cos(phase) @ self.a + torch.sin(phase) @ self.b

    def series(self, x: Tensor, orders: Sequence[tuple[int, ...]]) -> Tensor:
        """Derivatives of these orders along the axes at points ``(n, ndim)``, ``(n, len(orders), channels)``."""
        pieces = []
        for part in x.split(max(1, CHUNK // max(1, len(self.k)))):
            phase = (part - torch.tensor(self.origin, dtype=x.dtype, device=x.device)) @ self.k.T
            waves = torch.cos(phase), torch.sin(phase)
            rows = []
            for order in orders:
                factor = math.prod((self.k[:, i : i + 1] ** n for i, n in enumerate(order)), start=torch.ones_like(self.k[:, :1]))
                turn = sum(order) % 4  # each derivative turns cos to -sin, sin to cos
                a, b = ((self.a, self.b), (self.b, -self.a), (-self.a, -self.b), (-self.b, self.a))[turn]
                rows.append(waves[0] @ (factor * a) + waves[1] @ (factor * b))
            pieces.append(torch.stack(rows, 1))
        return torch.cat(pieces)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        for name in ("k", "a", "b"):  # another state may have another number of modes
            if f"{prefix}{name}" in state_dict:
                setattr(self, name, torch.empty_like(state_dict[f"{prefix}{name}"], dtype=self.k.dtype, device=self.k.device))
        super()._load_from_state_dict(state_dict, prefix, *args)


class Constant(nn.Module):
    """The state of a system without space axes."""

    value: Tensor

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value)

    def forward(self, x: Tensor) -> Tensor:
        return self.value.expand(*x.shape[:-1], -1)


def state_of(problem: Problem, grid: Grid, generator: torch.Generator | None, *, who: str) -> nn.Module:
    """The initial state of a problem as a function of points: its profile, or a drawn state between its samples.

    ``grid`` is where random states are drawn. Raises UnsupportedError for random states on bounded domains.
    """
    channels = len(problem.equation.fields)
    if isinstance(problem.initial, Profile):
        state = ProfileState(problem.initial.function, problem.domain, channels)
        error = _trouble(state, grid)
        if error is None:
            return state
        if not all(problem.domain.is_periodic):
            raise UnsupportedError(
                f"{who}: the initial state of {problem.name} cannot be evaluated point by point ({error}); write it with torch functions of its "
                "arguments."
            )
    return sampled(problem.initial_state(grid, generator), grid, who=who)


def sampled(u: Tensor, grid: Grid, *, who: str) -> nn.Module:
    """A state between its samples ``(channels, *grid.shape)``."""
    if grid.ndim == 0:
        return Constant(u)
    if not all(grid.periodic):
        raise UnsupportedError(
            f"{who}: a state given by samples can be evaluated between them on periodic domains only; on this one give a function of the coordinates "
            "(a Profile, or state=...)."
        )
    return BandLimited(u, grid)


def _trouble(state: nn.Module, grid: Grid) -> str | None:
    """What happens when the state is evaluated and differentiated point by point; None if nothing does."""
    middle = [low + length * 0.37 for low, length in zip(grid.origin, grid.lengths, strict=True)]
    x = torch.tensor([middle, middle], dtype=grid.dtype, device=grid.device)
    try:
        torch.func.vmap(lambda p: torch.func.jvp(state, (p,), (torch.ones_like(p),))[1])(x)
    except InputError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        return str(error).splitlines()[0]
    return None
