"""Small models of every kind, and fields for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import sciml
from sciml.surrogates.base import Surrogate

F64, F32 = torch.float64, torch.float32
SMALL: dict[str, dict[str, Any]] = {
    "FNO": {"modes": 3, "width": 6, "depth": 2, "mlp": 0.5},
    "FactorisedFNO": {"modes": 3, "width": 6, "depth": 2},
    "DeepONet": {"width": 8, "depth": 2, "basis": 5},
    "Transolver": {"width": 8, "depth": 2, "heads": 2, "slices": 4},
}


def grid_of(shape: tuple[int, ...], periodic: bool | tuple[bool, ...] = True, dtype: torch.dtype = F64) -> sciml.Grid:
    n = len(shape)
    return sciml.Grid(shape, (2.0, 3.0, 0.5)[:n], periodic if isinstance(periodic, tuple) else (periodic,) * n, (0.5, -1.0, 0.0)[:n], dtype)


def model_of(name: str, grid: sciml.Grid, channels: int = 1, **options: Any) -> Any:
    torch.manual_seed(0)
    return getattr(sciml, name)(grid, channels, **{**SMALL[name], **options}).eval()


def field(model: Surrogate, *batch: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, model.channels, *model.grid.shape, dtype=model.grid.dtype, generator=generator)
