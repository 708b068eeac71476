"""The unfinished run of :func:`sciml.cycle`, in a file from which it goes on with the same bits."""

from __future__ import annotations

import pickle
import time as clock
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.io.atomic import atomic_file, check_writable, remove_leftovers
from sciml.io.lock import exclusive

FORMAT, VERSION = "sciml cycles", 1
EVERY = 30.0
"""Seconds of wall time between two checkpoints."""


class Position(NamedTuple):
    """Everything that the next cycle depends on, and what was counted so far.

    Attributes
    ----------
    number : of the next cycle.
    state : of the stage before.
    generator : its state.
    tally : see :meth:`sciml.assimilation.tally.Tally.content`.
    """

    number: int
    state: Any
    generator: Tensor
    tally: dict[str, Any]


class Kept:
    """A file that holds the latest :class:`Position` of one run; nothing for the path None.

    Raises :class:`InputError` on entering for a file that is there without ``resume``, and for places that cannot be written to.
    """

    def __init__(self, path: str | Path | None, *, resume: bool, every: float) -> None:
        if not every >= 0:
            raise InputError(f"cycle: checkpoint_every={every} given; a number of seconds, 0 or more, is needed.")
        if resume and path is None:
            raise InputError("cycle: resume goes on from a checkpoint; give checkpoint= too.")
        self.path = None if path is None else Path(path)
        self.resume, self.every = resume, every
        self._latest: Position | None = None
        self._bound = False
        self._recipe: dict[str, str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self.path is not None:
            check_writable(self.path)
            if self.path.exists() and not self.resume:
                raise InputError(f"{self.path} is there already; resume=True goes on from it, or remove it.")
            self._stack.enter_context(exclusive(self.path.with_name(f"{self.path.name}.lock"), "working with it"))
            remove_leftovers(self.path)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._stack:
            if self.path is None:
                return
            with suppress(*(() if error is None else (InputError,))):  # a full disk may be the error
                self._save()
            if error is not None and self._bound and self.path.exists():
                error.add_note(f"What was reached is in {self.path}; resume=True goes on from it.")

    def begin(self, recipe: Mapping[str, str], device: torch.device) -> Position | None:
        """Bind the file to a run; where an interrupted one stands, or None if there is none."""
        if self.path is None:
            return None
        self._recipe = dict(recipe)
        self._due = clock.monotonic() + self.every
        found = self._read(self.path, device) if self.path.exists() else None
        self._bound = True
        return found

    def note(self, at: Position) -> None:
        """Remember where the run stands, and write it if it is time."""
        if self.path is None:
            return
        self._latest = at
        if clock.monotonic() >= self._due:
            self._save()
            self._due = clock.monotonic() + self.every

    def _save(self) -> None:
        if self._latest is None or self.path is None:
            return
        at, self._latest = self._latest, None
        with atomic_file(self.path) as temporary:
            torch.save({"format": FORMAT, "version": VERSION, "recipe": self._recipe, "position": compact(at._asdict())}, temporary)

    def _read(self, path: Path, device: torch.device) -> Position:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            known: Mapping[str, Any] = content if isinstance(content, dict) and content.get("format") == FORMAT else {}
            there = known.get("recipe", {})
            at = Position(**known["position"])
        except (OSError, RuntimeError, EOFError, KeyError, ValueError, TypeError, AttributeError, pickle.UnpicklingError) as error:
            raise InputError(
                f"{path} is damaged, or no checkpoint of cycle ({type(error).__name__}); remove it to start anew, or give another name."
            ) from error
        if known.get("version") != VERSION:
            raise InputError(f"{path} was written by another version of this package (layout {known.get('version')}); remove it to start anew.")
        differ = [f"{name} was {there.get(name)}, is {now}" for name, now in self._recipe.items() if there.get(name) != now]
        if differ:
            raise InputError(f"{path} holds another run: {'; '.join(differ[:3])}. Ask for the same, or give another file.")
        return at._replace(state=moved(at.state, device), tally=moved(at.tally, device))


def moved(state: Any, device: torch.device) -> Any:
    """Tensors, and tuples, lists and dictionaries of tensors, on a device."""
    if isinstance(state, Tensor):
        return state.to(device)
    if isinstance(state, dict):
        return {key: moved(value, device) for key, value in state.items()}
    if isinstance(state, list):
        return [moved(value, device) for value in state]
    return tuple(moved(value, device) for value in state) if isinstance(state, tuple) else state


def compact(state: Any) -> Any:
    """Copies of their own, without derivatives, named tuples as tuples: what a file can hold, and no more of a view than is seen."""
    if isinstance(state, Tensor):
        return state.detach().clone()
    if isinstance(state, dict):
        return {key: compact(value) for key, value in state.items()}
    if isinstance(state, list):
        return [compact(value) for value in state]
    return tuple(compact(value) for value in state) if isinstance(state, tuple) else state
