"""What ``sciml generate`` does."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch

from sciml.cli.parsing import check_times, parse_dtype, parse_points, parse_settings
from sciml.cli.stop import stoppable
from sciml.core.errors import SciMLError
from sciml.generation.generate import generate


def run_generate(
    name: str,
    samples: int,
    out: Path | None,
    format: str,
    points: str | None,
    dt: float | None,
    end: float | None,
    times: int | None,
    method: str | None,
    settings: Sequence[str],
    seed: int,
    chunk: int | None,
    device: str,
    dtype: str | None,
    resume: bool,
    overwrite: bool,
) -> None:
    """``sciml generate``: the data set, and its place and size on the terminal; of several processes only the leading one speaks."""
    leads = os.environ.get("RANK", "0") == "0"
    check_times(times)
    with stoppable("nothing was kept."):
        try:
            folder = generate(
                name,
                samples,
                out,
                format=format,
                points=parse_points(points),
                dt=dt,
                end=end,
                times=times,
                method=method,
                seed=seed,
                dtype=parse_dtype(dtype) or torch.float64,
                device=device,
                chunk=chunk,
                parameters=parse_settings(settings),
                resume=resume,
                overwrite=overwrite,
                progress=True,
            )
        except (SciMLError, OSError):
            if leads:
                raise
            with suppress(KeyboardInterrupt):  # a launcher stops the others as soon as one has ended: let the leader speak first
                time.sleep(2)
            raise SystemExit(2) from None
        except KeyboardInterrupt:
            if leads:
                raise
            raise SystemExit(130) from None
    if leads:
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        print(f"{samples} samples, {format}, {size / 1e6:.4g} MB: {folder if out is None else out}")
