"""Ctrl-C and SIGTERM as an answer that says what was kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Stopped(Exception):
    """The user stopped a command; the message says what was kept and how to go on."""


@contextmanager
def stoppable(nothing: str) -> Iterator[None]:
    """Turn an interruption of the block into :class:`Stopped` with the notes it carries, or with ``nothing`` if it carries none."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        raise Stopped(" ".join(getattr(interruption, "__notes__", [])) or nothing) from None
