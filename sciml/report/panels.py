"""The figures of a comparison: every method beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sciml.core.grid import Grid
from sciml.io.dataset import grid_of
from sciml.report.fields import is_steady, plane, spectrum
from sciml.report.figures import above_round_off, snapshot, space_time_map
from sciml.report.result import Finished
from sciml.report.steady import draw_maps, draw_profiles
from sciml.report.style import (
    ERRORS,
    INK,
    MARKERS,
    MUTED,
    PALETTE,
    WIDTH,
    axis_label,
    colour_bar,
    draw_spectrum,
    error_norm,
    field_norm,
    finish_spectrum,
    house_style,
    new_figure,
)

COLUMNS = 4
"""Panels beside each other in two dimensions."""


def draw_solutions(shown: Sequence[Finished], truth: str) -> Figure:
    """The first field of each method, and its pointwise error on one logarithmic scale."""
    with house_style():
        ndim = len(shown[0].pair.coords)
        if is_steady(shown[0].result.dataset):
            return draw_profiles(shown, truth) if ndim == 1 else draw_maps(shown, truth)
        return {0: _series, 1: _maps}.get(ndim, _planes)(shown, truth)


def draw_errors(shown: Sequence[Finished], uncertainty: np.ndarray | None, truth: str) -> Figure:
    """Relative L2 error after the initial time; what is below the truth's own uncertainty is shaded."""
    with house_style():
        fig = new_figure(3.0)
        ax = fig.add_subplot()
        after = shown[0].errors.times > 0
        times = shown[0].errors.times[after]
        for i, entry in enumerate(shown):
            error = np.where(entry.errors.over_time[after] > 0, entry.errors.over_time[after], np.nan)
            ax.semilogy(times, error, color=_colour(i), label=entry.method.name, lw=1.1, **_marks(i, len(shown), error))
        if uncertainty is not None:
            low = ax.get_ylim()[0]
            known = np.maximum(uncertainty[after], low)
            ax.fill_between(times, low, known, color="#e9ebee", lw=0, zorder=0, label=f"uncertainty of\nthe {truth}")
            ax.set_ylim(bottom=low)
        ax.set_xlabel(axis_label(shown[0].result.dataset, "time"))
        ax.set_ylabel("relative $L_2$ error")
        ax.margins(x=0)
        ax.grid(axis="y")
        fig.legend(loc="outside right upper")
        return fig


def draw_spectra(shown: Sequence[Finished], truth: str, lattice: Grid | None) -> Figure:
    """Power spectra of the first field at the last time."""
    with house_style():
        fig = new_figure(3.0)
        ax = fig.add_subplot()
        for i, entry in enumerate(shown):
            name = str(next(iter(entry.result.dataset.data_vars)))
            values = entry.result.dataset[name].values
            k, energy = spectrum(values if is_steady(entry.result.dataset) else values[-1], grid_of(entry.result.dataset))
            visible = above_round_off(energy)
            draw_spectrum(ax, k, visible, color=_colour(i), label=entry.method.name, lw=1.1, **_marks(i, len(shown), visible))
        if lattice is not None:
            last = shown[0].pair.true[-1, 0]
            k, energy = spectrum(last[tuple(slice(n) for n in lattice.shape)], lattice)
            draw_spectrum(ax, k, above_round_off(energy), color=INK, ls=(0, (4, 2)), lw=1.0, label=truth)
        finish_spectrum(ax, str(next(iter(shown[0].result.dataset.data_vars))))
        fig.legend(loc="outside right upper")
        return fig


def _maps(shown: Sequence[Finished], truth: str) -> Figure:
    first = shown[0]
    name = str(next(iter(first.result.dataset.data_vars)))
    norm = field_norm(first.pair.true[:, 0])
    gaps = [np.abs(e.pair.predicted[:, 0] - e.pair.true[:, 0]) for e in shown]
    scale = error_norm(gaps)
    fig = new_figure(0.2 + 2.0 + 1.15 * len(shown))
    parts: Any = fig.subfigures(2, 1, height_ratios=(2.0, 0.2 + 1.15 * len(shown)))
    top, bottom = parts
    cells = bottom.subplots(len(shown), 2, squeeze=False, sharex=True, sharey=True)
    (x,) = first.pair.coords
    ax, final = top.subplots(1, 2)
    space_time_map(fig, ax, first.pair.times, x, first.pair.true[:, 0], label=axis_label(first.result.dataset, name), norm=norm)
    ax.set_title(truth)
    ax.set_ylabel(axis_label(first.result.dataset, "x"))
    final.plot(x, first.pair.true[-1, 0], color=INK, lw=2.6, alpha=0.25, label=truth, solid_capstyle="round")
    for i, entry in enumerate(shown):
        final.plot(entry.pair.coords[0], entry.pair.predicted[-1, 0], color=_colour(i), lw=0.9, label=entry.method.name)
    final.set_title(f"at $t$ = {first.pair.times[-1]:.4g}")
    final.margins(x=0)
    final.locator_params(axis="x", nbins=5)
    final.set_xlabel(axis_label(first.result.dataset, "x"))
    final.set_ylabel(axis_label(first.result.dataset, name))
    for row, (entry, gap, (solution, error)) in enumerate(zip(shown, gaps, cells, strict=True)):
        space_time_map(fig, solution, entry.pair.times, entry.pair.coords[0], entry.pair.predicted[:, 0], norm=norm)
        floor = np.maximum(gap, scale.vmin or 0.0)
        space_time_map(fig, error, entry.pair.times, entry.pair.coords[0], floor, label="" if row else "absolute error", norm=(scale, ERRORS))
        solution.set_title(entry.method.name, color=_colour(row), fontweight="bold")
        error.set_title(f"distance from the {truth}")
        solution.set_ylabel(axis_label(first.result.dataset, "x"))
    for panel in cells[-1]:
        panel.set_xlabel(axis_label(first.result.dataset, "time"))
    ax.set_xlabel(axis_label(first.result.dataset, "time"))
    return fig


