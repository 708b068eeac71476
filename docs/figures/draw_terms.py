"""Draws the terms of a loss, and the weights found for them, of docs/howto/pinn.md: half a minute of one core.

    python docs/figures/draw_terms.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from PIL import Image

import sciml
from sciml.problems import heat

HERE = Path(__file__).resolve().parent


def draw() -> None:
    """Train a network whose conditions are all terms of the loss."""
    torch.manual_seed(0)
    pinn = sciml.PINN(heat.dirichlet(1), bc="soft", initial="soft", width=16, depth=2)
    objective = sciml.PinnObjective(points=sciml.RAD(400, every=100), boundary_points=64, initial_points=64, balance="ntk", balance_every=25)
    history = sciml.fit(pinn, loss=objective, epochs=1500, optimizer=torch.optim.Adam, lr=1e-2)
    with tempfile.TemporaryDirectory() as folder, Image.open(history.plot(Path(folder) / "terms.png")) as image:
        image.convert("RGB").point(lambda v: min(255, (v + 2) // 4 * 4)).save(HERE / "pinn_terms.png", optimize=True)


if __name__ == "__main__":
    draw()
