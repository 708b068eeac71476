"""Repeated application of a propagator, with memory that does not grow with the number of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint as torch_checkpoint

from sciml.core.checks import check_state
from sciml.core.errors import InputError
from sciml.core.propagator import Propagator, Stepper


def trajectory(
    step: Propagator | Stepper, u: Tensor, steps: int, *, every: int = 1, time: float = 0.0, checkpoint: bool = False
) -> Iterator[tuple[int, Tensor]]:
    """Yield ``(n, u(t + n dt))`` for n = 0, every, 2 every, ... up to ``steps``; nothing else is kept.

    With ``checkpoint`` the steps between two kept states are recomputed in the backward pass instead of stored.
    """
    _check_counts(steps, every)
    if step.dt is None:
        raise InputError(f"rollout: a {type(step).__name__} without a time step given; a map of fields cannot be repeated. Make it with dt=...")
    if isinstance(step, Stepper):
        check_state(u, step.grid, step.channels, who=type(step).__name__)
        bound = step.bind()
        march: Callable[[Any, float, int], Any] = bound.march
        decode: Callable[[Any], Tensor] = bound.decode
        state: Any = bound.encode(u, time)
    else:
        march, decode, state = partial(_repeat, step), _unchanged, u
    if u.device.type == "cpu":
        _settle_allocator()
    yield 0, u
    for start in range(0, steps - every + 1, every):
        if checkpoint and torch.is_grad_enabled():
            state = torch_checkpoint(march, state, time + start * step.dt, every, use_reentrant=False)
        else:
            state = march(state, time + start * step.dt, every)
        yield start + every, decode(state)


def _repeat(step: Propagator, u: Tensor, time: float, steps: int) -> Tensor:
    for _ in range(steps):
        u = step(u)
    return u


def _unchanged(u: Tensor) -> Tensor:
    return u


def rollout(
    step: Propagator | Stepper,
    u: Tensor,
    steps: int,
    *,
    every: int = 1,
    time: float = 0.0,
    include_initial: bool = True,
    checkpoint: bool = False,
    callback: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """States of a trajectory, shape ``(time, *batch, channel, *space)``.

    Parameters
    ----------
    step : a propagator.
    u : initial state ``(*batch, channel, *space)``, the state at ``time``.
    steps : number of steps taken.
    every : keep every n-th state; memory is that of the kept states alone, whatever ``steps`` is.
    include_initial : entry 0 is ``u`` itself, so that entry i is the state at ``time + i * every * dt``.
    checkpoint : recompute between kept states in the backward pass (gradients of long trajectories).
    callback : called as ``callback(n, state)`` with every kept state.
    """
    _check_counts(steps, every)
    count = steps // every + include_initial
    keep_graph = torch.is_grad_enabled()
    kept: list[Tensor] = []
    out: Tensor | None = None
    row = 0
    for n, state in trajectory(step, u, steps, every=every, time=time, checkpoint=checkpoint):
        if callback is not None:
            callback(n, state)
        if n == 0 and not include_initial:
            continue
        if keep_graph:
            kept.append(state)
        else:
            if out is None:
                out = state.new_empty((count, *state.shape))
            out[row] = state
            row += 1
    if keep_graph:
        return torch.stack(kept) if kept else u.new_empty((0, *u.shape))
    return out if out is not None else u.new_empty((0, *u.shape))


def _settle_allocator() -> None:
    """Let the C allocator serve large temporaries from its heap instead of mapping fresh pages for each.

    glibc maps every block above a threshold anew, and raises the threshold to the size of the largest block it has
    seen freed (up to 32 MiB). One block of that size, never touched, spares a stepper most of its page faults
    (docs/performance.md); other allocators ignore it.
    """
    torch.empty(31 << 20, dtype=torch.uint8)


def _check_counts(steps: int, every: int) -> None:
    if steps < 0 or every < 1:
        raise InputError(f"rollout: steps={steps}, every={every} given; steps must be at least 0 and every at least 1.")
    if steps % every:
        below = steps - steps % every
        raise InputError(f"rollout: steps={steps} is not a multiple of every={every}; use steps={below} or {below + every}.")
