"""Ctrl-C and requests to end, taken between two steps, so that what is kept is never half updated."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Asked:
    """Whether somebody asked to end."""

    def __init__(self) -> None:
        self.to_end = False

    def take(self, number: int, frame: FrameType | None) -> None:
        """A first signal is noted, a second one ends at once."""
        if self.to_end:
            raise KeyboardInterrupt
        self.to_end = True


@contextmanager
def deferred() -> Iterator[Asked]:
    """Inside the block SIGINT and SIGTERM are noted instead of raised; in threads other than the main one nothing changes."""
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, asked.take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
