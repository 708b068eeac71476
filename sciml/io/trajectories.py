"""Trajectories in files as a PyTorch data set: any supported format, read piece by piece, never whole."""

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.utils.data import Dataset

from sciml.core.derivatives import AXES
from sciml.core.errors import DataWarning, InputError
from sciml.core.grid import Grid
from sciml.io.dataset import recorded_grid
from sciml.io.store import Store


class Sample(NamedTuple):
    """One trajectory.

    Attributes
    ----------
    u : ``(time, channel, *space)``; ``(channel, *space)`` for steady problems.
    inputs : given fields such as a coefficient, ``(input, *space)``; no entries where there are none.
    parameters : numbers given for the sample, ``(parameter,)``, float64.
    """

    u: Tensor
    inputs: Tensor
    parameters: Tensor


class Window(NamedTuple):
    """A piece of a trajectory: ``before`` ``(steps, channel, *space)`` and what follows it, ``after``."""

    before: Tensor
    after: Tensor
    inputs: Tensor
    parameters: Tensor


class Trajectories(Dataset):
    """Trajectories of one problem, from one file or several; ``data[i]`` is a :class:`Sample` read from disk then.

    Made by :func:`sciml.open_data`. Serves DataLoader workers: each opens the files itself.

    Parameters
    ----------
    stores : files of the same fields, grid and times, in order.
    times, coords, periodic : what the files do not say, or say wrongly.
    """

    def __init__(
        self,
        stores: Sequence[Store],
        *,
        times: Sequence[float] | np.ndarray | None = None,
        coords: Sequence[np.ndarray] | None = None,
        periodic: Sequence[bool] | bool | None = None,
    ) -> None:
        if not stores:
            raise InputError("Trajectories: no files given; give at least one.")
        self.stores = tuple(stores)
        first = stores[0].facts
        for store in stores[1:]:
            facts = store.facts
            for name in ("fields", "shape", "inputs", "parameters", "steps", "dtype"):
                mine, its = getattr(first, name), getattr(facts, name)
                if mine != its:
                    raise InputError(f"{store.path}: {name} is {its}, but {mine} in {stores[0].path}; files of one data set must agree.")
            if (times is None and not _same(first.times, facts.times)) or (coords is None and not _same(first.coords, facts.coords)):
                raise InputError(
                    f"{store.path}: its times or positions are not those of {stores[0].path}; files of one data set must agree. "
                    "Read them one by one, or give times= and coords= if the files are wrong."
                )
        self._ends = list(accumulate(store.facts.samples for store in stores))
        self._latest: tuple[Store, int, np.ndarray, np.ndarray] | None = None
        self.fields, self.inputs, self.parameters = first.fields, first.inputs, first.parameters
        self.shape, self.steps = first.shape, first.steps
        self._times = first.times if times is None else _checked_times(times, first.steps)
        self._coords = first.coords if coords is None else _checked_coords(coords, first.shape)
        given = (periodic,) * len(first.shape) if isinstance(periodic, bool) else periodic
        if given is not None and (not isinstance(given, Sequence) or len(given) != len(first.shape)):
            raise InputError(f"periodic={given} given for {len(first.shape)} space axes; give one entry per axis.")
        self._periodic = first.periodic if given is None else tuple(map(bool, given))
        # an attribute of this name may mean anything in a file made by others
        self._recorded = first.attrs.get("grid") if coords is None and given is None and "sciml_version" in first.attrs else None

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Sample:
        store, sample = self.locate(index)
        return Sample(torch.from_numpy(store.read(sample)), *self._given(store, sample))

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))

    def locate(self, index: int) -> tuple[Store, int]:
        """The file that holds trajectory ``index``, and its number there."""
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"trajectory {index} asked for; there are {count}.")
        index %= count
        which = bisect_right(self._ends, index)
        return self.stores[which], index - (self._ends[which - 1] if which else 0)

    @property
    def times(self) -> np.ndarray:
        """The instants of the stored states, ``(steps,)``."""
        if self._times is None:
            raise InputError(f"{self.stores[0].path} does not say at which times its {self.steps} states are; give times= to open_data.")
        return self._times

    @property
    def coords(self) -> tuple[np.ndarray, ...]:
        """Positions along each space axis."""
        if self._coords is None:
            raise InputError(f"{self.stores[0].path} does not say where its {self.shape} points are; give coords= to open_data, one array per axis.")
        return self._coords

    @property
    def grid(self) -> Grid:
        """The grid of the fields: float32 or float64 as they are."""
        if self._recorded is not None:
            return recorded_grid(self._recorded)
        if self._periodic is None:
            raise InputError(
                f"{self.stores[0].path} does not say which axes are periodic; give periodic= to open_data: True, False, or one entry per axis."
            )
        self._look_for_end_points(self._periodic)
        lengths, origins = zip(*(_extent(x, p, a) for x, p, a in zip(self.coords, self._periodic, AXES, strict=False)), strict=True)
        kind = torch.float32 if self.stores[0].facts.dtype.itemsize == 4 else torch.float64
        return Grid(self.shape, lengths, self._periodic, origins, kind)

    def _look_for_end_points(self, periodic: Sequence[bool]) -> None:
        """Warn if the first state agrees at both ends of a periodic axis, as it does where the end of the period is given too."""
        first = self.stores[0].read(0) if self.steps is None else self.stores[0].read(0, slice(0, 1))
        for axis, name in enumerate(AXES[: len(self.shape)]):
            if not periodic[axis]:
                continue
            dim = axis - len(self.shape)
            start, second, last = (np.take(first, i, axis=dim) for i in (0, 1, -1))
            if np.array_equal(start, last) and not np.array_equal(start, second):
                warnings.warn(
                    f"{self.stores[0].path}: the first state is the same at both ends of {name}, as if the end of the period were a point too; "
                    "a grid has it once. Leave the last point out of the file if so.",
                    DataWarning,
                    stacklevel=3,
                )

    def windows(self, before: int = 1, after: int = 1, *, stride: int = 1) -> Windows:
        """Every piece of ``before + after`` consecutive states (``stride`` instants apart) of every trajectory, as a data set."""
        return Windows(self, before, after, stride)

    def to_xarray(self, samples: slice | None = None) -> xr.Dataset:
        """The trajectories, or a slice of them, in memory as :func:`sciml.to_dataset` makes them: same values, names, attributes."""
        facts = self.stores[0].facts
        chosen = range(len(self))[samples or slice(None)]
        if not chosen:
            raise InputError(f"to_xarray: {samples} selects none of {len(self)} trajectories.")
        places = [self.locate(i) for i in chosen]
        u = np.stack([store.read(i) for store, i in places])
        lead = ("sample",) if facts.labelled or len(self) > 1 else ()
        time = ("time",) if self.steps is not None else ()
        space = AXES[: len(self.shape)]
        u = u if lead else u[0]
        described = facts.variable_attrs
        channel = len(lead) + len(time)
        variables = {
            name: ((*lead, *time, *space), np.ascontiguousarray(np.take(u, i, axis=channel)), described.get(name, {}))
            for i, name in enumerate(self.fields)
        }
        if self.inputs:
            given = np.stack([store.read_inputs(i) for store, i in places])
            given = given if lead else given[0]
            for i, name in enumerate(self.inputs):
                variables[name] = ((*lead, *space), np.ascontiguousarray(np.take(given, i, axis=len(lead))), described.get(name, {}))
        if self.parameters:
            numbers = np.stack([store.read_parameters(i) for store, i in places])
            for i, name in enumerate(self.parameters):
                variables[name] = (lead, numbers[:, i] if lead else numbers[0, i], described.get(name, {}))
        coords = {name: (name, x, described.get(name, {})) for name, x in zip(space, self.coords, strict=True)}
        if time:
            coords["time"] = ("time", self.times, described.get("time", {}))
        if lead:
            coords["sample"] = ("sample", np.asarray(chosen, dtype=np.int64), described.get("sample", {}))
        return xr.Dataset(variables, coords, dict(facts.attrs))

    def _given(self, store: Store, sample: int) -> tuple[Tensor, Tensor]:
        # the windows of a trajectory share them: those of the latest are kept, and copied, because the caller owns what is handed out
        latest = self._latest
        if latest is None or latest[0] is not store or latest[1] != sample:
            latest = self._latest = (store, sample, store.read_inputs(sample), store.read_parameters(sample))
        return torch.from_numpy(latest[2].copy()), torch.from_numpy(latest[3].copy())

    def __repr__(self) -> str:
        steps = "steady" if self.steps is None else f"{self.steps} instants"
        return f"Trajectories({len(self)} x {steps}, {', '.join(self.fields)} on {self.shape}, {self.stores[0].format})"


