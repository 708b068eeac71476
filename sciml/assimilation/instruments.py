"""Several instruments as one observation, instruments that see fields derived from the state, and data that come at different times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sciml.assimilation.noise import Noise
from sciml.assimilation.observation import Observation
from sciml.assimilation.operators import Operator
from sciml.core.errors import InputError
from sciml.core.grid import Grid


class Together(Operator):
    """The observations of several operators, one after the other; see :func:`instruments`."""

    def __init__(self, parts: Sequence[Operator], errors: Blocks) -> None:
        self.parts, self.errors = tuple(parts), errors

    def __call__(self, u: Tensor, grid: Grid, time: float) -> Tensor:
        seen = [part(u, grid, time) for part in self.parts]
        self.errors.sizes[sum(s.shape[-1] for s in seen)] = tuple(s.shape[-1] for s in seen)
        return torch.cat(seen, -1)

    def locations(self, grid: Grid, channels: int, time: float) -> Tensor | None:
        found = [part.locations(grid, channels, time) for part in self.parts]
        places = [place for place in found if place is not None]
        return torch.cat(places) if len(places) == len(found) else None


class Blocks(Noise):
    """Errors of several instruments, independent of each other.

    How many observations each makes depends on the grid, and is known once a state was seen; ``sizes`` holds it by their sum.
    """

    def __init__(self, parts: Sequence[Noise]) -> None:
        self.parts = tuple(parts)
        self.sizes: dict[int, tuple[int, ...]] = {}
        self.diagonal = all(part.diagonal for part in parts)

    def whiten(self, r: Tensor, present: Tensor) -> Tensor:
        sizes = self.split(r.shape[-1])
        rows = zip(self.parts, r.split(sizes, -1), present.split(sizes, -1), strict=True)
        return torch.cat([part.whiten(own, there) for part, own, there in rows], -1)

    def sample(self, batch: tuple[int, ...], m: int, like: Tensor, generator: torch.Generator) -> Tensor:
        return torch.cat([part.sample(batch, size, like, generator) for part, size in zip(self.parts, self.split(m), strict=True)], -1)

    def variances(self, m: int, like: Tensor) -> Tensor:
        return torch.cat([part.variances(size, like) for part, size in zip(self.parts, self.split(m), strict=True)])

    def covariance(self, m: int, like: Tensor) -> Tensor:
        return torch.block_diag(*(part.covariance(size, like) for part, size in zip(self.parts, self.split(m), strict=True)))

    def split(self, m: int) -> tuple[int, ...]:
        """How many of m observations each instrument makes."""
        if m not in self.sizes:
            raise InputError(
                f"instruments: errors of {m} observations asked for before a state was seen by the instruments, or they make another number of them; "
                "call the observation with a state first."
            )
        return self.sizes[m]


def instruments(*parts: Observation) -> Observation:
    """Several instruments as one: their data one after the other, their errors independent of each other.

    Where an instrument is silent its data are NaN; :func:`sciml.data_rows` puts series of different times together.

    >>> sciml.instruments(sciml.Observation(sciml.every(4), 0.1), sciml.Observation(sciml.fourier([1, 2]), 0.01))          # doctest: +SKIP
    """
    if not parts or not all(isinstance(part, Observation) for part in parts):
        given = ", ".join(type(part).__name__ for part in parts) or "nothing"
        raise InputError(f"instruments: {given} given; one or more sciml.Observation are needed.")
    errors = Blocks([part.errors for part in parts])
    grids = [part.grid for part in parts if part.grid is not None]
    if any(grid != grids[0] for grid in grids):
        raise InputError(f"instruments: observations on grids {grids[0].shape} and others given; all see the state of one model, on one grid.")
    joined = Observation(Together([part.operator for part in parts], errors), covariance=errors, grid=grids[0] if grids else None)
    joined.part = torch.nn.ModuleList(parts)  # so that parameters and devices of networks among them are found
    return joined


@dataclass(frozen=True, eq=False)
class Derived(Operator):
    """See :func:`derived`."""

    fields: Callable[[Tensor], Tensor]
    operator: Operator

    def __call__(self, u: Tensor, grid: Grid, time: float) -> Tensor:
        made = self.fields(u)
        lead = u.ndim - 1 - grid.ndim
        if made.ndim != u.ndim or made.shape[:lead] != u.shape[:lead] or tuple(made.shape[lead + 1 :]) != grid.shape:
            raise InputError(
                f"derived: states of shape {tuple(u.shape)} became {tuple(made.shape)}; fields on the same grid are expected, "
                f"{(*u.shape[:lead], 'channels', *grid.shape)}."
            )
        return self.operator(made, grid, time)

    def locations(self, grid: Grid, channels: int, time: float) -> Tensor | None:
        probe = self.fields(torch.zeros((channels, *grid.shape), dtype=grid.dtype, device=grid.device))
        return self.operator.locations(grid, probe.shape[0], time)


def derived(fields: Callable[[Tensor], Tensor], operator: Operator) -> Operator:
    """An instrument that sees fields made from the state, such as the velocity of a vorticity.

    Parameters
    ----------
    fields : states ``(*batch, channel, *space)`` to fields ``(*batch, channels, *space)`` on the same grid; batched and differentiable.
    operator : what is seen of these, such as ``sciml.at_points(x)``; its ``channels`` number the derived fields.
    """
    if not callable(fields) or not isinstance(operator, Operator):
        raise InputError(f"derived: {fields!r} and {operator!r} given; a function of states, and a rule such as sciml.at_points(x), are needed.")
    return Derived(fields, operator)


def data_rows(
    data: Sequence[Tensor], times: Sequence[Sequence[float] | Tensor], interval: float, *, start: float = 0.0, cycles: int | None = None
) -> Tensor:
    """Data of several instruments with times of their own as the rows that :func:`sciml.cycle` takes; NaN where an instrument is silent.

    Parameters
    ----------
    data : per instrument, in the order of :func:`instruments`, ``(times, *batch, m)``.
    times : per instrument, one per entry of its data.
    interval : between two rows, ``every * step.dt``; row k belongs to ``start + (k + 1) * interval``.
    cycles : number of rows; by default up to the last datum.

    Returns ``(cycles, *batch, m of all)``. Raises InputError for a time that is no row's (a millionth of the interval is forgiven), for one
    given twice, and for shapes that do not fit.
    """
    if not interval > 0 or not data or len(data) != len(times):
        raise InputError(f"data_rows: interval={interval}, {len(data)} data and {len(times)} lists of times given; as many of each are needed.")
    places = [_rows_of(i, part, when, interval, start) for i, (part, when) in enumerate(zip(data, times, strict=True))]
    count = max(max(rows, default=-1) for rows in places) + 1 if cycles is None else cycles
    batch = data[0].shape[1:-1]
    parts = []
    for i, (part, rows) in enumerate(zip(data, places, strict=True)):
        if part.shape[1:-1] != batch:
            both = f"{tuple(data[0].shape)} and {tuple(part.shape)}"
            raise InputError(f"data_rows: data of shapes {both} given; (times, *batch, m) with one batch is expected.")
        if rows and max(rows) >= count:
            raise InputError(f"data_rows: instrument {i} has data at t={start + (max(rows) + 1) * interval:.6g}, after the last of {count} rows.")
        full = part.new_full((count, *part.shape[1:]), torch.nan)
        full[rows] = part
        parts.append(full)
    return torch.cat(parts, -1)


def _rows_of(number: int, data: Any, times: Sequence[float] | Tensor, interval: float, start: float) -> list[int]:
    if not isinstance(data, Tensor) or data.ndim < 2 or len(data) != len(times):
        shape = tuple(data.shape) if isinstance(data, Tensor) else type(data).__name__
        raise InputError(f"data_rows: instrument {number} has data of shape {shape} for {len(times)} times; (times, *batch, m) is expected.")
    rows = []
    for t in map(float, times):
        place = (t - start) / interval - 1
        row = round(place)
        if abs(place - row) > 1e-6 or row < 0 or row in rows:
            why = "is given twice" if row in rows else f"is none of {start + interval:.6g}, {start + 2 * interval:.6g}, ..."
            raise InputError(f"data_rows: time {t:.8g} of instrument {number} {why}; every row belongs to start + (k + 1) * interval.")
        rows.append(row)
    return rows