def _planes(shown: Sequence[Finished], truth: str) -> Figure:
    first = shown[0]
    name = str(next(iter(first.result.dataset.data_vars)))
    x, y = first.pair.coords[:2]
    norm = field_norm(plane(first.pair.true[-1, 0]))
    gaps = [plane(np.abs(e.pair.predicted[-1, 0] - e.pair.true[-1, 0])) for e in shown]
    scale = error_norm(gaps)
    blocks = -(-(len(shown) + 1) // COLUMNS)
    # placed by hand: panels of one size, and room for colour bars at the right only
    gap, head, left, right = 0.12, 0.24, 0.03, 0.6
    side = (WIDTH - left - right - (COLUMNS - 1) * gap) / COLUMNS
    rise = side * float(np.ptp(y) / np.ptp(x))
    height = 2 * blocks * (rise + head) + blocks * gap
    fig = new_figure(height)
    fig.set_layout_engine("none")

    def panel(column: int, row: int) -> Axes:
        bottom = height - (row + 1) * (rise + head) - (row // 2) * gap
        ax = fig.add_axes(((left + column * (side + gap)) / WIDTH, bottom / height, side / WIDTH, rise / height))
        ax.set_xticks([])
        ax.set_yticks([])
        return ax

    for i in range(len(shown) + 1):
        column, row = i % COLUMNS, 2 * (i // COLUMNS)
        last = column == COLUMNS - 1 or i == len(shown)
        ax = panel(column, row)
        pair = shown[max(i - 1, 0)].pair
        artist = snapshot(ax, pair.coords[0], pair.coords[1], plane((pair.predicted if i else pair.true)[-1, 0]), norm)
        if i:
            ax.set_title(shown[i - 1].method.name, color=_colour(i - 1), fontweight="bold")
        else:
            ax.set_title(f"{truth}, $t$ = {pair.times[-1]:.4g}")
        if last:
            colour_bar(fig, artist, ax, axis_label(first.result.dataset, name))
        if i:
            below = panel(column, row + 1)
            artist = snapshot(below, pair.coords[0], pair.coords[1], np.maximum(gaps[i - 1], scale.vmin or 0.0), (scale, ERRORS))
            below.set_title("absolute error", color=MUTED)
            if last:
                colour_bar(fig, artist, below, "")
    return fig


def _series(shown: Sequence[Finished], truth: str) -> Figure:
    names = [str(n) for n in shown[0].result.dataset.data_vars]
    fig = new_figure(0.6 + 1.2 * len(names))
    axes = fig.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for channel, (ax, name) in enumerate(zip(axes, names, strict=True)):
        ax.plot(shown[0].pair.times, shown[0].pair.true[:, channel], color=INK, lw=2.6, alpha=0.25, label=truth if channel == 0 else None)
        for i, entry in enumerate(shown):
            ax.plot(entry.pair.times, entry.pair.predicted[:, channel], color=_colour(i), lw=0.9, label=entry.method.name if channel == 0 else None)
        ax.set_ylabel(axis_label(shown[0].result.dataset, name))
        ax.margins(x=0)
    axes[-1].set_xlabel(axis_label(shown[0].result.dataset, "time"))
    fig.legend(loc="outside right upper")
    return fig


def _colour(i: int) -> str:
    return PALETTE[i % len(PALETTE)]


def _marks(i: int, lines: int, values: np.ndarray) -> dict[str, Any]:
    """A few markers per line, staggered along it, so that lines on top of each other can be told apart; none on an empty line."""
    if not np.isfinite(values).any():
        return {}
    return {"marker": MARKERS[i % len(MARKERS)], "markevery": (0.02 + 0.2 * i / lines, 0.2), "ms": 3.5}
