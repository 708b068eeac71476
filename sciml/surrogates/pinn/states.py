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
    per_mode: tuple[str, ...] = ("k", "a", "b")

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
        place = torch.arange(len(k), device=u.device)
        for axis, (n, length) in enumerate(zip(grid.shape, grid.lengths, strict=True)):
            if n % 2 == 0:  # the mode N/2 is a cosine: half of it belongs to each sign
                edge = k[:, axis].abs() > (math.pi * n / length) * (1 - 1e-9)
                mirrored = k[edge].clone()
                mirrored[:, axis] *= -1
                flat = torch.cat([torch.where(edge, flat / 2, flat), flat[:, edge] / 2], 1)
                k, place = torch.cat([k, mirrored]), torch.cat([place, place[edge]])
        size = flat.abs().amax(0)
        kept = size > NEGLIGIBLE * size.max() if bool(size.max() > 0) else torch.zeros_like(size, dtype=torch.bool)
        self.register_buffer("k", k[kept].contiguous())
        self.register_buffer("a", flat.real[:, kept].T.clone(memory_format=torch.contiguous_format))
        self.register_buffer("b", -flat.imag[:, kept].T.clone(memory_format=torch.contiguous_format))
        self.origin = grid.origin
        self.place = place[kept]

    @classmethod
    def of(cls, k: Tensor, a: Tensor, b: Tensor, origin: tuple[float, ...]) -> BandLimited:
        """The sum with these wave vectors ``(modes, ndim)`` and coefficients ``(modes, channels)``."""
        state = cls.__new__(cls)
        nn.Module.__init__(state)
        for name, value in (("k", k), ("a", a), ("b", b)):
            state.register_buffer(name, value.clone())
        state.origin = tuple(origin)
        return state

    def forward(self, x: Tensor) -> Tensor:
        origin = torch.tensor(self.origin, dtype=x.dtype, device=x.device)
        phase = (x - origin) @ self.k.T
        return torch.cos(phase) @ self.a + torch.sin(phase) @ self.b

    def series(self, x: Tensor, orders: Sequence[tuple[int, ...]]) -> Tensor:
        """Derivatives of these orders along the axes at points ``(n, ndim)``, ``(n, len(orders), channels)``."""
        pieces = []
        for part in x.split(max(1, CHUNK // max(1, len(self.k)))):
            phase = (part - torch.tensor(self.origin, dtype=x.dtype, device=x.device)) @ self.k.T
            pieces.append(self._derivatives(torch.cos(phase), torch.sin(phase), orders))
        return torch.cat(pieces)

    def _derivatives(self, cosines: Tensor, sines: Tensor, orders: Sequence[tuple[int, ...]]) -> Tensor:
        """From the waves at points, ``(n, modes)`` each."""
        rows = []
        for order in orders:
            factor = self._factor(order)
            turn = sum(order[-self.k.shape[1] :]) % 4  # each derivative in space turns cos to -sin, sin to cos
            a, b = ((self.a, self.b), (self.b, -self.a), (-self.a, -self.b), (-self.b, self.a))[turn]
            rows.append(cosines @ (factor * a) + sines @ (factor * b))
        return torch.stack(rows, 1)

    def _factor(self, order: tuple[int, ...]) -> Tensor:
        """What a derivative multiplies each mode by, up to the turn, ``(modes, 1)``."""
        return math.prod((self.k[:, i : i + 1] ** n for i, n in enumerate(order)), start=torch.ones_like(self.k[:, :1]))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        for name in self.per_mode:  # another state may have another number of modes
            if f"{prefix}{name}" in state_dict:
                setattr(self, name, torch.empty_like(state_dict[f"{prefix}{name}"], dtype=self.k.dtype, device=self.k.device))
        super()._load_from_state_dict(state_dict, prefix, *args)


class Held(nn.Module):
    """What a network is to start from as it is: the state, or of an equation with a potential the potential's."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.module(x)
        return found


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


def stored_state(weights: Mapping[str, Tensor], origin: tuple[float, ...]) -> nn.Module | None:
    """The initial state among a model's weights, if it is one given by samples."""
    for home in ("ansatz.state.", "soft_state.", "initial_state."):
        if f"{home}k" in weights:
            return Held(BandLimited.of(weights[f"{home}k"], weights[f"{home}a"], weights[f"{home}b"], origin))
        if f"{home}value" in weights:
            return Constant(weights[f"{home}value"])
    return None


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
