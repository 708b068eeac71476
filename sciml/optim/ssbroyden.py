r"""Self-scaled Broyden: a quasi-Newton method whose scaling and member of Broyden's family change from step to step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sciml.core.checks import check_whole
from sciml.core.errors import InputError
from sciml.optim.quasi_newton import QuasiNewton

MOST = 16384
"""Unknowns; the dense inverse Hessian of so many takes 2 GB in float64."""


@dataclass(frozen=True)
class SSBroyden:
    r"""Self-scaled Broyden steps with a dense inverse Hessian H and strong Wolfe line searches (Al-Baali 1998; Urban et al. 2025, arXiv 2405.04230).

    For a few thousand weights in float64, after some hundred steps of Adam. H is carried from batch to batch, and forgotten where it stops
    being positive definite. Memory: :math:`8P^2` bytes for P weights.

    Parameters
    ----------
    iterations : inner steps per step of the training, on one batch with the same points; each costs one to two evaluations of loss and
        gradient, and a step one more. Fewer follow resampled points more closely.

    >>> sciml.fit(model, data, loss=objective, optimizer=sciml.SSBroyden(), epochs=500)     # doctest: +SKIP
    """

    iterations: int = 20

    def __post_init__(self) -> None:
        check_whole(1, who="SSBroyden", iterations=self.iterations)

    def __call__(self, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        return SSBroydenSteps(parameters, asdict(self))


class SSBroydenSteps(QuasiNewton):
    """The optimiser that :class:`SSBroyden` makes; ``memory["inverse"]`` is H, ``(size, size)``."""

    def __init__(self, parameters: Iterable[Tensor], settings: dict[str, Any]) -> None:
        super().__init__(parameters, settings)
        if self.flat.size > MOST:
            raise InputError(f"SSBroyden: {self.flat.size} weights given; it takes at most {MOST}. Use sciml.LBFGS() or sciml.GaussNewton().")

    def direction(self, gradient: Tensor) -> Tensor:
        inverse = self.memory.get("inverse")
        return -gradient if inverse is None else -(inverse @ gradient)

    def learn(self, s: Tensor, y: Tensor, b: float) -> None:
        inverse = self.memory.get("inverse")
        first = inverse is None
        start = torch.eye(len(s), dtype=s.dtype, device=s.device) if inverse is None else inverse
        self.memory["inverse"] = updated(start, s, y, b, first)


def updated(inverse: Tensor, s: Tensor, y: Tensor, b: float, first: bool = False) -> Tensor:
    r"""H after a step s that changed the gradient by y, in place; it satisfies Hy = s, and is positive definite if it was and y.s > 0.

    .. math:: H \leftarrow \frac1\tau\Big(H-\frac{Hy(Hy)^T}{y\cdot Hy}+\phi\,(y\cdot Hy)\,vv^T\Big)+\frac{ss^T}{y\cdot s},\qquad
              v = \frac{s}{y\cdot s}-\frac{Hy}{y\cdot Hy}

    with :math:`\theta`, :math:`\tau` of Urban et al. 2025, variant 2, and :math:`\phi=(1-\theta)/(1+a\theta)`.

    Parameters
    ----------
    b : :math:`s\cdot H^{-1}s/(y\cdot s)`, known without the inverse because s is a multiple of H times the gradient.
    first : H is still the unit matrix, of no scale: it is given that of the step.
    """
    size = len(s)
    hy = inverse @ y
    yhy, ys = float(y @ hy), float(y @ s)
    h = yhy / ys
    a = h * b - 1  # at least 0, by the inequality of Cauchy and Schwarz
    if a > 1e-12:
        lowest = min(1.0, h * (1 - math.sqrt(a / (1 + a))))
        theta = max((lowest - 1) / a, min(1 / lowest, (1 - b) / b))
    else:
        a = theta = 0.0  # s and Hy are parallel: all members of the family agree
    sigma = 1 + theta * a
    if first:
        tau = h / sigma
    else:
        q = abs(sigma) ** (1 / (1 - size)) if size > 1 else 1.0
        r = min(1.0, 1 / b)
        tau = min(r * q, sigma) if theta <= 0 else r * min(q, 1 / theta)
    phi = (1 - theta) / sigma
    v = s / ys - hy / yhy
    columns = torch.stack([hy, v, s], 1)
    factors = torch.tensor([-1 / (yhy * tau), phi * yhy / tau, 1 / ys], dtype=s.dtype, device=s.device)
    return inverse.addmm_(columns * factors, columns.T, beta=1 / tau)
