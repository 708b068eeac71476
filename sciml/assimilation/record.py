"""What an analysis tells of itself, in the space of the data."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from sciml.assimilation.noise import Noise
from sciml.core.errors import InputError


@dataclass(frozen=True)
class Record:
    r"""One analysis in the space of the data.

    Attributes
    ----------
    innovation : data minus forecast mean, ``(*batch, m)``; NaN where data are missing.
    prior_variance : of what the members showed, ``(*batch, m)``.
    noise_variance : of the data, ``(m,)``.
    whitened : :math:`YR^{-1/2}` and :math:`R^{-1/2}d`; Y has no rows where a method does not form it.
    spread : of forecast and analysis as the method believes, root mean square over the state, each ``(*batch,)``; None where members tell.
    errors : whose covariance R is.
    weights : of the members before and after the analysis, ``(*batch, N)`` each; None if all weigh the same.
    memory : what the next analysis has to be given, such as an inflation that adapts; None if nothing.
    numbers : more of the analysis, ``(*batch,)`` each, such as the inflation that it chose.
    """

    innovation: Tensor
    prior_variance: Tensor
    noise_variance: Tensor
    whitened: tuple[Tensor, Tensor]
    spread: tuple[Tensor, Tensor] | None = None
    errors: Noise | None = None
    weights: tuple[Tensor, Tensor] | None = None
    memory: Tensor | None = None
    numbers: dict[str, Tensor] = field(default_factory=dict)

    def weighing(self, before: Tensor, after: Tensor) -> Record:
        """The same of members with weights."""
        return replace(self, weights=(before, after))

    @property
    def consistency(self) -> Tensor:
        r"""Mean of :math:`d^2/(\sigma_b^2+\sigma_o^2)` over the data, ``(*batch,)``: 1 if spread and errors are true; NaN without data."""
        return (self.innovation.square() / (self.prior_variance + self.noise_variance)).nanmean(-1)

    @cached_property
    def degrees_of_freedom(self) -> Tensor:
        r"""How many numbers the data determined, :math:`\sum_i\lambda_i/(1+\lambda_i)` with the eigenvalues of :math:`S S^T/(N-1)`, ``(*batch,)``."""
        s = self.whitened[0]
        n, m = s.shape[-2:]
        if n == 0:
            return s.new_full(s.shape[:-2], torch.nan)
        values = torch.linalg.eigvalsh(s.transpose(-1, -2) @ s if m < n else s @ s.transpose(-1, -2)).clamp_min(0)
        return (values / (values + n - 1)).sum(-1)

    @cached_property
    def log_likelihood(self) -> Tensor:
        r"""Of the data, :math:`\ln N(d;0,HPH^T+R)` with the members' covariance P, ``(*batch,)``; 0 without data.

        With :math:`\tilde d=R^{-1/2}d`, minus two times it is :math:`\tilde d^TM^{-1}\tilde d+\ln\det M+\ln\det R+m\ln2\pi` with
        :math:`M=I+S^TS/(N-1)`; where there are more data than members, the same by Woodbury's identity in their space. Its gradient fits
        parameters of the model, or of the errors. Raises InputError if R is not known.
        """
        if self.errors is None:
            raise InputError("log_likelihood: the record does not know the errors of the data; take the one that an analysis returns.")
        (s, d), present = self.whitened, ~torch.isnan(self.innovation)
        n, m = s.shape[-2:]
        if n == 0:
            return s.new_full(s.shape[:-2], torch.nan)
        gram = s.transpose(-1, -2) @ s if m < n else s @ s.transpose(-1, -2)
        factor = torch.linalg.cholesky(gram / (n - 1) + torch.eye(min(n, m), dtype=s.dtype, device=s.device))
        side = d.unsqueeze(-1) if m < n else s @ d.unsqueeze(-1)
        part = torch.linalg.solve_triangular(factor, side, upper=False).square().sum((-1, -2))
        squared = part if m < n else d.square().sum(-1) - part / (n - 1)
        logs = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1) + self.errors.log_determinant(present, s)
        return -(squared + logs + present.to(s).sum(-1) * math.log(2 * math.pi)) / 2

    @property
    def gain(self) -> Tensor:
        r"""What part of its innovation an observation alone would add, :math:`\sigma_b^2/(\sigma_b^2+\sigma_o^2)`, ``(*batch, m)``."""
        return self.prior_variance / (self.prior_variance + self.noise_variance)
