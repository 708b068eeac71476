r"""Reconstruction: the two one-sided values of a field at every face, from its cell averages, without new oscillations.

Limited linear schemes: van Leer, J. Comput. Phys. 32 (1979) 101; Sweby, SIAM J. Numer. Anal. 21 (1984) 995, eqs. (3.9)-(3.17).
WENO5: Jiang & Shu, J. Comput. Phys. 126 (1996) 202, with the weights of Borges, Carmona, Costa & Don, J. Comput. Phys.
227 (2008) 3191, eqs. (25)-(28), which keep order 5 at smooth extrema.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Slope = Callable[[Tensor, Tensor], Tensor]
"""(backward difference, forward difference) -> limited difference."""


def minmod(a: Tensor, b: Tensor) -> Tensor:
    """The smaller of two differences of the same sign, else 0."""
    return torch.where(a * b > 0, torch.where(a.abs() < b.abs(), a, b), torch.zeros_like(a))


def van_leer(a: Tensor, b: Tensor) -> Tensor:
    """The harmonic mean of two differences of the same sign, else 0."""
    same = a * b > 0
    return torch.where(same, 2 * a * b / torch.where(same, a + b, torch.ones_like(a)), torch.zeros_like(a))


def superbee(a: Tensor, b: Tensor) -> Tensor:
    """The larger of minmod(2a, b) and minmod(a, 2b): the steepest second-order limiter."""
    first, second = minmod(2 * a, b), minmod(a, 2 * b)
    return torch.where(first.abs() > second.abs(), first, second)


def limited(slope: Slope) -> Callable[[list[Tensor]], Tensor]:
    """The value at a cell's upper face from (u[i-1], u[i], u[i+1])."""

    def upper_face(u: list[Tensor]) -> Tensor:
        return u[1] + slope(u[1] - u[0], u[2] - u[1]) / 2

    return upper_face


def first_order(u: list[Tensor]) -> Tensor:
    """The cell average itself."""
    return u[0]


def weno5(u: list[Tensor]) -> Tensor:
    """The value at a cell's upper face from (u[i-2], ..., u[i+2])."""
    a, b, c, d, e = u
    candidates = ((2 * a - 7 * b + 11 * c) / 6, (-b + 5 * c + 2 * d) / 6, (2 * c + 5 * d - e) / 6)
    smoothness = (
        13 / 12 * (a - 2 * b + c) ** 2 + (a - 4 * b + 3 * c) ** 2 / 4,
        13 / 12 * (b - 2 * c + d) ** 2 + (b - d) ** 2 / 4,
        13 / 12 * (c - 2 * d + e) ** 2 + (3 * c - 4 * d + e) ** 2 / 4,
    )
    # eps^2 keeps the quotient finite on constants in float32 too
    floor = torch.finfo(c.dtype).eps ** 2
    global_difference = (smoothness[0] - smoothness[2]) ** 2
    weights = [ideal * (1 + global_difference / (s + floor) ** 2) for ideal, s in zip((0.1, 0.6, 0.3), smoothness, strict=True)]
    total = weights[0] + weights[1] + weights[2]
    value: Tensor = (weights[0] * candidates[0] + weights[1] * candidates[1] + weights[2] * candidates[2]) / total
    return value


SCHEMES: dict[str, tuple[int, Callable[[list[Tensor]], Tensor]]] = {
    "first_order": (0, first_order),
    "minmod": (1, limited(minmod)),
    "van_leer": (1, limited(van_leer)),
    "superbee": (1, limited(superbee)),
    "weno5": (2, weno5),
}
"""Name -> (cells needed on each side, value at the upper face)."""


def face_states(extended: Tensor, dim: int, name: str) -> tuple[Tensor, Tensor]:
    """Left and right values at the faces around every cell.

    Parameters
    ----------
    extended : N cells with ``1 + radius`` ghost cells at both ends of ``dim``.
    dim : axis, counted from the end.
    name : a key of ``SCHEMES``.

    Returns tensors with N + 1 faces along ``dim``: face i lies between cells i - 1 and i.
    """
    radius, upper_face = SCHEMES[name]
    faces = extended.shape[dim] - 2 * radius - 1
    left = upper_face([extended.narrow(dim, j, faces) for j in range(2 * radius + 1)])
    # the lower face of a cell is the upper face of its mirror image
    right = upper_face([extended.narrow(dim, 2 * radius + 1 - j, faces) for j in range(2 * radius + 1)])
    return left, right
