"""The items of a file of the Well: names, flags, fields and scalars, each checked against the sizes that the file announces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import h5py
import numpy as np

from sciml.core.errors import InputError


@dataclass(frozen=True)
class Sizes:
    """What a file announces.

    Attributes
    ----------
    path : the file.
    trajectories, steps : lengths of the axes of samples and of times.
    dims : names of the space axes, in the order in which arrays have them.
    shape : their lengths.
    """

    path: Path
    trajectories: int
    steps: int
    dims: tuple[str, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Item:
    """A field or a scalar, and how its array is to be read.

    Attributes
    ----------
    place : its name in the file.
    channels : one name per component, ``velocity_x``, ``D_xy``; the field's own name if it is a scalar.
    sample_varying, time_varying, dim_varying : which axes the array has; it is constant along the others.
    """

    place: str
    channels: tuple[str, ...]
    sample_varying: bool
    time_varying: bool
    dim_varying: tuple[bool, ...] = ()

    def arranged(self, raw: np.ndarray, sizes: Sizes, order: Sequence[int]) -> np.ndarray:
        """``(time, channel, *space)`` from what the file has of one sample (one time if the item does not vary in time).

        ``order`` are the numbers of the space axes in which they are wanted.
        """
        count = len(self.channels)
        full = raw if self.time_varying else raw[None]
        present = [n for n, varies in zip(sizes.shape, self.dim_varying, strict=True) if varies]
        full = full.reshape(len(full), *present, count)
        for axis, varies in enumerate(self.dim_varying):
            if not varies:
                full = np.repeat(np.expand_dims(full, 1 + axis), sizes.shape[axis], axis=1 + axis)
        return full.transpose(0, len(order) + 1, *(1 + axis for axis in order))


def group_in(path: Path, file: h5py.Group, name: str) -> h5py.Group:
    """A group that every file of the Well has."""
    item = file.get(name)
    if not isinstance(item, h5py.Group):
        found = "nothing" if item is None else "a data set"
        raise InputError(f"{path}: a group {name} is expected, as in every file of the Well, and there is {found}. Write the file again.")
    return item


def names_in(path: Path, group: h5py.Group, attribute: str = "field_names") -> tuple[str, ...]:
    """A list of names from an attribute."""
    value = group.attrs.get(attribute)
    listed = [] if value is None or isinstance(value, h5py.Empty) else np.asarray(value).ravel().tolist()
    names = tuple(n.decode("utf-8", "replace") if isinstance(n, bytes) else n for n in listed)
    if value is None or not all(isinstance(n, str) for n in names):
        raise InputError(f"{path}: {group.name} needs an attribute {attribute} with a list of names, and has {value!r}. Write the file again.")
    return names


def flag_of(path: Path, item: h5py.Dataset | h5py.Group, name: str) -> bool:
    """An attribute that is true or false."""
    value = item.attrs.get(name)
    if value is None or np.ndim(value) or value not in (0, 1):
        raise InputError(f"{path}: {item.name} needs an attribute {name}, true or false, and has {value!r}. Write the file again.")
    return bool(value)


def numbers_at(path: Path, group: h5py.Group, name: str, why: str) -> h5py.Dataset:
    """A data set of real numbers."""
    item = group.get(name)
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiub":
        found = "nothing" if item is None else "a group" if isinstance(item, h5py.Group) else f"{item.dtype}"
        place = f"{str(group.name).rstrip('/')}/{name}"
        raise InputError(f"{path}: {why}, but under {place} there is {found}; real numbers are expected. Write the file again.")
    return item


def fields_in(sizes: Sizes, file: h5py.File) -> list[Item]:
    """Every field of ``t0_fields``, ``t1_fields``, ``t2_fields``, in this order."""
    found = []
    for rank in range(3):
        group = group_in(sizes.path, file, f"t{rank}_fields")
        found += [_field(sizes, group, name, rank) for name in names_in(sizes.path, group)]
    channels = [channel for item in found for channel in item.channels]
    twice = sorted({channel for channel in channels if channels.count(channel) > 1})
    if twice:
        raise InputError(f"{sizes.path}: two of its fields are called {', '.join(twice)}; rename one of them.")
    return found


def scalars_in(sizes: Sizes, file: h5py.File) -> list[Item]:
    """Every scalar; a constant has no axes (or one of length 1, as the published text has it)."""
    group = group_in(sizes.path, file, "scalars")
    found = []
    for name in names_in(sizes.path, group):
        item, lead, flags = _checked(sizes, group, name)
        if item.shape != lead and (lead or item.shape != (1,)):
            raise _mismatch(sizes, item, [lead])
        found.append(Item(str(item.name), (name,), *flags))
    return found


def _checked(sizes: Sizes, group: h5py.Group, name: str) -> tuple[h5py.Dataset, tuple[int, ...], tuple[bool, bool]]:
    """A named data set, the lengths of its axes of samples and times, and its flags."""
    item = numbers_at(sizes.path, group, name, f"{group.name} names {name} among its items")
    by_sample, by_time = flag_of(sizes.path, item, "sample_varying"), flag_of(sizes.path, item, "time_varying")
    return item, (*((sizes.trajectories,) if by_sample else ()), *((sizes.steps,) if by_time else ())), (by_sample, by_time)


def _field(sizes: Sizes, group: h5py.Group, name: str, rank: int) -> Item:
    item, lead, flags = _checked(sizes, group, name)
    count = len(sizes.dims)
    varying = np.ravel(item.attrs.get("dim_varying", ())).tolist()
    if len(varying) != count or any(v not in (0, 1) for v in varying):
        raise InputError(
            f"{sizes.path}: {item.name} needs an attribute dim_varying with true or false for each of {', '.join(sizes.dims)}, and has {varying}. "
            "Write the file again."
        )
    space = tuple(n for n, varies in zip(sizes.shape, varying, strict=True) if varies)
    allowed = [(*lead, *space, *((count,) * rank))]
    if rank == 2:  # the published text has the components in one axis, the published files in two
        allowed.append((*lead, *space, count * count))
    if item.shape not in allowed:
        raise _mismatch(sizes, item, allowed)
    parts = ["".join(combination) for combination in product(sizes.dims, repeat=rank)]
    channels = tuple(f"{name}_{part}" if part else name for part in parts)
    return Item(str(item.name), channels, *flags, tuple(map(bool, varying)))


def _mismatch(sizes: Sizes, item: h5py.Dataset, allowed: Sequence[tuple[int, ...]]) -> InputError:
    told = f"{sizes.trajectories} trajectories, {sizes.steps} times and space {dict(zip(sizes.dims, sizes.shape, strict=True))}"
    return InputError(
        f"{sizes.path}: {item.name} has shape {item.shape}, but by its flags and {told} it should be {' or '.join(map(str, allowed))}. "
        "Write the file again."
    )
