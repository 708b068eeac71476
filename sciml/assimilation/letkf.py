"""The local ensemble transform Kalman filter: all local problems at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sciml.assimilation.analysis import EnsembleFilter
from sciml.assimilation.ensemble import Prior
from sciml.assimilation.etkf import transform, transform_of
from sciml.assimilation.inflation import Inflated, as_inflation
from sciml.assimilation.localization import Domains, Hook, Localization, domains_of
from sciml.assimilation.noise import whitened
from sciml.core.errors import InputError
from sciml.core.grid import Grid


@dataclass(frozen=True)
class LETKF(EnsembleFilter):
    r"""Local ensemble transform Kalman filter: :class:`ETKF` in every local domain, with :math:`R^{-1}` times the taper of the data's distance.

    All domains are solved in one batched eigen-decomposition. Without localisation it is the ETKF.

    Parameters
    ----------
    inflation, rotate : see :class:`EnsembleFilter`; all domains rotate alike.
    radius : of localisation, in units of length of the grid; None for none.
    taper, block : see :class:`Localization`.
    localization : in place of these a :class:`Localization`, or a function ``(grid, points (p, ndim), locations (m, ndim))`` to weights ``(p, m)``.

    Raises InputError from the analysis for data without places (Fourier modes), unless there is no localisation.

    B. R. Hunt, E. J. Kostelich & I. Szunyogh, Physica D 230 (2007) 112, section 3.
    """

    inflation: Inflated = 1.0
    radius: float | Sequence[float] | None = None
    taper: str | Callable[[Tensor], Tensor] = "gaspari_cohn"
    block: int | Sequence[int] = 1
    rotate: bool = False
    localization: Localization | Hook | None = None
    _kept: dict[str, tuple[Grid, Tensor, Domains]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        as_inflation(self.inflation)
        if self.radius is not None and self.localization is not None:
            raise InputError("LETKF: give radius=, taper= and block=, or localization=, not both.")
        self._rule()

    def moments(self, prior: Prior) -> tuple[Tensor, Tensor]:
        domains = self._domains(prior)
        if domains is None:
            w, t = transform(*prior.whitened)
            return prior.mean + (w.unsqueeze(-2) @ prior.anomalies).squeeze(-2), t @ prior.anomalies
        w, t = self._local(prior, domains)
        batch, n = prior.anomalies.shape[:-2], prior.size
        blocks, size = domains.points.shape
        places = domains.points.flatten().to(prior.mean.device)
        # (*batch, N, channel, blocks, size) to (*batch, blocks, N, channel * size)
        a = prior.anomalies.reshape(*batch, n, prior.channels, -1)[..., places].unflatten(-1, (blocks, size))
        a = a.movedim(-2, -4).flatten(-2)
        moved = torch.cat([w.unsqueeze(-2), t], -2) @ a
        fields = prior.mean.new_empty((*batch, n + 1, prior.channels, prior.mean.shape[-1] // prior.channels))
        fields = fields.index_copy(-1, places, moved.unflatten(-1, (prior.channels, size)).movedim(-4, -2).flatten(-2))
        both = fields.flatten(-2)
        return prior.mean + both[..., 0, :], both[..., 1:, :]

    def _local(self, prior: Prior, domains: Domains) -> tuple[Tensor, Tensor]:
        """w ``(*batch, blocks, N)`` and T ``(*batch, blocks, N, N)``."""
        errors, weights = prior.observation.errors, domains.weights.to(prior.mean)
        if errors.diagonal and domains.data is None:
            return transform_of(*_weighted_products(*prior.whitened, weights))
        root = weights.sqrt()
        data = (domains.data if domains.data is not None else torch.arange(root.shape[-1]).expand(root.shape)).to(root.device)
        if errors.diagonal:
            s, d = (part[..., data] for part in prior.whitened)
            s, d = s.movedim(-2, -3) * root.unsqueeze(-2), d * root
        else:  # the errors of the data of each domain are a covariance of their own
            full = errors.covariance(prior.shown.shape[-1], prior.shown)
            rows = torch.cat([prior.shown, prior.innovation.unsqueeze(-2)], -2)[..., data].movedim(-2, -3) * root.unsqueeze(-2)
            white = whitened(full[data.unsqueeze(-1), data.unsqueeze(-2)], rows, prior.present[..., data] & (root > 0))
            s, d = white[..., :-1, :], white[..., -1, :]
        return transform_of(s @ s.transpose(-1, -2), (s @ d.unsqueeze(-1)).squeeze(-1))

    def _rule(self) -> Localization | Hook | None:
        return Localization(self.radius, self.taper, self.block) if self.radius is not None else self.localization

    def _domains(self, prior: Prior) -> Domains | None:
        """Of the prior's grid and data; None without localisation. The latest are kept."""
        rule = self._rule()
        if rule is None or prior.grid.ndim == 0:
            return None
        locations = prior.observation.locations(prior.channels, prior.time)
        if locations is None:
            raise InputError(
                "LETKF: the data have no places (Fourier modes, or a function without locations=), so distances do not exist; use sciml.ETKF, "
                "LETKF without radius, or a function with locations=."
            )
        kept = self._kept.get("latest")
        if kept is not None and kept[0] == prior.grid and torch.equal(kept[1], locations):
            return kept[2]
        found = domains_of(prior.grid, rule, locations)
        self._kept["latest"] = (prior.grid, locations, found)
        return found


def _weighted_products(s: Tensor, d: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    r""":math:`S\,\mathrm{diag}(w_p)\,S^T` ``(*batch, blocks, N, N)`` and :math:`S\,\mathrm{diag}(w_p)\,d` ``(*batch, blocks, N)``.

    The products of every pair of members times the weights ``(blocks, m)`` of every domain: one matrix product for all domains.
    """
    n = s.shape[-2]
    i, j = torch.tril_indices(n, n, device=s.device)
    pairs = torch.cat([s[..., i, :] * s[..., j, :], s * d.unsqueeze(-2)], -2) @ weights.T
    place = torch.zeros((n, n), dtype=torch.long, device=s.device)
    place[i, j] = place[j, i] = torch.arange(len(i), device=s.device)
    gram = pairs[..., place.flatten(), :].transpose(-1, -2).unflatten(-1, (n, n))
    return gram, pairs[..., len(i) :, :].transpose(-1, -2)
