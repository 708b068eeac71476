"""Executable contracts: run them on your own equations, propagators and analyses."""

from sciml.testing.analysis import check_analysis
from sciml.testing.equation import check_equation
from sciml.testing.propagator import check_propagator
from sciml.testing.steady import check_steady_equation
from sciml.testing.trigonometric import Trigonometric

__all__ = ["Trigonometric", "check_analysis", "check_equation", "check_propagator", "check_steady_equation"]
