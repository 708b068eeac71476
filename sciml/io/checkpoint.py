"""The unfinished run of a solver: what is done, readable, and all that is needed to go on with the same bits."""

from __future__ import annotations

import io
import pickle
import re
import time as clock
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import torch
import xarray as xr
from torch import Tensor

from sciml.core.errors import BlowUpError, InputError
from sciml.core.propagator import TwoStepState
from sciml.io.atomic import atomic_file
from sciml.io.dataset import to_tensor
from sciml.io.lock import LOCK, exclusive
from sciml.io.netcdf import load, save
from sciml.io.recipe import check_recipe, write_recipe

WORKING, RECIPE = "working.pt", "recipe.json"
EVERY = 30.0
"""Seconds of wall time between two checkpoints."""

_OURS = re.compile(rf"\d{{5,}}\.nc|{re.escape(WORKING)}|{re.escape(RECIPE)}|{re.escape(LOCK)}|\..*\.partial(\.\w+)?")
_REMEDY = "give --overwrite (overwrite=True) or remove the folder to start anew"


class Plan(NamedTuple):
    """What a checkpoint must know of a run: its recipe, its fields and output times, and how states at some of them are labelled."""

    recipe: Mapping[str, Any]
    fields: Sequence[str]
    times: Sequence[float]
    label: Callable[[Tensor, Sequence[float]], xr.Dataset]


class Reached(NamedTuple):
    """Where a run stands: states at output times so far, the time reached, and the solver's own working values."""

    states: list[Tensor]
    time: float
    working: Mapping[str, Any]


