"""Runge-Kutta tableaux, explicit and diagonally implicit, as values that any state can be stepped by: fields on grids, and weights of networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class Tableau(NamedTuple):
    r""":math:`k_i=f\big(t+c_ih,\;u+h\sum_{j<i}a_{ij}k_j\big)`, :math:`u_+=u+h\sum_ib_ik_i`.

    Attributes
    ----------
    order : of the error at a fixed time, in powers of h.
    nodes, stages, weights : c; the rows of a, each of its own length; b.
    error : b minus the weights of an embedded scheme of lower order; None without one.
    """

    order: int
    nodes: tuple[float, ...]
    stages: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    error: tuple[float, ...] | None = None


class Diagonal(NamedTuple):
    r""":math:`k_i=f\big(u+h\sum_{j\le i}a_{ij}k_j\big)`, implicit in one stage at a time; the last stage is the next state.

    Attributes
    ----------
    order : of the error at a fixed time, in powers of h.
    stages : the rows of a, each as long as its number.
    """

    order: int
    stages: tuple[tuple[float, ...], ...]


def weighted(weights: Sequence[float], slopes: Sequence[Tensor]) -> Tensor:
    """The sum of slopes with weights, those that are 0 left out."""
    total: Tensor | None = None
    for weight, slope in zip(weights, slopes, strict=False):
        if weight:
            total = weight * slope if total is None else total + weight * slope
    assert total is not None
    return total


EULER = Tableau(1, (0.0,), ((),), (1.0,))
HEUN = Tableau(2, (0.0, 1.0), ((), (1.0,)), (0.5, 0.5), (-0.5, 0.5))
RK4 = Tableau(4, (0.0, 0.5, 0.5, 1.0), ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6))
DORMAND_PRINCE = Tableau(
    5,
    (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0),
    (
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0.0),
    (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40),
)
TABLEAUX = {"euler": EULER, "heun": HEUN, "rk4": RK4, "dopri5": DORMAND_PRINCE}
"""By name: Euler 1768, Heun 1900, Kutta 1901, and the 5(4) pair of Dormand & Prince [J. Comput. Appl. Math. 6 (1980) 19, table 2]."""

TWO = 1 - math.sqrt(0.5)
THREE = 0.435866521508458999416019451194
"""The root of x^3 - 3x^2 + 3x/2 - 1/6 between 1/6 and 1/2, with which the scheme of order 3 is L-stable."""
_LAST = -(6 * THREE**2 - 16 * THREE + 1) / 4
DIAGONAL = {
    "implicit_euler": Diagonal(1, ((1.0,),)),
    "sdirk2": Diagonal(2, ((TWO,), (1 - TWO, TWO))),
    "sdirk3": Diagonal(3, ((THREE,), ((1 - THREE) / 2, THREE), (_LAST, 1 - _LAST - THREE, THREE))),
}
"""By name: Euler's implicit rule, and the schemes of R. Alexander, SIAM J. Numer. Anal. 14 (1977) 1006, theorem 5."""
