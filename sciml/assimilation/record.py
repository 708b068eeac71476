"""What an analysis tells of itself, in the space of the data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Record:
    r"""One analysis in the space of the data.

    Attributes
    ----------
    innovation : data minus forecast mean, ``(*batch, m)``; NaN where data are missing.
    prior_variance : of what the members showed, ``(*batch, m)``.
    noise_variance : of the data, ``(m,)``.
    whitened : :math:`YR^{-1/2}` and :math:`R^{-1/2}d`.
    """

    innovation: Tensor
    prior_variance: Tensor
    noise_variance: Tensor
    whitened: tuple[Tensor, Tensor]

    @property
    def consistency(self) -> Tensor:
        r"""Mean of :math:`d^2/(\sigma_b^2+\sigma_o^2)` over the data, ``(*batch,)``: 1 if spread and errors are true; NaN without data."""
        return (self.innovation.square() / (self.prior_variance + self.noise_variance)).nanmean(-1)

    @cached_property
    def degrees_of_freedom(self) -> Tensor:
        r"""How many numbers the data determined, :math:`\sum_i\lambda_i/(1+\lambda_i)` with the eigenvalues of :math:`S S^T/(N-1)`, ``(*batch,)``."""
        s = self.whitened[0]
        n = s.shape[-2]
        values = torch.linalg.eigvalsh(s @ s.transpose(-1, -2)).clamp_min(0)
        return (values / (values + n - 1)).sum(-1)

    @property
    def gain(self) -> Tensor:
        r"""What part of its innovation an observation alone would add, :math:`\sigma_b^2/(\sigma_b^2+\sigma_o^2)`, ``(*batch, m)``."""
        return self.prior_variance / (self.prior_variance + self.noise_variance)
