"""The physics residual of a predicted trajectory, from the equation itself."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from sciml.core.checks import check_step
from sciml.core.derivatives import Derivatives
from sciml.core.equation import Equation, check_fields
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.derivatives.fourier import Fourier
from sciml.training.losses import ratio
from sciml.training.norms import check_fits, sobolev_norm


class Residual:
    r"""How badly a trajectory satisfies :math:`u_t=F(u)`: the size of :math:`R_n=(D_tu)_n-F(u_n)`.

    :math:`D_t` differences the trajectory itself, so that states that do not follow from each other score of order one, however smooth each of
    them is. It is a formula of ``accuracy`` + 1 instants, centred where possible: the residual of an exact solution decreases like
    :math:`\Delta t^p` with p = ``accuracy``.

    Parameters
    ----------
    equation : whose right-hand side F is.
    grid : of the states.
    dt : time between two states.
    engine : of the derivatives; on a periodic grid the Fourier engine by default, de-aliased by the equation's degree. On a bounded one
        give :class:`sciml.Stencil`.
    accuracy : p, at least 1; trajectories need p + 1 states.
    order, alpha : of the Sobolev norm over space, see :func:`sciml.sobolev_norm`; 0, the root mean square, works on every grid.
        -1 weighs the residual more like an error of the solution than of its derivatives.
    relative : divide by :math:`(\|D_tu\|^2+\|F(u)\|^2)^{1/2}`.
    """

    def __init__(
        self,
        equation: Equation,
        grid: Grid,
        dt: float,
        *,
        engine: Derivatives | None = None,
        accuracy: int = 2,
        order: float = 0.0,
        alpha: float = 1.0,
        relative: bool = True,
    ) -> None:
        if accuracy < 1 or int(accuracy) != accuracy:
            raise InputError(f"Residual: accuracy={accuracy} given; a whole number of at least 1 is needed.")
        if engine is None:
            grid.require_periodic("Residual without an engine")
        if order != 0:
            grid.require_periodic(f"Residual with order={order}")
        self.equation, self.grid, self.dt = equation, grid, check_step(dt, who="Residual")
        self.engine = Fourier(grid, equation.degree) if engine is None else engine
        self.accuracy, self.order, self.alpha, self.relative = int(accuracy), float(order), float(alpha), relative

    def __call__(self, u: Tensor, time: float = 0.0) -> Tensor:
        """The residual of ``(time, *batch, channel, *space)``: root mean square over instants, then the mean over samples."""
        rate, slope = self.parts(u, time)
        size = self._size(rate - slope)
        return (ratio(size, torch.hypot(self._size(rate), self._size(slope))) if self.relative else size).mean()

    def parts(self, u: Tensor, time: float = 0.0) -> tuple[Tensor, Tensor]:
        """The two sides of the equation at every instant: what the trajectory does, and what it should do.

        ``u`` is ``(time, *batch, channel, *space)`` and starts at ``time``.
        """
        check_fits(u, self.grid, "Residual")
        axis = -1 - self.grid.ndim
        if u.ndim < 2 + self.grid.ndim:
            raise InputError(f"Residual: a state of shape {tuple(u.shape)} given; a trajectory (time, *batch, channel, *space) is needed.")
        check_fields(self.equation, u.shape[axis])
        rate = torch.tensordot(difference_matrix(len(u), self.accuracy, self.dt).to(u.device, u.dtype), u, dims=([1], [0]))
        if self.equation.autonomous:
            return rate, self.equation.rhs(u, self.engine)
        slopes = [self.equation.rhs(state, self.engine.at(time + n * self.dt)) for n, state in enumerate(u)]
        return rate, torch.stack(slopes)

    def _size(self, v: Tensor) -> Tensor:
        """``(time, *batch, channel, *space)`` -> ``(*batch,)``."""
        if self.order == 0:
            frames = torch.linalg.vector_norm(v, dim=tuple(range(-self.grid.ndim - 1, 0))) / math.prod(self.grid.shape) ** 0.5
        else:
            frames = sobolev_norm(v, self.grid, self.order, alpha=self.alpha)
        return torch.linalg.vector_norm(frames, dim=0) / len(v) ** 0.5

    def __repr__(self) -> str:
        own = f"accuracy={self.accuracy}, order={self.order:g}, alpha={self.alpha:g}, relative={self.relative}"
        return f"Residual({type(self.equation).__name__}, dt={self.dt:g}, {own})"


@lru_cache(maxsize=64)
def difference_matrix(count: int, accuracy: int, dt: float) -> Tensor:
    r"""The matrix D with :math:`(Du)_n\approx u_t(t_n)` for ``count`` instants ``dt`` apart, exact for polynomials of degree ``accuracy``.

    Row n uses the ``accuracy`` + 1 instants nearest to n. Float64, ``(count, count)``.
    """
    if count < accuracy + 1:
        raise InputError(f"Residual: {count} states given; a time derivative of accuracy {accuracy} needs at least {accuracy + 1}.")
    matrix = torch.zeros(count, count, dtype=torch.float64)
    powers = torch.arange(accuracy + 1, dtype=torch.float64)
    wanted = torch.zeros(accuracy + 1, dtype=torch.float64)
    wanted[1] = 1.0
    for n in range(count):
        first = min(max(n - accuracy // 2, 0), count - accuracy - 1)
        offsets = torch.arange(first, first + accuracy + 1, dtype=torch.float64) - n
        matrix[n, first : first + accuracy + 1] = torch.linalg.solve(offsets ** powers.unsqueeze(1), wanted)
    return matrix / dt
