"""Sharing work among the processes of one run, as ``torchrun`` starts them; a single process is a team of one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from sciml.core.errors import InputError, SciMLError

T = TypeVar("T")
PATIENCE = timedelta(days=1)
"""How long a process waits for the others, who may still be solving. A process that ended is noticed at once."""

LOST = "Another process of this run has ended; what it had finished is kept."


class Abandoned(SciMLError):
    """This process stopped because another one met an error."""


class Team:
    """The processes that make one data set together.

    Attributes
    ----------
    rank : number of this process; 0 leads: it prepares the folder, puts the files together and prints.
    size : number of processes.
    local : number of this process on its machine, which chooses the accelerator.
    """

    def __init__(self, rank: int, size: int, local: int) -> None:
        self.rank, self.size, self.local = rank, size, local

    def share(self, items: list[int]) -> list[int]:
        """This process's part of a list of chunks."""
        return items[self.rank :: self.size]

    def together(self, work: Callable[[], T], meanwhile: Callable[[], None] = lambda: None) -> T:
        """Do ``work`` in every process, and wait for all; if it raised one of our errors in any of them, raise the first one's in all.

        ``meanwhile`` is called several times a second while waiting.
        """
        error: SciMLError | OSError | None = None
        result: list[T] = []
        try:
            result.append(work())
        except (SciMLError, OSError) as failure:
            if self.size == 1:
                raise
            error = failure
        self.wait(meanwhile)
        errors = [e for e in self.exchange(error) if e is not None]
        if errors:
            raise next((e for e in errors if not isinstance(e, Abandoned)), errors[0])
        return result[0]

    def exchange(self, value: T) -> list[T]:
        """The values of all processes, in the order of their ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        try:
            dist.all_gather_object(values, value)
        except RuntimeError as error:
            raise SciMLError(LOST) from error
        return values

    def wait(self, meanwhile: Callable[[], None]) -> None:
        """Wait until all processes are here; ``meanwhile`` is called several times a second."""
        if self.size > 1:
            try:
                arrived = dist.all_reduce(torch.zeros(1), async_op=True)
                while arrived is not None and not arrived.is_completed():
                    meanwhile()
                    time.sleep(0.2)
                if arrived is not None:
                    arrived.wait()
            except RuntimeError as error:
                raise SciMLError(LOST) from error


@contextmanager
def gathered() -> Iterator[Team]:
    """The team that the environment describes (``RANK``, ``WORLD_SIZE``); joined here unless the caller has joined it already."""
    joined = dist.is_available() and dist.is_initialized()
    if not joined and int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Team(0, 1, 0)
        return
    if not joined:
        try:
            dist.init_process_group("gloo", timeout=PATIENCE)
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"WORLD_SIZE={os.environ.get('WORLD_SIZE')} says that several processes work together, but they cannot meet "
                f"({str(error).splitlines()[0]}); start them with torchrun, or unset WORLD_SIZE."
            ) from error
    try:
        yield Team(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", "0")))
    finally:
        if not joined:
            with suppress(RuntimeError):
                dist.destroy_process_group()


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch computes with one thread until the block ends.

    Sums are split among threads, so their last bits, and through the automatic step whole trajectories, would hang on the number of
    threads. Processes are what a data set is shared among.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
