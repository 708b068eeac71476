"""``sciml.evolve``: a representation carried from time to time, with a record of every step."""

from __future__ import annotations

import csv
import math
import time as clock
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from itertools import islice, pairwise
from pathlib import Path

import torch
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from sciml.core.errors import BlowUpError, InputError
from sciml.core.grid import Grid
from sciml.io.atomic import atomic_file
from sciml.io.dataset import to_dataset
from sciml.io.interruption import deferred
from sciml.surrogates.inr.kept import EVERY, Kept, Position, Row
from sciml.surrogates.inr.stepper import INRState, INRStepper

HALVINGS = 8
"""How often a step is halved before the run is given up."""
EASY = 0.2
"""Part of the tolerance below which a halved step is doubled again."""


@dataclass(frozen=True)
class Evolution:
    """What :func:`evolve` returns.

    Attributes
    ----------
    step : by which it was made.
    times : as asked.
    weights : at these times, ``(time, *batch, size)``.
    start : the misfit of the first weights to the field that they stand for.
    rows : one :class:`~sciml.surrogates.inr.kept.Row` per step, and per attempt that was taken back.
    """

    step: INRStepper
    times: tuple[float, ...]
    weights: Tensor
    start: float
    rows: tuple[Row, ...]

    @property
    def bytes(self) -> int:
        """Memory of all fields at one time."""
        return self.weights[0].numel() * self.weights.element_size()

    @property
    def seconds(self) -> float:
        """That all steps took, those of interrupted runs before among them."""
        return sum(row.seconds for row in self.rows)

    def state(self, index: int = -1) -> INRState:
        """The state at one of the times, the last by default, with the misfit of the step that led there."""
        time = self.times[index]
        if time == self.times[0]:
            return INRState(self.weights[0], self.start)
        row = min((row for row in self.rows if row.taken), key=lambda row: abs(row.time - time))
        return INRState(self.weights[index], row.misfit, row.temporal, row.iterations, row.constraint)

    def field(self, grid: Grid | None = None) -> Tensor:
        """u on a grid at all times, ``(time, *batch, channel, *space)``; the stepper's own grid by default."""
        return self.step.sample(self.weights, self.step.grid if grid is None else grid)

    def solution(self, grid: Grid | None = None) -> xr.Dataset:
        """:meth:`field` as a labelled dataset, like that of :func:`sciml.solve`; for one field or a batch with one axis."""
        chosen = self.step.grid if grid is None else grid
        facts = {"method": type(self.step).__name__, "dt": self.step.dt, "steps": sum(row.taken for row in self.rows), "weights": self.step.size}
        return to_dataset(self.field(chosen), self.times, chosen, self.step.problem, facts)

    def write(self, path: str | Path) -> None:
        """All rows as CSV, with the full precision of every number."""
        with atomic_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [column.name for column in fields(Row)])
            writer.writeheader()
            writer.writerows(map(asdict, self.rows))


