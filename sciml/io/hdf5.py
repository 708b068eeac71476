"""HDF5 files that are written piece by piece and appear when they are complete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from sciml.io.atomic import atomic_file


@contextmanager
def new_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """A new HDF5 file that takes the name ``path`` when the block ends well, and leaves nothing otherwise.

    The library writes through a Python file, because with its own driver it crashes on a disk that is full.
    """
    with atomic_file(path) as temporary, open(temporary, "wb+") as handle, h5py.File(handle, "w") as file:
        yield file
