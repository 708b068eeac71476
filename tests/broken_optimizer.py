"""An optimiser that breaks, for tests of what is put back."""

from __future__ import annotations

import math
from typing import Any

import torch


class Poison(torch.optim.SGD):
    """Works until it breaks the weights at a given step."""

    def __init__(self, parameters: Any, at: int) -> None:
        super().__init__(parameters, lr=1e-3)
        self.at, self.count = at, 0

    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        self.count += 1
        if self.count == self.at:
            with torch.no_grad():
                self.param_groups[0]["params"][0].fill_(math.nan)
        return loss
