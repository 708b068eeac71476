"""Files of trained models: what is in them, written atomically and read without running code from the file."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from sciml.core.checks import check_device
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.io.atomic import atomic_file

FORMAT = "sciml surrogate"
VERSION = 1
_KEYS = {"format", "version", "class", "config", "state"}
_DTYPES = {"float32": torch.float32, "float64": torch.float64}


def write_model(path: str | Path, name: str, config: dict[str, Any], state: dict[str, Any]) -> None:
    """A file with the class called ``name``, its configuration and its weights; complete, or not there at all."""
    content = {"format": FORMAT, "version": VERSION, "class": name, "config": config, "state": dict(state)}
    with atomic_file(path) as temporary:
        torch.save(content, temporary)


def read_model(path: str | Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """What :func:`write_model` wrote; raise :class:`InputError` for a file that is missing, damaged, newer or of another kind."""
    place = Path(path)
    if not place.is_file():
        raise InputError(f"Cannot read the model {place}: {'it is a folder' if place.is_dir() else 'there is no such file'}.")
    try:
        content = torch.load(place, map_location=check_device(device), weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"{place} is not a model of this package: it holds more than tensors and plain values, which is never run.") from error
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{place} is damaged, or no file that torch.save wrote ({type(error).__name__}); give a file written by model.save."
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        hint = " FNO.from_neuraloperator reads weights of neuraloperator." if isinstance(content, dict) and _foreign(content) else ""
        raise InputError(f"{place} holds no model written by model.save, but a {type(content).__name__} of another kind.{hint}")
    if content.get("version") != VERSION:
        raise InputError(
            f"{place} has format version {content.get('version')!r}; this package reads version {VERSION}. Use the package that wrote it."
        )
    if not set(content) >= _KEYS or not isinstance(content["config"], dict) or not isinstance(content["state"], dict):
        raise InputError(f"{place} is damaged: a model's file has the entries {', '.join(sorted(_KEYS))}.")
    return content


def grid_config(grid: Grid) -> dict[str, Any]:
    """A grid as plain values; the device is not part of it."""
    return {
        "shape": list(grid.shape),
        "lengths": list(grid.lengths),
        "periodic": list(grid.periodic),
        "origin": list(grid.origin),
        "dtype": str(grid.dtype).removeprefix("torch."),
    }


def grid_from(config: dict[str, Any]) -> Grid:
    """The grid that :func:`grid_config` describes, on the CPU."""
    shape, lengths, periodic, origin = (tuple(config[key]) for key in ("shape", "lengths", "periodic", "origin"))
    return Grid(shape, lengths, periodic, origin, _DTYPES[config["dtype"]])


def _foreign(content: dict[Any, Any]) -> bool:
    return any(str(key).startswith("fno_blocks.") for key in content)
