"""``sciml.PINN``: a network that solves a problem by its own equation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sciml.core.checks import check_whole
from sciml.core.equation import ResidualForm
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.field import Field
from sciml.core.grid import Grid
from sciml.core.problem import Problem, Profile
from sciml.core.steady import SteadyEquation
from sciml.derivatives.functional import Functional
from sciml.surrogates.pinn.ansatz import Ansatz, has_value_face
from sciml.surrogates.pinn.base import CHUNK, PointModel
from sciml.surrogates.pinn.diffused import SAMPLES, Diffused, rates_of
from sciml.surrogates.pinn.fixed import fixed_series
from sciml.surrogates.pinn.jets import Coefficient, Jets
from sciml.surrogates.pinn.networks import PointNetwork, make_network
from sciml.surrogates.pinn.objective import PinnObjective
from sciml.surrogates.pinn.observations import check_choice
from sciml.surrogates.pinn.posed import check_posed
from sciml.surrogates.pinn.series import Index, Series, Table
from sciml.surrogates.pinn.shocks import check_smooth
from sciml.surrogates.pinn.states import Held
from sciml.surrogates.pinn.streamfunction import inverse_symbol, potential_state, shift_of
from sciml.surrogates.pinn.unknowns import Bounds
from sciml.training.checkpoint import checksum


class PINN(PointModel):
    r"""A physics-informed network: a function u(t, x) that meets a problem's conditions and is trained on its equation.

    .. math:: u = u_0(x) + E(t,x) + s(t)\,B(x)\,N_\theta(t, x),\qquad \min_\theta\ \langle R[u]^2\rangle

    with the residual R of the problem's own equation at points of space-time; :class:`~sciml.surrogates.pinn.ansatz.Ansatz` says
    how initial and boundary conditions are built in. Trainable coefficients of the equation (``nn.Parameter``) are the model's
    parameters too, so that ``sciml.fit(pinn, data=(t, x, u))`` finds them with the solution. An equation that inverts the Laplacian of its
    unknown is given the potential: the network is :math:`\psi`, and :math:`u=\Delta\psi`. A steady solution that is known up to a constant
    has the mean 0.

    Weights are float64 by default, and start from torch's default generator; the equation's coefficients are converted with them.

    Parameters
    ----------
    problem : any with residuals at points; random initial states are drawn on ``points`` from ``generator``.
    width, depth : neurons per layer and hidden layers (blocks of "pirate").
    network : "mlp"; "modified", whose layers mix two encodings of the coordinates; "pirate", residual with gates that start closed.
    activation : "tanh", "sine" or "swish"; with ``adaptive`` each has a slope to be learned.
    fourier : random Fourier features of the coordinates, a number or ``(number, scale)``.
    frequency : factor of the first layer's initial weights; more waves at the start.
    harmonics : waves per periodic axis that the network reads.
    bc : "hard" builds boundary conditions in, "soft" adds them to the loss; periodic ones are always built in.
    initial : the same for the initial state; "free" asks for none, so that the observations and the equation determine it; "diffused", for states
        with corners or jumps on periodic axes, is hard with every wave of :math:`u_0` fading as the equation's linear part has it
        (:math:`u_0` becomes :math:`e^{(t-t_0)(\mathrm{Re}L-\max\mathrm{Re}L)}u_0`), so that the network need not round the corners off.
    state : what to start from instead of the problem's law: samples ``(channel, *space)`` on ``points`` (periodic domains), a function of
        the coordinates, or a module that maps points ``(..., ndim)`` to ``(..., channels)``, which is converted and moved with the weights.
    bounds : (lower, upper) of trained coefficients by name, such as ``{"viscosity": (0.0, None)}``, which no step can leave: what is trained is
        :math:`\xi` of :class:`~sciml.surrogates.pinn.unknowns.Bound`. The coefficient's own ``nn.Parameter`` holds the value found when
        a training ends, when :meth:`coefficients` is called, and in files.
    start, end : of the time interval; the problem's by default.
    points : resolution at which random states are drawn, and diffused ones sampled; the problem's by default, of the latter a fine one.
    generator : of random states; seed 0 by default.
    dtype : of the weights.

    Raises
    ------
    InputError : conditions that contradict each other; names and sizes that make no network; bounds that do not hold; an equation whose residual is
        not finite, or that is ill-posed forward in time.
    UnsupportedError : residuals that points cannot have: lattices, shocks of inviscid laws, given fields known on a grid only.

    *Good values*: 3 layers of 20 to 64 neurons; ``sciml.GaussNewton()`` or ``sciml.SSBroyden()`` for accuracy, Adam for a first look.

    Reference: M. Raissi, P. Perdikaris & G. E. Karniadakis, J. Comput. Phys. 378 (2019) 686.

    >>> pinn = sciml.PINN(sciml.load_problem("burgers:raissi2019"), width=20, depth=3)     # doctest: +SKIP
    >>> history = sciml.fit(pinn, epochs=1000, optimizer=torch.optim.Adam)                 # doctest: +SKIP
    """

    network: PointNetwork

    def __init__(
        self,
        problem: Problem,
        *,
        width: int = 32,
        depth: int = 3,
        network: str = "mlp",
        activation: str = "tanh",
        adaptive: bool = False,
        fourier: int | tuple[int, float] | None = None,
        frequency: float = 1.0,
        harmonics: int = 1,
        bc: str = "hard",
        initial: str = "hard",
        state: Tensor | nn.Module | Callable[..., Tensor] | None = None,
        bounds: Bounds | None = None,
        start: float = 0.0,
        end: float | None = None,
        points: int | Sequence[int] | None = None,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        who = type(self).__name__
        check_choice(who, "bc", bc)
        check_choice(who, "initial", initial, "free", "diffused")
        check_whole(1, who=who, harmonics=harmonics)
        self.take(problem, start, end, dtype)
        if problem.steady and (end is not None or start != 0.0 or state is not None or initial != "hard"):
            raise InputError(f"{who}: {problem.name} is steady, so start, end, state and initial have no meaning; leave them out.")
        if initial == "free" and state is not None:
            raise InputError(f"{who}: a state given with initial='free', which leaves the initial state to the data; leave one of them out.")
        self.equation = with_given_fields(problem, points)
        self.adopt_coefficients(bounds)
        self.shift = shift_of(self.equation, self.ndim, who=who)
        grid = problem.grid(points)
        first: nn.Module | None = None
        built_in: nn.Module | None = None
        self.soft_state = None
        if not problem.steady and self.shift is not None and initial == "hard":
            whole = isinstance(state, Held)
            built_in = self.initial(state, grid, None) if whole else potential_state(self._samples(state, grid, generator), grid, self.shift, who=who)
        elif not problem.steady and initial != "free":
            first = self.initial(state, grid, generator)
            self.soft_state, built_in = (first, None) if initial == "soft" else (None, first)
        if initial == "diffused":
            built_in = self._diffused(state, problem.grid(points or SAMPLES[self.ndim - 1]), generator)
        check_smooth(problem, first, self.start, self.end, who=who)
        check_posed(problem, self.live_equation(), first, self.start, self.end, shift=self.shift, who=who)
        times = None if problem.steady else (self.start, self.end)
        hard = bc == "hard"
        self.ansatz = Ansatz(problem.domain, times, self.channels, built_in, hard=hard, harmonics=harmonics, who=who)
        self.soft_boundary = not hard and not all(problem.domain.is_periodic)
        self.options = {
            "width": width,
            "depth": depth,
            "network": network,
            "activation": activation,
            "adaptive": adaptive,
            "fourier": fourier,
            "frequency": frequency,
            "harmonics": harmonics,
            "bc": bc,
            "initial": initial,
            "bounds": None if bounds is None else {name: list(ends) for name, ends in bounds.items()},
            "points": points if points is None or isinstance(points, int) else list(points),
            "dtype": str(dtype).removeprefix("torch."),
        }
        self.network = make_network(
            network,
            self.ansatz.width,
            self.channels,
            width=width,
            depth=depth,
            activation=activation,
            adaptive=adaptive,
            fourier=fourier,
            frequency=frequency,
            who=who,
        )
        self._width = self.channels + 1 + self.network.embedding(torch.zeros(1, self.ansatz.width)).shape[-1]
        self.table: Table | None = None
        self.to(dtype)
        self.free_constant = self._try_residual()

    def values(self, z: Tensor) -> Tensor:
        """u at points ``(..., 1 + ndim)`` with columns t and x, ``(..., channels)``; for a solution known up to a constant, with any mean."""
        if self.shift is None:
            return torch.as_tensor(self.ansatz(z, self.network))
        d, u = self.field_on_points()
        return d.evaluate(u, z)

    def residual(self, z: Tensor) -> Tensor:
        """The equation's residual at points ``(..., 1 + ndim)``, ``(..., equations)``; ``torch.func`` can transform it."""
        d, u = self.field_on_points()
        return d.evaluate(self.live_equation().residual(u, d), z).to(z.dtype)

    def prepared(self, z: Tensor) -> Tensor:
        r"""Points with the Taylor coefficients there of u's part without the network, of the factor and of the features."""
        if self.table is None:
            return z
        return torch.cat([z, fixed_series(self.ansatz, self.network, self.table, z).flatten(1)], 1)

    def residual_prepared(self, row: Tensor) -> Tensor:
        """The residual from rows of :meth:`prepared`, with derivatives of the network alone, by one pass of series through it."""
        if self.table is None:
            return self.residual(row)
        z, table = row[..., : 1 + self.ndim], self.table
        fixed = row[..., 1 + self.ndim :].unflatten(-1, (len(table), self._width)).movedim(-2, 0)
        base, factor, features = fixed.split((self.channels, 1, self._width - self.channels - 1), -1)
        u = Series(base, table) + Series(factor, table) * self.network.series(Series(features, table))
        return self._by_jets(z, lambda index: u.c[table.place[index]])

    def _by_jets(self, z: Tensor, coefficient: Coefficient) -> Tensor:
        """The residual of the field, or of the field of the potential, with these coefficients."""
        potential: list[Field] = []
        d = Jets(z, lambda u, shift: potential[0])
        u: Field = d.unknown(coefficient)
        if self.shift is not None:
            potential.append(u)
            u = d.laplacian(u) - self.shift * u if self.shift else d.laplacian(u)
        return d.values(self.live_equation().residual(u, d)).expand(*z.shape[:-1], self.channels)

    def _make_table(self, z: Tensor) -> Table | None:
        """The derivatives that the residual at z needs; None where only the functional engine can compute it."""
        if any(p.requires_grad for p in self.ansatz.parameters()):
            return None  # a state that is trained has no series that could be kept
        asked: set[Index] = set()

        def note(index: Index) -> Tensor:
            asked.add(index)
            return torch.full((*z.shape[:-1], self.channels), 0.7, dtype=z.dtype)

        try:
            self._by_jets(z, note)
        except UnsupportedError:
            return None
        return Table(asked | {(0,) * (1 + self.ndim)})

    def slope(self, z: Tensor, axis: int) -> Tensor:
        """The derivative along a space axis at points ``(..., 1 + ndim)``, ``(..., channels)``."""
        d, u = self.field_on_points()
        return d.evaluate(d.partial(u, axis, 1), z)

    def field_on_points(self) -> tuple[Functional, Field]:
        """An engine, and u as its field."""
        if self.shift is None:
            d = Functional(self.ndim)
            return d, d.unknown(lambda z: self.ansatz(z, self.network), self.channels)
        potential: list[Field] = []
        d = Functional(self.ndim, inverse_laplacian=lambda u, shift: potential[0])
        psi = d.unknown(lambda z: self.ansatz(z, self.network), 1)
        potential.append(psi)
        u = d.laplacian(psi)
        return d, u - self.shift * psi if self.shift else u

    # -- training: what ``sciml.fit`` asks a model that needs no data -------------------------------------------------

    def objective(self) -> PinnObjective:
        """The mean square of the residual, and of whatever condition is soft, at points of the default density."""
        return PinnObjective()

    def extra_repr(self) -> str:
        given = ", ".join(f"{k}={'trained' if isinstance(v, Tensor) and v.requires_grad else v}" for k, v in self.problem.parameters.items())
        drawn = list(self.ansatz.buffers())  # a checkpoint must tell one random state from another
        state = f", state {checksum(drawn)}" if drawn else ""
        interval = f"t from {self.start:g} to {self.end:g}"
        return f"{self.problem.name}({given}), {interval}, bc={self.options['bc']}, initial={self.options['initial']}{state}"

    # -- parts --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _samples(self, state: Any, grid: Grid, generator: torch.Generator | None) -> Tensor:
        """The initial state on the grid."""
        if state is None:
            return self.problem.initial_state(grid, generator)
        module = self.initial(state, grid, generator)
        if isinstance(state, Tensor):
            return state.detach().to(grid.device, grid.dtype)
        x = torch.stack([c.flatten() for c in grid.points()], -1)
        return torch.cat([module(part) for part in x.split(CHUNK)]).T.reshape(-1, *grid.shape)

    def _diffused(self, state: Any, grid: Grid, generator: torch.Generator | None) -> Diffused:
        """The initial state, or its potential, with the waves' rates of decay."""
        who = type(self).__name__
        rates = rates_of(self.live_equation(), grid, who=who)
        u = self._samples(state, grid, generator)
        multiplier = None if self.shift is None else inverse_symbol(u, grid, self.shift, who=who)
        return Diffused(u, grid, rates, self.start, multiplier)

    @torch.no_grad()
    def _try_residual(self) -> bool:
        """Whether a constant added to the solution changes nothing; raise if the residual cannot be computed."""
        unit = torch.rand((24, 1 + self.ndim), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        z = self._placed(unit.to(self.dtype))
        self.table = self._make_table(z)
        r = self.residual_prepared(self.prepared(z))
        if not bool(torch.isfinite(r).all()):
            raise InputError(
                f"PINN: the residual of {self.problem.name} is not finite at some points; if the initial state has no finite derivatives there "
                "(a front, a square root), use initial='soft'."
            )
        if not self.problem.steady or has_value_face(self.problem.domain) or self.channels > 1:
            return False
        d = Functional(self.ndim)
        shifted = d.unknown(lambda p: self.ansatz(p, self.network) + 1.0, self.channels)
        moved = d.evaluate(self.live_equation().residual(shifted, d), z)
        return bool((moved - r).abs().max() <= 1e-6 * (1 + r.abs().max()))

    def _placed(self, unit: Tensor) -> Tensor:
        low = torch.tensor([self.start, *self.problem.domain.lower], dtype=unit.dtype)
        high = torch.tensor([self.end, *self.problem.domain.upper], dtype=unit.dtype)
        return (low + (high - low) * unit).to(self.device)


def with_given_fields(problem: Problem, points: int | Sequence[int] | None) -> ResidualForm:
    """The equation, with the fields that the problem's law gives a steady one."""
    equation = problem.equation
    if not isinstance(equation, SteadyEquation) or not equation.inputs or all(getattr(equation, name) is not None for name in equation.inputs):
        return equation
    if isinstance(problem.initial, Profile) and len(equation.inputs) == 1:
        return equation.with_inputs({equation.inputs[0]: problem.initial.function})
    raise InputError(
        f"PINN: the given fields {', '.join(equation.inputs)} of {problem.name} are drawn at random on a grid, but points need them as functions; "
        "give a problem whose equation is equation.with_inputs({name: function of the coordinates})."
    )


__all__ = ["PINN", "with_given_fields"]
