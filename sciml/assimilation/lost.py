"""Members that a forecast lost: drawn again from those that are left."""

from __future__ import annotations

import torch
from torch import Tensor

from sciml.assimilation.noise import drawn
from sciml.core.errors import BlowUpError


def redrawn(ensemble: Tensor, ndim: int, generator: torch.Generator, time: float) -> tuple[Tensor, list[str]]:
    r"""Members that are not finite replaced by draws with mean and covariance of the others, and a note on each.

    A new member is :math:`\bar x+\sum_jz_ja_j/\sqrt{n-1}` with standard normal :math:`z_j` and the deviations :math:`a_j` of the n others. Members
    ``(*batch, N, channel, *space)`` of one experiment replace only their own. Raises BlowUpError where fewer than two are left.
    """
    members = ensemble.flatten(ensemble.ndim - 1 - ndim)
    sound = torch.isfinite(members).all(-1, keepdim=True)
    left = sound.sum(-2, keepdim=True)
    if bool((left < 2).any()):
        where = _named((left < 2)[..., 0, 0].nonzero()[0].tolist())
        raise BlowUpError(
            f"cycle: fewer than two members{where} are finite at t={time:.6g}, too few to draw the others from. Take a smaller step, less inflation, "
            "or a smaller spread of the first ensemble."
        )
    kept = torch.where(sound, members, 0.0)
    mean = kept.sum(-2, keepdim=True) / left
    deviations = torch.where(sound, kept - mean, 0.0) / (left - 1).sqrt()
    n = members.shape[-2]
    z = drawn((*members.shape[:-2], n, n), members, generator)
    lost: list[list[int]] = (~sound[..., 0]).nonzero().tolist()
    notes = [f"t={time:.6g}: member {place[-1]}{_named(place[:-1])} was not finite and was drawn again" for place in lost]
    return torch.where(sound, members, mean + z @ deviations).reshape(ensemble.shape), notes


def _named(experiment: list[int]) -> str:
    if not experiment:
        return ""
    return f" of experiment {experiment[0] if len(experiment) == 1 else tuple(experiment)}"
