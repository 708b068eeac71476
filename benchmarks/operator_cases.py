"""Data and settings of the operator trainings: three published tasks, each at a reduced size for two cores and at full size for one GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import sciml

SEED_OF_TEST = 10_000
"""Samples for training are drawn with seed 0."""


@dataclass
class Task:
    """What a model is trained and tested on.

    Attributes
    ----------
    grid : of the training data, float32.
    train, label : data of :func:`sciml.fit`, and a line that says what they are.
    tests : by number of points per axis, argument and target ``(sample, channel, *space)``.
    models : by name, what makes one on a grid.
    settings : of :func:`sciml.fit`, for all models alike unless ``own`` has others.
    rolls : true trajectories ``(time, sample, channel, *space)`` for free runs of propagators.
    """

    grid: sciml.Grid
    train: Any
    label: str
    tests: dict[int, tuple[Tensor, Tensor]]
    models: dict[str, Callable[[sciml.Grid], nn.Module]]
    settings: dict[str, Any]
    own: dict[str, dict[str, Any]] = field(default_factory=dict)
    rolls: Tensor | None = None


class Peer(nn.Module):
    """neuraloperator's FNO between the same normalisations as ours."""

    def __init__(self, modes: tuple[int, ...], width: int, channels: int = 1, out: int = 1, **settings: Any) -> None:
        super().__init__()
        from neuralop.models import FNO

        self.net = FNO(n_modes=modes, in_channels=channels, out_channels=out, hidden_channels=width, **settings)
        for name in ("mean", "spread", "mean_after", "spread_after"):
            self.register_buffer(name, torch.zeros(1))

    def normalise(self, u: Tensor, target: Tensor) -> None:
        axes = (0, *range(2, u.ndim))
        self.mean, self.spread = u.mean(axes, keepdim=True), u.std(axes, keepdim=True)
        self.mean_after, self.spread_after = target.mean(axes, keepdim=True), target.std(axes, keepdim=True)

    def forward(self, u: Tensor) -> Tensor:
        return self.net((u - self.mean) / self.spread) * self.spread_after + self.mean_after

    def on(self, grid: sciml.Grid) -> Peer:
        return self


