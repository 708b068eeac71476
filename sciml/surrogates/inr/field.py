"""A field given by a network of the coordinates, with the equation's right-hand side at any point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sciml.core.domain import check_imposed
from sciml.core.equation import Equation
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.field import Field
from sciml.core.problem import Problem
from sciml.surrogates.inr.representation import Representation
from sciml.surrogates.pinn.ansatz import Ansatz, faces_of
from sciml.surrogates.pinn.fixed import fixed_series
from sciml.surrogates.pinn.jets import Coefficient, Jets
from sciml.surrogates.pinn.networks import PointNetwork, make_network
from sciml.surrogates.pinn.posed import check_posed
from sciml.surrogates.pinn.series import Index, Series, Table
from sciml.surrogates.pinn.streamfunction import shift_of


class NeuralField(Representation):
    r"""A function u(x) that meets a problem's boundary conditions for any weights: :math:`u = E(x) + B(x)\,N_\theta(x)`.

    Periodic axes enter as waves, Dirichlet and Neumann conditions by :class:`~sciml.surrogates.pinn.ansatz.Ansatz`. Of an equation that inverts the
    Laplacian of its unknown the network is the potential :math:`\psi`, and :math:`u=\Delta\psi-s\psi`.

    Points are turned once into *rows* by :meth:`prepared`: the coordinates with the Taylor coefficients there of all that does not depend on the
    weights. What follows from weights at rows, values and right-hand side, costs one pass of series through the network.

    Parameters
    ----------
    problem : with an :class:`~sciml.Equation`; boundary values that do not change in time.
    width, depth, network, activation, adaptive, fourier, frequency, harmonics : of the network, as for :class:`sciml.PINN`.
    dtype : of the weights.

    Raises UnsupportedError for steady problems, lattices, boundary values that change in time, and functions that series do not know.
    """

    network: PointNetwork
    usual = "rk4"

    def __init__(
        self,
        problem: Problem,
        *,
        width: int,
        depth: int,
        network: str,
        activation: str,
        adaptive: bool,
        fourier: int | tuple[int, float] | None,
        frequency: float,
        harmonics: int,
        dtype: torch.dtype,
        who: str,
    ) -> None:
        super().__init__()
        equation = problem.equation
        if not isinstance(equation, Equation) or equation.lattice or problem.domain.ndim == 0:
            raise UnsupportedError(f"{who}: {problem.name} is no evolution equation u_t = ... of a field in space, which is what steps are made of.")
        check_imposed(problem.domain.boundaries, who=who)
        for face in faces_of(problem.domain):
            if callable(face.condition.value):
                raise UnsupportedError(
                    f"{who}: the boundary value on {face.name} of {problem.name} changes in time, and the network only knows places; "
                    "use sciml.PINN or a classical solver."
                )
        if dtype not in (torch.float32, torch.float64):
            raise InputError(f"{who}: dtype={dtype} given; torch.float64 or torch.float32 is needed.")
        self.problem = problem
        self.ndim, self.channels = problem.domain.ndim, len(equation.fields)
        self.shift = shift_of(equation, self.ndim, who=who)
        self.ansatz = Ansatz(problem.domain, None, self.channels, None, hard=True, harmonics=harmonics, who=who)
        options: dict[str, Any] = {"width": width, "depth": depth, "activation": activation, "adaptive": adaptive}
        self.network = make_network(network, self.ansatz.width, self.channels, **options, fourier=fourier, frequency=frequency, who=who)
        self.to(dtype)
        self._width = self.channels + 1 + self.network.embedding(torch.zeros(1, self.ansatz.width, dtype=dtype)).shape[-1]
        self.table = self._needed(lambda d, u: d.values(u) + d.values(self.equation.rhs(u, d)), who)
        self.value_table = self._needed(lambda d, u: d.values(u), who)

    @property
    def equation(self) -> Equation:
        """The problem's own, with its coefficients as they are now; no part of the module, because coefficients are no weights of a field."""
        assert isinstance(self.problem.equation, Equation)  # by the constructor
        return self.problem.equation

    def check(self, who: str) -> None:
        check_posed(self.problem, self.equation, None, 0.0, self.problem.horizon, shift=self.shift, who=who)

    # -- points -------------------------------------------------------------------------------------------------------

    def prepared(self, x: Tensor, *, rates: bool = True) -> Tensor:
        """Rows of points ``(n, ndim)``; with ``rates=False`` shorter ones, for :meth:`values` alone."""
        z = torch.cat([torch.zeros_like(x[:, :1]), x], 1)
        return torch.cat([z, fixed_series(self.ansatz, self.network, self.table if rates else self.value_table, z).flatten(1)], 1)

    def columns(self, *, rates: bool = True) -> int:
        """The length of a row."""
        return 1 + self.ndim + len(self.table if rates else self.value_table) * self._width

    def series(self, row: Tensor, *, rates: bool = True) -> Tensor:
        """Taylor coefficients of the network's field at rows, ``(len(table), ..., channels)``."""
        table = self.table if rates else self.value_table
        fixed = row[..., 1 + self.ndim :].unflatten(-1, (len(table), self._width)).movedim(-2, 0)
        base, factor, features = fixed.split((self.channels, 1, self._width - self.channels - 1), -1)
        u = Series(base, table) + Series(factor, table) * self.network.series(Series(features, table))
        return u.c

    def values(self, row: Tensor) -> Tensor:
        """u at rows of ``prepared(x, rates=False)``, ``(..., channels)``; ``torch.func`` can transform it."""
        c, table = self.series(row, rates=False), self.value_table
        d, u = self._field(row[..., : 1 + self.ndim], lambda index: c[table.place[index]])
        return d.values(u)

    def state_and_rate(self, row: Tensor, time: float, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """u and the equation's right-hand side at rows of ``prepared(x)`` and a time, each ``(..., channels)``; from other coefficients if given."""
        found = self.series(row) if c is None else c
        z = torch.cat([torch.full_like(row[..., :1], time), row[..., 1 : 1 + self.ndim]], -1)
        d, u = self._field(z, lambda index: found[self.table.place[index]])
        rate: Tensor = d.values(self.equation.rhs(u, d))
        return d.values(u), rate.expand(*z.shape[:-1], self.channels)

    # -- parts --------------------------------------------------------------------------------------------------------

    def _field(self, z: Tensor, coefficient: Coefficient) -> tuple[Jets, Field]:
        """An engine, and u as its field: the field with these coefficients, or that of the potential."""
        potential: list[Field] = []
        d = Jets(z, lambda u, shift: potential[0])
        u: Field = d.unknown(coefficient)
        if self.shift is not None:
            potential.append(u)
            u = d.laplacian(u) - self.shift * u if self.shift else d.laplacian(u)
        return d, u

    def _needed(self, of: Callable[[Jets, Field], Tensor], who: str) -> Table:
        """The derivatives of the network's field that something needs."""
        asked: set[Index] = {(0,) * (1 + self.ndim)}
        low, high = (torch.tensor([0.0, *c], dtype=torch.float64) for c in (self.problem.domain.lower, self.problem.domain.upper))
        z = (low + 0.37 * (high - low)).expand(2, -1)

        def note(index: Index) -> Tensor:
            asked.add(index)
            return torch.full((2, self.channels), 0.7, dtype=z.dtype)

        try:
            of(*self._field(z, note))
        except UnsupportedError as error:
            raise UnsupportedError(
                f"{who}: {self.problem.name} cannot be evaluated by series ({error}); use sciml.PINN or a classical solver."
            ) from error
        return Table(asked)
