"""Coefficients of an equation estimated with its state: every member carries its own, and any analysis corrects both."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sciml.assimilation.instruments import derived
from sciml.assimilation.noise import drawn
from sciml.assimilation.observation import Observation
from sciml.assimilation.twin import Twin
from sciml.core.checks import check_device
from sciml.core.coefficients import coefficients_of, substituted
from sciml.core.equation import Equation
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.grid import Grid
from sciml.core.loading import load_problem
from sciml.core.problem import Problem
from sciml.core.propagator import Stepper
from sciml.solvers.choice import check_method, choose_method
from sciml.solvers.march import make_stepper


class Augmented(Stepper):
    """See :func:`augmented`. States have one more channel per parameter, constant in space, after the fields.

    Attributes
    ----------
    names : of the parameters, in the order of their channels.
    """

    def __init__(self, problem: Problem, grid: Grid, method: str, dt: float, names: Sequence[str], positive: Sequence[str]) -> None:
        self.problem, self.grid, self.method, self.dt = problem, grid, method, dt
        self.names, self.positive = tuple(names), frozenset(positive)
        self.count = len(problem.equation.fields)
        self.channels = self.count + len(self.names)

    def encode(self, u: Tensor, time: float = 0.0) -> Any:
        # with the axes of channel and space written out: an engine cannot tell two axes of a batch from a field
        values = {name: value.reshape(*value.shape, *(1,) * (1 + self.grid.ndim)) for name, value in self.values(u).items()}
        case = replace(self.problem, equation=substituted(self.problem.equation, lambda name, value: values.get(name, value)))
        step = make_stepper(case, self.grid, self.method, self.dt).bind()
        own = u.narrow(self._axis(u), self.count, len(self.names))
        space = tuple(range(own.ndim - self.grid.ndim, own.ndim))
        constant = own.mean(space, keepdim=True).expand(own.shape) if space else own
        return step, step.encode(self.fields(u), time), constant

    def advance(self, state: Any, time: float = 0.0) -> Any:
        step, inner, constant = state
        return step, step.advance(inner, time), constant

    def march(self, state: Any, time: float, steps: int) -> Any:
        step, inner, constant = state
        return step, step.march(inner, time, steps), constant

    def decode(self, state: Any) -> Tensor:
        step, inner, constant = state
        fields = step.decode(inner)
        return torch.cat([fields, constant], self._axis(fields))

    def fields(self, u: Tensor) -> Tensor:
        """The fields of states ``(*batch, channel, *space)``, without the parameters."""
        return u.narrow(self._axis(u), 0, self.count)

    def values(self, u: Tensor) -> dict[str, Tensor]:
        """The parameters of states ``(*batch, channel, *space)`` by name, ``(*batch,)`` each: the mean over space of their channels."""
        found = {}
        for i, name in enumerate(self.names):
            channel = u.select(self._axis(u), self.count + i)
            value = channel.flatten(channel.ndim - self.grid.ndim).mean(-1) if self.grid.ndim else channel
            found[name] = value.exp() if name in self.positive else value
        return found

    def joined(self, u: Tensor, parameters: Mapping[str, Any]) -> Tensor:
        """States from fields ``(*batch, channel, *space)`` and parameters, numbers or tensors that fit to ``(*batch,)``."""
        if set(parameters) != set(self.names):
            raise InputError(f"augmented: parameters {sorted(parameters)} given; values of {', '.join(self.names)} are needed.")
        batch = u.shape[: self._axis(u)]
        channels = [u]
        for name in self.names:
            value = torch.as_tensor(parameters[name], dtype=u.dtype, device=u.device)
            if name in self.positive:
                if not bool((value > 0).all()):
                    raise InputError(f"augmented: {name} with the least value {float(value.min()):g} given, but it is said to be positive.")
                value = value.log()
            try:
                whole = value.expand(batch)
            except RuntimeError:
                raise InputError(f"augmented: {name} of shape {tuple(value.shape)} given; a number, or {tuple(batch)}, is expected.") from None
            channels.append(whole.reshape(*batch, 1, *(1,) * self.grid.ndim).expand(*batch, 1, *self.grid.shape))
        return torch.cat(channels, self._axis(u))

    def observing(self, observation: Observation) -> Observation:
        """An instrument that sees the fields as before, and nothing of the parameters."""
        return Observation(derived(self.fields, observation.operator), covariance=observation.errors, grid=self.grid)

    def twin(self, experiment: Twin, first: Mapping[str, tuple[float, float]], *, seed: int = 0) -> Twin:
        """A twin experiment whose members do not know the parameters.

        Parameters
        ----------
        experiment : see :func:`sciml.twin`; its truth has the parameters of its own problem.
        first : mean and standard deviation of each parameter in the first ensemble; of its logarithm's, relative to the mean, if it is positive.
        seed : of these draws.
        """
        if set(first) != set(self.names):
            raise InputError(f"augmented: first values of {sorted(first)} given; (mean, standard deviation) of {', '.join(self.names)} are needed.")
        source = torch.Generator().manual_seed(seed)
        batch = experiment.ensemble.shape[: self._axis(experiment.ensemble)]
        start = {}
        for name in self.names:
            mean, deviation = first[name]
            noise = drawn(tuple(batch), experiment.ensemble, source)
            start[name] = mean * (deviation / mean * noise).exp() if name in self.positive else mean + deviation * noise
        known = coefficients_of(experiment.problem.equation)
        equation = copy.copy(experiment.problem.equation)
        equation.fields = (*equation.fields, *(f"log_{name}" if name in self.positive else name for name in self.names))
        return replace(
            experiment,
            problem=replace(experiment.problem, equation=equation),
            step=self,
            observation=self.observing(experiment.observation),
            truth=self.joined(experiment.truth, {name: known[name] for name in self.names}),
            ensemble=self.joined(experiment.ensemble, start),
        )

    def _axis(self, u: Tensor) -> int:
        return u.ndim - 1 - self.grid.ndim


def augmented(
    problem: Problem | str,
    parameters: Sequence[str],
    *,
    positive: Sequence[str] = (),
    points: int | Sequence[int] | None = None,
    dt: float | None = None,
    method: str | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Augmented:
    r"""A forecast model whose members have coefficients of their own, which analyses estimate with the state.

    The state is :math:`(u, p)`, :math:`p_{n+1}=p_n`: each parameter is one more channel, constant in space. Data correct it through its
    covariance with what they see. A local analysis (:class:`sciml.LETKF`) gives a value for every domain, since a parameter has no place; the next
    forecast takes their mean over the domain.

    Parameters
    ----------
    problem : whose equation has the coefficients.
    parameters : their names, such as ``["viscosity"]``.
    positive : those whose logarithm is estimated, so that no member gets one below 0.
    points, dt, method, dtype, device : see :func:`sciml.solve`; the step must be known.

    Parameters have no dynamics, so without inflation their spread only falls. *Good values*: an inflation of 1.01 to 1.05 forgets old data at a
    rate that keeps estimates alive.

    J. L. Anderson, Mon. Weather Rev. 129 (2001) 2884, section 5b; the mean of local estimates: A. Aksoy, F. Zhang & J. W. Nielsen-Gammon,
    Geophys. Res. Lett. 33 (2006) L12801.

    Raises InputError for names that the equation does not have.

    >>> step = sciml.augmented("lorenz:sakov2008", ["forcing"])                                                      # doctest: +SKIP
    >>> run = step.twin(sciml.twin("lorenz:sakov2008", observation, 200), {"forcing": (6.0, 1.0)}).run(sciml.ETKF(1.02))   # doctest: +SKIP
    >>> step.values(run.mean)["forcing"]                                                                             # doctest: +SKIP
    """
    case = load_problem(problem) if isinstance(problem, str) else problem
    if not isinstance(case.equation, Equation):
        raise UnsupportedError(f"augmented: {case.name} has no evolution in time; give a problem with an Equation.")
    names = (parameters,) if isinstance(parameters, str) else tuple(parameters)
    known = coefficients_of(case.equation)
    wrong = [name for name in names if name not in known]
    if wrong or not names or len(set(names)) < len(names):
        have = ", ".join(known) or "none"
        raise InputError(f"augmented: parameters {list(names)} given; one or more of the equation's coefficients are needed, each once: {have}.")
    if extra := sorted(set(positive) - set(names)):
        raise InputError(f"augmented: positive={extra} given, which {'is' if len(extra) == 1 else 'are'} not among the parameters {list(names)}.")
    grid = case.grid(points, dtype=dtype, device=check_device(device))
    name = choose_method(case, grid)[0] if method is None else method
    check_method(name, case, grid)
    size = case.dt if dt is None else dt
    if size is None or name == "scipy":
        raise InputError(f"augmented: {case.name} by {name} has no step of its own; give dt= and a method of fixed steps, such as rk4 or etdrk4.")
    return Augmented(case, grid, name, float(size), names, positive)