def burgers(size: str, device: str, points: int, viscosity: float) -> Task:
    """u(., 0) -> u(., 1): 1024 training samples on ``points``, 200 test samples on 8192 points and what is left when they are thinned."""
    settings = {"viscosity": viscosity}
    stored = sciml.open_data(sciml.generate("burgers:li2021", 1024, points=1024, times=1, seed=0, parameters=settings, progress=True))
    u = torch.stack([sample.u for sample in stored], 1)[..., :: 1024 // points].float()
    # the step of the 1024 points, at which the error in time is 1e-8; finer grids would take smaller ones
    fine = sciml.open_data(
        sciml.generate("burgers:li2021", 200, points=8192, dt=1e-3, times=1, seed=SEED_OF_TEST, parameters=settings, progress=True)
    )
    test = torch.stack([sample.u for sample in fine], 1).float()
    grid = stored.grid.resized((points,)).to(dtype=torch.float32)
    models: dict[str, Callable[[sciml.Grid], nn.Module]] = {
        "fno": lambda g: sciml.FNO(g, modes=16, width=64),
        "neuraloperator": lambda g: Peer((32,), 64),
        "deeponet": lambda g: sciml.DeepONet(g, width=256, depth=4, basis=128, sensors=256),
    }
    return Task(
        grid,
        (u[0].contiguous(), u[1].contiguous()),
        f"burgers, viscosity {viscosity:g}, 1024 samples on {points} points",
        {8192 // step: (test[0, ..., ::step], test[1, ..., ::step]) for step in (1, 2, 4, 8, 16, 32, 64, 128)},
        models,
        {"batch_size": 20, "lr": 1e-3},
    )


def darcy(size: str, device: str, points: int, viscosity: float) -> Task:
    """a -> u: samples on 85 x 85 cells, every third of 255 x 255; tests on 51, 85 and 255, whose cell centres are among the finest ones."""
    counts = {"reduced": (1000, 100), "full": (1000, 100)}[size]
    parts = []
    for count, seed in zip(counts, (0, SEED_OF_TEST), strict=True):
        stored = sciml.open_data(sciml.generate("darcy:li2021", count, points=255, seed=seed, progress=True))
        step = 255 // points if seed == 0 else 1
        chosen = slice(step // 2, None, step)
        samples = [(s.inputs[..., chosen, chosen].float(), s.u[..., chosen, chosen].float()) for s in stored]
        parts.append(tuple(torch.stack(part) for part in zip(*samples, strict=True)))
    train, test = parts
    grid = stored.grid.resized((points, points)).to(dtype=torch.float32)
    models: dict[str, Callable[[sciml.Grid], nn.Module]] = {
        "fno": lambda g: sciml.FNO(g, modes=12, width=32),
        "transolver": lambda g: sciml.Transolver(g),
    }

    def thinned(s: int) -> tuple[Tensor, Tensor]:
        step = 255 // s
        at = slice(step // 2, None, step)
        return test[0][..., at, at], test[1][..., at, at]

    return Task(
        grid,
        train,
        f"darcy, {counts[0]} samples on {points} x {points} cells",
        {s: thinned(s) for s in (51, 85, 255)},
        models,
        {"batch_size": 20, "lr": 2e-3},
    )


def navier_stokes(size: str, device: str, points: int, viscosity: float) -> Task:
    """Vorticity one unit of time apart; ten frames t = 1..10 are given, t = 11..20 asked for, and free runs go on to t = 50."""
    counts = {"reduced": (200, 40), "full": (1000, 200)}[size]
    settings = {"viscosity": viscosity}
    options: dict[str, Any] = {"points": 64, "parameters": settings, "progress": True, "device": device}
    stored = sciml.open_data(sciml.generate("navier_stokes:li2021", counts[0], end=20.0, times=20, seed=0, **options))
    u = torch.stack([sample.u for sample in stored], 1).float()
    longer = sciml.open_data(sciml.generate("navier_stokes:li2021", counts[1], end=50.0, times=50, seed=SEED_OF_TEST, **options))
    test = torch.stack([sample.u for sample in longer], 1).float()
    finer = sciml.open_data(sciml.generate("navier_stokes:li2021", 20, end=20.0, times=20, seed=SEED_OF_TEST, **(options | {"points": 128})))
    fine = torch.stack([sample.u for sample in finer], 1).float()
    grid = stored.grid.to(dtype=torch.float32)
    models: dict[str, Callable[[sciml.Grid], nn.Module]] = {
        # the forcing is fixed in space, so the map does not commute with translations
        "fno": lambda g: sciml.FNO(g, modes=12, width=32, dt=1.0, residual=True, coordinates="angles"),
        "fno, ten frames to ten": lambda g: sciml.FNO(g, 10, out_channels=10, modes=12, width=32, coordinates="angles"),
        "ffno": lambda g: sciml.FactorisedFNO(g, modes=16, width=48, dt=1.0, residual=True, coordinates="angles"),
    }
    ten = (u[1:11, :, 0].movedim(0, 1), u[11:21, :, 0].movedim(0, 1))
    return Task(
        grid,
        sciml.pairs(u),
        f"navier_stokes, viscosity {viscosity:g}, {counts[0]} trajectories on 64 x 64 points",
        {points: (t[1:11, :, 0].movedim(0, 1), t[11:21, :, 0].movedim(0, 1)) for points, t in ((64, test), (128, fine))},
        models,
        {"batch_size": 20, "lr": 2.5e-3, "clip": 1.0},
        {"fno, ten frames to ten": {"data": (ten[0].contiguous(), ten[1].contiguous())}},
        test,
    )


TASKS: dict[str, Callable[[str, str, int, float], Task]] = {"burgers": burgers, "darcy": darcy, "navier_stokes": navier_stokes}
POINTS = {"burgers": 256, "darcy": 85, "navier_stokes": 64}
VISCOSITY = {"burgers": 0.1, "darcy": 0.0, "navier_stokes": 1e-3}
EPOCHS = {"burgers": 500, "darcy": 500, "navier_stokes": 500}
"""Of the full-size runs, which have no budget."""
