"""A lazy view of one file of trajectories; every format is a subclass that says where its numbers lie."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import h5py
import numpy as np

from sciml.core.errors import InputError
from sciml.io.stored import StoredArray


@dataclass(frozen=True)
class Facts:
    """What a file says about the trajectories in it.

    Attributes
    ----------
    fields : names of the evolving (or, for steady problems, solved for) fields, one channel each.
    shape : number of samples per space axis.
    samples : number of trajectories.
    steps : number of stored instants; None for steady problems, whose fields have no time axis.
    times : ``(steps,)``, float64; None where the file does not say.
    coords : one float64 array per space axis; None where the file does not say.
    periodic : per space axis; None where the file does not say.
    inputs : names of given fields without a time axis, such as a coefficient.
    parameters : names of the numbers given per sample.
    labelled : whether the file has an axis of samples (a single run has none).
    attrs, variable_attrs : attributes of the data set, and of each variable and coordinate, as the file holds them.
    """

    fields: tuple[str, ...]
    shape: tuple[int, ...]
    samples: int
    steps: int | None
    dtype: np.dtype
    times: np.ndarray | None = None
    coords: tuple[np.ndarray, ...] | None = None
    periodic: tuple[bool, ...] | None = None
    inputs: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    labelled: bool = True
    attrs: Mapping[str, Any] = field(default_factory=dict)
    variable_attrs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Store(ABC):
    """One HDF5 file, opened when something is read from it, once per process (so that DataLoader workers may share it).

    Attributes
    ----------
    path : the file.
    facts : what it holds; read when the store is made, without touching the fields.
    """

    format: str

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file: h5py.File | None = None
        self._arrays: dict[str, StoredArray] = {}
        self._process = 0
        self.facts = self._read_facts(self.file)

    @classmethod
    @abstractmethod
    def recognises(cls, file: h5py.File) -> bool:
        """Whether a file is of this format, by what it holds (never by its name)."""

    @abstractmethod
    def _read_facts(self, file: h5py.File) -> Facts:
        """Everything but the fields; raises :class:`InputError` if the file contradicts its own format."""

    @abstractmethod
    def read(self, sample: int, steps: slice = slice(None)) -> np.ndarray:
        """``(time, channel, *space)``, or ``(channel, *space)`` for steady problems; only what is asked for leaves the disk."""

    def read_inputs(self, sample: int) -> np.ndarray:
        """The given fields, ``(input, *space)``."""
        return np.empty((0, *self.facts.shape), self.facts.dtype)

    def read_parameters(self, sample: int) -> np.ndarray:
        """The numbers given for this sample, ``(parameter,)``, float64."""
        return np.empty(0)

    def read_times(self, sample: int) -> np.ndarray | None:
        """The instants of this sample; formats whose samples have times of their own override it."""
        return self.facts.times

    @property
    @final
    def file(self) -> h5py.File:
        """The open file of this process."""
        if self._file is None or self._process != os.getpid():
            self._file, self._process = open_hdf5(self.path), os.getpid()
            self._arrays = {}
        return self._file

    @final
    def array(self, name: str) -> StoredArray:
        """The data set called ``name`` of the open file, kept ready for repeated reads in this process."""
        file = self.file
        if name not in self._arrays:
            self._arrays[name] = StoredArray(file[name])
        return self._arrays[name]

    @final
    def close(self) -> None:
        """Close the file; the next read opens it again."""
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self._file = None
        self._arrays = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_arrays": {}}


def open_hdf5(path: str | Path) -> h5py.File:
    """An HDF5 file opened for reading, or one clear error."""
    source = Path(path)
    if not source.is_file():
        raise InputError(f"Cannot read {source}: there is no such file.")
    try:
        return h5py.File(source, "r", rdcc_nbytes=0)
    except OSError as error:
        raise InputError(f"Cannot read {source}: it is not a whole HDF5 file, or another process holds it ({error}).") from error
