"""A trajectory as a moving picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from PIL import Image

from sciml.core.errors import InputError
from sciml.io.atomic import atomic_file
from sciml.report.fields import first_sample, plane, space_axes, spread
from sciml.report.figures import snapshot
from sciml.report.style import PALETTE, axis_label, check_picture, colour_bar, frames_norm, house_style, new_figure


def animate(ds: xr.Dataset, path: str | Path, *, frames: int = 100, seconds: float = 8.0) -> Path:
    """Write a GIF of a trajectory: the profile in one space dimension, the (middle) plane in two and three.

    Parameters
    ----------
    ds : as :func:`sciml.solve` returns it; of several fields or samples the first is shown.
    path : a name that ends in ``.gif``.
    frames : at most so many, spread evenly over time.
    seconds : length of one loop.
    """
    target = check_picture(path, (".gif",))
    trajectory = first_sample(ds)
    if not space_axes(trajectory):
        raise InputError("animate: the dataset has no space axis; use sciml.plot for an ordinary system.")
    with house_style():
        pictures = _frames(trajectory, frames)
    with atomic_file(target) as temporary:
        duration = max(int(1000 * seconds / len(pictures)), 20)
        pictures[0].save(temporary, format="GIF", save_all=True, append_images=pictures[1:], duration=duration, loop=0, optimize=True)
    return target


def _frames(ds: xr.Dataset, count: int) -> list[Image.Image]:
    name = str(next(iter(ds.data_vars)))
    times, x, values = ds["time"].values, ds["x"].values, ds[name].values
    flat = values.ndim == 2
    fig = new_figure(2.6 if flat else 3.4, width=4.8 if flat else 4.2)
    ax = fig.add_subplot()
    if flat:
        (line,) = ax.plot(x, values[0], color=PALETTE[0])
        low, high = float(values.min()), float(values.max())
        margin = 0.06 * ((high - low) or 1.0)
        ax.set_ylim(low - margin, high + margin)
        ax.margins(x=0)
        ax.set_ylabel(axis_label(ds, name))
    else:
        planes = [plane(v) for v in values]
        artist = snapshot(ax, x, ds["y"].values, planes[0], frames_norm(planes))
        colour_bar(fig, artist, ax, axis_label(ds, name))
        ax.set_ylabel(axis_label(ds, "y"))
    ax.set_xlabel(axis_label(ds, "x"))
    title = ax.set_title(f"$t$ = {times[0]:.4g}")
    pictures = []
    for i in spread(times, count):
        if flat:
            line.set_ydata(values[i])
        else:
            artist.set_array(planes[i].T)
        title.set_text(f"$t$ = {times[i]:.4g}")
        fig.canvas.draw()
        canvas: Any = fig.canvas  # an Agg canvas, whose pixels the base class does not declare
        rgba = np.asarray(canvas.buffer_rgba())
        pictures.append(Image.fromarray(rgba[..., :3].copy()).quantize(64))
    return pictures
