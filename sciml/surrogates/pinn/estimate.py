"""``sciml.estimate``: what observations say about trained coefficients and about the field, with standard errors."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sciml.core.errors import InputError
from sciml.optim.damped import Rows, Triangular
from sciml.optim.jacobian import PointwiseResiduals
from sciml.optim.vector import Flat, at_least_double
from sciml.surrogates.pinn.base import PointModel
from sciml.surrogates.pinn.estimated import Coefficients, Estimate, FieldErrors
from sciml.surrogates.pinn.objective import AtPoints, PinnObjective, as_pinn
from sciml.surrogates.pinn.sandwich import SMALL, Curvature, noise_of
from sciml.training.pointwise import PointTerm
from sciml.training.seeds import generator_of
from sciml.training.staged import SelfTaught

MOST = 4096
"""Weights and coefficients, whose Jacobian is formed."""
PRIOR = 10.0
"""Standard deviation of a weight that is taken for granted."""
UNINFORMED = 0.05
"""Part of a coefficient's information that has to come from the observations."""
PENDING = 0.5
"""Standard errors that a further Gauss-Newton step may move a coefficient without a warning."""


def estimate(
    pinn: nn.Module, data: Any, *, loss: PinnObjective | None = None, noise: float | Mapping[str, float] | None = None, level: float = 0.95
) -> Estimate:
    r"""Standard errors of a trained model's coefficients, and of its field, from noise in the observations.

    All unknowns :math:`\theta`, weights and coefficients, minimise a sum of squares, of which the observations are a part with independent noise of
    variance :math:`\sigma^2`. To first order the minimiser then has the covariance

    .. math:: H^{-1}\,J_d^T\,S\Sigma S\,J_d\,H^{-1},\qquad H = J^TJ,

    with J the Jacobian of all residuals as the loss scales them, :math:`J_d` its rows of the observations, S their scale and :math:`\Sigma` the
    noise's variances. The equation's residual and conditions are known without noise. This holds for any weights of the terms; where the equation
    is met exactly it is the :math:`\sigma^2(J^TJ)^{-1}` of nonlinear regression on the equation's solutions [Seber & Wild, Nonlinear
    Regression (1989), section 2.1; White, Econometrica 50 (1982) 1].

    In most of its directions the space of weights changes nothing but rounding errors. Every weight is therefore taken to be known beforehand to
    within :data:`PRIOR`; coefficients are not. What is wrong because the network cannot represent the equation's solution is not in the standard
    errors: compare with a wider network.

    Parameters
    ----------
    pinn : a trained :class:`sciml.PINN` or :class:`sciml.LPINN`, with at most 4096 parameters.
    data : the observations that it was trained on.
    loss : the objective that it was trained with, whose points and weights count; by default the model's own, at new points.
    noise : standard deviation of the noise, or one per field by name; by default it is found from the residuals with the degrees of freedom left.
    level : of the intervals, from Student's distribution with these degrees of freedom (the normal one where the noise is given).

    Raises
    ------
    InputError : no observations, too few to find the noise, options out of range, more parameters than stated.

    Warns where the training has not come to an end: a further step would move a coefficient by more than half its standard error. A coefficient of
    which the observations say nothing has an infinite standard error.

    >>> found = sciml.estimate(pinn, (t, x, u), loss=objective)     # doctest: +SKIP
    >>> print(found)                                                # doctest: +SKIP
    """
    model = as_pinn(pinn)
    objective = model.objective() if loss is None and isinstance(model, SelfTaught) else loss
    if not isinstance(objective, PinnObjective):
        raise InputError(f"estimate: loss is a {type(objective).__name__}; the PinnObjective that the model was trained with is needed.")
    if data is None:
        raise InputError("estimate: no observations given, and errors come from their noise; give the data that the model was trained on.")
    if not 0 < level < 1:
        raise InputError(f"estimate: level={level} given; a number between 0 and 1 is needed, such as 0.95.")
    trained = model.unknowns.trained(model.equation)
    own = {id(p) for p, _ in trained.values()}
    named = dict(model.named_parameters())
    weights = [p for p in named.values() if p.requires_grad and id(p) not in own]
    flat = Flat([*weights, *(p for p, _ in trained.values())], "estimate")
    if flat.size > MOST:
        raise InputError(f"estimate: {flat.size} parameters are trained, and at most {MOST} are possible, because their Jacobian is formed.")
    near = Linearised(model, objective, model.dataset(data)[0].to(model.device), named, flat)
    if not bool(torch.isfinite(near.gradient).all()):
        raise InputError("estimate: residuals or their derivatives are not finite at these weights; train the model anew.")
    given = _given(noise, near.fields)
    k = sum(p.numel() for p, _ in trained.values())
    variances = torch.stack([r.square().mean() for r in near.residuals]) if given is None else given**2
    ridge = near.ridge(variances)
    small = max(SMALL, 100 * near.precision)
    curvature = Curvature([near.known.upper, *near.rows], k, ridge, small)
    freedom = math.inf
    if given is None:
        variances, left = noise_of(near.residuals, near.rows, near.scales, curvature)
        if float(left.min()) < 1:
            raise InputError(
                f"estimate: the {sum(map(len, near.residuals))} observations are met by as many combinations of the unknowns, so that their noise "
                "cannot be found; give noise=, or more observations."
            )
        freedom = float(left.sum())
    silent = curvature.undetermined
    if k:
        silent = silent | ((1 - UNINFORMED) * curvature.information < Curvature([near.known.upper], k, ridge, small).information)
    root = curvature.solve(near.loud(variances).T)
    parts = [(name, p.detach().clone(), bound) for name, (p, bound) in trained.items()]
    found = Coefficients(parts, root[len(root) - k :], silent)
    _warn(found, curvature.solve(near.gradient)[len(root) - k :, 0])
    levels = dict(zip(near.fields, variances.sqrt().tolist(), strict=True))
    return Estimate(found, levels, freedom, level, field_errors(model, PointwiseResiduals([], named, flat), flat.read(), root))


