"""DeepXDE on Burgers' equation by the settings of its own example, continued until a budget of seconds is spent; imported by ``pinn_cases.py``.

The settings of its forward example (``Burgers``): 2540 points inside, 80 on the walls and 160 at the start; three layers of 20 tanh neurons with
Glorot's normal weights; 15,000 steps of Adam at 1e-3, then L-BFGS. Time that is left goes to more L-BFGS, and half of the budget at
most goes to Adam, so that a short budget leaves L-BFGS its share. Single precision is its default; its manual advises double for L-BFGS.
"""

from __future__ import annotations

import math
import os
import time
from typing import Any

os.environ.setdefault("DDE_BACKEND", "pytorch")

import deepxde as dde
import numpy as np
import torch


class Look(dde.callbacks.Callback):
    """Stops a training at an instant, and measures the error now and then."""

    def __init__(self, truth: Any, start: float, budget: float, looks: int) -> None:
        super().__init__()
        self.truth, self.start, self.budget, self.looks, self.until = truth, start, budget, looks, budget
        self.curve: list[tuple[float, float]] = []

    def error(self) -> float:
        def solution(*columns: torch.Tensor) -> torch.Tensor:
            t, x = columns
            z = torch.stack([x, t], 1).numpy().astype(dde.config.real(np))
            return torch.as_tensor(self.model.predict(z)).double()

        return float(self.truth.error(solution))

    def on_epoch_end(self) -> None:
        seconds = time.perf_counter() - self.start
        if seconds >= len(self.curve) * self.budget / self.looks:
            self.curve.append((seconds, self.error()))
        if seconds > self.until:
            self.model.stop_training = True


def train_deepxde(truth: Any, budget: float, seed: int, precision: str, looks: int) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    """A row of results, and the error over seconds."""
    dde.config.set_default_float(precision)
    dde.config.set_random_seed(seed)
    domain = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))

    def equation(x: Any, u: Any) -> Any:
        return dde.grad.jacobian(u, x, i=0, j=1) + u * dde.grad.jacobian(u, x, i=0, j=0) - 0.01 / math.pi * dde.grad.hessian(u, x, i=0, j=0)

    walls = dde.icbc.DirichletBC(domain, lambda x: 0, lambda _, edge: edge)
    first = dde.icbc.IC(domain, lambda x: -np.sin(math.pi * x[:, 0:1]), lambda _, initial: initial)
    data = dde.data.TimePDE(domain, equation, [walls, first], num_domain=2540, num_boundary=80, num_initial=160)
    model = dde.Model(data, dde.nn.FNN([2, 20, 20, 20, 1], "tanh", "Glorot normal"))
    look = Look(truth, time.perf_counter(), budget, looks)
    look.until = budget / 2
    model.compile("adam", lr=1e-3)
    model.train(iterations=15000, callbacks=[look], display_every=10**9, verbose=0)
    look.until = budget
    dde.optimizers.set_LBFGS_options(maxiter=10**7)
    dde.optimizers.LBFGS_options.update(iter_per_step=50, fun_per_step=62)  # steps between two looks at the clock; the method is the same
    model.compile("L-BFGS")
    model.train(callbacks=[look], display_every=10**9, verbose=0)
    seconds = time.perf_counter() - look.start
    look.curve.append((seconds, look.error()))
    count = sum(p.numel() for p in model.net.parameters())
    row = {"deepxde": dde.__version__, "parameters": count, "steps": model.train_state.iteration, "seconds": seconds}
    return {**row, "relative_l2": look.curve[-1][1]}, look.curve
