"""What an interrupted comparison had finished, so that it need not be computed again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from sciml.core.errors import InputError
from sciml.io.atomic import WORK, atomic_file
from sciml.io.netcdf import load, save
from sciml.io.recipe import check_recipe, write_recipe
from sciml.methods.base import MethodResult


class Kept:
    """The finished parts in the folder of an unfinished report: a dataset ``NAME.nc`` each, and facts about it in a file of their own.

    The facts are written after the dataset, and a part without them does not count.

    Parameters
    ----------
    folder : of the unfinished report.
    recipe : of the comparison. Raises :class:`InputError` if the folder holds parts of one with another recipe.
    fields : names of the unknowns, in order.
    """

    def __init__(self, folder: Path, recipe: Mapping[str, Any], fields: Sequence[str]) -> None:
        self.folder, self.fields = folder, list(fields)
        self._facts = folder / WORK
        path = self._facts / "recipe.json"
        if list(folder.glob("*.nc")):
            check_recipe(path, recipe, "give --overwrite (overwrite=True) to start anew")
        else:
            self._facts.mkdir(exist_ok=True)
            write_recipe(path, recipe)

    def store(self, name: str, dataset: xr.Dataset, facts: Mapping[str, Any]) -> None:
        """Keep a finished part."""
        save(dataset, self.folder / f"{name}.nc")
        with atomic_file(self._facts / f"{name}.json") as path:
            path.write_text(json.dumps(facts), encoding="utf-8")

    def recall(self, name: str) -> tuple[xr.Dataset, dict[str, Any]] | None:
        """A finished part and its facts; None if there is none that is whole."""
        try:
            facts = json.loads((self._facts / f"{name}.json").read_text(encoding="utf-8"))
            dataset = load(self.folder / f"{name}.nc")
        except (OSError, ValueError, InputError):
            return None
        return dataset[sorted(dataset.data_vars, key=lambda name: self.fields.index(name) if name in self.fields else len(self.fields))], facts

    def drop(self, name: str) -> None:
        """Give up a finished part."""
        (self.folder / f"{name}.nc").unlink(missing_ok=True)

    def store_result(self, name: str, result: MethodResult) -> None:
        """Keep what a method reached, and what it cost."""
        cost = {"wall_s": result.wall_s, "peak_bytes": result.peak_bytes, "notes": result.notes, "cost": dict(result.cost)}
        self.store(name, result.dataset, cost)

    def recall_result(self, name: str) -> MethodResult | None:
        """What :meth:`store_result` kept."""
        found = self.recall(name)
        return None if found is None else MethodResult(found[0], **found[1])
