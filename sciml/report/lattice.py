"""Values of a gridded field on another lattice of points over the same domain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.interpolate import CubicSpline

from sciml.core.grid import Grid
from sciml.spectral.resample import evaluate


def on_lattice(values: np.ndarray, grid: Grid, coords: Sequence[np.ndarray]) -> np.ndarray:
    """``values`` (``(..., *grid.shape)``) at the product of ``coords``, one array of positions per axis.

    The axes are treated one after the other: trigonometric interpolation along a periodic axis (exact for
    band-limited fields), cubic splines along a bounded one. Positions that are the grid's own are left as they are.
    """
    result = values
    own = [axis.to(torch.float64).cpu().numpy() for axis in grid.axes()]
    for i, positions in enumerate(coords):
        if len(own[i]) == len(positions) and np.allclose(own[i], positions, rtol=0.0, atol=1e-12 * grid.lengths[i]):
            continue
        moved = np.moveaxis(result, i - grid.ndim, -1)
        if grid.periodic[i]:
            line = Grid((grid.shape[i],), (grid.lengths[i],), (True,), (grid.origin[i],))
            u = torch.as_tensor(np.ascontiguousarray(moved), dtype=torch.float64)
            moved = evaluate(u, line, (torch.tensor(positions, dtype=torch.float64),)).numpy()
        else:
            moved = CubicSpline(own[i], moved, axis=-1)(positions)
        result = np.moveaxis(moved, -1, i - grid.ndim)
    return result