class Windows(Dataset):
    """Pieces of trajectories; see :meth:`Trajectories.windows`. ``windows[i]`` reads that piece alone from disk."""

    def __init__(self, data: Trajectories, before: int, after: int, stride: int) -> None:
        if data.steps is None:
            raise InputError("windows: the data are steady solutions without a time axis; use the samples themselves.")
        if before < 1 or after < 0 or stride < 1:
            raise InputError(f"windows: before={before}, after={after}, stride={stride} given; at least 1, 0 and 1 are needed.")
        self.data, self.before, self.after, self.stride = data, before, after, stride
        self.each = data.steps - (before + after - 1) * stride
        if self.each < 1:
            span = (before + after - 1) * stride + 1
            raise InputError(f"windows: {before} + {after} states {stride} apart span {span} instants, but a trajectory has {data.steps}.")

    def __len__(self) -> int:
        return len(self.data) * self.each

    def __getitem__(self, index: int) -> Window:
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"window {index} asked for; there are {count}.")
        which, start = divmod(index % count, self.each)
        store, sample = self.data.locate(which)
        stop = start + (self.before + self.after - 1) * self.stride + 1
        u = torch.from_numpy(store.read(sample, slice(start, stop, self.stride)))
        return Window(u[: self.before], u[self.before :], *self.data._given(store, sample))


