"""The numeric arrays of HDF5 files: plain ones, NetCDF-4, and MATLAB 7.3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sciml.io.named import Named, decoded

_MATLAB_NUMBERS = {b"double", b"single", b"int8", b"int16", b"int32", b"int64", b"uint8", b"uint16", b"uint32", b"uint64"}


def read_hdf5(path: Path) -> dict[str, Named]:
    """Every numeric array, by its path inside the file without the leading slash.

    MATLAB stores columns first and HDF5 rows first, so arrays written by MATLAB 7.3 come with their axes in reverse,
    as MATLAB shows them.
    """
    with h5py.File(path, "r") as file:
        matlab = file.userblock_size > 0 or any("MATLAB_class" in item.attrs for _, item in _datasets(file))
        return dict(_matlab(file) if matlab else _labelled(file))


def _datasets(file: h5py.File) -> list[tuple[str, h5py.Dataset]]:
    found: list[tuple[str, h5py.Dataset]] = []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("#"):
            found.append((name, item))

    file.visititems(visit)
    return found


def _matlab(file: h5py.File) -> Iterator[tuple[str, Named]]:
    for name, item in _datasets(file):
        kind = item.attrs.get("MATLAB_class", b"double")
        if kind not in _MATLAB_NUMBERS or "MATLAB_empty" in item.attrs:  # text is stored as numbers, an empty array as its shape
            continue
        values = np.asarray(item[()])
        if values.dtype.names == ("real", "imag"):
            single = values.dtype["real"].itemsize == 4
            values = (values["real"] + 1j * values["imag"]).astype(np.complex64 if single else np.complex128)
        if values.dtype.kind in "fiuc":
            yield name, Named(values.T)


def _labelled(file: h5py.File) -> Iterator[tuple[str, Named]]:
    for name, item in _datasets(file):
        placeholder = bytes(np.bytes_(item.attrs.get("NAME", b""))).startswith(b"This is a netCDF dimension but not")
        if item.dtype.kind in "fiuc" and item.shape is not None and not placeholder:
            attrs: dict[str, Any] = dict(item.attrs)
            unwritten = float(item.fillvalue) if item.dtype.kind == "f" else None
            yield name, decoded(np.asarray(item[()]), _dims(item), attrs, unwritten)


def _dims(item: h5py.Dataset) -> tuple[str, ...]:
    """The names of the axes: of the scales attached to them, else their labels; empty if any is unknown."""
    if item.is_scale and item.ndim == 1:
        return (str(item.name).strip("/"),)
    names = tuple(str(dim[0].name).strip("/") if len(dim) else str(dim.label) for dim in item.dims)
    return names if all(names) else ()
