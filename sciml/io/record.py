"""What other formats have no place for, kept beside the data so that a data set comes back as it was written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from sciml.core.errors import InputError

RECORD = "sciml"
"""The data set of text that holds the record: at the root of layout A, in every group of layout B (one text, linked)."""
PARAMETERS = "parameters"
"""The data set with the numbers given per sample, ``(sample, parameter)``, or ``(parameter,)`` in each group of layout B."""


@dataclass(frozen=True)
class Record:
    """Names, kinds and attributes of the variables.

    Attributes
    ----------
    layout : A or B.
    fields, inputs : the name of the data set that holds each (layout B: of all fields together).
    parameters : in the order of their columns.
    labelled : whether the data had an axis of samples.
    steady : whether they had no axis of time.
    attrs, variable_attrs : as in :class:`sciml.io.store.Facts`.
    """

    layout: str
    fields: Mapping[str, str]
    inputs: Mapping[str, str] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()
    labelled: bool = True
    steady: bool = False
    attrs: Mapping[str, Any] = field(default_factory=dict)
    variable_attrs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def write_record(group: h5py.Group, record: Record, ds: xr.Dataset, who: str = "write_pdebench") -> None:
    """Write ``record`` with the attributes of ``ds``; raises :class:`InputError` for an attribute that JSON cannot hold."""
    try:
        attrs = {str(k): _packed(v) for k, v in ds.attrs.items()}
        described = {str(n): {str(k): _packed(x) for k, x in v.attrs.items()} for n, v in ds.variables.items()}
        text = json.dumps({**asdict(record), "attrs": attrs, "variable_attrs": described})
    except (TypeError, ValueError) as error:
        raise InputError(f"{who}: an attribute of the dataset cannot be written ({error}); use numbers, text and lists of them.") from error
    group.create_dataset(RECORD, data=text, dtype=h5py.string_dtype())


def read_record(path: Path, group: h5py.Group, layout: str) -> Record | None:
    """The record in ``group``; None if there is none. Raises :class:`InputError` if it cannot be understood."""
    item = group.get(RECORD)
    if item is None:
        return None
    try:
        content = json.loads(item.asstr()[()])
        record = Record(
            layout=content["layout"],
            fields=dict(content["fields"]),
            inputs=dict(content["inputs"]),
            parameters=tuple(content["parameters"]),
            labelled=bool(content["labelled"]),
            steady=bool(content["steady"]),
            attrs={k: _unpacked(v) for k, v in content["attrs"].items()},
            variable_attrs={n: {k: _unpacked(x) for k, x in v.items()} for n, v in content["variable_attrs"].items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: the record {item.name} is damaged ({reason}); remove it to read the file without it.") from error
    if record.layout != layout or not record.fields:
        raise InputError(f"{path}: the record {item.name} tells of {len(record.fields)} fields in layout {record.layout}, not {layout}; remove it.")
    return record


def _packed(value: Any) -> Any:
    """A value that JSON holds exactly; arrays and NumPy numbers keep their type."""
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.kind not in "fiubU":
            raise TypeError(f"an array of {value.dtype}")
        return {"dtype": value.dtype.str, "values": value.tolist()}
    if isinstance(value, list | tuple):
        return [_packed(v) for v in value]
    if isinstance(value, str | int | float | bool | None):
        return value
    raise TypeError(f"a {type(value).__name__}")


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        array = np.array(value["values"], dtype=value["dtype"])
        return array if array.ndim else array[()]
    return [_unpacked(v) for v in value] if isinstance(value, list) else value
