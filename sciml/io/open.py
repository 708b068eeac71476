"""``sciml.open_data``: trajectories from a file or a folder, whatever the format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sciml.core.errors import InputError
from sciml.io.netcdf_store import NetCDFStore
from sciml.io.store import Store, open_hdf5
from sciml.io.trajectories import Trajectories

STORES: tuple[type[Store], ...] = (NetCDFStore,)
SUFFIXES = (".nc", ".h5", ".hdf5")


def open_data(
    path: str | Path,
    *,
    times: Sequence[float] | np.ndarray | None = None,
    coords: Sequence[np.ndarray] | None = None,
    periodic: Sequence[bool] | bool | None = None,
) -> Trajectories:
    """Trajectories in files, read lazily: a PyTorch data set.

    Parameters
    ----------
    path : a NetCDF file made by this package, or a folder of files. The format is recognised by
        what a file holds.
    times, coords, periodic : what the file does not say (an error names the argument when it is needed), or says wrongly.

    Raises :class:`InputError` for files that are damaged, of an unknown format, or that do not belong together.

    >>> data = sciml.open_data("burgers.nc")                     # doctest: +SKIP
    >>> loader = DataLoader(data.windows(1, 1), batch_size=8)    # doctest: +SKIP
    """
    source = Path(path)
    files = _files(source) if source.is_dir() else [source]
    return Trajectories([_store(file) for file in files], times=times, coords=coords, periodic=periodic)


def _files(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES and not p.name.startswith("."))
    if not found:
        raise InputError(f"{folder}: the folder holds no file that ends in {', '.join(SUFFIXES)}.")
    return found


def _store(path: Path) -> Store:
    with open_hdf5(path) as file:
        keys = list(file)
        kind = next((store for store in STORES if store.recognises(file)), None)
    if kind is None:
        known = ", ".join(store.format for store in STORES)
        raise InputError(f"{path}: the format is not known ({known} are); the file holds {', '.join(keys[:8]) or 'nothing'}.")
    return kind(path)
