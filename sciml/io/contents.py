"""What a dataset in memory holds, as the writers of other formats need it; ``who`` names the writer in errors."""

from __future__ import annotations

import json
from typing import Any, final

import numpy as np
import xarray as xr

from sciml.core.derivatives import AXES
from sciml.core.errors import InputError


@final
class Contents:
    """The variables of a dataset, sorted into fields, inputs and parameters, with every array that may be asked for checked.

    Fields have the dimensions ``([sample,] [time,] x[, y[, z]])``, inputs ``([sample,] x[, y[, z]])``, parameters ``([sample])``. The attribute
    ``inputs`` lists the inputs; what has no time beside fields that have is one too.

    Attributes
    ----------
    samples, steps, shape : number of samples, of states (1 if steady), of points per axis.
    coords : positions by axis, in float64 as the others.
    times : None if steady.

    Raises :class:`InputError` for anything else in the dataset.
    """

    def __init__(self, ds: xr.Dataset, who: str = "write_pdebench") -> None:
        self.ds, self.who = ds, who
        axes = [a for a in AXES if a in ds.dims]
        unknown = [str(d) for d in ds.dims if d not in ("sample", "time", *AXES)]
        if not axes or axes != list(AXES[: len(axes)]) or unknown or 0 in ds.sizes.values():
            raise InputError(
                f"{who}: the dataset has the dimensions {dict(ds.sizes)}; sample, time and x, y, z are known, x at least, none empty. "
                "Rename or remove the others."
            )
        self.labelled, self.steady = "sample" in ds.dims, "time" not in ds.dims
        self.samples, self.steps = ds.sizes.get("sample", 1), ds.sizes.get("time", 1)
        self.shape = tuple(ds.sizes[a] for a in axes)
        lead = ("sample",) if self.labelled else ()
        evolving = (*lead, *(() if self.steady else ("time",)), *axes)
        declared = declared_inputs(ds, who)
        kinds: dict[tuple[Any, ...], list[str]] = {evolving: [], (*lead, *axes): [], lead: []}
        for name, variable in ds.data_vars.items():
            place = tuple(axes) if variable.dims == tuple(axes) and name in declared else None
            kinds.get((*lead, *axes) if place else variable.dims, []).append(str(name))
        found = {name for names in kinds.values() for name in names}
        self.fields = tuple(name for name in kinds[evolving] if not (self.steady and name in declared))
        self.inputs = tuple(name for name in kinds[*lead, *axes] if name not in self.fields)
        self.parameters = tuple(kinds[lead])
        missed = [str(name) for name in ds.data_vars if name not in found] + [str(name) for name in ds.coords if name not in ds.dims]
        if missed or not self.fields:
            raise InputError(
                f"{who}: there is no place for {', '.join(missed) or 'a dataset without fields'}; fields have the dimensions "
                f"{evolving}, inputs {(*lead, *axes)}, parameters {lead}, in this order. Transpose, reset or drop the others."
            )
        self.dtypes = {name: ds[name].dtype for name in (*self.fields, *self.inputs)}
        wrong = {name: kind for name, kind in self.dtypes.items() if kind not in (np.float32, np.float64)}
        if wrong or len({self.dtypes[name] for name in self.fields}) > 1:
            told = ", ".join(f"{name} {kind}" for name, kind in self.dtypes.items())
            raise InputError(f"{who}: the variables are of types {told}; float32 or float64 is needed, one for all fields. Convert them.")
        self.coords = {axis: self._line(axis) for axis in axes}
        self.times = None if self.steady else self._line("time")

    def field(self, name: str) -> np.ndarray:
        """``(sample, time, *space)``, one time if steady."""
        return self.ds[name].values.reshape(self.samples, self.steps, *self.shape)

    def input(self, name: str) -> np.ndarray:
        """``(sample, *space)``."""
        values = self.ds[name].values
        return np.broadcast_to(values, (self.samples, *self.shape))

    def numbers(self) -> np.ndarray:
        """The parameters, ``(sample, parameter)``, float64; raises :class:`InputError` for what is no number that float64 holds."""
        table = np.empty((self.samples, len(self.parameters)))
        for i, name in enumerate(self.parameters):
            values = np.atleast_1d(self.ds[name].values)
            if values.dtype.kind not in "fiu" or (values.dtype.kind in "iu" and (np.abs(values) > 2**53).any()):
                raise InputError(f"{self.who}: {name} is of type {values.dtype}; float64 must hold its numbers exactly. Convert or drop it.")
            table[:, i] = values
        return table

    def difference(self, other: Contents) -> str:
        """In what another chunk differs, its samples and attributes aside; empty if it fits."""
        for name in ("fields", "inputs", "parameters", "labelled", "shape", "steps", "dtypes"):
            mine, its = getattr(self, name), getattr(other, name)
            if mine != its:
                return f"{name} {its} where {mine} came before"
        lines = {"time": (self.times, other.times), **{axis: (x, other.coords[axis]) for axis, x in self.coords.items()}}
        return ", ".join(f"another {name} coordinate" for name, (mine, its) in lines.items() if not np.array_equal(_or_empty(mine), _or_empty(its)))

    def _line(self, name: str) -> np.ndarray:
        """A coordinate, float64."""
        if name not in self.ds.coords:
            raise InputError(f"{self.who}: the dataset has no coordinate {name}; assign one.")
        values = self.ds[name].values
        numbers = values.astype(np.float64) if values.dtype.kind in "fiu" else np.full(len(values), np.nan)
        if not np.isfinite(numbers).all() or (name == "time" and not (np.diff(numbers) > 0).all()):
            raise InputError(
                f"{self.who}: the coordinate {name} ({values.dtype}) must hold finite numbers{' that increase' * (name == 'time')}; correct it."
            )
        return numbers


def declared_inputs(ds: xr.Dataset, who: str) -> list[str]:
    """The inputs that the dataset names."""
    try:
        listed = json.loads(ds.attrs.get("inputs", "[]"))
    except (TypeError, ValueError):
        listed = None
    if not isinstance(listed, list):
        raise InputError(f"{who}: the attribute inputs is {ds.attrs['inputs']!r}; a JSON list of names is expected.")
    return [str(name) for name in listed]


def _or_empty(x: np.ndarray | None) -> np.ndarray:
    return np.empty(0) if x is None else x
