"""One process at a time in a folder that holds unfinished work."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sciml.core.errors import InputError

LOCK = ".lock"
"""The lock file inside the folder; it holds the number of the process."""

_NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}


@contextmanager
def exclusive(folder: Path, doing: str) -> Iterator[None]:
    """Hold ``folder`` (made if it is missing) for this process alone until the block ends.

    The kernel holds the lock (``flock``), so a killed process leaves none behind; where the file system knows no locks, none is taken. At
    the end the lock file goes, and the folder too if it holds nothing else; a block that renames the folder removes :data:`LOCK` from the
    new place itself.

    Raises :class:`InputError` at once if another process holds the folder (``doing`` completes "another process is ..."), or if it
    cannot be written to.
    """
    path = folder / LOCK
    try:
        lock = _held(path, doing)
    except OSError as error:
        raise InputError(f"Cannot write {folder}: {error.strerror or error}. Choose a place that is writable and has space.") from error
    try:
        yield
    finally:
        if _is_at(lock, path):  # while the lock is held, so that nobody else's file is removed
            path.unlink()
            with suppress(OSError):  # not empty: there is work to keep
                folder.rmdir()
        os.close(lock)


def _held(path: Path, doing: str) -> int:
    """The lock file, open and locked."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:  # the process before us has just removed the folder
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = os.read(lock, 100).decode() or "number unknown"
            os.close(lock)
            raise InputError(f"{path.parent}: another process ({who}) is {doing}; wait for it or choose another --out.") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(lock)
                raise
        if _is_at(lock, path):  # not a file that its last owner removed between our opening and locking it
            os.truncate(lock, 0)
            os.write(lock, f"pid {os.getpid()}".encode())
            return lock
        os.close(lock)


def _is_at(lock: int, path: Path) -> bool:
    """Whether ``path`` still names the open file."""
    try:
        return os.path.samestat(os.fstat(lock), path.stat())
    except FileNotFoundError:
        return False
