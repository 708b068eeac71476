r"""Inverse square roots :math:`(G+cI)^{-1/2}` of many small matrices, with derivatives that repeated eigenvalues do not spoil."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

EASY = 100.0
"""Bound of the condition number up to which products of matrices are used; they are many times faster than eigenvectors then."""
EXACT = 1e-15
"""Error of an eigenvalue at which iterations end, relative."""


def inverse_root(gram: Tensor, shift: float) -> Tensor:
    r""":math:`(G+cI)^{-1/2}` of symmetric, positive semi-definite matrices ``(*batch, N, N)`` and a positive number c."""
    found: Tensor = InverseRoot.apply(gram, shift)
    return found


def by_products(gram: Tensor, shift: float, top: float) -> Tensor:
    r"""The same by the iteration of Newton and Schulz, :math:`T=\tfrac12(3-ZY),\ Y\leftarrow YT,\ Z\leftarrow TZ`, for eigenvalues up to ``top``.

    N. J. Higham, Functions of Matrices (SIAM 2008), eq. 6.35, from :math:`Y=A/\theta,\ Z=I` with :math:`\theta` in the middle of the spectrum.
    """
    n = gram.shape[-1]
    eye = torch.eye(n, dtype=gram.dtype, device=gram.device)
    middle = (shift + top) / 2
    y = (gram + shift * eye).reshape(-1, n, n) / middle
    error, goal = 1 - shift / middle, max(EXACT, torch.finfo(gram.dtype).eps)
    z = t = 1.5 * eye - y / 2  # the first round, in which Z = I
    y = y @ t
    while True:
        error = error**2 * (3 + error) / 4  # of the eigenvalue furthest from 1 in Z Y
        if error <= goal:
            return (z / math.sqrt(middle)).reshape(gram.shape)
        t = torch.baddbmm(eye, z, y, beta=1.5, alpha=-0.5)
        y, z = y @ t, t @ z


def by_eigenvectors(gram: Tensor, shift: float) -> tuple[Tensor, Tensor, Tensor]:
    """The same for any spectrum, with the roots of the eigenvalues ``(*batch, N)`` and the eigenvectors."""
    values, vectors = torch.linalg.eigh(gram)
    roots = (values.clamp_min(0) + shift).sqrt()
    return (vectors / roots.unsqueeze(-2)) @ vectors.transpose(-1, -2), roots, vectors


class InverseRoot(torch.autograd.Function):
    r"""The derivative of :math:`A^{-1/2}` along :math:`\dot A`: in eigenvectors :math:`-\dot A_{ij}/(r_ir_j(r_i+r_j))`, :math:`r=\sqrt\lambda`.

    Automatic differentiation of eigenvectors divides by differences of eigenvalues, which vanish whenever there are fewer data than members.
    """

    @staticmethod
    def forward(gram: Tensor, shift: float) -> Tensor:
        top = shift + float(gram.square().sum((-1, -2)).amax().sqrt()) if gram.numel() else shift  # no eigenvalue is larger
        return by_products(gram, shift, top) if top <= EASY * shift else by_eigenvectors(gram, shift)[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        gram, ctx.shift = inputs
        ctx.save_for_backward(gram)
        ctx.save_for_forward(gram)

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> tuple[Tensor, None]:
        (gram,) = ctx.saved_tensors
        return _along(outer[0], gram, ctx.shift), None

    @staticmethod
    def jvp(ctx: Any, *along: Any) -> Tensor:
        (gram,) = ctx.saved_tensors
        return _along(along[0], gram, ctx.shift)

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, None], gram: Tensor, shift: float) -> tuple[Tensor, int]:
        return inverse_root(gram.movedim(dims[0] or 0, 0), shift), 0


def _along(change: Tensor, gram: Tensor, shift: float) -> Tensor:
    """The derivative along a change of G, ``(*batch, N, N)``; symmetric, so it is its own adjoint."""
    _, roots, vectors = by_eigenvectors(gram, shift)
    r, s = roots.unsqueeze(-1), roots.unsqueeze(-2)
    symmetric = (change + change.transpose(-1, -2)) / 2
    inner = vectors.transpose(-1, -2) @ symmetric @ vectors / (-r * s * (r + s))
    return vectors @ inner @ vectors.transpose(-1, -2)
