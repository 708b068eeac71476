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
    """

    epochs: list[Epoch] = field(default_factory=list)
    ended: str = ""

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
        """Draw the losses over epochs to a picture, on a logarithmic axis; the path.

        Raises :class:`InputError` for a name of another ending, and if there is nothing to draw.
        """
        target = Path(path)
        if target.suffix.lower() not in PICTURES:
            raise InputError(f"Cannot draw to {target}: the name must end in {', '.join(PICTURES)}.")
        if not self.epochs:
            raise InputError("History.plot: no epoch was finished, so there is nothing to draw.")
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.0, 3.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        number = [row.epoch for row in self.epochs]
        axes.semilogy(number, self.losses, color="#0072B2", label="training", marker="o" if len(number) < 8 else None)
        if any(math.isfinite(value) for value in self.validation):
            axes.semilogy(number, self.validation, color="#D55E00", label="validation", marker="o" if len(number) < 8 else None)
        for name, values in self.parts.items():
            if not name.startswith("weight."):
                axes.semilogy(number, values, label=name, linewidth=0.8)
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        axes.legend(frameon=False)
        with atomic_file(target) as temporary:
            figure.savefig(temporary, dpi=150)
        return target

    def state(self) -> list[dict[str, Any]]:
        """The rows as plain values."""
        return [asdict(row) for row in self.epochs]
