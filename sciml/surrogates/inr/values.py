"""Rules such as samplers and solvers as plain values, for files that hold no code."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sciml.surrogates.inr.fits import AdamFit, NaturalGradient
from sciml.surrogates.pinn.sampling import RAD, RARD, Gauss, Sobol, Uniform

KNOWN: dict[str, type[Any]] = {kind.__name__: kind for kind in (AdamFit, Gauss, NaturalGradient, RAD, RARD, Sobol, Uniform)}


def packed(rule: Any) -> dict[str, Any] | None:
    """The name and the settings of a rule of this package; None for others, which no file can hold."""
    name = type(rule).__name__
    return {"name": name, "settings": asdict(rule)} if type(rule) is KNOWN.get(name) else None


def unpacked(content: dict[str, Any] | None) -> Any:
    """The rule that :func:`packed` described; None for None. Raises KeyError or TypeError for what it did not write."""
    return None if content is None else KNOWN[content["name"]](**content["settings"])
