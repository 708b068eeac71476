"""What ``sciml work-precision`` does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from sciml.cli.commands import stages
from sciml.cli.parsing import parse_dtype, parse_names, parse_points, parse_settings, parse_sizes
from sciml.cli.stop import stoppable
from sciml.report.document import amount, seconds
from sciml.report.work_precision import work_precision


def run_work_precision(
    name: str,
    methods: str | None,
    sizes: Sequence[str],
    points: str | None,
    dt: float | None,
    end: float | None,
    settings: Sequence[str],
    seed: int,
    out: Path,
    device: str,
    dtype: str | None,
    budget: float | None,
    resume: bool,
    overwrite: bool,
) -> None:
    """``sciml work-precision``: the report, and its table on the terminal."""
    with ExitStack() as stack:
        stack.enter_context(stoppable("No run had finished; nothing was kept."))
        found = work_precision(
            name,
            parse_names(methods),
            parse_sizes(sizes),
            out,
            parameters=parse_settings(settings),
            points=parse_points(points),
            dt=dt,
            end=end,
            seed=seed,
            device=device,
            dtype=parse_dtype(dtype),
            budget=budget,
            progress=stack.enter_context(stages()),
            resume=resume,
            overwrite=overwrite,
        )
    print(f"{'method':<16}{'size':>6}{'state':>12}{'error at the end':>18}{'wall time':>12}{'steps':>8}")
    for rung in found.rungs:
        done, start = rung.entry.finished, f"{rung.entry.method.name:<16}{rung.size:>6}"
        if done is None:
            print(f"{start}  {rung.entry.failure}")
        else:
            steps = done.result.cost.get("steps")
            cost = f"{seconds(done.result.wall_s):>12}{'–' if steps is None else f'{steps:.0f}':>8}"
            print(f"{start}{amount(done.state_bytes):>12}{done.errors.final:>18.2e}{cost}")
    for note in found.notes:
        print(note)
    print(f"wrote {found.folder}/report.html and {len(list(found.folder.iterdir())) - 2} more files beside it")
