"""Checks at the boundary: one place that turns bad input into one clear sentence."""

from __future__ import annotations

import math
from numbers import Integral

import torch
from torch import Tensor

from sciml.core.errors import BlowUpError, InputError
from sciml.core.grid import Grid


def check_state(u: Tensor, grid: Grid, channels: int, *, who: str) -> None:
    """Raise unless ``u`` is a state ``(*batch, channels, *grid.shape)`` with the grid's dtype and device."""
    if not isinstance(u, Tensor):
        raise InputError(f"{who}: the state is a {type(u).__name__}; give a torch.Tensor (torch.as_tensor(u) converts).")
    expected = (channels, *grid.shape)
    if u.ndim < len(expected) or tuple(u.shape[-len(expected) :]) != expected:
        axes = ", ".join(map(str, expected))
        raise InputError(f"{who}: the state has shape {tuple(u.shape)}; (*batch, {axes}) is expected, that is (*batch, channel, *space).")
    if u.dtype != grid.dtype:
        raise InputError(f"{who}: the state is {u.dtype} but the grid is {grid.dtype}; use u.to({grid.dtype}) or build on grid.to(dtype={u.dtype}).")
    if u.device.type != grid.device.type:
        raise InputError(f"{who}: the state is on {u.device} but the grid is on {grid.device}; use u.to('{grid.device}') or grid.to('{u.device}').")


def as_channel(values: Tensor, grid: Grid, name: str) -> Tensor:
    """Values of one given field as ``(*batch, 1, *space)`` on ``grid``; raise unless they have that shape, or ``(*space)``."""
    if tuple(values.shape) == grid.shape:
        values = values.unsqueeze(0)
    check_state(values, grid, 1, who=f"given field {name}")
    return values


def check_step(dt: float, *, who: str) -> float:
    """The time step as a float; raise unless it is positive and finite."""
    try:
        value = float(dt)
    except (TypeError, ValueError):
        raise InputError(f"{who}: dt={dt!r} is not a number; give a positive time step.") from None
    if not (value > 0 and math.isfinite(value)):
        raise InputError(f"{who}: dt={dt} given; a positive, finite time step is needed.")
    return value


def check_whole(least: int, *, who: str, **values: object) -> None:
    """Raise unless every value is a whole number of at least ``least``."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise InputError(f"{who}: {name}={value!r} given; a whole number of at least {least} is needed.")


def check_finite(u: Tensor, grid: Grid, *, time: float, dt: float, fields: tuple[str, ...], scheme: str, limit: float) -> None:
    """Raise :class:`BlowUpError` if a state is not finite or exceeds ``limit`` in size; the message names the field."""
    size = u.detach().abs().amax()
    if bool(size <= limit):
        return
    channel_axis = u.ndim - 1 - grid.ndim
    per_field = u.detach().abs().movedim(channel_axis, 0).flatten(1).amax(1)
    worst = next(i for i, s in enumerate(per_field.tolist()) if not s <= limit)
    value = float(per_field[worst])
    what = f"grew to {value:.3g} (limit {limit:.3g})" if math.isfinite(value) else "is not finite"
    raise BlowUpError(
        f"{scheme}: field {fields[worst]} {what} at t={time:.6g} with dt={dt:.3g}. "
        f"Try a smaller step (dt={dt / 4:.3g}), more points, or an exponential or implicit scheme if the equation is stiff."
    )


def check_device(device: torch.device | str) -> torch.device:
    """The device called ``device``; raise :class:`InputError` unless it exists and works on this machine."""
    try:
        found = torch.device(device)
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # unknown name, no such hardware, no kernels for it
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        known = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
        raise InputError(f"Device {str(device)!r} cannot be used here ({reason}); available: {', '.join(known)}.") from error
    if found.type == "meta":
        raise InputError("Device 'meta' holds no values; give cpu, cuda or mps.")
    return found
