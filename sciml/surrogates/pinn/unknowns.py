"""The coefficients of an equation that are trained with a network, and the bounds that no step can leave."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sciml.core.coefficients import coefficients_of, substituted
from sciml.core.equation import ResidualForm
from sciml.core.errors import InputError

Bounds = Mapping[str, tuple[float | None, float | None]]
"""Lower and upper end by the coefficient's name; None for no end."""
M = TypeVar("M", bound=nn.Module)


class Bound(nn.Module):
    r"""An interval as the image of the real line.

    .. math:: c = l + e^\xi,\qquad c = h - e^\xi,\qquad c = l + (h-l)/(1+e^{-\xi})

    for a lower end l alone, an upper end h alone, and both. The exponential, not :math:`\log(1+e^\xi)`, because a step of :math:`\xi` is then a
    factor of c, whatever the unit of c is.
    """

    def __init__(self, lower: float | None, upper: float | None) -> None:
        super().__init__()
        self.lower, self.upper = lower, upper

    def forward(self, xi: Tensor) -> Tensor:
        """c, of any shape."""
        if self.lower is None:
            assert self.upper is not None
            return self.upper - torch.exp(xi)
        if self.upper is None:
            return self.lower + torch.exp(xi)
        return (self.lower + (self.upper - self.lower) * torch.sigmoid(xi)).clamp(self.lower, self.upper)  # rounding may pass an end

    def inverse(self, c: Tensor) -> Tensor:
        r""":math:`\xi` of numbers between the ends."""
        if self.lower is None:
            assert self.upper is not None
            return torch.log(self.upper - c)
        if self.upper is None:
            return torch.log(c - self.lower)
        return torch.log(c - self.lower) - torch.log(self.upper - c)

    def within(self, c: Tensor) -> Tensor:
        """Numbers that rounding has put on an end, moved to the next ones inside."""
        if self.lower is not None:
            low = torch.tensor(self.lower, dtype=c.dtype, device=c.device)
            c = torch.maximum(c, torch.nextafter(low, torch.full_like(low, math.inf)))
        if self.upper is not None:
            high = torch.tensor(self.upper, dtype=c.dtype, device=c.device)
            c = torch.minimum(c, torch.nextafter(high, torch.full_like(high, -math.inf)))
        return c

    def extra_repr(self) -> str:
        return f"{self.lower}, {self.upper}"


class Unknowns(nn.Module):
    r"""What is trained in place of coefficients: :math:`\xi` of those with bounds, and those that the equation keeps in tuples.

    All other trained coefficients are parameters of the equation itself. The caller's own ``nn.Parameter`` of a bounded coefficient is no
    parameter of the network; :meth:`follow` gives it the value found.

    Parameters
    ----------
    equation : with its coefficients.
    bounds : by the names that :func:`coefficients_of` gives.

    Raises
    ------
    InputError : trained coefficients that are no ``nn.Parameter``; bounds of coefficients that do not exist or are not trained, that are no two
        numbers in order, or that do not hold at the start.
    """

    def __init__(self, who: str, equation: ResidualForm, bounds: Bounds | None) -> None:
        super().__init__()
        given = coefficients_of(equation)
        limits = check_bounds(who, bounds, given)
        registered = {id(p) for p in equation.parameters()}
        self.free, self.bounds = nn.ParameterDict(), nn.ModuleDict()
        self.keys: dict[str, str] = {}  # of coefficients by name
        self.own: dict[str, nn.Parameter] = {}  # the caller's, by key
        found: dict[int, str] = {}
        for name, value in given.items():
            if not (isinstance(value, Tensor) and value.requires_grad):
                continue
            if not isinstance(value, nn.Parameter):
                raise InputError(f"{who}: the coefficient {name} requires a gradient but is no torch.nn.Parameter; make it one to train it.")
            bound = next((limits[other] for other, same in given.items() if same is value and other in limits), None)
            if bound is None and id(value) in registered:
                continue
            key = self.keys[name] = found.setdefault(id(value), name.replace(".", "_"))
            if key in self.free:
                continue
            self.free[key] = value if bound is None else nn.Parameter(bound.inverse(value.detach().double()))
            if bound is not None:
                self.bounds[key], self.own[key] = bound, value

    def released(self, equation: ResidualForm) -> ResidualForm:
        """The equation, with what stands for bounded coefficients out of the optimiser's reach."""
        return _frozen(equation, {id(p) for p in self.own.values()}) if self.own else equation

    def put_into(self, equation: ResidualForm) -> ResidualForm:
        """The equation with these coefficients as they are now."""
        if not self.keys:
            return equation
        now = {key: self.bounds[key](p) if key in self.bounds else p for key, p in self.free.items()}
        return substituted(equation, lambda name, value: now[self.keys[name]] if name in self.keys else value)

    def trained(self, equation: ResidualForm) -> dict[str, tuple[nn.Parameter, Bound | None]]:
        """What is trained for each coefficient by name, and its bounds; a parameter with two names appears under the first."""
        found: dict[str, tuple[nn.Parameter, Bound | None]] = {}
        seen: set[int] = set()
        for name, value in coefficients_of(equation).items():
            key = self.keys.get(name)
            p = value if key is None else self.free[key]
            if isinstance(p, nn.Parameter) and p.requires_grad and id(p) not in seen:
                seen.add(id(p))
                bound = self.bounds[key] if key is not None and key in self.bounds else None
                found[name] = (p, bound if isinstance(bound, Bound) else None)
        return found

    @torch.no_grad()
    def follow(self) -> None:
        """Give the caller's own parameters the values, precision and device of those that are trained."""
        for key, own in self.own.items():
            bound = self.bounds[key]
            assert isinstance(bound, Bound)
            own.data = bound.within(bound(self.free[key])).clone()


