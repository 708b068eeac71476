"""Data sets in PDEBench's layouts A and B, written chunk by chunk."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from sciml.core.errors import InputError
from sciml.io.contents import Contents
from sciml.io.hdf5 import new_hdf5
from sciml.io.pdebench_groups import CONFIG, DATA, GRID
from sciml.io.pdebench_single import COEFFICIENT, COORDINATES, TENSOR, TIME
from sciml.io.record import PARAMETERS, RECORD, Record, write_record


def write_pdebench(path: str | Path, chunks: xr.Dataset | Iterable[xr.Dataset], samples: int | None = None, *, layout: str = "A") -> Path:
    """A file that PDEBench's readers take, and that :func:`sciml.open_data` gives back as it was: values, times, positions, attributes.

    Layout A, one array per field: a single field is ``tensor``, ``(sample, time, x, ...)``; several keep their names, of which PDEBench knows
    ``density``, ``pressure``, ``Vx``, ``Vy``, ``Vz``. Steady solutions have one state. A single input beside ``tensor`` is ``nu``, as in Darcy flow.
    PDEBench's own reader takes a ``tensor`` in one dimension, and in two for Darcy flow only.

    Layout B, one group per sample with the fields as channels, serves any number of fields and dimensions there (its reader asks for 24
    samples or more), but neither steady data nor inputs.

    Numbers keep their precision; PDEBench publishes float32, and its readers convert. Samples are numbered from 0. Beside the data lie the
    record ``sciml`` and ``parameters``, which PDEBench does not look at.

    Parameters
    ----------
    path : ends in ``.hdf5`` for A and in ``.h5`` for B, by which PDEBench tells them apart; the file appears when it is complete.
    chunks : one dataset, or datasets that follow each other along ``sample``, of which memory holds one at a time; attributes are the first one's.
    samples : how many there are together; needed unless one dataset is given.
    layout : ``"A"`` or ``"B"``.

    Raises :class:`InputError` if the layout cannot hold the data, the chunks do not fit together or the disk is full.
    """
    target = Path(path)
    if layout not in _LAYOUTS:
        raise InputError(f"write_pdebench: layout={layout!r} given; use 'A' (one array per field) or 'B' (one group per sample).")
    kind = _LAYOUTS[layout]
    if target.suffix != kind.suffix:
        raise InputError(f"write_pdebench: {target.name} given for layout {layout}; PDEBench tells it by the name, so let it end in {kind.suffix}.")
    if isinstance(chunks, xr.Dataset):
        samples = chunks.sizes.get("sample", 1) if samples is None else samples
        chunks = [chunks]
    if samples is None or samples < 1:
        raise InputError(f"write_pdebench: samples={samples} given; say how many samples the chunks hold together, at least 1.")
    done, first, writer = 0, None, None
    with new_hdf5(target) as file:
        for ds in chunks:
            contents = Contents(ds)
            if first is None or writer is None:
                first, writer = contents, kind(file, contents, samples)
            difference = first.difference(contents)
            if difference or done + contents.samples > samples:
                what = difference or f"{samples} samples were announced"
                raise InputError(f"{target}: samples {done} to {done + contents.samples - 1} do not fit the others: {what}.")
            writer.add(contents, done)
            done += contents.samples
        if done != samples:
            raise InputError(f"{target}: {samples} samples were announced and {done} came.")
    return target


class _Writer(ABC):
    """Lays out the file for the first chunk, then adds the samples of each."""

    layout: str
    suffix: str

    def __init__(self, file: h5py.File, first: Contents, samples: int) -> None:
        self.file, self.samples = file, samples
        self.lay_out(first)

    @abstractmethod
    def lay_out(self, first: Contents) -> None: ...

    @abstractmethod
    def add(self, chunk: Contents, start: int) -> None:
        """Write the samples of ``chunk``, the first of which is number ``start``."""

    def record(self, group: h5py.Group, first: Contents, fields: dict[str, str], inputs: dict[str, str]) -> None:
        content = Record(self.layout, fields, inputs, first.parameters, first.labelled, first.steady)
        write_record(group, content, first.ds)


class _Single(_Writer):
    layout, suffix = "A", ".hdf5"

    def lay_out(self, first: Contents) -> None:
        alone = len(first.fields) == 1
        self.fields = {name: TENSOR if alone else name for name in first.fields}
        self.inputs = {name: COEFFICIENT if alone and len(first.inputs) == 1 else name for name in first.inputs}
        kept = [name for name, place in {**self.fields, **self.inputs}.items() if place == name]
        taken = [name for name in kept if "/" in name or name in (RECORD, PARAMETERS, TIME, *COORDINATES.values()) or (name == TENSOR and not alone)]
        if taken:
            raise InputError(f"write_pdebench: layout A needs the name {', '.join(taken)} for itself; rename that variable.")
        for name, place in self.fields.items():
            self.file.create_dataset(place, (self.samples, first.steps, *first.shape), first.dtypes[name])
        for name, place in self.inputs.items():
            self.file.create_dataset(place, (self.samples, *first.shape), first.dtypes[name])
        if first.parameters:
            self.file.create_dataset(PARAMETERS, (self.samples, len(first.parameters)), np.float64)
        for axis, x in first.coords.items():
            self.file[COORDINATES[axis]] = x
        if first.times is not None:
            t = first.times
            self.file[TIME] = np.append(t, 2 * t[-1] - t[-2] if len(t) > 1 else t[-1] + 1)
        for name, value in _constants(first.ds, conventions=True).items():
            self.file.attrs[name] = value
        self.record(self.file, first, self.fields, self.inputs)

    def add(self, chunk: Contents, start: int) -> None:
        rows = slice(start, start + chunk.samples)
        for name, place in self.fields.items():
            self.file[place][rows] = chunk.field(name)
        for name, place in self.inputs.items():
            self.file[place][rows] = chunk.input(name)
        if chunk.parameters:
            self.file[PARAMETERS][rows] = chunk.numbers()


class _Groups(_Writer):
    layout, suffix = "B", ".h5"

    def lay_out(self, first: Contents) -> None:
        if first.steady or first.inputs:
            what = "steady data" if first.steady else f"inputs ({', '.join(first.inputs)})"
            raise InputError(f"write_pdebench: layout B has no place for {what}; use layout='A' with a name that ends in .hdf5.")
        self.digits = max(4, len(str(self.samples - 1)))
        self.constants = _constants(first.ds, conventions=False)
        head = self.file.create_group("0" * self.digits)
        for axis, x in first.coords.items():
            head[f"{GRID}/{axis}"] = x
        head[f"{GRID}/t"] = first.times
        self.record(head, first, dict.fromkeys(first.fields, DATA), {})
        self.head = head

    def add(self, chunk: Contents, start: int) -> None:
        numbers = chunk.numbers()
        fields = [chunk.field(name) for name in chunk.fields]
        for i in range(chunk.samples):
            group = self.file.require_group(f"{start + i:0{self.digits}d}")
            group[DATA] = np.stack([values[i] for values in fields], axis=-1)
            values = dict(zip(chunk.parameters, numbers[i].tolist(), strict=True))
            # JSON is YAML, which is what PDEBench keeps there
            group.attrs[CONFIG] = json.dumps({"sim": {**self.constants, **values}})
            if chunk.parameters:
                group[PARAMETERS] = numbers[i]
            if group != self.head:
                group[GRID], group[RECORD] = self.head[GRID], self.head[RECORD]


_LAYOUTS: dict[str, type[_Writer]] = {"A": _Single, "B": _Groups}


def _constants(ds: xr.Dataset, conventions: bool) -> dict[str, float]:
    """The coefficients of the equation under their own names and, on request, under PDEBench's.

    PDEBench writes Burgers' equation with the diffusivity Nu / pi, and calls the speed of advection beta.
    """
    try:
        told = json.loads(ds.attrs.get("parameters", "{}"))
    except (TypeError, ValueError):
        return {}
    if not isinstance(told, dict):
        return {}
    plain: dict[str, Any] = {name: value for name, value in told.items() if isinstance(value, int | float) and not isinstance(value, bool)}
    module = str(ds.attrs.get("problem", "")).partition(":")[0]
    if conventions and module == "burgers" and "viscosity" in plain:
        plain["Nu"] = math.pi * plain["viscosity"]
    if conventions and module == "advection" and "speed" in plain and not plain.get("diffusivity"):
        plain["beta"] = plain["speed"]
    return plain
