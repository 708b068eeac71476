"""An adaptive embedded Runge-Kutta pair with error control and dense output."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from sciml.core.checks import check_state
from sciml.core.derivatives import Derivatives
from sciml.core.equation import Equation
from sciml.core.errors import BlowUpError, InputError
from sciml.core.grid import Grid
from sciml.solvers.lines import ExplicitStepper
from sciml.solvers.tableau import DORMAND_PRINCE, weighted

# Dense output of order 4: weights of the extra quartic term (Hairer, Norsett & Wanner I, section II.6, eq. (6.13)).
DENSE = (
    -12715105075 / 11282082432,
    0.0,
    87487479700 / 32700410799,
    -10690763975 / 1880347072,
    701980252875 / 199316789632,
    -1453857185 / 822651844,
    69997945 / 29380423,
)


class Pair(NamedTuple):
    """One step of the pair: new state, its slope, error estimate, all stage slopes."""

    new: Tensor
    slope: Tensor
    error: Tensor
    stages: list[Tensor]


@dataclass(frozen=True)
class Position:
    """Everything besides the states at output times that the next step of :meth:`DormandPrince.integrate` depends on.

    Attributes
    ----------
    state, slope : working state at ``time`` and its slope, which the step before has left.
    h : step to try next.
    last_ratio : error of the last accepted step in units of the tolerance.
    tried : steps so far, the rejected ones included.
    """

    state: Tensor
    slope: Tensor
    time: float
    h: float
    last_ratio: float = 1.0
    tried: int = 0


class DormandPrince(ExplicitStepper):
    r"""The explicit 5(4) pair of Dormand & Prince [J. Comput. Appl. Math. 6 (1980) 19, table 2].

    As a propagator it takes fixed steps of ``dt`` at order 5. :meth:`integrate` controls the error: a step is
    accepted if :math:`\max |e|/(a + r|u|) \le 1`, and states at requested times come from a fourth-order interpolant.
    All samples of a batch share one step size.

    Parameters
    ----------
    equation, grid, engine, dealias : see :class:`ExplicitStepper`.
    dt : fixed step as a propagator, first trial step of :meth:`integrate`.
    rtol, atol : relative and absolute tolerance per value.
    """

    order = 5

    def __init__(
        self,
        equation: Equation,
        grid: Grid,
        dt: float,
        *,
        rtol: float = 1e-6,
        atol: float = 1e-9,
        engine: Derivatives | None = None,
        dealias: bool = True,
    ) -> None:
        if not (rtol >= 0 and atol >= 0 and rtol + atol > 0):
            raise InputError(f"{type(self).__name__}: rtol={rtol}, atol={atol} given; both must be non-negative and one positive.")
        super().__init__(equation, grid, dt, engine=engine, dealias=dealias)
        self.rtol, self.atol = rtol, atol

    def advance(self, state: Tensor, time: float = 0.0) -> Tensor:
        return self._pair(state, self.lines.slope(state, time), time, self.dt).new

    def integrate(
        self,
        u: Tensor,
        times: Sequence[float],
        *,
        callback: Callable[[float], None] | None = None,
        max_steps: int = 1_000_000,
        note: Callable[[list[Tensor], Position], None] | None = None,
        resumed: tuple[list[Tensor], Position] | None = None,
    ) -> Tensor:
        """States at ``times`` (increasing; the state at ``times[0]`` is ``u``), shape ``(time, *batch, channel, *space)``.

        ``callback`` receives the time reached after every accepted step, ``note`` the states so far and the position after every step;
        what ``note`` got, given as ``resumed``, continues that integration with the same bits. Raises :class:`BlowUpError` when the step
        size underflows.
        """
        check_state(u, self.grid, self.channels, who=type(self).__name__)
        if len(times) < 1 or any(b <= a for a, b in pairwise(times)):
            raise InputError(f"{type(self).__name__}.integrate: times must increase strictly; got {list(times)[:5]}...")
        bound = self.bind()
        end = float(times[-1])
        kept, at = resumed or ([u], bound._start(u, float(times[0]), end))
        while len(kept) < len(times) and at.tried < max_steps:
            h = end - at.time if at.time + at.h > end else at.h
            pair = bound._pair(at.state, at.slope, at.time, h)
            ratio = self._ratio(bound.decode(pair.error), bound.decode(at.state), bound.decode(pair.new))
            if ratio <= 1.0:
                reached = end if h == end - at.time else at.time + h
                while len(kept) < len(times) and times[len(kept)] <= reached:
                    theta = (times[len(kept)] - at.time) / h
                    kept.append(bound.decode(pair.new if theta == 1.0 else _dense(at.state, pair, h, theta)))
                # proportional-integral control (Hairer & Wanner II, section IV.2, eq. (2.43))
                factor = 0.9 * max(ratio, 1e-10) ** (-0.7 / 5) * max(at.last_ratio, 1e-10) ** (0.4 / 5)
                at = replace(at, state=pair.new, slope=pair.slope, time=reached, last_ratio=ratio)
                if callback is not None:
                    callback(at.time)
            else:
                factor = 0.9 * ratio ** (-1 / 5) if math.isfinite(ratio) else 0.1
            at = replace(at, h=h * min(5.0, max(0.1, factor)), tried=at.tried + 1)
            if at.h < 1e-14 * max(abs(at.time), abs(end)):
                break
            if note is not None:
                note(kept, at)
        if len(kept) == len(times):
            return torch.stack(kept)
        raise BlowUpError(
            f"{type(self).__name__}: the step size fell to {at.h:.3g} at t={at.time:.6g} for fields {'/'.join(self.equation.fields)}; "
            "the solution is singular or the equation is stiff. Try an exponential or implicit scheme (ETDRK4, ARK3)."
        )

    def _start(self, u: Tensor, time: float, end: float) -> Position:
        state = self.encode(u, time)
        return Position(state, self.lines.slope(state, time), time, min(self.dt, end - time) if end > time else self.dt)

    def _pair(self, state: Tensor, slope: Tensor, time: float, h: float) -> Pair:
        stages = [slope]
        value = state
        for node, row in zip(DORMAND_PRINCE.nodes[1:], DORMAND_PRINCE.stages[1:], strict=True):
            value = state + h * weighted(row, stages)
            stages.append(self.lines.slope(value, time + node * h))
        return Pair(value, stages[-1], h * weighted(DORMAND_PRINCE.error or (), stages), stages)

    def _ratio(self, error: Tensor, old: Tensor, new: Tensor) -> float:
        with torch.no_grad():
            scale = self.atol + self.rtol * torch.maximum(old.abs(), new.abs())
            return float((error.abs() / scale).amax())


def _dense(state: Tensor, pair: Pair, h: float, theta: float) -> Tensor:
    """The interpolant at ``theta`` in (0, 1)."""
    change = pair.new - state
    start = h * pair.stages[0] - change
    end = change - h * pair.slope - start
    quartic = h * weighted(DENSE, pair.stages)
    return state + theta * (change + (1 - theta) * (start + theta * (end + (1 - theta) * quartic)))