def _extent(x: np.ndarray, periodic: bool, axis: str) -> tuple[float, float]:
    """Length and origin of an axis from its points: sample 0 at the origin if periodic, cell centres if not."""
    if len(x) < 2:
        raise InputError(f"{axis} has {len(x)} point; a grid needs two or more.")
    h = (x[-1] - x[0]) / (len(x) - 1)
    if not h > 0 or np.abs(np.diff(x) - h).max() > 1e-4 * h:
        raise InputError(f"{axis} is not uniform and increasing, so there is no sciml.Grid for it; interpolate to a uniform axis, or give coords=.")
    return float(h * len(x)), float(x[0] if periodic else x[0] - h / 2)


def _same(a: Any, b: Any) -> bool:
    """Whether two axes, or two tuples of axes, are equal; None (unknown) equals None alone."""
    if a is None or b is None:
        return a is b
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def _checked_times(times: Sequence[float] | np.ndarray, steps: int | None) -> np.ndarray:
    listed = _numbers(times, "times")
    if steps is None or listed.shape != (steps,) or not (np.isfinite(listed).all() and (np.diff(listed) > 0).all()):
        raise InputError(f"times: shape {listed.shape} given; {steps or 'no'} strictly increasing times are needed.")
    return listed


def _checked_coords(coords: Sequence[np.ndarray], shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    if not isinstance(coords, Sequence):
        raise InputError(f"coords: {coords!r:.60} given; a list with one array per axis of lengths {shape} is needed.")
    axes = tuple(_numbers(x, "coords") for x in coords)
    if tuple(x.shape for x in axes) != tuple((n,) for n in shape) or not all(np.isfinite(x).all() for x in axes):
        raise InputError(f"coords: arrays of shape {[x.shape for x in axes]} given; one per axis of lengths {shape}, finite, are needed.")
    return axes


def _numbers(values: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {values!r:.60} given; real numbers are needed ({error}).") from error
