"""A spectral filter after every step of another propagator."""

from __future__ import annotations

import copy
from typing import Any, Self

from torch import Tensor

from sciml.core.errors import InputError
from sciml.core.propagator import Stepper, TwoStepState
from sciml.spectral.transforms import Transform


class Filtered(Stepper):
    """``step`` followed by multiplication of the Fourier coefficients by a real function of the wavenumber.

    Parameters
    ----------
    step : the propagator; its working state must be coefficients or values on a periodic grid, with or without the
        slope of the step before, which is left as it is.
    multiplier : on the full half spectrum of the grid, such as an exponential filter at the highest wavenumbers.
    """

    def __init__(self, step: Stepper, multiplier: Tensor) -> None:
        self.step = step
        self.dt, self.grid, self.channels = step.dt, step.grid, step.channels
        self.transform = Transform(step.grid)
        if tuple(multiplier.shape) != self.transform.modes:
            raise InputError(
                f"Filtered: the multiplier has shape {tuple(multiplier.shape)}; the half spectrum of the grid is {self.transform.modes}."
            )
        self.multiplier = multiplier.to(step.grid.device, step.grid.dtype)

    def bind(self) -> Self:
        bound = copy.copy(self)
        bound.step = self.step.bind()
        return bound

    def encode(self, u: Tensor, time: float = 0.0) -> Any:
        return self.step.encode(u, time)

    def advance(self, state: Any, time: float = 0.0) -> Any:
        after = self.step.advance(state, time)
        if isinstance(after, TwoStepState):
            return after._replace(current=self._filtered(after.current))
        return self._filtered(after)

    def _filtered(self, working: Tensor) -> Tensor:
        if working.is_complex():
            return working * self.multiplier[..., : working.shape[-1]]
        return self.transform.inverse(self.transform.forward(working) * self.multiplier)

    def decode(self, state: Any) -> Tensor:
        return self.step.decode(state)
