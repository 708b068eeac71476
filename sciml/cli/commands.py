"""What ``sciml solve`` and ``sciml compare`` do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from tqdm import tqdm

from sciml.cli.parsing import check_times, parse_dtype, parse_names, parse_pairs, parse_points, parse_settings, parse_variable
from sciml.cli.stop import stoppable
from sciml.core.errors import InputError
from sciml.core.loading import load_problem
from sciml.core.problem import Problem
from sciml.io.atomic import check_writable, remove_leftovers
from sciml.io.checkpoint import Checkpoint
from sciml.io.netcdf import save
from sciml.report.animation import animate as write_animation
from sciml.report.compare import compare
from sciml.report.document import memory, seconds
from sciml.report.figures import plot as write_plot
from sciml.report.style import check_picture
from sciml.solvers.solve import solve

INTERVALS = {0: 5000, 1: 200, 2: 50, 3: 10}
"""Most output intervals of ``sciml solve`` when none are asked for, by number of space axes."""


def run_solve(
    name: str,
    points: str | None,
    dt: float | None,
    end: float | None,
    times: int | None,
    method: str | None,
    settings: Sequence[str],
    samples: int | None,
    seed: int,
    out: Path | None,
    plot: Path | None,
    animate: Path | None,
    device: str,
    dtype: str | None,
    resume: bool,
    overwrite: bool,
    checkpoint_every: float,
) -> None:
    """``sciml solve``: every output is checked before time is spent, and appears when it is complete."""
    problem = load_problem(name, parse_settings(settings))
    check_times(times)
    if plot is not None:
        check_picture(plot)
    if animate is not None:
        check_picture(animate, (".gif",))
        if problem.domain.ndim == 0:
            raise InputError(f"--animate: {problem.name} is an ordinary system without a space axis; use --plot.")
        if problem.steady:
            raise InputError(f"--animate: {problem.name} is steady and does not move; use --plot.")
    for target in (out, plot, animate):
        if target is not None:
            check_writable(target)
    if out is not None and out.suffix.lower() != ".nc":
        raise InputError(f"--out {out}: a trajectory is written as NetCDF; give a name that ends in .nc.")
    if out is None and (resume or overwrite):
        raise InputError("--resume and --overwrite concern the unfinished run beside --out; give --out run.nc too.")
    with ExitStack() as stack:
        stack.enter_context(stoppable("Nothing was kept." if out is not None else "Nothing was kept; with --out run.nc a run can be gone on with."))
        kept = None
        if out is not None:
            kept = Checkpoint(out.with_name(f"{out.name}.partial"), resume=resume, overwrite=overwrite, every=checkpoint_every)
            stack.enter_context(kept)
            remove_leftovers(out)
            if kept.reached is not None:
                print(f"going on with the interrupted run up to {kept}", file=sys.stderr)
        ds = solve(
            problem,
            points=parse_points(points),
            dt=dt,
            end=end,
            times=_intervals(problem, end, dt) if times is None and not problem.steady else times,
            method=method,
            samples=samples,
            seed=seed,
            device=device,
            dtype=parse_dtype(dtype) or torch.float64,
            progress=True,
            checkpoint=kept,
        )
        if out is not None:
            save(ds, out)
    shape = " x ".join(str(n) for n in ds.sizes.values())
    step = f", dt = {ds.attrs['dt']:.4g}" if "dt" in ds.attrs else ""
    print(f"{problem.name}: {ds.attrs['method']}{step}, {', '.join(map(str, ds.data_vars))} ({', '.join(map(str, ds.sizes))}: {shape})")
    if out is not None:
        print(f"wrote {out}")
    if plot is not None:
        write_plot(ds, plot)
        print(f"wrote {plot}")
    if animate is not None:
        print(f"wrote {write_animation(ds, animate)}")
    if out is plot is animate is None:
        print("nothing was kept: give --out run.nc, --plot run.png or --animate run.gif")


def _intervals(problem: Problem, end: float | None, dt: float | None) -> int:
    """Output intervals when none are asked for: enough for a smooth picture, and such that the step need not be shortened."""
    most = INTERVALS[problem.domain.ndim]
    step = problem.dt if dt is None else dt
    ratio = 0.0 if not step else (problem.horizon if end is None else end) / step
    if not 0 < ratio < 1e12:
        return most
    steps = max(round(ratio), 1)
    return steps if steps <= most else next((n for n in range(most, most // 2, -1) if steps % n == 0), most)


@contextmanager
def stages() -> Iterator[Callable[[str, float], None]]:
    """A function that shows what is being done, and the fraction done, as one bar per label."""
    with ExitStack() as stack:
        bar: tqdm | None = None

        def show(label: str, fraction: float) -> None:
            nonlocal bar
            if bar is None or bar.desc != label:
                if bar is not None:
                    bar.close()
                bar = stack.enter_context(tqdm(total=100, desc=label, bar_format="{desc:>20} {bar:30} {elapsed}", file=sys.stderr, leave=True))
            if bar.n != (percent := round(100 * fraction)):
                bar.n = percent
                bar.refresh()

        yield show


def run_compare(
    name: str,
    methods: str | None,
    reference: Path | None,
    variable: str | None,
    dims: str | None,
    coords: str | None,
    points: str | None,
    dt: float | None,
    end: float | None,
    times: int | None,
    settings: Sequence[str],
    seed: int,
    out: Path,
    device: str,
    dtype: str | None,
    budget: float | None,
    resume: bool,
    overwrite: bool,
) -> None:
    """``sciml compare``: the report, and its table on the terminal."""
    with ExitStack() as stack:
        stack.enter_context(stoppable("No method had finished; nothing was kept."))
        check_times(times)
        result = compare(
            name,
            parse_names(methods),
            out,
            parameters=parse_settings(settings),
            reference=reference,
            variable=parse_variable(variable),
            dims=parse_names(dims),
            coords=parse_pairs(coords, "--coords", "x=lon,t=0:1"),
            points=parse_points(points),
            dt=dt,
            end=end,
            times=times,
            seed=seed,
            device=device,
            dtype=parse_dtype(dtype),
            budget=budget,
            progress=stack.enter_context(stages()),
            resume=resume,
            overwrite=overwrite,
        )
    print(f"{'method':<16}{'error at the end':>18}{'error, all times':>18}{'wall time':>12}{'memory':>12}")
    for entry in result.entries:
        done = entry.finished
        if done is None:
            print(f"{entry.method.name:<16}  {entry.failure}")
        else:
            used = memory(done.result.peak_bytes)
            print(f"{entry.method.name:<16}{done.errors.final:>18.2e}{done.errors.total:>18.2e}{seconds(done.result.wall_s):>12}{used:>12}")
    for note in result.notes:
        if note not in result.truth.notes:  # those have been warnings already
            print(note)
    print(f"wrote {result.folder}/report.html and {len(list(result.folder.iterdir())) - 2} more files beside it")
