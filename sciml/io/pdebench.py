"""What the layouts of PDEBench share: checked coordinates, times and shapes.

PDEBench [M. Takamoto et al., NeurIPS 2022, arXiv 2210.07182] keeps scalar equations, compressible flow and Darcy flow in one array per field
(layout A), reaction and shallow water in one group per sample (layout B), and incompressible flow in arrays with the components last (layout C).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from sciml.core.derivatives import AXES
from sciml.core.errors import InputError


def array_in(path: Path, group: h5py.Group, name: str) -> h5py.Dataset:
    """The data set ``name`` of real numbers; raises :class:`InputError` if it is missing or something else."""
    item = group.get(name)
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiu":
        found = "nothing" if item is None else "a group" if isinstance(item, h5py.Group) else f"{item.dtype}"
        raise InputError(f"{path}: an array of real numbers is expected under {place(group, name)}, and there is {found}. Write the file again.")
    return item


def place(group: h5py.Group, name: str) -> str:
    """The full name of an item."""
    return f"{str(group.name).rstrip('/')}/{name}"


def numbers_in(path: Path, group: h5py.Group, name: str) -> np.ndarray | None:
    """A coordinate, float64; None if the group does not have it. Raises :class:`InputError` unless it is a list of finite numbers."""
    if name not in group:
        return None
    item = array_in(path, group, name)
    wrong = f"has shape {item.shape}" if item.ndim != 1 else ""
    with np.errstate(invalid="ignore"):  # casting some NaN warns
        values = np.empty(0) if wrong else np.asarray(item[()], dtype=np.float64)
    if not np.isfinite(values).all():
        wrong = "has entries that are not finite"
    if wrong:
        raise InputError(f"{path}: {place(group, name)} {wrong}; a list of finite numbers is expected. Correct or remove it.")
    return values


def checked_axes(path: Path, found: Mapping[str, np.ndarray | None], shape: Sequence[int], what: str) -> tuple[np.ndarray, ...] | None:
    """The positions along the axes of a field, one array each; None if the file gives none.

    Parameters
    ----------
    found : coordinate by axis.
    shape : lengths of the field's space axes.
    what : the field as it lies in the file, for the message.

    Raises :class:`InputError` if coordinates and field contradict each other.
    """
    given = {axis: x for axis, x in found.items() if x is not None}
    if not given:
        return None
    lengths = {axis: len(x) for axis, x in given.items()}
    if list(lengths.items()) != list(zip(AXES, shape, strict=False)):
        told = ", ".join(f"{axis} of {n} points" for axis, n in lengths.items())
        raise InputError(
            f"{path}: {what}, so space has {' x '.join(map(str, shape)) or 'no'} points, but the coordinates are {told}. "
            "One per axis is expected, in the order x, y, z; correct the order of the array's axes, or its coordinates."
        )
    return tuple(given.values())


def checked_times(path: Path, listed: np.ndarray | None, steps: int, what: str) -> np.ndarray | None:
    """The instants of ``steps`` states, float64; None if the file gives none.

    PDEBench lists the end of the last interval too, so one entry more is allowed, and dropped.
    Raises :class:`InputError` for other lengths, and for times that do not increase.
    """
    if listed is None:
        return None
    if len(listed) not in (steps, steps + 1) or not (np.diff(listed) > 0).all():
        wrong = f"has {len(listed)} entries" if len(listed) not in (steps, steps + 1) else "does not increase"
        raise InputError(
            f"{path}: its time coordinate {wrong}, but {what}; {steps} or {steps + 1} increasing times are expected. "
            "Correct the order of the array's axes, or the coordinate."
        )
    return listed[:steps]


def checked_shape(path: Path, item: h5py.Dataset, shape: tuple[int, ...], like: str) -> None:
    """Raise :class:`InputError` unless ``item`` has that shape; ``like`` names what it must agree with."""
    if item.shape != shape:
        raise InputError(f"{path}: {item.name} has shape {item.shape}; {shape} is expected by {like}. Write the file again.")
