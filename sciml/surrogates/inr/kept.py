"""The unfinished run of :func:`sciml.evolve`, in a file from which it goes on with the same bits."""

from __future__ import annotations

import pickle
import time as clock
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.io.atomic import atomic_file, check_writable, remove_leftovers
from sciml.io.described import described
from sciml.io.lock import exclusive
from sciml.io.recipe import code_version, content_of
from sciml.surrogates.inr.stepper import INRState, INRStepper
from sciml.surrogates.pinn.identity import identity_of

EVERY = 30.0
"""Seconds of wall time between two checkpoints."""
FORMAT, VERSION = "sciml evolution", 1
SOURCES = ("core", "derivatives", "optim", "solvers", "spectral", "surrogates/inr", "surrogates/pinn", "training")
"""Folders of this package on whose code the bits of a run depend."""


@dataclass(frozen=True)
class Row:
    """One step, or one attempt at one.

    Attributes
    ----------
    time : at its end.
    dt : its length.
    misfit, temporal, iterations : as in :class:`INRState`.
    seconds : that it took.
    taken : False if it exceeded the tolerance, and was taken again as two halves.
    constraint : as in :class:`INRState`.
    """

    time: float
    dt: float
    misfit: float
    temporal: float
    iterations: int
    seconds: float
    taken: bool = True
    constraint: float = 0.0


class Position(NamedTuple):
    """Everything that the next step depends on, and what is there already.

    Attributes
    ----------
    states : weights at output times so far.
    weights : now.
    within : steps since the last output time.
    level : halvings in use.
    rows : of all steps so far.
    """

    states: list[Tensor]
    weights: Tensor
    within: int
    level: int
    rows: list[Row]


class Kept:
    """A file that holds the latest :class:`Position` of one run; nothing for the path None.

    Raises :class:`InputError` on entering for a file that is there without ``resume``, and for places that cannot be written to.
    """

    def __init__(self, path: str | Path | None, *, resume: bool, every: float) -> None:
        if not every >= 0:
            raise InputError(f"evolve: checkpoint_every={every} given; a number of seconds, 0 or more, is needed.")
        if resume and path is None:
            raise InputError("evolve: resume goes on from a checkpoint; give checkpoint= too.")
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

    def begin(self, step: INRStepper, times: Sequence[float], first: INRState, tolerance: float | None) -> Position | None:
        """Bind the file to a run; where an interrupted one stands, or None if there is none."""
        if self.path is None:
            return None
        self._recipe = {
            "problem": described(identity_of(step.problem)),
            "dt": repr(step.dt),
            "times": repr(list(times)),
            "tolerance": repr(tolerance),
            "integrator": step.named_integrator or described(step.integrator),
            "solver": described(step.solver),
            "points": described(step.points),
            **{name: repr(value) for name, value in step.options.items()},
            "start": f"{tuple(first.weights.shape)} {first.weights.dtype} {content_of(first.weights)}",
            "threads": str(torch.get_num_threads()),  # sums in another order round differently
            "code": code_version(step.problem, SOURCES, (step.integrator, step.solver, step.points)),
        }
        self._due = clock.monotonic() + self.every
        found = self._read(self.path) if self.path.exists() else None
        self._bound = True
        return found

    def note(self, at: Position) -> None:
        """Remember where the run stands, and write it if it is time."""
        self._latest = at
        if self.path is not None and clock.monotonic() >= self._due:
            self._save()
            self._due = clock.monotonic() + self.every

    def _save(self) -> None:
        if self._latest is None or self.path is None:
            return
        at, self._latest = self._latest, None
        content = {**at._asdict(), "rows": [asdict(row) for row in at.rows]}
        with atomic_file(self.path) as temporary:
            torch.save({"format": FORMAT, "version": VERSION, "recipe": self._recipe, "position": content}, temporary)

    def _read(self, path: Path) -> Position:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            known: Mapping[str, Any] = content if isinstance(content, dict) and content.get("format") == FORMAT else {}
            there = known.get("recipe", {})
            position = dict(known["position"])
            found = Position(**{**position, "rows": [Row(**row) for row in position["rows"]]})
        except (OSError, RuntimeError, EOFError, KeyError, ValueError, TypeError, AttributeError, pickle.UnpicklingError) as error:
            raise InputError(
                f"{path} is damaged, or no checkpoint of evolve ({type(error).__name__}); remove it to start anew, or give another name."
            ) from error
        if known.get("version") != VERSION:
            raise InputError(f"{path} was written by another version of this package (layout {known.get('version')}); remove it to start anew.")
        differ = [f"{name} was {there.get(name)}, is {now}" for name, now in self._recipe.items() if there.get(name) != now]
        if differ:
            raise InputError(f"{path} holds another run: {'; '.join(differ[:3])}. Ask for the same, or give another file.")
        return found
