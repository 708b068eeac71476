"""The order of a field's axes: as the caller names it, as the file labels it, or as the lengths tell."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import NamedTuple

from sciml.core.derivatives import AXES
from sciml.core.errors import InputError
from sciml.io.named import Named

FIELD = "field"
"""The name of an axis along which several fields are stacked."""

Order = tuple[int, ...]


class Line(NamedTuple):
    """A coordinate as found: its label (t, x, y, z), its length, and what its file calls that dimension (empty: unknown)."""

    label: str
    length: int
    dim: str = ""


def checked_dims(dims: str | Sequence[str | int] | None) -> tuple[str | int, ...] | None:
    """The order of a field's axes: each t, x, y, z or ``field``, or a number, the entry to take along that axis."""
    if dims is None:
        return None
    listed: object = dims  # callers may pass anything
    words = dims.split(",") if isinstance(dims, str) else list(dims) if isinstance(listed, Sequence) else []
    words = words if all(isinstance(w, str | int) for w in words) else []
    result = tuple(w if isinstance(w, int) else int(w) if re.fullmatch(r"-?\d+", w.strip()) else axis_label(w) for w in words)
    names = [d for d in result if isinstance(d, str)]
    space = [a for a in AXES if a in names]
    wrong = [d for d in names if d not in ("t", *AXES, FIELD)]
    if wrong or not names or len(set(names)) < len(names) or space != list(AXES[: len(space)]):
        raise InputError(
            f"dims={dims!r} given; name the field's axes in their order: t for time, x, y, z for space (x first), {FIELD} for stacked fields, each "
            "once, or a number for the entry to take along an axis. An example: t,x."
        )
    return result


def axis_label(name: str) -> str:
    """The label of an axis from the word for it."""
    word = name.strip().lower()
    return "t" if word == "time" else word


def squeezed(named: Named) -> Named:
    """Without axes of one entry."""
    keep = [i for i, n in enumerate(named.values.shape) if n > 1]
    return named._replace(values=named.values.squeeze(), dims=tuple(named.dims[i] for i in keep) if named.dims else ())


def picked(named: Named, dims: Sequence[str | int]) -> Named | None:
    """The array with the entries taken that ``dims`` asks for, one axis left per name; None if its number of axes does not fit."""
    names = [d for d in dims if isinstance(d, str)]
    if named.values.ndim != len(dims):
        small = squeezed(named)
        return small if len(names) == len(dims) == small.values.ndim else None
    for axis, d in enumerate(dims):
        if isinstance(d, int) and not -named.values.shape[axis] <= d < named.values.shape[axis]:
            return None
    index = tuple(slice(None) if isinstance(d, str) else d for d in dims)
    left = tuple(name for name, d in zip(named.dims, dims, strict=True) if isinstance(d, str)) if named.dims else ()
    return named._replace(values=named.values[index], dims=left)


def orders(named: Named, lines: Sequence[Line], dims: Sequence[str] | None) -> list[Order]:
    """The permutations that bring an array to ``lines`` (and stacked fields last): none if it does not fit, several if the lengths leave it open.

    A time axis may list the end of the last interval too, one entry more than there are states (PDEBench does).
    """
    shape = named.values.shape
    labels = [li.label for li in lines]
    if dims is not None:
        order = tuple(dims.index(label) for label in (*labels, *({FIELD} & set(dims))))
        return [order] if len(shape) == len(dims) and _fits(shape, order, lines) else []
    if len(shape) != len(lines):
        return []
    if named.dims and all(li.dim in named.dims for li in lines):
        order = tuple(named.dims.index(li.dim) for li in lines)
        return [order] if _fits(shape, order, lines) else []
    every = list(itertools.permutations(range(len(lines))))
    exact = [tuple(li.length for li in lines)]
    shorter = [tuple(li.length - (li.label == "t") for li in lines)]
    for wanted in exact + shorter:
        fits = [order for order in every if tuple(shape[i] for i in order) == wanted]
        # space axes of equal length stay in the order of the file
        space = [i for i, label in enumerate(labels) if label != "t"]
        pairs = list(itertools.combinations(space, 2))
        fits = [order for order in fits if not any(order[i] > order[j] and _swap(order, i, j) in fits for i, j in pairs)]
        if fits:
            return fits
    return []


def contradiction(named: Named, lines: Sequence[Line], dims: Sequence[str]) -> bool:
    """Whether the file names the axes of an array in another order than ``dims`` does."""
    known = {li.dim: li.label for li in lines if li.dim}
    return any(known.get(theirs, ours) != ours for ours, theirs in zip(dims, named.dims, strict=False))


def _fits(shape: Sequence[int], order: Order, lines: Sequence[Line]) -> bool:
    return all(shape[i] == li.length or (li.label == "t" and shape[i] == li.length - 1) for i, li in zip(order, lines, strict=False))


def _swap(order: Order, i: int, j: int) -> Order:
    swapped = list(order)
    swapped[i], swapped[j] = order[j], order[i]
    return tuple(swapped)
