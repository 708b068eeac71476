"""Reference solutions made by others: ``.mat``, ``.npz``, ``.npy``, ``.nc`` and ``.h5`` files with a field and its coordinates."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from sciml.core.derivatives import AXES
from sciml.core.errors import DataWarning, InputError
from sciml.io.arrays import Contents, read_arrays
from sciml.io.axes import Axis, Reading, checked_field
from sciml.io.coordinates import Source, checked_coords, find_sources, is_coordinate_name, read_axes
from sciml.io.given import Reference
from sciml.io.layout import FIELD, Line, Order, checked_dims, contradiction, orders, picked, squeezed
from sciml.io.named import Named

Variable = str | Sequence[str] | Mapping[str, str]
Coordinate = str | tuple[float, float] | tuple[float, float, str] | Sequence[float] | np.ndarray
Dims = str | Sequence[str | int]


def read_reference(
    path: str | Path, variable: Variable | None = None, *, dims: Dims | None = None, coords: Mapping[str, Coordinate] | None = None
) -> Reference:
    """Read a solution made by others, whatever the format, the names and the order of its axes.

    Without further arguments, coordinates are 1-D (or mesh-grid) arrays with usual names (``t``, ``tt``, ``time``; ``x``,
    ``xx``, ``y``, ...) and the field is the array whose axes have their lengths; time may stand anywhere.

    Parameters
    ----------
    path : ``.mat`` (any version), ``.npz``, ``.npy``, ``.nc``, ``.h5``, ``.hdf5``; told apart by content.
    variable : name of the field, names of several, or ``{field: name}``. Inside groups and MATLAB structures a path,
        ``group/u``. ``psi.real`` and ``psi.imag`` are the parts of a complex array.
    dims : the field's axes in the order of the file, such as ``("x", "t")``: ``t`` for time (none for a steady field),
        ``x``, ``y``, ``z``, ``field`` for stacked fields, or a number, the entry to take along an axis.
    coords : per axis the name of its array, the positions, or a range ``(first, last)``, ``(first, last, "periodic")``
        (the end of the period is not a point) or ``(first, last, "cells")`` (centres of equal cells); as text ``"0:1:cells"``.

    What is often a mistake and could be dealt with is a :class:`DataWarning` and stands in ``notes``.
    Raises :class:`InputError` for a file that cannot be read, or understood; the message lists what it holds.

    >>> reference = sciml.read_reference("theirs.npy", dims=("t", "x"), coords={"t": (0, 1), "x": "0:1:periodic"})   # doctest: +SKIP
    """
    order, given = checked_dims(dims), checked_coords(coords)
    contents = read_arrays(Path(path))
    reading = Reading(str(path), _listing(contents), list(contents.notes))
    wanted = _wanted(variable, contents, reading)
    names = None if order is None else [d for d in order if isinstance(d, str)]
    steady = names is not None and "t" not in names
    labels = None if names is None else [a for a in ("t", *AXES) if a in names]
    group = next(iter(wanted.values())).rpartition("/")[0] if wanted else ""
    sources = find_sources(labels, given, contents.arrays, group, reading)

    arrays: dict[str, Named] = {}
    for name in wanted.values() or _candidates(contents, sources):
        whole = _stored(name, contents.arrays)
        left = squeezed(whole) if order is None else picked(whole, order)
        if left is not None:
            arrays[name] = left
        elif wanted:
            raise reading.refuse(f"{name} {whole.values.shape} does not have the axes that dims={_plain(dims)} names; name each of its axes.")
    shape = None if names is None or not arrays else dict(zip(names, next(iter(arrays.values())).values.shape, strict=True))
    lines, axes = read_axes(sources, contents.arrays, shape, reading)
    fits = {name: orders(array, lines, names) for name, array in arrays.items()}
    found = _fitting(fits, arrays, wanted, lines, names, reading)

    fields: dict[str, np.ndarray] = {}
    for field, name in found.items():
        values = _ordered(name, arrays[name], fits[name][0], axes, reading)
        if names is None or FIELD not in names:
            fields[field] = values
        else:
            fields |= {f"{field}_{i}": np.ascontiguousarray(values[..., i]) for i in range(values.shape[-1])}
    if steady:
        fields = {field: values[None] for field, values in fields.items()}
    times = np.zeros(1) if steady else _trimmed(axes["t"], [len(values) for values in fields.values()], reading)
    notes = tuple(f"Reference {path}: {note}" for note in dict.fromkeys(reading.notes))
    for note in notes:
        warnings.warn(note, DataWarning, stacklevel=2)
    single = frozenset(label for label, axis in axes.items() if axis.single)
    asked = {key: value for key, value in (("variable", variable), ("dims", dims), ("coords", coords)) if value is not None}
    return Reference(times, tuple(axes[a].values for a in AXES if a in axes), fields, str(path), notes, single, steady, asked)


def _wanted(variable: Variable | None, contents: Contents, reading: Reading) -> dict[str, str]:
    """The arrays asked for, by the name of the field."""
    if variable is None:
        return {}
    several = (variable,) if isinstance(variable, str) else variable
    listed: object = several  # callers may pass anything
    asked = dict(several) if isinstance(several, Mapping) else {name: name for name in several} if isinstance(listed, Iterable) else {}
    if not asked or not all(isinstance(text, str) for pair in asked.items() for text in pair):
        raise InputError(f"variable={variable!r:.60} given; a name, a list of names, or names by field are needed.")
    if contents.bare and contents.arrays and len(asked) == 1:  # a bare array has no name of its own
        return dict.fromkeys(asked, next(iter(contents.arrays)))
    result = {field.strip("/"): name.strip("/") for field, name in asked.items()}
    for name in result.values():
        whole, _, part = name.rpartition(".")
        if name in contents.ignored:
            raise reading.refuse(f"{name} cannot be used: it is {contents.ignored[name]}.")
        if name not in contents.arrays and not (whole in contents.arrays and part in ("real", "imag")):
            raise reading.refuse(f"it has no variable {name!r}.")
    return result


def _stored(name: str, arrays: Mapping[str, Named]) -> Named:
    """An array by its name, or the real or imaginary part of one."""
    if name in arrays:
        return arrays[name]
    whole, _, part = name.rpartition(".")
    named = arrays[whole]
    values = named.values.real if part == "real" else named.values.imag
    return named._replace(values=values)


def _candidates(contents: Contents, sources: Mapping[str, Source]) -> list[str]:
    """The arrays that may be the field where none is named."""
    taken = {source for source in sources.values() if isinstance(source, str)}
    return [name for name in contents.arrays if contents.bare or not (name in taken or is_coordinate_name(name))]


def _fitting(
    fits: Mapping[str, Sequence[Order]],
    arrays: Mapping[str, Named],
    wanted: Mapping[str, str],
    lines: Sequence[Line],
    names: Sequence[str] | None,
    reading: Reading,
) -> dict[str, str]:
    """The fields and the arrays that they are; raises :class:`InputError` if an array does not fit the axes, or too many do."""
    axes = " and ".join(f"{line.label} ({line.length})" for line in lines)
    found = dict(wanted) or {name: name for name, found in fits.items() if found}
    for name in found.values():
        size = f"{name} {arrays[name].values.shape}"
        if not fits[name]:
            told = "" if names is None else f" in the order {','.join(names)}"
            raise reading.refuse(f"{size} does not have the axes {axes}{told}.")
        if len(fits[name]) > 1:
            labels = [line.label for line in lines]
            raise reading.refuse(f"the axes of {size} could be read in more than one way; name their order, such as dims {','.join(labels)}.")
        if names is not None and contradiction(arrays[name], lines, names):
            raise reading.refuse(f"dims={','.join(names)} given, but it says itself that the axes of {name} are {', '.join(arrays[name].dims)}.")
    if not found:
        raise reading.refuse(f"no array has the axes {axes}; if these are not the field's, say so with dims and coords.")
    if len(found) > 1 and not wanted:
        raise reading.refuse(f"several arrays could be the field: {', '.join(found)}; name one as the variable.")
    return found


def _ordered(name: str, array: Named, order: Order, axes: Mapping[str, Axis], reading: Reading) -> np.ndarray:
    """A field with its axes in the order time, space, stacked fields, each increasing; checked while it is as in the file."""
    labels = [*axes, FIELD][: len(order)]
    positions = {label: axis.values[::-1] if axis.flipped else axis.values for label, axis in axes.items()}
    values = checked_field(name, array._replace(values=array.values.transpose(order)), positions, labels, reading)
    flipped = tuple(i for i, label in enumerate(labels) if label in axes and axes[label].flipped)
    return np.ascontiguousarray(np.flip(values, flipped)) if flipped else values


def _trimmed(time: Axis, states: Sequence[int], reading: Reading) -> np.ndarray:
    """The times of the states, without the end of the last interval where the file lists that too."""
    if len(set(states)) > 1:
        raise reading.refuse(f"its fields have different numbers of states, {', '.join(map(str, states))}; name those that belong together.")
    if states[0] == len(time.values):
        return time.values
    kept, left = (time.values[1:], time.values[0]) if time.flipped else (time.values[:-1], time.values[-1])
    reading.tell(f"its time axis has {len(time.values)} entries but its fields have {states[0]} states; the last one, t = {left:g}, was left out.")
    return kept


def _listing(contents: Contents) -> str:
    held = [f"{name} {named.values.squeeze().shape}" for name, named in contents.arrays.items()]
    left = [f"{name} ({reason})" for name, reason in contents.ignored.items()]
    return "; ".join([*(held or ["no numeric arrays"]), *left])


def _plain(dims: Dims | None) -> str:
    return dims if isinstance(dims, str) else ",".join(map(str, dims or ()))
