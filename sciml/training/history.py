"""What a training did: losses, learning rate and time per epoch."""

from __future__ import annotations

import csv
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from sciml.core.errors import InputError
from sciml.io.atomic import atomic_file

PICTURES = (".png", ".pdf", ".svg", ".jpg")
TRAINING, VALIDATION = "#0072B2", "#D55E00"
COLOURS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#4B4B4B")
"""Okabe and Ito's palette, as in all figures of this package; the first two of it are the lines that every history has."""
STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "lines.linewidth": 1.3,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "grid.color": "#e3e6ea",
    "grid.linewidth": 0.6,
    "savefig.dpi": 200,
    "savefig.facecolor": "white",
}


@dataclass(frozen=True)
class Epoch:
    """One row.

    Attributes
    ----------
    epoch : number, from 1; the last may be a part of one where time ran out.
    steps : optimiser steps so far.
    loss : mean over the epoch's samples, each with the weights of its moment.
    validation : mean over the validation data with the weights at the end (averaged ones if asked for); NaN without such data.
    lr : learning rate of the last step.
    seconds : of training so far, all runs of it together.
    parts : further columns: the terms of the loss and their weights before the last step, where the objective tells them.
    """

    epoch: int
    steps: int
    loss: float
    validation: float
    lr: float
    seconds: float
    parts: dict[str, float] = field(default_factory=dict)


@dataclass
class History:
    """The rows of a training, as :func:`sciml.fit` returns them.

    Attributes
    ----------
    epochs : one :class:`Epoch` each.
    ended : why it ended: ``"epochs"``, ``"budget"`` or ``"patience"``.
    optimizer : the name of what took the steps, such as ``"GaussNewton"``.
    """

    epochs: list[Epoch] = field(default_factory=list)
    ended: str = ""
    optimizer: str = ""

    @property
    def losses(self) -> list[float]:
        """Training loss per epoch."""
        return [row.loss for row in self.epochs]

    @property
    def validation(self) -> list[float]:
        """Validation loss per epoch."""
        return [row.validation for row in self.epochs]

    @property
    def lr(self) -> list[float]:
        """Learning rate per epoch."""
        return [row.lr for row in self.epochs]

    @property
    def seconds(self) -> list[float]:
        """Time at the end of each epoch."""
        return [row.seconds for row in self.epochs]

    @property
    def parts(self) -> dict[str, list[float]]:
        """The terms of the loss and their weights per epoch, by name; NaN where a row has none."""
        names = dict.fromkeys(name for row in self.epochs for name in row.parts)
        return {name: [row.parts.get(name, math.nan) for row in self.epochs] for name in names}

    def write(self, path: str | Path) -> None:
        """All rows as CSV, with the full precision of every number."""
        columns = [column.name for column in fields(Epoch) if column.name != "parts"]
        parts = self.parts
        with atomic_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*columns, *parts])
            writer.writerows([[getattr(row, c) for c in columns] + [part[i] for part in parts.values()] for i, row in enumerate(self.epochs)])

    def plot(self, path: str | Path) -> Path:
        """Draw losses and terms of the loss over epochs to a picture, on a logarithmic axis, and below them the weights found for terms; the path.

        Raises :class:`InputError` for a name of another ending, and if there is nothing to draw.
        """
        target = Path(path)
        if target.suffix.lower() not in PICTURES:
            raise InputError(f"Cannot draw to {target}: the name must end in {', '.join(PICTURES)}.")
        if not self.epochs:
            raise InputError("History.plot: no epoch was finished, so there is nothing to draw.")
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogFormatter

        parts = self.parts
        terms = {name: values for name, values in parts.items() if not name.startswith("weight.") and values != self.losses}
        weights = {name: values for name, values in parts.items() if name.startswith("weight.")}
        colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(name for name in parts if not name.startswith("weight."))}
        marker = {"marker": "o", "markersize": 3.5} if len(self.epochs) < 8 else {}
        settings: Any = {**matplotlib.rcParamsDefault, **STYLE, "backend": matplotlib.rcParams["backend"]}
        with matplotlib.rc_context(settings):
            figure = Figure(figsize=(6.0, 4.6 if weights else 3.2), layout="constrained")
            FigureCanvasAgg(figure)
            panels = figure.subplots(2 if weights else 1, sharex=True, squeeze=False, height_ratios=(3, 2) if weights else (1,))[:, 0]
            number = [row.epoch for row in self.epochs]
            panels[0].semilogy(number, self.losses, color=TRAINING, label="training", zorder=3, **marker)
            if any(math.isfinite(value) for value in self.validation):
                panels[0].semilogy(number, self.validation, color=VALIDATION, label="validation", zorder=3, **marker)
            for name, values in terms.items():
                panels[0].semilogy(number, values, color=colours[name], label=name, linewidth=0.9, **marker)
            panels[0].set_ylabel("loss")
            for name, values in weights.items():
                term = name.removeprefix("weight.")
                panels[1].semilogy(number, values, "--", color=colours.get(term, TRAINING), label=term, linewidth=1.1, **marker)
            panels[-1].set_xlabel("epoch")
            if weights:
                panels[1].set_ylabel("weight")
                panels[1].yaxis.set_major_formatter(LogFormatter())  # 3, not 3 times 10 to the 0
                panels[1].yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
            for panel in panels:  # beside the lines, which may be anywhere
                panel.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
                panel.grid(axis="y")
            with atomic_file(target) as temporary:
                figure.savefig(temporary)
        return target

    def state(self) -> list[dict[str, Any]]:
        """The rows as plain values."""
        return [asdict(row) for row in self.epochs]
