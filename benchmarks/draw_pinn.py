"""Draw what ``pinn_cases.py`` left: the error of each training over its seconds, a panel for each problem.

    python benchmarks/draw_pinn.py --out docs/figures/pinn_cases.png
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

from sciml.report.style import MUTED, PALETTE, house_style, new_figure, save_figure

RESULTS = Path(__file__).parent / "results" / "pinn"
TITLES = {
    "burgers": "Burgers, viscosity 0.01/$\\pi$",
    "allen_cahn": "Allen-Cahn, $D=10^{-4}$",
    "korteweg_de_vries": "Korteweg-de Vries, $\\delta=0.0025$",
    "taylor_green": "Taylor-Green with mean flow, 2-D",
}
PEERS = {"deepxde_float32": ("DeepXDE, float32", PALETTE[1]), "deepxde_float64": ("DeepXDE, float64", PALETTE[5])}

NEAR = 1e-3
"""Uncertainties of references farther below the errors than this are not drawn."""


def read(key: str) -> tuple[list[float], list[float]]:
    """Seconds and errors of a training."""
    with open(RESULTS / f"{key}_error.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [float(row["seconds"]) for row in rows], [float(row["relative_l2"]) for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/figures/pinn_cases.png"))
    out = parser.parse_args().out
    rows = json.loads((RESULTS / "pinn.json").read_text())
    with house_style():
        figure = new_figure(4.6)
        for axes, (case, title) in zip(figure.subplots(2, 2).flat, TITLES.items(), strict=True):
            lines = {case: ("sciml.PINN", PALETTE[0]), **(PEERS if case == "burgers" else {})}
            for name, (label, colour) in lines.items():
                for key in (k for k in rows if k.startswith(f"{name}_")):
                    seconds, errors = read(key)
                    axes.semilogy(seconds, errors, color=colour, linewidth=1.0, label=label)
                    label = None
            known = max((rows[k]["reference"] for k in rows if k.startswith(f"{case}_")), default=0.0)
            if known > NEAR * min(axes.get_ylim()):
                axes.axhline(known, color=MUTED, linewidth=0.8, linestyle="--", label="uncertainty of the reference")
            axes.set_title(title)
            axes.set_xlabel("seconds on one core")
            axes.set_ylabel("relative $L^2$ error")
            axes.legend()
        print(save_figure(figure, out))


if __name__ == "__main__":
    main()