class Linearised:
    """The residuals of a loss and their Jacobian at the present weights, those of the observations apart.

    Attributes
    ----------
    known : of all other terms, reduced to the size of the unknowns.
    fields : that were observed.
    scales : of their residuals in the loss.
    residuals : fitted minus observed, per field ``(n_c,)``.
    rows : of the Jacobian, as the loss scales them, per field, at most as many as there are unknowns.
    gradient : half the loss's gradient, ``(p, 1)``.
    """

    def __init__(self, model: PointModel, objective: PinnObjective, batch: Tensor, named: Mapping[str, Tensor], flat: Flat) -> None:
        terms = _terms(model, objective, batch)
        (observed,) = (term for term in terms if term.name == "data")
        names = tuple(model.problem.equation.fields)
        scales = [math.sqrt(w / len(observed.points)) for w in objective.weights_of(model, "data").values()]
        seen = batch[:, -len(names) :] > 0
        used = [c for c in range(len(names)) if scales[c] > 0 and bool(seen[:, c].any())]
        if not used:
            raise InputError("estimate: the observations have the weight 0 in this loss, so nothing was learned from them.")
        vector = flat.read()
        self.known = Triangular(PointwiseResiduals([term for term in terms if term is not observed], named, flat).rows(vector))
        self.fields, self.scales = [names[c] for c in used], [scales[c] for c in used]
        self.residuals: list[Tensor] = []
        self.rows: list[Tensor] = []
        self.gradient = self.known.gradient.unsqueeze(1)
        for c in used:
            values: list[Tensor] = []
            system = Triangular(_one_field(PointwiseResiduals([observed], named, flat).rows(vector), seen, c, values))
            self.residuals.append(torch.cat(values) / scales[c])
            self.rows.append(system.upper)
            self.gradient = self.gradient + system.gradient.unsqueeze(1)
        self.precision = float(torch.finfo(flat.dtype).eps)

    def ridge(self, variances: Tensor) -> float:
        """What :data:`PRIOR` is in units of the loss, and above rounding."""
        strength = max(float(v) * s**2 for v, s in zip(variances, self.scales, strict=True))
        largest = max(float(part.square().sum(0).max()) for part in (self.known.upper, *self.rows))
        return max(strength / PRIOR**2, self.precision**2 * largest)

    def loud(self, variances: Tensor) -> Tensor:
        """The rows times scale and standard deviation of the noise."""
        return torch.cat([j * (float(v) ** 0.5 * s) for j, v, s in zip(self.rows, variances, self.scales, strict=True)])


