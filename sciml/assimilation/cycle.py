"""``sciml.cycle``: forecast, analyse, diagnose, and again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from sciml.assimilation.cycles import Cycles
from sciml.assimilation.kept import EVERY, Kept, Position
from sciml.assimilation.observation import Observation
from sciml.assimilation.stages import Assimilator, Data
from sciml.assimilation.stochastic import Stochastic
from sciml.assimilation.tally import Tally
from sciml.core.checks import check_whole
from sciml.core.errors import InputError
from sciml.core.propagator import Propagator, Stepper
from sciml.io.described import described
from sciml.io.interruption import deferred
from sciml.io.recipe import content_of, sources_version

SOURCES = ("assimilation", "core", "derivatives", "solvers", "spectral")
"""Folders of this package on whose code the bits of a run depend."""


def cycle(
    step: Propagator | Stepper,
    analysis: Assimilator,
    observation: Observation,
    y: Tensor,
    ensemble: Tensor,
    *,
    generator: torch.Generator,
    every: int = 1,
    start: float = 0.0,
    truth: Tensor | None = None,
    burn_in: int = 0,
    lost: str = "raise",
    progress: bool | Callable[[float], None] = False,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = EVERY,
    resume: bool = False,
) -> Cycles:
    """Assimilate data one time after the other.

    Parameters
    ----------
    step : the forecast model: a solver, a neural operator, a representation of weights, a corrected model.
    analysis : such as ``sciml.LETKF(radius=8)``.
    observation : what made the data.
    y : data ``(cycles, *batch, m)``; NaN where missing, and a row of NaN is a forecast without analysis. Row k belongs to the time
        ``start + (k + 1) * every * step.dt``.
    ensemble : at ``start``, ``(*batch, member, channel, *space)``; every entry of the batch is an experiment of its own.
    generator : of random choices of the analysis.
    every : steps of the model between two times of data.
    truth : states ``(cycles, *batch, channel, *space)`` to measure errors by; no analysis sees it.
    burn_in : cycles whose ranks are not counted.
    lost : what happens to members whose forecast is no longer finite: "raise" an error, or "replace" them by draws with mean and covariance of
        the others; ``Cycles.notes`` then tells when, and which.
    progress : True shows a bar; a function is called with the fraction done.
    checkpoint : file that keeps the run every ``checkpoint_every`` seconds, when it is interrupted, and at its end.
    resume : go on from ``checkpoint`` if it exists, with the bits of a run that was never interrupted (on one machine with one number of threads).
        Without it an existing file is refused.

    Raises
    ------
    InputError : shapes or a checkpoint that do not fit.
    BlowUpError : with the time and the members of a forecast that is no longer finite (with ``lost="replace"`` only where fewer than two are left).
    KeyboardInterrupt : on Ctrl-C; with a checkpoint, or SIGTERM, after the cycle in work, which is kept.
    """
    check_whole(1, who="cycle", every=every)
    if lost not in ("raise", "replace"):
        raise InputError(f"cycle: lost={lost!r} given; choose 'raise' or 'replace'.")
    _check(step, y, ensemble, truth)
    step = step.drawing(generator) if isinstance(step, Stochastic) else step
    tally = Tally(len(y), ensemble, step.grid, truth, burn_in)
    data = Data(step, observation.on(step.grid), y, every, start, generator, lost, tally.notes)
    with ExitStack() as stack:
        kept = stack.enter_context(Kept(checkpoint, resume=resume, every=checkpoint_every))
        at = None if checkpoint is None else kept.begin(_recipe(data, analysis, ensemble, generator, truth, burn_in), ensemble.device)
        if at is not None:
            tally.restore(at.tally)
            generator.set_state(at.generator)
        asked = None if checkpoint is None else stack.enter_context(deferred())
        begin, state = (0, None) if at is None else (at.number, at.state)
        stages = analysis.stages(data, ensemble, generator, begin=begin, state=state)
        layout: dict[str, Any] = {"desc": type(analysis).__name__, "mininterval": 0.5, "disable": progress is not True}
        for stage in tqdm(stages, initial=begin, total=len(y), **layout):
            tally.add(stage)
            if checkpoint is not None:
                kept.note(Position(stage.number + 1, stage.state, generator.get_state(), tally.content()))
            if callable(progress):
                progress((stage.number + 1) / len(y))
            if asked is not None and asked.to_end:
                raise KeyboardInterrupt
    return tally.cycles(type(analysis).__name__)


def _recipe(data: Data, analysis: Assimilator, ensemble: Tensor, generator: torch.Generator, truth: Tensor | None, burn_in: int) -> dict[str, str]:
    """What decides the bits of a run: settings in words, data as hashes, model and instrument by what they make of the first member."""
    step = data.step
    first = ensemble.select(ensemble.ndim - 2 - step.grid.ndim, 0)
    with torch.no_grad():
        fixed = torch.Generator(generator.device).manual_seed(0)  # one draw of its errors tells their covariance
        later = step.disturbed(step.undisturbed(first, data.start), fixed) if isinstance(step, Stochastic) else step(first)
        seen = data.observation(first, data.start)
        variances = data.observation.errors.variances(seen.shape[-1], seen)
    return {
        "analysis": described(analysis),
        "model": f"{type(step).__name__} dt={step.dt!r} {content_of(later)}",
        "observation": f"{content_of(seen)} {content_of(variances)}",
        "y": f"{tuple(data.y.shape)} {content_of(data.y)}",
        "ensemble": f"{tuple(ensemble.shape)} {ensemble.dtype} {content_of(ensemble)}",
        "truth": "none" if truth is None else content_of(truth),
        "generator": content_of(generator.get_state()),
        "settings": f"every={data.every} start={data.start!r} burn_in={burn_in} lost={data.lost}",
        "threads": str(torch.get_num_threads()),  # sums in another order round differently
        "code": sources_version(SOURCES, (analysis, step)),
    }


def _check(step: Propagator | Stepper, y: Tensor, ensemble: Tensor, truth: Tensor | None) -> None:
    ndim = step.grid.ndim
    if not isinstance(ensemble, Tensor) or ensemble.ndim < 2 + ndim:
        shape = tuple(ensemble.shape) if isinstance(ensemble, Tensor) else type(ensemble).__name__
        raise InputError(f"cycle: an ensemble of shape {shape} given; (*batch, member, channel, *space) is expected on a grid {step.grid.shape}.")
    batch = ensemble.shape[: -2 - ndim]
    if not isinstance(y, Tensor) or y.ndim != 2 + len(batch) or tuple(y.shape[1:-1]) != tuple(batch):
        shape = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise InputError(f"cycle: data of shape {shape} given; {('cycles', *batch, 'm')} is expected.")
    if truth is not None and tuple(truth.shape) != (len(y), *batch, *ensemble.shape[len(batch) + 1 :]):
        expected = (len(y), *batch, *ensemble.shape[len(batch) + 1 :])
        raise InputError(f"cycle: a truth of shape {tuple(truth.shape)} given; {expected} is expected, the state at every time of data.")
