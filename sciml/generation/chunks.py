"""The work folder of an unfinished data set: finished chunks, each a NetCDF file of its own."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from sciml.core.errors import InputError
from sciml.generation.recipe import Recipe
from sciml.io.atomic import atomic_file
from sciml.io.lock import LOCK
from sciml.io.netcdf import load, save
from sciml.io.store import open_hdf5

RECIPE = "recipe.json"
CHUNKS = "chunks"
FAILED = "failed"
"""A file whose presence tells all processes that one of them has met an error."""
FINAL = "finished"
"""The folder inside the work folder that is filled with the final files and then renamed."""


class WorkFolder:
    """``OUT.partial``: the recipe, and ``chunks/00000.nc``, ``chunks/00001.nc``, ... as they are finished.

    A chunk appears under its name when it is complete. It carries the key of its recipe and a checksum of its values, so that a file
    damaged later is noticed and made again.
    """

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.path, self.recipe = path, recipe

    @property
    def final(self) -> Path:
        """Where the final files are put together."""
        return self.path / FINAL

    @property
    def failed(self) -> Path:
        """See :data:`FAILED`."""
        return self.path / FAILED

    def chunk(self, index: int) -> Path:
        """The file of one chunk."""
        return self.path / CHUNKS / f"{index:05d}.nc"

    def present(self) -> list[int]:
        """The chunks whose files are there."""
        return [index for index in range(self.recipe.chunks) if self.chunk(index).is_file()]

    def prepare(self, resume: bool, overwrite: bool) -> list[int]:
        """Make the folder ready, under its lock; the chunks that are to be made.

        Raises :class:`InputError` if something else is there, if unfinished work is there and neither ``resume`` nor ``overwrite`` is given,
        or if that work follows another recipe.
        """
        mine = {LOCK, RECIPE, CHUNKS, FAILED, FINAL}
        foreign = sorted(entry.name for entry in self.path.iterdir() if entry.name not in mine and not entry.name.startswith(f".{RECIPE[:6]}"))
        if foreign:
            raise InputError(f"{self.path} is in the way: it holds {', '.join(foreign[:3])}, which sciml generate did not make; move it.")
        kept = sorted((self.path / CHUNKS).glob("[0-9]*.nc"))
        if kept and not overwrite:
            self._check(len(kept), resume)
        elif kept:
            shutil.rmtree(self.path / CHUNKS)
        self.failed.unlink(missing_ok=True)
        shutil.rmtree(self.final, ignore_errors=True)
        (self.path / CHUNKS).mkdir(exist_ok=True)
        names = {self.chunk(index).name for index in range(self.recipe.chunks)}
        for entry in [*self.path.glob(f".{RECIPE[:6]}*"), *(e for e in (self.path / CHUNKS).iterdir() if e.name not in names)]:
            entry.unlink()  # what a killed process was writing
        write_json(self.path / RECIPE, {"key": self.recipe.key, "recipe": self.recipe.entries()})
        return [index for index in range(self.recipe.chunks) if not self.intact(index)]

    def _check(self, count: int, resume: bool) -> None:
        old = read_json(self.path / RECIPE)
        anew = "--overwrite (overwrite=True) discards them"
        if old.get("key") != self.recipe.key:
            found = self.recipe.differences(old.get("recipe", {}))
            raise InputError(f"{self.path} holds {count} finished chunks of another data set ({found}); {anew}, or choose another folder.")
        if not resume:
            raise InputError(f"{self.path} holds {count} of {self.recipe.chunks} chunks of this data set; --resume (resume=True) goes on, {anew}.")

    def write(self, index: int, ds: xr.Dataset) -> None:
        """Keep one finished chunk."""
        marks = {"chunk_of": self.recipe.key, "checksum": values_checksum(ds)}
        save(ds.assign_attrs(marks), self.chunk(index))

    def read(self, index: int) -> xr.Dataset:
        """One finished chunk, without the marks; raises :class:`InputError` if it is damaged."""
        ds = load(self.chunk(index))
        marks = ds.attrs.pop("chunk_of", None), ds.attrs.pop("checksum", None)
        if marks != (self.recipe.key, values_checksum(ds)):
            raise InputError(f"{self.chunk(index)} is not what was written there; --resume (resume=True) makes it again.")
        return ds

    def intact(self, index: int) -> bool:
        """Whether one chunk is there, whole, and of this recipe."""
        try:
            return self.read(index).sizes.get("sample") == len(self.recipe.samples_of(index))
        except InputError:
            return False

    def read_all(self) -> Iterator[xr.Dataset]:
        """Every chunk in order, one in memory at a time.

        Attributes that are numbers may differ between chunks (an automatic step, the number of steps); all get the extreme one, the
        smallest ``dt`` and the largest of any other.
        """
        extreme: dict[str, float] = {}
        for index in range(self.recipe.chunks):
            for name, value in numbers_in(self.chunk(index)).items():
                extreme[name] = (min if name == "dt" else max)(extreme.get(name, value), value)
        for index in range(self.recipe.chunks):
            ds = self.read(index)
            yield ds.assign_attrs({name: value for name, value in extreme.items() if name in ds.attrs})

    def remove(self) -> None:
        """Remove what this class put into the folder; the lock file stays to its owner."""
        for entry in (self.path / CHUNKS, self.final):
            shutil.rmtree(entry, ignore_errors=True)
        for entry in (self.path / RECIPE, self.failed):
            entry.unlink(missing_ok=True)


def values_checksum(ds: xr.Dataset) -> str:
    """SHA-256 of the names, shapes and bytes of a dataset's variables and coordinates."""
    found = hashlib.sha256()
    for name in sorted(map(str, ds.variables)):
        values = np.ascontiguousarray(ds[name].values)
        found.update(f"{name} {values.dtype} {values.shape};".encode())
        found.update(values.tobytes())
    return found.hexdigest()


def numbers_in(path: Path) -> dict[str, int | float]:
    """The attributes of a chunk that are numbers."""
    with open_hdf5(path) as file:
        values = {name: np.asarray(value) for name, value in file.attrs.items()}  # NetCDF keeps a number as an array of one
        return {name: value.item() for name, value in values.items() if value.size == 1 and value.dtype.kind in "iuf"}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """A JSON file that appears when it is complete."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """The content of a recipe file; empty if there is none; raises :class:`InputError` if it is damaged."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); --overwrite (overwrite=True) starts anew.") from error
    return content if isinstance(content, dict) else {}
