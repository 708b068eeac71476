"""The motion of an elastic body given by two networks side by side: displacement and velocity of every point of its unstrained shape."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sciml.core.elastic import ElasticBody, Energy, check_body
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.problem import Problem
from sciml.optim.vector import Flat
from sciml.surrogates.inr.integrators import Network, Places
from sciml.surrogates.inr.representation import Representation
from sciml.surrogates.inr.weak import Trial
from sciml.surrogates.pinn.ansatz import Ansatz
from sciml.surrogates.pinn.fixed import fixed_series
from sciml.surrogates.pinn.jets import Jets
from sciml.surrogates.pinn.networks import PointNetwork, make_network
from sciml.surrogates.pinn.sampling import Gauss, Sampler
from sciml.surrogates.pinn.series import Series, Table

VALUE, FIRST, SECOND = Table([(0, 0, 0)]), Table([(0, 1, 0), (0, 0, 1)]), Table([(0, 2, 0), (0, 1, 1), (0, 0, 2)])
"""What values, strains and forces need of a network; the indices of each come first in those of the next."""

AMPLITUDE = 10.0
"""By how much more a field changes with its weights than a network of unit size would, relative to the body."""


class ElasticField(Representation):
    r"""Displacement and velocity :math:`A\,B(x)\,(N_\theta(x)-N_{\theta_0}(x))`, each with a network N of its own; B vanishes on clamped faces.

    Taking off what the network is at the field's own weights :math:`\theta_0` lets a body start at rest and unstrained with weights that can go
    anywhere: those of a network that is zero by itself have hardly any directions. The amplitude A is :data:`AMPLITUDE` times the longest side,
    divided by
    the horizon for velocities: the larger it is, the less the weights have to move, and the more nearly the field is linear in them [L. Chizat,
    E. Oyallon & F. Bach, NeurIPS 2019, arXiv 1812.07956]; but features that hardly move do not adapt to the field either.

    Parameters
    ----------
    problem : with an :class:`~sciml.core.elastic.ElasticBody`; faces are periodic, ``Dirichlet(0.0)`` (clamped) or ``Free()``.
    width, depth, network, activation, adaptive, fourier, frequency, harmonics : of each network, as for :class:`sciml.PINN`.
    dtype : of the weights.

    Raises InputError and UnsupportedError for other equations, faces and types.
    """

    usual = "sdirk2"

    def __init__(self, problem: Problem, *, harmonics: int, dtype: torch.dtype, who: str, **options: Any) -> None:
        super().__init__()
        body = problem.equation
        if not isinstance(body, ElasticBody):
            raise UnsupportedError(f"{who}: {problem.name} is no elastic body.")
        check_body(problem, who)
        if dtype not in (torch.float32, torch.float64):
            raise InputError(f"{who}: dtype={dtype} given; torch.float64 or torch.float32 is needed.")
        self.problem, self.channels, self.ndim = problem, len(body.fields), problem.domain.ndim
        self.ansatz = Ansatz(problem.domain, None, self.ndim, None, hard=True, harmonics=harmonics, who=who)
        kind, sizes = options["network"], {name: value for name, value in options.items() if name != "network"}
        self.displacement, self.velocity = (make_network(kind, self.ansatz.width, self.ndim, **sizes, who=who) for _ in range(2))
        self.velocity.embedding = self.displacement.embedding  # so that one row of features serves both
        self.to(dtype)
        size = AMPLITUDE * max(problem.domain.lengths)
        self.amplitudes = size, size / problem.horizon
        self._features = self.displacement.embedding(torch.zeros(1, self.ansatz.width, dtype=dtype)).shape[-1]
        self._width = 2 * self.ndim + 1 + self._features

    @property
    def body(self) -> ElasticBody:
        """The problem's own, with its coefficients as they are now."""
        assert isinstance(self.problem.equation, ElasticBody)  # by the constructor
        return self.problem.equation

    def check(self, who: str) -> None:
        self.body.check(who)

    def points(self, size: int) -> Sampler:
        return Gauss(max(64, size))

    # -- points -------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def prepared(self, x: Tensor, *, rates: bool = True) -> Tensor:
        """Rows: the coordinates, then coefficient by coefficient of the series the two networks at the field's own weights, B and the features."""
        table = SECOND if rates else VALUE
        z = torch.cat([torch.zeros_like(x[:, :1]), x], 1)
        factor, features = fixed_series(self.ansatz, self.displacement, table, z)[..., self.ndim :].split((1, self._features), -1)
        read = Series(features.movedim(1, 0), table)
        own = [network.series(read).c.movedim(0, 1) for network in (self.displacement, self.velocity)]
        return torch.cat([x, torch.cat([*own, factor, features], -1).flatten(1)], 1)

    def values(self, row: Tensor) -> Tensor:
        found = [self._series(row, which, VALUE)[0] for which in (0, 1)]
        return torch.cat(found, -1)

    def moved(self, row: Tensor) -> tuple[Tensor, Tensor]:
        """Displacement and its gradient at rows of ``prepared(x)``, ``(..., 2)`` and ``(..., 2, 2)``."""
        c = self._series(row, 0, FIRST)
        return c[0], torch.stack([c[1], c[2]], -1)

    def speed(self, row: Tensor) -> Tensor:
        """The velocity at rows of any kind, ``(..., 2)``."""
        return self._series(row, 1, VALUE)[0]

    def place(self, row: Tensor) -> Tensor:
        """The displacement at rows of any kind, ``(..., 2)``."""
        return self._series(row, 0, VALUE)[0]

    def state_and_rate(self, row: Tensor, time: float, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The fields, and by what they change per unit of time where no face holds them."""
        found = torch.cat([self._series(row, which, SECOND) for which in (0, 1)], -1) if c is None else c
        z = torch.cat([torch.full_like(row[..., :1], time), row[..., : self.ndim]], -1)
        d = Jets(z)
        u = d.unknown(lambda index: found[SECOND.place[index]])
        force = d.values(d.stack(*self.body.forces(u, d)))
        return found[0], torch.cat([found[0][..., self.ndim :], force / self.body.density], -1)

    def _series(self, row: Tensor, which: int, table: Table) -> Tensor:
        """Taylor coefficients of one of the two fields, ``(len(table), ..., 2)``."""
        block = row[..., self.ndim : self.ndim + len(table) * self._width].unflatten(-1, (len(table), self._width)).movedim(-2, 0)
        *own, factor, features = block.split((self.ndim, self.ndim, 1, self._features), -1)
        network: PointNetwork = (self.displacement, self.velocity)[which]
        change = network.series(Series(features, table)) - Series(own[which], table)
        return self.amplitudes[which] * (Series(factor, table) * change).c

    @cached_property
    def trial(self) -> Trial:
        """What steps are tested with."""
        return Trial(self.problem, next(self.parameters()).dtype)

    @cached_property
    def tested(self) -> Places:
        """Where."""
        return Places.at(self, self.trial.points)

    @torch.no_grad()
    def energy(self, weights: Tensor) -> Energy:
        """The energies of a state with weights ``(size,)``."""
        network = Network(self)
        named = network.named(weights)
        d, gradient = network.called(ElasticField.moved, named, self.tested.full)
        speed = network.called(ElasticField.speed, named, self.tested.full)
        return self.body.energy(self.trial.points, self.trial.parts, d, speed, gradient)

    # -- weights ------------------------------------------------------------------------------------------------------

    def part(self, which: int) -> tuple[Flat, Mapping[str, Tensor]]:
        """The weights of the displacement (0) or the velocity (1), as a vector and by the names that they have in this field."""
        prefix = ("displacement.", "velocity.")[which]
        names = {name: p for name, p in self.named_parameters() if name.startswith(prefix)}
        return Flat(names.values(), "INRStepper"), names
