"""``sciml.Observation``: an instrument, its errors, and what it sees of a state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sciml.assimilation.noise import Correlated, Independent, Noise
from sciml.assimilation.operators import Operator, function
from sciml.core.errors import InputError
from sciml.core.grid import Grid


class Observation(nn.Module):
    r""":math:`y=h(u,t)+\varepsilon`, :math:`\varepsilon\sim N(0,R)`.

    Parameters
    ----------
    operator : h: :func:`sciml.every`, :func:`sciml.mask`, :func:`sciml.at_points` and others, or any function of states
        ``(*batch, channel, *space)`` to ``(*batch, m)``, such as a network.
    noise : standard deviation of the errors: one number, or one per observation.
    covariance : R itself, ``(m, m)``, in place of ``noise``; or a :class:`sciml.assimilation.noise.Noise` of your own.
    grid : of the states; :func:`sciml.cycle` fills it in.

    In data, NaN stands for a missing observation. Raises InputError for noise that is not positive, and for covariances that are singular.

    >>> sciml.Observation(sciml.every(4), noise=0.1)          # doctest: +SKIP
    """

    def __init__(
        self,
        operator: Operator | Any,
        noise: float | Tensor | None = None,
        *,
        covariance: Tensor | Noise | None = None,
        grid: Grid | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(operator, Operator) and not callable(operator):
            raise InputError(f"Observation: {operator!r} given; a rule such as sciml.every(4), or a function of states, is needed.")
        if (noise is None) == (covariance is None):
            raise InputError("Observation: give the errors of the data once, as noise= (standard deviations) or as covariance=.")
        self.operator = operator if isinstance(operator, Operator) else function(operator)
        self.part = operator if isinstance(operator, nn.Module) else None  # so that parameters and devices of a network are found
        self.errors: Noise
        if noise is not None:
            self.errors = Independent(noise)
        elif covariance is not None:
            self.errors = covariance if isinstance(covariance, Noise) else Correlated(covariance)
        self.grid = grid

    def on(self, grid: Grid) -> Observation:
        """The same instrument for states on a grid."""
        return Observation(self.operator, covariance=self.errors, grid=grid)

    def forward(self, u: Tensor, time: float = 0.0) -> Tensor:
        """What is seen of states ``(*batch, channel, *space)`` without errors, ``(*batch, m)``."""
        seen = self.operator(u, self._grid(), time)
        assert isinstance(seen, Tensor)
        return seen

    def measured(self, u: Tensor, generator: torch.Generator, time: float = 0.0) -> Tensor:
        """What is seen of states with errors drawn, ``(*batch, m)``."""
        seen = self(u, time)
        return seen + self.errors.sample(tuple(seen.shape[:-1]), seen.shape[-1], seen, generator)

    def locations(self, channels: int, time: float = 0.0) -> Tensor | None:
        """Coordinates ``(m, ndim)`` of the observations; None if they have no places."""
        return self.operator.locations(self._grid(), channels, time)

    def _grid(self) -> Grid:
        if self.grid is None:
            raise InputError("Observation: the grid of the states is not known; use observation.on(grid), or give grid= to the constructor.")
        return self.grid
