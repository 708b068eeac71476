"""PDEBench's layout A: one array per field for all samples."""

from __future__ import annotations

import json
from collections.abc import Mapping

import h5py
import numpy as np

from sciml.core.derivatives import AXES
from sciml.core.errors import InputError
from sciml.io.hdf5 import attributes, damage, float_type
from sciml.io.pdebench import array_in, checked_axes, checked_shape, checked_times, numbers_in
from sciml.io.record import PARAMETERS, RECORD, Record, read_record
from sciml.io.store import Facts, Store

TENSOR = "tensor"
COEFFICIENT = "nu"
FLOW = ("density", "pressure", "Vx", "Vy", "Vz")
COORDINATES = {axis: f"{axis}-coordinate" for axis in AXES}
TIME = "t-coordinate"
CONSTANTS = {"beta": "beta", "Nu": "Nu", "nu": "Nu", "rho": "rho", "eta": "eta", "zeta": "zeta", "M": "M"}
"""Attributes that hold a coefficient of the equation, and the name it gets; some files write ``nu`` for ``Nu``."""


class PDEBenchSingle(Store):
    """``tensor`` (field ``u``) or ``density``, ``pressure``, ``Vx``, ``Vy``, ``Vz``, each ``(sample, time, x[, y[, z]])``.

    A ``tensor`` without times and with one state per sample is steady, as Darcy flow is; ``nu``, ``(sample, x[, y[, z]])``, is its
    coefficient, an input. Coordinates are called ``x-coordinate`` and so on; where a file has none they are unknown, and some without the
    others contradict it. The attributes ``beta``, ``Nu``, ``rho``, ``eta``, ``zeta`` and ``M`` become parameters, equal for all samples of
    a file, so that files of several values make one parametric data set. Other data sets in the file are left alone.
    """

    format = "PDEBench A"

    @classmethod
    def recognises(cls, file: h5py.File) -> bool:
        return any(isinstance(file.get(name), h5py.Dataset) for name in (TENSOR, *FLOW, RECORD, TIME, *COORDINATES.values()))

    def _read_facts(self, file: h5py.File) -> Facts:
        with damage(self.path):
            return self._facts(file)

    def _facts(self, file: h5py.File) -> Facts:
        record = read_record(self.path, file, "A") or self._guess(file)
        items = {name: array_in(self.path, file, stored) for name, stored in record.fields.items()}
        first = next(iter(items.values()))
        if not 3 <= first.ndim <= 5 or 0 in first.shape:
            raise InputError(
                f"{self.path}: {first.name} has shape {first.shape}; (sample, time, x), (sample, time, x, y) or (sample, time, x, y, z) is expected, "
                "no axis empty. Write the file again."
            )
        for item in items.values():
            checked_shape(self.path, item, first.shape, str(first.name))
        samples, steps, *space = first.shape
        told = f"{first.name} has shape {first.shape} with the axes sample, time and space"
        coords = checked_axes(self.path, {a: numbers_in(self.path, file, name) for a, name in COORDINATES.items()}, space, told)
        times = checked_times(self.path, numbers_in(self.path, file, TIME), steps, told)
        if record.steady and steps != 1:
            raise InputError(f"{self.path}: {told}, but its record says that the solutions are steady; one state is expected. Write the file again.")
        given = [array_in(self.path, file, stored) for stored in record.inputs.values()]
        for item in given:
            checked_shape(self.path, item, (samples, *space), str(first.name))
        self._stored, self._given, self._steady = tuple(record.fields.values()), tuple(record.inputs.values()), record.steady
        self._input_type = float_type(given) if given else None
        constants = {} if RECORD in file else _constants(record)
        self._constants = np.array([np.ravel(record.attrs[name])[0] for name in constants], dtype=np.float64)
        if record.parameters:
            checked_shape(self.path, array_in(self.path, file, PARAMETERS), (samples, len(record.parameters)), f"{first.name} and its record")
        return Facts(
            fields=tuple(record.fields),
            shape=tuple(space),
            samples=samples,
            steps=None if record.steady else steps,
            dtype=float_type(list(items.values())),
            times=None if record.steady else times,
            coords=coords,
            inputs=tuple(record.inputs),
            parameters=(*record.parameters, *constants.values()),
            labelled=record.labelled or samples > 1,
            attrs=record.attrs,
            variable_attrs=record.variable_attrs,
        )

    def _guess(self, file: h5py.File) -> Record:
        """The record of a file made by others, from its keys."""
        fields = {"u": TENSOR} if TENSOR in file else {name: name for name in FLOW if name in file}
        if not fields:
            raise InputError(
                f"{self.path}: it has coordinates as PDEBench files have, but neither {TENSOR} nor any of {', '.join(FLOW)}; "
                f"it holds {', '.join(file)}. Write the file again."
            )
        inputs = {COEFFICIENT: COEFFICIENT} if TENSOR in file and COEFFICIENT in file else {}
        item = file.get(TENSOR)
        steady = TIME not in file and isinstance(item, h5py.Dataset) and item.ndim > 2 and item.shape[1] == 1
        attrs = attributes(file)
        if inputs:
            attrs.setdefault("inputs", json.dumps(list(inputs)))
        return Record("A", fields, inputs, steady=steady, attrs=attrs)

    def read(self, sample: int, steps: slice = slice(None)) -> np.ndarray:
        with damage(self.path):
            index = ((sample, 0), None) if self._steady else ((sample,), steps)
            parts = [self.array(stored).read(*index) for stored in self._stored]
        stacked = np.expand_dims(parts[0], -len(self.facts.shape) - 1) if len(parts) == 1 else np.stack(parts, axis=0 if self._steady else 1)
        return stacked.astype(self.facts.dtype, copy=False)

    def read_inputs(self, sample: int) -> np.ndarray:
        if self._input_type is None:
            return super().read_inputs(sample)
        with damage(self.path):
            return np.stack([self.array(stored).read((sample,)) for stored in self._given]).astype(self._input_type, copy=False)

    def read_parameters(self, sample: int) -> np.ndarray:
        if len(self._constants) == len(self.facts.parameters):
            return self._constants.copy()
        with damage(self.path):
            return np.asarray(self.array(PARAMETERS).read((sample,)), dtype=np.float64)


def _constants(record: Record) -> Mapping[str, str]:
    """The attributes that become parameters: single numbers, one per name."""
    taken = {*record.fields, *record.inputs}
    chosen: dict[str, str] = {}
    for name, parameter in CONSTANTS.items():
        value = record.attrs.get(name)
        number = np.asarray(value)
        if number.size == 1 and number.dtype.kind in "fiu" and parameter not in {*taken, *chosen.values()}:
            chosen[name] = parameter
    return chosen
