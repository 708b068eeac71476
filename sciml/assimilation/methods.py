"""The analyses by name, as the command line takes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from sciml.assimilation.enkf import DEnKF, EnKF
from sciml.assimilation.enkf_n import EnKFN
from sciml.assimilation.enks import EnKS
from sciml.assimilation.etkf import ETKF
from sciml.assimilation.extended import ExtendedKF
from sciml.assimilation.ienks import IEnKS
from sciml.assimilation.letkf import LETKF
from sciml.assimilation.particle import ParticleFilter
from sciml.assimilation.serial import EAKF
from sciml.assimilation.stages import Assimilator
from sciml.core.errors import InputError


def smoother(inflation: float = 1.0, rotate: bool = False, lag: int = 5) -> Assimilator:
    """The ensemble transform Kalman filter with smoothing."""
    return EnKS(ETKF(inflation, rotate), lag)


ANALYSES: dict[str, tuple[Callable[..., Assimilator], str]] = {
    "etkf": (ETKF, "ensemble transform Kalman filter"),
    "letkf": (LETKF, "local ensemble transform Kalman filter"),
    "enkf": (EnKF, "ensemble Kalman filter with perturbed observations"),
    "denkf": (DEnKF, "deterministic ensemble Kalman filter"),
    "eakf": (EAKF, "serial ensemble adjustment Kalman filter"),
    "enkf-n": (EnKFN, "finite-size ensemble Kalman filter"),
    "enks": (smoother, "ensemble Kalman smoother: etkf, and its past corrected"),
    "ienks": (IEnKS, "iterative ensemble Kalman smoother"),
    "particle": (ParticleFilter, "bootstrap particle filter"),
    "ekf": (ExtendedKF, "extended Kalman filter, for few unknowns"),
}
"""What makes each, and a description of a line."""


def analysis(name: str, options: Mapping[str, Any] | None = None) -> Assimilator:
    """The analysis called ``name`` with its options, such as ``inflation`` and ``radius``.

    Raises :class:`InputError` for an unknown name, and for an option that the analysis does not have.
    """
    if name not in ANALYSES:
        raise InputError(f"method {name!r} is not known; choose {', '.join(ANALYSES)}.")
    make, given = ANALYSES[name][0], dict(options or {})
    known = options_of(name)
    for option in given:
        if option not in known:
            raise InputError(f"method {name}: {option} is no option of it; it has {', '.join(known)}.")
    try:
        return make(**given)
    except TypeError as error:
        raise InputError(f"method {name}: {', '.join(f'{k}={v!r}' for k, v in given.items())} cannot be used ({error}).") from error


def options_of(name: str) -> list[str]:
    """The options of an analysis."""
    return list(inspect.signature(ANALYSES[name][0]).parameters)
