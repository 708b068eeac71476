"""The numeric arrays of a scientific file, whatever its format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import scipy.io
import xarray as xr

from sciml.core.errors import InputError


class Named(NamedTuple):
    """An array and, where the file tells, the names of its axes."""

    values: np.ndarray
    dims: tuple[str, ...] = ()


def read_arrays(path: Path) -> dict[str, Named]:
    """Every real numeric array of a ``.mat``, ``.npz``, ``.nc`` or ``.h5`` file, by name."""
    readers: dict[str, Callable[[Path], dict[str, Named]]] = {
        ".mat": _read_mat,
        ".npz": _read_npz,
        ".nc": _read_netcdf,
        ".h5": _read_hdf5,
        ".hdf5": _read_hdf5,
    }
    if not path.is_file():
        raise InputError(f"Reference {path}: there is no such file.")
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"Reference {path}: files of type {path.suffix or '(none)'} are not known; give one of {', '.join(readers)}.")
    try:
        arrays = reader(path)
    except Exception as error:  # a damaged file can make its parser raise anything
        raise InputError(f"Reference {path}: the file cannot be read as {path.suffix} ({type(error).__name__}: {error}).") from error
    return {name: named for name, named in arrays.items() if named.values.dtype.kind in "fiu"}


def _read_mat(path: Path) -> dict[str, Named]:
    with open(path, "rb") as handle:
        header = handle.read(128)
    if header.startswith(b"MATLAB 7.3"):
        # MATLAB stores columns first, HDF5 rows first: its axes come in reverse
        return {name: Named(named.values.T) for name, named in _read_hdf5(path).items() if not name.startswith("#")}
    contents = scipy.io.loadmat(path)
    return {name: Named(value) for name, value in contents.items() if isinstance(value, np.ndarray) and not name.startswith("__")}


def _read_npz(path: Path) -> dict[str, Named]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: Named(archive[name]) for name in archive.files}


def _read_netcdf(path: Path) -> dict[str, Named]:
    with open(path, "rb") as handle:
        engine = "scipy" if handle.read(3) == b"CDF" else "h5netcdf"
    with xr.open_dataset(path, engine=engine, decode_times=False) as ds:
        return {str(name): Named(variable.values, tuple(map(str, variable.dims))) for name, variable in ds.variables.items()}


def _read_hdf5(path: Path) -> dict[str, Named]:
    arrays: dict[str, Named] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu":
            arrays[name] = Named(np.asarray(item))

    with h5py.File(path, "r") as handle:
        handle.visititems(visit)
    return arrays
