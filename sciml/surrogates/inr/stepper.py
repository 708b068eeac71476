"""``sciml.INRStepper``: a time stepper whose state is the weights of a network."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sciml.core.checks import check_state, check_step, check_whole
from sciml.core.errors import BlowUpError, InputError
from sciml.core.grid import Grid
from sciml.core.problem import Problem
from sciml.core.propagator import Stepper
from sciml.surrogates.checkpoint import grid_config, grid_from, read_model, write_model
from sciml.surrogates.inr.field import NeuralField
from sciml.surrogates.inr.fits import NaturalGradient, StepSolver
from sciml.surrogates.inr.initial import fit_values
from sciml.surrogates.inr.integrators import Integrator, Network, Places, Sampling, Step
from sciml.surrogates.inr.kinds import make_integrator, represent
from sciml.surrogates.inr.representation import Representation
from sciml.surrogates.inr.values import packed, unpacked
from sciml.surrogates.pinn.identity import found_again, identity_of
from sciml.surrogates.pinn.sampling import Box, Sampler, Sobol, Uniform
from sciml.surrogates.pinn.states import BandLimited, state_of
from sciml.training.seeds import generator_of

CHECKS = 512
"""Points at which the misfit of each step is measured; none of them is used to fit."""
CHUNK = 2**14
"""Points evaluated at once."""


class INRState(NamedTuple):
    """The working state of :class:`INRStepper`.

    Attributes
    ----------
    weights : ``(*batch, size)``: all that the field is made of.
    misfit : of the latest step: relative root mean square of what the worst of its fits left over, at points that no fit has seen; of a start, that
        of its own fit. The worst of the batch.
    temporal : of the latest step, the integrator's own estimate of its error, relative; 0 for integrators without one.
    iterations : of the latest step's fits.
    constraint : what the latest step left of a constraint, the divergence of a flow relative to its gradient; 0 for equations without one.
    """

    weights: Tensor
    misfit: float = 0.0
    temporal: float = 0.0
    iterations: int = 0
    constraint: float = 0.0


class Stored(NamedTuple):
    """What a file of :meth:`INRStepper.save` holds: the stepper, a state of it, and the time of that state."""

    step: INRStepper
    state: INRState
    time: float


class INRStepper(Stepper):
    r"""Implicit neural spatial representation: the field is a small network of the coordinates, its weights are the state, and there are no data.

    Every step solves the time-discretised equation for the next weights, for an explicit Runge-Kutta scheme stage by stage:

    .. math:: \theta_i = \mathrm{argmin}_\theta\ \langle\big(u_\theta-u_{\theta_n}-h\textstyle\sum_ja_{ij}F(u_{\theta_j})\big)^2\rangle

    with the right-hand side F of the problem's own equation and the mean over points of space. Boundary conditions hold by construction.

    Parameters
    ----------
    problem : an evolution equation on one to three axes, with boundary values that do not change in time; or an :class:`IncompressibleFlow`.
    dt : time step; the problem's own by default.
    integrator : "rk4" (default), "euler", "heun", "dopri5", "implicit_midpoint", or an ``Integrator`` of :mod:`sciml.surrogates.inr.integrators`;
        of flows "splitting" (default) or "chorin".
    solver : of the fits: :class:`NaturalGradient` (default) or :class:`AdamFit`.
    width, depth, network, activation, adaptive, fourier, frequency, harmonics : of the network, as for :class:`sciml.PINN`;
        ``activation="sine"`` with a ``frequency`` is SIREN.
    points : where steps are fitted: :class:`sciml.Sobol`, :class:`sciml.Uniform` or :class:`sciml.RAD` over space (the latter by the size of
        :math:`u_t`), renewed every so many steps; by default 4 times as many points as weights.
    grid : on which fields are taken and returned, and random initial states drawn; the problem's own by default.
    limit : misfit of a step, or of a start, beyond which it is given up.
    start_tolerance : relative error at which the fit of an initial state ends; the last digits take most of its time.
    seed : of weights and points.
    dtype : of the weights.

    Raises
    ------
    InputError, UnsupportedError : options that make no network; problems that networks of the coordinates cannot hold, or that are ill-posed forward
        in time; from a start, fields that the network cannot make to within ``limit``.
    BlowUpError : from a step whose misfit exceeds ``limit``, with the time and what to do.

    H. Chen, R. Wu, E. Grinspun, C. Zheng & P. Y. Chen, ICML 2023, arXiv 2210.00124; Z. Chen et al., arXiv 2404.10771 (stages as fits).

    >>> step = sciml.INRStepper(problem, dt=0.05)          # doctest: +SKIP
    >>> state = step.start()                               # weights of the problem's initial state      # doctest: +SKIP
    >>> u = step.sample(step.advance(state), grid)         # doctest: +SKIP
    """

    def __init__(
        self,
        problem: Problem,
        dt: float | None = None,
        *,
        integrator: str | Integrator | None = None,
        solver: StepSolver | None = None,
        width: int = 20,
        depth: int = 3,
        network: str = "mlp",
        activation: str = "tanh",
        adaptive: bool = False,
        fourier: int | tuple[int, float] | None = None,
        frequency: float = 1.0,
        harmonics: int = 1,
        points: Sampler | None = None,
        grid: Grid | None = None,
        limit: float = 0.1,
        start_tolerance: float = 1e-9,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        who = type(self).__name__
        if not isinstance(problem, Problem):
            raise InputError(f"{who}: a {type(problem).__name__} given; a sciml.Problem is needed, such as sciml.load_problem('burgers:raissi2019').")
        given = problem.dt if dt is None else dt
        if given is None:
            raise InputError(f"{who}: {problem.name} has no time step of its own; give dt=.")
        check_whole(1, who=who, harmonics=harmonics)
        check_whole(0, who=who, seed=seed)
        if solver is not None and not isinstance(solver, StepSolver):
            raise InputError(f"{who}: solver={solver!r} given; a NaturalGradient(...), an AdamFit(...) or a StepSolver of your own is needed.")
        if points is not None and not isinstance(points, Sampler):
            raise InputError(f"{who}: points={points!r} given; a rule such as sciml.Sobol(1000) is needed.")
        if not limit > 0:
            raise InputError(f"{who}: limit={limit} given; a positive misfit is needed.")
        if not 0 < start_tolerance < math.inf:
            raise InputError(f"{who}: start_tolerance={start_tolerance} given; a positive, finite error is needed.")
        self.start_tolerance = start_tolerance
        self.problem, self.channels, self.limit, self.seed = problem, len(problem.equation.fields), limit, seed
        self.dt = check_step(given, who=who)
        self.solver: StepSolver = NaturalGradient() if solver is None else solver
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            field = represent(
                problem,
                width=width,
                depth=depth,
                network=network,
                activation=activation,
                adaptive=adaptive,
                fourier=fourier,
                frequency=frequency,
                harmonics=harmonics,
                dtype=dtype,
                who=who,
            ).requires_grad_(False)
        self.network = Network(field)
        self.integrator = make_integrator(integrator, field, who)
        field.check(who)
        self.grid = problem.grid(dtype=dtype) if grid is None else _fitting(grid, problem, who)
        self.points: Sampler = field.points(self.size) if points is None else points
        self.box = Box(tuple(problem.domain.lower), tuple(problem.domain.upper))
        self._kept: tuple[int, Sampling] | None = None
        self.named_integrator = None if isinstance(integrator, Integrator) else integrator or field.usual
        self.options: dict[str, Any] = {
            "width": width,
            "depth": depth,
            "network": network,
            "activation": activation,
            "adaptive": adaptive,
            "fourier": fourier,
            "frequency": frequency,
            "harmonics": harmonics,
            "limit": limit,
            "start_tolerance": start_tolerance,
            "seed": seed,
        }
        """Those of the constructor that are plain values."""

    @property
    def field(self) -> Representation:
        """The network, whose own weights are those that fits of initial states start from."""
        return self.network.field

    @property
    def size(self) -> int:
        """Number of weights."""
        return self.network.flat.size

    @property
    def bytes(self) -> int:
        """Memory of a state."""
        return self.size * self.network.flat.dtype.itemsize

    # -- states -------------------------------------------------------------------------------------------------------

    def start(self, generator: torch.Generator | None = None) -> INRState:
        """The weights of the problem's initial state, fitted to it as a function; ``generator`` draws random ones."""
        state = state_of(self.problem, self.grid, generator, who=type(self).__name__)
        return self._checked(*self._fitted(state.to(self.network.flat.dtype)))

    def encode(self, u: Tensor, time: float = 0.0) -> INRState:
        """The weights of fields ``(*batch, channel, *space)`` on the grid, on periodic domains of what they are between their samples."""
        check_state(u, self.grid, self.channels, who=type(self).__name__)
        if not bool(torch.isfinite(u).all()):
            raise InputError(f"{type(self).__name__}: the field to start from is not finite at some points; correct it.")
        batch = u.shape[: -1 - self.grid.ndim]
        found = [self._fitted_on_grid(v, time) for v in u.detach().reshape(-1, self.channels, *self.grid.shape)]
        weights = torch.stack([row for row, _ in found]).reshape(*batch, self.size)
        return self._checked(weights, max(error for _, error in found))

    def advance(self, state: INRState | Tensor, time: float = 0.0) -> INRState:
        """The weights one step later, from a state or from weights ``(*batch, size)`` alone."""
        found = self.attempt(state, time, self.dt)
        self.check(found, time, self.dt)
        return found

    def attempt(self, state: INRState | Tensor, time: float, dt: float) -> INRState:
        """The weights a step of any length later, however bad the fits."""
        given = state.weights if isinstance(state, INRState) else state
        if given.shape[-1:] != (self.size,):
            raise InputError(f"{type(self).__name__}: weights of shape {tuple(given.shape)} given; (*batch, {self.size}) is expected.")
        found = [self._step(row, time, dt) for row in given.reshape(-1, self.size)]
        weights = torch.stack([step.weights for step in found]).reshape(given.shape)
        errors = torch.tensor([(step.misfit, step.temporal, step.constraint) for step in found], dtype=torch.float64).amax(0)  # NaN if any is
        misfit, temporal, constraint = errors.tolist()
        return INRState(weights, misfit, temporal, sum(step.iterations for step in found), constraint)

    def check(self, state: INRState, time: float, dt: float) -> None:
        """Raise :class:`BlowUpError` for what :meth:`attempt` found from ``time`` on, unless it is good."""
        if not (state.misfit <= self.limit and bool(torch.isfinite(state.weights).all())):
            implicit = " or integrator='implicit_midpoint' if the equation is stiff" if isinstance(self.field, NeuralField) else ""
            raise BlowUpError(
                f"{type(self).__name__}: the step from t={time:.6g} with dt={dt:.3g} leaves a misfit of {state.misfit:.2g}, more than "
                f"limit={self.limit:g}. Take a smaller dt (dt={dt / 4:.3g}){implicit}, more points, or a wider network; states up to here are good."
            )

    def decode(self, state: INRState | Tensor) -> Tensor:
        """The fields of a state on the grid, ``(*batch, channel, *space)``."""
        return self.sample(state, self.grid)

    @torch.no_grad()
    def sample(self, state: INRState | Tensor, grid: Grid) -> Tensor:
        """The fields of a state on any grid, ``(*batch, channel, *space)``."""
        weights = state.weights if isinstance(state, INRState) else state
        x = torch.stack([c.flatten() for c in grid.points()], -1).to(self.network.flat.dtype)
        values = self.at(weights, x)
        return values.movedim(-1, -2).reshape(*weights.shape[:-1], self.channels, *grid.shape).to(grid.dtype)

    @torch.no_grad()
    def at(self, weights: Tensor, x: Tensor) -> Tensor:
        """Values at points ``(n, ndim)`` for weights ``(*batch, size)``, ``(*batch, n, channel)``."""
        rows = [self.field.prepared(part, rates=False) for part in x.split(CHUNK)]
        found = [torch.cat([self.network.values(self.network.named(row), part) for part in rows]) for row in weights.reshape(-1, self.size)]
        return torch.stack(found).reshape(*weights.shape[:-1], len(x), self.channels)

    @torch.no_grad()
    def rate(self, state: INRState | Tensor, time: float = 0.0) -> float:
        r""":math:`|F(u)|/|u|`, root mean squares over space: by what part of itself the field changes per unit of time; the largest of a batch."""
        weights = state.weights if isinstance(state, INRState) else state
        row = self._places(Sobol(CHECKS).start(self.box, generator_of(self.seed, 3, 0))).full
        found = [self.network.rates(self.network.named(w), row, time) for w in weights.reshape(-1, self.size)]
        return max(float(slope.norm() / (u.norm() or 1.0)) for u, slope in found)

    # -- files --------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path, state: INRState, time: float = 0.0) -> None:
        """Write a state, with its time, the options, and the problem's name and parameters to ``path``, for :meth:`load`."""
        config = {
            "problem": identity_of(self.problem),
            "dt": self.dt,
            "grid": grid_config(self.grid),
            "dtype": str(self.network.flat.dtype).removeprefix("torch."),
            "integrator": self.named_integrator,
            "solver": packed(self.solver),
            "points": packed(self.points),
            "options": self.options,
            "reached": {"time": time, **{name: value for name, value in state._asdict().items() if name != "weights"}},
        }
        write_model(path, "INRStepper", config, {"weights": state.weights, **{f"field.{k}": v for k, v in self.field.state_dict().items()}})

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        problem: Problem | None = None,
        integrator: Integrator | None = None,
        solver: StepSolver | None = None,
        points: Sampler | None = None,
        device: torch.device | str = "cpu",
    ) -> Stored:
        """The stepper, the state and its time that :meth:`save` wrote.

        What is no part of this package (a problem, or a rule of your own) has to be given again. Raises InputError for files that are missing,
        damaged or made by others, for what is missing or does not belong to the file, and for devices other than the CPU.
        """
        who = cls.__name__
        content = read_model(path)
        if content["class"] != "INRStepper":
            raise InputError(f"{path} holds a {content['class']}, not an INRStepper; use sciml.load_model.")
        if torch.device(device).type != "cpu":
            raise InputError(f"{path}: device={device} given; an INRStepper works on the CPU.")
        config, weights = content["config"], dict(content["state"])
        try:
            solved = found_again(config["problem"], str(path), who) if problem is None else problem
            if (now := identity_of(solved)) != config["problem"]:
                raise InputError(
                    f"{path} holds a state of {config['problem']['name']} with {config['problem']['parameters']}, and {now['name']} with "
                    f"{now['parameters']} was given; give the same problem."
                )
            made = cls(
                solved,
                config["dt"],
                integrator=_given(path, "integrator", config["integrator"], integrator),
                solver=_given(path, "solver", unpacked(config["solver"]), solver),
                points=_given(path, "points", unpacked(config["points"]), points),
                grid=grid_from(config["grid"]),
                dtype=getattr(torch, config["dtype"]),
                **config["options"],
            )
            made.field.load_state_dict({k.removeprefix("field."): v for k, v in weights.items() if k.startswith("field.")})
            reached = dict(config["reached"])
            time = reached.pop("time")
            state = INRState(weights["weights"], **reached)
        except (KeyError, TypeError, RuntimeError, AttributeError) as error:
            raise InputError(f"{path}: options, weights and problem do not fit together ({str(error).splitlines()[0]}).") from error
        if state.weights.shape[-1:] != (made.size,) or state.weights.dtype is not made.network.flat.dtype:
            raise InputError(f"{path} is damaged: its state has the shape {tuple(state.weights.shape)}, and the network {made.size} weights.")
        return Stored(made, state, time)

    # -- parts --------------------------------------------------------------------------------------------------------

    def _step(self, weights: Tensor, time: float, dt: float) -> Step:
        """A step of any length; its random choices are those of its place in time."""
        place = (round(time / dt), *(() if dt == self.dt else (round(2**32 * dt / self.dt),)))
        sampling = self._sampling(weights, time, round(time / self.dt))
        return self.integrator.step(self.network, self.solver.session(), sampling, weights, time, dt, generator_of(self.seed, 2, *place))

    def _checked(self, weights: Tensor, error: float) -> INRState:
        """A start, if it is one."""
        if not error <= self.limit:
            why = ", and a periodic potential has a Laplacian of mean zero only" if self.field.shift == 0 else ""
            raise InputError(
                f"{type(self).__name__}: the network with {self.size} weights is {error:.2g} off the field to start from, more than "
                f"limit={self.limit:g}; make it wider, or give it more harmonics or points{why}."
            )
        return INRState(weights, error)

    def _sampling(self, weights: Tensor, time: float, number: int) -> Sampling:
        """The places of step ``number``; a function of the seed and, if points look for change, of the weights."""
        every = self.points.every
        epoch = 0 if every is None else number // every
        looking = every is not None and not isinstance(self.points, Sobol | Uniform)
        if self._kept is not None and self._kept[0] == epoch and not (looking and epoch):
            return self._kept[1]
        generator = generator_of(self.seed, 1, epoch)
        x, parts = self.points.start(self.box, generator), self.points.weights(self.box)
        if epoch and looking:
            x = self.points.refresh(x, self.box, lambda z: self._change(weights, z, time), generator)
        check = Sobol(CHECKS).start(self.box, generator_of(self.seed, 3, epoch))

        def fresh(generator: torch.Generator) -> Places:
            return self._places(Uniform(self.points.n).start(self.box, generator))

        sampling = Sampling(self._places(x, parts), self._places(check), fresh)
        self._kept = (epoch, sampling)
        return sampling

    def _places(self, x: Tensor, weights: Tensor | None = None) -> Places:
        dtype = self.network.flat.dtype
        return Places.at(self.field, x.to(dtype), None if weights is None else weights.to(dtype))

    @torch.no_grad()
    def _change(self, weights: Tensor, x: Tensor, time: float) -> Tensor:
        """The size of u_t at points ``(n, ndim)``."""
        named = self.network.named(weights)
        return torch.cat([self.network.rates(named, self._places(part).full, time)[1].norm(dim=-1) for part in x.split(CHUNK)])

    def _fitted(self, function: Callable[[Tensor], Tensor], time: float = 0.0) -> tuple[Tensor, float]:
        """Weights whose field is a function of points, and how far off they are elsewhere."""
        weights = sum(p.numel() for p in self.field.given()[0].values())
        x = Sobol(max(self.points.n, 4 * weights)).start(self.box, generator_of(self.seed, 0, 0)).to(self.network.flat.dtype)
        check = Sobol(CHECKS).start(self.box, generator_of(self.seed, 0, 1)).to(x)
        return self._fitted_at(x, function(x), check, function(check), time)

    def _fitted_on_grid(self, u: Tensor, time: float) -> tuple[Tensor, float]:
        """Weights whose field has samples ``(channel, *space)`` on the grid; on bounded axes nothing else is known of it."""
        if all(self.grid.periodic):
            return self._fitted(BandLimited(u, self.grid).to(self.network.flat.dtype), time)
        x = torch.stack([c.flatten() for c in self.grid.points()], -1).to(self.network.flat.dtype)
        values = u.flatten(1).T.to(x)
        return self._fitted_at(x, values, x, values, time)

    def _fitted_at(self, x: Tensor, values: Tensor, check: Tensor, wanted: Tensor, time: float) -> tuple[Tensor, float]:
        count = self.field.given()[1]
        weights = fit_values(self.network, self.field.prepared(x, rates=False), values[:, :count], self.start_tolerance)
        error = float((self.at(weights, check) - wanted)[:, :count].norm() / (wanted[:, :count].norm() or 1.0))
        sampling = self._sampling(weights, time, round(time / self.dt))
        begun = self.integrator.begin(self.network, sampling, weights, time, self.start_tolerance)
        return begun.weights, max(error, begun.error)


def _fitting(grid: Grid, problem: Problem, who: str) -> Grid:
    """A grid on the problem's domain; raises InputError for another one."""
    wanted = problem.grid()
    if (grid.lengths, grid.periodic, grid.origin) != (wanted.lengths, wanted.periodic, wanted.origin) or grid.device.type != "cpu":
        raise InputError(f"{who}: {grid} given, and {problem.name} is posed on another domain; problem.grid(points) on the CPU is needed.")
    return grid


def _given(path: str | Path, name: str, stored: Any, given: Any) -> Any:
    """A rule of the package from a file, or the caller's own one that the file has no room for."""
    if (stored is None) == (given is None):
        raise InputError(f"{path}: {name}= is a rule of your own, give it again." if given is None else f"{path} holds its own {name}; leave it out.")
    return stored if given is None else given
