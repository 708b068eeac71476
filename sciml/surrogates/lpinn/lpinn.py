"""``sciml.LPINN``: characteristics and the state on them, each a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from sciml.core.checks import check_whole
from sciml.core.conservation import ConservationLaw
from sciml.core.derivatives import as_vector
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.field import Field
from sciml.core.problem import Problem
from sciml.derivatives.lagrangian import Lagrangian
from sciml.surrogates.lpinn.form import check_form
from sciml.surrogates.lpinn.inversion import labels_at
from sciml.surrogates.lpinn.jets import LagrangianJets
from sciml.surrogates.pinn.base import PointModel
from sciml.surrogates.pinn.fixed import rows_of_fields, state_series
from sciml.surrogates.pinn.jets import Coefficient, Jets
from sciml.surrogates.pinn.networks import PointNetwork, make_network
from sciml.surrogates.pinn.objective import PinnObjective
from sciml.surrogates.pinn.posed import check_posed
from sciml.surrogates.pinn.sampling import Sobol
from sciml.surrogates.pinn.series import Index, Series, Table
from sciml.surrogates.pinn.shocks import check_smooth
from sciml.surrogates.pinn.unknowns import Bounds
from sciml.training.checkpoint import checksum

BARRIER = 0.02
r"""Where the loss begins to resist: J below this is on the way to crossing. Solutions with fronts have small J, and a higher barrier would bend
more of them; with one of 0.001 trainings were seen to cross between their points."""
LOOK = (65, 513)
"""Instants and labels at which the smallest J is looked for."""


class LPINN(PointModel):
    r"""A Lagrangian physics-informed network for equations that carry a state along characteristics, in one periodic dimension.

    Labels X move along :math:`x = X + \delta(X,t)`, and :math:`W(X,t)` is the state at the label:

    .. math:: \delta = \tau\,\big(c_0 + a\,N_\delta(X,t)\big),\quad W = u_0(X) + \tfrac{\tau}{T}\,b\,N_W(X,t),\qquad \tau = t-t_0

    with two networks of their own, periodic in X; :math:`c_0` is the mean characteristic velocity of the initial state and a, b are the spreads
    of velocity and state. Trained on

    .. math:: \delta_t = c(W),\qquad R[u] = 0 \text{ with } \partial_x = J^{-1}\partial_X,\ \partial_t|_x = \partial_t|_X-\delta_tJ^{-1}\partial_X,
              \ J = 1+\delta_X

    where c is the equation's ``velocity`` and R the residual of the equation itself, evaluated by :class:`~sciml.derivatives.lagrangian.Lagrangian`:
    diffusion is taken over places, not over labels. A call ``lpinn(t, x)`` finds the labels at x by Newton's method and returns W there, with
    exact derivatives. Weights start such that the state is carried at :math:`c_0` without change.

    Characteristics must not cross: J > 0. An inviscid law is refused if they would before ``end``; with viscosity J stays positive but a standing
    shock makes it decay like :math:`e^{-St}`, S its slope, and a network resolves that only for a while. The loss resists J below
    :data:`BARRIER`; the weight ``equation.barrier`` of :class:`sciml.PinnObjective`, set to 0, leaves that out.

    Parameters
    ----------
    problem : with one field on a periodic axis and an equation that has a ``velocity``; every :class:`ConservationLaw` does.
    width, depth : of the network for the state.
    path_width, path_depth : of that for the displacement.
    network, activation, adaptive, fourier, frequency : of both, as for :class:`sciml.PINN`.
    harmonics : waves of the label that the networks read.
    initial : "hard" only.
    state, bounds, start, end, points, generator, dtype : as for :class:`sciml.PINN`.

    Raises
    ------
    UnsupportedError : equations without a velocity, systems, bounded or several axes, an initial state that is not built in, characteristics that
        cross before ``end``.
    BlowUpError : from a call, if the trained characteristics have crossed.

    R. Mojgani, M. Balajewicz & P. Hassanzadeh, Comput. Methods Appl. Mech. Eng. 404 (2023) 115810, section 3; with the diffusion of the Eulerian
    equation, which their public code replaces by another.

    >>> lpinn = sciml.LPINN(sciml.load_problem("advection:krishnapriyan2021"))     # doctest: +SKIP
    >>> history = sciml.fit(lpinn, epochs=20, optimizer=sciml.GaussNewton())       # doctest: +SKIP
    """

    network: PointNetwork
    path: PointNetwork

    def __init__(
        self,
        problem: Problem,
        *,
        width: int = 16,
        depth: int = 3,
        path_width: int = 16,
        path_depth: int = 2,
        network: str = "mlp",
        activation: str = "tanh",
        adaptive: bool = False,
        fourier: int | tuple[int, float] | None = None,
        frequency: float = 1.0,
        harmonics: int = 2,
        initial: str = "hard",
        state: Tensor | nn.Module | Callable[..., Tensor] | None = None,
        bounds: Bounds | None = None,
        start: float = 0.0,
        end: float | None = None,
        points: int | None = None,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        check_whole(1, who="LPINN", harmonics=harmonics)
        if initial != "hard":
            raise UnsupportedError(f"LPINN: initial={initial!r} given; characteristics start from a known state. Use sciml.PINN, or leave it out.")
        self.take(problem, start, end, dtype)
        check_form(problem)
        self.equation = problem.equation
        self.adopt_coefficients(bounds)
        self.initial_state = self.initial(state, problem.grid(points), generator)
        check_smooth(problem, self.initial_state, self.start, self.end, who="LPINN")
        check_posed(problem, self.live_equation(), self.initial_state, self.start, self.end, who="LPINN")
        self.soft_state, self.soft_boundary, self.free_constant = None, False, False
        self.length, self.origin = problem.domain.lengths[0], problem.domain.lower[0]
        self.harmonics = harmonics
        self.options: dict[str, Any] = {
            "width": width,
            "depth": depth,
            "path_width": path_width,
            "path_depth": path_depth,
            "network": network,
            "activation": activation,
            "adaptive": adaptive,
            "fourier": fourier,
            "frequency": frequency,
            "harmonics": harmonics,
            "bounds": None if bounds is None else {name: list(ends) for name, ends in bounds.items()},
            "points": points,
            "dtype": str(dtype).removeprefix("torch."),
        }
        common: dict[str, Any] = {"activation": activation, "adaptive": adaptive, "fourier": fourier, "frequency": frequency, "who": "LPINN"}
        self.network = make_network(network, 2 * harmonics + 1, 1, width=width, depth=depth, **common)
        self.path = make_network(network, 2 * harmonics + 1, 1, width=path_width, depth=path_depth, **common)
        for net in (self.network, self.path):
            nn.init.zeros_(net.last.weight)
        self.to(dtype)
        self.drift, self.speed_spread, self.state_spread = self._scales()
        self.table: Table | None = self._make_table()
        self._try_residual()

    # -- the two functions of label and time --------------------------------------------------------------------------

    def displacement(self, z: Tensor) -> Tensor:
        r""":math:`\delta` at ``(t, X)``, ``(..., 2)`` to ``(..., 1)``."""
        moved: Tensor = (z[..., :1] - self.start) * (self.drift + self.speed_spread * self.path(self._features(z)))
        return moved

    def carried(self, z: Tensor) -> Tensor:
        """W at ``(t, X)``, ``(..., 2)`` to ``(..., 1)``."""
        elapsed = (z[..., :1] - self.start) / (self.end - self.start)
        w: Tensor = self.initial_state(z[..., 1:]) + elapsed * self.state_spread * self.network(self._features(z))
        return w

    def _features(self, z: Tensor) -> Tensor:
        return torch.cat(self._read(z[..., :1], z[..., 1:]), -1)

    def _read(self, t: Any, label: Any) -> list[Any]:
        """What the networks read of time and label, tensors or fields."""
        angle = (2 * torch.pi / self.length) * (label - self.origin)
        waves = [wave(n * angle) for n in range(1, self.harmonics + 1) for wave in (torch.cos, torch.sin)]
        return [(t - self.start) * (2 / (self.end - self.start)) - 1, *waves]

    # -- at places ----------------------------------------------------------------------------------------------------

    def values(self, z: Tensor) -> Tensor:
        """u at places, ``(..., 2)`` with columns t and x, ``(..., 1)``; raises BlowUpError where characteristics have crossed."""
        flat = z.reshape(-1, 2)
        return self.values_located(flat, self.located(flat)).reshape(*z.shape[:-1], 1)

    def located(self, z: Tensor) -> Tensor:
        """The labels at places ``(n, 2)``, ``(n, 1)``, without derivatives."""

        def along(t: Tensor, label: Tensor) -> Tensor:
            return self.displacement(torch.stack([t, label], -1))[..., 0]

        z = z.detach()
        return labels_at(along, z[:, 0].contiguous(), z[:, 1].contiguous(), self.length).unsqueeze(-1)

    def values_located(self, z: Tensor, found: Tensor) -> Tensor:
        """u at places ``(..., 2)`` with the labels found there, with the derivatives in place, time and weights that the labels' equation implies."""
        label = found
        at = torch.cat([z[..., :1], label], -1)
        direction = torch.zeros_like(at)
        direction[..., 1] = 1.0
        delta, slope = torch.func.jvp(self.displacement, (at,), (direction,))[:2]
        # one more step of Newton's method: nothing in value, and the implicit function's derivative
        label = label - (label + delta - z[..., 1:]) / (1 + slope).detach()
        return self.carried(torch.cat([z[..., :1], label], -1))

    def slope(self, z: Tensor, axis: int) -> Tensor:
        """u_x at places ``(..., 2)``, ``(..., 1)``."""
        flat = z.reshape(-1, 2)
        d, u = self.field_on_labels()
        return d.evaluate(d.x(u), torch.cat([flat[:, :1], self.located(flat)], 1)).reshape(*z.shape[:-1], 1)

    # -- at labels ----------------------------------------------------------------------------------------------------

    def field_on_labels(self) -> tuple[Lagrangian, Field]:
        """An engine, and u as its field."""
        d = Lagrangian(self.displacement)
        return d, d.unknown(self.carried)

    def residual(self, z: Tensor) -> Tensor:
        r"""At labels, ``(..., 2)`` with columns t and X: :math:`(\delta_t - c(W))/a`, the equation's residual, and how far J is below
        :data:`BARRIER`, relative to it; ``(..., 3)``."""
        d, u = self.field_on_labels()
        stretch: Any = d.stretch  # a field takes torch's functions
        path = (d.speed - self._velocity(u)) / self.speed_spread
        lacking: Any = torch.relu(1 - stretch / BARRIER)
        return d.evaluate(d.stack(path, self.live_equation().residual(u, d), lacking), z).to(z.dtype)  # tangents of single numbers come in double

    def _velocity(self, u: Any) -> Any:
        """c(u), a field or a tensor as u is, or a number."""
        return as_vector(cast(ConservationLaw, self.live_equation()).velocity(u))[0]

    @torch.no_grad()
    def prepared(self, z: Tensor) -> Tensor:
        r"""Labels with the Taylor coefficients there of the initial state and of what the two networks read."""
        if self.table is None:
            return z
        d, table = Jets(z), self.table
        read = Series(rows_of_fields(d, self._read(d.time, *d.space), table, z).movedim(1, 0), table)
        embedded = [net.embedded(read).c.movedim(0, 1) for net in (self.network, self.path)]
        elapsed = rows_of_fields(d, [d.time - self.start], table, z)
        return torch.cat([z, torch.cat([state_series(self.initial_state, 1, d, table, z), elapsed, *embedded], -1).flatten(1)], 1)

    def residual_prepared(self, row: Tensor) -> Tensor:
        """The residual from rows of :meth:`prepared`, by one pass of series through each network."""
        if self.table is None:
            return self.residual(row)
        z, table = row[..., :2], self.table
        fixed = row[..., 2:].unflatten(-1, (len(table), -1)).movedim(-2, 0)
        widths = [net.embedding(z.new_zeros(2 * self.harmonics + 1)).shape[-1] for net in (self.network, self.path)]
        first, elapsed, *embedded = (Series(part, table) for part in fixed.split((1, 1, *widths), -1))
        w = first + elapsed * self.network.series(embedded[0]).scaled(self.state_spread / (self.end - self.start))
        rate = self.path.series(embedded[1]).linear(z.new_full((1, 1), self.speed_spread), z.new_full((1,), self.drift))
        delta = elapsed * rate
        return self._by_jets(z, lambda index: w.c[table.place[index]], lambda index: delta.c[table.place[index]])

    def _by_jets(self, z: Tensor, state: Coefficient, displacement: Coefficient) -> Tensor:
        """:meth:`residual` of a state and a displacement with these coefficients."""
        d = LagrangianJets(z, displacement)
        u = d.unknown(state)
        path = (d.values(d.speed) - self._velocity(d.values(u))) / self.speed_spread
        found = d.values(self.live_equation().residual(u, d)).expand_as(path)
        return torch.cat([path, found, torch.relu(1 - d.values(d.stretch) / BARRIER)], -1)

    def _make_table(self) -> Table | None:
        """The derivatives that the residual needs; None where only the functional engine can compute it."""
        if any(p.requires_grad for p in self.initial_state.parameters()):
            return None  # series that are computed once per point would not follow it
        asked: set[Index] = {(0, 0)}
        z = torch.full((1, 2), 0.3, dtype=self.dtype)

        def note(index: Index) -> Tensor:
            asked.add(index)
            return torch.full_like(z[:, :1], 0.7)

        try:
            self._by_jets(z, note, note)
        except UnsupportedError:
            return None
        return Table(asked)

    @torch.no_grad()
    def _try_residual(self) -> None:
        """Raise InputError if the residual of the untrained network is not finite."""
        unit = torch.rand((24, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        low = torch.tensor([self.start, self.origin], dtype=torch.float64)
        z = (low + torch.tensor([self.end - self.start, self.length], dtype=torch.float64) * unit).to(self.device, self.dtype)
        if not bool(torch.isfinite(self.residual_prepared(self.prepared(z))).all()):
            raise InputError(
                f"LPINN: the residual of {self.problem.name} is not finite at some labels; coefficients and initial state must be finite and have "
                "finite derivatives there. Smooth the state, or use sciml.PINN with initial='soft'."
            )

    @property
    def residuals(self) -> tuple[str, ...]:
        return ("path", "state", "barrier")

    @torch.no_grad()
    def smallest_stretch(self) -> float:
        r"""The smallest J on a table of instants and labels; characteristics have crossed where it is not positive."""
        t = torch.linspace(self.start, self.end, LOOK[0], dtype=self.dtype, device=self.device)
        label = self.origin + self.length * torch.linspace(0, 1, LOOK[1], dtype=self.dtype, device=self.device)
        z = torch.cartesian_prod(t, label)
        direction = torch.zeros_like(z)
        direction[:, 1] = 1.0
        return 1 + float(torch.func.jvp(self.displacement, (z,), (direction,))[1].min())

    def extra_repr(self) -> str:
        given = ", ".join(f"{k}={'trained' if isinstance(v, Tensor) and v.requires_grad else v}" for k, v in self.problem.parameters.items())
        drawn = list(self.initial_state.buffers())  # a checkpoint must tell one random state from another
        return f"{self.problem.name}({given}), t from {self.start:g} to {self.end:g}" + (f", state {checksum(drawn)}" if drawn else "")

    def objective(self) -> PinnObjective:
        """Mean squares of :meth:`residual` at labels spread evenly."""
        return PinnObjective(Sobol(2000))

    @torch.no_grad()
    def _scales(self) -> tuple[float, float, float]:
        """Mean and spread of the initial characteristic velocity, and spread of the initial state."""
        x = self.origin + self.length * torch.arange(1024, dtype=self.dtype, device=self.device) / 1024
        w = self.initial_state(x.unsqueeze(-1))[:, 0]
        c = torch.as_tensor(self._velocity(w), dtype=w.dtype).expand_as(w)
        drift, spread = float(c.mean()), float(c.max() - c.min()) / 2
        # a velocity that does not vary leaves the network nothing to add; a scale of 1 keeps the residual's units
        return drift, spread or 1.0, float(w.max() - w.min()) / 2 or 1.0
