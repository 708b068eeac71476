"""Draw what ``train_operators.py`` left: error by resolution, training curves, and error along free runs.

    python benchmarks/draw_operators.py --out docs/figures
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from sciml.report.style import MARKERS, PALETTE, house_style, new_figure, save_figure

RESULTS = Path(__file__).parent / "results" / "operators"
NAMES = {"fno": "FNO", "neuraloperator": "FNO of neuraloperator", "deeponet": "DeepONet", "fno, ten frames to ten": "FNO, ten frames to ten"}


def label(model: str) -> str:
    return NAMES.get(model, model)


def grouped(rows: dict[str, Any], task: str) -> dict[str, list[tuple[str, Any]]]:
    """The runs of a task by model, those with a budget of time."""
    found: dict[str, list[tuple[str, Any]]] = defaultdict(list)
    for key, row in rows.items():
        if row["task"].startswith(task) and row["budget_s"]:
            found[row["model"]].append((key, row))
    return found


def resolution(axes: Any, runs: dict[str, list[tuple[str, Any]]], trained_at: int) -> None:
    """Each run's mean error over the number of points; one that is trained at more than one seed has a line for each."""
    for colour, marker, (model, found) in zip(PALETTE, MARKERS, runs.items(), strict=False):
        for n, (_, row) in enumerate(found):
            points = sorted(map(int, row["errors"]))
            values = [row["errors"][str(s)]["mean"] for s in points]
            axes.loglog(points, values, color=colour, marker=marker, label=label(model) if n == 0 else None, alpha=1.0 if n == 0 else 0.5)
    axes.axvline(trained_at, color="0.6", linewidth=0.8, linestyle="--")
    small: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7, "color": "0.4"}
    axes.annotate("trained here", (trained_at, 0), xycoords=("data", "axes fraction"), xytext=(3, 4), **small)
    low, high = axes.get_ylim()
    axes.set_ylim(10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high)))
    axes.set_xlabel("points per axis")
    axes.set_ylabel("relative $L^2$ error")
    shown = sorted({int(s) for found in runs.values() for _, row in found for s in row["errors"]})
    axes.set_xticks(shown, [str(s) for s in shown])
    axes.minorticks_off()


def curves(axes: Any, runs: dict[str, list[tuple[str, Any]]]) -> None:
    """Training loss over seconds."""
    for colour, (model, found) in zip(PALETTE, runs.items(), strict=False):
        for n, (key, _) in enumerate(found):
            with open(RESULTS / f"{key}.csv", newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            seconds, loss = ([float(row[name]) for row in rows] for name in ("seconds", "loss"))
            axes.semilogy(seconds, loss, color=colour, linewidth=1, label=label(model) if n == 0 else None)
    axes.set_xlabel("seconds of training")
    axes.set_ylabel("training loss")


def free_runs(axes: Any, runs: dict[str, list[tuple[str, Any]]]) -> None:
    """Relative error along free runs, mean over test samples."""
    for colour, (model, found) in zip(PALETTE, runs.items(), strict=False):
        for _, row in found:
            if "error_by_step" in row:
                error = row["error_by_step"]
                axes.semilogy(range(1, len(error)), error[1:], color=colour, label=label(model))
    axes.set_xlabel("units of time ahead")
    axes.set_ylabel("relative $L^2$ error")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    folder = parser.parse_args().out
    rows = json.loads((RESULTS / "operators.json").read_text())
    with house_style():
        for task, trained_at in (("burgers, viscosity 0.1", 256), ("burgers, viscosity 0.01", 256), ("darcy", 85), ("navier_stokes", 64)):
            runs = grouped(rows, task)
            if not runs:
                continue
            figure = new_figure(2.6)
            panels = figure.subplots(1, 3 if task == "navier_stokes" else 2)
            resolution(panels[0], runs, trained_at)
            curves(panels[1], runs)
            if task == "navier_stokes":
                free_runs(panels[2], runs)
            panels[1].legend()
            name = task.replace(", viscosity ", "_").replace(".", "")
            print(save_figure(figure, folder / f"operators_{name}.png"))


if __name__ == "__main__":
    main()
