"""Boundary conditions by construction: coordinates, factors and lifts of one axis, and boundary values as functions of time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sciml.core.domain import Boundary, Dirichlet, Free, Neumann
from sciml.core.errors import InputError, UnsupportedError

TimeValue = Callable[[Tensor], Tensor]
"""Times ``(...)`` to values ``(..., channels)``."""
RESOLVED = 1e-8
"""Largest relative error of an interpolated boundary value."""


class Axis(ABC):
    r"""What a network reads of one coordinate, and what it is multiplied by, so that homogeneous conditions hold for any weights.

    Parameters
    ----------
    lower, length : of the axis; :math:`\xi = (x - \text{lower})/\text{length}`.
    """

    def __init__(self, lower: float, length: float) -> None:
        self.lower, self.length = lower, length

    def unit(self, x: Tensor) -> Tensor:
        """The coordinate in [0, 1]."""
        return (x - self.lower) / self.length

    @abstractmethod
    def features(self, x: Tensor) -> list[Tensor]:
        """Of about unit size, each of the shape of ``x``."""

    def factor(self, x: Tensor) -> Tensor | None:
        """What vanishes on Dirichlet faces; None for 1."""
        return None

    def blends(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """For each face a polynomial that meets a unit condition there and the homogeneous one on the other; None if there are no faces."""
        return None


class PeriodicAxis(Axis):
    r""":math:`\cos(2\pi h\xi), \sin(2\pi h\xi)`, :math:`h = 1, \dots, H`."""

    def __init__(self, lower: float, length: float, harmonics: int) -> None:
        super().__init__(lower, length)
        self.harmonics = harmonics

    def features(self, x: Tensor) -> list[Tensor]:
        angle = 2 * math.pi * self.unit(x)
        return [wave(h * angle) for h in range(1, self.harmonics + 1) for wave in (torch.cos, torch.sin)]


class FreeAxis(Axis):
    r""":math:`2\xi-1`: conditions are left to the loss."""

    def features(self, x: Tensor) -> list[Tensor]:
        return [2 * self.unit(x) - 1]


class FixedAxis(FreeAxis):
    r"""Values on both faces: factor :math:`4\xi(1-\xi)`, lifts :math:`1-\xi` and :math:`\xi`."""

    def factor(self, x: Tensor) -> Tensor | None:
        xi = self.unit(x)
        return 4 * xi * (1 - xi)

    def blends(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        xi = self.unit(x)
        return 1 - xi, xi


class ClosedAxis(Axis):
    r"""Slopes on both faces: the coordinates :math:`\xi^2(3-2\xi)` and :math:`\xi^2(1-\xi)^2` have none there.

    Near a face they are combinations of :math:`\xi^2` and :math:`\xi^3` to leading order, from which every smooth function without a slope
    can be made; an even coordinate such as :math:`\cos\pi\xi` alone would force the third derivative to vanish too.
    """

    def features(self, x: Tensor) -> list[Tensor]:
        xi = self.unit(x)
        return [2 * xi**2 * (3 - 2 * xi) - 1, 32 * (xi * (1 - xi)) ** 2 - 1]

    def blends(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        xi = self.unit(x)
        return self.length * (xi - xi**2 / 2), self.length * xi**2 / 2


class MixedAxis(Axis):
    r"""A value on one face and a slope on the other, whose distance is :math:`\eta`: coordinates :math:`\eta^2, \eta^3`, factor :math:`1-\eta^2`."""

    def __init__(self, lower: float, length: float, value_below: bool) -> None:
        super().__init__(lower, length)
        self.value_below = value_below

    def _eta(self, x: Tensor) -> Tensor:
        return 1 - self.unit(x) if self.value_below else self.unit(x)

    def features(self, x: Tensor) -> list[Tensor]:
        eta = self._eta(x)
        return [2 * eta**2 - 1, 2 * eta**3 - 1]

    def factor(self, x: Tensor) -> Tensor | None:
        return 1 - self._eta(x) ** 2

    def blends(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        one, xi = torch.ones_like(x), self.unit(x)
        return (one, self.length * xi) if self.value_below else (self.length * (xi - 1), one)


class OneFixedAxis(FreeAxis):
    r"""The value 0 on one face, nothing on the other: the factor is the distance from the first."""

    def __init__(self, lower: float, length: float, value_below: bool) -> None:
        super().__init__(lower, length)
        self.value_below = value_below

    def factor(self, x: Tensor) -> Tensor | None:
        return self.unit(x) if self.value_below else 1 - self.unit(x)


def hard_axis(lower: float, length: float, pair: tuple[Boundary, Boundary]) -> Axis:
    """The construction for a bounded axis with these conditions."""
    fixed = [isinstance(face, Dirichlet) for face in pair]
    if any(isinstance(face, Free) for face in pair):
        return OneFixedAxis(lower, length, value_below=fixed[0]) if any(fixed) else FreeAxis(lower, length)
    if all(fixed):
        return FixedAxis(lower, length)
    return MixedAxis(lower, length, value_below=fixed[0]) if any(fixed) else ClosedAxis(lower, length)


def values_at(face: Dirichlet | Neumann, times: Tensor, channels: int, name: str) -> Tensor:
    """The values of a condition at times ``(n,)``, ``(n, channels)``, by calling it with one number at a time."""
    return torch.stack([_entry(face.at(float(t)), channels, times, name) for t in times])


def time_value(face: Dirichlet | Neumann, start: float, end: float, channels: int, size: float, name: str) -> TimeValue:
    """The value of a condition as a differentiable function of time.

    Functions of time that torch can transform are called as they are; others (that return floats, say) are interpolated at Chebyshev points
    of [start, end], with an error below 1e-8 of their size, or of ``size``, the solution's, if that is larger.

    Raises UnsupportedError if they cannot be resolved so.
    """
    if not callable(face.value):
        constant = _entry(face.value, channels, torch.zeros(1, dtype=torch.float64), name)

        def fixed(t: Tensor) -> Tensor:
            return constant.to(t.device, t.dtype).expand(*t.shape, channels)

        return fixed
    direct = _direct(face, channels, name)
    probe = start + (end - start) * torch.tensor([0.0, 0.137, 0.291, 0.5, 0.613, 0.789, 1.0], dtype=torch.float64)
    truth = values_at(face, probe, channels, name)
    scale = max(float(truth.abs().max()), size, 1e-300)
    rounding = _rounding(face, start)
    try:
        slopes = torch.func.vmap(lambda t: torch.func.jvp(direct, (t,), (torch.ones_like(t),))[1])(probe)
        values = direct(probe)
        if bool(torch.isfinite(slopes).all()) and float((values - truth).abs().max()) <= max(1e-12, rounding) * scale:
            return direct
    except Exception:  # whatever a function of a plain number does with a tensor
        pass
    return _interpolated(face, start, end, channels, size, max(RESOLVED, rounding), name)


def _rounding(face: Dirichlet | Neumann, start: float) -> float:
    """The rounding error of a boundary value, given a plain number: functions that make a tensor of it may do so in single precision."""
    found: Any = face.at(start)
    return 16 * torch.finfo(found.dtype).eps if isinstance(found, Tensor) and found.dtype.is_floating_point else 0.0


def _direct(face: Dirichlet | Neumann, channels: int, name: str) -> TimeValue:
    function: Any = face.value  # declared for numbers, but arithmetic works on tensors too

    def value(t: Tensor) -> Tensor:
        found = function(t)
        if not isinstance(found, Tensor):
            raise TypeError("not a tensor")
        return found.to(t.dtype).expand(t.shape).unsqueeze(-1).expand(*t.shape, channels)

    return value


def _interpolated(face: Dirichlet | Neumann, start: float, end: float, channels: int, size: float, error: float, name: str) -> TimeValue:
    count = 16
    while count <= 512:
        angle = math.pi * torch.arange(count + 1, dtype=torch.float64) / count
        nodes = start + (end - start) * (1 - torch.cos(angle)) / 2
        values = values_at(face, nodes, channels, name)
        coefficients = _chebyshev(values, angle)
        checks = start + (end - start) * (torch.arange(1, 38, dtype=torch.float64) / 38) ** 2  # denser near the start, where values often jump
        truth = values_at(face, checks, channels, name)
        series = _series(coefficients, start, end)
        scale = max(float(values.abs().max()), float(truth.abs().max()), size, 1e-300)
        if float((series(checks) - truth).abs().max()) <= error * scale:
            return series
        count *= 2
    raise UnsupportedError(
        f"{name}: the boundary value is no smooth function of time on [{start:g}, {end:g}], so it cannot be built into the solution; use bc='soft'."
    )


def _chebyshev(values: Tensor, angle: Tensor) -> Tensor:
    """Coefficients of the interpolant through values at the Chebyshev points of the second kind."""
    n = len(values) - 1
    weights = torch.full_like(angle, 2.0 / n)
    weights[0] = weights[-1] = 1.0 / n
    table = torch.cos(torch.arange(n + 1, dtype=angle.dtype).unsqueeze(1) * (math.pi - angle))
    coefficients = (table * weights) @ values
    coefficients[0] /= 2
    coefficients[-1] /= 2
    kept = coefficients.abs().amax(1) > 1e-15 * (coefficients.abs().max() + 1e-300)
    last = int(kept.nonzero().max()) + 1 if bool(kept.any()) else 1
    return coefficients[:last]


def _series(coefficients: Tensor, start: float, end: float) -> TimeValue:
    def value(t: Tensor) -> Tensor:
        c = coefficients.to(t.device, t.dtype)
        s = (2 * (t - start) / (end - start) - 1).unsqueeze(-1)
        later, latest = torch.zeros_like(s), torch.zeros_like(s)
        for row in c[1:].flip(0):  # Clenshaw's recurrence
            latest, later = 2 * s * latest - later + row, latest
        return s * latest - later + c[0]

    return value


def _entry(value: Any, channels: int, like: Tensor, name: str) -> Tensor:
    found = torch.as_tensor(value, dtype=torch.float64, device="cpu").detach()
    if found.numel() not in (1, channels):
        raise InputError(f"{name}: the boundary value has shape {tuple(found.shape)}; a number, or one entry per field ({channels}), is needed.")
    if not bool(torch.isfinite(found).all()):
        raise InputError(f"{name}: the boundary value {found.flatten().tolist()} is not finite.")
    return found.flatten().expand(channels).to(like.dtype)
