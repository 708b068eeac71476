"""Pictures of cycles of forecasts and analyses: errors and spread, ranks, and the state beside the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from sciml.assimilation.cycles import Cycles
from sciml.report.fields import plane
from sciml.report.figures import snapshot, space_time_map
from sciml.report.style import ERRORS, INK, MUTED, PALETTE, colour_bar, error_norm, field_norm, house_style, new_figure, symbol


def draw_cycles(run: Cycles, experiment: int = 0) -> Figure:
    """Errors and spread over the cycles, the ranks of the truth, and the first field beside the truth; of one experiment of several."""
    with house_style():
        ndim = run.grid.ndim
        low = 2.1
        high = {0: 1.0 + 0.9 * run.mean.shape[-1 - ndim], 1: 2.2}.get(ndim, 2.4)
        fig = new_figure(low + high)
        parts: Any = fig.subfigures(2, 1, height_ratios=(low, high))
        top, below = parts
        left, right = top.subplots(1, 2, width_ratios=(2.0, 1.0))
        _series(left, run, experiment)
        _ranks(right, run, experiment)
        {0: _unknowns, 1: _maps}.get(ndim, _planes)(below, run, experiment)
        words = [word for word in ("" if run.problem is None else run.problem.name, run.method) if word]
        fig.suptitle(" · ".join(words), x=0.008, ha="left", fontsize=9, fontweight="bold")
        return fig


def _series(ax: Axes, run: Cycles, experiment: int) -> None:
    styles = {
        "rmse.f": ("error of forecasts", PALETTE[4], 0.8),
        "rmse.a": ("error of analyses", PALETTE[0], 1.2),
        "rmse.s": ("error, smoothed", PALETTE[2], 1.2),
        "spread.a": ("spread of analyses", PALETTE[1], 1.2),
        "increment": ("increment", MUTED, 0.8),
    }
    shown = [name for name in styles if name in run.series and (name != "increment" or "rmse.a" not in run.series)]
    for name in shown:
        label, colour, width = styles[name]
        ax.plot(run.times, _one(run.series[name], 0, experiment), color=colour, lw=width, label=label)
    ax.set_xlabel(symbol("time"))
    ax.set_ylabel("root mean square")
    ax.set_ylim(bottom=0)
    ax.margins(x=0)
    ax.grid(axis="y")
    ax.legend(loc="upper right", ncols=2, labelcolor=MUTED)


def _ranks(ax: Axes, run: Cycles, experiment: int) -> None:
    if run.ranks is None:
        ax.plot(run.times, _one(run.series["consistency"], 0, experiment), color=PALETTE[0], lw=1.0)
        ax.axhline(1.0, color=INK, lw=0.8, ls=(0, (4, 2)))
        ax.set_xlabel(symbol("time"))
        ax.set_ylabel("consistency")
        return
    counts = _one(run.ranks.unsqueeze(0), 1, experiment)[0].astype(float)
    share = counts / max(counts.sum(), 1.0) * len(counts)
    ax.bar(np.arange(len(counts)), share, width=1.0, color=PALETTE[4], edgecolor="white", lw=0.3)
    ax.axhline(1.0, color=INK, lw=0.8, ls=(0, (4, 2)))
    ax.set_xlim(-0.5, len(counts) - 0.5)
    ax.set_xlabel("members below the truth")
    ax.set_ylabel("frequency / expected")


def _first_field(run: Cycles, experiment: int) -> tuple[list[tuple[str, np.ndarray]], str]:
    """Truth, if there is one, and mean of the first field, ``(cycles, *space)``, and the field's name."""
    name = "u" if run.problem is None else run.problem.equation.fields[0]
    shown = ([] if run.truth is None else [("truth", run.truth)]) + [("mean of analyses", run.mean)]
    return [(label, _one(states, run.grid.ndim + 1, experiment)[:, 0]) for label, states in shown], name


def _one(values: Tensor, trailing: int, experiment: int) -> np.ndarray:
    """One experiment of ``(cycles, *batch, ...)`` with so many axes after the batch."""
    found: np.ndarray = values.reshape(len(values), -1, *values.shape[values.ndim - trailing :])[:, experiment].cpu().numpy()
    return found


def _maps(fig: Any, run: Cycles, experiment: int) -> None:
    fields, name = _first_field(run, experiment)
    times, x = np.asarray(run.times), run.grid.axes()[0].cpu().numpy()
    axes = fig.subplots(1, len(fields) + (len(fields) > 1), squeeze=False, sharey=True)[0]
    norm = field_norm(fields[0][1])
    for i, (ax, (label, values)) in enumerate(zip(axes, fields, strict=False)):
        space_time_map(fig, ax, times, x, values, norm=norm, label=symbol(name) if i == len(fields) - 1 else None)
        ax.set_title(label)
    if len(fields) > 1:
        gap = np.abs(fields[1][1] - fields[0][1])
        scale = error_norm([gap])
        space_time_map(fig, axes[-1], times, x, np.maximum(gap, scale.vmin or 0.0), norm=(scale, ERRORS), label="")
        axes[-1].set_title("error")
    for ax in axes:
        ax.set_xlabel(symbol("time"))
    axes[0].set_ylabel(symbol("x"))


def _planes(fig: Any, run: Cycles, experiment: int) -> None:
    fields, name = _first_field(run, experiment)
    x, y = (axis.cpu().numpy() for axis in run.grid.axes()[:2])
    axes = fig.subplots(1, len(fields) + (len(fields) > 1), squeeze=False)[0]
    last = [(label, plane(values[-1])) for label, values in fields]
    norm = field_norm(last[0][1])
    for i, (ax, (label, values)) in enumerate(zip(axes, last, strict=False)):
        artist = snapshot(ax, x, y, values, norm)
        ax.set_title(f"{label}, {symbol('time')} = {run.times[-1]:.4g}" if i == 0 else label)
        if i == len(last) - 1:
            colour_bar(fig.figure, artist, ax, symbol(name))
    if len(last) > 1:
        gap = np.abs(last[1][1] - last[0][1])
        scale = error_norm([gap])
        artist = snapshot(axes[-1], x, y, np.maximum(gap, scale.vmin or 0.0), (scale, ERRORS))
        axes[-1].set_title("error")
        colour_bar(fig.figure, artist, axes[-1], "")
    for ax in axes:
        ax.set_xticks([])
        ax.set_yticks([])


def _unknowns(fig: Any, run: Cycles, experiment: int) -> None:
    channels = run.mean.shape[-1]
    names = [f"u{i}" for i in range(channels)] if run.problem is None else list(run.problem.equation.fields)
    axes = fig.subplots(channels, 1, sharex=True, squeeze=False)[:, 0]
    for i, (ax, name) in enumerate(zip(axes, names, strict=True)):
        if run.truth is not None:
            ax.plot(run.times, _one(run.truth, 1, experiment)[:, i], color=INK, lw=2.4, alpha=0.25, label="truth" if i == 0 else None)
        ax.plot(run.times, _one(run.mean, 1, experiment)[:, i], color=PALETTE[0], lw=0.9, label="mean of analyses" if i == 0 else None)
        ax.set_ylabel(symbol(name))
        ax.margins(x=0)
    axes[-1].set_xlabel(symbol("time"))
    axes[0].legend(loc="upper right", ncols=2, labelcolor=MUTED)
