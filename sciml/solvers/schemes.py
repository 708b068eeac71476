"""The classical schemes by name: the one list that ``sciml.solve``, the command line and the tests read."""

from __future__ import annotations

from sciml.core.propagator import Stepper
from sciml.solvers.adams_bashforth import AB2
from sciml.solvers.adaptive import DormandPrince
from sciml.solvers.etdrk import ETDRK1, ETDRK2, ETDRK3, ETDRK4
from sciml.solvers.finite_volume import FiniteVolumeStepper
from sciml.solvers.imex import ARK3, CNAB2
from sciml.solvers.runge_kutta import RK4

SPECTRAL: dict[str, type[Stepper]] = {
    "etdrk1": ETDRK1,
    "etdrk2": ETDRK2,
    "etdrk3": ETDRK3,
    "etdrk4": ETDRK4,
    "cnab2": CNAB2,
    "ark3": ARK3,
}
EXPLICIT: dict[str, type[Stepper]] = {"ab2": AB2, "rk4": RK4, "dopri5": DormandPrince}
SCHEMES: dict[str, type[Stepper]] = {**SPECTRAL, **EXPLICIT, "finite_volume": FiniteVolumeStepper}
NAMES = (*SCHEMES, "ritz", "scipy")
