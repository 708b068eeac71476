"""Residuals at points and their exact Jacobian with respect to the weights, a bounded number of rows at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.func import jacfwd, jacrev, vmap

from sciml.core.errors import InputError
from sciml.optim.base import Term
from sciml.optim.vector import Flat, as_kind, as_real, at_least_double

CHUNK, CHUNK_ELSEWHERE = 2**20, 2**25
"""Entries of the Jacobian formed at a time, on the CPU and on accelerators: 8 and 256 MB in float64, and several times that for the values they are
made from. A CPU is fastest where they stay in its caches."""
POINTS = 2**15
"""Points at which residuals alone are computed at a time."""


class PointwiseResiduals:
    r"""The residuals :math:`\sqrt{w/n}\,r(\theta;z_j)` of several terms, whose sum of squares is the loss.

    Parameters
    ----------
    terms : of the loss.
    parameters : of the model by name; those that ``flat`` does not hold stay as they are.
    flat : the weights that vary.
    chunk : entries of the Jacobian to form at a time; by default what suits the device.
    """

    def __init__(self, terms: Sequence[Term], parameters: Mapping[str, Tensor], flat: Flat, chunk: int | None = None) -> None:
        names = {id(p): name for name, p in parameters.items()}
        missing = [p for p in flat.parameters if id(p) not in names]
        if missing:
            raise InputError(f"GaussNewton: it was given {len(missing)} parameters that are not of the objective's model; give it the model's own.")
        self.terms, self.flat = terms, flat
        self.chunk = chunk or (CHUNK if flat.device.type == "cpu" else CHUNK_ELSEWHERE)
        self.names = [names[id(p)] for p in flat.parameters]
        self.fixed = {name: p.detach() for name, p in parameters.items() if name not in set(self.names)}

    def weights(self, parts: Sequence[Tensor]) -> dict[str, Tensor]:
        """The parameters by name, from real parts of the ones that vary."""
        varied = {name: as_kind(part, p) for name, part, p in zip(self.names, parts, self.flat.parameters, strict=True)}
        return {**self.fixed, **varied}

    def parts(self, vector: Tensor) -> list[Tensor]:
        return [as_real(part) for part in self.flat.split(vector)]

    @torch.no_grad()
    def values(self, vector: Tensor) -> list[Tensor]:
        """The residuals r ``(n, r)`` of each term at these weights, without their factors."""
        weights = self.weights(self.parts(vector))
        found = []
        for term in self.terms:
            at = vmap(term.function, in_dims=(None, 0))
            found.append(torch.cat([at(weights, points) for points in term.points.split(POINTS)]))
        return found

    def loss(self, values: Sequence[Tensor]) -> float:
        """The loss of residuals such as :meth:`values` gives, added up in double precision where the device has it."""
        total = sum(at_least_double(v).square().sum() * (term.weight / len(term.points)) for term, v in zip(self.terms, values, strict=True))
        return float(total)

    def back(self, vector: Tensor, cotangents: Sequence[Tensor]) -> Tensor:
        """The transposed Jacobian times numbers ``(n, r)`` of each term, which are scaled like residuals, ``(size,)``."""
        parts = [part.detach().requires_grad_() for part in self.parts(vector)]
        total = torch.zeros_like(vector)
        for term, numbers in zip(self.terms, cotangents, strict=True):
            at = vmap(term.function, in_dims=(None, 0))
            for points, u in zip(term.points.split(POINTS), numbers.split(POINTS), strict=True):
                with torch.enable_grad():
                    product = (at(self.weights(parts), points) * u).sum() * (term.weight / len(term.points))
                found = torch.autograd.grad(product, parts, allow_unused=True)
                total += torch.cat([(torch.zeros_like(p) if g is None else g).reshape(-1) for p, g in zip(parts, found, strict=True)])
        return total

    @torch.no_grad()
    def rows(self, vector: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The Jacobian ``(m, size)`` and the residuals ``(m,)``, piece by piece."""
        parts = self.parts(vector)
        for term in self.terms:
            scale = math.sqrt(term.weight / len(term.points))

            def residual(varied: list[Tensor], z: Tensor, of: Term = term) -> tuple[Tensor, Tensor]:
                value = of.function(self.weights(varied), z)
                return value, value

            # one pass backward per residual, or one forward per weight: whichever is less
            count = vmap(residual, in_dims=(None, 0))(parts, term.points[:1])[0].shape[-1]
            transform = jacrev if count <= self.flat.size else jacfwd
            at = vmap(transform(residual, has_aux=True), in_dims=(None, 0))
            for points in term.points.split(max(1, self.chunk // (self.flat.size * count))):
                blocks, values = at(parts, points)
                jacobian = torch.cat([block.reshape(values.numel(), -1) for block in blocks], 1)
                yield jacobian.mul_(scale), values.reshape(-1) * scale
