"""Observed values at points, and other things that a network is given, checked before time is spent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.problem import Problem


class Observed(Protocol):
    """What these checks need to know of a model."""

    problem: Problem
    channels: int
    ndim: int
    start: float
    end: float

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""

    def coordinates(self, t: Any, *x: Any) -> Tensor:
        """Points from one coordinate each."""


class Rows(Dataset):
    """A table as a data set of one sample."""

    def __init__(self, table: Tensor) -> None:
        self.table = table

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Tensor:
        if index != 0:
            raise IndexError(f"sample {index} asked for; there is one.")
        return self.table


def observed(model: Observed, data: Any) -> Tensor:
    """Observations ``(t, x, ..., u)`` as a table with the columns t, x, ..., u of each field, and 1 for each field that was observed, else 0.

    ``u`` is ``(*points, channel)``, or ``(*points)`` of a single field, or a mapping from names of fields to ``(*points)``. Raises
    InputError for shapes that do not fit, values that are not finite (with their rows), and points outside the domain.
    """
    ndim, channels = model.ndim, model.channels
    fields = tuple(model.problem.equation.fields)
    width = 1 + ndim + 2 * channels
    if data is None:
        return torch.empty((0, width), dtype=model.dtype)
    names = ", ".join(("t", "x", "y", "z")[: 1 + ndim])
    if not isinstance(data, tuple | list) or len(data) != 2 + ndim:
        got = f"{len(data)} entries" if isinstance(data, tuple | list) else f"a {type(data).__name__}"
        raise InputError(f"fit: data of {got} given to a PINN of {model.problem.name}; ({names}, u) with observed values u is expected.")
    z = model.coordinates(*data[:-1]).detach().cpu()
    values, seen = _values(data[-1], fields, tuple(z.shape[:-1]), model.dtype)
    table = torch.cat([z.reshape(-1, 1 + ndim), values.reshape(-1, channels), seen.expand(values.shape).reshape(-1, channels)], 1)
    if not len(table):
        raise InputError("fit: the data hold no observation; leave data out to train on the equation alone.")
    bad = (~torch.isfinite(table)).any(1).nonzero().flatten().tolist()
    if bad:
        raise InputError(f"fit: observation {', '.join(map(str, bad[:5]))} of the data is not finite; correct or leave it out.")
    _inside(model, table)
    return table


def _values(u: Any, fields: tuple[str, ...], points: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Values ``(*points, channel)``, and which fields they are of, ``(channel,)``."""
    if isinstance(u, Mapping):
        unknown = [name for name in u if name not in fields]
        if unknown or not u:
            raise InputError(f"fit: data of {', '.join(unknown) or 'no field'} given; the fields are {', '.join(fields)}.")
        columns = [_one(u[name], points, dtype, name) if name in u else torch.zeros(points, dtype=dtype) for name in fields]
        return torch.stack(columns, -1), torch.tensor([float(name in u) for name in fields], dtype=dtype)
    found = torch.as_tensor(u, dtype=dtype).detach().cpu()
    if len(fields) == 1 and tuple(found.shape) == points:
        found = found.unsqueeze(-1)
    if tuple(found.shape) != (*points, len(fields)):
        raise InputError(
            f"fit: observed values of shape {tuple(found.shape)} given at points of shape {points}; "
            f"{(*points, len(fields))} (*points, channel) is expected."
        )
    return found, torch.ones(len(fields), dtype=dtype)


def _one(u: Any, points: tuple[int, ...], dtype: torch.dtype, name: str) -> Tensor:
    found = torch.as_tensor(u, dtype=dtype).detach().cpu()
    if tuple(found.shape) == (*points, 1):
        found = found.squeeze(-1)
    if tuple(found.shape) != points:
        raise InputError(f"fit: observed values of {name} have shape {tuple(found.shape)} at points of shape {points}; the same shape is expected.")
    return found


def _inside(model: Observed, table: Tensor) -> None:
    """Raise unless all points lie in the domain; periodic axes have no end."""
    domain = model.problem.domain
    limits = [] if model.problem.steady else [("t", 0, model.start, model.end)]
    limits += [
        (name, i + 1, low, high)
        for i, (name, low, high, periodic) in enumerate(zip("xyz", domain.lower, domain.upper, domain.is_periodic, strict=False))
        if not periodic
    ]
    for name, column, low, high in limits:
        slack = 1e-6 * (high - low)
        least, most = float(table[:, column].min()), float(table[:, column].max())
        if least < low - slack or most > high + slack:
            raise InputError(
                f"fit: the data reach from {name}={least:g} to {most:g}, but the network solves from {low:g} to {high:g}; leave the rest out"
                + (", or make it with another start= or end=." if name == "t" else ".")
            )


def check_reach(model: Observed, grid: Grid, times: Sequence[float], who: str) -> None:
    """Raise InputError unless a grid and times lie where the model solves its problem; periodic axes have no end."""
    domain = model.problem.domain
    if grid.ndim != domain.ndim:
        raise InputError(f"{who}: a grid with {grid.ndim} axes given for {model.problem.name}, which has {domain.ndim}.")
    limits = [] if model.problem.steady or not times else [("t", min(times), max(times), model.start, model.end)]
    axes = zip("xyz", grid.origin, grid.lengths, domain.lower, domain.upper, domain.is_periodic, strict=False)
    for name, low, length, lower, upper, periodic in axes:
        limits += [] if periodic else [(name, low, low + length, lower, upper)]
    for name, least, most, lower, upper in limits:
        slack = 1e-6 * (upper - lower)
        if not (least >= lower - slack and most <= upper + slack):
            reach = f"{name} from {least:g} to {most:g} given, but the network solves from {lower:g} to {upper:g}"
            raise InputError(f"{who}: {reach}; leave the rest out.")


def check_choice(who: str, name: str, value: str, *more: str) -> None:
    """Raise InputError unless a condition is "hard", "soft" or one of ``more``."""
    if value not in ("hard", "soft", *more):
        other = "".join(f", or {choice!r}" for choice in more)
        raise InputError(f"{who}: {name}={value!r} given; choose 'hard' (built in) or 'soft' (a term of the loss){other}.")


def check_range(who: str, start: float, end: float) -> tuple[float, float]:
    """The interval of time; raise InputError unless it has a positive length."""
    if not (isinstance(start, int | float) and isinstance(end, int | float) and math.isfinite(start) and math.isfinite(end) and start < end):
        raise InputError(f"{who}: start={start!r}, end={end!r} given; finite numbers with start < end are needed.")
    return float(start), float(end)
