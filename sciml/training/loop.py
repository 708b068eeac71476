"""The training loop: epochs of steps, looked at from time to time."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import Dataset

from sciml.core.errors import BlowUpError, InputError
from sciml.io.interruption import Asked
from sciml.optim.base import SecondOrder
from sciml.training.batches import Part, count_of, culprits, loaded, parts_of
from sciml.training.ema import Average
from sciml.training.history import Epoch, History
from sciml.training.plan import Plan
from sciml.training.progress import Bar
from sciml.training.seeds import generator_of, order_of
from sciml.training.staged import Staged
from sciml.training.step import Closure, Trained

LOOK = {"cpu": 1}
"""Steps between looks at losses and clock, by device; :data:`LOOK_ELSEWHERE` where a look makes the device wait."""
LOOK_ELSEWHERE = 16


class Loop:
    """A training under way.

    Parameters
    ----------
    fabric, plan : where and how.
    trained : the model with its objective, not set up yet.
    optimizer : of the model's parameters.
    data, validation : data sets; no validation if None.
    average : of the weights, or None.
    keep : called with the state when it shall be kept; None keeps nothing.
    log : called after every epoch.
    """

    def __init__(
        self,
        fabric: Fabric,
        plan: Plan,
        trained: Trained,
        optimizer: torch.optim.Optimizer,
        data: Dataset,
        validation: Dataset | None,
        average: Average | None,
        keep: Callable[[dict[str, Any]], None] | None,
        log: Callable[[History], None] | None,
    ) -> None:
        self.fabric, self.plan, self.trained, self.optimizer = fabric, plan, trained, optimizer
        self.data, self.validation, self.average, self.keep, self.log = data, validation, average, keep, log
        self.staged = trained.objective if isinstance(trained.objective, Staged) else None
        self.count = count_of(data)
        self.per_epoch = -(-self.count // plan.batch_size)
        self.look = LOOK.get(fabric.device.type, LOOK_ELSEWHERE)
        self.epoch = self.batch = self.step = 0
        self.history = History(optimizer=type(optimizer).__name__.removesuffix("Steps"))
        self.best: tuple[float, int, dict[str, Tensor]] | None = None
        self._sums = [0.0, 0.0]
        self._pending: list[tuple[Part, Tensor]] = []
        self._before = self._seconds = 0.0
        self._latest = math.nan

    def run(self, asked: Asked, show: bool | Callable[[float], None]) -> History:
        """Train until the plan is done. Raises KeyboardInterrupt after a step if ``asked`` to end, with the state kept."""
        self._started = self._kept = clock.perf_counter()
        self._module, self._stepper = self.fabric.setup(self.trained, self.optimizer)
        bar = Bar(self.plan, self.per_epoch, show if self.fabric.is_global_zero else False)
        try:
            while not self.history.ended:
                self.history.ended = self._ended()
                if not self.history.ended:
                    self._epoch(asked, bar)
        finally:
            bar.close()
        if self.staged is not None and not all(bool(torch.isfinite(p).all()) for p in self.trained.model.parameters()):
            raise BlowUpError(f"fit: the last step left weights that are not finite. {self.staged.rescue(self.trained.model, self.step)}")
        self._keep()
        return self.history

    def state(self) -> dict[str, Any]:
        """All that is needed to go on, in every process alike."""
        return {
            "model": self.trained.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.weights,
            "best": None if self.best is None else list(self.best),
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "sums": self._gathered(self._sums),
            "seconds": self._seconds,
            "history": self.history.state(),
            "objective": None if self.staged is None else self.staged.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.trained.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.restore(state["average"])
        self.best = None if state["best"] is None else (state["best"][0], state["best"][1], state["best"][2])
        self.epoch, self.batch, self.step = state["epoch"], state["batch"], state["step"]
        self._sums = list(state["sums"]) if self.fabric.is_global_zero else [0.0, 0.0]
        if self.staged is not None:
            self.staged.restore(state["objective"])
        self._before = self._seconds = state["seconds"]
        self.history.epochs = [Epoch(**row) for row in state["history"]]

    def _epoch(self, asked: Asked, bar: Bar) -> None:
        plan, fabric = self.plan, self.fabric
        order = order_of(plan.seed, self.epoch, self.count)
        self.trained.train()
        for part, batch in loaded(self.data, parts_of(order, plan.batch_size, fabric.global_rank, fabric.world_size, self.batch), plan.workers):
            factor = plan.schedule(plan.fraction(self.step, self.per_epoch, self._seconds))
            for group in self.optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
            place = (plan.seed, 1, self.step, fabric.global_rank)
            batch = fabric.to_device(batch)
            if self.staged is not None:
                self.staged.prepare(self.trained.model, batch, self.step, plan.seed)
            closure = Closure(fabric, self._module, self._stepper, batch, part.weight, place, plan.clip)
            self._stepper.step(closure)
            if self.average is not None:
                self.average.update(self.step)
            self.step += 1
            self.batch += 1
            assert closure.first is not None
            self._pending.append((part, closure.first))
            if self.step % self.look == 0 or self.batch == self.per_epoch:
                self._flush()
                interrupted, due = self._share_clock(asked)
                bar.reached(self.step, self._seconds, self._latest)
                last = self.batch == self.per_epoch
                if not last and (interrupted or due):
                    self._keep()
                if interrupted and not last:
                    raise KeyboardInterrupt
                if not last and plan.budget is not None and self._seconds >= plan.budget:
                    break
        self._close_epoch(bar)
        interrupted, due = self._share_clock(asked)
        if interrupted or due:
            self._keep()
        if interrupted:
            raise KeyboardInterrupt

    def _close_epoch(self, bar: Bar) -> None:
        total, count = self._gathered(self._sums)
        value = self._validate()
        self._share_clock(None)
        parts = {} if self.staged is None else dict(self.staged.parts())
        row = Epoch(self.epoch + 1, self.step, total / count, value, float(self.optimizer.param_groups[0]["lr"]), self._seconds, parts)
        self.history.epochs.append(row)
        self._sums = [0.0, 0.0]
        if self.plan.patience is not None and (self.best is None or value < self.best[0]):
            with self.average.in_place() if self.average is not None else nullcontext():
                self.best = (value, self.epoch, {name: t.detach().clone() for name, t in self.trained.model.state_dict().items()})
        self.epoch, self.batch = self.epoch + 1, 0
        bar.finished(row)
        if self.log is not None and self.fabric.is_global_zero:
            self.log(self.history)

    def _ended(self) -> str:
        plan = self.plan
        if plan.epochs is not None and self.epoch >= plan.epochs:
            return "epochs"
        if plan.budget is not None and self._seconds >= plan.budget:
            return "budget"
        if plan.patience is not None and self.best is not None and self.epoch - 1 - self.best[1] >= plan.patience:
            return "patience"
        return ""

    @torch.no_grad()
    def _validate(self) -> float:
        """The mean loss over the validation data; NaN without such data."""
        if self.validation is None:
            return math.nan
        fabric, sums = self.fabric, [0.0, 0.0]
        parts = parts_of(range(count_of(self.validation)), self.plan.batch_size, fabric.global_rank, fabric.world_size)
        self.trained.eval()
        with self.average.in_place() if self.average is not None else nullcontext():
            for part, batch in loaded(self.validation, parts, self.plan.workers):
                with fabric.autocast():
                    loss = self.trained(fabric.to_device(batch), generator_of(self.plan.seed, 2, part.number))
                share = part.weight * len(part.indices) / fabric.world_size
                sums = [sums[0] + float(loss) * share, sums[1] + share] if share else sums
        self.trained.train()
        total, count = self._gathered(sums)
        if not math.isfinite(total):
            bad = culprits(self.validation, range(count_of(self.validation)))
            if bad:
                raise InputError(f"fit: sample {', '.join(map(str, bad[:5]))} of the validation data is not finite.")
        return total / count

    def _flush(self) -> None:
        """Take in the losses of the latest steps; raise if one is not finite."""
        losses = torch.stack([loss for _, loss in self._pending]).double().cpu().tolist() if self._pending else []
        for (part, _), loss in zip(self._pending, losses, strict=True):
            if not math.isfinite(loss):
                raise self._not_finite(part)
            share = part.weight * len(part.indices) / self.fabric.world_size
            self._sums = [self._sums[0] + loss * share, self._sums[1] + share]
            self._latest = loss
        self._pending.clear()

    def _not_finite(self, part: Part) -> Exception:
        where = f"epoch {self.epoch + 1}, batch {part.number + 1} of {self.per_epoch}"
        bad = culprits(self.data, part.mine)
        if bad:
            return InputError(f"fit: the loss is not finite in {where}, because sample {', '.join(map(str, bad[:5]))} of the data is not finite.")
        saved = "" if self.staged is None else f" {self.staged.rescue(self.trained.model, self.step - 1)}"
        if isinstance(self.optimizer, SecondOrder):
            advice = "the weights are the last ones with a finite loss. Look for values outside of where the loss is defined"
            return BlowUpError(f"fit: the loss is not finite in {where}, though the data are; {advice}, or for weights that are not finite.{saved}")
        rate = self.optimizer.param_groups[0]["lr"]
        advice = f"a lower learning rate (lr={rate / 10:.2g})" + ("" if self.plan.clip is not None else ", or clip=1.0")
        return BlowUpError(f"fit: the loss is not finite in {where}, though the data are; try {advice}.{saved}")

    def _share_clock(self, asked: Asked | None) -> tuple[bool, bool]:
        """Whether to end now, and whether a checkpoint is due: the same in all processes, by the clock of the first."""
        now = clock.perf_counter()
        seconds = self._before + now - self._started
        due = self.keep is not None and now - self._kept >= self.plan.every
        to_end = asked is not None and asked.to_end
        if self.fabric.world_size > 1:
            first = float(self.fabric.is_global_zero)
            numbers = [first * seconds, first * due, float(to_end)]
            seconds, *flags = self._gathered(numbers)
            due, to_end = flags[0] > 0, flags[1] > 0
        self._seconds = seconds
        return bool(to_end), bool(due)

    def _gathered(self, numbers: list[float]) -> list[float]:
        """Sums over all processes."""
        if self.fabric.world_size == 1:
            return numbers
        kind = torch.float32 if self.fabric.device.type == "mps" else torch.float64
        found: Any = self.fabric.all_reduce(torch.tensor(numbers, dtype=kind, device=self.fabric.device), reduce_op="sum")
        return [float(value) for value in found]

    def _keep(self) -> None:
        if self.keep is not None:
            state = self.state()  # in every process: it gathers sums
            if self.fabric.is_global_zero:
                self.keep(state)
            self._kept = clock.perf_counter()
