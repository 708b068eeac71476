"""``sciml.fit``: train a model."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from sciml.core.errors import InputError
from sciml.core.propagator import Propagator
from sciml.io.atomic import check_writable, remove_leftovers
from sciml.io.described import described
from sciml.io.interruption import deferred
from sciml.io.lock import exclusive
from sciml.training.batches import as_dataset, count_of, some
from sciml.training.board import Board
from sciml.training.checkpoint import checksum, read_checkpoint, write_checkpoint
from sciml.training.devices import make_fabric
from sciml.training.ema import Average
from sciml.training.history import History
from sciml.training.loop import Loop
from sciml.training.losses import Loss, relative_l2
from sciml.training.objective import Objective, Supervised
from sciml.training.plan import OptimizerOf, Plan, for_optimizer, make_optimizer
from sciml.training.schedules import Schedule, schedule_of
from sciml.training.seeds import generator_of
from sciml.training.staged import SelfTaught, Staged
from sciml.training.step import Trained

SPARSE = 20.0
"""Time between two writings of the table, in times that one takes."""
CHECKED = 256
"""Samples, spread over the data, by which a checkpoint knows them again; all of them where there are not more."""


def fit(
    model: nn.Module,
    data: Any = None,
    *,
    loss: Loss | Objective | None = None,
    optimizer: OptimizerOf | None = None,
    lr: float | None = None,
    schedule: str | Schedule | None = None,
    epochs: int | None = None,
    budget: float | None = None,
    batch_size: int | None = None,
    validation: Any = None,
    patience: int | None = None,
    clip: float | None = None,
    ema: float | None = None,
    noise: float = 0.0,
    seed: int = 0,
    device: torch.device | str | None = None,
    precision: str = "full",
    strategy: str = "auto",
    devices: int | None = None,
    workers: int = 0,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 60.0,
    resume: bool = False,
    log: str | Path | None = None,
    tensorboard: str | Path | None = None,
    progress: bool | Callable[[float], None] = False,
) -> History:
    """Train ``model`` in place; what the losses were.

    The order of samples, noise and dropout hang on ``seed`` and the number of the step alone, so that a run that goes on from a checkpoint,
    after a kill too, ends with the same weights to the last bit as one that was never interrupted, if epochs and not a budget end it.
    Started by ``torchrun`` in several processes, each computes its part of every batch; the result is that of one process up to rounding
    (up to other random numbers, with noise or dropout). Afterwards the model is in evaluation mode.

    Parameters
    ----------
    model : any module; with ``grid`` and ``dt`` it is a propagator. Initial weights are those it has.
    data : :func:`sciml.pairs`, trajectories of :func:`sciml.open_data`, tensors ``(u, target)`` or ``(u, target, inputs)`` with samples
        along their first axis, or a PyTorch data set of such pairs; of anything that a custom objective understands. Models that solve an
        equation, such as :class:`sciml.PINN`, need none, or observations ``(t, x, ..., u)``; an epoch of theirs is one step.
    loss : a function of prediction and target that averages over samples, or an :class:`Objective`; by default :func:`sciml.relative_l2`, or
        what the model says.
    optimizer : what makes one from parameters, such as ``torch.optim.Adam`` or ``sciml.GaussNewton()``; AdamW with weight decay 1e-4 by default.
    lr : learning rate; the optimiser's own (1e-3 for the default one) if None.
    schedule : "onecycle" (the default), "cosine", "steps", "constant", or a function from the fraction of the training done to a factor of the
        rate; none with the optimisers that find the length of their steps themselves.
    epochs, budget : when to end: after so many passes over the data, so many seconds, or whichever comes first.
    batch_size : samples per step, over all processes together; 32 by default.
    validation : data whose loss is computed after each epoch.
    patience : end after so many epochs without a better validation loss, and keep the best epoch's weights.
    clip : largest norm of the gradient.
    ema : decay of an average of the weights, such as 0.999; the model ends with the averaged ones.
    noise : Gaussian noise on ``u`` in training, relative to each field's spread over space.
    seed : of all that is random here.
    device : where to train; the model stays there. Its own device by default.
    precision : "full", the weights' own, or "bf16-mixed".
    strategy, devices : "ddp" and the number of processes; by default what ``torchrun`` started.
    workers : processes that read data.
    checkpoint : file that keeps the training every ``checkpoint_every`` seconds, when it is interrupted, and at its end.
    resume : go on from ``checkpoint`` if it exists. Without it an existing file is refused.
    log : CSV file with a row per epoch.
    tensorboard : folder for the same as TensorBoard events, where that is installed.
    progress : True shows a bar with losses and the time left on standard error; a function is called with the fraction done.

    Raises
    ------
    InputError : data, model and options do not fit, or data are not finite (it says which sample); the checkpoint is of another training.
    BlowUpError : the loss stopped being finite.
    KeyboardInterrupt : on Ctrl-C or SIGTERM, after the step in work, with the checkpoint written.

    >>> history = sciml.fit(fno, sciml.pairs(u, lag=4), epochs=200)     # doctest: +SKIP
    """
    rates = schedule_of("onecycle" if schedule is None else schedule)
    own = model if isinstance(model, SelfTaught) else None
    if own is None and data is None:
        raise InputError(f"fit: a {type(model).__name__} needs data; give sciml.pairs(...), tensors (u, target) or a data set.")
    if own is not None and batch_size is not None:
        raise InputError(f"fit: batch_size={batch_size} given to a {type(model).__name__}, whose step takes all observations and its own points.")
    plan = Plan(epochs, budget, 32 if batch_size is None else batch_size, rates, clip, patience, seed, workers, checkpoint_every)
    objective = _objective(loss, own, noise)
    if patience is not None and validation is None:
        raise InputError("fit: patience ends a training by its validation loss; give validation= too.")
    if resume and checkpoint is None:
        raise InputError("fit: resume goes on from a checkpoint; give checkpoint= too.")
    ndim = model.grid.ndim if isinstance(model, Propagator) else None
    training = as_dataset(data, ndim, "data") if own is None else own.dataset(data)
    checking = None if validation is None else as_dataset(validation, ndim, "validation") if own is None else own.dataset(validation)
    place = None if checkpoint is None else Path(checkpoint)
    table = None if log is None else Path(log)
    if table is not None and table.suffix.lower() != ".csv":
        raise InputError(f"fit: log={log} given; a name that ends in .csv is needed.")
    first = next((p for p in model.parameters()), None)
    if first is None:
        raise InputError("fit: the model has no parameters, so there is nothing to train.")
    fabric = make_fabric(torch.device(device) if device is not None else first.device, strategy, devices, precision)
    model.to(fabric.device)
    made = make_optimizer(optimizer, lr, model.parameters())
    plan = for_optimizer(plan, made, schedule, precision, fabric.world_size)
    average = None if ema is None else Average(model, ema)
    trained = Trained(model, objective)
    for content in (training, checking):
        if content is not None:
            _try(fabric, trained, content, seed)
    recipe = {
        "model": described(model),
        "data": f"{count_of(training)} samples, {checksum(some(training, CHECKED))}",
        "objective": described(objective),
        "optimizer": f"{type(made).__qualname__} {described(made.defaults)}",
        "ema": described(ema),
        "precision": precision,
        **{name: described(value) for name, value in plan.recipe().items()},
    }
    keep: Callable[[dict[str, Any]], None] | None = None
    with ExitStack() as stack:
        for target in (place, table):
            if target is not None and fabric.is_global_zero:
                check_writable(target)
        if place is not None:
            there = place
            if place.exists() and not resume:
                raise InputError(f"{place} is there already; resume=True (--resume) goes on from it, or remove it.")
            if fabric.is_global_zero:
                stack.enter_context(exclusive(place.with_name(f"{place.name}.lock"), "training with it"))
                remove_leftovers(place)

            def keep(state: dict[str, Any]) -> None:
                write_checkpoint(there, recipe, state)

        board = None if tensorboard is None or not fabric.is_global_zero else Board(tensorboard)
        if board is not None:
            stack.callback(board.close)

        written = [-math.inf, 0.0]

        def tell(rows: History) -> None:
            began = clock.perf_counter()
            if table is not None and began - written[0] >= SPARSE * written[1]:  # thousands of epochs may be short
                rows.write(table)
                written[:] = [clock.perf_counter(), clock.perf_counter() - began]
            if board is not None:
                board.show(rows)

        loop = Loop(fabric, plan, trained, made, training, checking, average, keep, tell)
        if place is not None and place.exists():
            loop.restore(read_checkpoint(place, recipe))
            if board is not None:
                board.written = len(loop.history.epochs)
        fabric.barrier()  # none may write before all have read
        devices_in_use = [fabric.device] if fabric.device.type == "cuda" else []
        stack.enter_context(torch.random.fork_rng(devices_in_use))
        try:
            with deferred() as asked:
                history = loop.run(asked, progress)
        except BaseException as error:
            if table is not None and fabric.is_global_zero and loop.history.epochs:
                loop.history.write(table)
            if place is not None and place.exists():
                error.add_note(f"A checkpoint is in {place}; --resume (resume=True) goes on from it.")
            raise
        finally:
            model.zero_grad(set_to_none=True)
            model.eval()
        if table is not None and fabric.is_global_zero:
            history.write(table)
    _choose(model, loop, average)
    model.eval()  # again: what a model keeps in step with its weights has to see the chosen ones
    return history


def _objective(loss: Loss | Objective | None, own: SelfTaught | None, noise: float) -> Objective:
    if loss is None:
        loss = relative_l2 if own is None else own.objective()
    if isinstance(loss, Objective):
        if noise:
            raise InputError(f"fit: noise={noise} given with an objective of its own; give the noise to the objective.")
        return loss
    if not callable(loss):
        raise InputError(f"fit: loss is a {type(loss).__name__}; a function of prediction and target, or an Objective, is needed.")
    return Supervised(loss, noise)


@torch.no_grad()
def _try(fabric: Fabric, trained: Trained, data: Any, seed: int) -> None:
    """Compute the loss of one sample, so that what does not fit is refused before anything is written."""
    trained.eval()
    batch = fabric.to_device(some(data, 1, seed))
    if isinstance(trained.objective, Staged):
        trained.objective.prepare(trained.model, batch, 0, seed)
    with fabric.autocast():
        trained(batch, generator_of(seed))


def _choose(model: nn.Module, loop: Loop, average: Average | None) -> None:
    """Leave the model with the weights that were asked for."""
    if loop.best is not None:
        model.load_state_dict(loop.best[2])
    elif average is not None:
        average.take()
