"""Error against what it costs: time and memory, one point per method or one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from sciml.report.fields import is_steady
from sciml.report.result import Finished
from sciml.report.style import MARKERS, PALETTE, house_style, new_figure

FLOOR = 1e-17
"""What an error of zero is drawn as on a logarithmic axis."""
TIME, STATE = "wall time (s)", "memory of a state (bytes)"


def draw_cost(shown: Sequence[Finished]) -> Figure:
    """Error against wall time and against the memory of a state, and peak memory; the marks at the bars' ends are the legend."""
    with house_style():
        fig = new_figure(2.5 + 0.13 * max(len(shown) - 6, 0))
        parts: Any = fig.subfigures(1, 2, width_ratios=(1.9, 1.0))
        left, middle = parts[0].subplots(1, 2, sharey=True)
        right = parts[1].subplots()
        for i, entry in enumerate(shown):
            style = {"marker": MARKERS[i % len(MARKERS)], "color": _colour(i), "ms": 6, "ls": "", "label": entry.method.name, "alpha": 0.85}
            error = max(entry.errors.total, FLOOR)
            left.loglog([entry.result.wall_s], [error], **style)
            middle.loglog([entry.state_bytes], [error], **style)
            peak = entry.result.peak_bytes / 2**20
            right.barh([i], [peak], color=_colour(i), height=0.28, alpha=0.5)
            right.plot([peak], [i], **style, clip_on=False, zorder=4)  # many a bar is too short to be seen
        left.set_ylabel("relative $L_2$ error" + ("" if is_steady(shown[0].result.dataset) else ", all times"))
        _finish(left, TIME)
        _finish(middle, STATE)
        right.set_yticks(range(len(shown)), [e.method.name for e in shown])
        right.set_ylim(len(shown) - 0.4, -0.6)
        right.set_xlim(left=0)
        right.tick_params(axis="y", length=0, pad=7)
        right.set_xlabel("peak memory (MiB)")
        right.grid(axis="x")
        return fig


def draw_curves(curves: Mapping[str, Sequence[tuple[int, Finished]]], uncertainty: float | None, truth: str) -> Figure:
    """Error at the end against the memory of a state and against wall time, a line per method through its sizes.

    Errors below ``uncertainty``, the truth's own, are shaded.
    """
    with house_style():
        fig = new_figure(3.0)
        left, right = fig.subplots(1, 2, sharey=True)
        for i, (name, rungs) in enumerate(curves.items()):
            if not rungs:
                continue  # every size failed; the colour stays reserved
            errors = [max(done.errors.final, FLOOR) for _, done in rungs]
            style = {"marker": MARKERS[i % len(MARKERS)], "color": _colour(i), "lw": 1.2, "ms": 5}
            left.loglog([done.state_bytes for _, done in rungs], errors, label=name, **style)
            right.loglog([done.result.wall_s for _, done in rungs], errors, **style)
        steady = is_steady(next(done.result.dataset for rungs in curves.values() for _, done in rungs))
        left.set_ylabel("relative $L_2$ error" + ("" if steady else " at the end"))
        _finish(left, STATE)
        _finish(right, TIME)
        if uncertainty is not None:
            low, high = left.get_ylim()
            low = min(low, uncertainty / 2)
            for ax in (left, right):
                ax.axhspan(low / 10, uncertainty, color="#e9ebee", lw=0, zorder=0, label=f"uncertainty of\nthe {truth}" if ax is left else None)
            left.set_ylim(low, high)
        fig.legend(loc="outside right upper")
        return fig


def _finish(ax: Axes, label: str) -> None:
    """Labels, a grid, and axes that span enough for their numbers to be read."""
    ax.set_xlabel(label)
    ax.margins(0.12)
    ax.grid()
    for axis, limits, set_limits in ((ax.xaxis, ax.get_xlim(), ax.set_xlim), (ax.yaxis, ax.get_ylim(), ax.set_ylim)):
        if limits[1] < 4 * limits[0]:  # methods of one size: nothing to see but that they are
            middle = (limits[0] * limits[1]) ** 0.5
            set_limits(middle / 2, middle * 2)
        _readable(axis)


def _readable(axis: Any) -> None:
    """Plain numbers at 1, 2 and 5 of each decade on a logarithmic axis that spans few of them, powers of ten on one that spans many."""
    low, high = axis.get_view_interval()
    axis.set_minor_formatter(NullFormatter())
    if high / low < 1000:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 30 else (1.0,)))
        axis.set_major_formatter("{x:g}")


def _colour(i: int) -> str:
    return PALETTE[i % len(PALETTE)]
