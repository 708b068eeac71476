"""The contract of a propagator, as a test that users can run on their own solvers and networks."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sciml.core.errors import ContractError, InputError
from sciml.core.grid import Grid
from sciml.core.propagator import Propagator
from sciml.testing.trigonometric import Trigonometric


def check_propagator(step: Propagator, u: Tensor | None = None, *, channels: int | None = None, seed: int = 0) -> None:
    """Raise :class:`ContractError` unless ``step`` keeps the contract of a propagator.

    In this order: a positive ``dt`` and a grid; shape, dtype and device are kept; the input is not changed; the same
    input gives the same output; each sample of a batch goes its own way, for any number of batch axes; the output is
    differentiable, and reverse mode, forward mode (``torch.func.jvp``) and finite differences agree; states of wrong
    shape or dtype raise :class:`InputError`.

    Parameters
    ----------
    step : to be checked.
    u : an admissible state ``(channel, *space)``; a smooth random one between 0.7 and 1.3 by default.
    channels : of the default state; ``step.channels`` if not given, else 1.
    """
    name = type(step).__name__
    if not (isinstance(getattr(step, "dt", None), float | int) and step.dt > 0 and math.isfinite(step.dt)):
        raise ContractError(f"{name}: dt={getattr(step, 'dt', None)!r}; a propagator has a positive, finite dt.")
    if not isinstance(getattr(step, "grid", None), Grid):
        raise ContractError(f"{name}: grid={getattr(step, 'grid', None)!r}; a propagator has the sciml.Grid of its states.")
    generator = torch.Generator().manual_seed(seed)
    grid = step.grid
    count = channels or int(getattr(step, "channels", 1)) if u is None else u.shape[-1 - grid.ndim]
    state = u if u is not None else _state(grid, count, generator)
    if state.ndim != grid.ndim + 1:
        raise InputError(f"check_propagator: u has shape {tuple(state.shape)}; give one state (channel, *space) without batch axes.")
    direction = (_state(grid, count, generator) - 1).to(state)
    loose = 1.0 if grid.dtype == torch.float64 else 1e6
    with torch.no_grad():
        _check_output(step, state, name)
        _check_batch(step, state, direction, name, 1e-10 * loose)
    _check_derivatives(step, state, direction, name)
    _check_refusals(step, state, name)


def _state(grid: Grid, channels: int, generator: torch.Generator) -> Tensor:
    return Trigonometric.random(grid, 1, channels, generator).on(grid.to(device="cpu"), 0.0).to(grid.device)


def _check_output(step: Callable[[Tensor], Tensor], u: Tensor, name: str) -> None:
    before = u.clone()
    first = step(u)
    if not isinstance(first, Tensor):
        raise ContractError(f"{name}: returned a {type(first).__name__}; a propagator returns the next state as a tensor.")
    for what in ("shape", "dtype", "device"):
        given, got = getattr(u, what), getattr(first, what)
        if given != got:
            raise ContractError(f"{name}: the {what} changed from {given} to {got}; the next state must be like the state given.")
    if not torch.equal(u, before):
        raise ContractError(f"{name}: the state given was changed in place; work on a copy.")
    if not bool(torch.isfinite(first).all()):
        raise ContractError(f"{name}: one step from a smooth state is not finite; reduce dt.")
    if not torch.equal(first, step(u)):
        raise ContractError(f"{name}: the same state gave two different results; call eval() on networks, and keep no state between calls.")


def _check_batch(step: Callable[[Tensor], Tensor], u: Tensor, direction: Tensor, name: str, tolerance: float) -> None:
    states = torch.stack([u, u + 0.5 * direction, u - 0.25 * direction, u + 0.125 * direction])
    apart = torch.stack([step(s) for s in states])
    for batch in ((4,), (2, 2)):
        together = step(states.reshape(*batch, *u.shape))
        if together.shape != (*batch, *u.shape):
            raise ContractError(f"{name}: a batch of shape {(*batch, *u.shape)} came back as {tuple(together.shape)}; keep all leading axes.")
        error = float((together.reshape(apart.shape) - apart).abs().amax())
        if not error <= tolerance * max(1.0, float(apart.abs().amax())):
            raise ContractError(f"{name}: stepping a batch of shape {batch} differs from stepping its samples by {error:.3g}; samples must not mix.")


def _check_derivatives(step: Callable[[Tensor], Tensor], u: Tensor, direction: Tensor, name: str) -> None:
    leaf = u.detach().clone().requires_grad_()
    result = step(leaf)
    if not result.requires_grad:
        raise ContractError(f"{name}: the next state does not carry gradients; avoid detach(), numpy and no_grad inside the step.")
    weights = direction.roll(1, -1) + 0.5
    (gradient,) = torch.autograd.grad((result * weights).sum(), leaf)
    reverse = float((gradient * direction).sum())
    double = u.dtype == torch.float64
    size, tolerance = (1e-5, 1e-6) if double else (1e-2, 2e-2)
    with torch.no_grad():
        difference = (step(u + size * direction) - step(u - size * direction)) / (2 * size)
    central = float((difference * weights).sum())
    scale = float((difference * weights).abs().sum()) + 1e-30
    if not abs(central - reverse) <= tolerance * scale:
        raise ContractError(
            f"{name}: the gradient {reverse:.10g} differs from the finite difference {central:.10g}; "
            "a part of the step is cut from the graph or computed in lower precision than the state's."
        )
    tangent = torch.func.jvp(step, (u,), (direction,))[1]
    error = float((tangent - difference).detach().abs().amax())
    forward = float((tangent * weights).detach().sum())
    if not (error <= 10 * tolerance * max(float(difference.abs().amax()), 1e-30) and abs(forward - reverse) <= (1e-9 if double else 1e-3) * scale):
        raise ContractError(f"{name}: the tangent of torch.func.jvp differs from finite differences by {error:.3g}; detach no part of the step.")


def _check_refusals(step: Callable[[Tensor], Tensor], u: Tensor, name: str) -> None:
    other = torch.float32 if u.dtype == torch.float64 else torch.float64
    wrong = [("dtype", u.to(other), other), ("number of channels", torch.cat([u, u]), None)]
    if u.ndim > 1:
        wrong.append(("number of points", torch.cat([u, u], -1), None))
    for what, state, dtype in wrong:
        try:
            step(state)
        except InputError:
            continue
        except Exception as error:
            raise ContractError(
                f"{name}: a state of wrong {what} raised {type(error).__name__}, not an InputError that says what to do; "
                "use sciml.core.checks.check_state."
            ) from error
        raise ContractError(f"{name}: a state of wrong {what} ({dtype or tuple(state.shape)}) was accepted; use sciml.core.checks.check_state.")
