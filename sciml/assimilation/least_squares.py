"""Nonlinear least squares with a Gaussian prior, for a batch of problems: outer Gauss-Newton steps, inner linear ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sciml.core.checks import check_whole
from sciml.core.errors import InputError
from sciml.core.tangent import tangent_linear

Residual = Callable[[Tensor], Tensor]
"""Controls ``(*batch, c)`` to whitened residuals ``(*batch, r)``; further leading axes of the controls are kept."""
HALVINGS = 6
"""How often a step that does not lower the cost is halved before the problem is left where it is."""


class Minimum(NamedTuple):
    """Where the cost is least.

    Attributes
    ----------
    control : v ``(*batch, c)``.
    costs : J at the start and after every outer step, ``(steps + 1, *batch)``.
    first, last : the Jacobian of the residuals ``(*batch, r, c)`` at the start and at the last linearisation; None where it was not formed.
    """

    control: Tensor
    costs: Tensor
    first: Tensor | None
    last: Tensor | None


@dataclass(frozen=True)
class LeastSquares:
    r"""Minimises :math:`J(v)=\tfrac12|v|^2+\tfrac12|r(v)|^2` by steps :math:`(I+K^TK)\,\delta=-(v+K^Tr)` with the Jacobian K of r.

    A step that does not lower J is halved. Gradients do not pass through the minimisation.

    Parameters
    ----------
    outer : linearisations, at most.
    inner : iterations of conjugate gradients per linearisation, at most.
    tolerance : outer steps end when one lowers J by less than this part of it, inner ones when the gradient's square has fallen to it.
    direct : controls up to which K is formed, by tangents as one batch, and the system solved exactly; with more controls, residuals up to which it
        is formed by adjoints.
    """

    outer: int = 10
    inner: int = 100
    tolerance: float = 1e-10
    direct: int = 256

    def __post_init__(self) -> None:
        check_whole(1, who="LeastSquares", outer=self.outer, inner=self.inner)
        check_whole(0, who="LeastSquares", direct=self.direct)
        if not 0 <= self.tolerance < 1:
            raise InputError(f"LeastSquares: tolerance={self.tolerance} given; a number of at least 0 and below 1 is needed.")

    @torch.no_grad()
    def __call__(self, residual: Residual, v: Tensor) -> Minimum:
        """The minimum, from a first guess v ``(*batch, c)``."""
        first: Tensor | None = None
        jacobian: Tensor | None = None
        cost = _cost(v, residual(v))
        costs, active = [cost], torch.ones_like(cost, dtype=torch.bool)
        rounding = 1 + 8 * torch.finfo(v.dtype).eps
        for iteration in range(self.outer):
            jacobian, step = self._step(residual, v)
            first = jacobian if iteration == 0 else first
            step = torch.where(active.unsqueeze(-1), step, 0.0)
            for _ in range(HALVINGS):
                after = _cost(v + step, residual(v + step))
                worse = ~(after <= rounding * cost)
                if not bool(worse.any()):
                    break
                step = torch.where(worse.unsqueeze(-1), step / 2, step)
            v = torch.where(worse.unsqueeze(-1), v, v + step)
            after = torch.where(worse, cost, after)
            active = active & (cost - after > self.tolerance * cost)
            cost = after
            costs.append(cost)
            if not bool(active.any()):
                break
        return Minimum(v, torch.stack(costs), first, jacobian)

    def _step(self, residual: Residual, v: Tensor) -> tuple[Tensor | None, Tensor]:
        """K if formed, and the step."""
        c = v.shape[-1]
        if c > self.direct:
            return self._free(residual, v)
        every = torch.eye(c, dtype=v.dtype, device=v.device).reshape(c, *(1,) * (v.ndim - 1), c).expand(c, *v.shape)
        values, tangents = tangent_linear(residual, v.expand(c, *v.shape), every)
        r, k = values[0].unsqueeze(-1), tangents.movedim(0, -1)
        system = torch.eye(c, dtype=v.dtype, device=v.device) + k.transpose(-1, -2) @ k
        return k, -torch.cholesky_solve(v.unsqueeze(-1) + k.transpose(-1, -2) @ r, torch.linalg.cholesky(system)).squeeze(-1)

    def _free(self, residual: Residual, v: Tensor) -> tuple[Tensor | None, Tensor]:
        """The same for many controls: by adjoints of all residuals where these are few, else without K."""
        with torch.enable_grad():
            leaf = v.detach().requires_grad_()
            graph = residual(leaf)
        r, m = graph.detach(), graph.shape[-1]
        if m > self.direct:

            def back(cotangent: Tensor) -> Tensor:
                return torch.autograd.grad(graph, leaf, cotangent, retain_graph=True)[0]

            return None, cgls(lambda p: tangent_linear(residual, v, p)[1], back, r, v, self.inner, math.sqrt(self.tolerance))
        rows = torch.eye(m, dtype=v.dtype, device=v.device).expand(*r.shape[:-1], m, m).movedim(-2, 0)
        k = torch.stack([torch.autograd.grad(graph, leaf, row, retain_graph=True)[0] for row in rows], -2)
        # v + delta = -K^T (I + K K^T)^-1 (r - K v), a system of the size of the data
        system = torch.eye(m, dtype=v.dtype, device=v.device) + k @ k.transpose(-1, -2)
        weights = torch.cholesky_solve(r.unsqueeze(-1) - k @ v.unsqueeze(-1), torch.linalg.cholesky(system))
        return k, -(k.transpose(-1, -2) @ weights).squeeze(-1) - v


def cgls(forward: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor], r: Tensor, v: Tensor, iterations: int, tolerance: float) -> Tensor:
    r"""Minimiser of :math:`|r+K\delta|^2+|v+\delta|^2` for every problem of a batch, by conjugate gradients on the least-squares form.

    Å. Björck, Numerical Methods for Least Squares Problems (1996), algorithm 7.4.1, of K with the identity below it. Problems whose gradient has
    fallen to ``tolerance`` of its first size wait for the others.
    """
    delta = torch.zeros_like(v)
    low, high = -v, -r  # what remains of the two parts' right-hand sides
    pulled = back(high)
    s = pulled + low
    p, size = s, s.square().sum(-1, keepdim=True)
    # where the two parts cancel nothing smaller than their rounding can be reached, and trying makes it worse
    rounding = 16 * torch.finfo(v.dtype).eps * (pulled.norm(dim=-1, keepdim=True) + low.norm(dim=-1, keepdim=True))
    target = torch.maximum(tolerance**2 * size, rounding**2)
    for _ in range(iterations):
        active = size > target
        if not bool(active.any()):
            break
        q = forward(p)
        curvature = q.square().sum(-1, keepdim=True) + p.square().sum(-1, keepdim=True)
        alpha = torch.where(active, size / torch.where(active, curvature, 1.0), 0.0)
        delta, low, high = delta + alpha * p, low - alpha * p, high - alpha * q
        s = torch.where(active, back(high) + low, s)
        before, size = size, torch.where(active, s.square().sum(-1, keepdim=True), size)
        p = torch.where(active, s + size / torch.where(active, before, 1.0) * p, p)
    return delta


def _cost(v: Tensor, r: Tensor) -> Tensor:
    return (v.square().sum(-1) + r.square().sum(-1)) / 2
