"""A small training in a process of its own: ``python tests/training_run.py OUT [name=value ...]`` writes the weights and losses to OUT."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import sciml

GRID = sciml.Grid((8,), (1.0,))


def states(samples: int = 5, steps: int = 6) -> torch.Tensor:
    """Decaying, moving waves, ``(time, sample, channel, x)``."""
    generator = torch.Generator().manual_seed(1)
    phase = torch.rand(samples, 1, 1, generator=generator, dtype=torch.float64)
    x = GRID.points()[0]
    return torch.stack([0.9**n * torch.sin(2 * torch.pi * (x - phase - 0.05 * n)) for n in range(steps)])


class Scale(nn.Module):
    """u -> a u."""

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(start))

    def forward(self, u: Tensor) -> Tensor:
        return self.a * u


def mean_square(p: Tensor, y: Tensor) -> Tensor:
    return (p - y).square().mean()


def weights(network: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in network.parameters()]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(map(torch.equal, a, b))


def model(noise: float = 0.0) -> sciml.FNO:
    """A small network, the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return sciml.FNO(GRID, modes=3, width=4, depth=2, dt=0.1, noise=noise)


def train(made: torch.nn.Module, **options: Any) -> Any:
    """One training with everything that has a state: moments, average, schedule, validation."""
    usual: dict[str, Any] = {"epochs": 4, "batch_size": 3, "ema": 0.9, "clip": 1.0, "seed": 5, "validation": sciml.pairs(states(2))}
    usual["optimizer"] = partial(torch.optim.Adam, lr=0.01)
    return sciml.fit(made, sciml.pairs(states()), **{**usual, **options})


if __name__ == "__main__":
    torch.set_num_threads(1)
    out, *texts = sys.argv[1:]
    given: dict[str, Any] = {name: eval(value) for name, value in (text.split("=", 1) for text in texts)}
    network = model(given.pop("model_noise", 0.0))
    history = train(network, **given)
    if torch.distributed.is_initialized() and torch.distributed.get_rank() > 0:
        out += ".1"
    torch.save({"state": dict(network.state_dict()), "losses": history.losses, "validation": history.validation}, out)
