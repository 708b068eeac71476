"""How figures look: one restrained style, applied inside a block and never globally."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure

from sciml.core.errors import InputError
from sciml.io.atomic import atomic_file

WIDTH = 7.2
"""Width of a figure in inches: a full text width."""

PICTURES = (".png", ".pdf", ".svg", ".jpg")

INK = "#222222"
MUTED = "#6b7280"

# Okabe & Ito's palette, legible with every common colour vision deficiency, without its yellow (too pale for lines)
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F3C8D", "#4B4B4B")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

SEQUENTIAL = "viridis"
DIVERGING = "RdBu_r"
ERRORS = "magma"

_STYLE = {
    "font.family": "sans-serif",
    "font.size": 8.5,
    "mathtext.fontset": "dejavusans",
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 4.0,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "grid.color": "#e3e6ea",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "figure.dpi": 110,
    "savefig.dpi": 200,
    "savefig.facecolor": "white",
    "image.interpolation": "nearest",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Inside the block figures are drawn in the package's style; the caller's settings return afterwards."""
    settings: Any = {**matplotlib.rcParamsDefault, **_STYLE, "backend": matplotlib.rcParams["backend"]}
    with matplotlib.rc_context(settings):
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure with its own canvas, unknown to pyplot."""
    fig = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(fig)
    return fig


def check_picture(path: str | Path, formats: Sequence[str] = PICTURES) -> Path:
    """The path of a picture to write; raise :class:`InputError` unless its suffix is one of ``formats``."""
    target = Path(path)
    if target.suffix.lower() not in formats:
        raise InputError(f"Cannot draw to {target}: its name must end in {' or '.join(formats)}.")
    return target


def save_figure(fig: Figure, path: str | Path) -> Path:
    """Write a figure under its final name when it is complete; the suffix gives the format."""
    target = check_picture(path)
    with atomic_file(target) as temporary, house_style():
        fig.savefig(temporary)
    return target


def field_norm(values: np.ndarray) -> tuple[Normalize, str]:
    """Colour scale of a field: diverging and centred at 0 if it takes both signs, else sequential."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    size = max(abs(low), abs(high))
    if low < -0.05 * size and high > 0.05 * size:
        return Normalize(-size, size), DIVERGING
    return Normalize(low, high if high > low else low + 1.0), SEQUENTIAL


def error_norm(errors: Sequence[np.ndarray]) -> Normalize:
    """A common logarithmic scale for pointwise errors, whole decades, at most twelve."""
    positive = [e[np.isfinite(e) & (e > 0)] for e in errors]
    joined = np.concatenate(positive) if positive else np.zeros(0)
    if joined.size == 0:
        return LogNorm(1e-16, 1e-15)
    top = float(np.ceil(np.log10(joined.max())))
    bottom = max(float(np.floor(np.log10(np.quantile(joined, 0.02)))), top - 12)
    return LogNorm(10.0 ** min(bottom, top - 1), 10.0**top)


def time_colors(count: int) -> list[Any]:
    """Colours for lines at successive times, pale to dark."""
    ramp = LinearSegmentedColormap.from_list("times", ["#9ecae1", "#2171b5", "#08244a"])
    return [ramp(i / max(count - 1, 1)) for i in range(count)]


def axis_label(ds: xr.Dataset, name: str) -> str:
    """``name (unit)``, or the name alone for a pure number; exponents of CF units such as ``m s-1`` are raised."""
    symbol = {"time": "t"}.get(name, name)
    unit = ds[name].attrs.get("units", "1") if name in ds else "1"
    shown = f"${symbol}$" if len(symbol) == 1 else symbol
    raised = re.sub(r"(?<=[A-Za-z])(-?[0-9]+)", lambda power: f"$^{{{power[1]}}}$", unit)
    return shown if unit in ("1", "") else f"{shown} ({raised})"


def colour_bar(fig: Figure, artist: Any, ax: Axes, label: str) -> None:
    """A thin colour bar without a frame, as high as the panel it stands beside."""
    bar = fig.colorbar(artist, cax=ax.inset_axes((1.025, 0.0, 0.035, 1.0)), label=label)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2)


def frame_map(ax: Axes) -> None:
    """Close the frame of a map, whose four sides are all meaningful."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(True)
