"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sciml.core.checks import check_whole
from sciml.core.errors import InputError
from sciml.optim.vector import PRECISIONS, as_kind, as_real


@dataclass(frozen=True)
class SOAP:
    r"""Adam in a basis that follows the gradients (Vyas et al. 2025, arXiv 2409.11321).

    For a weight matrix with gradient G, :math:`L\leftarrow\beta L+(1-\beta)GG^T` and :math:`R\leftarrow\beta R+(1-\beta)G^TG`. Their eigenvectors
    :math:`Q_L, Q_R` are followed by one step of orthogonal iteration every ``refresh`` steps. Adam is applied to :math:`Q_L^TGQ_R`, and
    its step turned back. A tensor of more axes has a basis along each; vectors, and axes longer than ``largest``, are left as they are.

    The first step only sets the bases: in its own basis the first gradient is diagonal up to rounding, which Adam would make large.

    Parameters
    ----------
    lr : learning rate.
    betas : decay of the mean and of the mean square, and of L and R: the second one.
    eps : added to the root of the mean square.
    weight_decay : decoupled, relative to the learning rate.
    refresh : steps between changes of the bases.
    largest : length of an axis up to which it has a basis.

    *Good values*: lr=3e-3, betas=(0.95, 0.95), refresh=10 for large networks; refresh=1 where the loss itself is costly.

    >>> sciml.fit(model, data, loss=objective, optimizer=sciml.SOAP(), lr=1e-3, epochs=500)     # doctest: +SKIP
    """

    lr: float = 3e-3
    betas: tuple[float, float] = (0.95, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.0
    refresh: int = 10
    largest: int = 4096

    def __post_init__(self) -> None:
        check_whole(1, who="SOAP", refresh=self.refresh, largest=self.largest)
        for name, value, fits in (
            ("lr", self.lr, 0 < self.lr < math.inf),
            ("betas", self.betas, len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas)),
            ("eps", self.eps, 0 < self.eps < math.inf),
            ("weight_decay", self.weight_decay, 0 <= self.weight_decay < math.inf),
        ):
            if not fits:
                raise InputError(f"SOAP: {name}={value} given; lr and eps above 0, weight_decay from 0, and two betas in [0, 1) are needed.")

    def __call__(self, parameters: Iterable[Tensor], lr: float | None = None) -> torch.optim.Optimizer:
        return SOAPSteps(parameters, {**asdict(self), "lr": self.lr if lr is None else lr})


class SOAPSteps(torch.optim.Optimizer):
    """The optimiser that :class:`SOAP` makes."""

    def __init__(self, parameters: Iterable[Tensor], settings: dict[str, Any]) -> None:
        super().__init__(parameters, settings)
        low = {p.dtype for group in self.param_groups for p in group["params"] if p.dtype.to_real() not in PRECISIONS}
        if low:
            raise InputError(f"SOAP: parameters of {', '.join(sorted(map(str, low)))} given; float32 or float64 is needed (model.float()).")

    def step(self, closure: Any = None) -> Any:
        """One step with the gradients that the closure, or the caller, has computed."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        self._advance(p, group)
        return loss

    def _advance(self, p: Tensor, group: dict[str, Any]) -> None:
        memory, gradient = self.state[p], as_real(p.grad) if p.grad is not None else as_real(p)
        axes = [i for i, n in enumerate(gradient.shape) if gradient.ndim > 1 and 1 < n <= group["largest"]]
        mean_decay, square_decay = group["betas"]
        if not memory and axes:
            memory["moments"] = [self_product(gradient, i) for i in axes]
            memory["bases"] = [torch.linalg.eigh(m).eigenvectors for m in memory["moments"]]
        if "mean" not in memory:
            memory.update(mean=torch.zeros_like(gradient), square=torch.zeros_like(gradient), count=0)
            if axes:
                return
        memory["count"] += 1
        count, bases = memory["count"], memory.get("bases", [])
        memory["mean"].lerp_(gradient, 1 - mean_decay)
        turned = rotated(gradient, axes, bases)
        memory["square"].lerp_(turned.square(), 1 - square_decay)
        mean = rotated(memory["mean"], axes, bases) / (1 - mean_decay**count)
        step = mean / ((memory["square"] / (1 - square_decay**count)).sqrt() + group["eps"])
        if group["weight_decay"]:
            p.mul_(1 - group["lr"] * group["weight_decay"])
        p.sub_(as_kind(rotated(step, axes, [q.T for q in bases]), p), alpha=group["lr"])
        for moment, axis in zip(memory.get("moments", []), axes, strict=True):
            moment.lerp_(self_product(gradient, axis), 1 - square_decay)
        if axes and count % group["refresh"] == 0:
            self._refresh(memory, axes)

    def _refresh(self, memory: dict[str, Any], axes: list[int]) -> None:
        """One step of orthogonal iteration, with the directions in the order of their estimated eigenvalues."""
        for i, (axis, moment) in enumerate(zip(axes, memory["moments"], strict=True)):
            basis = memory["bases"][i]
            image = moment @ basis
            order = (basis * image).sum(0).argsort(descending=True)
            # QR keeps the span of leading columns, so the strongest have to come first; mean squares go with their directions
            memory["square"] = memory["square"].index_select(axis, order)
            memory["bases"][i] = torch.linalg.qr(image[:, order]).Q


def self_product(gradient: Tensor, axis: int) -> Tensor:
    """The sum over all other axes of products of the gradient with itself, ``(n, n)``."""
    rows = gradient.movedim(axis, 0).flatten(1)
    return rows @ rows.T


def rotated(t: Tensor, axes: list[int], bases: list[Tensor]) -> Tensor:
    """Coordinates along the columns of one basis per axis."""
    for axis, basis in zip(axes, bases, strict=True):
        t = torch.tensordot(t, basis, ([axis], [0])).movedim(-1, axis)
    return t
