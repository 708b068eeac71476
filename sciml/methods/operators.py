"""Neural operators as methods: data, training and forecast within a budget of seconds."""

from __future__ import annotations

import importlib
import math
import time as clock
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sciml.core.equation import Equation
from sciml.core.errors import BlowUpError, InputError
from sciml.core.grid import Grid
from sciml.core.problem import Problem
from sciml.core.rollout import rollout
from sciml.io.dataset import to_dataset, to_tensor
from sciml.methods.base import Method, Progress, Run, Settings
from sciml.solvers.solve import solve

BUDGET = 60.0
"""Seconds for data and training together when no budget is given."""
FOR_DATA = 0.3
"""Largest fraction of the budget that is spent on data."""
MOST_SAMPLES = 512
MOST_NUMBERS = 2**27
"""Of trajectories, and of values in all of them."""
PERTURBATION = 0.5
MODES = {1: 16, 2: 12, 3: 8}
WIDTH = {1: 48, 2: 24, 3: 16}
DEPTH = 4


@dataclass(frozen=True, repr=False)
class TrainedFNO(Method):
    """A Fourier neural operator, trained on trajectories of the same problem and then run from the asked initial state.

    It learns the step between two output times, so these must be equally spaced. Trajectories start from the problem's random law, from
    draws other than the asked one. Where the law is deterministic they start from its state times 1 + r, with a smooth random r of a size
    up to :data:`PERTURBATION`, and the notes say so. The cost is that of everything: data, training and forecast.
    """

    name: str = "fno"
    description: str = "Fourier neural operator, trained within --budget seconds (60) on trajectories of the problem"
    default: bool = False

    def applies(self, problem: Problem) -> str | None:
        if not isinstance(problem.equation, Equation):
            return "it needs an evolution equation"
        if problem.domain.ndim == 0 or problem.equation.lattice:
            return "it needs at least one space axis, and this is an ordinary system"
        if not problem.equation.autonomous:
            return "it learns one step for all times, and this equation depends on time explicitly"
        return None

    def warm_up(self, problem: Problem, settings: Settings) -> None:
        for module in ("sciml.surrogates.operators.fno", "sciml.training.fit"):
            importlib.import_module(module)

    def solve(self, problem: Problem, settings: Settings, progress: Progress | None = None) -> Run:
        from sciml.surrogates.operators.fno import FNO
        from sciml.training.fit import fit
        from sciml.training.pairs import TensorPairs

        started = clock.perf_counter()
        tell = progress or (lambda fraction: None)
        gaps = np.diff(np.asarray(settings.times))
        if np.abs(gaps - gaps.mean()).max() > 1e-6 * gaps.mean():
            raise InputError("fno learns one step, but the output times are not equally spaced; ask for --times N.")
        budget = BUDGET if settings.budget is None else settings.budget
        if not budget > 0:
            raise InputError(f"fno needs time to learn, but budget={budget:g}; give --budget 60.")
        dtype = settings.dtype or torch.float32
        u, random = self._trajectories(problem, settings, FOR_DATA * budget, lambda fraction: tell(FOR_DATA * fraction))
        made = clock.perf_counter() - started
        grid = problem.grid(settings.points, dtype=dtype)
        data = TensorPairs(u.to(dtype), 1, 1, grid.ndim)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            modes = tuple(max(1, min(MODES[grid.ndim], n // 3)) for n in grid.shape)
            dt = float(gaps.mean())
            model = FNO(grid, len(problem.equation.fields), modes=modes, width=WIDTH[grid.ndim], depth=DEPTH, dt=dt, residual=True)
        sample = data.__getitems__(range(0, len(data), max(1, len(data) // 256)))
        model.normalise(sample.u, sample.target)
        history = fit(
            model,
            data,
            budget=max(budget - made, 0.1 * budget),
            lr=3e-3,
            clip=1.0,
            seed=settings.seed,
            device=settings.device,
            progress=lambda fraction: tell(FOR_DATA + (0.95 - FOR_DATA) * fraction),
        )
        initial = problem.initial_state(problem.grid(settings.points), torch.Generator().manual_seed(settings.seed))
        before = clock.perf_counter()
        with torch.no_grad():
            forecast = rollout(model, initial.to(model.grid.device, dtype), len(gaps)).cpu()
        if not torch.isfinite(forecast).all():
            raise BlowUpError(f"the forecast is not finite after {len(gaps)} steps; give more --budget, or fewer --times.")
        count = sum(p.numel() * (2 if p.is_complex() else 1) for p in model.parameters())
        held = sum(p.nbytes for p in model.parameters())
        drawn = "drawn from the initial law" if random else f"from the initial state times 1 + r, r smooth, random and up to {PERTURBATION:g}"
        last = history.epochs[-1]
        notes = (
            f"{count:,} parameters, step {dt:.3g}; trained for {last.steps} steps ({last.epoch} epochs) on {u.shape[1]} trajectories {drawn}; "
            f"one-step relative L2 error in training {last.loss:.2e}"
        )
        attrs = {"method": self.name, "dt": dt, "seed": settings.seed}
        cost = {"data_s": made, "training_s": last.seconds, "forecast_s": clock.perf_counter() - before, "parameters": float(count)}
        cost["model_bytes"] = float(held)  # beside the state, which is the samples
        return Run(to_dataset(forecast, settings.times, grid, problem, attrs), notes, cost)

    def _trajectories(self, problem: Problem, settings: Settings, seconds: float, tell: Progress) -> tuple[Tensor, bool]:
        """Trajectories ``(time, sample, channel, *space)`` made in ``seconds``, and whether they start from a random law."""
        started = clock.perf_counter()
        grid = problem.grid(settings.points)
        generator = torch.Generator().manual_seed((settings.seed + 0x9E3779B9) % 2**32)  # not the draws of the seeds that users count up
        first, second = (problem.initial_state(grid, torch.Generator().manual_seed(s)) for s in (1, 2))
        random = not torch.equal(first, second)
        most = max(2, min(MOST_SAMPLES, MOST_NUMBERS // (len(settings.times) * first.numel())))
        found: list[Tensor] = []
        count, size = 0, 2
        while count < most and (not found or clock.perf_counter() - started < seconds):
            size = min(size, most - count)
            states = torch.stack(
                [problem.initial_state(grid, generator) if random else first * (1 + smooth(grid, generator)) for _ in range(size)]
            )
            ds = solve(problem, points=settings.points, dt=settings.dt, times=settings.times, initial=states, device=settings.device)
            found.append(to_tensor(ds))
            count += size
            spent = clock.perf_counter() - started
            tell(min(spent / seconds, 1.0))
            size = max(1, min(64, int((seconds - spent) / spent * count)))
        return torch.cat(found, 1), random


def smooth(grid: Grid, generator: torch.Generator) -> Tensor:
    """A sum of the four longest waves per axis with random amplitudes, ``(*space)``; its largest size is uniform up to :data:`PERTURBATION`."""
    total = torch.zeros(grid.shape, dtype=grid.dtype, device=grid.device)
    for x, length, origin, periodic in zip(grid.points(), grid.lengths, grid.origin, grid.periodic, strict=True):
        draws = torch.randn(4, 2, generator=generator, dtype=torch.float64).tolist()
        for n, (a, b) in enumerate(draws, start=1):
            angle = (2 if periodic else 1) * math.pi * n * (x - origin) / length
            total = total + (a * torch.cos(angle) + (b * torch.sin(angle) if periodic else 0.0)) / n
    size = PERTURBATION * float(torch.rand((), generator=generator, dtype=torch.float64))
    return total * (size / float(total.abs().max()))


METHODS = (TrainedFNO(),)
