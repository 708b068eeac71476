"""One step of time for a field given by weights: each stage is a field to be fitted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sciml.optim.vector import Flat
from sciml.solvers.tableau import Tableau, weighted
from sciml.surrogates.inr.field import NeuralField
from sciml.surrogates.inr.fits import Fitted, Residual, Session, Task
from sciml.surrogates.inr.representation import Representation


class Part(nn.Module):
    """A method of a field as a module's call, for ``functional_call``."""

    def __init__(self, field: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.field, self.function = field, function

    def forward(self, *arguments: Any) -> Any:
        return self.function(self.field, *arguments)


class Network:
    """A field with its weights as one vector.

    Attributes
    ----------
    field : whose own weights only lend their shapes.
    flat, names : of the weights.
    """

    def __init__(self, field: Representation) -> None:
        self.field = field
        self.names = dict(field.named_parameters())
        self.flat = Flat(self.names.values(), "INRStepper")

    def named(self, weights: Tensor) -> dict[str, Tensor]:
        """Weights by name."""
        return dict(zip(self.names, self.flat.split(weights), strict=True))

    def called(self, method: Callable[..., Any], weights: Mapping[str, Tensor], *arguments: Any) -> Any:
        """A method of the field with weights, ``(field, *arguments)``, which ``torch.func`` can transform."""
        return functional_call(Part(self.field, method), {f"field.{name}": p for name, p in weights.items()}, arguments)

    def values(self, weights: Mapping[str, Tensor], row: Tensor) -> Tensor:
        """u at short rows."""
        found: Tensor = self.called(type(self.field).values, weights, row)
        return found

    def rates(self, weights: Mapping[str, Tensor], row: Tensor, time: float, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """u and its right-hand side at rows."""
        found: tuple[Tensor, Tensor] = self.called(type(self.field).state_and_rate, weights, row, time, c)
        return found


class Places(NamedTuple):
    """Points as rows: ``full`` ones, and ``short`` ones for values alone; both ``(n, ...)``. ``weights`` are their parts in a mean, None if equal."""

    full: Tensor
    short: Tensor
    weights: Tensor | None = None

    @classmethod
    def at(cls, field: Representation, x: Tensor, weights: Tensor | None = None) -> Places:
        return cls(field.prepared(x), field.prepared(x, rates=False), weights)

    def roots(self) -> Tensor:
        """Factors ``(n, 1)`` by which residuals count according to their parts: 1 if these are equal."""
        n = len(self.short)
        return torch.ones_like(self.short[:, :1]) if self.weights is None else (n * self.weights).sqrt().unsqueeze(1)


class Sampling(NamedTuple):
    """Where a step is fitted, where it is checked, and what gives new places to methods that want them."""

    places: Places
    check: Places
    fresh: Callable[[torch.Generator], Places]


class Step(NamedTuple):
    """What a step has found.

    Attributes
    ----------
    weights : after it.
    misfit : relative root mean square, at the places of the check, of what the worst of the fits left over.
    temporal : of the embedded scheme's estimate, relative; 0 without one.
    iterations : of all fits together.
    constraint : what is left of a constraint that the fields have to meet, such as the divergence of a flow, relative; 0 without one.
    """

    weights: Tensor
    misfit: float
    temporal: float
    iterations: int
    constraint: float = 0.0


class Integrator(ABC):
    """A rule for a step, with values for settings.

    Attributes
    ----------
    order : of the error at a fixed time, in powers of dt.
    kind : of representations that it can step.
    """

    order: int
    kind: type[Representation] = NeuralField

    @abstractmethod
    def step(
        self, network: Network, session: Session, sampling: Sampling, weights: Tensor, time: float, dt: float, generator: torch.Generator
    ) -> Step:
        """From ``time`` to ``time + dt``."""

    def begin(self, network: Network, sampling: Sampling, weights: Tensor, time: float, good: float) -> Fitted:
        """All weights of a state from those that its values determine, and the relative error of the others, ``good`` if that can be reached."""
        return Fitted(weights, 0.0, 0)


class Explicit(Integrator):
    r"""A Runge-Kutta tableau whose stages are fields: :math:`u_{\theta_i}\approx u_{\theta}+h\sum_ja_{ij}F(u_{\theta_j})`, each fitted by weights."""

    def __init__(self, tableau: Tableau) -> None:
        self.tableau, self.order = tableau, tableau.order

    def step(
        self, network: Network, session: Session, sampling: Sampling, weights: Tensor, time: float, dt: float, generator: torch.Generator
    ) -> Step:
        tableau = self.tableau
        stages, count = [weights], 0

        @torch.no_grad()
        def slopes(places: Places, how_many: int) -> tuple[list[Tensor], list[Tensor]]:
            """u and F of the first stages."""
            found = [
                network.rates(network.named(stage), places.full, time + node * dt)
                for stage, node in zip(stages[:how_many], tableau.nodes, strict=False)
            ]
            return [value for value, _ in found], [rate for _, rate in found]

        (start,), known = slopes(sampling.places, 1)
        scale = _scale(start)

        def target(row: tuple[float, ...], places: Places | None) -> Tensor:
            if places is None:
                return start + dt * weighted(row, known)
            values, rates = slopes(places, len(known))
            return values[0] + dt * weighted(row, rates)

        used = [i for i, weight in enumerate(tableau.weights) if weight] + [i for row in tableau.stages for i, weight in enumerate(row) if weight]
        guess = weights
        for i in range(1, 1 + max(used)):
            fitted = session.fit(self._task(network, sampling, partial(target, tableau.stages[i]), scale), guess, generator)
            guess, count = fitted.weights, count + fitted.iterations
            stages.append(guess)
            with torch.no_grad():
                known.append(network.rates(network.named(guess), sampling.places.full, time + tableau.nodes[i] * dt)[1])
        fitted = session.fit(self._task(network, sampling, partial(target, tableau.weights), scale), guess, generator)
        count += fitted.iterations
        with torch.no_grad():
            values, rates = slopes(sampling.check, len(stages))
            wanted = values[0] + dt * weighted(tableau.weights, rates)
            left = [value - values[0] - dt * weighted(row, rates) for value, row in zip(values[1:], tableau.stages[1:], strict=False)]
            left.append(network.values(network.named(fitted.weights), sampling.check.short) - wanted)
            misfit = float(torch.stack(left).square().mean((1, 2)).max().sqrt()) / _scale(wanted)  # the worst fit; NaN if any is
            temporal = 0.0
            if tableau.error is not None:
                if len(rates) < len(tableau.error):  # the slope at the end belongs to the estimate
                    rates.append(network.rates(network.named(fitted.weights), sampling.check.full, time + dt)[1])
                temporal = dt * _size(weighted(tableau.error, rates)) / _scale(wanted)
        return Step(fitted.weights, misfit, temporal, count)

    def _task(self, network: Network, sampling: Sampling, target: Callable[[Places | None], Tensor], scale: float) -> Task:
        channels = network.field.channels

        def residual(named: Mapping[str, Tensor], row: Tensor) -> Tensor:
            return network.values(named, row[..., :-channels]) - row[..., -channels:]

        def rows(generator: torch.Generator | None) -> Tensor:
            if generator is None:
                return torch.cat([sampling.places.short, target(None)], 1)
            places = sampling.fresh(generator)
            return torch.cat([places.short, target(places)], 1)

        return Task(residual, rows, scale, network.flat, network.names)


class ImplicitMidpoint(Integrator):
    r""":math:`u_+ = u + h\,F\big(\tfrac{u+u_+}{2}, t+\tfrac h2\big)`: second order, and no wave grows that should not, however stiff."""

    order = 2

    def step(
        self, network: Network, session: Session, sampling: Sampling, weights: Tensor, time: float, dt: float, generator: torch.Generator
    ) -> Step:
        named = network.named(weights)

        def with_start(places: Places) -> Tensor:
            with torch.no_grad():
                c = network.called(NeuralField.series, named, places.full)
            return torch.cat([places.full, c.movedim(0, 1).flatten(1)], 1)

        residual = self._residual(network, time, dt)
        rows = with_start(sampling.places)
        with torch.no_grad():
            scale = _scale(network.rates(named, sampling.places.full, time)[0])

        def places(generator: torch.Generator | None) -> Tensor:
            return rows if generator is None else with_start(sampling.fresh(generator))

        fitted = session.fit(Task(residual, places, scale, network.flat, network.names), weights, generator)
        with torch.no_grad():
            left = residual(network.named(fitted.weights), with_start(sampling.check))
        return Step(fitted.weights, _size(left) / scale, 0.0, fitted.iterations)

    def _residual(self, network: Network, time: float, dt: float) -> Residual:
        field = network.field
        assert isinstance(field, NeuralField)  # by kind
        width, channels = field.columns(), field.channels

        def residual(named: Mapping[str, Tensor], row: Tensor) -> Tensor:
            full, before = row[..., :width], row[..., width:].unflatten(-1, (len(field.table), channels)).movedim(-2, 0)
            after = network.called(NeuralField.series, named, full)
            change, _ = field.state_and_rate(full, time, after - before)
            return change - dt * field.state_and_rate(full, time + dt / 2, (after + before) / 2)[1]

        return residual


def _size(u: Tensor) -> float:
    """Root mean square."""
    return float(u.square().mean().sqrt())


def _scale(u: Tensor) -> float:
    """Root mean square to divide by: 1 for zeros."""
    return _size(u) or 1.0
