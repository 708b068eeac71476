"""``sciml.generate``: many trajectories of one problem as a data set on disk, in pieces that survive interruptions."""

from __future__ import annotations

import sys
import time as clock
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sciml.core.errors import BlowUpError, InputError, SciMLError
from sciml.core.loading import load_problem
from sciml.core.problem import Problem
from sciml.generation.chunks import WorkFolder
from sciml.generation.draws import initial_states
from sciml.generation.job import Asked, Job, make_job
from sciml.generation.place import cache_folder, is_finished, put_together, sweep
from sciml.generation.progress import Progress
from sciml.generation.work import Team, gathered, one_thread
from sciml.io.lock import exclusive
from sciml.solvers.solve import solve

NOT_THE_RECIPE = ("date", "wall_seconds")
"""Attributes of a run that its recipe does not fix."""


def generate(
    problem: Problem | str,
    samples: int,
    out: str | Path | None = None,
    *,
    format: str = "netcdf",
    points: int | Sequence[int] | None = None,
    dt: float | None = None,
    end: float | None = None,
    times: int | Sequence[float] | None = None,
    method: str | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    chunk: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool | Callable[[float], None] = False,
) -> Path:
    """Make a data set of ``samples`` trajectories from initial states drawn from the problem's law; the folder that holds it.

    The samples are solved in chunks, each written when it is finished to ``OUT.partial/chunks``. When all are there they are put
    together, and the folder appears under its name. An interrupted run goes on with ``resume=True``, with the same bits; as does one
    shared by several processes: the same call in every process that ``torchrun`` starts.

    Sample i is drawn from a generator of its own, made from ``seed`` and i: it does not depend on ``samples``, ``chunk`` or the number of
    processes. A chunk is solved as one batch. Its trajectories are the same, to the last bit, wherever the same samples share a chunk;
    in another batch they agree to rounding where the step is fixed, and to the error of the solver where it is chosen on the way.

    Parameters
    ----------
    problem : a problem, or its name (``module:case``, or a Python file), with ``parameters`` for the case.
    samples : number of trajectories, or of solutions of a steady problem.
    out : folder of the data set; a folder of the cache (``$SCIML_CACHE``, else the platform's) that is named by the recipe if None.
    format : ``netcdf``, ``well`` (The Well) or ``pdebench``.
    points, dt, end, times, method, seed, dtype, device : as in :func:`sciml.solve`. With several processes, ``cuda`` is one per process.
    chunk : samples per chunk; such that a chunk's trajectories take at most 64 MiB, and there are 20 of them if possible, by default.
    resume : go on with an interrupted run in ``out``; without one, start. Always so in the cache.
    overwrite : discard an interrupted run in ``out``, and replace a finished data set there.
    progress : True shows a bar on standard error; a function is called with the fraction done.

    Raises
    ------
    InputError : what was asked does not fit; something else is at ``out``, a data set of another recipe (the message says in what it
        differs), an interrupted run without ``resume``; another process works there; the disk is full.
    BlowUpError : a trajectory stopped being finite.

    >>> folder = sciml.generate("burgers:li2021", samples=1000, out="burgers")    # doctest: +SKIP
    >>> data = sciml.open_data(folder)                                            # doctest: +SKIP
    """
    with gathered() as team, one_thread(), ExitStack() as stack:

        def check() -> Job:
            if resume and overwrite:
                raise InputError("generate: resume and overwrite given; one goes on with the interrupted run, the other discards it.")
            found = load_problem(problem, parameters) if isinstance(problem, str) else problem
            if parameters and not isinstance(problem, str):
                raise InputError("generate: parameters are for a problem given by name; make the problem with them instead.")
            asked = Asked(points, dt, end, times, method, dtype, _own(device, team))
            return make_job(found, asked, samples, format, seed, chunk)

        job = team.together(check)
        leading = team.exchange(job.recipe)[0]
        if leading != job.recipe:
            differences = job.recipe.differences(leading.entries())
            raise InputError(f"generate: the processes would not make the same data set ({differences}, where there is process 0); start them alike.")
        folder = cache_folder(job.recipe) if out is None else Path(out).absolute()
        work = WorkFolder(folder.with_name(f"{folder.name}.partial"), job.recipe)

        def prepare() -> list[int] | None:
            if team.rank > 0:
                return None
            if is_finished(folder, job.recipe, overwrite):
                sweep(work)
                return None
            stack.enter_context(exclusive(work.path, "generating into it"))
            return work.prepare(resume or out is None, overwrite)

        todo = team.exchange(team.together(prepare))[0]
        if todo is None:
            if progress is True and team.rank == 0:
                print(f"{job.recipe.problem}: the data set is already there.", file=sys.stderr)
            return folder
        started = clock.perf_counter()
        with Progress(work, todo, team, progress) as seen:

            def finish() -> None:
                if team.rank == 0:
                    seen.complete(f"{job.recipe.problem}: writing {format}")
                    made = {"processes": team.size, "seconds_of_last_run": round(clock.perf_counter() - started, 3)}
                    put_together(work, folder, made)

            try:
                team.together(lambda: _solve_chunks(job, work, team, team.share(todo), seen), seen.waiting)
                team.together(finish)
            except BaseException as error:
                if team.rank == 0:
                    _say_what_is_kept(error, work, alone=team.size == 1)
                raise
        return folder


def _own(device: torch.device | str, team: Team) -> torch.device | str:
    """The accelerator of this process where several share a machine."""
    if team.size > 1 and str(device) == "cuda" and torch.cuda.is_available():
        return f"cuda:{team.local % torch.cuda.device_count()}"
    return device


def _solve_chunks(job: Job, work: WorkFolder, team: Team, indices: Sequence[int], seen: Progress) -> None:
    asked, recipe = job.asked, job.recipe
    try:
        for index in indices:
            samples = recipe.samples_of(index)
            try:
                ds = solve(
                    job.problem,
                    points=asked.points,
                    dt=asked.dt,
                    times=recipe.times,
                    end=recipe.end,
                    method=asked.method,
                    initial=initial_states(job.problem, job.grid, recipe.seed, samples),
                    seed=recipe.seed,
                    dtype=asked.dtype,
                    device=asked.device,
                    progress=partial(seen.reached, index),
                )
            except BlowUpError as error:
                error.add_note(f"This happened while samples {samples.start} to {samples.stop - 1} were solved together.")
                raise
            kept = {name: value for name, value in ds.attrs.items() if name not in NOT_THE_RECIPE}
            numbers = ds["sample"].copy(data=np.arange(samples.start, samples.stop))
            work.write(index, ds.assign_coords(sample=numbers).drop_attrs(deep=False).assign_attrs(kept))
            seen.finished(index)
    except (SciMLError, OSError):
        if team.size > 1:
            with suppress(OSError):
                work.failed.touch()
        raise


def _say_what_is_kept(error: BaseException, work: WorkFolder, alone: bool) -> None:
    """Add to an error where the finished chunks are; without any, and with nobody else at work, remove the folder."""
    count = len(work.present())
    if count:
        error.add_note(f"{count} of {work.recipe.chunks} chunks are finished in {work.path}; --resume (resume=True) goes on.")
    elif alone:
        work.remove()
