"""Weights of the terms of a loss from the terms themselves, so that none is drowned by the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from sciml.core.errors import InputError

Residuals = Callable[[Mapping[str, Tensor]], Tensor]
"""Parameters by name to the residuals of one term, ``(n,)``."""
SOME = 128
"""Points at which kernels are measured."""


def by_gradients(parts: Mapping[str, Residuals], model: nn.Module) -> dict[str, float]:
    r""":math:`\lambda_i = \sum_j\lVert\nabla L_j\rVert/\lVert\nabla L_i\rVert`, :math:`L_i` the mean square of the residuals of term i.

    S. Wang, S. Sankaran, H. Wang & P. Perdikaris, arXiv 2308.08468, algorithm 1.
    """
    parameters = {name: p.detach().requires_grad_(p.requires_grad) for name, p in model.named_parameters()}
    live = [p for p in parameters.values() if p.requires_grad]
    sizes = {}
    for name, part in parts.items():
        with torch.enable_grad():
            found = torch.autograd.grad(part(parameters).square().mean(), live, allow_unused=True)
        sizes[name] = float(sum(g.square().sum() for g in found if g is not None)) ** 0.5
    return _shares(sizes)


def by_kernels(parts: Mapping[str, Residuals], model: nn.Module) -> dict[str, float]:
    r""":math:`\lambda_i = \sum_j\operatorname{tr}K_j/\operatorname{tr}K_i`, :math:`K_i = J_iJ_i^T/n_i` the tangent kernel of term i.

    S. Wang, X. Yu & P. Perdikaris, J. Comput. Phys. 449 (2022) 110768, with traces per point, so that terms with more points weigh no less.
    """
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    rest = {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}
    traces = {}
    for name, part in parts.items():
        jacobian = torch.func.jacrev(partial(_merged, part, rest))(trained)
        count = next(iter(jacobian.values())).shape[0]
        traces[name] = float(sum(j.square().sum() for j in jacobian.values())) / count
    return _shares(traces)


def _merged(part: Residuals, rest: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> Tensor:
    return part({**rest, **trained})


def _shares(sizes: Mapping[str, float]) -> dict[str, float]:
    """The sum over each; terms that the weights do not move keep the weight 1."""
    total = sum(sizes.values())
    return {name: total / size if size > 0 else 1.0 for name, size in sizes.items()}


BALANCES: dict[str, Callable[[Mapping[str, Residuals], nn.Module], dict[str, float]]] = {"gradients": by_gradients, "ntk": by_kernels}


def check_balance(name: str | None) -> None:
    """Raise InputError for an unknown way of balancing."""
    if name is not None and name not in BALANCES:
        raise InputError(f"PinnObjective: balance={name!r} given; choose {', '.join(BALANCES)}, or None for fixed weights.")
