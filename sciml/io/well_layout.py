"""One file of the Well: its groups, flags and dimension scales."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import h5py
import numpy as np
import xarray as xr

from sciml.core.errors import InputError
from sciml.io.contents import Contents
from sciml.io.record import Record, write_record
from sciml.io.well import EXACT, NUMBERS, OWN, WellStore
from sciml.io.well_stats import FieldStatistics

RESERVED = ("dataset_name", "grid_type", "n_spatial_dims", "n_trajectories", "simulation_parameters")


class WellFile:
    """A file of ``samples`` trajectories, laid out for the first chunk, to which samples are added.

    Coordinates are linked at the root and are the scales of every axis, so that readers of NetCDF find them by name.
    """

    def __init__(self, file: h5py.File, first: Contents, samples: int, title: str) -> None:
        self.file, self.samples, self.kind = file, samples, first.dtypes[first.fields[0]]
        self.shared = {name for name in first.inputs if first.labelled and "sample" not in first.ds[name].dims}
        wrong = [name for name in (*first.fields, *first.inputs, *first.parameters) if "/" in name or name in ("", ".")]
        if wrong:
            raise InputError(f"write_well: {', '.join(wrong)} cannot be the name of an HDF5 item; rename that variable.")
        self.axes = tuple(first.coords)
        self._dimensions(first)
        fields = {name: f"t0_fields/{name}" for name in (*first.fields, *first.inputs)}
        self._names("t0_fields", list(fields))
        for name in first.fields:
            self._field(name, self.kind, first, True)
        for name in first.inputs:
            self._field(name, first.dtypes[name], first, False)
        self._names("t1_fields", [])
        self._names("t2_fields", [])
        self._scalars(first, title)
        self._boundaries(first)
        own = file.create_group(OWN)
        for name, x in self._lines(first):
            self._on_scales(own.create_dataset(f"{EXACT}{name}", data=x), (name,))
        for name in first.parameters:
            self._on_scales(own.create_dataset(f"{NUMBERS}/{name}", (samples,), np.float64), ("sample",))
        inputs, evolving = ({name: fields[name] for name in names} for names in (first.inputs, first.fields))
        record = Record(WellStore.format, evolving, inputs, first.parameters, first.labelled, first.steady)
        write_record(own, record, first.ds, "write_well")

    def add(self, chunk: Contents, rows: slice, start: int, statistics: FieldStatistics | None) -> None:
        """Write the samples ``rows`` of ``chunk`` from number ``start`` on, and take them into ``statistics``."""
        stop = start + rows.stop - rows.start
        group = self.file["t0_fields"]
        for name in chunk.fields:
            values = chunk.field(name)[rows]
            group[name][start:stop] = values
            if statistics is not None:
                for trajectory in values:
                    statistics.add(name, trajectory)
        for name in chunk.inputs:
            values = chunk.input(name)[rows]
            if name in self.shared:
                if not np.array_equal(group[name][()], values[0], equal_nan=True):
                    raise InputError(f"write_well: {name} has no axis of samples but differs from chunk to chunk; give it one.")
            else:
                group[name][start:stop] = values
            if statistics is not None:
                statistics.add_constant(name, values)
        if chunk.parameters:
            numbers = chunk.numbers()[rows]
            for i, name in enumerate(chunk.parameters):
                for place in (f"scalars/{name}", f"{OWN}/{NUMBERS}/{name}"):
                    self.file[place][start:stop] = numbers[:, i]

    def _lines(self, first: Contents) -> Iterator[tuple[str, np.ndarray]]:
        yield "time", np.zeros(1) if first.times is None else first.times
        yield from first.coords.items()

    def _dimensions(self, first: Contents) -> None:
        group = self.file.create_group("dimensions")
        group.attrs["spatial_dims"] = list(self.axes)
        for name, x in self._lines(first):
            item = group.create_dataset(name, data=x.astype(self.kind))
            _flags(item, False, name == "time")
            item.make_scale(name)
            self.file[name] = item
        self.file.create_dataset("sample", data=np.arange(self.samples)).make_scale("sample")

    def _on_scales(self, item: h5py.Dataset, dims: Sequence[str]) -> h5py.Dataset:
        for i, dim in enumerate(dims):
            item.dims[i].attach_scale(self.file[dim])
        return item

    def _names(self, name: str, names: list[str]) -> h5py.Group:
        group = self.file.create_group(name)
        _text(group, "field_names", names)
        return group

    def _field(self, name: str, kind: np.dtype, first: Contents, evolving: bool) -> None:
        lead = {} if name in self.shared else {"sample": self.samples}
        lead |= {"time": first.steps} if evolving else {}
        item = self.file["t0_fields"].create_dataset(name, (*lead.values(), *first.shape), kind)
        _flags(item, name not in self.shared, evolving)
        if name in self.shared:
            item[...] = first.ds[name].values
        item.attrs["dim_varying"] = np.ones(len(self.axes), dtype=bool)
        for key in ("long_name", "units"):
            if isinstance(first.ds[name].attrs.get(key), str):
                item.attrs[key] = first.ds[name].attrs[key]
        self._on_scales(item, (*lead, *self.axes))

    def _scalars(self, first: Contents, title: str) -> None:
        """The coefficients of the equation, as attributes too, and the numbers given per sample."""
        constants = {name: value for name, value in _constants(first.ds).items() if name not in first.parameters}
        attrs = self.file.attrs
        attrs["dataset_name"], attrs["grid_type"] = title, "cartesian"
        attrs["n_spatial_dims"], attrs["n_trajectories"] = len(self.axes), self.samples
        _text(self.file, "simulation_parameters", list(constants))
        group = self._names("scalars", [*constants, *first.parameters])
        for name, value in constants.items():
            attrs[name] = value
            _flags(group.create_dataset(name, data=np.asarray(value, dtype=self.kind)), False, False)
        for name in first.parameters:
            item = group.create_dataset(name, (self.samples,), self.kind)
            _flags(item, True, False)
            self._on_scales(item, ("sample",))

    def _boundaries(self, first: Contents) -> None:
        """One condition per axis and type; the mask marks the points at its faces."""
        group = self.file.create_group("boundary_conditions")
        for axis, faces in zip(self.axes, _faces(first.ds, len(self.axes)), strict=True):
            for kind in sorted(set(faces)):
                condition = group.create_group(f"{axis}_{kind.lower()}")
                condition.attrs["bc_type"] = kind
                _text(condition, "associated_dims", [axis])
                _text(condition, "associated_fields", [])
                _flags(condition, False, False)
                mask = np.zeros(len(first.coords[axis]), dtype=bool)
                mask[0], mask[-1] = (face == kind for face in faces)
                self._on_scales(condition.create_dataset("mask", data=mask), (axis,))


def _flags(item: h5py.Dataset | h5py.Group, by_sample: bool, by_time: bool) -> None:
    item.attrs["sample_varying"], item.attrs["time_varying"] = by_sample, by_time


def _text(item: h5py.Group, name: str, words: list[str]) -> None:
    item.attrs.create(name, np.array(words, dtype=object), dtype=h5py.string_dtype())


def _told(ds: xr.Dataset, attribute: str) -> Any:
    """What an attribute says in JSON; None if it is missing or says nothing."""
    try:
        return json.loads(ds.attrs.get(attribute, "null"))
    except (TypeError, ValueError):
        return None


def _constants(ds: xr.Dataset) -> dict[str, float]:
    """The coefficients of the equation that are plain numbers, under names that the format does not use itself."""
    told = _told(ds, "parameters")
    plain = {n: v for n, v in told.items() if isinstance(v, int | float) and not isinstance(v, bool)} if isinstance(told, dict) else {}
    return {f"parameter_{name}" if name in RESERVED else name: float(value) for name, value in plain.items() if "/" not in name and name}


def _faces(ds: xr.Dataset, axes: int) -> list[tuple[str, ...]]:
    """Per axis the types of the lower and the upper face; none where nothing is known."""
    told = _told(ds, "boundaries")
    if isinstance(told, list) and len(told) == axes and all(isinstance(pair, list) and len(pair) == 2 for pair in told):
        return [tuple("PERIODIC" if face == "periodic" else "WALL" if "dirichlet" in face else "OPEN" for face in pair) for pair in told]
    grid = _told(ds, "grid")
    periodic = grid.get("periodic") if isinstance(grid, dict) else None
    if isinstance(periodic, list) and len(periodic) == axes:
        return [("PERIODIC", "PERIODIC") if p else ("OPEN", "OPEN") for p in periodic]
    return [()] * axes
