"""What ``sciml train`` does."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sciml.cli.models import MODELS, make_model
from sciml.cli.parsing import check_times, parse_points, parse_settings
from sciml.cli.stop import stoppable
from sciml.core.checks import check_device
from sciml.core.errors import InputError
from sciml.generation.generate import generate
from sciml.io.atomic import check_writable
from sciml.io.open import SUFFIXES, open_data
from sciml.io.trajectories import Trajectories
from sciml.report.document import seconds
from sciml.surrogates.base import Surrogate
from sciml.training.batches import check_finite_data, some
from sciml.training.evaluate import forecasts, mean_loss, step_of
from sciml.training.fit import fit
from sciml.training.pairs import pairs

EPOCHS = 100
MOST_FORECASTS = 32
FOR_NORMALISATION = 256


@dataclass(frozen=True)
class Parts:
    """Trajectories for training, validation and test: files of their own, or samples of one data set."""

    data: tuple[Trajectories, Trajectories, Trajectories]
    samples: tuple[slice, slice, slice]


def run_train(
    model: str,
    source: str,
    out: Path,
    samples: int,
    points: str | None,
    end: float | None,
    times: int | None,
    settings: Sequence[str],
    lag: int,
    modes: int | None,
    width: int | None,
    depth: int | None,
    epochs: int | None,
    budget: float | None,
    lr: float | None,
    batch_size: int,
    noise: float,
    seed: int,
    device: str,
    precision: str,
    resume: bool,
    log: Path | None,
    tensorboard: Path | None,
    direct: bool,
) -> None:
    """``sciml train``: the model's file, and its errors on data that it has not seen."""
    leads = os.environ.get("RANK", "0") == "0"
    if model not in MODELS:
        raise InputError(f"MODEL {model!r} is not known; use {', '.join(MODELS)}.")
    check_writable(out)
    check_device(device)
    check_times(times)
    if lag < 1:
        raise InputError(f"--lag {lag} given; it starts at 1.")
    kept = out.with_name(f"{out.name}.partial")
    if kept.exists() and not resume:
        raise InputError(f"An interrupted training is in {kept}; --resume goes on with it, or remove it.")
    with stoppable("No step was kept."):
        if is_data(source):
            if settings or points or end is not None or times is not None:
                raise InputError("--set, --points, --end and --times are for problems; these data are made already.")
            parts = parts_of_folder(Path(source))
        else:
            folder = generate(
                source, samples, points=parse_points(points), end=end, times=times, seed=seed, parameters=parse_settings(settings), progress=True
            )
            parts = parts_of_folder(folder)
        network = made(model, parts.data[0], lag, {"modes": modes, "width": width, "depth": depth}, seed, residual=not direct)
        steps = 1 if parts.data[0].steps is None else lag
        training, validation, test = (
            pairs(data, steps, samples=chosen, dtype=network.grid.dtype) for data, chosen in zip(parts.data, parts.samples, strict=True)
        )
        for name, part in (("training", training), ("validation", validation), ("test", test)):
            check_finite_data(part, name)
        batch = some(training, FOR_NORMALISATION, seed)
        network.normalise(batch.u, batch.target, batch.inputs)
        count = sum(p.numel() * (2 if p.is_complex() else 1) for p in network.parameters())
        if leads:
            print(f"{model}: {count:,} parameters, {len(training)} pairs for training, {len(validation)} for validation, {len(test)} for the test")
        history = fit(
            network,
            training,
            validation=validation,
            epochs=EPOCHS if epochs is None and budget is None else epochs,
            budget=budget,
            lr=lr,
            batch_size=batch_size,
            clip=1.0,
            noise=noise,
            seed=seed,
            device=device,
            precision=precision,
            checkpoint=kept,
            resume=resume,
            log=log,
            tensorboard=tensorboard,
            progress=True,
        )
        if not leads:
            return
        network.save(out)
        kept.unlink()
    last = history.epochs[-1]
    print(f"{last.epoch} epochs in {seconds(last.seconds)}: training {last.loss:.3e}, validation {last.validation:.3e}")
    print(f"test, {'solution' if network.dt is None else 'one step'}: relative L2 error {mean_loss(network, test):.3e}")
    if network.dt is not None and not network.inputs:
        say_forecasts(network, parts, lag)
    print(f"wrote {out}")
    for written in (log, tensorboard):
        if written is not None:
            print(f"wrote {written}")


def say_forecasts(network: Surrogate, parts: Parts, lag: int) -> None:
    """Print how far free runs over the test trajectories stay good."""
    chosen = range(len(parts.data[2]))[parts.samples[2]][:MOST_FORECASTS]
    found = forecasts(network, parts.data[2], lag, samples=slice(chosen.start, chosen.stop))
    until = "throughout" if math.isinf(found.until) else f"until t = {found.until:.3g}"
    print(
        f"test, {found.runs} runs of {found.horizon:.4g}: error at the end {found.error:.3e}, correlation above 0.8 {until} (median), "
        f"{found.blown_up:.0%} blew up"
    )


def is_data(source: str) -> bool:
    """Whether SOURCE is a file or folder of data rather than a problem; raise for one that should be there."""
    path = Path(source)
    if path.is_dir() or (path.is_file() and path.suffix != ".py"):
        return True
    if path.suffix in SUFFIXES or source.endswith(os.sep):
        raise InputError(f"Cannot read {source}: there is no such file.")
    return False


def parts_of_folder(path: Path) -> Parts:
    """The parts that the folder has, else the first 80 %, the next 10 % and the rest of the trajectories."""
    root = path / "data" if (path / "data").is_dir() else path
    if path.is_dir() and (root / "train").is_dir():
        train, valid, test = (open_data(path, split=name) for name in ("train", "valid", "test"))
        return Parts((train, valid, test), (slice(None),) * 3)
    data = open_data(path)
    if len(data) < 3:
        raise InputError(f"{path} holds {len(data)} trajectories; at least 3 are needed: for training, validation and test.")
    tenth = max(1, len(data) // 10)
    return Parts((data,) * 3, (slice(0, len(data) - 2 * tenth), slice(len(data) - 2 * tenth, len(data) - tenth), slice(len(data) - tenth, None)))


def made(name: str, data: Trajectories, lag: int, asked: dict[str, int | None], seed: int, *, residual: bool) -> Surrogate:
    """The untrained model for these data, in single precision: a step of ``lag`` instants, or the solution operator of steady data."""
    grid = data.grid.to(dtype=torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        if data.steps is None:
            return make_model(name, grid, len(data.inputs), asked, out_channels=len(data.fields))
        if lag >= data.steps:
            raise InputError(f"--lag {lag} given, but a trajectory has {data.steps} instants; give at most {data.steps - 1}.")
        return make_model(name, grid, len(data.fields), asked, inputs=len(data.inputs), dt=step_of(data, lag), residual=residual)
