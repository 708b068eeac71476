"""Which arrays of a file are its coordinates: by usual names, or as the caller says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from sciml.core.derivatives import AXES
from sciml.core.errors import InputError
from sciml.io.axes import Axis, Reading, checked_axis, line, points_between
from sciml.io.layout import Line, axis_label
from sciml.io.named import Named

TIME_NAMES = ("time", "t", "tt", "times", "tspan", "t_star", "t-coordinate", "t_grid")
NAMES: dict[str, tuple[str, ...]] = {"t": TIME_NAMES} | {a: (a, a * 2, f"{a}_star", f"{a}-coordinate", f"{a}_grid", f"{a}s") for a in AXES}
"""Usual names of the coordinates, without regard to case."""

KINDS = ("", "periodic", "cells")
_RANGE = re.compile(r"([^:]+):([^:]+)(?::(\w+))?")

Range = tuple[float, float, str]
Source = str | Range | np.ndarray


def checked_coords(coords: Mapping[str, object] | None) -> dict[str, Source]:
    """Coordinates by label: the name of an array, a range ``FIRST:LAST[:periodic|cells]``, or the positions themselves."""
    result: dict[str, Source] = {}
    listed: object = coords  # callers may pass anything
    if not isinstance(listed, Mapping | None):
        raise InputError(f"coords={coords!r:.60} given; a mapping from t, x, y, z to what their positions are is needed, as in {{'x': '0:1'}}.")
    for key, given in (coords or {}).items():
        label = axis_label(key)
        if label not in NAMES:
            raise InputError(f"coords: {key!r} is no axis; name t, x, y or z, as in x=lon or t=0:1.")
        if isinstance(given, str):
            result[label] = _range(given) or given.strip("/")
        elif isinstance(given, tuple):
            first, last, kind = (*given, "")[:3] if len(given) in (2, 3) else (0, 0, None)
            if kind not in KINDS:
                raise InputError(f"coords: {label}={given} given; a range is (first, last), (first, last, 'periodic') or (first, last, 'cells').")
            try:
                result[label] = (float(first), float(last), kind)
            except (TypeError, ValueError) as error:
                raise InputError(f"coords: {label}={given} given; a range runs between two numbers.") from error
        else:
            result[label] = _positions(label, given)
    return result


def _positions(label: str, given: object) -> np.ndarray:
    try:
        values = np.asarray(given)
    except ValueError:  # lists of different lengths
        values = np.empty(0, dtype=object)
    if values.dtype.kind not in "fiuc":
        raise InputError(f"coords: {label}={given!r:.60} given; the name of an array, a range, or the positions as numbers are needed.")
    return values


def _range(text: str) -> Range | None:
    """A range from its text; None if the text is a name."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        return None
    try:
        ends = float(match[1]), float(match[2])
    except ValueError:
        return None
    if (match[3] or "") not in KINDS:
        raise InputError(f"coords: {text!r} given; a range is FIRST:LAST, FIRST:LAST:periodic or FIRST:LAST:cells.")
    return (*ends, match[3] or "")


def find_coordinate(label: str, arrays: Mapping[str, Named], group: str, reading: Reading) -> str | None:
    """The array that is the coordinate ``label`` by its name, in the field's own group first, then in those around it.

    Raises :class:`InputError` if several groups have one and none is nearer.
    """
    usable = [name for name in arrays if max(arrays[name].values.shape, default=1) > 1]
    inside = group
    while True:
        here = {name.rpartition("/")[2]: name for name in usable if name.rpartition("/")[0] == inside}
        by_lower = {base.lower(): name for base, name in reversed(here.items())}
        for usual in NAMES[label]:
            if usual in here or usual in by_lower:
                return here.get(usual) or by_lower[usual]
        if not inside:
            break
        inside = inside.rpartition("/")[0]
    elsewhere = [name for name in usable if name.rpartition("/")[2].lower() in NAMES[label]]
    if len(elsewhere) > 1:
        raise reading.refuse(f"several arrays could be the axis {label}: {', '.join(elsewhere)}; say which, as in coords {label}={elsewhere[0]}.")
    return elsewhere[0] if elsewhere else None


def is_coordinate_name(name: str) -> bool:
    """Whether an array has a usual name of a coordinate, so that it is no candidate for the field."""
    return any(name.rpartition("/")[2].lower() in usual for usual in NAMES.values())


def find_sources(
    labels: Sequence[str] | None, given: Mapping[str, Source], arrays: Mapping[str, Named], group: str, reading: Reading
) -> dict[str, Source]:
    """Where each axis comes from, time first: the name of an array, a range, or positions.

    ``labels`` are the axes that the field has; None if that is to be found out. Raises :class:`InputError` if one is missing.
    """
    sources: dict[str, Source] = {}
    for label in ("t", *AXES) if labels is None else labels:
        source = given[label] if label in given else find_coordinate(label, arrays, group, reading)
        if isinstance(source, str) and source not in arrays:
            raise reading.refuse(f"coords {label}={source} given, but it has no array of that name.")
        if source is not None:
            sources[label] = source
        elif labels is not None or label in ("t", "x"):
            kind = "time axis" if label == "t" else "space axis" if label == "x" else f"axis {label}"
            steady = "; a steady field has dims without t" if label == "t" else ""
            raise reading.refuse(f"no {kind} was found; name an array {label}, or say where it is: coords {label}=NAME or {label}=0:1{steady}.")
        else:
            break
    unused = [label for label in given if label not in sources]
    if unused:
        raise reading.refuse(f"coords gives {', '.join(unused)}, but the field has the axes {', '.join(sources)} only; name all in dims.")
    return sources


def read_axes(
    sources: Mapping[str, Source], arrays: Mapping[str, Named], shape: Mapping[str, int] | None, reading: Reading
) -> tuple[list[Line], dict[str, Axis]]:
    """The axes, checked; ``shape`` has the field's length along each, which ranges need."""
    lines: list[Line] = []
    axes: dict[str, Axis] = {}
    for label, source in sources.items():
        if isinstance(source, tuple):
            if shape is None:
                raise reading.refuse(f"coords gives {label} as a range, whose number of points is the field's; name the order of its axes with dims.")
            axis, dim = Axis(points_between(label, source, shape[label]), False, False), ""
        else:
            named = arrays[source] if isinstance(source, str) else Named(source)
            shown = f"{label} ({source})" if isinstance(source, str) and source != label else label
            found = line(named.values.squeeze())
            if found is None:
                raise reading.refuse(f"{shown} is not a strictly increasing 1-D axis, nor a mesh grid that varies along one direction only.")
            kept = [name for name, n in zip(named.dims, named.values.shape, strict=False) if n > 1]
            axis = checked_axis(shown, named._replace(values=found[0]), reading)
            dim = kept[found[1]] if len(kept) == named.values.squeeze().ndim else ""
        axes[label] = axis
        lines.append(Line(label, len(axis.values), dim))
    return lines, axes
