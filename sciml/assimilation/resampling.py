"""Which members go on, and how often: resampling by weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def effective_size(weights: Tensor) -> Tensor:
    r""":math:`1/\sum w_i^2` of weights ``(*batch, N)`` of sum 1, ``(*batch,)``: N if all are alike, 1 if one has everything."""
    return 1 / weights.square().sum(-1)


def systematic(weights: Tensor, uniform: Tensor) -> Tensor:
    """A comb of N equal teeth, shifted by one uniform number: every member comes the whole number of times below or above N times its weight.

    G. Kitagawa, J. Comput. Graph. Stat. 5 (1996) 1, appendix; the least noise of the four.
    """
    n = weights.shape[-1]
    teeth = torch.arange(n, dtype=uniform.dtype, device=uniform.device)
    return _found(weights, (teeth + uniform[..., :1]) / n)


def stratified(weights: Tensor, uniform: Tensor) -> Tensor:
    """One uniform number in each of N equal parts (Kitagawa 1996)."""
    n = weights.shape[-1]
    return _found(weights, (torch.arange(n, dtype=uniform.dtype, device=uniform.device) + uniform) / n)


def multinomial(weights: Tensor, uniform: Tensor) -> Tensor:
    """N independent draws (N. J. Gordon, D. J. Salmond & A. F. M. Smith, IEE Proc. F 140 (1993) 107)."""
    return _found(weights, uniform).sort(-1).values


def residual(weights: Tensor, uniform: Tensor) -> Tensor:
    """Every member as often as the whole part of N times its weight; independent draws by what is left of the weights fill up.

    J. S. Liu & R. Chen, J. Am. Stat. Assoc. 93 (1998) 1032.
    """
    n = weights.shape[-1]
    scaled = weights.to(torch.float64) * n
    whole = (scaled + 1e-9).floor()  # 3 stored as 2.9999... is 3
    rest = (scaled - whole).clamp_min(0)
    filled = whole.sum(-1, keepdim=True)
    drawn = _found(torch.where(rest.sum(-1, keepdim=True) > 0, rest, 1.0), uniform)
    still = torch.arange(n, device=weights.device) < n - filled  # as many draws as are needed
    counts = whole.scatter_add(-1, drawn, still.to(whole.dtype))
    places = torch.arange(n, dtype=counts.dtype, device=counts.device).expand(counts.shape).contiguous()
    return torch.searchsorted(counts.cumsum(-1), places, right=True).clamp_max(n - 1)


def _found(weights: Tensor, points: Tensor) -> Tensor:
    """Of points ``(*batch, N)`` from 0 to 1 the members in whose parts of the total weight they lie."""
    edges = weights.to(torch.float64).cumsum(-1)
    edges = edges / edges[..., -1:]
    below = points.to(torch.float64).clamp_max(1 - 2.0**-53).expand(weights.shape).contiguous()
    return torch.searchsorted(edges, below, right=True)  # from the right: never a member without weight


SCHEMES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "systematic": systematic,
    "stratified": stratified,
    "residual": residual,
    "multinomial": multinomial,
}
"""Weights ``(*batch, N)`` and uniform numbers ``(*batch, N)`` to the numbers of the members that go on, ``(*batch, N)``, ascending."""
