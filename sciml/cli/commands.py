"""What ``sciml solve`` and ``sciml compare`` do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from tqdm import tqdm

from sciml.cli.parsing import parse_dtype, parse_names, parse_points, parse_settings
from sciml.core.loading import load_problem
from sciml.io.atomic import check_writable
from sciml.io.netcdf import save
from sciml.report.animation import animate as write_animation
from sciml.report.compare import compare
from sciml.report.document import memory, seconds
from sciml.report.figures import plot as write_plot
from sciml.report.style import check_picture
from sciml.solvers.solve import solve


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
) -> None:
    """``sciml solve``: every output is checked before time is spent, and appears when it is complete."""
    problem = load_problem(name, parse_settings(settings))
    if plot is not None:
        check_picture(plot)
    if animate is not None:
        check_picture(animate, (".gif",))
    for target in (out, plot, animate):
        if target is not None:
            check_writable(target)
    ds = solve(
        problem,
        points=parse_points(points),
        dt=dt,
        end=end,
        times=50 if times is None else times,
        method=method,
        samples=samples,
        seed=seed,
        device=device,
        dtype=parse_dtype(dtype) or torch.float64,
        progress=True,
    )
    shape = " x ".join(str(n) for n in ds.sizes.values())
    step = f", dt = {ds.attrs['dt']:.4g}" if "dt" in ds.attrs else ""
    print(f"{problem.name}: {ds.attrs['method']}{step}, {', '.join(map(str, ds.data_vars))} ({', '.join(map(str, ds.sizes))}: {shape})")
    if out is not None:
        print(f"wrote {save(ds, out)}")
    if plot is not None:
        write_plot(ds, plot)
        print(f"wrote {plot}")
    if animate is not None:
        print(f"wrote {write_animation(ds, animate)}")
    if out is plot is animate is None:
        print("nothing was kept: give --out run.nc, --plot run.png or --animate run.gif")


def run_compare(
    name: str,
    methods: str | None,
    reference: Path | None,
    variable: str | None,
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
) -> None:
    """``sciml compare``: the report, and its table on the terminal."""
    with ExitStack() as stack:
        bar: tqdm | None = None

        def show(label: str, fraction: float) -> None:
            nonlocal bar
            if bar is None or bar.desc != label:
                if bar is not None:
                    bar.close()
                bar = stack.enter_context(tqdm(total=100, desc=label, bar_format="{desc:>20} {bar:30} {elapsed}", file=sys.stderr, leave=True))
            bar.n = round(100 * fraction)
            bar.refresh()

        names = parse_names(variable)
        result = compare(
            name,
            parse_names(methods),
            out,
            parameters=parse_settings(settings),
            reference=reference,
            variable=names,
            points=parse_points(points),
            dt=dt,
            end=end,
            times=times,
            seed=seed,
            device=device,
            dtype=parse_dtype(dtype),
            budget=budget,
            progress=show,
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
        print(note)
    print(f"wrote {result.folder}/report.html and {len(list(result.folder.iterdir())) - 2} more files beside it")
