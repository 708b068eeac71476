"""One-dimensional transforms of small NumPy arrays, at a fraction of the cost per call of ``torch.fft``.

A real transform of a thousand points takes 3 microseconds; a call through ``torch.fft`` takes 5, most of it set-up.
SciPy keeps its plans. Its compiled module is not public, so it is looked up once and checked against NumPy; without
it :func:`small_transforms` returns None and callers stay with torch.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np


@dataclass(frozen=True)
class SmallTransforms:
    """Source text of the two transforms of arrays ``(..., n)``, ``norm="forward"``, and the names they use.

    Text, because the calls end up in generated straight-line code, where a wrapper would cost as much as a transform.
    """

    module: Any
    points: int

    @property
    def forward(self) -> str:
        """Values to half-spectrum coefficients, to be formatted with the name of the array."""
        return "r2c({0}, (-1,), True, 2, None, 1)"

    @property
    def inverse(self) -> str:
        """Half-spectrum coefficients to values, to be formatted with the name of the array."""
        return f"c2r({{0}}, (-1,), {self.points}, False, 0, None, 1)"

    def namespace(self) -> dict[str, Any]:
        """The functions that the text names."""
        return {"r2c": self.module.r2c, "c2r": self.module.c2r}


@cache
def small_transforms(n: int) -> SmallTransforms | None:
    """The transforms for ``n`` real points, or None where SciPy's module is missing or does something else."""
    try:
        small = SmallTransforms(importlib.import_module("scipy.fft._pocketfft.pypocketfft"), n)
        v = np.cos(np.arange(2.0 * n).reshape(2, n) ** 1.5)
        c = np.fft.rfft(v, norm="forward")
        names = {**small.namespace(), "v": v, "c": c}
        if np.allclose(eval(small.forward.format("v"), names), c, atol=1e-13) and np.allclose(eval(small.inverse.format("c"), names), v, atol=1e-12):
            return small
    except (ImportError, AttributeError, TypeError, ValueError):
        pass
    return None
