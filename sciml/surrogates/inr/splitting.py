"""Steps of an incompressible flow split into transport, pressure and projection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import jvp

from sciml.core.errors import InputError
from sciml.optim.vector import Flat
from sciml.surrogates.inr.fits import Fitted, Residual, Session, Task
from sciml.surrogates.inr.flow import FlowField
from sciml.surrogates.inr.initial import settled
from sciml.surrogates.inr.integrators import Integrator, Network, Places, Sampling, Step
from sciml.surrogates.inr.representation import Representation

Function = Callable[[Tensor], Tensor]
"""Points ``(n, ndim)`` to vectors ``(n, ndim)``."""
POINTS = 2**13
"""Points at which targets are computed at a time."""


class Splitting(Integrator):
    r"""A step along the paths of the flow, :math:`dX/dt=u`, :math:`du/dt=F-\nabla p`, by the weight :math:`\theta` of the new time:

    .. math:: u_+ - \theta hF(u_+) = \underbrace{u(X) + (1-\theta)h(F-\nabla p)(X)}_{u^*} - \theta h\nabla p_+,\qquad
       \Delta p_+ = \frac{\nabla\cdot(u^*+\theta hF(u))}{\theta h}

    with X the place from which the flow comes to x during h. Two fits per step: the pressure's, then the velocity's.

    Order 1 is the splitting as published, :math:`\theta=1`: transport by the velocity as it is, a pressure that removes all divergence, forces
    implicit in the velocity. Order 2 is :math:`\theta=1/2`, the trapezoidal rule along paths that are traced through the velocity of the middle of
    the step, :math:`u+\tfrac h2u_t`: what pushes a particle counts where it comes from as well as where it arrives, and the pressure belongs to the
    same time as the velocity.

    Paths are traced backwards by the midpoint rule. :math:`\nabla\cdot u^*` is the exact derivative of what the networks give along the paths, so
    that :math:`u^*` needs no fit of its own.

    Parameters
    ----------
    order : 1 or 2.

    A. J. Chorin, Math. Comp. 22 (1968) 745 (the splitting); H. Chen et al., arXiv 2210.00124, section 4.2 (with networks, order 1);
    J. van Kan, SIAM J. Sci. Stat. Comput. 7 (1986) 870 (the trapezoidal rule for the pressure); D. Xiu & G. E. Karniadakis, J. Comput. Phys. 172
    (2001) 658 (along paths).
    """

    kind: type[Representation] = FlowField

    def __init__(self, order: int = 2) -> None:
        if order not in (1, 2):
            raise InputError(f"Splitting: order={order} given; choose 1 or 2.")
        self.order = order

    def begin(self, network: Network, sampling: Sampling, weights: Tensor, time: float, good: float) -> Fitted:
        r"""The pressure that belongs to a velocity: :math:`\Delta p=\nabla\cdot(F-u\cdot\nabla u)`."""
        fits = Fits(network, sampling, partial(first_fit, good))

        def pushed(x: Tensor) -> Tensor:
            _, _, advected = fits.called(FlowField.motion, weights, x, time)
            found: Tensor = fits.called(FlowField.force, weights, x, time) - advected
            return found

        return fits.pressure(weights, pushed, 1 / fits.shear(weights))

    def step(
        self, network: Network, session: Session, sampling: Sampling, weights: Tensor, time: float, dt: float, generator: torch.Generator
    ) -> Step:
        fits = Fits(network, sampling, lambda task, start: session.fit(task, start, generator))
        old, new = (0.0, dt) if self.order == 1 else (dt / 2, dt / 2)

        def carried(x: Tensor) -> Tensor:
            """u*."""
            u, pushed, _ = fits.called(FlowField.motion, weights, self._origin(fits, weights, x, time, dt), time)
            found: Tensor = u + old * pushed
            return found

        def pushed(x: Tensor) -> Tensor:
            force: Tensor = fits.called(FlowField.force, weights, x, time + dt)
            return carried(x) / new + force

        pressure = fits.pressure(weights, pushed, new)
        velocity = fits.velocity(pressure.weights, carried, new, time + dt)
        left = fits.divergence(velocity.weights)
        return Step(velocity.weights, max(pressure.error, velocity.error, left), 0.0, pressure.iterations + velocity.iterations, left)

    def _origin(self, fits: Fits, weights: Tensor, x: Tensor, time: float, dt: float) -> Tensor:
        """Where the flow that is at points x at the end of the step is at its start."""

        def velocity(at: Tensor) -> Tensor:
            u, pushed, advected = fits.called(FlowField.motion, weights, at, time)
            found: Tensor = u if self.order == 1 else u + dt / 2 * (pushed - advected)
            return found

        field = fits.field
        return field.inside(x - dt * velocity(field.inside(x - dt / 2 * velocity(x))))


class Fits:
    """The two fits of a step, of parts of a flow's weights, and what they leave over at points that they have not seen."""

    def __init__(self, network: Network, sampling: Sampling, solve: Callable[[Task, Tensor], Fitted]) -> None:
        assert isinstance(network.field, FlowField)  # by kind
        self.network, self.field, self.sampling, self.solve = network, network.field, sampling, solve
        self.speed = 0.0  # that the step leads to: a flow that starts from rest has no other

    def called(self, method: Callable[..., Any], weights: Tensor | Mapping[str, Tensor], *arguments: Any) -> Any:
        """A method of the field with weights: all of them as a vector, or some by name."""
        return self.network.called(method, self.network.named(weights) if isinstance(weights, Tensor) else weights, *arguments)

    def pressure(self, weights: Tensor, pushed: Function, span: float) -> Fitted:
        r"""All weights, with those of the pressure such that :math:`\Delta p=\nabla\cdot` ``pushed``, and of mean zero.

        The error is what that leaves of divergence after a time ``span``, relative to the velocity's gradient, or to what there was if that is more.
        """

        def residual(named: Mapping[str, Tensor], row: Tensor) -> Tensor:
            found: Tensor = self.called(FlowField.slopes, named, row[..., :-1])[1] - row[..., -1:]
            return found

        @torch.no_grad()
        def rows(places: Places) -> Tensor:
            target = [divergence(pushed, x) for x in self.field.where(places.full).split(POINTS)]
            return torch.cat([places.full, torch.cat(target)], 1)

        there = size(rows(self.sampling.check)[:, -1:])
        fitted = self._fit("pressure", weights, residual, rows, max(self.shear(weights) / span, there))
        level = self.called(FlowField.values, fitted.weights, self.field.lattice())[..., -1].mean()
        named = self.network.named(fitted.weights)
        named["pressure.last.bias"] = named["pressure.last.bias"] - level
        return fitted._replace(weights=self.network.flat.join(list(named.values())))

    def velocity(self, weights: Tensor, carried: Function, span: float, time: float) -> Fitted:
        r"""All weights, with those of the velocity such that :math:`u-\tau F(u)=u^*-\tau\nabla p`, :math:`\tau` the ``span``."""
        ndim, forced = self.field.ndim, self.field.forced

        def residual(named: Mapping[str, Tensor], row: Tensor) -> Tensor:
            if forced:
                u, force = self.called(FlowField.velocity_and_force, named, row[..., :-ndim], time)
                found: Tensor = u - span * force
            else:
                found = self.called(FlowField.values, named, row[..., :-ndim])[..., :ndim]
            return found - row[..., -ndim:]

        @torch.no_grad()
        def rows(places: Places) -> Tensor:
            moved = torch.cat([carried(x) for x in self.field.where(places.full).split(POINTS)])
            slope, _ = self.called(FlowField.slopes, weights, places.full)
            return torch.cat([places.full if forced else places.short, moved - span * slope], 1)

        u = self.called(FlowField.values, weights, self.sampling.check.short)[..., :-1]
        self.speed = max(size(u), size(rows(self.sampling.check)[:, -ndim:]))
        return self._fit("velocity", weights, residual, rows, self.speed or 1.0)

    def shear(self, weights: Tensor) -> float:
        """The root mean square of the velocity's gradient, and no less than the velocity, or that of the step, by the domain's length; 1 at rest."""
        u = self.called(FlowField.values, weights, self.sampling.check.short)[..., :-1]
        return max(size(self._gradient(weights)), max(size(u), self.speed) / max(self.field.problem.domain.lengths)) or 1.0

    def divergence(self, weights: Tensor) -> float:
        """The root mean square of the velocity's divergence, relative to :meth:`shear`."""
        slopes = self._gradient(weights).unflatten(-1, (self.field.ndim, -1))
        return size(slopes.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)) / self.shear(weights)

    def _gradient(self, weights: Tensor) -> Tensor:
        found: Tensor = self.called(FlowField.gradient, weights, self.sampling.check.full)
        return found.flatten(-2)

    def _fit(self, part: str, weights: Tensor, residual: Residual, rows: Callable[[Places], Tensor], scale: float) -> Fitted:
        """All weights, one part of them fitted; with the relative error at the places of the check."""
        names, all_names = self.field.part(part), self.network.named(weights)
        flat = Flat(names.values(), "INRStepper")

        def places(generator: torch.Generator | None) -> Tensor:
            return rows(self.sampling.places if generator is None else self.sampling.fresh(generator))

        task = Task(residual, places, scale, flat, names)
        fitted = self.solve(task, flat.join([all_names[name] for name in names]))
        found = dict(zip(names, flat.split(fitted.weights), strict=True))
        with torch.no_grad():
            error = size(residual(found, rows(self.sampling.check))) / scale
        return Fitted(self.network.flat.join([found.get(name, p) for name, p in all_names.items()]), error, fitted.iterations)


@torch.no_grad()
def divergence(function: Function, x: Tensor) -> Tensor:
    """Of a vector field at points ``(n, ndim)``, ``(n, 1)``, by forward-mode differentiation along each axis."""
    total = torch.zeros_like(x[:, :1])
    for axis in range(x.shape[-1]):
        along = torch.zeros_like(x)
        along[:, axis] = 1.0
        total = total + jvp(function, (x,), (along,))[1][:, axis : axis + 1]
    return total


def size(u: Tensor) -> float:
    """The root mean square over points ``(n, k)`` of the length of a vector."""
    return float(u.square().sum(-1).mean().sqrt())


def first_fit(good: float, task: Task, start: Tensor) -> Fitted:
    """A fit from weights that are far from any solution."""
    found = settled(task.residual, task.rows(None), dict(zip(task.names, map(nn.Parameter, task.flat.split(start)), strict=True)), task.scale, good)
    return Fitted(task.flat.join(list(found.values())), 0.0, 0)
