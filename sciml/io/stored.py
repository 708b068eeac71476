"""Repeated reads from one array of a file, without the HDF5 library where the array lies in one piece."""

from __future__ import annotations

import math
import os
import sys

import h5py
import numpy as np

POSITIONED = sys.platform != "win32"
"""Whether the system reads from a given place of an open file."""


class StoredArray:
    """An HDF5 data set of an open file, read by leading indices and a slice.

    The library selects, converts and locks anew for every read, which for two states of 64 x 64 in float32 takes six times as long as fetching the
    bytes does. A data set that is neither chunked, filtered, converted nor unwritten is one run of bytes, and a piece of it is fetched from its
    place. All others go through the library.
    """

    def __init__(self, item: h5py.Dataset) -> None:
        self.item = item
        self.shape: tuple[int, ...] = item.shape
        self.dtype: np.dtype = item.dtype
        self._start = _first_byte(item) if POSITIONED else None
        self._handle = item.file.id.get_vfd_handle() if self._start is not None else -1

    def read(self, lead: tuple[int, ...] = (), rows: slice | None = None) -> np.ndarray:
        """``array[*lead, rows]``, contiguous and the caller's own.

        Raises :class:`IndexError` for an index that the array does not have, :class:`OSError` if the file ends too early.
        """
        if any(not 0 <= i < n for i, n in zip(lead, self.shape, strict=False)):
            raise IndexError(f"{self.item.name} has shape {self.shape}; {lead} is outside.")
        if self._start is None or (rows is not None and rows.step is not None and rows.step < 1):
            return np.asarray(self.item[lead if rows is None else (*lead, rows)])
        inner = self.shape[len(lead) :]
        place = 0
        for i, n in zip(lead, self.shape, strict=False):
            place = place * n + i
        first = self._start + place * math.prod(inner) * self.dtype.itemsize
        if rows is None:
            return self._filled(np.empty(inner, self.dtype), first)
        start, stop, step = rows.indices(inner[0])
        wanted = range(start, stop, step)
        result = np.empty((len(wanted), *inner[1:]), self.dtype)
        each = math.prod(inner[1:]) * self.dtype.itemsize
        if step == 1:
            return self._filled(result, first + start * each)
        for k, row in enumerate(wanted):
            self._filled(result[k : k + 1], first + row * each)
        return result

    def _filled(self, target: np.ndarray, place: int) -> np.ndarray:
        """``target`` with the bytes that begin at ``place`` of the file."""
        if target.size == 0:
            return target
        view = target.reshape(-1).view(np.uint8).data
        done = 0
        while done < len(view):  # the system hands out at most 2 GiB at a time
            count = os.preadv(self._handle, [view[done:]], place + done)
            if count == 0:
                raise OSError(f"the file ends before {self.item.name} does")
            done += count
        return target


def _first_byte(item: h5py.Dataset) -> int | None:
    """Where in the file the numbers begin that are used as they lie there; None if they are not."""
    kind = item.dtype
    if item.chunks is not None or item.is_virtual or item.external or item.file.driver != "sec2" or kind.kind != "f" or not kind.isnative:
        return None
    if not item.id.get_type().equal(h5py.h5t.py_create(kind)):
        return None
    if not item.shape or 0 in item.shape or item.id.get_storage_size() != item.size * kind.itemsize:
        return None
    return item.id.get_offset()
