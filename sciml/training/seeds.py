"""Randomness as a function of where a training stands, so that no generator's state has to be kept."""

from __future__ import annotations

import numpy as np
import torch


def seed_of(*place: int) -> int:
    """A seed from numbers such as (seed, epoch, step): 32 bits, which is what PyTorch's CPU generator takes."""
    return int(np.random.SeedSequence([abs(int(n)) for n in place]).generate_state(1)[0])


def generator_of(*place: int) -> torch.Generator:
    """A generator on the CPU for this place."""
    return torch.Generator().manual_seed(seed_of(*place))


def seed_defaults(seed: int, device: torch.device) -> None:
    """Seed PyTorch's own generators of the CPU and of one device; ``torch.manual_seed`` takes a millisecond for those of all others."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def order_of(seed: int, epoch: int, count: int) -> list[int]:
    """The order in which epoch ``epoch`` takes ``count`` samples."""
    return torch.randperm(count, generator=generator_of(seed, epoch, 0)).tolist()
