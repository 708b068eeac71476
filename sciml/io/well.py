"""Files of the Well [R. Ohana et al., NeurIPS 2024, arXiv 2412.00568], read trajectory by trajectory."""

from __future__ import annotations

import json
import warnings
from typing import Any

import h5py
import numpy as np

from sciml.core.derivatives import AXES
from sciml.core.errors import DataWarning, InputError
from sciml.io.hdf5 import attributes, damage, float_type
from sciml.io.record import RECORD, Record, read_record
from sciml.io.store import Facts, Store
from sciml.io.well_items import Item, Sizes, fields_in, flag_of, group_in, names_in, numbers_at, scalars_in

OWN = "sciml"
"""The group for what the format has no place for: the record, exact coordinates and parameters. Others do not look at it."""
NUMBERS, EXACT = "parameters", "exact_"
BOUNDARIES = {"WALL", "OPEN", "PERIODIC"}
GROUPS = ("dimensions", "boundary_conditions", "scalars", "t0_fields", "t1_fields", "t2_fields")


class WellStore(Store):
    """A file of the Well, ours or published.

    Fields that vary in time are the evolving ones, in the order scalars, vectors, tensors; the components of a vector are channels
    ``velocity_x``, ``velocity_y``, those of a tensor ``D_xx``, ``D_xy``, ... Fields that do not vary in time are inputs, scalars that do not
    are parameters, of each sample or of all. What does not vary along an axis of samples, times or space is repeated along it.

    Space axes called x, y and z are handed out in this order, others in the order of the file, as x, y and z. An axis is periodic if a
    boundary condition of type PERIODIC belongs to it; where an axis has no condition at all, nothing is known. Coordinates that differ from
    sample to sample are left unknown (times: :meth:`read_times`), and scalars that vary in time are left out with a :class:`DataWarning`.
    """

    format = "the Well"

    @classmethod
    def recognises(cls, file: h5py.File) -> bool:
        return sum(name in file for name in GROUPS) >= 2 or {"n_trajectories", "n_spatial_dims"} <= set(file.attrs)

    def _read_facts(self, file: h5py.File) -> Facts:
        with damage(self.path):
            return self._facts(file)

    def _facts(self, file: h5py.File) -> Facts:
        sizes = self._sizes = self._announced(file)
        order = range(len(sizes.dims))
        self._order = tuple(sorted(order, key=lambda i: AXES.index(sizes.dims[i])) if set(sizes.dims) <= set(AXES) else order)
        items = fields_in(sizes, file)
        self._evolving = [item for item in items if item.time_varying]
        self._fixed = [item for item in items if not item.time_varying]
        scalars = scalars_in(sizes, file)
        self._scalars = [item for item in scalars if not item.time_varying]
        record = self._record(file)
        self._numbers_at = [item.place for item in self._scalars] if record is None else [f"{OWN}/{NUMBERS}/{n}" for n in record.parameters]
        record = record or self._guess(file, [item.channels[0] for item in scalars if item.time_varying])
        if not self._evolving:
            raise InputError(f"{self.path}: none of its fields varies in time; at least one must, even if there is one instant only.")
        self._steady = record.steady
        self._table: np.ndarray | None = None
        self._time_rows, times = self._times(file)
        self._kind = float_type([file[item.place] for item in self._evolving])
        self._input_kind = float_type([file[item.place] for item in self._fixed])
        return Facts(
            fields=tuple(record.fields),
            shape=tuple(sizes.shape[i] for i in self._order),
            samples=sizes.trajectories,
            steps=None if record.steady else sizes.steps,
            dtype=self._kind,
            times=None if record.steady else times,
            coords=self._coords(file),
            periodic=self._periodic(file),
            inputs=tuple(record.inputs),
            parameters=record.parameters,
            labelled=record.labelled or sizes.trajectories > 1,
            attrs=record.attrs,
            variable_attrs=record.variable_attrs,
        )

    def _announced(self, file: h5py.File) -> Sizes:
        """Numbers of trajectories, times and points; raises :class:`InputError` if they are missing or contradict each other."""
        for name in GROUPS:
            group_in(self.path, file, name)
        count, axes = file.attrs.get("n_trajectories"), file.attrs.get("n_spatial_dims")
        for name, value in (("n_trajectories", count), ("n_spatial_dims", axes)):
            if not isinstance(value, int | float | np.integer | np.floating) or int(value) != value or value < 1:
                raise InputError(f"{self.path}: the attribute {name} is {value!r}; a whole number from 1 is expected. Write the file again.")
        group = file["dimensions"]
        dims = names_in(self.path, group, "spatial_dims")
        if len(dims) != axes or len(set(dims)) != len(dims) or len(dims) > len(AXES):
            raise InputError(f"{self.path}: spatial_dims are {dims} where n_spatial_dims is {axes}; one name each is expected for 1 to 3 axes.")
        lengths = {}
        for name in ("time", *dims):
            item = numbers_at(self.path, group, name, f"{name} is a dimension")
            lead = (int(count),) if flag_of(self.path, item, "sample_varying") else ()
            if name != "time" and flag_of(self.path, item, "time_varying"):
                raise InputError(f"{self.path}: {item.name} varies in time; a moving grid cannot be read. Interpolate the fields to a fixed one.")
            if item.ndim != len(lead) + 1 or item.shape[:-1] != lead or not item.shape[-1]:
                raise InputError(f"{self.path}: {item.name} has shape {item.shape}; {(*lead, 'n')} is expected by its flags. Write the file again.")
            lengths[name] = item.shape[-1]
        return Sizes(self.path, int(count), lengths["time"], dims, tuple(lengths[d] for d in dims))

    def _record(self, file: h5py.File) -> Record | None:
        """What :func:`sciml.write_well` noted, if it made the file."""
        own = file.get(OWN)
        if not isinstance(own, h5py.Group):
            return None
        record = read_record(self.path, own, self.format)
        if record is None:
            return None
        for told, items in ((record.fields, self._evolving), (record.inputs, self._fixed)):
            if list(told) != [channel for item in items for channel in item.channels]:
                raise InputError(f"{self.path}: its record {OWN}/{RECORD} names {', '.join(told)}, other fields than the file has; remove {OWN}.")
        if record.steady and self._sizes.steps != 1:
            raise InputError(f"{self.path}: its record says that the data are steady, but there are {self._sizes.steps} times; remove {OWN}.")
        for name in record.parameters:
            item = numbers_at(self.path, own, f"{NUMBERS}/{name}", f"its record names {name} among the parameters")
            if item.shape != (self._sizes.trajectories,):
                raise InputError(f"{self.path}: {item.name} has shape {item.shape}; {(self._sizes.trajectories,)} is expected. Write the file again.")
        return record

    def _guess(self, file: h5py.File, left_out: list[str]) -> Record:
        """The record of a file made by others."""
        fields, inputs = ({channel: item.place for item in items for channel in item.channels} for items in (self._evolving, self._fixed))
        parameters = tuple(item.channels[0] for item in self._scalars)
        both = sorted(set(parameters) & {*fields, *inputs})
        if both or len(set(parameters)) < len(parameters):
            raise InputError(f"{self.path}: the scalars {', '.join(parameters)} repeat a name, or one of a field; rename {', '.join(both) or 'one'}.")
        attrs: dict[str, Any] = {name: _listed(value) for name, value in attributes(file).items()}
        if inputs:
            attrs["inputs"] = json.dumps(list(inputs))
        if left_out:
            attrs["left_out"] = json.dumps(left_out)
            warnings.warn(f"{self.path}: scalars that vary in time are left out: {', '.join(left_out)}.", DataWarning, stacklevel=2)
        return Record(self.format, fields, inputs, parameters, attrs=attrs)

    def _line(self, file: h5py.File, name: str) -> np.ndarray:
        """A coordinate, float64: as exact as it was written, where that is noted; ``(sample, n)`` if it differs between samples."""
        stored = file["dimensions"][name]
        own = file.get(f"{OWN}/{EXACT}{name}")
        item = own if isinstance(own, h5py.Dataset) and own.shape == stored.shape else stored
        values = np.asarray(item[()], dtype=np.float64)
        if not np.isfinite(values).all():
            raise InputError(f"{self.path}: {item.name} has entries that are not finite. Correct the file.")
        return values[0] if values.ndim == 2 and (values == values[0]).all() else values

    def _times(self, file: h5py.File) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Times of each sample, and times of all: one of them is None."""
        values = self._line(file, "time")
        if not (np.diff(values) > 0).all():
            raise InputError(f"{self.path}: the times in /dimensions/time do not increase. Correct the file.")
        return (values, None) if values.ndim == 2 else (None, values)

    def _coords(self, file: h5py.File) -> tuple[np.ndarray, ...] | None:
        lines = [self._line(file, self._sizes.dims[i]) for i in self._order]
        return tuple(lines) if all(x.ndim == 1 for x in lines) else None

    def _periodic(self, file: h5py.File) -> tuple[bool, ...] | None:
        kinds: dict[str, set[str]] = {dim: set() for dim in self._sizes.dims}
        for name, group in file["boundary_conditions"].items():
            told = {kind.upper() for kind in names_in(self.path, group, "bc_type")} if isinstance(group, h5py.Group) else set()
            if len(told) != 1 or not told <= BOUNDARIES:
                raise InputError(
                    f"{self.path}: /boundary_conditions/{name} is no group with an attribute bc_type of {', '.join(sorted(BOUNDARIES))}. "
                    "Write the file again."
                )
            for dim in names_in(self.path, group, "associated_dims"):
                if dim not in kinds:
                    raise InputError(f"{self.path}: {group.name} belongs to {dim}, which is none of {', '.join(kinds)}. Write the file again.")
                kinds[dim] |= told
        found = [kinds[self._sizes.dims[i]] for i in self._order]
        return tuple("PERIODIC" in kind for kind in found) if all(found) else None

    def read(self, sample: int, steps: slice = slice(None)) -> np.ndarray:
        with damage(self.path):
            parts = [self._part(item, sample, slice(0, 1) if self._steady else steps) for item in self._evolving]
        u = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return np.ascontiguousarray(u[0] if self._steady else u, dtype=self._kind)

    def read_inputs(self, sample: int) -> np.ndarray:
        if not self._fixed:
            return super().read_inputs(sample)
        with damage(self.path):
            parts = [self._part(item, sample, slice(None))[0] for item in self._fixed]
        return np.concatenate(parts, dtype=self._input_kind)

    def _part(self, item: Item, sample: int, steps: slice) -> np.ndarray:
        """``(time, channel, *space)``."""
        lead = (sample,) if item.sample_varying else ()
        return item.arranged(self.array(item.place).read(lead, steps if item.time_varying else None), self._sizes, self._order)

    def read_parameters(self, sample: int) -> np.ndarray:
        if not self.facts.parameters:
            return np.empty(0)
        if self._table is None:  # a row per sample: small, and a read for every window would cost as much as its fields
            with damage(self.path):
                self._table = self._numbers()
        return self._table[sample].copy()

    def _numbers(self) -> np.ndarray:
        """``(sample, parameter)``."""
        columns = [np.asarray(self.file[place][()], dtype=np.float64) for place in self._numbers_at]
        return np.stack([np.broadcast_to(column, self._sizes.trajectories) for column in columns], axis=1)

    def read_times(self, sample: int) -> np.ndarray | None:
        return self.facts.times if self._time_rows is None else self._time_rows[sample]


def _listed(value: Any) -> Any:
    """A list of text as one; anything else unchanged."""
    return [str(v) for v in value] if isinstance(value, np.ndarray) and value.dtype.kind == "O" else value
