"""Lightning Fabric for one process, or for the processes that ``torchrun`` started."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.plugins.precision import MixedPrecision

from sciml.core.checks import check_device
from sciml.core.errors import InputError

PRECISIONS = ("full", "bf16-mixed")
STRATEGIES = ("auto", "ddp")


def launched() -> int:
    """How many processes ``torchrun`` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def make_fabric(device: torch.device, strategy: str, devices: int | None, precision: str) -> Fabric:
    """The engine of a training on ``device``; with several processes each takes an accelerator of its own.

    Raises :class:`InputError` for options that do not exist, or do not fit how the process was started.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision={precision!r} is not known; use {' or '.join(PRECISIONS)}.")
    if strategy not in STRATEGIES:
        raise InputError(f"strategy={strategy!r} is not known; use {' or '.join(STRATEGIES)}.")
    world = launched()
    if devices is not None and devices != world:
        remedy = f"start it with torchrun --nproc-per-node {devices}" if world == 1 and devices > 1 else "leave devices out"
        raise InputError(f"devices={devices} asked for, but this run has {world} process{'es' * (world > 1)}; {remedy}.")
    check_device(device)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if world > 1 else 1
    several = world > 1 or strategy == "ddp"
    plugins: list[Any] = [Autocast("bf16-mixed", device.type)] if precision == "bf16-mixed" else []
    if world == 1:
        plugins.append(LightningEnvironment())  # not what a batch system's variables suggest
    with _quiet():
        fabric = Fabric(
            accelerator=device.type,
            devices=local if world > 1 or device.type != "cuda" else [device.index or 0],
            num_nodes=world // local,
            strategy="ddp" if several else "auto",
            plugins=plugins,
        )
        fabric.launch()
    if several:
        atexit.register(_leave)
    return fabric


def _leave() -> None:
    """End the process group while Python still runs: gloo's threads, met by the interpreter's end, now and then abort a process that is done."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


class Autocast(MixedPrecision):
    """Low precision inside the model alone: states and losses keep theirs, which Fabric's own plugin would convert."""

    def convert_input(self, data: Any) -> Any:
        return data

    def convert_output(self, data: Any) -> Any:
        return data


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the notes on hardware and process groups that Fabric logs."""
    loggers = [logging.getLogger(name) for name in ("lightning_fabric", "lightning_fabric.utilities.rank_zero", "lightning.fabric")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
