"""Reference solutions made by others: ``.mat``, ``.npz``, ``.nc`` and ``.h5`` files with a field and its coordinates."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sciml.core.derivatives import AXES
from sciml.core.errors import InputError
from sciml.io.arrays import Named, read_arrays

TIME_NAMES = ("time", "t", "tt", "times", "tspan", "t_star", "t-coordinate", "t_grid")
SPACE_NAMES = tuple((a, a * 2, f"{a}_star", f"{a}-coordinate", f"{a}_grid", f"{a}s") for a in AXES)


@dataclass(frozen=True)
class Reference:
    """A solution on a space-time lattice.

    Attributes
    ----------
    times : ``(T,)``, increasing.
    coords : one increasing 1-D array per space axis.
    fields : per name an array ``(T, *space)``, in float64.
    source : the file it was read from.
    """

    times: np.ndarray
    coords: tuple[np.ndarray, ...]
    fields: Mapping[str, np.ndarray]
    source: str

    @property
    def values(self) -> np.ndarray:
        """All fields, ``(T, field, *space)``."""
        return np.stack(list(self.fields.values()), axis=1)


def read_reference(path: str | Path, variable: str | Sequence[str] | None = None, *, time_axis: int | None = None) -> Reference:
    """Read a reference solution, whatever the order of its axes.

    Coordinates are 1-D (or mesh-grid) arrays with usual names (``t``, ``tt``, ``time``; ``x``, ``xx``, ``y``, ...).
    The field is the array whose axes have the coordinates' lengths; time may come first or last.

    Parameters
    ----------
    path : ``.mat`` (any version), ``.npz``, ``.nc``, ``.h5``, ``.hdf5``.
    variable : name of the field, or names, where the file holds several candidates.
    time_axis : 0 or -1, where the lengths leave it open.

    Raises :class:`InputError` for a file that cannot be read, or understood; the message lists what it holds.
    """
    arrays = {name: _squeezed(named) for name, named in read_arrays(Path(path)).items()}
    listing = "; ".join(f"{name} {named.values.shape}" for name, named in arrays.items()) or "no numeric arrays"

    def refuse(problem: str) -> InputError:
        return InputError(f"Reference {path}: {problem} The file holds: {listing}.")

    time_name = _find(arrays, TIME_NAMES)
    if time_name is None:
        raise refuse(f"no time axis was found; name one of its arrays {', '.join(TIME_NAMES[:3])}.")
    space_names = [name for names in SPACE_NAMES if (name := _find(arrays, names)) is not None]
    if not space_names:
        raise refuse("no space axis was found; name one of its arrays x.")
    coordinates = {name: _axis(arrays[name].values) for name in (time_name, *space_names)}
    for name, axis in coordinates.items():
        if axis is None or not np.all(np.diff(axis) > 0):
            raise refuse(f"{name} is not a strictly increasing 1-D axis.")
    times = np.asarray(coordinates.pop(time_name), dtype=np.float64)
    coords = tuple(np.asarray(axis, dtype=np.float64) for axis in coordinates.values())

    wanted = (variable,) if isinstance(variable, str) else tuple(variable or ())
    for name in wanted:
        if name not in arrays:
            raise refuse(f"it has no variable {name!r}.")
    names = wanted or tuple(name for name in arrays if name not in (time_name, *space_names))
    found: dict[str, np.ndarray] = {}
    for name in names:
        orders = _axis_orders(arrays[name], (time_name, *space_names), (len(times), *map(len, coords)), time_axis)
        if len(orders) > 1:
            raise refuse(f"the axes of {name} {arrays[name].values.shape} could be read in more than one way; give time_axis=0 or time_axis=-1.")
        if orders:
            found[name] = np.ascontiguousarray(arrays[name].values.transpose(orders[0]), dtype=np.float64)
        elif wanted:
            raise refuse(f"{name} {arrays[name].values.shape} does not have the axes {time_name} ({len(times)}) and {_lengths(coordinates)}.")
    if not found:
        raise refuse(f"no array has the axes {time_name} ({len(times)}) and {_lengths(coordinates)}.")
    if len(found) > 1 and not wanted:
        raise refuse(f"several arrays could be the field: {', '.join(found)}; name one with variable=.")
    steps = next(iter(found.values())).shape[0]
    for name, values in found.items():
        if not np.isfinite(values).all():
            raise refuse(f"{name} has entries that are not finite.")
    return Reference(times[:steps], coords, found, str(path))


def _axis_orders(named: Named, axes: tuple[str, ...], lengths: tuple[int, ...], time_axis: int | None) -> list[tuple[int, ...]]:
    """The permutations that bring an array to (time, *space): none if its lengths do not fit, several if they leave it open."""
    shape, n = named.values.shape, len(axes)
    if len(shape) != n:
        return []
    if named.dims and all(axis in named.dims for axis in axes):
        return [tuple(named.dims.index(axis) for axis in axes)]
    orders = [order for order in itertools.permutations(range(n)) if time_axis is None or order[0] == time_axis % n]
    # a time axis may list the end of the last interval too, one entry more than there are states (PDEBench does)
    for wanted in (lengths, (lengths[0] - 1, *lengths[1:])):
        fits = [order for order in orders if tuple(shape[i] for i in order) == wanted]
        # space axes of equal length stay in the order of the file
        pairs = list(itertools.combinations(range(1, n), 2))
        fits = [order for order in fits if not any(order[i] > order[j] and _swap(order, i, j) in fits for i, j in pairs)]
        if fits:
            return fits
    return []


def _swap(order: tuple[int, ...], i: int, j: int) -> tuple[int, ...]:
    swapped = list(order)
    swapped[i], swapped[j] = order[j], order[i]
    return tuple(swapped)


def _find(arrays: Mapping[str, Named], names: Sequence[str]) -> str | None:
    by_lower = {name.rsplit("/", 1)[-1].lower(): name for name in arrays}
    return next((by_lower[name] for name in names if name in by_lower), None)


def _axis(values: np.ndarray) -> np.ndarray | None:
    """A 1-D axis, from itself or from a mesh grid that varies along one direction only."""
    if values.ndim == 1:
        return values
    for direction in range(values.ndim):
        line = np.moveaxis(values, direction, -1).reshape(-1, values.shape[direction])
        if values.shape[direction] > 1 and np.array_equal(line, np.broadcast_to(line[:1], line.shape)) and np.ptp(line[0]) > 0:
            return line[0]
    return None


def _squeezed(named: Named) -> Named:
    keep = [i for i, n in enumerate(named.values.shape) if n > 1]
    dims = tuple(named.dims[i] for i in keep) if named.dims else ()
    return Named(named.values.squeeze(), dims)


def _lengths(coordinates: Mapping[str, np.ndarray | None]) -> str:
    return ", ".join(f"{name} ({0 if axis is None else len(axis)})" for name, axis in coordinates.items())
