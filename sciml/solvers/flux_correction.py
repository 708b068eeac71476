r"""Flux correction: as much of a more accurate flux as leaves every cell within the bounds of its neighbourhood.

S. T. Zalesak, J. Comput. Phys. 31 (1979) 335, eqs. (8)-(13). The correction is a difference of face fluxes, so mass is
conserved whatever is cut; where a solution is smooth nothing is cut.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sciml.derivatives.finite_volume import FiniteVolume
from sciml.derivatives.ghosts import joined, wrapped


def corrected(engine: FiniteVolume, safe: Tensor, old: Tensor, extra: list[Tensor], dt: float) -> Tensor:
    r""":math:`v + \Delta t\,\nabla\cdot(\theta A)` with the largest :math:`0\le\theta\le1` that Zalesak's limiter finds.

    Parameters
    ----------
    engine : carries the time of the wall values.
    safe : v, a solution without new extrema, ``(*batch, channel, *space)``.
    old : the state one step before; bounds are taken from both.
    extra : A, per axis on the N + 1 faces: what the accurate flux (positive where u grows along the axis) has more.
    dt : time step.
    """
    low, high = _bounds(engine, safe, old)
    gain, loss = torch.zeros_like(safe), torch.zeros_like(safe)
    for axis, flux in enumerate(extra):
        dim, n, scale = axis - engine.ndim, engine.grid.shape[axis], dt / engine.grid.spacing[axis]
        lower, upper = flux.narrow(dim, 0, n), flux.narrow(dim, 1, n)
        gain = gain + scale * (torch.relu(upper) + torch.relu(-lower))
        loss = loss + scale * (torch.relu(-upper) + torch.relu(lower))
    gain_share, loss_share = _share(high - safe, gain), _share(safe - low, loss)
    for axis, flux in enumerate(extra):
        dim, faces = axis - engine.ndim, engine.grid.shape[axis] + 1
        gains, losses = (_around(engine, share, axis) for share in (gain_share, loss_share))
        into_lower = torch.minimum(gains.narrow(dim, 0, faces), losses.narrow(dim, 1, faces))
        into_upper = torch.minimum(losses.narrow(dim, 0, faces), gains.narrow(dim, 1, faces))
        safe = safe + dt * engine.face_difference(torch.where(flux > 0, into_lower, into_upper) * flux, axis)
    return safe


def _bounds(engine: FiniteVolume, safe: Tensor, old: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest and the largest of both states over each cell, its neighbours and prescribed wall values."""
    low, high = torch.minimum(safe, old), torch.maximum(safe, old)
    lows, highs = [low], [high]
    for axis in range(engine.ndim):
        dim, n = axis - engine.ndim, engine.grid.shape[axis]
        for source, found in ((low, lows), (high, highs)):
            extended = engine.with_walls(engine.field(source), axis)
            found += [extended.narrow(dim, 0, n), extended.narrow(dim, 2, n)]
    return torch.stack(lows).amin(0), torch.stack(highs).amax(0)


def _share(room: Tensor, wanted: Tensor) -> Tensor:
    """The part of ``wanted`` for which there is room, at most 1; what rounding needs is kept back, so that 0 stays a bound."""
    number = torch.finfo(room.dtype)
    room = torch.where(room > number.tiny / number.eps, room * (1 - 16 * number.eps), torch.zeros_like(room))
    fits = wanted <= room
    return torch.where(fits, torch.ones_like(room), torch.relu(room) / torch.where(fits, torch.ones_like(wanted), wanted))


def _around(engine: FiniteVolume, share: Tensor, axis: int) -> Tensor:
    """``share`` with one more entry at both ends: the cell at the other end, or 1 beyond a wall, which sets no bound."""
    dim = axis - engine.ndim
    if engine.grid.periodic[axis]:
        return wrapped(share, dim, 1)
    one = torch.ones_like(share.narrow(dim, 0, 1))
    return joined([one, share, one], dim)
