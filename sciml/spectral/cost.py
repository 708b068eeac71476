"""Which way to evaluate a spectral layer is cheaper: a model of both, with rates measured once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Rates:
    """What a device does per second, relative to each other only: multiply-adds in matrix products, and in fast transforms.

    ``benchmarks/spectral_layer.py --rates`` measures them. On two CPU cores the two ways cost the same where matrices do 5 to 7
    times the work in one and two dimensions, and 3 in three; other devices have not been measured.
    """

    matrices: float
    transforms: float


RATES = {"cpu": Rates(matrices=5.5, transforms=1.0)}


def prefers_matrices(space: Sequence[int], modes: Sequence[int], device: str) -> bool:
    """Whether a transform between ``space`` points and ``modes`` is cheaper as matrix products."""
    rates = RATES.get(device) or RATES["cpu"]
    return matrix_work(space, modes) / rates.matrices <= transform_work(space, modes) / rates.transforms


def matrix_work(space: Sequence[int], modes: Sequence[int]) -> float:
    """Multiply-adds of one field's truncated transform by matrices."""
    work = float(math.prod(space) * 2 * modes[-1])
    kept = 2.0 * modes[-1]
    for axis in range(len(space) - 2, -1, -1):
        work += math.prod(space[:axis]) * 2 * modes[axis] * space[axis] * kept
        kept *= 2 * modes[axis] - 1
    return work


def transform_work(space: Sequence[int], modes: Sequence[int]) -> float:
    """Multiply-adds of one field's fast transform, cropped after each axis."""
    work = math.prod(space) * math.log2(space[-1])
    kept = float(modes[-1])
    for axis in range(len(space) - 2, -1, -1):
        work += 2 * math.prod(space[: axis + 1]) * kept * math.log2(space[axis])
        kept *= 2 * modes[axis] - 1
    return work