def _one_field(rows: Rows, seen: Tensor, c: int, values: list[Tensor]) -> Rows:
    """The rows of field c where it was seen; their residuals are added to ``values``."""
    done = 0
    for jacobian, residual in rows:
        j, r = (part.unflatten(0, (-1, seen.shape[1]))[:, c] for part in (jacobian, residual))
        here = seen[done : done + len(r), c]
        done += len(r)
        values.append(at_least_double(r[here]))
        yield j[here], r[here]


def _terms(model: PointModel, objective: PinnObjective, batch: Tensor) -> list[PointTerm]:
    """The loss's terms at the points that it has, or at new ones."""
    mode = model.training
    model.train()  # elsewhere observations alone count
    try:
        return objective.terms(model, batch, generator_of(0, 5))
    finally:
        model.train(mode)


def _given(noise: float | Mapping[str, float] | None, names: Sequence[str]) -> Tensor | None:
    """Standard deviations by field, if given."""
    if noise is None:
        return None
    if isinstance(noise, Mapping) and set(names) - set(noise):
        raise InputError(f"estimate: noise of {', '.join(noise) or 'no field'} given; it is needed of {', '.join(names)}.")
    levels = [noise[name] for name in names] if isinstance(noise, Mapping) else [noise] * len(names)
    if not all(isinstance(s, int | float) and 0 < s < math.inf for s in levels):
        raise InputError(f"estimate: noise={noise} given; its standard deviation, a positive finite number, is needed.")
    return torch.tensor(levels, dtype=torch.float64)


def _warn(found: Coefficients, step: Tensor) -> None:
    """Say what is not determined, and what has not come to rest."""
    for name, error, moved in zip(found.names, found.spread.tolist(), step.abs().tolist(), strict=True):
        if math.isinf(error):
            warnings.warn(f"estimate: the observations say nothing about {name}; its standard error is infinite.", stacklevel=3)
        elif moved > PENDING * error:
            by = f"{moved / error if error else math.inf:.2g} standard errors"
            warnings.warn(
                f"estimate: a further Gauss-Newton step would move {name} by {by}, so the training has not come to an end; train on with "
                "sciml.GaussNewton(), and give the loss that it was trained with.",
                stacklevel=3,
            )


def field_errors(model: PointModel, linear: PointwiseResiduals, vector: Tensor, root: Tensor) -> FieldErrors:
    """Coordinates to the values there and their standard errors, with the covariance ``root root^T`` of the weights ``vector``."""
    k = 1 + model.ndim

    def value(m: PointModel, z: Tensor) -> Tensor:
        found = m.values_located(z[..., :k], z[..., k:])
        return found - m._mean() if m.free_constant else found

    module = AtPoints(model, value)

    def at(parameters: Mapping[str, Tensor], z: Tensor) -> Tensor:
        out: Tensor = functional_call(module, {f"model.{key}": p for key, p in parameters.items()}, (z,))
        return out

    def errors(t: Tensor | float, *x: Tensor | float) -> tuple[Tensor, Tensor]:
        z = model.coordinates(t, *x)
        points = z.detach().reshape(-1, k)
        with torch.no_grad():
            points = torch.cat([points, model.located(points)], 1)
        linear.terms = [PointTerm("field", at, points, float(len(points)))]
        pieces = [(v, (at_least_double(j) @ root).norm(dim=1).to(v.dtype)) for j, v in linear.rows(vector)]
        values, spread = (torch.cat(part).reshape(*z.shape[:-1], model.channels) for part in zip(*pieces, strict=True))
        return values, spread

    return errors
