"""One call for a picture of any result: ``plot(ds)``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sciml.assimilation.cycles import Cycles
from sciml.report.fields import edges, first_sample, is_steady, plane, space_axes, spectra, spread
from sciml.report.steady import draw_steady
from sciml.report.style import (
    MUTED,
    WIDTH,
    axis_label,
    colour_bar,
    draw_spectrum,
    field_norm,
    finish_spectrum,
    frame_map,
    frames_norm,
    house_style,
    new_figure,
    save_figure,
    time_colors,
)

SNAPSHOTS = 4
PROFILES = 3
ROUND_OFF = 1e-28
"""Energies below this part of the largest are the square of double precision's round-off."""


def plot(ds: xr.Dataset | Cycles, path: str | Path | None = None) -> Figure:
    """Draw a trajectory, or what :func:`sciml.cycle` returned; with ``path`` also write the picture there (PNG, PDF, SVG, ... by its suffix).

    One space dimension: the space-time map, profiles and spectra at a few times. Two: snapshots and spectra (three:
    of the middle plane). None: every unknown over time. A steady solution: its given fields and itself. Of several
    samples the first is drawn.

    Parameters
    ----------
    ds : as :func:`sciml.solve` returns it; or :class:`sciml.Cycles`, whose errors, spread, ranks and states are drawn.
    path : where to write, if at all.

    Returns the figure (a ``matplotlib.figure.Figure``; a notebook shows it).
    """
    with house_style():
        if isinstance(ds, Cycles):
            from sciml.report.cycles import draw_cycles

            fig = draw_cycles(ds)
        elif is_steady(ds):
            fig = draw_steady(ds)
        else:
            trajectory = first_sample(ds)
            draw = {0: _series, 1: _space_time}.get(len(space_axes(trajectory)), _snapshots)
            fig = draw(trajectory)
        if not isinstance(ds, Cycles) and ds.attrs.get("problem"):
            parts = [str(ds.attrs[key]) for key in ("problem", "method") if ds.attrs.get(key)]
            fig.suptitle(" · ".join(parts), x=0.008, ha="left", fontsize=9, fontweight="bold")
    if path is not None:
        save_figure(fig, path)
    return fig


def _series(ds: xr.Dataset) -> Figure:
    names = [str(n) for n in ds.data_vars]
    fig = new_figure(0.6 + 1.1 * len(names))
    axes = fig.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for ax, name in zip(axes, names, strict=True):
        ax.plot(ds["time"].values, ds[name].values, color=time_colors(3)[1], lw=0.9)
        ax.set_ylabel(axis_label(ds, name))
        ax.margins(x=0)
        ax.grid(axis="y")
    axes[-1].set_xlabel(axis_label(ds, "time"))
    return fig


def _space_time(ds: xr.Dataset) -> Figure:
    names = [str(n) for n in ds.data_vars]
    times, x = ds["time"].values, ds["x"].values
    shown = spread(times, PROFILES)
    fig = new_figure(0.35 + 3.0 * len(names))
    rows = fig.add_gridspec(len(names), 1)
    for row, name in enumerate(names):
        cells = rows[row].subgridspec(2, 2, width_ratios=(1.75, 1.0))
        values = ds[name].values
        ax = fig.add_subplot(cells[:, 0])
        space_time_map(fig, ax, times, x, values, label=axis_label(ds, name))
        ax.set_xlabel(axis_label(ds, "time"))
        ax.set_ylabel(axis_label(ds, "x"))
        profile = fig.add_subplot(cells[0, 1])
        for i, colour in zip(shown, time_colors(len(shown)), strict=True):
            profile.plot(x, values[i], color=colour, lw=1.0, label=f"$t$ = {times[i]:.4g}")
        profile.margins(x=0)
        profile.set_xlabel(axis_label(ds, "x"))
        profile.set_ylabel(axis_label(ds, name))
        _spectrum(fig.add_subplot(cells[1, 1]), ds, name, shown)
    return fig


def space_time_map(fig: Figure, ax: Axes, times: np.ndarray, x: np.ndarray, values: np.ndarray, *, label: str | None = None, norm: Any = None) -> Any:
    """Time to the right, space upwards; ``norm`` is (scale, colour map), chosen from the values if not given."""
    scale, cmap = norm or field_norm(values)
    artist = ax.pcolormesh(edges(times), edges(x), values.T, norm=scale, cmap=cmap, rasterized=True)
    ax.set_xlim(times[0], times[-1])
    ax.set_ylim(edges(x)[0], edges(x)[-1])
    frame_map(ax)
    if label is not None:
        colour_bar(fig, artist, ax, label)
    return artist


def snapshot(ax: Axes, x: np.ndarray, y: np.ndarray, values: np.ndarray, norm: Any) -> Any:
    """One instant of a two-dimensional field, x to the right and y upwards, in equal scales."""
    scale, cmap = norm
    artist = ax.pcolormesh(edges(x), edges(y), values.T, norm=scale, cmap=cmap, rasterized=True)
    ax.set_aspect("equal")
    frame_map(ax)
    return artist


def _snapshots(ds: xr.Dataset) -> Figure:
    names = [str(n) for n in ds.data_vars]
    times, x, y = ds["time"].values, ds["x"].values, ds["y"].values
    shown = spread(times, SNAPSHOTS)
    aspect = float(np.ptp(y) / np.ptp(x))
    panel = WIDTH / (len(shown) + 2.9)
    fig = new_figure(0.3 + len(names) * (panel * aspect + 0.6))
    grid = fig.add_gridspec(len(names), len(shown) + 1)
    for row, name in enumerate(names):
        planes = [plane(ds[name].values[i]) for i in shown]
        norm = frames_norm(planes)
        axes = [fig.add_subplot(grid[row, column]) for column in range(len(shown))]
        for column, (ax, i) in enumerate(zip(axes, shown, strict=True)):
            artist = snapshot(ax, x, y, planes[column], norm)
            if row == 0:
                unit = ds["time"].attrs.get("units", "1")
                ax.set_title(f"$t$ = {times[i]:.4g}{'' if unit in ('1', '') else ' ' + unit}")
            ax.set_xlabel(axis_label(ds, "x"))
            if column:
                ax.set_yticklabels([])
            else:
                ax.set_ylabel(axis_label(ds, "y"))
        colour_bar(fig, artist, axes[-1], axis_label(ds, name))
        last = fig.add_subplot(grid[row, -1])
        last.set_box_aspect(aspect)
        _spectrum(last, ds, name, shown)
    return fig


def _spectrum(ax: Axes, ds: xr.Dataset, name: str, shown: list[int]) -> None:
    k, energy = spectra(ds, name, shown)
    for i, line, colour in zip(shown, above_round_off(energy), time_colors(len(shown)), strict=True):
        draw_spectrum(ax, k, line, color=colour, lw=1.0, label=f"$t$ = {ds['time'].values[i]:.4g}")
    finish_spectrum(ax, name)
    ax.legend(loc="best", labelcolor=MUTED, handlelength=1.2, fontsize=6.5, borderaxespad=0.2, labelspacing=0.25)


def above_round_off(energy: np.ndarray) -> np.ndarray:
    """Spectra without what is zero up to round-off, so that it does not set the scale."""
    top = float(np.nanmax(energy, initial=0.0))
    return np.where(energy > ROUND_OFF * top, energy, np.nan)
