"""A file in the format of the Well as other groups write it: fields of every rank, constant along some axes, in their own order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

COUNT, STEPS = 3, 5
SHAPE = (4, 6, 2)


def write_foreign(path: Path, dims: tuple[str, ...] = ("x", "y"), seed: int = 0) -> dict[str, np.ndarray]:
    """Write random numbers to ``path`` and return them by name, without repetition along axes where they are constant."""
    rng = np.random.default_rng(seed)
    shape, n = SHAPE[: len(dims)], len(dims)
    made: dict[str, np.ndarray] = {}
    with h5py.File(path, "w") as file:
        file.attrs.update({"dataset_name": "foreign", "grid_type": "cartesian", "n_spatial_dims": n, "n_trajectories": COUNT, "Re": 100.0})
        file.attrs["simulation_parameters"] = ["Re"]
        group = file.create_group("dimensions")
        group.attrs["spatial_dims"] = list(dims)
        _put(group, "time", np.linspace(0, 1, STEPS, dtype=np.float32), sample_varying=False, time_varying=True)
        for i, (dim, points) in enumerate(zip(dims, shape, strict=True)):
            _put(group, dim, (np.arange(points, dtype=np.float32) + 0.5) * (i + 1), sample_varying=False, time_varying=False)
        conditions = file.create_group("boundary_conditions")
        for i, dim in enumerate(dims):
            kind = "PERIODIC" if i == 0 else "WALL"
            condition = conditions.create_group(f"{dim}_{kind.lower()}")
            condition.attrs.update({"bc_type": kind, "associated_dims": [dim], "sample_varying": False, "time_varying": False})
            condition.attrs.create("associated_fields", np.array([], dtype=object), dtype=h5py.string_dtype())
            condition["mask"] = np.isin(np.arange(shape[i]), (0, shape[i] - 1))
        for rank, names in enumerate((("pressure", "forcing", "mask", "layer"), ("velocity",), ("D",))):
            group = file.create_group(f"t{rank}_fields")
            group.attrs["field_names"] = list(names)
            for name in names:
                sample, time = name not in ("forcing", "mask"), name not in ("mask", "layer")
                varying = [name != "layer" or i == n - 1 for i in range(n)]
                space = [points for points, varies in zip(shape, varying, strict=True) if varies]
                size = (*((COUNT,) if sample else ()), *((STEPS,) if time else ()), *space, *((n,) * rank))
                made[name] = rng.standard_normal(size, dtype=np.float32)
                _put(group, name, made[name], sample_varying=sample, time_varying=time, dim_varying=varying)
                if rank == 2:
                    group[name].attrs.update({"symmetric": False, "antisymmetric": False})
        group = file.create_group("scalars")
        group.attrs["field_names"] = ["Re", "drive"]
        made["drive"] = rng.standard_normal(COUNT, dtype=np.float32)
        _put(group, "Re", np.float32(100), sample_varying=False, time_varying=False)
        _put(group, "drive", made["drive"], sample_varying=True, time_varying=False)
    return made


def _put(group: h5py.Group, name: str, values: Any, **flags: Any) -> None:
    group[name] = values
    group[name].attrs.update(flags)
