"""A trained model of any of the package's classes, from its file."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch

from sciml.core.errors import InputError
from sciml.surrogates.checkpoint import read_model

HOMES = {
    "DeepONet": "sciml.surrogates.operators.deeponet",
    "FNO": "sciml.surrogates.operators.fno",
    "FactorisedFNO": "sciml.surrogates.operators.factorised",
    "INRStepper": "sciml.surrogates.inr.stepper",
    "LPINN": "sciml.surrogates.lpinn.lpinn",
    "MarchedPINN": "sciml.surrogates.pinn.march",
    "PINN": "sciml.surrogates.pinn.pinn",
    "SFNO": "sciml.surrogates.operators.sfno",
    "Transolver": "sciml.surrogates.operators.transolver",
}


def load_model(path: str | Path, *, device: torch.device | str = "cpu") -> Any:
    """The model that ``model.save(path)`` wrote, of whichever class it is, in evaluation mode.

    A neural operator, a :class:`sciml.PINN`, a :class:`sciml.LPINN`, what :func:`sciml.march_pinn` made, or an :class:`sciml.INRStepper` with its
    state and time; their classes' own ``load`` takes a problem or a state that no file can hold.

    Raises :class:`InputError` for files that are missing, damaged or made by others, and for a class of your own, which
    ``YourClass.load(path)`` reads.
    """
    name = read_model(path)["class"]
    if name not in HOMES:
        raise InputError(f"{path} holds a {name!r}, which is not among {', '.join(HOMES)}; load it with that class's own load(path).")
    found: Any = getattr(importlib.import_module(HOMES[name]), name)
    return found.load(path, device=device)
