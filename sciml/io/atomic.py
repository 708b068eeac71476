"""Files and folders that appear under their final name only when they are complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sciml.core.errors import InputError

MARKER = ".sciml-report"


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
    _open_beside(Path(path)).unlink()


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
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A folder ``NAME.partial`` beside ``path`` to fill; on success it takes the place of ``path``.

    An earlier folder of this kind under ``path`` is replaced; anything else there is refused. After a failure or an
    interruption ``path`` is what it was before, and the partial folder stays if files were finished in it (each of
    them is complete, see :func:`atomic_file`), so that no result is lost.
    """
    target = Path(path).absolute()
    if target.exists() and not (target / MARKER).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"Cannot write the report to {path}: something else is there; give a new folder, or one that an earlier report filled.")
    partial = target.with_name(f"{target.name}.partial")
    if partial.exists() and not (partial / MARKER).is_file():
        raise InputError(f"Cannot write the report to {path}: {partial} is in the way; move it.")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        (partial / MARKER).write_text("made by sciml compare; this folder is replaced by the next report of the same name\n")
    except OSError as error:
        raise _refused(target, error) from error
    try:
        yield partial
        old = target.with_name(f".{target.name}.{os.getpid()}.old")
        if target.exists():
            os.replace(target, old)
        os.replace(partial, target)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise _refused(target, error) from error
    finally:
        if partial.is_dir() and [entry.name for entry in partial.iterdir()] == [MARKER]:
            shutil.rmtree(partial)