def check_bounds(who: str, bounds: Bounds | None, coefficients: Mapping[str, Any]) -> dict[str, Bound]:
    """The bounds by name; InputError for any that cannot be kept."""
    if bounds is None:
        return {}
    if not isinstance(bounds, Mapping):
        raise InputError(f"{who}: bounds is a {type(bounds).__name__}; a mapping such as {{'viscosity': (0.0, None)}} is needed.")
    limits: dict[str, Bound] = {}
    for name, ends in bounds.items():
        if name not in coefficients:
            raise InputError(f"{who}: bounds of {name!r} given; the equation's coefficients are {', '.join(coefficients) or 'none'}.")
        value = coefficients[name]
        if not (isinstance(value, nn.Parameter) and value.requires_grad):
            raise InputError(f"{who}: bounds of {name!r} given, which is not trained; make it a torch.nn.Parameter, or leave its bounds out.")
        pair = tuple(ends) if isinstance(ends, tuple | list) else ()
        numbers = [end for end in pair if end is not None]
        if len(pair) != 2 or not numbers or not all(isinstance(end, int | float) and math.isfinite(end) for end in numbers):
            raise InputError(f"{who}: bounds {ends!r} of {name!r} given; (lower, upper) is needed, finite numbers, one of them may be None.")
        lower, upper = (None if end is None else float(end) for end in pair)
        if lower is not None and upper is not None and lower >= upper:
            raise InputError(f"{who}: bounds ({lower:g}, {upper:g}) of {name!r} given; the lower one must be below the upper one.")
        bound, start = Bound(lower, upper), value.detach().double()
        if not bool(torch.isfinite(bound.inverse(start)).all()):
            raise InputError(
                f"{who}: {name!r} starts at {start.tolist()}, not between its bounds {lower} and {upper}; start inside, because what lies on a "
                "bound stays there."
            )
        limits[name] = bound
        same = [other for other in limits if coefficients[other] is value and (limits[other].lower, limits[other].upper) != (lower, upper)]
        if same:
            raise InputError(f"{who}: {same[0]!r} and {name!r} are one parameter with two bounds; give it the same ones, or one of them none.")
    return limits


def _frozen(module: M, chosen: set[int]) -> M:
    """A copy of an equation in which a frozen parameter stands for each of the chosen ones."""
    clone = copy.copy(module)
    own = clone.__dict__
    own["_parameters"] = {
        name: nn.Parameter(p.detach().clone(), requires_grad=False) if p is not None and id(p) in chosen else p
        for name, p in module._parameters.items()
    }
    own["_modules"] = {
        name: _frozen(child, chosen) if child is not None and any(id(p) in chosen for p in child.parameters()) else child
        for name, child in module._modules.items()
    }
    return clone
