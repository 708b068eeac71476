"""The loss of a physics-informed network: its terms, the points at which they are asked for, and their weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from sciml.core.checks import check_whole
from sciml.core.derivatives import AXES
from sciml.core.errors import InputError
from sciml.surrogates.pinn.ansatz import faces_of
from sciml.surrogates.pinn.balance import BALANCES, SOME, check_balance
from sciml.surrogates.pinn.base import PointModel
from sciml.surrogates.pinn.boundary import values_at
from sciml.surrogates.pinn.sampling import RAD, Box, Sampler, sobol
from sciml.training.pointwise import PointFunction, PointTerm, PointwiseLeastSquares
from sciml.training.seeds import generator_of

MEMORY = 0.9
"""Part of the old weights that balancing keeps."""
CHUNK = 2**13
"""Points at which residuals are measured at once."""


class AtPoints(nn.Module):
    """A model's residual, value or slope as a module's call, for ``functional_call``."""

    def __init__(self, model: nn.Module, function: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, z: Tensor) -> Tensor:
        return self.function(self.model, z)


@dataclass(eq=False)
class PinnObjective(PointwiseLeastSquares):
    r""":math:`\sum_i w_i\lambda_i\,\langle r_i^2\rangle` over the terms ``equation``, ``initial``, ``boundary``, ``slope.x`` and ``data``.

    ``equation`` is the residual at ``points``; ``initial``, ``boundary`` (values) and ``slope.x`` (normal derivatives) are there where these
    conditions are not built into the network; ``data`` where observations were given. Systems have a term per field, ``equation.u``; in the
    history every term has a column with its mean square, without its weights.

    Parameters
    ----------
    points : where the equation is asked for, and when points are drawn anew: those of soft conditions with them, unless the sampler keeps its points.
    initial_points, boundary_points : number of points of soft conditions, evenly spread; the latter per face.
    weights : :math:`w_i` by name of the term, of all its fields (``equation``) or one (``equation.u``); 1 by default.
    balance : "gradients" or "ntk" sets :math:`\lambda_i` from the terms themselves every ``balance_every`` steps, as running means; None
        leaves them at 1. They are columns ``weight.equation`` of the history.

    Raises InputError for unknown terms and negative weights.
    """

    points: Sampler = field(default_factory=lambda: RAD(2000))
    initial_points: int = 256
    boundary_points: int = 256
    weights: Mapping[str, float] = field(default_factory=dict)
    balance: str | None = None
    balance_every: int = 100

    def __post_init__(self) -> None:
        who = type(self).__name__
        if not isinstance(self.points, Sampler):
            raise InputError(f"{who}: points={self.points!r} given; give sciml.RAD(2000), sciml.Sobol(2000) or another sampler.")
        check_whole(1, who=who, initial_points=self.initial_points, boundary_points=self.boundary_points, balance_every=self.balance_every)
        check_balance(self.balance)
        for name, weight in self.weights.items():
            if not (isinstance(weight, int | float) and 0 <= weight < float("inf")):
                raise InputError(f"{who}: weight {weight!r} of {name} given; a finite number of at least 0 is needed.")
        self._sets: dict[str, Tensor] = {}
        self._scales: dict[str, float] = {}
        self._values: dict[str, Tensor] = {}
        self._weighed: dict[str, dict[str, float]] = {}
        self._kept: dict[int, list[Tensor]] = {}
        self._told = False

    # -- the loss -----------------------------------------------------------------------------------------------------

    def terms(self, model: nn.Module, batch: Any, generator: torch.Generator) -> list[PointTerm]:
        """The terms with the points of this step; ``batch`` holds the observations. In evaluation mode with observations, those alone."""
        pinn = as_pinn(model)
        if not self._sets:
            self.prepare(model, batch, 0, int(torch.randint(2**31, (1,), generator=generator)))
        rows = located(pinn, batch)
        sets = {"data": rows} if len(rows) else {}
        if model.training or not len(rows):
            sets = {**self._sets, **sets}
        return [self._term(pinn, name, points) for name, points in sets.items()]

    def observe(self, terms: Sequence[PointTerm], values: Sequence[Tensor]) -> None:
        """Take note of the first residuals of a step."""
        if not self._told:
            self._told = True
            self._values = {term.name: value.detach().square().mean(0) for term, value in zip(terms, values, strict=True)}

    def _term(self, pinn: PointModel, name: str, points: Tensor) -> PointTerm:
        residual = self._residual(pinn, name)
        self._weighed[name] = self.weights_of(pinn, name)
        root = torch.tensor(list(self._weighed[name].values()), dtype=points.dtype, device=points.device).sqrt()

        def weighted(parameters: Mapping[str, Tensor], z: Tensor) -> Tensor:
            return root * residual(parameters, z)

        return PointTerm(name, weighted, points)

    def _residual(self, pinn: PointModel, name: str) -> PointFunction:
        """One point's residuals of a term, without weights."""
        k, channels = 1 + pinn.ndim, pinn.channels

        def equation(model: PointModel, z: Tensor) -> Tensor:
            return model.residual_prepared(z)

        def value(model: PointModel, z: Tensor) -> Tensor:
            return model.values(z[..., :k]) - z[..., k : k + channels]

        def seen(model: PointModel, z: Tensor) -> Tensor:
            found = model.values_located(z[..., :k], z[..., k + 2 * channels :])
            return z[..., k + channels : k + 2 * channels] * (found - z[..., k : k + channels])

        def slope(model: PointModel, z: Tensor) -> Tensor:
            return model.slope(z[..., :k], AXES.index(name[-1])) - z[..., k:]

        function = equation if name == "equation" else seen if name == "data" else slope if name.startswith("slope") else value
        module = AtPoints(pinn, function)

        def residual(parameters: Mapping[str, Tensor], z: Tensor) -> Tensor:
            out: Tensor = functional_call(module, {f"model.{key}": p for key, p in parameters.items()}, (z,))
            return out

        return residual

    def _names(self, pinn: PointModel, name: str) -> list[str]:
        """The names of a term's residuals."""
        fields = pinn.residuals if name == "equation" else pinn.problem.equation.fields
        return [name] if len(fields) == 1 else [f"{name}.{f}" for f in fields]

    def weights_of(self, pinn: PointModel, name: str) -> dict[str, float]:
        r"""The factors :math:`w_i\lambda_i` of a term's residuals, by their names."""
        return {part: self._weight(part) for part in self._names(pinn, name)}

    def _weight(self, part: str) -> float:
        whole = part.rpartition(".")[0]
        given = self.weights.get(part, self.weights.get(whole, 1.0) if whole else 1.0)
        return float(given) * self._scales.get(part, 1.0)

    # -- what changes between steps -----------------------------------------------------------------------------------

    def prepare(self, model: nn.Module, batch: Any, step: int, seed: int) -> None:
        """Points, weights and a copy of the model's weights before a step; at step 0 everything starts anew."""
        pinn = as_pinn(model)
        box = Box((pinn.start, *pinn.problem.domain.lower), (pinn.end, *pinn.problem.domain.upper))
        if step == 0:
            self._sets, self._scales, self._kept, self._told = self._start(pinn, box, seed), {}, {}, True
            self._check_names(pinn)
        elif self.points.every is not None and step % self.points.every == 0:
            old = self._sets["equation"][:, : 1 + pinn.ndim].double().cpu()
            generator = generator_of(seed, 3, step)
            new = self.points.refresh(old, box, lambda z: sizes(pinn, z), generator)
            self._sets["equation"] = pinn.prepared(new.to(pinn.device, pinn.dtype))
            if self.points.renews:
                self._sets |= self._conditions(pinn, box, generator)
        rows = located(pinn, batch)
        if len(rows):
            self._sets["data"] = rows
        if self.balance is not None and step % self.balance_every == 0:
            self._balance(pinn)
        self._kept = {step: [p.detach().clone() for p in pinn.parameters()], **{s: w for s, w in self._kept.items() if s == step - 1}}
        if not self._told or step == 0:  # the optimiser works on the terms themselves
            self._measure(pinn)
        self._told = False

    def parts(self) -> dict[str, float]:
        """Mean squares before the latest step by name, and the weights that balancing chose."""
        found = {}
        for name, squares in self._values.items():
            for (part, weight), square in zip(self._weighed[name].items(), squares.tolist(), strict=True):
                found[part] = square / weight if weight > 0 else math.nan
        return {**found, **{f"weight.{name}": scale for name, scale in self._scales.items()}}

    def state(self) -> dict[str, Any]:
        return {"points": {name: points for name, points in self._sets.items() if name != "data"}, "scales": dict(self._scales)}

    def restore(self, state: Mapping[str, Any]) -> None:
        device = next(iter(self._sets.values())).device if self._sets else torch.device("cpu")
        self._sets = {name: points.to(device) for name, points in state["points"].items()}
        self._scales = dict(state["scales"])

    def rescue(self, model: nn.Module, step: int) -> str:
        """Put back the latest weights from before a step that comes before ``step``."""
        if not self._kept:
            return ""
        earlier = [s for s in self._kept if s < step] or [min(self._kept)]
        with torch.no_grad():
            for p, kept in zip(model.parameters(), self._kept[max(earlier)], strict=True):
                p.copy_(kept)
        return f"The model has the weights from before step {max(earlier) + 1}, the latest with a finite loss."

    def _start(self, pinn: PointModel, box: Box, seed: int) -> dict[str, Tensor]:
        generator = generator_of(seed, 3, 0)
        points = self.points.start(box, generator).to(pinn.device, pinn.dtype)
        return {"equation": pinn.prepared(points), **self._conditions(pinn, box, generator)}

    def _conditions(self, pinn: PointModel, box: Box, generator: torch.Generator) -> dict[str, Tensor]:
        """Points of soft conditions, with the values there."""
        sets: dict[str, Tensor] = {}
        if pinn.soft_state is not None:
            z = sobol(self.initial_points, Box((pinn.start, *box.lower[1:]), (pinn.start, *box.upper[1:])), generator)
            with torch.no_grad():
                values = pinn.soft_state(z[:, 1:].to(pinn.device, pinn.dtype)).double().cpu()
            sets["initial"] = torch.cat([z, values], 1)
        if pinn.soft_boundary:
            for face in faces_of(pinn.problem.domain):
                sides = [list(box.lower), list(box.upper)]
                sides[0][face.axis + 1] = sides[1][face.axis + 1] = face.position
                z = sobol(self.boundary_points, Box(tuple(sides[0]), tuple(sides[1])), generator)
                rows = torch.cat([z, values_at(face.condition, z[:, 0], pinn.channels, f"PINN, face {face.name}")], 1)
                name = "boundary" if face.fixes_value else f"slope.{AXES[face.axis]}"
                sets[name] = torch.cat([sets[name], rows]) if name in sets else rows
        return {name: points.to(pinn.device, pinn.dtype) for name, points in sets.items()}

    def _check_names(self, pinn: PointModel) -> None:
        whole = [*self._sets, "data"]
        known = {*whole, *(part for name in whole for part in self._names(pinn, name))}
        unknown = [name for name in self.weights if name not in known]
        if unknown:
            raise InputError(f"PinnObjective: a weight for {', '.join(unknown)} given; the terms here are {', '.join(sorted(known))}.")

    def _balance(self, pinn: PointModel) -> None:
        """Running means of what the rule says of the parts whose weight is not 0."""
        parts: dict[str, Callable[[Mapping[str, Tensor]], Tensor]] = {}
        for name, points in self._sets.items():
            residual = self._residual(pinn, name)
            chosen = points[:: max(1, len(points) // SOME)]
            for i, part in enumerate(self._names(pinn, name)):
                if self._weight(part) > 0:
                    parts[part] = partial(_component, residual, chosen, i)
        new = BALANCES[str(self.balance)](parts, pinn)
        self._scales = {name: MEMORY * self._scales.get(name, value) + (1 - MEMORY) * value for name, value in new.items()}

    @torch.no_grad()
    def _measure(self, pinn: PointModel) -> None:
        terms = [self._term(pinn, name, points) for name, points in self._sets.items()]
        parameters = dict(pinn.named_parameters())
        self._told = False
        self.observe(terms, [torch.cat([vmap(t.function, (None, 0))(parameters, z) for z in t.points.split(CHUNK)]) for t in terms])


def as_pinn(model: nn.Module) -> PointModel:
    """The model, if it is one that this objective is for."""
    if not isinstance(model, PointModel):
        raise InputError(f"PinnObjective: a {type(model).__name__} given; it trains a sciml.PINN.")
    return model


def rows_of(pinn: PointModel, batch: Any) -> Tensor:
    """The observations of a batch as a table, without rows if there are none."""
    width = 1 + pinn.ndim + 2 * pinn.channels
    return torch.empty((0, width)) if batch is None else torch.as_tensor(batch).reshape(-1, width)


def _component(residual: PointFunction, points: Tensor, i: int, parameters: Mapping[str, Tensor]) -> Tensor:
    values: Tensor = vmap(residual, in_dims=(None, 0))(parameters, points)
    return values[:, i]


@torch.no_grad()
def located(pinn: PointModel, batch: Any) -> Tensor:
    """The observations of a batch as a table, with what finding the model's values at their places needs."""
    rows = rows_of(pinn, batch)
    return torch.cat([rows, pinn.located(rows[:, : 1 + pinn.ndim])], 1) if len(rows) else rows


@torch.no_grad()
def sizes(pinn: PointModel, z: Tensor) -> Tensor:
    """The size of the residual at points ``(n, k)``, over all equations."""
    points = z.to(pinn.device, pinn.dtype)
    return torch.cat([pinn.residual_prepared(pinn.prepared(part)).square().sum(-1).sqrt() for part in points.split(CHUNK)])


__all__ = ["AtPoints", "PinnObjective", "as_pinn", "sizes"]
