"""Checkpoints of a training: complete files, each of one training only."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.io.atomic import atomic_file

FORMAT = "sciml training"
VERSION = 1


def write_checkpoint(path: Path, recipe: Mapping[str, str], state: Mapping[str, Any]) -> None:
    """A file with the state of a training and the recipe that it belongs to; complete, or what was there before."""
    with atomic_file(path) as temporary:
        torch.save({"format": FORMAT, "version": VERSION, "recipe": dict(recipe), "state": dict(state)}, temporary)


def read_checkpoint(path: Path, recipe: Mapping[str, str]) -> dict[str, Any]:
    """The state that :func:`write_checkpoint` kept.

    Raises :class:`InputError` for a file that is damaged or of another kind, and for a training of another recipe (it says in what they differ).
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        raise InputError(f"{path} is damaged, or no checkpoint of a training ({type(error).__name__}); remove it to start anew.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} is no checkpoint of a training; give another name.")
    if content.get("version") != VERSION:
        raise InputError(f"{path} was written by another version of this package (layout {content.get('version')}); remove it to start anew.")
    there: dict[str, str] = content["recipe"]
    differ = [name for name in recipe if there.get(name) != recipe[name]]
    if differ:
        shown = "; ".join(f"{name}: {_short(there.get(name))} there, {_short(recipe[name])} here" for name in differ[:3])
        raise InputError(f"{path} holds the checkpoint of another training ({shown}); give the same settings, or another file.")
    found: dict[str, Any] = content["state"]
    return found


def checksum(parts: Any) -> str:
    """Of every tensor in a nested structure."""
    found = hashlib.sha256()
    for part in tensors_in(parts):
        found.update(f"{part.dtype} {tuple(part.shape)}".encode())
        numbers = part.detach().cpu().contiguous().reshape(-1)  # a last axis of length 1 may have any stride
        found.update(numbers.view(torch.uint8).numpy().tobytes() if part.numel() and part.ndim else repr(part).encode())
    return found.hexdigest()[:16]


def tensors_in(parts: Any) -> list[Tensor]:
    """The tensors of a nested structure of sequences and mappings, in order."""
    if isinstance(parts, Tensor):
        return [parts]
    if isinstance(parts, Mapping):
        parts = list(parts.values())
    if isinstance(parts, Sequence) and not isinstance(parts, str):
        return [tensor for part in parts for tensor in tensors_in(part)]
    return []


def _short(text: str | None) -> str:
    shown = str(text)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
