"""Which problems have characteristics that a network of labels can follow."""

from __future__ import annotations

import torch

from sciml.core.conservation import ConservationLaw
from sciml.core.errors import UnsupportedError
from sciml.core.problem import Problem


def check_form(problem: Problem) -> None:
    """Raise UnsupportedError unless a problem has characteristics that a network of labels can follow."""
    equation = problem.equation
    if problem.steady:
        raise UnsupportedError(f"LPINN: {problem.name} is steady, so nothing moves along characteristics; use sciml.PINN.")
    if not callable(getattr(equation, "velocity", None)):
        raise UnsupportedError(
            f"LPINN: {type(equation).__name__} has no characteristic velocity, so it is not of the form u_t + f(u)_x = (k u_x)_x + s; write it as a "
            "sciml.ConservationLaw with a flux, or use sciml.PINN."
        )
    if isinstance(equation, ConservationLaw) and equation.flux(torch.ones(1, dtype=torch.float64)) is None:
        raise UnsupportedError(f"LPINN: {type(equation).__name__} has no flux, so nothing moves along characteristics; use sciml.PINN.")
    if problem.domain.ndim != 1 or not all(problem.domain.is_periodic):
        raise UnsupportedError(
            f"LPINN: {problem.name} has {problem.domain.ndim} axes with periodic={problem.domain.is_periodic}; one periodic axis is supported. "
            "Use sciml.PINN."
        )
    if len(equation.fields) != 1:
        raise UnsupportedError(
            f"LPINN: {problem.name} has the fields {', '.join(equation.fields)}, whose characteristics differ; one is supported. Use sciml.PINN."
        )
