r"""The functions :math:`\varphi_k` of exponential integrators, for complex numbers and for matrices.

:math:`\varphi_0(z)=e^z`, :math:`\varphi_k(z)=(\varphi_{k-1}(z)-1/(k-1)!)/z`. The recursion cancels near z = 0, so
scalars use the mean over a circle around z (Kassam & Trefethen, SIAM J. Sci. Comput. 26 (2005) 1214, section 3) and
matrices one exponential of a block matrix (Al-Mohy & Higham, SIAM J. Sci. Comput. 33 (2011) 488, theorem 2.1).
"""

from __future__ import annotations

import cmath
import math

import torch
from torch import Tensor


def phi_functions(z: Tensor, order: int, points: int = 32) -> list[Tensor]:
    r""":math:`\varphi_0 .. \varphi_p` of the complex tensor ``z``, elementwise.

    The mean runs over the full circle and stays complex: dispersive symbols have complex coefficients, and taking
    real parts would reduce every scheme to first order on them.

    Parameters
    ----------
    z : any shape, complex.
    order : largest k.
    points : on the circle around each z; 32 gives full double precision.
    """
    # A unit circle around |z| = 1 would pass through 0, where the recursion cancels; these radii keep |w| >= 1/2.
    radius = torch.where(z.detach().abs() < 1.0, 2.0, 0.5).to(z.dtype)
    result = [torch.exp(z)] + [torch.zeros_like(z) for _ in range(order)]
    for j in range(points):
        w = z + radius * cmath.exp(2j * math.pi * (j + 0.5) / points)
        value = torch.exp(w)
        for k in range(1, order + 1):
            value = (value - 1.0 / math.factorial(k - 1)) / w
            result[k] = result[k] + value / points
    return result


def phi_matrices(a: Tensor, order: int) -> list[Tensor]:
    r""":math:`\varphi_0 .. \varphi_p` of matrices ``a`` (``(..., C, C)``), from the exponential of one block matrix.

    The first block row of :math:`\exp\begin{pmatrix}A&I&0\\0&0&I\\0&0&0\end{pmatrix}` holds
    :math:`\varphi_0(A), \varphi_1(A), \varphi_2(A)`.
    """
    n = a.shape[-1]
    size = n * (order + 1)
    block = a.new_zeros((*a.shape[:-2], size, size))
    block[..., :n, :n] = a
    for k in range(order):
        index = torch.arange(n, device=a.device)
        block[..., k * n + index, (k + 1) * n + index] = 1.0
    exponential = torch.linalg.matrix_exp(block)
    return [exponential[..., :n, k * n : (k + 1) * n] for k in range(order + 1)]
