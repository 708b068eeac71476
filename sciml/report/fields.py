"""What figures show of a dataset: edges of cells, chosen times, planes and spectra."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from sciml.core.derivatives import AXES
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.io.dataset import grid_of
from sciml.spectral.power import power_spectrum


def space_axes(ds: xr.Dataset) -> tuple[str, ...]:
    """Names of the space axes that a dataset has."""
    return tuple(a for a in AXES if a in ds.dims)


def is_steady(ds: xr.Dataset) -> bool:
    """Whether a dataset is a steady solution: no time axis, and an attribute ``inputs`` that names its given fields."""
    return "time" not in ds.dims and "inputs" in ds.attrs and bool(space_axes(ds)) and bool(ds.data_vars)


def first_sample(ds: xr.Dataset) -> xr.Dataset:
    """The dataset without its sample axis; raise unless it is a trajectory of fields."""
    if "time" not in ds.dims or not ds.data_vars:
        raise InputError(f"Cannot draw a dataset with the axes {tuple(ds.dims)}: it needs a time axis and a field, as sciml.solve returns.")
    chosen = ds.isel(sample=0) if "sample" in ds.dims else ds
    return chosen.transpose("time", *space_axes(ds))


def edges(centres: np.ndarray) -> np.ndarray:
    """Borders of the cells around increasing positions."""
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def spread(times: np.ndarray, count: int) -> list[int]:
    """Indices of ``count`` entries at about equal distances in time, both ends included."""
    targets = np.linspace(times[0], times[-1], min(count, len(times)))
    return sorted({int(np.abs(times - t).argmin()) for t in targets})


def plane(values: np.ndarray) -> np.ndarray:
    """A two-dimensional field, or the middle plane of a three-dimensional one."""
    return values if values.ndim == 2 else values[..., values.shape[-1] // 2]


def spectrum(values: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Wavenumbers and energy per shell of ``(..., *space)``; a bounded axis is continued evenly, which gives its cosine spectrum."""
    u = torch.as_tensor(np.ascontiguousarray(values)).to(torch.float64)
    shape, lengths = list(grid.shape), list(grid.lengths)
    for axis, periodic in enumerate(grid.periodic):
        if not periodic:
            u = torch.cat([u, u.flip(axis - grid.ndim)], dim=axis - grid.ndim)
            shape[axis] *= 2
            lengths[axis] *= 2
    even = dataclasses.replace(grid, shape=tuple(shape), lengths=tuple(lengths), periodic=(True,) * grid.ndim, dtype=torch.float64)
    k, energy = power_spectrum(u, even)
    return k.numpy()[1:], energy.numpy()[..., 1:]


def spectra(ds: xr.Dataset, name: str, indices: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The spectrum of one field at several output times, ``(shells,)`` and ``(times, shells)``."""
    return spectrum(ds[name].values[list(indices)], grid_of(ds))
