"""Variational assimilation: the state that is most likely under a given background covariance and the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sciml.assimilation.covariance import Covariance, as_covariance
from sciml.assimilation.least_squares import LeastSquares
from sciml.assimilation.observation import Observation
from sciml.assimilation.record import Record
from sciml.assimilation.stages import Assimilator, Data, Stage
from sciml.assimilation.window import Solved, Window, check_repeatable, posed, solve
from sciml.core.checks import check_whole
from sciml.core.errors import InputError


@dataclass(frozen=True, eq=False)
class ThreeDVar(Assimilator):
    r"""The minimum of :math:`\tfrac12|x-x_b|^2_{B^{-1}}+\tfrac12|y-h(x)|^2_{R^{-1}}` with a fixed B; for linear h, :math:`x_b+K(y-Hx_b)`.

    Every member, or the only one, is a background of its own; nothing is learnt from the others. A linear h takes one step, solved exactly in the
    space of the data or of the state, whichever is smaller; a nonlinear h takes several.

    Parameters
    ----------
    covariance : B: a :class:`Covariance`, a matrix ``(n, n)``, or a standard deviation for all.
    outer, inner, tolerance, direct : see :class:`LeastSquares`.

    Gradients do not pass through the minimisation.

    A. C. Lorenc, Q. J. R. Meteorol. Soc. 112 (1986) 1177.

    *Good values*: B a few percent of the climatological covariance, such as ``sciml.sampled_covariance(states).scaled(0.02)``.
    """

    covariance: Covariance | Tensor | float
    outer: int = 10
    inner: int = 100
    tolerance: float = 1e-10
    direct: int = 256

    def __post_init__(self) -> None:
        as_covariance(self.covariance)
        LeastSquares(self.outer, self.inner, self.tolerance, self.direct)

    def __call__(
        self, ensemble: Tensor, y: Tensor, observation: Observation, *, generator: torch.Generator, time: float = 0.0
    ) -> tuple[Tensor, Record]:
        """The analysis of members ``(*batch, N, channel, *space)`` with data ``(*batch, m)``, and its record."""
        solver = LeastSquares(self.outer, self.inner, self.tolerance, self.direct)
        window = Window(observation, y.unsqueeze(0), (time,), 0, lambda u, j, checkpoint: u)
        problem = posed(window, ensemble, as_covariance(self.covariance), None, generator, "ThreeDVar")
        found = solve(problem, solver, 0, True)
        return found.states[0], found.records[0]

    def stages(self, data: Data, ensemble: Tensor, generator: torch.Generator, *, begin: int = 0, state: Any = None) -> Iterator[Stage]:
        members = ensemble if state is None else state
        for k in range(begin, len(data.y)):
            forecast = data.forecast(members, k)
            members, record = self(forecast, data.y[k], data.observation, generator=generator, time=data.time(k))
            yield Stage(k, data.time(k), forecast, members, record, members)


@dataclass(frozen=True, eq=False)
class FourDVar(Assimilator):
    r"""Four-dimensional variational assimilation: the state ``window`` times of data ago whose trajectory fits the data best,

    .. math:: J(v)=\tfrac12|v|^2+\tfrac12\sum_j\left|R^{-1/2}\big(y_j-h(x_j)\big)\right|^2,\qquad x_0=x_b+B^{1/2}v,\quad x_j=M(x_{j-1}).

    Outer steps linearise h and M around the trajectory (tangents in forward mode, adjoints in reverse mode with the steps between data computed
    again); the inner problem is solved by conjugate gradients in v, that is preconditioned by :math:`B^{1/2}`, or exactly where it is small.

    Every datum is used once: ``shift`` rows of new data are assimilated at a time, then the window moves on by so many. The same B holds at the start
    of every window. A window of 4 with shift 4 uses blocks of four data times; with shift 1 windows overlap and only the newest row enters.
    Analyses are the states of the fitted trajectory at the new data, smoothed states those at earlier ones.

    Parameters
    ----------
    covariance : B at the start of a window: a :class:`Covariance`, a matrix ``(n, n)``, or a standard deviation for all.
    window : times of data from the start of the window to its end, at least 1.
    shift : rows of data per window, 1 to ``window``.
    model_error : Q of weak-constraint 4D-Var, what the model adds between two times of data: :math:`x_j=M(x_{j-1})+Q^{1/2}v_j` with the
        :math:`v_j` as further unknowns. None for a perfect model.
    outer, inner, tolerance, direct : see :class:`LeastSquares`.
    uncertainty : report the spread that the curvature of J implies (``spread.f``, ``spread.a``), for two more Jacobians; up to ``direct``
        unknowns. Otherwise it is NaN.

    Gradients do not pass through the minimisation. Raises InputError for a covariance of another size than the state.

    P. Courtier, J.-N. Thépaut & A. Hollingsworth, Q. J. R. Meteorol. Soc. 120 (1994) 1367; weak constraint: Y. Trémolet, Q. J. R. Meteorol. Soc.
    132 (2006) 2483.

    *Good values*: a smaller B for longer overlapping windows, such as variances of 0.2, 0.1 and 0.02 for 1, 2 and 4 times of data of Lorenz's 40
    variables observed every 0.2; a consistency (``Cycles.series``) far below 1 says that B is too large.
    """

    covariance: Covariance | Tensor | float
    window: int = 1
    shift: int = 1
    model_error: Covariance | Tensor | float | None = None
    outer: int = 10
    inner: int = 100
    tolerance: float = 1e-10
    direct: int = 256
    uncertainty: bool = False

    def __post_init__(self) -> None:
        check_whole(1, who="FourDVar", window=self.window, shift=self.shift)
        if self.shift > self.window:
            raise InputError(f"FourDVar: shift={self.shift} given for a window of {self.window}; data would be left out, take shift <= window.")
        as_covariance(self.covariance)
        if self.model_error is not None:
            as_covariance(self.model_error)
        LeastSquares(self.outer, self.inner, self.tolerance, self.direct)

    def stages(self, data: Data, ensemble: Tensor, generator: torch.Generator, *, begin: int = 0, state: Any = None) -> Iterator[Stage]:
        check_repeatable(data, "FourDVar", "give the model without them, and model_error=")
        members, end = ensemble if state is None else state, len(data.y) - 1
        for block in range(begin // self.shift, end // self.shift + 1):
            first, last = block * self.shift, min((block + 1) * self.shift - 1, end)
            start = self._start(block)
            before = members
            for j in range(self._start(block - 1) + 1, start + 1):  # the window moves on
                members = data.forecast(members, j)
            found = self._solve(data, members, start, first, last, generator)
            members = found.states[0]
            final = end + 1 if last == end else self._start(block + 1)
            smoothed = tuple((j, found.states[j - start]) for j in range(max(start, 0), final))
            for k in range(first, last + 1):
                if k < begin:
                    continue
                i, closed = k - first, (k + 1) % self.shift == 0
                yield Stage(
                    k,
                    data.time(k),
                    found.forecasts[i],
                    found.states[k - start],
                    found.records[i],
                    members if closed else before,  # a block that was interrupted is done again
                    smoothed if k == last else (),
                )

    def _start(self, block: int) -> int:
        """The row at which a block's window starts; -1 is the first ensemble."""
        return max((block + 1) * self.shift - 1 - self.window, -1)

    def _solve(self, data: Data, members: Tensor, start: int, first: int, last: int, generator: torch.Generator) -> Solved:
        window = Window(
            data.observation,
            data.y[first : last + 1],
            [data.time(k) for k in range(first, last + 1)],
            first - start,
            lambda u, j, checkpoint: data.forecast(u, start + j, checkpoint=checkpoint),
        )
        error = None if self.model_error is None else as_covariance(self.model_error)
        problem = posed(window, members, as_covariance(self.covariance), error, generator, "FourDVar")
        return solve(problem, LeastSquares(self.outer, self.inner, self.tolerance, self.direct), window.ahead, self.uncertainty)
