"""HDF5 files: written so that they appear when they are complete, read so that damage is one clear error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sciml.core.errors import InputError
from sciml.io.atomic import atomic_file
from sciml.io.netcdf import python_value


@contextmanager
def new_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """A new HDF5 file that takes the name ``path`` when the block ends well, and leaves nothing otherwise.

    The library writes through a Python file, because with its own driver it crashes on a disk that is full.
    """
    with atomic_file(path) as temporary, open(temporary, "wb+") as handle, h5py.File(handle, "w") as file:
        yield file


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Errors of the HDF5 library inside the block as one :class:`InputError`."""
    try:
        yield
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"Cannot read {path}: the file is damaged ({reason}). Copy or download it again.") from error


def float_type(items: Sequence[h5py.Dataset]) -> np.dtype:
    """The type in which arrays are handed out: float32, or float64 if one of them needs it."""
    small = all(item.dtype.kind == "f" and item.dtype.itemsize <= 4 for item in items)
    return np.dtype(np.float32 if small else np.float64)


def attributes(item: h5py.Group) -> dict[str, Any]:
    """The attributes of a file or a group as Python values; arrays stay arrays."""
    return {name: _plain(value) for name, value in item.attrs.items() if not isinstance(value, h5py.Empty)}


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else python_value(value)
