"""Tangent-linear propagation: forward-mode differentiation of a step, at the cost of the step itself.

In PyTorch the product of a dual tensor and a plain one takes a path through a symbolic zero that is written in Python
and costs a hundred times the product. Inside :func:`tangent_linear` the constants of a scheme are therefore given an
explicit zero tangent (:func:`constant`), for which the compiled path exists.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

import torch
from torch import Tensor
from torch.autograd import forward_ad

_active: ContextVar[bool] = ContextVar("tangent_linear", default=False)


def tangent_linear(function: Callable[[Tensor], Tensor], u: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    r""":math:`(f(u),\ f'(u)\,v)` for a batched function and directions of the shape of u.

    Several directions at one state are a batch: expand the state to their shape.
    """
    token = _active.set(True)
    try:
        with forward_ad.dual_level():
            value, tangent = forward_ad.unpack_dual(function(forward_ad.make_dual(u.contiguous(), direction)))
    finally:
        _active.reset(token)
    return value, torch.zeros_like(value) if tangent is None else tangent


def undifferentiated(value: Tensor) -> bool:
    """Whether nothing records operations on ``value``, neither backward nor forward mode."""
    recorded = value.requires_grad and torch.is_grad_enabled()
    return not recorded and getattr(forward_ad, "_current_level", 0) < 0


def constant(value: Tensor) -> Tensor:
    """``value``, with a zero tangent inside :func:`tangent_linear`; numbers are left alone."""
    return forward_ad.make_dual(value, torch.zeros_like(value)) if _active.get() and isinstance(value, Tensor) else value
