r"""Steps of elastic bodies as minima: each stage of a diagonally implicit scheme minimises an incremental potential over the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from sciml.solvers.tableau import Diagonal, weighted
from sciml.surrogates.inr.elastic import ElasticField
from sciml.surrogates.inr.fits import Session, Task
from sciml.surrogates.inr.integrators import Integrator, Network, Places, Sampling, Step
from sciml.surrogates.inr.representation import Representation


class Incremental(Integrator):
    r"""A diagonally implicit scheme whose stages are fields: :math:`d_i` minimises, over the weights of the displacement,

    .. math:: \Big\langle\frac{\rho}{2\eta^2}\,|d-\hat d_i|^2 + W(I+\nabla d)\Big\rangle,\qquad \eta=ha_{ii},\quad
        \hat d_i = \bar d_i + \eta\,\bar v_i + \eta^2 b

    where :math:`\bar d_i=d_n+h\sum_{j<i}a_{ij}v_j`, :math:`\bar v_i=v_n+h\sum_{j<i}a_{ij}\dot v_j` and :math:`v_i=(d_i-\bar d_i)/\eta`,
    :math:`\dot v_i=(v_i-\bar v_i)/\eta`: where the potential is least, :math:`\rho\,\dot v_i=\nabla\cdot P+\rho b`, without traction on free
    faces. With W a sum of squares all of it is one. The last stage is the next state; its velocity is fitted by the weights of the velocity.

    With one stage this is the published implicit Euler rule, which damps; the others keep what is resolved, and damp only what changes much
    within a step.

    The misfit is what polynomials find to improve, at points that no fit has seen: the Gauss-Newton step :math:`\delta` that they would
    add to a stage, as the velocity that it means, :math:`\langle|\delta|^2\rangle^{1/2}/\eta`, relative to the one in which all energy would be
    motion, :math:`\langle|v|^2+|e|^2/\rho\rangle^{1/2}`; or what the fit of the velocity has left over, relative to the same, if that is more.
    The potential itself tells nothing of the error, because its least value is not known.

    H. Chen, R. Wu, E. Grinspun, C. Zheng & P. Y. Chen, ICML 2023, arXiv 2210.00124 (the potential over weights); M. Ortiz & L. Stainier, Comput.
    Methods Appl. Mech. Eng. 171 (1999) 419 (incremental potentials).
    """

    kind: type[Representation] = ElasticField

    def __init__(self, tableau: Diagonal) -> None:
        self.tableau, self.order = tableau, tableau.order

    def step(
        self, network: Network, session: Session, sampling: Sampling, weights: Tensor, time: float, dt: float, generator: torch.Generator
    ) -> Step:
        field, rows = network.field, self.tableau.stages
        assert isinstance(field, ElasticField)  # by kind
        (place, place_names), (speed, speed_names) = field.part(0), field.part(1)
        course = Course(network, weights, rows, dt)
        test, tested = field.trial, field.tested
        scale = course.size(sampling.places) or 1.0
        unit = scale / math.sqrt(float(field.body.density))

        def aimed(index: int, draw: torch.Generator | None) -> Tensor:
            places = sampling.places if draw is None else sampling.fresh(draw)
            return torch.cat([places.full, course.aim(index, places)[0], places.roots()], 1)

        guess, count, errors = weights[: place.size], 0, []
        for i, row in enumerate(rows):
            task = Task(partial(course.potential, row[i] * dt), partial(aimed, i), scale, place, place_names)
            fitted = session.minimise(task, guess, generator)
            guess, count = fitted.weights, count + fitted.iterations
            named = dict(zip(place_names, place.split(guess), strict=True))
            with torch.no_grad():
                d, gradient = network.called(ElasticField.moved, named, tested.full)
                errors.append(test.improvement(field.body, d, gradient, course.aim(i, tested)[0], row[i] * dt) / (row[i] * dt * unit))
            course.found.append(named)

        def reached(draw: torch.Generator | None) -> Tensor:
            places = sampling.places if draw is None else sampling.fresh(draw)
            return torch.cat([places.short, course.speed(places), places.roots()], 1)

        fitted = session.fit(Task(course.miss, reached, unit, speed, speed_names), weights[place.size :], generator)
        with torch.no_grad():
            named = dict(zip(speed_names, speed.split(fitted.weights), strict=True))
            errors.append(test.size(network.called(ElasticField.speed, named, tested.short) - course.speed(tested)) / unit)
        misfit = float(torch.tensor(errors, dtype=torch.float64).max())  # NaN if any is
        return Step(torch.cat([guess, fitted.weights]), misfit, 0.0, count + fitted.iterations)


class Course:
    """One step: what is known at its start, and the stages found so far.

    Attributes
    ----------
    found : the weights of the displacement of each stage, by name.
    """

    def __init__(self, network: Network, weights: Tensor, rows: Sequence[Sequence[float]], dt: float) -> None:
        assert isinstance(network.field, ElasticField)  # by kind
        self.network, self.body, self.before, self.rows, self.dt = network, network.field.body, network.named(weights), rows, dt
        self.found: list[Mapping[str, Tensor]] = []

    @torch.no_grad()
    def aim(self, index: int, places: Places) -> tuple[Tensor, Tensor]:
        r""":math:`\hat d` and :math:`\bar d` of a stage at places, each ``(n, 2)``."""
        place, speed = (self.network.called(of, self.before, places.full) for of in (ElasticField.place, ElasticField.speed))
        speeds: list[Tensor] = []
        rates: list[Tensor] = []
        for i in range(index + 1):
            row, eta = self.rows[i], self.rows[i][i] * self.dt
            still, moving = place, speed
            if i:
                still, moving = place + self.dt * weighted(row[:i], speeds), speed + self.dt * weighted(row[:i], rates)
            if i < index:
                speeds.append((self.network.called(ElasticField.place, self.found[i], places.full) - still) / eta)
                rates.append((speeds[-1] - moving) / eta)
        return still + eta * moving + eta**2 * self.body.load_at(places.full[:, :2]), still

    def speed(self, places: Places) -> Tensor:
        """The velocity of the last stage, ``(n, 2)``."""
        last = len(self.rows) - 1
        with torch.no_grad():
            reached = self.network.called(ElasticField.place, self.found[last], places.full)
            return (reached - self.aim(last, places)[1]) / (self.rows[last][last] * self.dt)

    def size(self, places: Places) -> float:
        """The root of twice the mean energy density at the start of the step, with the velocity that the load adds in it."""
        with torch.no_grad():
            _, gradient = self.network.called(ElasticField.moved, self.before, places.full)
            speed = self.network.called(ElasticField.speed, self.before, places.full) + self.dt * self.body.load_at(places.full[:, :2])
            strains = self.body.strains_of(torch.eye(2, dtype=gradient.dtype) + gradient)
            squares = (self.body.density * speed.square()).sum(1) + strains.square().sum(1)
        return math.sqrt(float((squares.unsqueeze(1) * places.roots().square()).mean()))

    def potential(self, eta: float, named: Mapping[str, Tensor], row: Tensor) -> Tensor:
        """The residuals whose squares are twice the potential, at a row of a place, its aim, and the root of its part."""
        d, gradient = self.network.called(ElasticField.moved, named, row[..., :-3])
        inertia = self.body.density**0.5 / eta * (d - row[..., -3:-1])
        strains = self.body.strains_of(torch.eye(2, dtype=gradient.dtype) + gradient)
        return row[..., -1:] * torch.cat([inertia, strains], -1)

    def miss(self, named: Mapping[str, Tensor], row: Tensor) -> Tensor:
        """What is left of a velocity at a row of a place, the velocity there, and the root of its part."""
        found: Tensor = self.network.called(ElasticField.speed, named, row[..., :-3])
        return row[..., -1:] * (found - row[..., -3:-1])
