"""``sciml.open_data``: trajectories from a file or a folder, whatever the format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sciml.core.errors import InputError
from sciml.io.hdf5 import damage
from sciml.io.netcdf_store import NetCDFStore
from sciml.io.pdebench_groups import PDEBenchGroups
from sciml.io.pdebench_incompressible import PDEBenchIncompressible
from sciml.io.pdebench_single import PDEBenchSingle
from sciml.io.store import Store, open_hdf5
from sciml.io.trajectories import Trajectories
from sciml.io.well import WellStore
from sciml.io.well_write import SPLITS

STORES: tuple[type[Store], ...] = (NetCDFStore, WellStore, PDEBenchSingle, PDEBenchIncompressible, PDEBenchGroups)
SUFFIXES = (".nc", ".h5", ".hdf5")
RECIPE = "recipe.json"
"""What :func:`sciml.generate` leaves beside its files."""


def open_data(
    path: str | Path,
    *,
    split: str | None = None,
    times: Sequence[float] | np.ndarray | None = None,
    coords: Sequence[np.ndarray] | None = None,
    periodic: Sequence[bool] | bool | None = None,
) -> Trajectories:
    """Trajectories in files, read lazily: a PyTorch data set.

    Parameters
    ----------
    path : a NetCDF file made by this package, a file of PDEBench or of the Well made by anyone, or a folder of files. The format is recognised
        by what a file holds.
    split : of a folder that is laid out as the Well's are, the part to read: ``"train"``, ``"valid"`` or ``"test"``, what is in ``data/train``
        and so on. Without it all parts are read, in this order.
    times, coords, periodic : what the file does not say (an error names the argument when it is needed), or says wrongly.

    Raises :class:`InputError` for files that are damaged, of an unknown format, or that do not belong together, and for a folder of
    :func:`sciml.generate` in which files are missing.

    >>> data = sciml.open_data("burgers.nc")                     # doctest: +SKIP
    >>> loader = DataLoader(data.windows(1, 1), batch_size=8)    # doctest: +SKIP
    """
    source = Path(path)
    _check_complete(source)
    if split is not None:
        source = _part(source, split)
    files = _files(source) if source.is_dir() else [source]
    return Trajectories([_store(file) for file in files], times=times, coords=coords, periodic=periodic)


def _check_complete(folder: Path) -> None:
    """Raise if files of a folder that :func:`sciml.generate` wrote are not there; its recipe, beside them, lists them."""
    try:
        listed = json.loads((folder / RECIPE).read_text(encoding="utf-8"))["files"]
        missing = [name for name in listed if Path(name).suffix in SUFFIXES and not (folder / name).is_file()]
    except (OSError, ValueError, KeyError, TypeError):
        return  # a folder made by others
    if missing:
        raise InputError(
            f"{folder}: {', '.join(missing[:5])} {'are' if len(missing) > 1 else 'is'} missing, of {len(listed)} files that were generated there; "
            "restore what is missing, generate the data again, or open single files."
        )


def _files(folder: Path) -> list[Path]:
    """The files of a folder, or of its parts if it is laid out as the Well's are."""
    found = _files_in(folder) or [file for part in _parts(folder).values() for file in _files_in(part)]
    if not found:
        raise InputError(
            f"{folder}: the folder holds no file that ends in {', '.join(SUFFIXES)}, nor are there any in data/train, data/valid, data/test."
        )
    return found


def _files_in(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES and not p.name.startswith(".") and p.is_file())


def _parts(folder: Path) -> dict[str, Path]:
    """The folders of training, validation and test data, as far as they are there."""
    root = folder / "data" if (folder / "data").is_dir() else folder
    return {name: root / name for name in SPLITS if (root / name).is_dir()}


def _part(folder: Path, split: str) -> Path:
    parts = _parts(folder)
    if split not in parts:
        there = f"there are {', '.join(parts)}" if parts else "it is not laid out in data/train, data/valid, data/test"
        raise InputError(f"{folder}: split={split!r} asked for, but {there}.")
    return parts[split]


def _store(path: Path) -> Store:
    with open_hdf5(path) as file, damage(path):
        keys = list(file)
        kind = next((store for store in STORES if store.recognises(file)), None)
    if kind is None:
        known = ", ".join(store.format for store in STORES)
        raise InputError(f"{path}: the format is not known ({known} are); the file holds {', '.join(keys[:8]) or 'nothing'}.")
    return kind(path)
