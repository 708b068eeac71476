"""What an analysis starts from: an ensemble and data, as deviations from their means."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from sciml.assimilation.observation import Observation
from sciml.core.checks import check_state
from sciml.core.errors import InputError
from sciml.core.grid import Grid


@dataclass
class Notes:
    """What an analysis hands on beside the members.

    Attributes
    ----------
    memory : for the next analysis.
    numbers : for the record, ``(*batch,)`` each.
    """

    memory: Tensor | None = None
    numbers: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Prior:
    """A forecast ensemble beside data. The truth is not in it, and no analysis gets anything else.

    Attributes
    ----------
    mean, anomalies : of the state, ``(*batch, n)`` and ``(*batch, N, n)``, with channels and space as one axis.
    innovation : data minus the mean of what the members would show, ``(*batch, m)``; 0 where data are missing.
    shown : deviations of what the members would show from their mean, ``(*batch, N, m)``.
    present : which data there are, ``(*batch, m)``.
    observation, grid, channels, time : where these come from.
    generator : of random choices.
    memory : what the analysis before handed on; None for nothing.
    notes : what this analysis hands on.
    """

    mean: Tensor
    anomalies: Tensor
    innovation: Tensor
    shown: Tensor
    present: Tensor
    observation: Observation
    grid: Grid
    channels: int
    time: float
    generator: torch.Generator
    memory: Tensor | None = None
    notes: Notes = field(default_factory=Notes)

    @property
    def size(self) -> int:
        """Number of members N."""
        return self.anomalies.shape[-2]

    @cached_property
    def whitened(self) -> tuple[Tensor, Tensor]:
        r""":math:`S = YR^{-1/2}` ``(*batch, N, m)`` and :math:`R^{-1/2}d` ``(*batch, m)``, zero where data are missing."""
        rows = torch.cat([self.shown, self.innovation.unsqueeze(-2)], -2)
        white = self.observation.errors.whiten(rows, self.present)
        return white[..., :-1, :], white[..., -1, :]

    def inflated(self, factor: Tensor) -> Prior:
        """The same with deviations times a factor ``(*batch,)``; what the members show is taken to be linear in it."""
        f = factor[..., None, None]
        return replace(self, anomalies=f * self.anomalies, shown=f * self.shown)

    def weighted(self, weights: Tensor) -> Prior:
        r"""The same of members with weights ``(*batch, N)`` of sum 1: their mean, and deviations :math:`a_i\sqrt{w_i(N-1)/(1-\sum w^2)}`.

        The covariance of these deviations is the unbiased weighted one.
        """
        w = weights.unsqueeze(-1)
        rest = (1 - w.square().sum(-2, keepdim=True)).clamp_min(torch.finfo(w.dtype).eps)
        root = (w * (self.size - 1) / rest).sqrt()
        moved, seen = (w * self.anomalies).sum(-2), (w * self.shown).sum(-2)
        return replace(
            self,
            mean=self.mean + moved,
            anomalies=root * (self.anomalies - moved.unsqueeze(-2)),
            innovation=self.innovation - seen,
            shown=root * (self.shown - seen.unsqueeze(-2)),
        )


def prior_of(ensemble: Tensor, y: Tensor, observation: Observation, *, generator: torch.Generator, time: float, least: int, who: str) -> Prior:
    """The prior of an ensemble ``(*batch, N, channel, *space)`` and data ``(*batch, m)``, NaN where missing.

    Raises InputError for shapes that do not fit, members that are not finite, infinite data, and fewer than ``least`` members.
    """
    grid = observation.grid
    if grid is None:
        raise InputError(f"{who}: the observation does not know the grid of the states; use observation.on(grid).")
    if not isinstance(ensemble, Tensor) or ensemble.ndim < 2 + grid.ndim:
        shape = tuple(ensemble.shape) if isinstance(ensemble, Tensor) else type(ensemble).__name__
        raise InputError(f"{who}: an ensemble of shape {shape} given; (*batch, member, channel, *space) is expected on a grid of shape {grid.shape}.")
    channels = ensemble.shape[-1 - grid.ndim]
    check_state(ensemble, grid, channels, who=who)
    members = ensemble.reshape(*ensemble.shape[: -1 - grid.ndim], -1)
    if members.shape[-2] < least:
        raise InputError(f"{who}: an ensemble of {members.shape[-2]} given; a covariance needs {least} members at least, or use sciml.ThreeDVar.")
    if not bool(torch.isfinite(members).all()):
        bad = (~torch.isfinite(members).all(-1)).nonzero()[0].tolist()
        raise InputError(f"{who}: member {bad[-1] if len(bad) == 1 else tuple(bad)} of the ensemble is not finite at t={time:.6g}; replace it first.")
    seen = observation(ensemble, time)
    data = torch.as_tensor(y, dtype=seen.dtype, device=seen.device)
    if data.shape != seen.shape[:-2] + seen.shape[-1:]:
        expected = (*seen.shape[:-2], seen.shape[-1])
        raise InputError(f"{who}: data of shape {tuple(data.shape)} given; {expected} is expected, (*batch, m) for {seen.shape[-1]} observations.")
    if bool(torch.isinf(data).any()):
        raise InputError(f"{who}: infinite data given at t={time:.6g}; mark what is missing by NaN.")
    present = ~torch.isnan(data)
    if not bool((torch.isfinite(seen) | ~present.unsqueeze(-2)).all()):
        raise InputError(f"{who}: the observation of a member is not finite at t={time:.6g}; correct the operator, or mark these data as NaN.")
    mean, expected_data = members.mean(-2), seen.mean(-2)
    shown = torch.where(present.unsqueeze(-2), seen - expected_data.unsqueeze(-2), 0.0)
    innovation = torch.where(present, data - expected_data, 0.0)
    return Prior(mean, members - mean.unsqueeze(-2), innovation, shown, present, observation, grid, channels, time, generator)
