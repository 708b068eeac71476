"""Arrays as a file of somebody else holds them: values, names of their axes, and how they were stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

UNWRITTEN = 1e30
"""The HDF5 library fills what was never written with 0 unless told otherwise; NetCDF tells it 9.97e36 for floats."""


class Named(NamedTuple):
    """An array and what its file tells about it.

    Attributes
    ----------
    values : missing entries are NaN, packed integers are unpacked.
    dims : names of the axes; empty where the file does not say.
    missing : the entry that the file declares to mean "missing", if it occurs.
    step : the resolution of packed integers; 0 if not packed.
    stored : the type in the file.
    """

    values: np.ndarray
    dims: tuple[str, ...] = ()
    missing: float | None = None
    step: float = 0.0
    stored: np.dtype | None = None

    @property
    def single(self) -> bool:
        """Whether the numbers have the seven digits of single precision (or fewer), even if they are stored in double now."""
        kind = self.stored or self.values.dtype
        if kind.kind in "fc" and kind.itemsize <= (8 if kind.kind == "c" else 4):
            return True
        if self.values.dtype.kind != "f" or kind.kind in "iu":
            return False
        with np.errstate(over="ignore"):
            rounded = self.values.astype(np.float32)
        if not np.array_equal(rounded, self.values, equal_nan=True):
            return False
        # numbers that were rounded use the last bits of the mantissa; short ones such as 0.25 are what they are
        last_bits = rounded[rounded != 0].view(np.int32) & 7
        return bool(last_bits.size and np.mean(last_bits != 0) > 0.5)


def decoded(raw: np.ndarray, dims: tuple[str, ...], attrs: Mapping[str, Any], unwritten: float | None = None) -> Named:
    """An array with its attributes applied: ``_FillValue``, ``missing_value``, ``scale_factor``, ``add_offset`` [CF 1.11, 2.5.1, 8.1].

    ``unwritten`` is what the file holds where nothing was written.
    """
    stored = raw.dtype
    if raw.dtype.kind == "i" and attrs.get("_Unsigned") in ("true", b"true"):
        raw = raw.view(raw.dtype.str.replace("i", "u"))
    declared = [fill for key in ("_FillValue", "missing_value") if key in attrs for fill in np.ravel(attrs[key]).tolist()]
    if unwritten is not None and abs(unwritten) > UNWRITTEN:
        declared.append(unwritten)
    absent = np.zeros(raw.shape, dtype=bool)
    missing: float | None = None
    for fill in declared:
        if isinstance(fill, int | float) and fill == fill:
            here = raw == fill  # in the file's type, because a Python number adapts: -999.9 in single precision is found
            missing = fill if here.any() else missing
            absent |= here
    scale, offset = (float(np.ravel(attrs[key])[0]) if key in attrs else default for key, default in (("scale_factor", 1.0), ("add_offset", 0.0)))
    values = raw
    if (scale, offset) != (1.0, 0.0):
        values = raw.astype(np.float64) * scale + offset
    if missing is not None:
        values = values.astype(np.float64) if values.dtype.kind in "iu" else values.copy()
        values[absent] = np.nan
    return Named(values, dims, missing, abs(scale) if stored.kind in "iu" and scale != 1.0 else 0.0, stored)
