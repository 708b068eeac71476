"""Which representation a problem's equation wants, and what steps it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sciml.core.elastic import ElasticBody
from sciml.core.errors import InputError
from sciml.core.incompressible import IncompressibleFlow
from sciml.core.problem import Problem
from sciml.solvers.tableau import DIAGONAL, TABLEAUX
from sciml.surrogates.inr.elastic import ElasticField
from sciml.surrogates.inr.field import NeuralField
from sciml.surrogates.inr.flow import FlowField
from sciml.surrogates.inr.incremental import Incremental
from sciml.surrogates.inr.integrators import Explicit, ImplicitMidpoint, Integrator
from sciml.surrogates.inr.representation import Representation
from sciml.surrogates.inr.splitting import Splitting


def represent(problem: Problem, *, who: str, **options: Any) -> Representation:
    """The representation of a problem's states; ``options`` are those of the network, and its dtype.

    Raises UnsupportedError for equations that none is for.
    """
    if isinstance(problem.equation, IncompressibleFlow):
        return FlowField(problem, who=who, **options)
    if isinstance(problem.equation, ElasticBody):
        return ElasticField(problem, who=who, **options)
    return NeuralField(problem, who=who, **options)


INTEGRATORS: dict[str, Callable[[], Integrator]] = {
    **{name: partial(Explicit, tableau) for name, tableau in TABLEAUX.items()},
    "implicit_midpoint": ImplicitMidpoint,
    **{name: partial(Incremental, tableau) for name, tableau in DIAGONAL.items()},
    "splitting": Splitting,
    "chorin": partial(Splitting, 1),
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