class Checkpoint:
    """A folder that keeps a run of :func:`sciml.solve` while it is unfinished::

        with sciml.Checkpoint("run.nc.partial", resume=True) as kept:
            sciml.save(sciml.solve(problem, checkpoint=kept), "run.nc")

    States at output times are written as they come, as NetCDF pieces ``00000.nc``, ``00001.nc``, ... along ``time``. The file
    ``working.pt`` holds what the solver carries from step to step and says how many pieces belong to it; it is written last and
    replaced in one move, so that a process killed at any moment leaves the checkpoint before. A resumed run gives the same bits as one
    that was never interrupted, on the same machine with the same number of threads. The method ``scipy`` keeps nothing and starts anew,
    with the same result.

    When the block ends well, or the solution blows up, the folder is removed. After any other error what was reached is written.

    Parameters
    ----------
    folder : where; made if it is missing.
    resume : go on with the run that the folder holds; one with other settings is refused. Without such a run start from the beginning.
    overwrite : give up the run that the folder holds.
    every : seconds of wall time between checkpoints; 0 writes one at every opportunity.

    Raises :class:`InputError` on entering if the folder holds an interrupted run and neither ``resume`` nor ``overwrite`` is given, if
    another process works in it, if it holds other files, or if it cannot be written to.
    """

    def __init__(self, folder: str | Path, *, resume: bool = False, overwrite: bool = False, every: float = EVERY) -> None:
        if not every >= 0:
            raise InputError(f"Checkpoint: every={every} given; a number of seconds, 0 or more, is needed.")
        if resume and overwrite:
            raise InputError("Checkpoint: resume and overwrite given; one goes on with the interrupted run, the other gives it up.")
        self.folder = Path(folder)
        self.every = every
        self.reached: float | None = None
        """The time up to which the folder holds the run."""
        self._resume, self._overwrite = resume, overwrite
        self._stack = ExitStack()
        self._open = False
        self._plan: Plan | None = None
        self._noted: tuple[Reached, int] | None = None
        self._pieces, self._states = 0, 0
        self.elapsed = 0.0
        """Seconds that earlier processes spent on the run."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(exclusive(self.folder, "solving into it"))
            foreign = sorted(path.name for path in self.folder.iterdir() if not _OURS.fullmatch(path.name))
            if foreign:
                raise InputError(f"{self.folder} holds {', '.join(foreign[:3])}, which no checkpoint wrote; move that or choose another place.")
            if (self.folder / WORKING).is_file() and not self._overwrite:
                self.reached = self._read()["time"]
                if not self._resume:
                    raise InputError(f"An interrupted run up to {self}; give --resume (resume=True) to go on, or {_REMEDY.removeprefix('give ')}.")
            else:
                self._clear()
            self._stack, self._open = stack.pop_all(), True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._stack:
            self._open = False
            if self._plan is not None and (error is None or isinstance(error, BlowUpError)):
                self._clear()
            elif error is not None and (self._plan is not None or not isinstance(error, InputError)):
                with suppress(InputError):  # a full disk may be the error
                    self._save()
                if self.reached is not None:
                    error.add_note(f"The run up to {self}; --resume (resume=True) goes on with it.")

    def __str__(self) -> str:
        return f"t = {0.0 if self.reached is None else self.reached:.6g} is in {self.folder}"

    def begin(self, plan: Plan, device: torch.device) -> Reached | None:
        """Bind the folder to a run; where an interrupted one stands, or None if there is none."""
        if not self._open or self._plan is not None:
            raise InputError("solve: a Checkpoint keeps one run, inside its own `with` block; open one for each run.")
        found = None
        if self.reached is None:
            write_recipe(self.folder / RECIPE, plan.recipe)
        else:
            check_recipe(self.folder / RECIPE, plan.recipe, _REMEDY)
            found = self._restore(plan, device)
        self._plan, self._started = plan, clock.monotonic()
        self._due = self._started + self.every
        return found

    def note(self, reached: Reached) -> None:
        """Remember where the run stands, and write it if it is time; called wherever the solver could go on from.

        The states of ``reached`` may grow afterwards; the working values must not be changed.
        """
        self._noted = reached, len(reached.states)
        if clock.monotonic() >= self._due:
            self._save()

    def _save(self) -> None:
        if self._noted is None or self._plan is None:
            return
        (reached, count), plan, pieces, now = self._noted, self._plan, self._pieces, clock.monotonic()
        if count > self._states:
            piece = plan.label(torch.stack(reached.states[self._states : count]), plan.times[self._states : count])
            save(piece, self._piece(pieces))
            pieces += 1
        content = {"pieces": pieces, "states": count, "time": reached.time, "elapsed": self.elapsed + now - self._started}
        buffer = io.BytesIO()
        torch.save({**content, "working": dict(reached.working)}, buffer)
        with atomic_file(self.folder / WORKING) as path:
            path.write_bytes(buffer.getbuffer())
        self._pieces, self._states, self.reached, self._noted = pieces, count, reached.time, None
        self._due = clock.monotonic() + self.every

    def _read(self, device: torch.device | str = "cpu") -> dict[str, Any]:
        try:
            with torch.serialization.safe_globals([TwoStepState]):
                content: dict[str, Any] = torch.load(self.folder / WORKING, map_location=device, weights_only=True)
            assert {"pieces", "states", "time", "elapsed", "working"} <= set(content)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, AssertionError, KeyError, ValueError, TypeError) as error:
            raise InputError(f"{self.folder / WORKING} is damaged ({type(error).__name__}); {_REMEDY}.") from error
        return content

    def _restore(self, plan: Plan, device: torch.device) -> Reached:
        content, states = self._read(device), []
        pieces = [self._piece(number) for number in range(content["pieces"])]
        for piece in pieces:
            try:
                values = to_tensor(load(piece)[list(plan.fields)])
            except (InputError, KeyError) as error:
                raise InputError(f"{piece} is damaged or missing; {_REMEDY}.") from error
            states += [state.clone() for state in values.to(device)]  # each in memory of its own, as they were
        if len(states) != content["states"]:
            raise InputError(f"{self.folder} holds {len(states)} states where {content['states']} are expected; {_REMEDY}.")
        self._pieces, self._states, self.elapsed = len(pieces), len(states), content["elapsed"]
        self._remove(keep={path.name for path in pieces} | {WORKING, RECIPE})  # what a killed process was about to add
        return Reached(states, content["time"], content["working"])

    def _piece(self, number: int) -> Path:
        return self.folder / f"{number:05d}.nc"

    def _clear(self) -> None:
        (self.folder / WORKING).unlink(missing_ok=True)  # first: without it nothing counts as an interrupted run
        self._remove(keep=set())

    def _remove(self, keep: set[str]) -> None:
        for path in self.folder.iterdir():
            if _OURS.fullmatch(path.name) and path.name not in keep | {LOCK}:
                path.unlink()
