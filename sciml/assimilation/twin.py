"""Twin experiments: a truth from a problem, what instruments see of it, and a first ensemble, in one call."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sciml.assimilation.cycle import cycle
from sciml.assimilation.cycles import Cycles
from sciml.assimilation.noise import drawn
from sciml.assimilation.observation import Observation
from sciml.assimilation.stages import Assimilator
from sciml.core.checks import check_step, check_whole
from sciml.core.equation import Equation
from sciml.core.errors import BlowUpError, InputError, UnsupportedError
from sciml.core.grid import Grid
from sciml.core.loading import load_problem
from sciml.core.problem import Problem, Profile
from sciml.core.propagator import Propagator, Stepper
from sciml.core.rollout import rollout
from sciml.solvers.choice import check_method, choose_method
from sciml.solvers.march import automatic_step, make_stepper
from sciml.spectral.resample import resample

CAUTION = 2
"""An automatic step is divided by it, since it is measured at the first state and kept for the whole experiment."""
TOLERANCE = 1e-6
"""How far a ratio of times may be from a whole number."""

Spread = float | Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Twin:
    """What :func:`twin` returns: all that :func:`sciml.cycle` needs.

    Attributes
    ----------
    problem : that the truth solves.
    step : the forecast model.
    observation : on the model's grid.
    truth : ``(cycles, *batch, channel, *space)`` on the model's grid.
    y : data ``(cycles, *batch, m)``.
    ensemble : first members ``(*batch, N, channel, *space)``.
    every : steps of the model between two times of data.
    start : time of the first ensemble.
    """

    problem: Problem
    step: Propagator | Stepper
    observation: Observation
    truth: Tensor
    y: Tensor
    ensemble: Tensor
    every: int
    start: float

    @property
    def interval(self) -> float:
        """Time between two data."""
        return self.every * self.step.dt

    def run(self, analysis: Assimilator, *, seed: int = 0, **options: Any) -> Cycles:
        """The cycles of an analysis on this experiment, errors included; ``options`` are those of :func:`sciml.cycle`.

        Every run with one seed makes the same random choices, so that methods meet the same data and the same first members.
        """
        source = torch.Generator(self.ensemble.device).manual_seed(seed)
        known: dict[str, Any] = {"generator": source, "every": self.every, "start": self.start, "truth": self.truth, **options}
        with torch.no_grad():
            return replace(cycle(self.step, analysis, self.observation, self.y, self.ensemble, **known), problem=self.problem)


def twin(
    problem: Problem | str,
    observation: Observation,
    cycles: int,
    *,
    every: int | None = None,
    members: int = 20,
    experiments: int | None = None,
    spin_up: float | None = None,
    spread: Spread | None = None,
    step: Propagator | Stepper | Problem | None = None,
    points: int | Sequence[int] | None = None,
    dt: float | None = None,
    method: str | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    seed: int = 0,
    generator: torch.Generator | None = None,
) -> Twin:
    """A twin experiment: the classical solver makes a truth, instruments see it with errors, and an ensemble begins beside it.

    Parameters
    ----------
    problem : what the truth solves, or its name.
    observation : the instruments.
    cycles : times of data.
    every : steps of the forecast model between two of them; by default what the problem publishes (``parameters["observe_every"]``), else 1.
    members : of the ensemble, N.
    experiments : independent ones, a batch axis in front; None for one without that axis.
    spin_up : time that the truth runs before the first ensemble; by default what the problem publishes, else 0.
    spread : of the first ensemble. A number is a standard deviation: truth and members are independent draws around one centre, by as much at
        every point. A function ``(states, generator)`` gives such deviations, of the shape of ``states`` ``(*batch, N + 1, channel, *space)``.
        None: truth and members are independent states of the problem, from its random law of initial states and after the spin-up.
    step : the forecast model: another problem (its equation on the same grid, an imperfect model), or any propagator, such as a neural operator.
        None for the solver that made the truth. On a grid of its own it gets truth and members by exact resampling.
    points, dt, method, dtype, device : of the truth, see :func:`sciml.solve`.
    seed, generator : of all random choices.

    Raises InputError for what does not fit, BlowUpError for a truth that does not stay finite.

    >>> found = sciml.twin("lorenz:sakov2008", sciml.Observation(sciml.every(1), 1.0), 200, members=24)           # doctest: +SKIP
    >>> found.run(sciml.ETKF(1.013, rotate=True)).score("rmse.a", 100)                                            # doctest: +SKIP
    """
    case = load_problem(problem) if isinstance(problem, str) else problem
    check_whole(1, who="twin", cycles=cycles, members=members, **({} if experiments is None else {"experiments": experiments}))
    if case.steady or not isinstance(case.equation, Equation):
        raise UnsupportedError(f"twin: {case.name} has no evolution in time, so there is nothing to forecast; give a problem with an Equation.")
    if isinstance(case.initial, Profile) and spread is None:
        raise InputError(f"twin: the initial state of {case.name} is always the same, so members would be equal; give spread=, such as spread=0.1.")
    if isinstance(spread, int | float) and not 0 < spread < math.inf:
        raise InputError(f"twin: spread={spread} given; a positive standard deviation is needed, or a function, or None.")
    source = generator if generator is not None else torch.Generator().manual_seed(seed)
    grid = case.grid(points, dtype=dtype, device=device)
    batch = () if experiments is None else (experiments,)
    drawn_states = case.initial_state(grid, source, samples=math.prod(batch) * (members + 1)).unflatten(0, (*batch, members + 1))
    with torch.no_grad():
        true_step, model, every = _steps(case, step, grid, drawn_states.flatten(0, len(batch)), dt, method, every)
        wait = case.parameters.get("spin_up", 0.0) if spin_up is None else spin_up
        if not 0 <= wait < math.inf:
            raise InputError(f"twin: spin_up={wait} given; a time of at least 0 is needed.")
        steps = math.ceil(wait / true_step.dt - TOLERANCE)
        begin = steps * true_step.dt
        truth, ensemble = _first(drawn_states, true_step, steps, spread, source, len(batch))
        per = round(every * model.dt / true_step.dt)
        states = rollout(true_step, truth, cycles * per, every=per, time=begin, include_initial=False)
        if not bool(torch.isfinite(states).all() & torch.isfinite(ensemble).all()):
            raise BlowUpError(f"twin: the truth of {case.name} does not stay finite with dt={true_step.dt:.3g}; give a smaller dt.")
        eye = observation.on(grid)
        data = torch.stack([eye.measured(u, source, begin + (k + 1) * every * model.dt) for k, u in enumerate(states)])
        sees = observation.on(model.grid)
        states, ensemble = _carried(states, grid, model.grid), _carried(ensemble, grid, model.grid)
        if (m := sees(states[0], begin).shape[-1]) != data.shape[-1]:
            raise InputError(
                f"twin: the truth's grid {grid.shape} shows {data.shape[-1]} observations, the model's {model.grid.shape} {m}; observe by places "
                "that both have, such as sciml.at_points(x)."
            )
    return Twin(case, model, sees, states, data.to(states), ensemble, every, begin)


def _steps(
    case: Problem, step: Any, grid: Grid, first: Tensor, dt: float | None, method: str | None, every: int | None
) -> tuple[Stepper, Propagator | Stepper, int]:
    """The truth's stepper, the forecast model, and how many of its steps are between two data."""
    name = choose_method(case, grid)[0] if method is None else method
    check_method(name, case, grid)
    if name == "scipy":
        raise UnsupportedError("twin: method 'scipy' takes no steps of fixed length; use rk4, dopri5 or etdrk4.")
    usable = dt if dt is not None else case.dt
    size = automatic_step(case, grid, name, first) / CAUTION if usable is None else check_step(usable, who="twin")
    if not (step is None or isinstance(step, Problem | Propagator)):
        raise InputError(f"twin: a {type(step).__name__} given as the model, which makes no steps in time; give a propagator, or a problem.")
    model_dt = size if step is None or isinstance(step, Problem) else step.dt
    if model_dt is None:
        raise InputError(f"twin: a {type(step).__name__} without a time step given; a map of fields cannot be repeated. Make it with dt=...")
    published = case.parameters.get("observe_every")
    if every is None:
        every = max(1, round(published / model_dt)) if published and abs(published / model_dt - round(published / model_dt)) < TOLERANCE else 1
    check_whole(1, who="twin", every=every)
    count = max(1, math.ceil(every * model_dt / size - TOLERANCE))
    exact = size if count == every and model_dt == size else every * model_dt / count
    true_step = make_stepper(case, grid, name, exact)
    if step is None:
        return true_step, true_step, every
    if isinstance(step, Problem):
        if step.equation.fields != case.equation.fields or step.domain.lengths != case.domain.lengths:
            raise InputError(f"twin: the model {step.name} has other fields or another domain than {case.name}; an imperfect model keeps both.")
        return true_step, make_stepper(step, grid, choose_method(step, grid)[0], model_dt), every
    if step.grid.lengths != grid.lengths or step.grid.origin != grid.origin or step.grid.periodic != grid.periodic:
        raise InputError(f"twin: the model's grid {step.grid} covers another domain than the truth's {grid}; both must be the same box.")
    return true_step, step, every


