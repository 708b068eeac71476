"""One initial state per sample, whichever process, chunk or size of data set it is drawn in."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.problem import Problem

MOST_SAMPLES = 2**32


def sample_generator(seed: int, sample: int) -> torch.Generator:
    """The generator of one sample of a data set.

    PyTorch's generator on the CPU takes 32 bits of a seed, so hashed seeds would collide within some ten thousand samples. Here the
    sample is added to a start that hangs on ``seed`` (modulo 2^32) and the sum is scrambled by a bijection, the finaliser of MurmurHash3
    [Appleby 2011]: no two samples of a data set share a generator, and two data sets of n samples share one with probability 2n / 2^32.
    """
    start = int(np.random.SeedSequence(seed).generate_state(1)[0])
    return torch.Generator().manual_seed(_scrambled((start + sample) % MOST_SAMPLES))


def initial_states(problem: Problem, grid: Grid, seed: int, samples: range) -> Tensor:
    """The initial states of ``samples``, ``(sample, channel, *space)``; for steady problems their given fields."""
    return torch.stack([problem.initial_state(grid, sample_generator(seed, i)) for i in samples])


def check_random(problem: Problem, grid: Grid, seed: int, samples: int) -> None:
    """Raise :class:`InputError` if the problem's initial law is not random, so that all ``samples`` would be the same."""
    if samples > 1:
        first, second = initial_states(problem, grid, seed, range(2))
        if torch.equal(first, second):
            raise InputError(
                f"{problem.name}: samples={samples} given, but every sample would be the same, because its initial state is fixed. "
                "Choose a case with a random initial law (sciml.RandomLaw), or samples=1."
            )


def _scrambled(value: int) -> int:
    for factor, shift in ((0x85EBCA6B, 16), (0xC2B2AE35, 13)):
        value = ((value ^ (value >> shift)) * factor) % MOST_SAMPLES
    return value ^ (value >> 16)
