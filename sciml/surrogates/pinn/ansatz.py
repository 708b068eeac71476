"""Initial and boundary conditions that hold for any weights, wherever the domain allows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sciml.core.derivatives import AXES
from sciml.core.domain import Dirichlet, Domain, Neumann, Periodic
from sciml.core.errors import InputError
from sciml.surrogates.pinn.boundary import Axis, FreeAxis, PeriodicAxis, TimeValue, hard_axis, time_value
from sciml.surrogates.pinn.diffused import Diffused

Network = Callable[[Tensor], Tensor]
TOLERANCE = 1e-6
"""Largest difference, relative to the conditions' size, at which two conditions that meet count as equal."""


class Face:
    """One face of the domain with its condition.

    Attributes
    ----------
    axis, upper : which one.
    condition : Dirichlet or Neumann.
    position : of the face along the axis.
    """

    def __init__(self, domain: Domain, axis: int, upper: bool) -> None:
        condition = domain.boundaries[axis][upper]
        assert isinstance(condition, Dirichlet | Neumann)
        self.axis, self.upper, self.condition = axis, upper, condition
        self.position = (domain.upper if upper else domain.lower)[axis]
        self.name = f"{AXES[axis]}={self.position:g}"

    @property
    def fixes_value(self) -> bool:
        """Whether it is a Dirichlet condition."""
        return isinstance(self.condition, Dirichlet)


def faces_of(domain: Domain) -> list[Face]:
    """All faces with a Dirichlet or a Neumann condition, in the order lower, upper of each axis."""
    pairs = enumerate(domain.boundaries)
    return [Face(domain, i, upper) for i, pair in pairs for upper in (False, True) if isinstance(pair[upper], Dirichlet | Neumann)]


