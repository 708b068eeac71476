"""Datasets as NetCDF-4 files, written through h5netcdf and read back unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from h5netcdf import CompatibilityError

from sciml.core.errors import InputError
from sciml.io.atomic import atomic_file


def save(ds: xr.Dataset, path: str | Path) -> Path:
    """Write ``ds`` to ``path`` as NetCDF-4; the file appears when it is complete, or not at all.

    The file is built in memory and written from there, because the HDF5 library crashes on a disk that is full.

    Raises :class:`InputError` if the place cannot be written to, or the dataset holds what NetCDF cannot.
    """
    target = Path(path)
    # without this xarray marks every float variable with a fill value, and what is read back differs
    encoding = {name: {"_FillValue": None} for name in ds.variables}
    with atomic_file(target) as temporary:
        try:
            content = ds.to_netcdf(engine="h5netcdf", encoding=encoding)
        except (TypeError, ValueError, AttributeError, CompatibilityError) as error:
            raise InputError(f"Cannot write {target}: NetCDF cannot hold this dataset ({error}). Use numbers and text only.") from error
        temporary.write_bytes(content)
    return target


def load(path: str | Path) -> xr.Dataset:
    """Read a dataset written by :func:`save` into memory, values and attributes unchanged (``ds.identical``)."""
    source = Path(path)
    if not source.is_file():
        raise InputError(f"Cannot read {source}: there is no such file.")
    try:
        with xr.open_dataset(source, engine="h5netcdf", decode_cf=False) as ds:
            loaded = ds.load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"Cannot read {source}: it is not a readable NetCDF-4 file ({error}).") from error
    # what `save` leaves to xarray's decoding: coordinates that belong to variables, and NumPy scalars in attributes
    names = [name for name in loaded.data_vars if loaded[name].dims == (name,)]
    loaded = loaded.set_coords(names)
    labelled: list[xr.Dataset | xr.Variable] = [loaded, *loaded.variables.values()]
    for item in labelled:
        item.attrs = {key: python_value(value) for key, value in item.attrs.items()}
    loaded.encoding.clear()
    return loaded


def python_value(value: Any) -> Any:
    """A NumPy scalar as the Python number it is; anything else unchanged."""
    if isinstance(value, np.generic):
        return value.item()
    return value