def evolve(
    step: INRStepper,
    times: Sequence[float] | None = None,
    *,
    state: INRState | None = None,
    tolerance: float | None = None,
    progress: bool | Callable[[float], None] = False,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = EVERY,
    resume: bool = False,
) -> Evolution:
    """Carry a neural representation through output times, which are met exactly: ``step.dt`` is shortened where it does not divide an interval.

    Parameters
    ----------
    step : whose problem is solved.
    times : output times, increasing; the first is that of ``state``. By default 0 and the problem's horizon.
    state : to start from; the problem's own initial state by default, and then the times start at 0.
    tolerance : of every step's misfit and temporal estimate together, relative. A step that exceeds it is taken again as two halves, and these
        as halves of their own, up to 8 times; steps grow again when they have become easy. Integrators without an estimate (all but "heun" and
        "dopri5") are held to the misfit alone. None takes every step once, and gives up beyond ``step.limit``.
    progress : True shows a bar on standard error; a function is called with the fraction done.
    checkpoint : file that keeps the run every ``checkpoint_every`` seconds, when it is interrupted, and at its end.
    resume : go on from ``checkpoint`` if it exists, with the bits of a run that was never interrupted (on one machine with one number of threads).
        Without it an existing file is refused.

    Raises
    ------
    InputError : times, tolerance, state or checkpoint that do not fit.
    BlowUpError : a step that cannot be taken, with its time and what to do; what was reached is in the checkpoint.
    KeyboardInterrupt : on Ctrl-C or SIGTERM, after the step in work, with the checkpoint written.

    >>> run = sciml.evolve(sciml.INRStepper(problem, dt=0.02), [0.0, 0.5, 1.0])           # doctest: +SKIP
    >>> run.solution()["u"].sel(time=0.5).plot()                                          # doctest: +SKIP
    """
    if not isinstance(step, INRStepper):
        raise InputError(f"evolve: a {type(step).__name__} given; a sciml.INRStepper is needed (sciml.rollout repeats any stepper).")
    instants = _instants(step, times, state)
    if tolerance is not None and not 0 < tolerance < math.inf:
        raise InputError(f"evolve: tolerance={tolerance} given; a positive, finite number is needed, or None.")
    with ExitStack() as stack:
        kept = stack.enter_context(Kept(checkpoint, resume=resume, every=checkpoint_every))
        first = step.start() if state is None else state
        if first.weights.shape[-1:] != (step.size,):
            raise InputError(f"evolve: weights of shape {tuple(first.weights.shape)} given; (*batch, {step.size}) is expected.")
        found = kept.begin(step, instants, first, tolerance)
        at = Position([first.weights], first.weights, 0, 0, []) if found is None else found
        asked = stack.enter_context(deferred())
        span = instants[-1] - instants[0]
        layout = "{l_bar}{bar}| {elapsed}<{remaining}{postfix}"
        bar = stack.enter_context(tqdm(total=100, disable=progress is not True, desc=step.problem.name, bar_format=layout, mininterval=0.5))
        for start, stop in islice(pairwise(instants), len(at.states) - 1, None):
            count = max(1, math.ceil((stop - start) / step.dt - 1e-9))
            h = (stop - start) / count
            h = step.dt if abs(step.dt - h) <= 1e-12 * h else h  # so that rounding does not make two steps of one
            for n in range(at.within, count):
                at = _stepped(step, at, start + n * h, h, tolerance)
                at = at._replace(within=n + 1) if n + 1 < count else at._replace(within=0, states=[*at.states, at.weights])
                kept.note(at)
                fraction = 1.0 if n + 1 == count and stop == instants[-1] else (start + (n + 1) * h - instants[0]) / span
                bar.set_postfix_str(f"misfit {at.rows[-1].misfit:.1e}", refresh=False)
                bar.update(100 * fraction - bar.n)
                if callable(progress):
                    progress(fraction)
                if asked.to_end:
                    raise KeyboardInterrupt
    return Evolution(step, tuple(instants), torch.stack(at.states), first.misfit, tuple(at.rows))


def _stepped(step: INRStepper, at: Position, time: float, h: float, tolerance: float | None) -> Position:
    """A position h later, in one step or in parts of h that are halves of halves."""
    done, whole = 0, 2**HALVINGS  # how much of h is done, in the smallest parts
    weights, level, rows = at.weights, at.level, list(at.rows)
    while done < whole:
        part = whole >> level
        now, dt = time + h * done / whole, h if level == 0 else h * part / whole
        began = clock.perf_counter()
        found = step.attempt(weights, now, dt)
        seconds = clock.perf_counter() - began
        if tolerance is None:
            step.check(found, now, dt)
        error = found.misfit + found.temporal
        good = tolerance is None or (found.misfit <= step.limit and error <= tolerance and bool(torch.isfinite(found.weights).all()))
        rows.append(Row(now + dt, dt, found.misfit, found.temporal, found.iterations, seconds, good, found.constraint))
        if good:
            weights, done = found.weights, done + part
            if level and tolerance is not None and error <= EASY * tolerance and done % (2 * part) == 0:
                level -= 1
        elif level < HALVINGS:
            level += 1
        else:
            raise BlowUpError(
                f"evolve: the step from t={now:.6g} still has the error {error:.2g} (misfit {found.misfit:.2g}, temporal estimate "
                f"{found.temporal:.2g}) after {HALVINGS} halvings, dt={dt:.3g}; tolerance={tolerance:g} is asked. Take a larger tolerance, a wider "
                "network, more points, or integrator='implicit_midpoint' if the equation is stiff; states up to here are good."
            )
    return at._replace(weights=weights, level=level, rows=rows)


def _instants(step: INRStepper, times: Sequence[float] | None, state: INRState | None) -> list[float]:
    if isinstance(times, int | float):
        raise InputError(f"evolve: times={times} given; a list of output times is needed, such as [0.0, {float(times):g}].")
    listed = [0.0, float(step.problem.horizon)] if times is None else [float(t) for t in times]
    if len(listed) < 2 or any(not a < b < math.inf for a, b in pairwise(listed)):
        raise InputError(f"evolve: times={listed[:4]} given; two or more finite output times that increase strictly are needed.")
    if state is None and listed[0] != 0.0:
        raise InputError(f"evolve: times from {listed[0]:g} on given without a state; give state=, or times from 0, when the problem's own begins.")
    return listed
