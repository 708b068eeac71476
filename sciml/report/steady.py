"""Figures of steady solutions: the given fields and the solution, and every method beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sciml.io.dataset import field_names
from sciml.report.fields import edges, plane, space_axes
from sciml.report.result import Finished
from sciml.report.style import ERRORS, INK, PALETTE, WIDTH, axis_label, colour_bar, error_norm, field_norm, frame_map, new_figure

COLUMNS = 3
JUMP = 0.25
"""Part of the range between neighbours from which on a profile is drawn in steps."""


def draw_steady(ds: xr.Dataset) -> Figure:
    """The given fields, then the solution: profiles in one dimension, maps in two, the middle plane in three. Of several samples the first."""
    sample = ds.isel(sample=0) if "sample" in ds.dims else ds
    axes = space_axes(sample)
    fields = field_names(sample)
    names = [str(n) for n in sample.data_vars if n not in fields and set(sample[n].dims) == set(axes)] + fields
    if len(axes) == 1:
        return _profiles(sample, names)
    x, y = sample["x"].values, sample["y"].values
    columns = min(len(names), COLUMNS)
    rows = -(-len(names) // columns)
    rise = (WIDTH / columns - 1.0) * _aspect(x, y)
    fig = new_figure(0.3 + rows * (rise + 0.55))
    panels = fig.subplots(rows, columns, squeeze=False)
    for ax, name in zip(panels.flat, names, strict=False):
        values = plane(sample[name].transpose(*axes).values)
        _map(fig, ax, x, y, values, field_norm(values), axis_label(sample, name))
        ax.set_xlabel(axis_label(sample, "x"))
        ax.set_ylabel(axis_label(sample, "y"))
        ax.set_title("solution" if name in fields else "given")
    for ax in panels.flat[len(names) :]:
        ax.set_visible(False)
    return fig


def draw_profiles(shown: Sequence[Finished], truth: str) -> Figure:
    """One dimension: the given field, the solutions, and their distance from the truth."""
    first = shown[0]
    ds = first.result.dataset
    (x,) = first.pair.coords
    fields = field_names(ds)
    inputs = [str(n) for n in ds.data_vars if n not in fields]
    fig = new_figure(2.7)
    panels = fig.subplots(1, 2 + bool(inputs), squeeze=False)[0]
    if inputs:
        _steps(panels[0], ds["x"].values, ds[inputs[0]].values)
        panels[0].set_title("given")
        panels[0].set_ylabel(axis_label(ds, inputs[0]))
    solution, error = panels[-2:]
    solution.plot(x, first.pair.true[0, 0], color=INK, lw=2.6, alpha=0.25, label=truth, solid_capstyle="round")
    for i, entry in enumerate(shown):
        gap = np.abs(entry.pair.predicted[0, 0] - entry.pair.true[0, 0])
        solution.plot(entry.pair.coords[0], entry.pair.predicted[0, 0], color=_colour(i), lw=0.9, label=entry.method.name)
        error.semilogy(entry.pair.coords[0], np.where(gap > 0, gap, np.nan), color=_colour(i), lw=0.9)
    solution.set_ylabel(axis_label(ds, fields[0]))
    error.set_title("absolute error")
    error.grid(axis="y")
    for ax in panels:
        ax.set_xlabel(axis_label(ds, "x"))
        ax.margins(x=0)
    fig.legend(loc="outside lower center", ncols=len(shown) + 1)
    return fig


def draw_maps(shown: Sequence[Finished], truth: str) -> Figure:
    """Two and three dimensions: the given field and the truth above; below, each method and its distance from the truth."""
    first = shown[0]
    ds = first.result.dataset
    x, y = first.pair.coords[:2]
    fields = field_names(ds)
    inputs = [str(n) for n in ds.data_vars if n not in fields]
    norm = field_norm(plane(first.pair.true[0, 0]))
    gaps = [plane(np.abs(e.pair.predicted[0, 0] - e.pair.true[0, 0])) for e in shown]
    scale = error_norm(gaps)
    rise = (WIDTH / 2 - 1.6) * _aspect(x, y)
    fig = new_figure((1 + len(shown)) * (rise + 0.45))
    panels = fig.subplots(1 + len(shown), 2, squeeze=False)
    if inputs:
        values = plane(ds[inputs[0]].transpose(*space_axes(ds)).values)
        _map(fig, panels[0, 0], ds["x"].values, ds["y"].values, values, field_norm(values), axis_label(ds, inputs[0]))
        panels[0, 0].set_title("given")
    else:
        panels[0, 0].set_visible(False)
    _map(fig, panels[0, 1], x, y, plane(first.pair.true[0, 0]), norm, axis_label(ds, fields[0]))
    panels[0, 1].set_title(truth)
    for i, (entry, gap) in enumerate(zip(shown, gaps, strict=True)):
        left, right = panels[1 + i]
        x, y = entry.pair.coords[:2]
        _map(fig, left, x, y, plane(entry.pair.predicted[0, 0]), norm, axis_label(ds, fields[0]))
        left.set_title(entry.method.name, color=_colour(i), fontweight="bold")
        _map(fig, right, x, y, np.maximum(gap, scale.vmin or 0.0), (scale, ERRORS), "absolute error")
        right.set_title(f"distance from the {truth}")
    for ax in panels.flat:
        ax.set_xticks([])
        ax.set_yticks([])
    return fig


def _profiles(ds: xr.Dataset, names: Sequence[str]) -> Figure:
    fig = new_figure(2.6)
    fields = field_names(ds)
    for ax, name in zip(fig.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        if name in fields:
            ax.plot(ds["x"].values, ds[name].values, color=PALETTE[0])
        else:
            _steps(ax, ds["x"].values, ds[name].values)
        ax.set_title("solution" if name in fields else "given")
        ax.set_xlabel(axis_label(ds, "x"))
        ax.set_ylabel(axis_label(ds, name))
        ax.margins(x=0)
    return fig


def _steps(ax: Axes, x: np.ndarray, values: np.ndarray) -> None:
    """A given field: cell by cell where it jumps, so that jumps look like jumps, else a line."""
    if np.abs(np.diff(values)).max() > JUMP * np.ptp(values):
        ax.stairs(values, edges(x), color=PALETTE[1], lw=1.3, baseline=None)
    else:
        ax.plot(x, values, color=PALETTE[1])


def _map(fig: Figure, ax: Axes, x: np.ndarray, y: np.ndarray, values: np.ndarray, norm: Any, label: str) -> None:
    scale, cmap = norm
    artist = ax.pcolormesh(edges(x), edges(y), values.T, norm=scale, cmap=cmap, rasterized=True)
    ax.set_aspect("equal")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(5))
    frame_map(ax)
    colour_bar(fig, artist, ax, label)


def _aspect(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.ptp(y) / np.ptp(x))


def _colour(i: int) -> str:
    return PALETTE[i % len(PALETTE)]
