"""A solution made by others, and how it is brought to a problem's domain."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import xarray as xr

from sciml.core.derivatives import AXES
from sciml.core.errors import DataWarning, InputError
from sciml.core.problem import Problem
from sciml.core.steady import SteadyEquation
from sciml.io.axes import SINGLE, is_uniform
from sciml.io.dataset import to_dataset, to_steady_dataset

AGREE = 1e-6
"""Values at both ends of a period are the same sample if they differ by less than this part of the field's size."""


@dataclass(frozen=True)
class Reference:
    """A solution on a space-time lattice.

    Attributes
    ----------
    times : ``(T,)``, increasing; one entry, 0, for a steady field.
    coords : one increasing 1-D array per space axis.
    fields : per name an array ``(T, *space)``, in float64.
    source : the file it was read from.
    notes : what was found in the file that is often a mistake, and what was done about it.
    single : the axes (t, x, ...) that the file has in single precision.
    steady : whether the file has no time axis.
    reading : the names and axes that were given to read it, by argument.
    """

    times: np.ndarray
    coords: tuple[np.ndarray, ...]
    fields: Mapping[str, np.ndarray]
    source: str
    notes: tuple[str, ...] = ()
    single: frozenset[str] = frozenset()
    steady: bool = False
    reading: Mapping[str, object] = field(default_factory=dict)

    @property
    def values(self) -> np.ndarray:
        """All fields, ``(T, field, *space)``."""
        return np.stack(list(self.fields.values()), axis=1)

    def on(self, problem: Problem) -> Reference:
        """The same data as a solution of ``problem``: its fields (and the given fields that the file has) in its order, its points in its domain.

        Along a periodic axis a repeated end point is dropped, since it would count twice, and points outside the domain are
        moved by whole periods. Positions in single precision that are the problem's own points become these. All this, and
        what looks like another problem, is told in notes, each a :class:`DataWarning`.
        Raises :class:`InputError` if fields, axes or extents contradict the problem.
        """
        fields, inputs = problem.equation.fields, _inputs(problem)
        given = [name for name in inputs if name in self.fields]
        names = [name for name in self.fields if name not in given]
        if len(self.coords) != problem.domain.ndim:
            found, needed = len(self.coords), problem.domain.ndim
            raise InputError(f"Reference {self.source}: it has {found} space axes but {problem.name} has {needed}; give a matching file.")
        if self.steady != problem.steady:
            held, needed_axis = ("no time axis", "evolves") if self.steady else ("a time axis", "is steady")
            raise InputError(f"Reference {self.source}: it has {held} but {problem.name} {needed_axis}; name the axes of the field with dims.")
        if set(fields) <= set(names):
            names = list(fields)
        elif len(names) != len(fields):
            held, needed_names = ", ".join(names), ", ".join(fields)
            raise InputError(f"Reference {self.source}: it holds {held} but {problem.name} has the fields {needed_names}; name one for each.")
        notes: list[str] = []
        if len(fields) > 1 and set(names) != set(fields):
            notes.append(f"its fields {', '.join(names)} were taken for {', '.join(fields)}, in this order.")
        values = {ours: self.fields[name] for ours, name in zip((*fields, *given), (*names, *given), strict=True)}
        coords = []
        for i, (x, axis) in enumerate(zip(self.coords, AXES, strict=False)):
            low, high, periodic = problem.domain.lower[i], problem.domain.upper[i], problem.domain.is_periodic[i]
            slack = (1e-9 if axis not in self.single else SINGLE) * max(high - low, abs(low), abs(high), abs(x[0]), abs(x[-1]))
            span, here = f"{axis} runs from {x[0]:g} to {x[-1]:g}", f"{problem.name} lives on [{low:g}, {high:g}]"
            if x[-1] - x[0] > high - low + slack or not (periodic or (x[0] >= low - slack and x[-1] <= high + slack)):
                raise InputError(f"Reference {self.source}: {span} but {here}; the two must state the same problem.")
            if periodic and x[-1] - x[0] >= high - low - slack:
                gap = max(_gap(v, 1 + i) for v in values.values())
                if gap <= AGREE:
                    notes.append(f"{axis} repeats the end point of its period, {x[-1]:g}, where the fields are those at {x[0]:g}; it was dropped.")
                    x = x[:-1]
                    values = {name: np.take(v, range(len(x)), axis=1 + i) for name, v in values.items()}
                else:
                    notes.append(
                        f"{axis} holds both ends of its period, {x[0]:g} and {x[-1]:g}, but the fields differ there by {gap:.1e} of their size; "
                        "both were kept. Are these the points of the fields?"
                    )
            elif periodic and np.any(away := np.floor((x - low + slack) / (high - low))):
                notes.append(f"{span} but {here}; its points were moved there by whole periods.")
                x = x - away * (high - low)
                first = int(x.argmin())
                x = np.roll(x, -first)
                values = {name: np.roll(v, -first, axis=1 + i) for name, v in values.items()}
            if axis in self.single:
                own = _own_points(x, low, high, periodic, slack)
                if own is not None:
                    notes.append(f"{axis} agrees with the points of {problem.name} to single precision; these were taken.")
                    x = own
            if x[-1] - x[0] + 2 * np.diff(x).max() < high - low - slack:
                notes.append(f"{span} but {here}; only that part is compared.")
            coords.append(x)
        if not self.steady and self.times[0] > 0:
            notes.append(f"its first time is {self.times[0]:g}; solutions start at t = 0 from the initial state of {problem.name}.")
        labelled = tuple(f"Reference {self.source}: {note}" for note in notes)
        for note in labelled:
            warnings.warn(note, DataWarning, stacklevel=2)
        return replace(self, coords=tuple(coords), fields=values, notes=(*self.notes, *labelled))

    def to_xarray(self, problem: Problem | None = None) -> xr.Dataset:
        """The data as a dataset, one variable per field.

        With a problem it is what :func:`sciml.to_dataset` makes, grid included, and serves wherever a computed solution does.
        Raises :class:`InputError` if the points are not those of a uniform grid on the problem's domain.
        """
        attrs = {"reference_file": self.source, "comment": "\n".join(self.notes) or None, "method": "made by others"}
        if problem is None:
            dims = (*(() if self.steady else ("time",)), *AXES[: len(self.coords)])
            positions = dict(zip(dims, self.coords if self.steady else (self.times, *self.coords), strict=True))
            variables = {name: (dims, v[0] if self.steady else v) for name, v in self.fields.items()}
            return xr.Dataset(variables, positions, {k: v for k, v in attrs.items() if v is not None})
        fitted = self.on(problem)
        grid = problem.grid([len(x) for x in fitted.coords])
        for x, wanted, axis in zip(fitted.coords, grid.axes(), AXES, strict=False):
            away = float(np.abs(x - wanted.numpy()).max())
            if away > 1e-8 * float(wanted[1] - wanted[0]):
                how = "uniform, but not" if is_uniform(x) else "not uniform, so not"
                raise InputError(
                    f"Reference {self.source}: {axis} is {how} the {len(x)} points of a grid of {problem.name} (they are up to {away:.2g} away, "
                    f"and should run from {wanted[0]:.6g} to {wanted[-1]:.6g}); interpolate it there, or use to_xarray() without a problem."
                )
        attrs["comment"] = "\n".join(fitted.notes) or None
        values = torch.from_numpy(fitted.values)
        if not self.steady:
            return to_dataset(values, fitted.times.tolist(), grid, problem, attrs)
        absent = [name for name in _inputs(problem) if name not in fitted.fields]
        if absent:
            raise InputError(f"Reference {self.source}: {problem.name} needs the given fields {', '.join(absent)} too; name them as variables.")
        count = len(problem.equation.fields)
        return to_steady_dataset(values[0, :count], values[0, count:], grid, problem, attrs)


def _inputs(problem: Problem) -> tuple[str, ...]:
    """The given fields of a steady equation."""
    return problem.equation.inputs if isinstance(problem.equation, SteadyEquation) else ()


def _gap(values: np.ndarray, axis: int) -> float:
    """How far a field's first and last entries along an axis are apart, relative to its size."""
    difference = np.abs(np.take(values, 0, axis=axis) - np.take(values, -1, axis=axis)).max()
    return float(difference / (np.abs(values).max() or 1.0))


def _own_points(x: np.ndarray, low: float, high: float, periodic: bool, slack: float) -> np.ndarray | None:
    """The points of a domain that ``x`` is in single precision: of a period; centres of cells; with both ends. None if it is none of them."""
    n = len(x)
    for start, cells in (((0.0, n),) if periodic else ((0.5, n), (0.0, n - 1))):
        own = low + (high - low) * ((np.arange(n) + start) / cells)
        if np.abs(own - x).max() <= slack:
            return own
    return None
