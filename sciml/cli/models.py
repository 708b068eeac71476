"""The models that ``sciml train`` makes, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.surrogates.base import Surrogate
from sciml.surrogates.operators.factorised import FactorisedFNO
from sciml.surrogates.operators.fno import FNO
from sciml.surrogates.operators.transolver import Transolver

MODES = {1: 16, 2: 12, 3: 8}
"""Modes per axis when none are asked for, by number of space axes, as far as the grid holds them."""


def make_model(name: str, grid: Grid, channels: int, asked: dict[str, int | None], **common: Any) -> Surrogate:
    """The model called ``name``; ``asked`` holds modes, width and depth, None for the model's own.

    Raises :class:`InputError` for an unknown name, and for an option that the model does not have.
    """
    if name not in MODELS:
        raise InputError(f"MODEL {name!r} is not known; use {', '.join(MODELS)}.")
    make, known = MODELS[name]
    options: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
    for key in options:
        if key not in known:
            raise InputError(f"--{key} is no option of {name}; it has {', '.join(f'--{k}' for k in known)}.")
    if "modes" in known and "modes" not in options:
        options["modes"] = tuple(max(1, min(MODES[grid.ndim], n // 2)) for n in grid.shape)
    return make(grid, channels, **options, **common)


MODELS: dict[str, tuple[Callable[..., Surrogate], tuple[str, ...]]] = {
    "fno": (FNO, ("modes", "width", "depth")),
    "ffno": (FactorisedFNO, ("modes", "width", "depth")),
    "transolver": (Transolver, ("width", "depth")),
}
