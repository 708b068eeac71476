"""Which representation a problem's equation wants, and what steps it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sciml.core.errors import InputError
from sciml.core.problem import Problem
from sciml.solvers.tableau import TABLEAUX
from sciml.surrogates.inr.field import NeuralField
from sciml.surrogates.inr.integrators import Explicit, ImplicitMidpoint, Integrator
from sciml.surrogates.inr.representation import Representation


def represent(problem: Problem, *, who: str, **options: Any) -> Representation:
    """The representation of a problem's states; ``options`` are those of the network, and its dtype.

    Raises UnsupportedError for equations that none is for.
    """
    return NeuralField(problem, who=who, **options)


INTEGRATORS: dict[str, Callable[[], Integrator]] = {
    **{name: partial(Explicit, tableau) for name, tableau in TABLEAUX.items()},
    "implicit_midpoint": ImplicitMidpoint,
}


def make_integrator(integrator: str | Integrator | None, field: Representation, who: str) -> Integrator:
    """An integrator by name, or itself; None for the usual one of the representation. Raises InputError for those that cannot step it."""
    made = integrator
    if not isinstance(made, Integrator):
        name = field.usual if made is None else made
        if name not in INTEGRATORS:
            raise InputError(f"{who}: integrator={name!r} given; choose {', '.join(INTEGRATORS)}, or give an Integrator.")
        made = INTEGRATORS[name]()
    if not isinstance(field, made.kind):
        fitting = [name for name, make in INTEGRATORS.items() if isinstance(field, make().kind)]
        raise InputError(
            f"{who}: integrator={integrator!r} given, which does not step {type(field.problem.equation).__name__}; use {' or '.join(fitting)}."
        )
    return made
