"""Makes the few pictures that the repository keeps (README, quickstart) again, by the commands that stand in ``COMMANDS``.

    python docs/figures/make_figures.py

Colours are rounded to 6 bits a channel, which no eye sees and which keeps the repository small.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from PIL import Image

from sciml.cli.main import main

HERE = Path(__file__).resolve().parent

# name in the documentation: (command, the picture that it writes)
COMMANDS = {
    "burgers_solution.png": ("compare burgers:raissi2019 --methods etdrk4,finite_volume --out two", "two/solution.png"),
    "burgers_error.png": ("compare burgers:raissi2019 --out all", "all/error.png"),
    "kuramoto_sivashinsky.png": ("solve kuramoto_sivashinsky:kassam2005 --times 300 --plot ks.png", "ks.png"),
}


def make() -> None:
    """Run every command once and keep its pictures."""
    done: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, (command, picture) in COMMANDS.items():
            if command not in done and main(command.split()) != 0:
                sys.exit(f"the command failed: sciml {command}")
            done.add(command)
            with Image.open(picture) as image:
                image.convert("RGB").point(lambda v: min(255, (v + 2) // 4 * 4)).save(HERE / name, optimize=True)
        os.chdir(HERE)


if __name__ == "__main__":
    make()
