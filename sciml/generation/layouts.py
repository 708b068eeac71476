"""The final files of a data set, one function per format."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import xarray as xr

from sciml.core.grid import Grid
from sciml.core.problem import Problem
from sciml.core.steady import SteadyEquation
from sciml.io.dataset import to_dataset, to_steady_dataset
from sciml.io.netcdf_store import write_netcdf
from sciml.io.pdebench_write import write_pdebench
from sciml.io.well_write import write_well

Layout = Callable[[Path, str, Iterable[xr.Dataset], int], object]
"""``layout(folder, name, chunks, samples)`` fills an empty folder."""


def _netcdf(folder: Path, name: str, chunks: Iterable[xr.Dataset], samples: int) -> None:
    write_netcdf(folder / f"{name}.nc", chunks, samples)


def _pdebench(folder: Path, name: str, chunks: Iterable[xr.Dataset], samples: int) -> None:
    write_pdebench(folder / f"{name}.hdf5", chunks, samples)


def _well(folder: Path, name: str, chunks: Iterable[xr.Dataset], samples: int) -> None:
    write_well(folder, chunks, samples, name=name)


LAYOUTS: dict[str, Layout] = {"netcdf": _netcdf, "well": _well, "pdebench": _pdebench}
"""The formats by name."""


def check_layout(format: str, problem: Problem, grid: Grid, samples: int) -> None:
    """Raise :class:`InputError` now if the format could not hold the data set later: a small one of zeros is written and thrown away."""
    small = grid.resized([min(n, 4) for n in grid.shape]).to(device="cpu")
    zeros = torch.zeros((2, samples, len(problem.equation.fields), *small.shape), dtype=grid.dtype)
    if isinstance(problem.equation, SteadyEquation):
        given = torch.zeros((samples, len(problem.equation.inputs), *small.shape), dtype=grid.dtype)
        ds = to_steady_dataset(zeros[0], given, small, problem)
    else:
        ds = to_dataset(zeros, [0.0, problem.horizon], small, problem)
    with TemporaryDirectory() as folder:
        LAYOUTS[format](Path(folder), "probe", [ds], samples)


def file_name(problem: str) -> str:
    """The name of a problem as a file name: ``burgers:li2021`` is ``burgers_li2021``."""
    return re.sub(r"[^\w.-]+", "_", problem).strip("._") or "data"
