"""Between arrays ``(time, *sample, channel, *space)`` and labelled datasets with one variable per field."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from sciml.core.derivatives import AXES
from sciml.core.domain import Boundary, Dirichlet, Neumann
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.problem import Problem
from sciml.core.steady import SteadyEquation

CONVENTIONS = "CF-1.11"
_NOT_COEFFICIENTS = ("training", "degree", "autonomous", "ndim")


def to_dataset(u: Tensor, times: Sequence[float] | Tensor, grid: Grid, problem: Problem, attrs: Mapping[str, Any] | None = None) -> xr.Dataset:
    """A trajectory as a dataset that says what it is.

    Parameters
    ----------
    u : ``(time, channel, *space)`` or ``(time, sample, channel, *space)``.
    times : one per entry of ``u``.
    grid : on which ``u`` lives.
    problem : gives the names and units of the fields, the parameters and the boundaries.
    attrs : added to the attributes, such as ``method``, ``dt``, ``seed``; None values are left out.
    """
    t = np.asarray(torch.as_tensor(times, dtype=torch.float64).cpu())
    fields = tuple(problem.equation.fields)
    samples = u.ndim - 2 - grid.ndim
    if samples not in (0, 1) or tuple(u.shape[1 + samples :]) != (len(fields), *grid.shape) or u.shape[0] != len(t):
        raise InputError(
            f"to_dataset: the trajectory has shape {tuple(u.shape)}; (time, channel, *space) or (time, sample, channel, *space) is expected, "
            f"with {len(t)} times, {len(fields)} channel(s) {fields} and space {grid.shape}."
        )
    axes = AXES[: grid.ndim]
    values = u.detach().cpu().numpy()
    # stored order is (sample, time, x, y, z)
    values = np.moveaxis(values, 1, 0) if samples else values
    dims = (*(("sample",) if samples else ()), "time", *axes)
    variables = {
        name: (dims, np.ascontiguousarray(np.take(values, i, axis=1 + samples)), {"long_name": name, "units": problem.units.get(name, "1")})
        for i, name in enumerate(fields)
    }
    coords: dict[str, Any] = {"time": ("time", t, {"long_name": "time", "units": problem.units.get("t", "1"), "axis": "T"})}
    coords |= _positions(grid, problem)
    if samples:
        coords["sample"] = ("sample", np.arange(u.shape[1]), {"long_name": "sample", "units": "1"})
    return xr.Dataset(variables, coords, _attributes(u, grid, problem, attrs or {}))


def to_steady_dataset(u: Tensor, inputs: Tensor, grid: Grid, problem: Problem, attrs: Mapping[str, Any] | None = None) -> xr.Dataset:
    """A steady solution and the fields that were given for it as a dataset without a time axis; the attribute ``inputs`` names the latter.

    Parameters
    ----------
    u : ``(channel, *space)`` or ``(sample, channel, *space)``.
    inputs : ``(input, *space)`` or ``(sample, input, *space)``, one channel per name in ``problem.equation.inputs``.
    grid, problem, attrs : as for :func:`to_dataset`.
    """
    fields = tuple(problem.equation.fields)
    given = tuple(problem.equation.inputs) if isinstance(problem.equation, SteadyEquation) else ()
    samples = u.ndim - 1 - grid.ndim
    variables: dict[str, Any] = {}
    lead = ("sample",) if samples else ()
    for what, array, names in (("solution", u, fields), ("inputs", inputs, given)):
        expected = (*u.shape[:samples], len(names), *grid.shape)
        if samples not in (0, 1) or tuple(array.shape) != expected:
            raise InputError(
                f"to_steady_dataset: the {what} has shape {tuple(array.shape)}; (channel, *space) or (sample, channel, *space) is expected, with "
                f"{len(names)} channel(s) {names} and space {grid.shape}."
            )
        values = array.detach().cpu().numpy()
        for i, name in enumerate(names):
            about = {"long_name": name, "units": problem.units.get(name, "1")}
            variables[name] = ((*lead, *AXES[: grid.ndim]), np.ascontiguousarray(np.take(values, i, axis=samples)), about)
    coords = _positions(grid, problem)
    if samples:
        coords["sample"] = ("sample", np.arange(u.shape[0]), {"long_name": "sample", "units": "1"})
    return xr.Dataset(variables, coords, {**_attributes(u, grid, problem, attrs or {}), "inputs": json.dumps(given)})


def to_tensor(ds: xr.Dataset) -> Tensor:
    """The fields of a dataset as one tensor ``(time, *sample, channel, *space)``, in the order of its variables.

    Steady solutions give ``(*sample, channel, *space)``. Given fields and parameters of samples are left out.
    """
    axes = [a for a in AXES if a in ds.dims]
    order = [*(["time"] if "time" in ds.dims else []), *(["sample"] if "sample" in ds.dims else []), *axes]
    arrays = [torch.from_numpy(np.ascontiguousarray(ds[name].transpose(*order).values)) for name in field_names(ds)]
    return torch.stack(arrays, dim=len(order) - len(axes))


def given_fields(ds: xr.Dataset) -> Tensor:
    """The given fields of a steady dataset, ``(*sample, input, *space)``."""
    axes = [a for a in AXES if a in ds.dims]
    order = [*(["sample"] if "sample" in ds.dims else []), *axes]
    names = json.loads(ds.attrs.get("inputs", "[]"))
    if not names:
        return torch.empty((*(ds.sizes[a] for a in order[: -len(axes)]), 0, *(ds.sizes[a] for a in axes)))
    arrays = [torch.from_numpy(np.ascontiguousarray(ds[name].transpose(*order).values)) for name in names]
    return torch.stack(arrays, dim=len(order) - len(axes))


def field_names(ds: xr.Dataset) -> list[str]:
    """The variables of a dataset that were solved for: not its given fields, nor the parameters of its samples."""
    given = json.loads(ds.attrs.get("inputs", "[]"))
    return [str(name) for name in ds.data_vars if name not in given and ds[name].dims != ("sample",)]


def grid_of(ds: xr.Dataset) -> Grid:
    """The grid on which a dataset made by :func:`to_dataset` lives."""
    if "grid" not in ds.attrs:
        raise InputError("grid_of: the dataset has no attribute 'grid'; it was not made by sciml. Build sciml.Grid(shape, lengths, ...) by hand.")
    return recorded_grid(ds.attrs["grid"])


def recorded_grid(text: str) -> Grid:
    """The grid that the attribute ``grid`` of a dataset describes."""
    try:
        g = json.loads(text)
        return Grid(tuple(g["shape"]), tuple(g["lengths"]), tuple(g["periodic"]), tuple(g["origin"]), getattr(torch, g["dtype"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        told = f"The attribute grid is {text!r:.80}, which describes no grid ({error})"
        raise InputError(f"{told}. Build sciml.Grid(shape, lengths, ...) by hand.") from error


def parameters_of(problem: Problem) -> dict[str, Any]:
    """The values that a problem was made with, and the plain coefficients of its equation, as JSON can hold them."""
    own = vars(problem.equation).items()
    given = problem.equation.inputs if isinstance(problem.equation, SteadyEquation) else ()  # fields, which are variables of their own
    skipped = (*_NOT_COEFFICIENTS, *given)
    values: dict[str, Any] = {k: v for k, v in own if isinstance(v, int | float | Tensor) and not k.startswith("_") and k not in skipped}
    values.update(problem.equation.named_parameters())
    values.update(problem.parameters)
    return {name: _plain(value) for name, value in values.items()}


def _positions(grid: Grid, problem: Problem) -> dict[str, Any]:
    """The space coordinates of a dataset."""
    return {
        name: (name, x.cpu().numpy(), {"long_name": f"position along {name}", "units": problem.units.get(name, "1"), "axis": name.upper()})
        for name, x in zip(AXES, grid.axes(), strict=False)
    }


def _attributes(u: Tensor, grid: Grid, problem: Problem, attrs: Mapping[str, Any]) -> dict[str, Any]:
    shape = {"shape": grid.shape, "lengths": grid.lengths, "periodic": grid.periodic, "origin": grid.origin}
    boundaries = [[_describe(face) for face in pair] for pair in problem.domain.boundaries]
    result: dict[str, Any] = {
        "Conventions": CONVENTIONS,
        "title": problem.name,
        "problem": problem.name,
        "parameters": json.dumps(parameters_of(problem)),
        "references": problem.reference or None,
        "grid": json.dumps({**shape, "dtype": str(grid.dtype).removeprefix("torch.")}),
        "boundaries": json.dumps(boundaries),
        "dtype": str(u.dtype).removeprefix("torch."),
        "source": f"sciml {version('sciml-pde')}, torch {torch.__version__}",
        "sciml_version": version("sciml-pde"),
        "torch_version": str(torch.__version__),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    result.update(attrs)
    return {key: int(value) if isinstance(value, bool) else value for key, value in result.items() if value is not None}


def _describe(face: Boundary) -> Any:
    kind = type(face).__name__.lower()
    if not isinstance(face, Dirichlet | Neumann):
        return kind
    return {kind: "a function of time" if callable(face.value) else float(face.value)}


def _plain(value: Any) -> Any:
    if isinstance(value, nn.Parameter | Tensor):
        return value.detach().cpu().tolist()
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return str(value)