def _first(states: Tensor, step: Stepper, steps: int, spread: Spread | None, source: torch.Generator, axis: int) -> tuple[Tensor, Tensor]:
    """Truth and members after the spin-up, from states ``(*batch, N + 1, channel, *space)``."""
    if spread is None:
        states = _later(step, states, steps)
    else:
        deviations = _deviations(states, spread, source)
        truth = states.select(axis, 0)
        truth = _later(step, truth + deviations.select(axis, 0), steps)  # where the law is one state, experiments differ by it
        deviations = _deviations(states, spread, source)
        states = truth.unsqueeze(axis) - deviations.select(axis, 0).unsqueeze(axis) + deviations
    return states.select(axis, 0), states.narrow(axis, 1, states.shape[axis] - 1)


def _deviations(states: Tensor, spread: Spread, source: torch.Generator) -> Tensor:
    if isinstance(spread, int | float):
        return spread * drawn(tuple(states.shape), states, source)
    found = spread(states, source)
    if not isinstance(found, Tensor) or found.shape != states.shape:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise InputError(f"twin: spread gave deviations of shape {shape}; {tuple(states.shape)} is expected.")
    return found.to(states)


def _later(step: Stepper, u: Tensor, steps: int) -> Tensor:
    return rollout(step, u, steps, every=steps)[-1] if steps else u


def _carried(u: Tensor, grid: Grid, target: Grid) -> Tensor:
    if target.shape != grid.shape:
        u = resample(u, grid, target.shape)
    return u.to(dtype=target.dtype, device=target.device)
