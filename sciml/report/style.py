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
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

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

OUTLIER = 3.0
"""How much larger than the later instants the first ones must be to be left out of their common colour scale."""

FEW = 8
"""A line of at most so many points is drawn with a mark at each."""

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


def frames_norm(frames: Sequence[np.ndarray]) -> tuple[Normalize, str | Colormap]:
    """A common colour scale for successive instants of a field.

    Turbulence from random phases starts large: where the first instants exceed the other three quarters by a factor
    of ``OUTLIER``, and those are alike, the scale is theirs, and the colour bar has pointed ends. The last instant
    always fits.
    """
    values = np.stack(frames)
    sizes = [float(np.abs(f[np.isfinite(f)]).max(initial=0.0)) for f in frames]
    usual = max(float(np.quantile(sizes, 0.75, method="lower")), sizes[-1])
    if len(frames) < 3 or not 0 < OUTLIER * usual < max(sizes) or usual > OUTLIER * sizes[-1]:
        return field_norm(values)
    scale, name = field_norm(np.clip(values, -usual, usual))
    cmap: Any = matplotlib.colormaps[name].copy()
    cmap.colorbar_extend = "both" if name == DIVERGING else "max" if np.nanmax(values) > usual else "min"
    return scale, cmap


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


def symbol(name: str) -> str:
    """A field or a coordinate as figures write it: a single letter in italics, time as t."""
    short = {"time": "t"}.get(name, name)
    return f"${short}$" if len(short) == 1 else short


def axis_label(ds: xr.Dataset, name: str) -> str:
    """``name (unit)``, or the name alone for a pure number; exponents of CF units such as ``m s-1`` are raised."""
    unit = ds[name].attrs.get("units", "1") if name in ds else "1"
    shown = symbol(name)
    raised = re.sub(r"(?<=[A-Za-z])(-?[0-9]+)", lambda power: f"$^{{{power[1]}}}$", unit)
    return shown if unit in ("1", "") else f"{shown} ({raised})"


def colour_bar(fig: Figure, artist: Any, ax: Axes, label: str) -> None:
    """A thin colour bar without a frame, as high as the panel it stands beside."""
    bar = fig.colorbar(artist, cax=ax.inset_axes((1.025, 0.0, 0.035, 1.0)), label=label)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2)


def draw_spectrum(ax: Axes, k: np.ndarray, power: np.ndarray, **style: Any) -> None:
    """One spectrum on logarithmic axes; modes that are not a number are passed over, and few modes get marks."""
    shown = np.isfinite(power)
    marks = {"marker": "o", "ms": 2.5} if 0 < shown.sum() <= FEW else {}
    ax.loglog(k[shown], power[shown], **(style | marks))


def finish_spectrum(ax: Axes, name: str) -> None:
    """Labels, and axes that span at least a decade."""
    for axis, limits, set_limits in ((ax.xaxis, ax.get_xlim(), ax.set_xlim), (ax.yaxis, ax.get_ylim(), ax.set_ylim)):
        if limits[1] < 10 * limits[0]:
            middle = (limits[0] * limits[1]) ** 0.5
            set_limits(middle / 10, middle * 10)
        axis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("wavenumber $k$")
    ax.set_ylabel(f"power of {symbol(name)}")
    ax.grid(axis="y")


def frame_map(ax: Axes) -> None:
    """Close the frame of a map, whose four sides are all meaningful."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(True)
