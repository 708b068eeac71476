"""What an instrument sees of a state, and where."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.core.checks import check_whole
from sciml.core.errors import InputError
from sciml.core.grid import Grid


class Operator(ABC):
    r"""H: states ``(*batch, channel, *space)`` on a grid to observations without noise ``(*batch, m)``; differentiable."""

    @abstractmethod
    def __call__(self, u: Tensor, grid: Grid, time: float) -> Tensor:
        """What is seen of u at a time, ``(*batch, m)``."""

    def locations(self, grid: Grid, channels: int, time: float) -> Tensor | None:
        """Coordinates ``(m, ndim)`` of what is seen, for localisation; None where it has no places, as Fourier modes have none."""
        return None


@dataclass(frozen=True)
class Samples(Operator, ABC):
    """Values at points of the grid; rules differ in which. Observations are ordered by channel, then by point.

    Parameters
    ----------
    channels : numbers of the fields that are seen; None for all.
    """

    channels: Sequence[int] | None = None

    @abstractmethod
    def chosen(self, grid: Grid) -> Tensor:
        """Places in the flattened grid, ``(points,)``."""

    def __call__(self, u: Tensor, grid: Grid, time: float) -> Tensor:
        return columns(u, grid, self.channels)[..., self.chosen(grid).to(u.device)].flatten(-2)

    def locations(self, grid: Grid, channels: int, time: float) -> Tensor | None:
        if grid.ndim == 0:
            return None
        points = torch.stack([x.flatten() for x in grid.points()], -1)[self.chosen(grid).to(grid.device)]
        return points.repeat(channels if self.channels is None else len(self.channels), 1)


@dataclass(frozen=True)
class Every(Samples):
    """See :func:`every`."""

    strides: int | tuple[int, ...] = 1
    offset: int = 0

    def chosen(self, grid: Grid) -> Tensor:
        strides = (self.strides,) * grid.ndim if isinstance(self.strides, int) else self.strides
        if len(strides) != grid.ndim:
            raise InputError(f"every: strides={strides} given for a grid with {grid.ndim} axes; give one number, or one per axis.")
        for stride, n in zip(strides, grid.shape, strict=True):
            if self.offset >= min(stride, n):
                raise InputError(f"every: offset={self.offset} given with stride {stride} on an axis of {n} points; it must be smaller than both.")
        numbers = torch.arange(math.prod(grid.shape)).reshape(grid.shape)
        return numbers[tuple(slice(self.offset, None, stride) for stride in strides)].flatten()


def every(stride: int | Sequence[int], *, offset: int = 0, channels: Sequence[int] | None = None) -> Operator:
    """Every ``stride``-th point along each axis (one number for all axes), from number ``offset`` on; ``every(1)`` sees everything."""
    strides = stride if isinstance(stride, int) else tuple(stride)
    check_whole(1, who="every", **{f"stride {i}": s for i, s in enumerate((strides,) if isinstance(strides, int) else strides)})
    check_whole(0, who="every", offset=offset)
    return Every(numbered(channels), strides, offset)


@dataclass(frozen=True)
class Mask(Samples):
    """See :func:`mask`."""

    where: Tensor | None = None

    def chosen(self, grid: Grid) -> Tensor:
        assert self.where is not None
        if tuple(self.where.shape) != grid.shape:
            raise InputError(f"mask: a mask of shape {tuple(self.where.shape)} given for a grid of shape {grid.shape}; give one of the grid's shape.")
        return self.where.flatten().nonzero()[:, 0]


def mask(where: Tensor, *, channels: Sequence[int] | None = None) -> Operator:
    """The points where a boolean tensor of the grid's shape is true. Raises InputError if it is true nowhere."""
    if where.dtype is not torch.bool or not bool(where.any()):
        raise InputError(f"mask: a tensor of {where.dtype} with {int(where.sum())} points given; a boolean one that is true somewhere is needed.")
    return Mask(numbered(channels), where.cpu())


@dataclass(frozen=True)
class Called(Operator):
    """See :func:`function`."""

    of: Callable[[Tensor], Tensor]
    places: Tensor | None = None

    def __call__(self, u: Tensor, grid: Grid, time: float) -> Tensor:
        seen = self.of(u)
        batch = u.shape[: u.ndim - 1 - grid.ndim]
        if seen.shape[:-1] != batch:
            raise InputError(
                f"function: states of shape {tuple(u.shape)} became {tuple(seen.shape)}; observations (*batch, m) are expected, here {(*batch, 'm')}."
            )
        return seen

    def locations(self, grid: Grid, channels: int, time: float) -> Tensor | None:
        return self.places


def function(of: Callable[[Tensor], Tensor], *, locations: Tensor | None = None) -> Operator:
    """Any function of states ``(*batch, channel, *space)`` to observations ``(*batch, m)``; ``locations`` ``(m, ndim)`` allow for localisation."""
    return Called(of, locations)


def columns(u: Tensor, grid: Grid, channels: Sequence[int] | None) -> Tensor:
    """Chosen channels with space as one axis, ``(*batch, channels, points)``."""
    chosen = chosen_channels(u, grid, channels)
    return chosen.reshape(*chosen.shape[: u.ndim - grid.ndim], -1)


def chosen_channels(u: Tensor, grid: Grid, channels: Sequence[int] | None) -> Tensor:
    """Chosen channels, ``(*batch, channels, *space)``."""
    if channels is None:
        return u
    axis = u.ndim - 1 - grid.ndim
    if max(channels) >= u.shape[axis]:
        raise InputError(f"Observation: channels={tuple(channels)} asked for, but the state has {u.shape[axis]} fields, numbered from 0.")
    return u.index_select(axis, torch.tensor(list(channels), device=u.device))


def numbered(channels: Sequence[int] | None) -> tuple[int, ...] | None:
    """Numbers of fields; InputError for none, and for one twice."""
    if channels is None:
        return None
    check_whole(0, who="Observation", **{f"channel {i}": c for i, c in enumerate(channels)})
    if not channels or len(set(channels)) < len(channels):
        raise InputError(f"Observation: channels={tuple(channels)} given; at least one is needed, and none twice.")
    return tuple(channels)
