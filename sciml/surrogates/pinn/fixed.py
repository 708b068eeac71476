"""Everything in a residual that does not depend on the weights, as Taylor series at given points: computed once per point."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sciml.core.errors import InputError, UnsupportedError
from sciml.core.field import Field
from sciml.derivatives.functional import Functional
from sciml.surrogates.pinn.ansatz import Ansatz
from sciml.surrogates.pinn.diffused import Diffused
from sciml.surrogates.pinn.jets import JetField, Jets
from sciml.surrogates.pinn.networks import PointNetwork
from sciml.surrogates.pinn.series import Series, Table, factorial
from sciml.surrogates.pinn.states import BandLimited, ProfileState


@torch.no_grad()
def fixed_series(ansatz: Ansatz, network: PointNetwork, table: Table, z: Tensor) -> Tensor:
    """Coefficients of the part without the network, of the factor and of the embedded features, side by side.

    Parameters
    ----------
    z : points ``(n, 1 + ndim)``.

    Returns
    -------
    ``(n, len(table), channels + 1 + embedded features)``.
    """
    d = Jets(z)
    columns = (d.time, *d.space)
    features = rows_of_fields(d, ansatz.features_of(columns), table, z)
    factor = ansatz.factor_of(columns)
    parts = [_base(ansatz, d, table, z)]
    parts.append(rows_of_fields(d, [factor], table, z) if factor is not None else _value_one(table, z))
    parts.append(network.embedded(Series(features.movedim(1, 0), table)).c.movedim(0, 1))
    return torch.cat(parts, -1)


def _base(ansatz: Ansatz, d: Jets, table: Table, z: Tensor) -> Tensor:
    """Of u0 + E, ``(n, len(table), channels)``."""
    total = state_series(ansatz.state, ansatz.channels, d, table, z)
    if ansatz.lifts:
        total = total + _nested(ansatz.lift_or_zero, ansatz.channels, table, z)
    return total


def state_series(state: nn.Module | None, channels: int, d: Jets, table: Table, z: Tensor) -> Tensor:
    """Coefficients of an initial state, a function of the place alone but for :class:`Diffused`, ``(n, len(table), channels)``; zeros without one."""
    total = z.new_zeros((len(z), len(table), channels))
    if isinstance(state, Diffused):
        total += state.series(z, table.indices) * z.new_tensor([1 / factorial(index) for index in table.indices])[:, None]
    elif isinstance(state, BandLimited):
        still = [i for i, index in enumerate(table.indices) if not index[0]]
        scale = torch.tensor([1 / factorial(table.indices[i]) for i in still], dtype=z.dtype, device=z.device)
        total[:, still] += state.series(z[:, 1:], [table.indices[i][1:] for i in still]) * scale[:, None]
    elif isinstance(state, ProfileState) and (rows := _profile(state, d, table, z)) is not None:
        total = total + rows
    elif state is not None:
        total = total + _nested(lambda p: state(p[..., 1:]), channels, table, z)
    return total


def _profile(state: ProfileState, d: Jets, table: Table, z: Tensor) -> Tensor | None:
    """Of a profile by the jets engine; None where it is made of other functions than that knows."""
    try:
        value: Any = state.function(*d.wrapped(state.domain))
        if state.channels > 1 or not isinstance(value, JetField):
            return None
        return rows_of_fields(d, [value], table, z)
    except InputError:
        raise
    except (UnsupportedError, TypeError, AttributeError, RuntimeError, ValueError, IndexError):
        return None


def rows_of_fields(d: Jets, fields: list[Field], table: Table, z: Tensor) -> Tensor:
    """The coefficients of fields of one channel, ``(n, len(table), len(fields))``."""
    zero = torch.zeros_like(z[:, :1])
    rows = []
    for index in table.indices:
        parts = [d.own(f).at(index) for f in fields]
        rows.append(torch.cat([zero if p is None else p.expand_as(zero) for p in parts], -1) if parts else zero[:, :0])
    return torch.stack(rows, 1)


def _value_one(table: Table, z: Tensor) -> Tensor:
    one = z.new_zeros((len(z), len(table), 1))
    one[:, 0] = 1.0
    return one


def _nested(function: Any, channels: int, table: Table, z: Tensor) -> Tensor:
    """Of any function of a point, by nested forward-mode differentiation."""
    d = Functional(z.shape[-1] - 1)
    u = d.unknown(function, channels)
    parts = [d.evaluate(d.mixed(d.t(u, index[0]) if index[0] else u, index[1:]), z) / factorial(index) for index in table.indices]
    return torch.stack(parts, 1).to(z.dtype)  # tangents of single numbers come in double precision
