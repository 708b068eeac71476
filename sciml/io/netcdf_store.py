"""NetCDF-4 data sets with many samples: written chunk by chunk, read sample by sample."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import xarray as xr

from sciml.core.derivatives import AXES
from sciml.core.errors import InputError
from sciml.io.contents import declared_inputs
from sciml.io.dataset import recorded_grid
from sciml.io.hdf5 import damage, new_hdf5
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
        with damage(self.path), xr.open_dataset(self.path, engine="h5netcdf", decode_cf=False) as ds:
            return self._facts(ds)

    def _facts(self, ds: xr.Dataset) -> Facts:
        axes = tuple(a for a in AXES if a in ds.dims)
        variables = {str(name): v for name, v in ds.variables.items() if name not in ds.dims}
        attrs = {str(k): python_value(v) for k, v in ds.attrs.items()}
        declared = declared_inputs(ds, str(self.path))
        steady = "time" not in ds.dims
        lead = ("sample",) if "sample" in ds.dims else ()
        evolving = (*lead, *axes) if steady else (*lead, "time", *axes)
        given = ((*lead, *axes), axes)
        fields = tuple(name for name, v in variables.items() if v.dims == evolving and not (steady and name in declared))
        inputs = tuple(name for name, v in variables.items() if v.dims in given and name not in fields and v.dims != lead)
        parameters = tuple(name for name, v in variables.items() if v.dims == lead)
        told = [f"{name} {v.dims}" for name, v in variables.items() if name not in {*fields, *inputs, *parameters}]
        if told or not fields:
            raise InputError(
                f"{self.path}: there is no place for {', '.join(told) or 'a data set without fields'}; fields have the dimensions {evolving}, "
                f"given fields {given[0]}, parameters {lead}. Transpose the variables, or leave them out, and save again."
            )
        self._shared = {name for name, v in variables.items() if "sample" not in v.dims}
        described: dict[str, dict[str, Any]] = {str(n): {str(k): python_value(x) for k, x in v.attrs.items()} for n, v in ds.variables.items()}
        return Facts(
            fields=fields,
            shape=tuple(ds.sizes[a] for a in axes),
            samples=ds.sizes.get("sample", 1),
            steps=None if steady else ds.sizes["time"],
            dtype=variables[fields[0]].dtype,
            times=None if steady else ds["time"].values,
            coords=tuple(ds[a].values.astype(np.float64) for a in axes),
            periodic=recorded_grid(attrs["grid"]).periodic,
            inputs=inputs,
            parameters=parameters,
            labelled=bool(lead),
            attrs=attrs,
            variable_attrs=described,
        )

    def read(self, sample: int, steps: slice = slice(None)) -> np.ndarray:
        lead = (sample,) if self.facts.labelled else ()
        with damage(self.path):
            parts = [self.array(name).read(lead, None if self.facts.steps is None else steps) for name in self.facts.fields]
        return np.stack(parts, axis=0 if self.facts.steps is None else 1)

    def read_inputs(self, sample: int) -> np.ndarray:
        if not self.facts.inputs:
            return super().read_inputs(sample)
        with damage(self.path):
            return np.stack([self.array(name).read(() if name in self._shared else (sample,)) for name in self.facts.inputs])

    def read_parameters(self, sample: int) -> np.ndarray:
        lead = (sample,) if self.facts.labelled else ()
        with damage(self.path):
            return np.array([self.array(name).read(lead) for name in self.facts.parameters], dtype=np.float64)
