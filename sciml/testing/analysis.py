"""The contract of an analysis, as a test that users can run on their own filters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from sciml.assimilation.analysis import Analysis
from sciml.assimilation.observation import Observation
from sciml.assimilation.operators import every, mask
from sciml.assimilation.record import Record
from sciml.core.errors import ContractError, InputError
from sciml.core.grid import Grid

NOISE = 0.5


def check_analysis(analysis: Analysis, grid: Grid | None = None, *, members: int = 6, channels: int = 1, seed: int = 0) -> None:
    """Raise :class:`ContractError` unless ``analysis`` keeps the contract of an analysis.

    In this order: shape, dtype and device are kept, and the ensemble given is not changed; one seed gives one result; data move the mean towards
    themselves; without data the ensemble comes back bit for bit, and missing data are as if there were no instrument; experiments of a batch do not
    mix; the order of the members is of no account; derivatives are finite and agree with finite differences; float32 stays float32 and agrees; and
    too few members, members that are not finite, and infinite data raise :class:`InputError`. What only an analysis without random choices can
    keep (missing data, order of members) is asked of those alone that draw nothing from the generator.

    Parameters
    ----------
    analysis : to be checked.
    grid : of the states, in double precision; by default a periodic one of 12 points.
    members, channels : of the ensemble that it is tried on.
    """
    grid = grid or Grid((12,), (12.0,))
    case = _Case(analysis, grid, members, channels, seed)
    with torch.no_grad():
        random = _check_output(case)
        _check_missing(case, random)
        _check_batch(case)
        if not random:
            _check_order(case)
    _check_derivatives(case)
    with torch.no_grad():
        _check_float32(case)
        _check_refusals(case)


class _Case(NamedTuple):
    analysis: Analysis
    grid: Grid
    members: int
    channels: int
    seed: int

    @property
    def name(self) -> str:
        return type(self.analysis).__name__

    def observation(self, grid: Grid | None = None) -> Observation:
        return Observation(every(1, channels=[0]), NOISE, grid=grid or self.grid)

    def ensemble(self, *batch: int) -> tuple[Tensor, Tensor]:
        """Members around a wave, and data not far from the first of them."""
        generator = torch.Generator().manual_seed(self.seed)
        shape = (*batch, self.members, self.channels, *self.grid.shape)
        wave = torch.linspace(0, 2 * math.pi, math.prod(self.grid.shape), dtype=torch.float64).cos().reshape(self.grid.shape)
        e = wave + torch.randn(shape, dtype=torch.float64, generator=generator)
        seen = self.observation()(e)
        return e, 0.7 * seen[..., 0, :] + 0.3 * seen.mean(-2)

    def run(self, e: Tensor, y: Tensor, observation: Observation | None = None, seed: int = 0) -> tuple[Tensor, Record]:
        return self.analysis(e, y, observation or self.observation(), generator=torch.Generator().manual_seed(seed))

    def fail(self, what: str, remedy: str) -> None:
        raise ContractError(f"{self.name}: {what}. To mend it, {remedy}.")


def _check_output(case: _Case) -> bool:
    """Whether the analysis makes random choices."""
    e, y = case.ensemble()
    before = e.clone()
    first, record = case.run(e, y)
    for what in ("shape", "dtype", "device"):
        if getattr(first, what) != getattr(e, what):
            given, got = getattr(e, what), getattr(first, what)
            case.fail(f"the {what} of the ensemble changed from {given} to {got}", "return members (*batch, N, n) like the prior's")
    if not torch.equal(e, before):
        case.fail("the ensemble given was changed in place", "work on a copy")
    if not bool(torch.isfinite(first).all()):
        case.fail("members are not finite after the data", "look for quotients by a spread that may vanish")
    if not torch.equal(first, case.run(e, y)[0]):
        case.fail("one seed gave two results", "draw from prior.generator alone, and keep nothing between calls but prior.notes.memory")
    h = case.observation()
    weights = None if record.weights is None else record.weights[1].unsqueeze(-1)
    seen = h(first).mean(-2) if weights is None else (weights * h(first)).sum(-2)
    if not bool((y - seen).square().mean() < (y - h(e).mean(-2)).square().mean()):
        case.fail("the mean did not come nearer to the data", "check the sign of the innovation, which is data minus forecast")
    generator = torch.Generator().manual_seed(case.seed)
    before = generator.get_state()
    case.analysis(e, y, case.observation(), generator=generator)
    return not torch.equal(before, generator.get_state())


def _check_missing(case: _Case, random: bool) -> None:
    e, y = case.ensemble()
    if not torch.equal(case.run(e, torch.full_like(y, torch.nan))[0], e):
        case.fail("without data the ensemble changed", "leave __call__ as it is, which returns the forecast then")
    both, data = torch.stack([e, e]), torch.stack([y, torch.full_like(y, torch.nan)])
    if not torch.equal(case.run(both, data)[0][1], e):
        case.fail("an experiment of a batch without data changed", "leave __call__ as it is, which returns the forecast then")
    if random:
        return
    gap = y.clone()
    gap[1] = torch.nan
    seen = torch.ones(case.grid.shape, dtype=torch.bool)
    seen.view(-1)[1] = False
    fewer = Observation(mask(seen, channels=[0]), NOISE, grid=case.grid)
    error = _difference(case.run(e, gap)[0], case.run(e, torch.cat([y[:1], y[2:]]), fewer)[0])
    if not error < 1e-9:
        case.fail(f"a missing observation differs by {error:.2g} from an instrument without it", "give data that are not prior.present no weight")


def _check_batch(case: _Case) -> None:
    e, y = case.ensemble(2)
    together = case.run(e, y)[0]
    other = torch.stack([e[0], 3 * e[1] - 1])
    error = _difference(together[0], case.run(other, y)[0][0])
    if not error < 1e-9:
        case.fail(f"one experiment of a batch changed another by {error:.2g}", "let no operation mix or reduce over the leading axes")


def _check_order(case: _Case) -> None:
    e, y = case.ensemble()
    turned = e.roll(1, 0).flip(0)
    a, b = (case.run(members, y)[0].flatten(1) for members in (e, turned))
    for what, error in (("mean", _difference(a.mean(0), b.mean(0))), ("covariance", _difference(torch.cov(a.T), torch.cov(b.T)))):
        if not error < 1e-9:
            case.fail(f"another order of the members changed their {what} by {error:.2g}", "treat all members alike")


def _check_derivatives(case: _Case) -> None:
    e, y = case.ensemble()
    direction = e.roll(3, -1) - 0.5
    leaf = e.clone().requires_grad_()
    weights = e.flip(0) + 0.3
    result, _ = case.run(leaf, y)
    (gradient,) = torch.autograd.grad((weights * result).sum(), leaf)
    if not bool(torch.isfinite(gradient).all()):
        case.fail("derivatives are not finite", "avoid derivatives of eigenvectors and of roots of 0")
    with torch.no_grad():
        size = 1e-6
        difference = (case.run(e + size * direction, y)[0] - case.run(e - size * direction, y)[0]) / (2 * size)
    along, central = float((gradient * direction).sum()), float((weights * difference).sum())
    if not abs(along - central) <= 1e-5 * float((weights * difference).abs().sum()):
        case.fail(f"the derivative {along:.8g} differs from the finite difference {central:.8g}", "detach no part of the analysis")


def _check_float32(case: _Case) -> None:
    e, y = case.ensemble()
    result, _ = case.run(e.float(), y.float(), case.observation(case.grid.to(dtype=torch.float32)))
    error = _difference(result.double(), case.run(e, y)[0])
    if result.dtype != torch.float32 or not error < 1e-3:
        case.fail(f"float32 came back as {result.dtype} with a difference of {error:.2g}", "make all tensors like the prior's")


def _check_refusals(case: _Case) -> None:
    e, y = case.ensemble()
    lost, infinite = e.clone(), y.clone()
    lost[0].view(-1)[0], infinite[0] = torch.nan, torch.inf
    few = case.analysis.least - 1
    wrong: list[tuple[str, Callable[[], object]]] = [
        ("a member that is not finite", lambda: case.run(lost, y)),
        ("infinite data", lambda: case.run(e, infinite)),
        ("data of wrong shape", lambda: case.run(e, y[1:])),
    ]
    for what, call in [*wrong, ("too few members", lambda: case.run(e[:few], y))][: 4 if few else 3]:
        try:
            call()
        except InputError:
            continue
        case.fail(f"{what} were accepted", "leave __call__ as it is, which refuses them")


def _difference(a: Tensor, b: Tensor) -> float:
    """Largest, relative to the largest value."""
    return float((a - b).abs().amax() / b.abs().amax().clamp_min(1e-30))
