"""The numeric arrays of a scientific file, whatever its format; the format is told by its content, not by its name."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.io
import scipy.sparse

from sciml.core.errors import InputError
from sciml.io.hdf5_arrays import read_hdf5
from sciml.io.matlab5 import check_elements
from sciml.io.named import Named, decoded

SUFFIXES = (".mat", ".npz", ".npy", ".nc", ".h5", ".hdf5")


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes
    ----------
    arrays : the numeric ones, by name; inside groups and structures by path, ``group/u``.
    ignored : what was left out, by name, and why.
    notes : what a reader of the numbers should know.
    bare : whether it is one array without a name (``.npy``).
    """

    arrays: dict[str, Named]
    ignored: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    bare: bool = False


def read_arrays(path: Path) -> Contents:
    """Every numeric array of a ``.mat``, ``.npz``, ``.npy``, ``.nc`` or ``.h5`` file.

    Raises :class:`InputError` for a file that is absent, damaged or of another kind.
    """
    if not path.is_file():
        raise InputError(f"Reference {path}: there is {'a folder' if path.is_dir() else 'no such file'}; give the path of a file.")
    suffix = path.suffix.lower()
    shown = suffix or "a file without a suffix"
    try:
        kind, begin = _kind(path, suffix)
    except OSError as error:
        raise InputError(f"Reference {path}: the file cannot be read ({error.strerror}).") from error
    if kind is None and suffix not in SUFFIXES:
        raise InputError(f"Reference {path}: files of type {suffix or '(none)'} are not known; give one of {', '.join(SUFFIXES)}.")
    if kind is None:
        what = f"its first bytes, {begin!r}, are those of no known format, or it is cut off" if begin else "it is empty"
        raise InputError(f"Reference {path}: the file cannot be read as {shown}: {what}; write it again.")
    reader, named = _READERS[kind]
    notes = () if suffix in named else (f"it is named {shown} but its content is {kind}; it was read as such.",)
    ignored: dict[str, str] = {}
    try:
        arrays = reader(path, ignored)
    except Exception as error:  # a damaged file can make its parser raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"Reference {path}: the file cannot be read as {shown} ({kind}): it is damaged or incomplete ({reason}).") from error
    return Contents(arrays, ignored, notes, kind == "a NumPy array")


def _kind(path: Path, suffix: str) -> tuple[str | None, bytes]:
    """The format by the bytes that mark it, and the first of them."""
    with open(path, "rb") as handle:
        head = handle.read(128)
        size = handle.seek(0, 2)
        place = 0  # HDF5 may start behind a block of somebody else's, whose length is a power of two from 512
        while place + 8 <= size:
            handle.seek(place)
            if handle.read(8) == b"\x89HDF\r\n\x1a\n":
                return "MATLAB 7.3" if head[124:128] in (b"\x00\x02IM", b"\x02\x00MI") or head.startswith(b"MATLAB 7.3") else "HDF5", head[:8]
            place = max(512, 2 * place)
    if head.startswith(b"\x93NUMPY"):
        return "a NumPy array", head[:8]
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "a NumPy archive", head[:8]
    if head.startswith((b"CDF\x01", b"CDF\x02", b"CDF\x05")):
        return "classic NetCDF", head[:8]
    if head[124:128] in (b"\x00\x01IM", b"\x01\x00MI"):
        return "MATLAB 5", head[:8]
    # version 4 has no mark, but its first integer, in either byte order, is a small code for a type
    code = min(int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big"))
    return ("MATLAB 4" if suffix == ".mat" and len(head) >= 20 and code < 5000 else None), head[:8]


def _read_mat(path: Path, ignored: dict[str, str]) -> dict[str, Named]:
    arrays: dict[str, Named] = {}

    def collect(name: str, value: object) -> None:
        if isinstance(value, scipy.sparse.spmatrix | scipy.sparse.sparray):
            value = value.toarray()
        if not isinstance(value, np.ndarray):
            return
        if value.dtype.names and value.size == 1:
            for key in value.dtype.names:
                collect(f"{name}/{key}", value[key].item())
        elif value.dtype.kind in "fiuc":
            arrays[name] = Named(value)
        elif value.dtype.kind in "OV":
            ignored[name] = "a cell array or a structure with several entries"

    for name, value in scipy.io.loadmat(path).items():
        if not name.startswith("__"):
            collect(name, value)
    return arrays


def _read_mat5(path: Path, ignored: dict[str, str]) -> dict[str, Named]:
    check_elements(path)
    return _read_mat(path, ignored)


def _read_npz(path: Path, ignored: dict[str, str]) -> dict[str, Named]:
    arrays: dict[str, Named] = {}
    with np.load(path, allow_pickle=False) as archive:
        for name in archive.files:
            try:
                value = archive[name]
            except ValueError as error:
                if "allow_pickle" not in str(error):
                    raise
                ignored[name] = "pickled Python objects, which are not loaded"
                continue
            if isinstance(value, np.ndarray) and value.dtype.kind in "fiuc":
                arrays[name] = Named(value)
        if not archive.files:
            raise zipfile.BadZipFile("the archive has no members")
    return arrays


def _read_npy(path: Path, ignored: dict[str, str]) -> dict[str, Named]:
    value = np.load(path, allow_pickle=False)
    return {path.stem: Named(value)} if value.dtype.kind in "fiuc" else {}


def _read_netcdf(path: Path, ignored: dict[str, str]) -> dict[str, Named]:
    with scipy.io.netcdf_file(path, "r", mmap=False) as file:
        arrays: dict[str, Named] = {}
        for name, variable in file.variables.items():
            raw = np.asarray(variable.data)
            if raw.dtype.kind in "fiu":
                arrays[str(name)] = decoded(raw.astype(raw.dtype.newbyteorder("=")), tuple(variable.dimensions), variable._attributes)
        return arrays


def _read_hdf5(path: Path, ignored: dict[str, str]) -> dict[str, Named]:
    return read_hdf5(path)


_READERS: dict[str, tuple[Callable[[Path, dict[str, str]], dict[str, Named]], tuple[str, ...]]] = {
    "MATLAB 4": (_read_mat, (".mat",)),
    "MATLAB 5": (_read_mat5, (".mat",)),
    "MATLAB 7.3": (_read_hdf5, (".mat",)),
    "a NumPy archive": (_read_npz, (".npz",)),
    "a NumPy array": (_read_npy, (".npy",)),
    "classic NetCDF": (_read_netcdf, (".nc",)),
    "HDF5": (_read_hdf5, (".nc", ".h5", ".hdf5")),
}