class Ansatz(nn.Module):
    r"""A field that meets its conditions, made from any network N:

    .. math:: u(t,x) = u_0(x) + E(t,x) + s(t)\,B(x)\,N\big(s(t), \varphi(x)\big),\qquad s = (t-t_0)/(t_1-t_0)

    Periodic axes enter through waves :math:`\varphi`, so that u is periodic. On bounded axes the factor B vanishes on Dirichlet
    faces and coordinates without slope on Neumann faces keep their slope at zero; the lift E carries what the boundary values
    :math:`b` have changed since :math:`t_0`, by transfinite interpolation: :math:`E_i = E_{i-1} + \sum_f q_f(x_i)\,(\delta b_f - E_{i-1})`
    over Dirichlet faces f of axis i, and without the last term over Neumann faces; :math:`\delta b_f = b_f(t) - b_f(t_0)`. All conditions
    hold together if those that meet agree, which is checked to 1e-6 of their size.

    Parameters
    ----------
    domain : with its boundaries.
    times : start and end; None for a steady equation, where s = 1 and :math:`u_0 = 0`.
    channels : of the field.
    state : :math:`u_0`, points ``(..., ndim)`` to ``(..., channels)``; or :class:`Diffused`, which also reads the time; None leaves initial
        conditions to the loss (then s before N is 1).
    hard : whether boundary conditions are built in; periodic ones always are.
    harmonics : number of waves per periodic axis.

    Raises
    ------
    InputError : conditions contradict each other where they meet.
    UnsupportedError : a boundary value is no smooth function of time.
    """

    def __init__(
        self,
        domain: Domain,
        times: tuple[float, float] | None,
        channels: int,
        state: nn.Module | None,
        *,
        hard: bool,
        harmonics: int,
        who: str,
    ) -> None:
        super().__init__()
        self.domain, self.times, self.channels, self.who = domain, times, channels, who
        self.state = state
        self.axes: list[Axis] = []
        for low, length, pair in zip(domain.lower, domain.lengths, domain.boundaries, strict=True):
            if isinstance(pair[0], Periodic):
                self.axes.append(PeriodicAxis(low, length, harmonics))
            else:
                self.axes.append(hard_axis(low, length, pair) if hard else FreeAxis(low, length))
        self.faces = faces_of(domain) if hard else []
        first, last = times or (0.0, 0.0)
        size = self._size()
        self.values: list[TimeValue] = [time_value(f.condition, first, last, channels, size, f"{who}, face {f.name}") for f in self.faces]
        # values that never change leave nothing to lift from an initial state that has them, and zeros nothing at all
        constants = [f.condition.value for f in self.faces if not callable(f.condition.value)]
        self.lifts = len(constants) < len(self.faces) or (state is None and any(torch.as_tensor(c).any() for c in constants))
        self.check()

    @property
    def width(self) -> int:
        """Number of features."""
        return self.features(torch.zeros(1 + self.domain.ndim, dtype=torch.float64)).shape[-1]

    def elapsed(self, t: Any) -> Any:
        """s, of a tensor or a field."""
        assert self.times is not None
        start, end = self.times
        return (t - start) * (1 / (end - start))

    def features(self, z: Tensor) -> Tensor:
        """What the network reads at points ``(..., 1 + ndim)``: time in [-1, 1], then the coordinates of each axis."""
        return torch.cat(self.features_of(z.split(1, -1)), -1)

    def features_of(self, columns: Sequence[Any]) -> list[Any]:
        """The features from one tensor, or field, per coordinate."""
        parts = [] if self.times is None else [2 * self.elapsed(columns[0]) - 1]
        for axis, x in zip(self.axes, columns[1:], strict=True):
            parts += axis.features(x)
        return parts

    def forward(self, z: Tensor, network: Network) -> Tensor:
        """u at points ``(..., 1 + ndim)``, ``(..., channels)``; ``network`` maps features to as many channels."""
        u, factor, base = network(self.features(z)), self.factor(z), self.base(z)
        u = u if factor is None else u * factor
        return u if base is None else base + u

    def factor(self, z: Tensor) -> Tensor | None:
        """s B, ``(..., 1)``; None for 1."""
        return self.factor_of(z.split(1, -1))

    def factor_of(self, columns: Sequence[Any]) -> Any:
        """The same from one tensor, or field, per coordinate."""
        factors = [axis.factor(x) for axis, x in zip(self.axes, columns[1:], strict=True)]
        total = self.elapsed(columns[0]) if self.state is not None else None
        for factor in factors:
            total = factor if total is None else total if factor is None else total * factor
        return total

    def base(self, z: Tensor) -> Tensor | None:
        """What does not depend on the network, u_0 + E, ``(..., channels)``; None for 0."""
        lift = self.lift(z)
        if self.state is None:
            return lift
        state: Tensor = self.state(z if isinstance(self.state, Diffused) else z[..., 1:])
        return state if lift is None else state + lift

    def lift(self, z: Tensor) -> Tensor | None:
        """E, ``(..., channels)``; None where there is nothing to lift."""
        if not self.lifts:
            return None
        total = z.new_zeros(self.channels).expand(*z.shape[:-1], -1)
        changes = [self._change(value, z[..., 0]) for value in self.values]
        for i, axis in enumerate(self.axes):
            blends = axis.blends(z[..., i + 1 : i + 2])
            if blends is None:
                continue
            before = total
            for face, change in zip(self.faces, changes, strict=True):
                if face.axis == i:
                    total = total + blends[face.upper] * (change - before if face.fixes_value else change)
        return total

    def lift_or_zero(self, z: Tensor) -> Tensor:
        """:meth:`lift` as a tensor in any case."""
        lift = self.lift(z)
        return z.new_zeros((*z.shape[:-1], self.channels)) if lift is None else lift

    def _change(self, value: TimeValue, t: Tensor) -> Tensor:
        return value(t) if self.state is None else value(t) - value(torch.full_like(t, self.times[0] if self.times else 0.0))

    def _some_points(self) -> Tensor:
        """Points of space-time, some at the start, some in corners."""
        generator = torch.Generator().manual_seed(0)
        low, high = (torch.tensor(c, dtype=torch.float64) for c in (self.domain.lower, self.domain.upper))
        unit = torch.rand((24, 1 + len(self.axes)), generator=generator, dtype=torch.float64)
        unit[:6, 0] = 0.0
        for i in range(len(self.axes)):  # corners too
            unit[i::7, i + 1] = (torch.rand(len(unit[i::7]), generator=generator) > 0.5).double()
        first, last = self.times or (0.0, 0.0)
        t = first + (last - first) * unit[:, 0]
        return torch.cat([t.unsqueeze(1), low + (high - low) * unit[:, 1:]], 1)

    @torch.no_grad()
    def _size(self) -> float:
        """Of the initial state."""
        return 0.0 if self.state is None or not self.faces else float(self.state(self._some_points()[:, 1:]).abs().max())

    @torch.no_grad()
    def check(self) -> None:
        """Raise unless all built-in conditions hold for a function that no condition was made for."""
        z = self._some_points()
        for face, value in zip(self.faces, self.values, strict=True):
            on = z.clone()
            on[:, face.axis + 1] = face.position
            found = self._trace(on, None if face.fixes_value else face.axis)
            self._compare(face, on, found, value(on[:, 0]))

    def _trace(self, z: Tensor, axis: int | None) -> Tensor:
        """Values, or slopes along an axis, with a test function in the network's place."""

        def u(p: Tensor) -> Tensor:
            return self(p, lambda v: torch.sin(v.sum(-1, keepdim=True) + 0.3).expand(*v.shape[:-1], self.channels))

        if axis is None:
            return torch.as_tensor(u(z))
        direction = torch.zeros_like(z)
        direction[:, axis + 1] = 1.0
        slopes: Tensor = torch.func.jvp(u, (z,), (direction,))[1]
        return slopes

    def _compare(self, face: Face, z: Tensor, found: Tensor, wanted: Tensor) -> None:
        size = float(self._trace(self._some_points(), None).abs().max()) / (1.0 if face.fixes_value else self.domain.lengths[face.axis])
        scale = max(float(found.abs().max()), float(wanted.abs().max()), size)
        error = (found - wanted).abs().nan_to_num(torch.inf).amax(1)
        worst = int(error.argmax())
        if float(error[worst]) <= TOLERANCE * scale:
            return
        where = ", ".join(f"{n}={float(c):.4g}" for n, c in zip(("t", *AXES), z[worst], strict=False))
        what = "value" if face.fixes_value else "slope"
        other = "initial state and the other boundaries give" if self.state is not None else "other boundaries give"
        raise InputError(
            f"{self.who}: the boundary condition on {face.name} wants the {what} {_shown(wanted[worst])} at {where}, where the {other} "
            f"{_shown(found[worst])}; both cannot be built in. Use bc='soft'" + (", or initial='soft'." if self.state is not None else ".")
        )


def _shown(values: Tensor) -> str:
    return ", ".join(f"{v:.4g}" for v in values.tolist())


def has_value_face(domain: Domain) -> bool:
    """Whether any face fixes a value, so that a steady solution is not free by a constant."""
    return any(face.fixes_value for face in faces_of(domain))


__all__ = ["Ansatz", "Face", "faces_of", "has_value_face"]
