r"""Tridiagonal systems with non-negative couplings, plain or cyclic, many at once and without subtractions.

Rows are :math:`(s_i + l_i + r_i)\,x_i - l_i x_{i-1} - r_i x_{i+1} = d_i` with l, r >= 0 and s > 0, as implicit diffusion
gives them. Cyclic reduction in parallel (Hockney & Jesshope, Parallel Computers (1981), section 5.4) keeps this form
at doubling distance. Carrying the row sum s instead of the diagonal leaves sums, products and quotients of
non-negative numbers only (the idea of Grassmann, Taksar & Heyman, Oper. Res. 33 (1985) 1107): non-negative right-hand
sides give non-negative solutions, to the last digit.
"""

from __future__ import annotations

import torch
from torch import Tensor

_STAGES = 64  # the distance doubles each time: enough for any condition number a float can express


def solve_tridiagonal(lower: Tensor, upper: Tensor, excess: Tensor, rhs: Tensor) -> Tensor:
    """x from the couplings and the row sums; systems lie along the last axis, the other axes are broadcast.

    Parameters
    ----------
    lower, upper : l and r, ``(..., N)``. A non-zero ``lower[..., 0]`` or ``upper[..., -1]`` couples the two ends.
    excess : s, ``(..., N)``.
    rhs : d, ``(..., N)``.

    Differentiable to any order and in forward mode. Cost O(N log N): log2 N stages for plain systems, about
    log4 of the condition number plus 7 for cyclic ones.
    """
    lower, upper, excess, rhs = torch.broadcast_tensors(lower, upper, excess, rhs)
    diagonal = lower + upper + excess
    left, right = lower / diagonal, upper / diagonal
    data = torch.stack([excess, rhs]) / diagonal  # row sum and right-hand side of rows with unit diagonal
    negligible = torch.finfo(rhs.dtype).eps ** 2
    for stage in range(_STAGES):
        if bool(((left + right).detach() <= negligible).all()):
            break
        p = 2**stage
        data = data + left * torch.roll(data, p, -1) + right * torch.roll(data, -p, -1)
        left, right = left * torch.roll(left, p, -1), right * torch.roll(right, -p, -1)
        diagonal = data[0] + left + right
        left, right, data = left / diagonal, right / diagonal, data / diagonal
    return data[1]
