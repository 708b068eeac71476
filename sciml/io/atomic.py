"""Files and folders that appear under their final name only when they are complete."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sciml.core.errors import InputError
from sciml.io.lock import LOCK, exclusive

MARKER = ".sciml-report"
WORK = ".work"
"""Folder for what only an unfinished report needs."""


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; on success it is synced to disk and renamed to ``path``.

    On any failure, interruption included, the temporary file is removed and ``path`` is what it was before. Raises
    :class:`InputError` if the folder is missing, the place is not writable or the disk is full.
    """
    target = Path(path)
    temporary = _open_beside(target)
    try:
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise _refused(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Raise :class:`InputError` now if a file could not be written to ``path`` later; leaves nothing behind."""
    _open_beside(Path(path)).unlink(missing_ok=True)


def remove_leftovers(path: str | Path) -> None:
    """Remove what killed processes left of :func:`atomic_file` beside ``path``; only for the one process that may write ``path`` now."""
    target = Path(path)
    ours = re.compile(rf"\.{re.escape(target.stem)}\.\d+\.partial{re.escape(target.suffix)}")
    for leftover in target.absolute().parent.iterdir():
        if ours.fullmatch(leftover.name):
            leftover.unlink(missing_ok=True)


def _open_beside(target: Path) -> Path:
    """An empty file beside ``target`` under a temporary name."""
    if target.is_dir():
        raise InputError(f"Cannot write {target}: it is a folder; give a file name.")
    if not target.absolute().parent.is_dir():
        raise InputError(f"Cannot write {target}: the folder {target.absolute().parent} does not exist; create it first.")
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.partial{target.suffix}")
    try:
        temporary.write_bytes(b"")
    except OSError as error:
        raise _refused(target, error) from error
    return temporary


def _refused(target: Path, error: OSError) -> InputError:
    return InputError(f"Cannot write {target}: {error.strerror or error}. Choose a place that is writable and has space.")


@contextmanager
def atomic_folder(path: str | Path, *, resume: bool = False, overwrite: bool = False) -> Iterator[Path]:
    """A folder ``NAME.partial`` beside ``path`` to fill; on success it takes the place of ``path``.

    An earlier folder of this kind under ``path`` is replaced; anything else there is refused. After a failure or an
    interruption ``path`` is what it was before, and the partial folder stays if files were finished in it (each of
    them is complete, see :func:`atomic_file`), so that no result is lost. What an earlier process left there is kept with ``resume``,
    removed with ``overwrite``, and refused with neither. Files whose names start with a dot are for the work alone: they do not count as
    finished, and those in the folder :data:`WORK` are removed in the end. One process at a time holds the partial folder.

    Raises :class:`InputError` if the folder cannot be had.
    """
    target = Path(path).absolute()
    if resume and overwrite:
        raise InputError("resume and overwrite given; one goes on with what an interrupted run has finished, the other gives it up.")
    if target.exists() and not (target / MARKER).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"Cannot write the report to {path}: something else is there; give a new folder, or one that an earlier report filled.")
    partial = target.with_name(f"{target.name}.partial")
    if partial.exists() and not any((partial / name).is_file() for name in (MARKER, LOCK)):
        raise InputError(f"Cannot write the report to {path}: {partial} is in the way; move it.")
    shown = Path(path).with_name(partial.name)
    with exclusive(partial, "writing a report there"):
        finished = _finished(partial)
        if finished and not (resume or overwrite):
            raise InputError(
                f"An interrupted report with {', '.join(finished)} is in {shown}; give --resume (resume=True) to go on with it, or --overwrite "
                "(overwrite=True) to start anew."
            )
        try:
            if not resume:
                _empty(partial)
            (partial / MARKER).write_text("made by sciml compare; this folder is replaced by the next report of the same name\n")
        except OSError as error:
            raise _refused(target, error) from error
        try:
            yield partial
            old = target.with_name(f".{target.name}.{os.getpid()}.old")
            if target.exists():
                os.replace(target, old)
            os.replace(partial, target)
            (target / LOCK).unlink(missing_ok=True)
            shutil.rmtree(target / WORK, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            refused = _refused(target, error)
            _note(refused, partial, shown)
            raise refused from error
        except BaseException as error:
            _note(error, partial, shown)
            raise
        finally:
            if partial.is_dir() and not _finished(partial):
                _empty(partial)


def _finished(folder: Path) -> list[str]:
    """The names of files that are results, without those that serve the work."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def _note(error: BaseException, folder: Path, shown: Path) -> None:
    """Add to an error what is finished, if anything is."""
    if folder.is_dir() and (finished := _finished(folder)):
        error.add_note(f"{', '.join(finished)} {'is' if len(finished) == 1 else 'are'} in {shown}; --resume (resume=True) goes on from there.")


def _empty(folder: Path) -> None:
    """Remove all but the lock of the process that holds the folder."""
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != LOCK:
            entry.unlink()
