"""How far a data set is, in samples, finer than chunks and over all processes."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from tqdm import tqdm

from sciml.generation.chunks import WorkFolder
from sciml.generation.work import Abandoned, Team

EVERY = 0.5
"""Seconds between looks at what the other processes have finished."""
BAR = "{l_bar}{bar}| {n:.0f}/{total} samples [{elapsed}<{remaining}]"


class Progress:
    """One bar, or one function, in the leading process; in the others only a look whether to go on.

    Parameters
    ----------
    work : where the chunks appear.
    todo : the chunks to be made, of all processes.
    show : as ``progress`` of :func:`sciml.generate`.
    """

    def __init__(self, work: WorkFolder, todo: Sequence[int], team: Team, show: bool | Callable[[float], None]) -> None:
        self.work, self.team, self.show = work, team, show if team.rank == 0 else False
        self._sizes = [len(work.recipe.samples_of(index)) for index in range(work.recipe.chunks)]
        self._before = sum(self._sizes) - sum(self._sizes[index] for index in todo)
        self._mine = 0.0
        mine = set(team.share(list(todo)))
        self._others = [index for index in todo if index not in mine]
        self._theirs, self._looked = 0.0, clock.monotonic()
        recipe = work.recipe
        self._bar = tqdm(
            total=recipe.samples, initial=self._before, desc=recipe.problem, bar_format=BAR, mininterval=0.2, disable=self.show is not True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()

    def reached(self, index: int, fraction: float) -> None:
        """This process has done ``fraction`` of a chunk. Raises :class:`Abandoned` if another process met an error."""
        self._report(self._mine + fraction * self._sizes[index])
        if self.team.size > 1 and self._look() and self.work.failed.exists():
            raise Abandoned("Another process of this run met an error.")

    def finished(self, index: int) -> None:
        """This process has written a chunk."""
        self._mine += self._sizes[index]
        self._report(self._mine)

    def waiting(self) -> None:
        """This process waits for the others."""
        self._look()
        self._report(self._mine)

    def complete(self, text: str) -> None:
        """Every chunk is there; say what follows."""
        self._theirs = self.work.recipe.samples - self._before - self._mine
        self._report(self._mine)
        self._bar.set_description(text)

    def _look(self) -> bool:
        """Count what the others have finished, at most every :data:`EVERY` seconds; whether it was looked."""
        if clock.monotonic() < self._looked + EVERY:
            return False
        self._looked = clock.monotonic()
        if self.show:
            there = [index for index in self._others if self.work.chunk(index).is_file()]
            self._theirs += sum(self._sizes[index] for index in there)
            self._others = [index for index in self._others if index not in set(there)]
        return True

    def _report(self, mine: float) -> None:
        done = self._before + self._theirs + mine
        self._bar.update(done - self._bar.n)
        if callable(self.show):
            self.show(done / self.work.recipe.samples)
