"""What quasi-Newton methods have in common: a direction from past gradients, a line search, and what is learned from the step."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, final

import torch
from torch import Tensor

from sciml.optim.base import SecondOrder
from sciml.optim.line_search import Trial, strong_wolfe


class QuasiNewton(SecondOrder):
    """Inner steps on one batch, each along a descent direction to where the strong Wolfe conditions hold.

    What was learned from past steps is kept from batch to batch. It is forgotten where the direction does not descend, or nothing lower is
    found along it; then steepest descent is tried, and if that fails too the step ends.
    """

    @abstractmethod
    def direction(self, gradient: Tensor) -> Tensor:
        """Minus the approximate inverse Hessian times the gradient."""

    @abstractmethod
    def learn(self, s: Tensor, y: Tensor, b: float) -> None:
        r"""Take in a step s that changed the gradient by y, with :math:`y\cdot s>0`; b is :math:`s\cdot H^{-1}s/(y\cdot s)`."""

    @final
    def advance(self, closure: Any) -> Tensor:
        flat = self.flat
        weights = flat.read()
        first: Tensor = closure()
        here = Trial(0.0, float(first.detach()), 0.0, torch.zeros_like(weights))
        if not math.isfinite(here.loss):
            return first
        here = here._replace(gradient=flat.gradient())
        if not bool(torch.isfinite(here.gradient).all()):
            raise self.not_finite("the gradient is")
        for _ in range(self.param_groups[0]["iterations"]):
            if not bool(here.gradient.any()):
                break
            found = self._searched(closure, weights, here)
            if found is None and self._learned():
                self._forget()
                found = self._searched(closure, weights, here)
            if found is None:
                self.no_progress()
                break
            direction, trial = found
            s, y = trial.length * direction, trial.gradient - here.gradient
            ys = float(y @ s)
            # without curvature along the step, in which rounding may have a part, there is nothing to learn
            if ys > torch.finfo(s.dtype).eps * float(y.norm() * s.norm()):
                self.learn(s, y, -trial.length * float(s @ here.gradient) / ys)
            weights, here = weights + s, trial
        flat.write(weights)
        return first

    def _learned(self) -> bool:
        return any(name != "told" for name in self.memory)

    def _forget(self) -> None:
        for name in [name for name in self.memory if name != "told"]:
            del self.memory[name]

    def _searched(self, closure: Any, weights: Tensor, here: Trial) -> tuple[Tensor, Trial] | None:
        """A direction and the point found along it; None if there is none."""
        direction = self.direction(here.gradient)
        slope = float(direction @ here.gradient)
        if not (slope < 0 and math.isfinite(slope)):
            return None

        def evaluate(length: float) -> Trial:
            self.flat.write(weights + length * direction)
            loss = float(closure().detach())
            if not math.isfinite(loss):
                return Trial(length, math.inf, math.nan, here.gradient)
            gradient = self.flat.gradient()
            return Trial(length, loss, float(gradient @ direction), gradient)

        # a gradient alone has no natural length: a first step of length 1 at most
        length = 1.0 if self._learned() else min(1.0, 1 / float(here.gradient.norm()))
        trial = strong_wolfe(evaluate, here._replace(length=0.0, slope=slope), length)
        return None if trial is None else (direction, trial)
