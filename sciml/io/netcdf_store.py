"""NetCDF-4 data sets with many samples: written chunk by chunk, read sample by sample."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import xarray as xr

from sciml.core.derivatives import AXES
from sciml.core.errors import InputError
from sciml.io.hdf5 import new_hdf5
from sciml.io.netcdf import python_value
from sciml.io.store import Facts, Store


def write_netcdf(path: str | Path, chunks: Iterable[xr.Dataset], samples: int) -> Path:
    """One NetCDF-4 file from datasets that follow each other along ``sample``; memory holds one of them at a time.

    Parameters
    ----------
    path : the file; it appears when it is complete.
    chunks : datasets as :func:`sciml.to_dataset` makes them, with a sample axis; names, coordinates and attributes are the first one's.
    samples : how many samples they hold together.

    Raises :class:`InputError` if the chunks do not fit together or the disk is full.
    """
    target = Path(path)
    done, names = 0, None
    with new_hdf5(target) as raw, h5netcdf.File(raw, "a") as file:
        for ds in chunks:
            if names is None:
                names = _lay_out(file, ds, samples)
            count = ds.sizes.get("sample", 0)
            if sorted(map(str, ds.data_vars)) != sorted(names) or done + count > samples:
                raise InputError(f"{target}: samples {done} to {done + count - 1} with {list(ds.data_vars)} do not fit {samples} of {names}.")
            for name in names:
                file.variables[name][done : done + count] = ds[name].values
            done += count
        if done != samples:
            raise InputError(f"{target}: {samples} samples were announced and {done} came.")
    return target


def _lay_out(file: h5netcdf.File, ds: xr.Dataset, samples: int) -> list[str]:
    if "sample" not in ds.dims:
        raise InputError("write_netcdf: the datasets have no sample axis; solve with samples=, or use sciml.save for a single run.")
    file.dimensions = {str(dim): samples if dim == "sample" else n for dim, n in ds.sizes.items()}
    file.attrs.update(ds.attrs)
    for name, coord in ds.coords.items():
        values = np.arange(samples) if name == "sample" else coord.values
        variable = file.create_variable(str(name), tuple(map(str, coord.dims)), values.dtype, data=values)
        variable.attrs.update(coord.attrs)
    for name, data in ds.data_vars.items():
        if data.dims[0] != "sample":
            raise InputError(f"write_netcdf: {name} has dims {data.dims}; sample must come first.")
        variable = file.create_variable(str(name), tuple(map(str, data.dims)), data.dtype)
        variable.attrs.update(data.attrs)
    return list(map(str, ds.data_vars))


class NetCDFStore(Store):
    """A file written by :func:`sciml.save` or :func:`write_netcdf`."""

    format = "netcdf"

    @classmethod
    def recognises(cls, file: h5py.File) -> bool:
        return "sciml_version" in file.attrs and "grid" in file.attrs

    def _read_facts(self, file: h5py.File) -> Facts:
        with xr.open_dataset(self.path, engine="h5netcdf", decode_cf=False) as ds:
            axes = [a for a in AXES if a in ds.dims]
            variables = {str(name): v for name, v in ds.variables.items() if name not in ds.dims}
            attrs = {str(k): python_value(v) for k, v in ds.attrs.items()}
            declared = tuple(json.loads(attrs.get("inputs", "[]")))
            steady = "time" not in ds.dims
            spatial = {name: v for name, v in variables.items() if [d for d in v.dims if d in AXES] == axes}
            fields = tuple(name for name, v in spatial.items() if name not in declared and (steady or "time" in v.dims))
            self._shared = {name for name, v in variables.items() if "sample" not in v.dims}
            if not fields:
                raise InputError(f"{self.path}: none of its variables {list(variables)} has the axes {'time, ' * (not steady)}{', '.join(axes)}.")
            described: dict[str, dict[str, Any]] = {str(n): {str(k): python_value(x) for k, x in v.attrs.items()} for n, v in ds.variables.items()}
            return Facts(
                fields=fields,
                shape=tuple(ds.sizes[a] for a in axes),
                samples=ds.sizes.get("sample", 1),
                steps=None if steady else ds.sizes["time"],
                dtype=variables[fields[0]].dtype,
                times=None if steady else ds["time"].values,
                coords=tuple(ds[a].values.astype(np.float64) for a in axes),
                periodic=tuple(json.loads(attrs["grid"])["periodic"]),
                inputs=tuple(name for name in spatial if name not in fields),
                parameters=tuple(name for name, v in variables.items() if v.dims == ("sample",)),
                labelled="sample" in ds.dims,
                attrs=attrs,
                variable_attrs=described,
            )

    def read(self, sample: int, steps: slice = slice(None)) -> np.ndarray:
        lead = (sample,) if self.facts.labelled else ()
        parts = [self.array(name).read(lead, None if self.facts.steps is None else steps) for name in self.facts.fields]
        return np.stack(parts, axis=0 if self.facts.steps is None else 1)

    def read_inputs(self, sample: int) -> np.ndarray:
        if not self.facts.inputs:
            return super().read_inputs(sample)
        return np.stack([self.array(name).read(() if name in self._shared else (sample,)) for name in self.facts.inputs])

    def read_parameters(self, sample: int) -> np.ndarray:
        return np.array([self.array(name).read((sample,)) for name in self.facts.parameters], dtype=np.float64)
