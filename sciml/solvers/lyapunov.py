"""Lyapunov exponents of a propagator, by its own tangent-linear propagation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sciml.core.checks import check_state
from sciml.core.errors import BlowUpError, InputError
from sciml.core.propagator import Stepper
from sciml.core.tangent import tangent_linear


def lyapunov_exponents(
    step: Stepper,
    u: Tensor,
    *,
    count: int = 1,
    steps: int,
    every: int = 10,
    spin_up: int = 0,
    generator: torch.Generator | None = None,
    callback: Callable[[int], None] | None = None,
) -> Tensor:
    r"""The ``count`` largest Lyapunov exponents, per unit time.

    Perturbations follow the exact tangent-linear propagator (forward-mode differentiation of the step) and are
    re-orthonormalised by QR every ``every`` steps; the exponents are the mean logarithms of the diagonal of R
    [Benettin, Galgani, Giorgilli & Strelcyn, Meccanica 15 (1980) 9].

    Parameters
    ----------
    step : any stepper whose working state is one tensor.
    u : one initial state ``(channel, *space)``.
    count : number of exponents.
    steps : number of steps averaged over; a multiple of ``every``.
    spin_up : steps taken before (by the state) and averaged over after the first tenth of them (by the perturbations).
    generator : of the initial perturbations; seed 0 by default.
    callback : called with the number of steps done after every re-orthonormalisation.

    Returns
    -------
    Tensor of shape ``(count,)``, in decreasing order up to sampling error.
    """
    check_state(u, step.grid, step.channels, who="lyapunov_exponents")
    if u.ndim != step.grid.ndim + 1:
        raise InputError(f"lyapunov_exponents: the state has shape {tuple(u.shape)}; give one state without batch axes.")
    if count < 1 or every < 1 or steps < every or steps % every:
        raise InputError(f"lyapunov_exponents: count={count}, steps={steps}, every={every} given; steps must be a positive multiple of every.")
    size = u.numel()
    if count > size:
        raise InputError(f"lyapunov_exponents: count={count} exceeds the state's {size} values.")

    def segment(v: Tensor) -> Tensor:
        state = step.encode(v)
        return step.decode(step.march(state, 0.0, every))

    source = generator if generator is not None else torch.Generator().manual_seed(0)
    noise = torch.randn((size, count), generator=source, dtype=torch.float64)
    q = torch.linalg.qr(noise.to(u))[0]
    total = torch.zeros(count, dtype=torch.float64)
    with torch.no_grad():
        for _ in range(spin_up // every):
            u = segment(u)
        aligned = max(1, spin_up // every // 10)
        for n in range(aligned + steps // every):
            moved, pushed = tangent_linear(segment, u.expand(count, *u.shape), q.T.reshape(count, *u.shape))
            u = moved[0]
            q, r = torch.linalg.qr(pushed.reshape(count, size).T)
            growth = r.diagonal().abs().log().double().cpu()
            if not torch.isfinite(growth).all():
                raise BlowUpError(f"lyapunov_exponents: a perturbation became zero or not finite after {n * every} steps; try a smaller dt or every.")
            if n >= aligned:
                total += growth
                if callback is not None:
                    callback((n - aligned + 1) * every)
    return total / (steps * step.dt)
