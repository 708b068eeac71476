"""Coordinate axes and field values made by others, checked for what commonly goes wrong with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sciml.core.errors import InputError
from sciml.io.named import Named

NEGLIGIBLE = 1e-12
"""An imaginary part this small, relative to the largest value, is rounding of a transform there and back."""

EVEN = 1e-6
"""Points are uniform if none is farther from its place than this part of the spacing."""

SINGLE = 4 * float(np.finfo(np.float32).eps)
"""Relative error of positions that were computed and stored in single precision."""


@dataclass
class Reading:
    """One file while it is read: how errors are worded, and what was noticed.

    Attributes
    ----------
    source : the file.
    listing : what it holds, for error messages.
    notes : what was found and what was done about it.
    """

    source: str
    listing: str = ""
    notes: list[str] = field(default_factory=list)

    def refuse(self, problem: str) -> InputError:
        """The error that says ``problem`` and lists what the file holds."""
        return InputError(f"Reference {self.source}: {problem} The file holds: {self.listing}.")

    def tell(self, note: str) -> None:
        """Remember a finding, once."""
        if note not in self.notes:
            self.notes.append(note)


class Axis(NamedTuple):
    """An axis as it is used.

    Attributes
    ----------
    values : 1-D, float64, increasing.
    flipped : whether the file has them in decreasing order, so that fields must be flipped with them.
    single : whether the file has only the seven digits of single precision.
    """

    values: np.ndarray
    flipped: bool
    single: bool


def line(values: np.ndarray) -> tuple[np.ndarray, int] | None:
    """The 1-D axis in an array, and along which direction it varies: the array itself, or a mesh grid that varies along one direction only."""
    if values.ndim == 1:
        return values, 0
    for direction in range(values.ndim):
        lines = np.moveaxis(values, direction, -1).reshape(-1, values.shape[direction])
        if values.shape[direction] > 1 and np.array_equal(lines, np.broadcast_to(lines[:1], lines.shape)) and np.any(lines[0] != lines[0, 0]):
            return lines[0], direction
    return None


def checked_axis(label: str, named: Named, reading: Reading) -> Axis:
    """An axis ready for use; ``label`` names it in messages, such as ``x (lon)``.

    A decreasing axis is turned round, one in single precision that is uniform is made again in double; both are told.
    Raises :class:`InputError` if its entries are not finite, repeat each other, or go up and down.
    """
    values = real_part(label, named.values, reading)
    finite(label, named, values, reading, lambda at: f"entry {at[0]}")
    single = named.single
    values = values.astype(np.float64)
    if len(values) < 2:
        raise reading.refuse(f"{label} is not an increasing 1-D axis: it has {len(values)} entry; at least 2 are needed.")
    steps = np.diff(values)
    flipped = bool((steps < 0).all())
    if flipped:
        reading.tell(f"{label} decreases from {values[0]:g} to {values[-1]:g}; it was turned round, and the fields with it.")
        values = values[::-1].copy()
    elif not (steps > 0).all():
        at = int(np.argmax(steps <= 0))
        what = "repeats an entry" if steps[at] == 0 else "goes up and down"
        raise reading.refuse(
            f"{label} is not a strictly increasing 1-D axis: it {what} (entry {at} is {values[at]:.9g}, the next {values[at + 1]:.9g}); sort it."
        )
    if single and not is_uniform(values, 1e-10):
        again = _in_double(values)
        if again is not None:
            reading.tell(
                f"{label} is in single precision; it is uniform to that precision and was made again in double, "
                f"from {again[0]:.9g} to {again[-1]:.9g}."
            )
            return Axis(again, flipped, True)
        reading.tell(f"{label} is in single precision (about 7 digits); its positions are used as they are.")
    else:
        single = False
    if not is_uniform(values):
        low, high = np.diff(values).min(), np.diff(values).max()
        reading.tell(
            f"{label} is not uniform (spacing from {low:.3g} to {high:.3g}); errors are taken at its points, so that dense parts count for more."
        )
    return Axis(values, flipped, single)


def is_uniform(values: np.ndarray, tolerance: float = EVEN) -> bool:
    """Whether the points of an increasing axis are equally spaced."""
    even = np.linspace(values[0], values[-1], len(values))
    return bool(np.abs(values - even).max() <= tolerance * (values[-1] - values[0]) / (len(values) - 1))


def _in_double(values: np.ndarray) -> np.ndarray | None:
    """The uniform axis whose entries in single precision are ``values``; None if they are not uniform even so."""
    first, last = (float(str(np.float32(end))) for end in (values[0], values[-1]))  # 0.1 and not 0.100000001
    even = np.linspace(first, last, len(values))
    allowed = min(SINGLE * np.abs(values).max(), 0.01 * (last - first) / (len(values) - 1))
    return even if np.abs(values - even).max() <= allowed else None


def points_between(label: str, text: tuple[float, float, str], count: int) -> np.ndarray:
    """``count`` points from a range: first and last point, the points of one period, or the centres of cells."""
    first, last, kind = text
    if not (first < last and math.isfinite(last - first)):
        raise InputError(f"coords: {label}={first:g}:{last:g} does not increase between finite numbers; give FIRST:LAST.")
    if kind == "":
        return np.linspace(first, last, count)
    offset = {"periodic": 0.0, "cells": 0.5}[kind]
    return first + (last - first) * ((np.arange(count) + offset) / count)


def real_part(name: str, values: np.ndarray, reading: Reading) -> np.ndarray:
    """Real numbers as they are; complex ones without an imaginary part that is zero to rounding, which is told.

    Raises :class:`InputError` if the imaginary part is not negligible.
    """
    if values.dtype.kind != "c":
        return values
    imaginary, size = np.abs(values.imag).max(initial=0.0), np.abs(values).max(initial=0.0)
    if imaginary > NEGLIGIBLE * size or not np.isfinite(size):
        plain = name.split(" ")[0]
        raise reading.refuse(
            f"{name} is complex, with an imaginary part up to {imaginary:.3g} where the largest modulus is {size:.3g}; "
            f"name a part of it, {plain}.real or {plain}.imag, as the variable."
        )
    reading.tell(f"{name} is complex with an imaginary part of at most {imaginary:.1e}; its real part was taken.")
    return values.real


def finite(name: str, named: Named, values: np.ndarray, reading: Reading, place: Callable[[tuple[int, ...]], str]) -> None:
    """Raise :class:`InputError` if any entry is NaN, infinite or missing; ``place`` words where the first one is."""
    bad = ~np.isfinite(values)
    count = int(bad.sum())
    if count:
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        what = "not finite" if named.missing is None else f"missing (the file marks them by {named.missing:g}) or not finite"
        raise reading.refuse(f"{name}: {count} of its {bad.size} entries are {what}, the first at {place(at)}; give a field that is complete.")


def checked_field(name: str, named: Named, axes: Mapping[str, np.ndarray], order: Sequence[str], reading: Reading) -> np.ndarray:
    """Values of a field in float64 whose axes are ``order``; what its precision cannot resolve is told.

    Raises :class:`InputError` for entries that are missing or not finite, and for truly complex fields.
    """
    values = real_part(name, named.values, reading)

    def place(at: tuple[int, ...]) -> str:
        return ", ".join(f"{a} = {axes[a][i]:g} (entry {i})" if a in axes else f"{a} {i}" for a, i in zip(order, at, strict=True))

    finite(name, named, values, reading, place)
    if named.single:
        reading.tell(f"{name} is in single precision (about 7 digits); errors below 1e-7 of its size say nothing.")
    if named.step:
        reading.tell(f"{name} is packed into integers in steps of {named.step:g}; errors below half a step say nothing.")
    return np.ascontiguousarray(values, dtype=np.float64)
