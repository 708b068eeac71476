"""The ensemble adjustment Kalman filter: observations one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.assimilation.analysis import EnsembleFilter
from sciml.assimilation.ensemble import Prior
from sciml.assimilation.inflation import Inflated, as_inflation
from sciml.assimilation.localization import Hook, Localization, weights_of
from sciml.core.errors import InputError

ORDERS = ("given", "random")


@dataclass(frozen=True)
class EAKF(EnsembleFilter):
    r"""Ensemble adjustment Kalman filter: each observation moves what the members would show, and the state follows by regression,

    .. math:: k=\frac{s^TA}{s^Ts+N-1},\quad \bar x\leftarrow\bar x+\rho\,k\,d,\quad A\leftarrow A-\frac{s\,(\rho\,k)}{1+\sqrt{(N-1)/(s^Ts+N-1)}}

    with :math:`s` and :math:`d` of that observation in standard deviations, and its weights :math:`\rho` at the points of the state. What the
    members would show of the observations still to come moves in the same way, with the weights at their places. Without localisation mean and
    covariance are those of the ETKF, in any order; the cost grows with the number of observations.

    J. L. Anderson, Mon. Weather Rev. 129 (2001) 2884 and 131 (2003) 634; the same as the serial square-root filter of J. S. Whitaker & T. M. Hamill,
    Mon. Weather Rev. 130 (2002) 1913, eqs. 11-13.

    Parameters
    ----------
    inflation, rotate : see :class:`EnsembleFilter`.
    radius, taper : see :class:`sciml.Localization`; None for no localisation.
    localization : in place of these a :class:`sciml.Localization`, or a function ``(grid, points (p, ndim), locations (m, ndim))`` to weights
        ``(p, m)``.
    order : of the observations: "given", "random" (another at each analysis), or their numbers.

    Raises InputError for a radius and a localisation together, blocks, unknown orders, and from the analysis for localised data without places or
    with correlated errors (without localisation these are whitened first).
    """

    inflation: Inflated = 1.0
    radius: float | Sequence[float] | None = None
    taper: str | Callable[[Tensor], Tensor] = "gaspari_cohn"
    rotate: bool = False
    localization: Localization | Hook | None = None
    order: str | Sequence[int] = "given"

    def __post_init__(self) -> None:
        as_inflation(self.inflation)
        if self.radius is not None and self.localization is not None:
            raise InputError("EAKF: give radius= and taper=, or localization=, not both.")
        rule = self._rule()
        if isinstance(rule, Localization) and any(b != 1 for b in ([rule.block] if isinstance(rule.block, int) else rule.block)):
            raise InputError(f"EAKF: block={rule.block} given; observations act on single points. Use block=1, or sciml.LETKF.")
        if isinstance(self.order, str) and self.order not in ORDERS:
            raise InputError(f"EAKF: order={self.order!r} given; choose {' or '.join(map(repr, ORDERS))}, or give the numbers of the observations.")

    def moments(self, prior: Prior) -> tuple[Tensor, Tensor]:
        s, d = prior.whitened
        n, m, rest = prior.mean.shape[-1], d.shape[-1], prior.size - 1
        weights = self._weights(prior)
        # state and data side by side: both are moved alike
        mean, deviations = torch.cat([prior.mean, -d], -1), torch.cat([prior.anomalies, s], -1)
        heard = prior.present.flatten(0, -2).any(0) if prior.present.ndim > 1 else prior.present
        for j in self._ordered(m, prior.generator):
            if not bool(heard[j]):
                continue
            own, total = deviations[..., n + j], deviations[..., n + j].square().sum(-1, keepdim=True) + rest
            gain = (own.unsqueeze(-2) @ deviations).squeeze(-2) / total
            gain = gain if weights is None else gain * weights[j]
            mean = mean - mean[..., n + j, None] * gain
            deviations = deviations - (own / (1 + (rest / total).sqrt())).unsqueeze(-1) * gain.unsqueeze(-2)
        return mean[..., :n], deviations[..., :n]

    def _ordered(self, m: int, generator: torch.Generator) -> list[int]:
        if self.order == "given":
            return list(range(m))
        if self.order == "random":
            numbers: list[int] = torch.randperm(m, generator=generator, device=generator.device).tolist()
            return numbers
        chosen = [int(j) for j in self.order]
        if sorted(chosen) != list(range(m)):
            raise InputError(f"EAKF: order={chosen} given for {m} observations; the numbers from 0 to {m - 1}, each once, are expected.")
        return chosen

    def _rule(self) -> Localization | Hook | None:
        return Localization(self.radius, self.taper) if self.radius is not None else self.localization

    def _weights(self, prior: Prior) -> Tensor | None:
        """Of every observation at the state and at the data, ``(m, n + m)``; None without localisation."""
        rule, grid = self._rule(), prior.grid
        if rule is None or grid.ndim == 0:
            return None
        if not prior.observation.errors.diagonal:
            raise InputError(
                "EAKF: errors of the data are correlated, so that single ones have no place of their own; use sciml.LETKF, or EAKF without "
                "localisation, which whitens them first."
            )
        at = prior.observation.locations(prior.channels, prior.time)
        if at is None:
            raise InputError(
                "EAKF: the data have no places (Fourier modes, or a function without locations=), so distances do not exist; use EAKF without "
                "radius, or a function with locations=."
            )
        points = torch.stack([x.flatten() for x in grid.points()], -1)
        at = at.to(points)
        state = weights_of(grid, rule, points.unsqueeze(1), at).repeat(prior.mean.shape[-1] // len(points), 1)
        return torch.cat([state, weights_of(grid, rule, at.unsqueeze(1), at)]).T.to(prior.mean)
