"""Initial states with corners: built in together with the diffusion that rounds them off."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sciml.core.equation import Equation, ResidualForm
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.grid import Grid
from sciml.surrogates.pinn.states import CHUNK, BandLimited

MODES = 256
"""Modes summed at once."""
SAMPLES = (4096, 256, 64)
"""Per axis, by the number of axes: a corner has waves of all lengths."""


class Diffused(BandLimited):
    r"""The interpolant with every mode fading at a rate of its own: points ``(..., 1 + ndim)`` to
    :math:`\sum_k e^{-\lambda_k(t-t_0)}(a_k\cos k\cdot(x-o)+b_k\sin k\cdot(x-o))`.

    Parameters
    ----------
    u, grid, multiplier : as for :class:`BandLimited`.
    rates : :math:`\lambda_k\ge0` on the half spectrum.
    start : :math:`t_0`.
    """

    rate: Tensor
    per_mode = ("k", "a", "b", "rate")

    def __init__(self, u: Tensor, grid: Grid, rates: Tensor, start: float, multiplier: Tensor | None = None) -> None:
        super().__init__(u, grid, multiplier)
        self.register_buffer("rate", rates.flatten()[self.place].clone())
        self.start = start

    def forward(self, z: Tensor) -> Tensor:
        x = z[..., 1:] - torch.tensor(self.origin, dtype=z.dtype, device=z.device)
        total = z.new_zeros((*z.shape[:-1], self.a.shape[1]))
        for k, a, b, rate in zip(*(part.split(MODES) for part in (self.k, self.a, self.b, self.rate)), strict=True):
            phase, fade = x @ k.T, torch.exp(-(z[..., :1] - self.start) * rate)
            total = total + (torch.cos(phase) * fade) @ a + (torch.sin(phase) * fade) @ b
        return total

    def series(self, x: Tensor, orders: Sequence[tuple[int, ...]]) -> Tensor:
        """Derivatives of these orders in time and along the axes at points ``(n, 1 + ndim)``, ``(n, len(orders), channels)``."""
        pieces = []
        for part in x.split(max(1, CHUNK // max(1, len(self.k)))):
            phase = (part[:, 1:] - torch.tensor(self.origin, dtype=x.dtype, device=x.device)) @ self.k.T
            fade = torch.exp(-(part[:, :1] - self.start) * self.rate)
            pieces.append(self._derivatives(torch.cos(phase) * fade, torch.sin(phase) * fade, orders))
        return torch.cat(pieces)

    def _factor(self, order: tuple[int, ...]) -> Tensor:
        return (-self.rate[:, None]) ** order[0] * super()._factor(order[1:])


@torch.no_grad()
def rates_of(equation: ResidualForm, grid: Grid, *, who: str) -> Tensor:
    r""":math:`\lambda_k=\max_q\mathrm{Re}\,L_q-\mathrm{Re}\,L_k` of the equation's linear part, on the half spectrum.

    Raises UnsupportedError where there is no such part for one field on a periodic grid, and InputError where it damps nothing.
    """
    if not (isinstance(equation, Equation) and len(equation.fields) == 1 and grid.ndim and all(grid.periodic)):
        raise UnsupportedError(
            f"{who}: initial='diffused' needs one field on a periodic domain and an equation with a linear part; use initial='hard' or 'soft'."
        )
    growth = equation.symbol(grid).real
    rates = growth.max() - growth
    if not bool(rates.any()):
        raise InputError(f"{who}: initial='diffused' given, but the linear part of {type(equation).__name__} damps no wave; use initial='hard'.")
    return rates
