"""PDEBench's layout B: one group per sample, the fields as channels of one array."""

from __future__ import annotations

import re

import h5py
import numpy as np

from sciml.core.derivatives import AXES
from sciml.core.errors import InputError
from sciml.io.hdf5 import attributes, damage, float_type
from sciml.io.pdebench import array_in, checked_axes, checked_shape, checked_times, numbers_in, place
from sciml.io.record import PARAMETERS, Record, read_record
from sciml.io.store import Facts, Store

DATA, GRID, CONFIG = "data", "grid", "config"
CHANNELS = {"diff-react": ("activator", "inhibitor"), "diff-sorp": ("u",), "rdb": ("h",)}
"""Fields of PDEBench's own data sets, by a word in the name that their configuration gives."""


class PDEBenchGroups(Store):
    """Groups ``0000``, ``0001``, ... with ``data`` ``(time, x[, y[, z]], channel)`` and ``grid/x``, ``grid/y``, ``grid/z``, ``grid/t``.

    Samples follow each other by number, whatever the first one is. All must have one shape, grid and time axis, which opening the file
    checks. Channels are named after the configuration where it names one of PDEBench's own data sets, and ``u`` or ``u0``, ``u1``, ...
    otherwise. The attribute ``config`` is the first sample's, a text.
    """

    format = "PDEBench B"

    @classmethod
    def recognises(cls, file: h5py.File) -> bool:
        groups = (name for name in file if file.get(name, getclass=True) is h5py.Group)
        return any(name.isdecimal() or isinstance(file[name].get(DATA), h5py.Dataset) for name in groups)

    def _read_facts(self, file: h5py.File) -> Facts:
        with damage(self.path):
            return self._facts(file)

    def _facts(self, file: h5py.File) -> Facts:
        self._names = self._sample_names(file)
        head = self._group(file, self._names[0], DATA)
        first = array_in(self.path, head, DATA)
        if not 3 <= first.ndim <= 5 or 0 in first.shape:
            raise InputError(
                f"{self.path}: {first.name} has shape {first.shape}; (time, x, channel), (time, x, y, channel) or (time, x, y, z, channel) is "
                "expected, no axis empty. Write the file again."
            )
        steps, *space, channels = first.shape
        told = f"{first.name} has shape {first.shape} with the axes time, space and channel"
        grid = self._grid(head)
        coords = checked_axes(self.path, {axis: grid[axis] for axis in AXES}, space, told)
        times = checked_times(self.path, grid["t"], steps, told)
        record = read_record(self.path, head, "B") or self._guess(file, head, channels)
        if len(record.fields) != channels:
            raise InputError(f"{self.path}: {told}, but its record names the fields {', '.join(record.fields)}. Write the file again.")
        for name in self._names:
            if record.parameters or not _alike(file, name, first, grid):
                self._check_like_first(file, name, first, grid, len(record.parameters))
        return Facts(
            fields=tuple(record.fields),
            shape=tuple(space),
            samples=len(self._names),
            steps=steps,
            dtype=float_type([first]),
            times=times,
            coords=coords,
            parameters=record.parameters,
            labelled=record.labelled or len(self._names) > 1,
            attrs=record.attrs,
            variable_attrs=record.variable_attrs,
        )

    def _sample_names(self, file: h5py.File) -> list[str]:
        odd = [name for name in file if not name.isdecimal()]
        if odd:
            raise InputError(
                f"{self.path}: the samples are groups named by numbers such as 0000, and {', '.join(odd[:4])} is none of them; rename or remove it."
            )
        return sorted(file, key=lambda name: (int(name), name))

    def _group(self, parent: h5py.Group, name: str, holds: str) -> h5py.Group:
        item = parent.get(name)
        if not isinstance(item, h5py.Group):
            what = "missing" if item is None else "no group"
            raise InputError(f"{self.path}: {place(parent, name)} is {what}; a group that holds {holds} is expected. Write the file again.")
        return item

    def _grid(self, group: h5py.Group) -> dict[str, np.ndarray | None]:
        if GRID not in group:
            return dict.fromkeys((*AXES, "t"))
        grid = self._group(group, GRID, "x and t")
        return {axis: numbers_in(self.path, grid, axis) for axis in (*AXES, "t")}

    def _check_like_first(self, file: h5py.File, name: str, first: h5py.Dataset, grid: dict[str, np.ndarray | None], parameters: int) -> None:
        """Raise :class:`InputError` unless a sample has the shape, type, grid and number of parameters of the first."""
        group = self._group(file, name, DATA)
        item = array_in(self.path, group, DATA)
        checked_shape(self.path, item, first.shape, str(first.name))
        if item.dtype != first.dtype:
            raise InputError(f"{self.path}: {item.name} is of type {item.dtype}, but {first.dtype} in {first.name}. Write the file again.")
        if parameters:
            checked_shape(self.path, array_in(self.path, group, PARAMETERS), (parameters,), "its record")
        for axis, x in self._grid(group).items():
            if not np.array_equal(_or_empty(x), _or_empty(grid[axis])):
                raise InputError(
                    f"{self.path}: {place(group, GRID)}/{axis} differs from that of sample {self._names[0]}; all samples of a file must share "
                    "one grid and its times. Put samples of other grids into files of their own."
                )

    def _guess(self, file: h5py.File, head: h5py.Group, channels: int) -> Record:
        """The record of a file made by others, from its configuration."""
        attrs = {name: value for name, value in attributes(file).items() if not name.endswith(f"/{CONFIG}")}
        config = attributes(head).get(CONFIG) or file.attrs.get(f"{self._names[0]}/{CONFIG}")
        if config is not None:
            attrs[CONFIG] = str(config)
        known = re.search(r"^name:\s*(.+)$", str(config), re.MULTILINE)
        named = next((names for word, names in CHANNELS.items() if known and word in known[1] and len(names) == channels), None)
        fields = named or (("u",) if channels == 1 else tuple(f"u{i}" for i in range(channels)))
        return Record("B", dict.fromkeys(fields, DATA), attrs=attrs)

    def read(self, sample: int, steps: slice = slice(None)) -> np.ndarray:
        with damage(self.path):
            values = self.file[f"{self._names[sample]}/{DATA}"][steps]
        return np.ascontiguousarray(np.moveaxis(values, -1, 1), dtype=self.facts.dtype)

    def read_parameters(self, sample: int) -> np.ndarray:
        if not self.facts.parameters:
            return np.empty(0)
        with damage(self.path):
            return np.asarray(self.file[f"{self._names[sample]}/{PARAMETERS}"][()], dtype=np.float64)


def _alike(file: h5py.File, name: str, first: h5py.Dataset, grid: dict[str, np.ndarray | None]) -> bool:
    """Whether a sample is certainly like the first; through the library's own calls, since files hold ten thousand samples."""
    try:
        data = h5py.h5d.open(file.id, f"{name}/{DATA}".encode())
        if data.shape != first.shape or data.dtype != first.dtype:
            return False
        for axis, x in grid.items():
            if x is not None:
                line = h5py.h5d.open(file.id, f"{name}/{GRID}/{axis}".encode())
                values = np.empty(line.shape)
                line.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
                if not np.array_equal(values, x):
                    return False
    except (KeyError, ValueError, TypeError, OSError, RuntimeError):  # what exactly is wrong is said elsewhere
        return False
    return True


def _or_empty(x: np.ndarray | None) -> np.ndarray:
    return np.empty(0) if x is None else x
