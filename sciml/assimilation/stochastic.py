"""``sciml.Stochastic``: a model with random errors of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sciml.assimilation.noise import Correlated, Independent, Noise
from sciml.core.errors import InputError
from sciml.core.propagator import Propagator, Stepper


class Stochastic(Stepper):
    r"""A model with additive Gaussian errors after every step: :math:`u_{n+1}=M(u_n)+q_n`, :math:`q_n\sim N(0,Q)` independent for every state.

    Parameters
    ----------
    step : M, any propagator. Schemes of several steps start anew after each error.
    covariance : Q, of one step: a variance, or one per entry of the flattened state ``(n,)``, or a matrix ``(n, n)``, or a
        :class:`sciml.assimilation.noise.Noise`.
    generator : of the errors; :func:`sciml.cycle` fills in its own.

    The errors grow with the number of steps: for errors of variance :math:`\sigma^2` per unit of time give :math:`\sigma^2` ``dt``.
    Raises InputError for variances that are not positive, and when it is called without a generator.

    >>> sciml.Stochastic(sciml.RK4(equation, grid, dt=0.05), covariance=0.01)          # doctest: +SKIP
    """

    def __init__(self, step: Propagator | Stepper, covariance: float | Tensor | Noise, *, generator: torch.Generator | None = None) -> None:
        if isinstance(step, Stochastic):
            raise InputError("Stochastic: the model has errors already; give the model without them, and the sum of the covariances.")
        self.step, self.generator = step, generator
        self.dt, self.grid, self.channels = float(step.dt), step.grid, int(getattr(step, "channels", 1))
        if isinstance(covariance, Noise):
            self.errors: Noise = covariance
        else:
            given = torch.as_tensor(covariance, dtype=torch.float64).detach()
            if given.ndim < 2 and not bool((given > 0).all()):
                raise InputError("Stochastic: variances must be positive; for a model without errors use the model itself.")
            self.errors = Correlated(given) if given.ndim == 2 else Independent(given.sqrt())

    def drawing(self, generator: torch.Generator) -> Stochastic:
        """The same with errors from ``generator``, unless it has one."""
        return self if self.generator is not None else Stochastic(self.step, self.errors, generator=generator)

    def encode(self, u: Tensor, time: float = 0.0) -> Tensor:
        return u

    def decode(self, state: Any) -> Tensor:
        assert isinstance(state, Tensor)
        return state

    def advance(self, state: Any, time: float = 0.0) -> Tensor:
        return self.disturbed(self.undisturbed(state, time), self.generator)

    def undisturbed(self, u: Tensor, time: float) -> Tensor:
        """M(u)."""
        return self.step(u, time) if isinstance(self.step, Stepper) else self.step(u)

    def disturbed(self, u: Tensor, generator: torch.Generator | None) -> Tensor:
        """u + q."""
        if generator is None:
            raise InputError("Stochastic: no generator is known; give generator=, here or to sciml.cycle.")
        first = u.ndim - 1 - self.grid.ndim
        flat = u.flatten(first)
        return (flat + self.errors.sample(tuple(flat.shape[:-1]), flat.shape[-1], flat, generator)).reshape(u.shape)
