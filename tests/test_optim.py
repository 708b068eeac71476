"""The optimisers that go beyond gradients: their parts against plain formulas, and all of them through ``sciml.fit``."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sciml
from sciml.optim.damped import BLOCK, Normal, Triangular
from sciml.optim.gauss_newton import GaussNewtonSteps
from sciml.optim.jacobian import PointwiseResiduals
from sciml.optim.line_search import CURVATURE, DECREASE, EVALUATIONS, Trial, strong_wolfe
from sciml.optim.matrix_free import Linearised, conjugate_gradients
from sciml.optim.soap import SOAPSteps
from sciml.optim.ssbroyden import MOST, updated
from sciml.optim.vector import Flat
from sciml.training.plan import Plan, for_optimizer
from sciml.training.pointwise import PointTerm, PointwiseLeastSquares, evaluated, joined
from sciml.training.schedules import Constant, OneCycle

DOUBLE = torch.float64
ONE = torch.ones(1, 1, dtype=DOUBLE)
SECOND_ORDER = {
    "gauss_newton": sciml.GaussNewton(),
    "qr": sciml.GaussNewton(solver="qr"),
    "cg": sciml.GaussNewton(solver="cg"),
    "ssbroyden": sciml.SSBroyden(iterations=5),
    "lbfgs": sciml.LBFGS(iterations=5),
}


class Curve(PointwiseLeastSquares):
    """``model(x) - y`` at the batch's points (x, y), and the slope at 0, which shall be 1; optionally at points with noise."""

    def __init__(self, slope: float = 0.0, noise: float = 0.0) -> None:
        self.slope, self.noise = slope, noise

    def __repr__(self) -> str:
        return f"Curve({self.slope}, {self.noise})"

    def terms(self, model: nn.Module, batch: Any, generator: torch.Generator) -> list[PointTerm]:
        def value(parameters: Mapping[str, Tensor], z: Tensor) -> Tensor:
            return torch.func.functional_call(model, dict(parameters), (z[:1],)) - z[1:]

        def slope(parameters: Mapping[str, Tensor], z: Tensor) -> Tensor:
            return torch.func.jvp(lambda x: torch.func.functional_call(model, dict(parameters), (x,)), (z,), (torch.ones_like(z),))[1] - 1

        x, y = batch
        x = x + self.noise * torch.rand(x.shape, generator=generator, dtype=x.dtype)
        found = [PointTerm("value", value, torch.cat([x, y], 1))]
        return found + [PointTerm("slope", slope, torch.zeros(1, 1, dtype=DOUBLE), self.slope)] * (self.slope > 0)


class Whole(sciml.LeastSquares):
    """``model(x) - y``, not by points."""

    def residual(self, model: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
        x, y = batch[:2]
        return model(x) - y


def network(width: int = 12, seed: int = 0, dtype: torch.dtype = DOUBLE) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)).to(dtype)


def sine(count: int = 60, dtype: torch.dtype = DOUBLE) -> torch.utils.data.TensorDataset:
    x = torch.linspace(-1, 1, count, dtype=dtype).unsqueeze(1)
    return torch.utils.data.TensorDataset(x, torch.sin(3 * x))


def relative_error(model: nn.Module) -> float:
    x = torch.linspace(-1, 1, 201, dtype=DOUBLE).unsqueeze(1)
    with torch.no_grad():
        return float((model(x) - torch.sin(3 * x)).norm() / torch.sin(3 * x).norm())


class Given:
    """A closure for residuals r(w) of one vector of weights."""

    def __init__(self, weights: Tensor, residuals: Callable[[Tensor], Tensor]) -> None:
        self.weights, self.residuals, self.first = weights, residuals, None
        self.calls = 0

    def __call__(self) -> Tensor:
        self.calls += 1
        self.weights.grad = None
        loss = self.residual().square().mean()
        loss.backward()
        return loss

    def observe(self, loss: Tensor, values: Any = None) -> None:
        self.first = loss

    def residual(self) -> Tensor:
        return self.residuals(self.weights)

    def pointwise(self) -> None:
        return None


class Points(Given):
    """The same, where ``residuals(w, z)`` are those of one point."""

    def __init__(self, weights: Tensor, residuals: Callable[[Tensor, Tensor], Tensor], points: Tensor) -> None:
        super().__init__(weights, lambda w: joined(self.terms, evaluated(self.terms, {"w": w})))
        self.terms = [PointTerm("r", lambda p, z: residuals(p["w"], z), points)]

    def pointwise(self) -> Any:
        return self.terms, {"w": self.weights}


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, dtype=DOUBLE, requires_grad=True)


def rosenbrock(w: Tensor) -> Tensor:
    """Residuals in pairs, 0 where all weights are 1."""
    return torch.cat([10 * (w[1:] - w[:-1] ** 2), 1 - w[:-1]])


# ---------------------------------------------------------------------------------------------------------------- vectors


def test_parameters_and_vectors_are_the_same_numbers() -> None:
    a, b = torch.arange(6.0, dtype=DOUBLE).reshape(2, 3), torch.tensor([1 + 2j, 3 - 4j], dtype=torch.complex128)
    flat = Flat([a, b], "test")
    assert flat.size == 10 and flat.read().tolist() == [0, 1, 2, 3, 4, 5, 1, 2, 3, -4]
    flat.write(torch.arange(10.0, 0.0, -1.0, dtype=DOUBLE))
    assert a.tolist() == [[10, 9, 8], [7, 6, 5]] and b.tolist() == [4 + 3j, 2 + 1j]
    a.grad = torch.ones_like(a)
    assert flat.gradient().tolist() == [1] * 6 + [0] * 4


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ([torch.zeros(2, dtype=torch.bfloat16)], "bfloat16"),
        ([torch.zeros(2), torch.zeros(2, dtype=DOUBLE)], "torch.float32, torch.float64"),
        ([torch.zeros(2), torch.zeros(2, device="meta")], "cpu, meta"),
    ],
)
def test_vectors_refuse_what_they_cannot_join(parameters: list[Tensor], said: str) -> None:
    with pytest.raises(sciml.InputError, match=f"^test: parameters .*{said}"):
        Flat(parameters, "test")


# ------------------------------------------------------------------------------------------------------------- line search


def along(f: Callable[[Tensor], Tensor], spent: list[float] | None = None) -> Callable[[float], Trial]:
    def evaluate(length: float) -> Trial:
        a = torch.tensor(length, dtype=DOUBLE, requires_grad=True)
        value = f(a)
        (slope,) = torch.autograd.grad(value, a)
        if spent is not None:
            spent.append(length)
        return Trial(length, float(value.detach()), float(slope), slope)

    return evaluate


LINES = {
    "parabola": lambda a: (a - 3) ** 2,
    "narrow": lambda a: (1000 * a - 1) ** 2,
    "flat": lambda a: -a / (a**2 + 2),  # Moré & Thuente 1994, (5.1)
    "waves": lambda a: torch.exp(-a) + 0.3 * torch.cos(5 * a) - a / 10 + 0.01 * a**2,
    "edge": lambda a: -torch.sqrt(2 - a) - a * 2,  # NaN beyond 2
    "far": lambda a: (a - 5000) ** 4 / 1e9,
    "wall": lambda a: (a + 0.004) ** 5 - 2 * (a + 0.004) ** 4,  # the same, (5.2); too steep at 1000 for so few evaluations
}


@pytest.mark.parametrize(("name", "first"), [(name, first) for name in LINES for first in (1e-3, 0.1, 1.0, 10.0, 1e3)][:-1])
def test_line_search_ends_where_the_strong_wolfe_conditions_hold(name: str, first: float) -> None:
    spent: list[float] = []
    evaluate = along(LINES[name])
    start = evaluate(0.0)
    found = strong_wolfe(along(LINES[name], spent), start, first)
    assert start.slope < 0 and spent[0] == first and len(spent) <= EVALUATIONS
    assert found is not None and found == evaluate(found.length)
    assert found.loss <= start.loss + DECREASE * found.length * start.slope
    assert abs(found.slope) <= CURVATURE * abs(start.slope)


def test_line_search_takes_the_first_trial_that_fits_and_interpolates_cubics_exactly() -> None:
    spent: list[float] = []
    found = strong_wolfe(along(lambda a: (a - 3) ** 2, spent), along(lambda a: (a - 3) ** 2)(0.0), 2.5)
    assert spent == [2.5] and found is not None and found.length == 2.5

    def cubic(a: Tensor) -> Tensor:
        return a**3 - 3 * a  # smallest at 1

    spent.clear()
    found = strong_wolfe(along(cubic, spent), along(cubic)(0.0), 4.0)
    assert spent[0] == 4.0 and spent[1:] == pytest.approx([1.0], abs=1e-14)


def test_line_search_says_when_there_is_nothing_lower() -> None:
    def hidden(length: float) -> Trial:  # claims to fall at 0, and rises
        return Trial(length, length, -1.0 if length == 0 else 1.0, torch.zeros(1))

    assert strong_wolfe(hidden, hidden(0.0), 1.0) is None
    assert strong_wolfe(lambda a: Trial(a, math.nan, math.nan, torch.zeros(1)), hidden(0.0), 1.0) is None
    # without end: the lowest of all that were tried
    found = strong_wolfe(lambda a: Trial(a, -a, -1.0, torch.zeros(1)), Trial(0.0, 0.0, -1.0, torch.zeros(1)), 1.0)
    assert found is not None and found.length == 10.0 ** (EVALUATIONS - 1)


def test_lbfgs_directions_are_those_of_the_dense_formula() -> None:
    g = torch.Generator().manual_seed(0)
    root = torch.randn(5, 5, generator=g, dtype=DOUBLE)
    hessian = root @ root.T + torch.eye(5, dtype=DOUBLE)
    optimizer = sciml.LBFGS(history=3)([torch.zeros(5, dtype=DOUBLE, requires_grad=True)])
    pairs = [(s, hessian @ s) for s in torch.randn(4, 5, generator=g, dtype=DOUBLE)]
    for s, y in pairs:
        optimizer.learn(s, y, 1.0)
    s, y = pairs[-1]
    inverse, unit = (s @ y) / (y @ y) * torch.eye(5, dtype=DOUBLE), torch.eye(5, dtype=DOUBLE)
    for s, y in pairs[1:]:
        turn = unit - torch.outer(s, y) / (y @ s)
        inverse = turn @ inverse @ turn.T + torch.outer(s, s) / (y @ s)
    gradient = torch.randn(5, generator=g, dtype=DOUBLE)
    assert torch.allclose(optimizer.direction(gradient), -(inverse @ gradient), atol=1e-12)


# --------------------------------------------------------------------------------------------------------------- SSBroyden


def plain_update(h_matrix: Tensor, s: Tensor, y: Tensor, first: bool) -> Tensor:
    """The same formula from the inverse of H, entry by entry."""
    n = len(s)
    hess = torch.linalg.inv(h_matrix)
    ys, yhy, sbs = float(y @ s), float(y @ h_matrix @ y), float(s @ hess @ s)
    b, h = sbs / ys, yhy / ys
    a = b * h - 1
    c = math.sqrt(a / (a + 1))
    minus = min(1, h * (1 - c))
    theta_minus, theta_plus = (minus - 1) / a, 1 / minus
    theta = max(theta_minus, min(theta_plus, (1 - b) / b))
    sigma = 1 + theta * a
    rho = min(1, 1 / b)
    power = abs(sigma) ** (1 / (1 - n))
    tau = h / sigma if first else (min(rho * power, sigma) if theta <= 0 else rho * min(power, 1 / theta))
    phi = (1 - theta) / (1 + theta * a)
    hy = h_matrix @ y
    v = math.sqrt(yhy) * (s / ys - hy / yhy)
    return (h_matrix - torch.outer(hy, hy) / yhy + phi * torch.outer(v, v)) / tau + torch.outer(s, s) / ys


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_ssbroyden_update_keeps_the_secant_equation_and_is_that_of_the_paper(seed: int, first: bool) -> None:
    g = torch.Generator().manual_seed(seed)
    n = 6
    root = torch.randn(n, n, generator=g, dtype=DOUBLE)
    inverse = torch.eye(n, dtype=DOUBLE) if first else root @ root.T + 0.1 * torch.eye(n, dtype=DOUBLE)
    hessian_root = torch.randn(n, n, generator=g, dtype=DOUBLE)
    hessian = (hessian_root @ hessian_root.T + 0.1 * torch.eye(n, dtype=DOUBLE)) * 10.0 ** (seed - 4)
    s = torch.randn(n, generator=g, dtype=DOUBLE)
    y = hessian @ s
    b = float(s @ torch.linalg.solve(inverse, s)) / float(s @ y)
    expected = plain_update(inverse, s, y, first)
    new = updated(inverse.clone(), s, y, b, first)
    assert torch.allclose(new, expected, rtol=1e-9, atol=1e-12 * float(expected.abs().max()))
    assert float((new @ y - s).norm() / s.norm()) <= 1e-10
    assert float(torch.linalg.eigvalsh(new / new.norm())[0]) > 0


def test_ssbroyden_update_where_the_step_is_along_the_old_one_is_that_of_bfgs() -> None:
    inverse, s = torch.diag(torch.tensor([2.0, 5.0, 1.0], dtype=DOUBLE)), torch.tensor([2.0, 0, 0], dtype=DOUBLE)
    y = torch.tensor([0.5, 0, 0], dtype=DOUBLE)  # H y is parallel to s: a = 0
    b = float(s @ (s / inverse.diagonal())) / 1.0
    expected = torch.diag(torch.tensor([4.0, 5.0 / min(1, 1 / b), 1.0 / min(1, 1 / b)], dtype=DOUBLE))
    assert torch.allclose(updated(inverse.clone(), s, y, b), expected, atol=1e-14)


def test_ssbroyden_finds_rosenbrocks_minimum() -> None:
    w = torch.full((10,), -1.2, dtype=DOUBLE).requires_grad_()
    optimizer, closure = sciml.SSBroyden(iterations=1)([w]), Given(w, rosenbrock)
    losses = []
    while closure().item() > 1e-20 and len(losses) < 150:
        losses.append(optimizer.step(closure).item())
    assert (w - 1).abs().max().item() <= 1e-10 and len(losses) <= 110
    assert all(b < a for a, b in pairwise(losses))


def test_ssbroyden_keeps_its_matrix_from_batch_to_batch_unless_it_points_uphill() -> None:
    w = leaf(3.0, -2.0)
    optimizer = sciml.SSBroyden(iterations=4)([w])
    closure = Given(w, lambda w: w * torch.tensor([1.0, 10.0], dtype=DOUBLE))
    optimizer.step(closure)
    kept = optimizer.memory["inverse"].clone()
    optimizer.step(Given(w, lambda w: w * torch.tensor([1.0, 10.0], dtype=DOUBLE) + 1e-3))
    assert w[0].item() == pytest.approx(-1e-3, rel=1e-4) and w[1].item() == pytest.approx(-1e-4, rel=1e-4)
    optimizer.memory["inverse"] = -kept
    with torch.no_grad():
        w += 1
    before = closure().item()
    optimizer.step(closure)
    assert closure().item() < 1e-2 * before and float(torch.linalg.eigvalsh(optimizer.memory["inverse"])[0]) > 0


# ------------------------------------------------------------------------------------------------------ systems, Jacobians


def tall(seed: int = 0, rows: int = 40, columns: int = 7) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=g, dtype=DOUBLE), torch.randn(rows, generator=g, dtype=DOUBLE)


@pytest.mark.parametrize("kind", [Normal, Triangular])
@pytest.mark.parametrize("piece", [1, 13, 40])
def test_damped_systems_in_pieces_are_the_stacked_least_squares_problem(kind: type[Normal] | type[Triangular], piece: int) -> None:
    j, r = tall()
    system = kind(zip(j.split(piece), r.split(piece), strict=True))
    assert torch.allclose(system.gradient, j.T @ r, atol=1e-12) and torch.allclose(system.columns, j.square().sum(0), atol=1e-12)
    weight = torch.linspace(0.1, 2.0, 7, dtype=DOUBLE)
    expected = torch.linalg.lstsq(torch.cat([j, torch.diag(weight.sqrt())]), torch.cat([-r, torch.zeros(7, dtype=DOUBLE)])).solution
    found = system.solve(weight)
    assert found is not None and torch.allclose(found.step, expected, atol=1e-12)
    other = torch.linalg.solve(j.T @ j + torch.diag(weight), -j.T @ (r + 1))
    assert torch.allclose(found.again(j.T @ (r + 1)), other, atol=1e-12)
    undamped = system.solve(0 * weight)
    assert undamped is not None and torch.allclose(undamped.step, torch.linalg.lstsq(j, -r).solution, atol=1e-12)


def test_triangular_systems_see_small_singular_values_that_normal_equations_lose() -> None:
    j, _ = tall(3)
    u, _, v = torch.linalg.svd(j, full_matrices=False)
    j = u @ torch.diag(10.0 ** -torch.linspace(0, 10, 7, dtype=DOUBLE)) @ v
    solution = torch.linspace(-1, 1, 7, dtype=DOUBLE)
    nothing = torch.full((7,), 1e-28, dtype=DOUBLE)
    exact = Triangular([(j, -j @ solution)]).solve(nothing)
    lost = Normal([(j, -j @ solution)]).solve(nothing)
    assert exact is not None and float((exact.step - solution).norm()) <= 1e-5
    assert lost is None or float((lost.step - solution).norm()) > 1e-2


def test_systems_without_solution_say_so() -> None:
    j = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=DOUBLE)
    r, nothing = torch.ones(2, dtype=DOUBLE), torch.zeros(2, dtype=DOUBLE)
    for kind in (Normal, Triangular):
        assert kind([(j, r)]).solve(nothing) is None
        assert kind([(j, r)]).solve(nothing + 1e-3) is not None


@pytest.mark.parametrize("chunk", [1, 400, 2**22])
def test_the_jacobian_is_that_of_the_whole_vector_of_residuals(chunk: int) -> None:
    model, (x, y) = network(4), sine(20).tensors
    model[0].bias.requires_grad_(False)
    terms = Curve(slope=0.3).terms(model, (x, y), torch.Generator())
    terms.append(PointTerm("two", lambda p, z: torch.stack([z[0] * p["2.weight"].sum(), p["4.bias"][0] ** 2]), x[:5], 2.0))
    parameters = dict(model.named_parameters())
    flat = Flat([p for p in model.parameters() if p.requires_grad], "test")
    residuals = PointwiseResiduals(terms, parameters, flat, chunk)
    pieces = list(residuals.rows(flat.read()))
    j, r = torch.cat([a for a, _ in pieces]), torch.cat([b for _, b in pieces])
    together = joined(terms, evaluated(terms, parameters))
    assert len(r) == 20 + 1 + 10 == len(together)
    assert torch.allclose(r, together / math.sqrt(len(together)), atol=1e-14)
    expected = torch.stack([flat.join(torch.autograd.grad(e, flat.parameters, retain_graph=True, allow_unused=True)) for e in together])
    assert torch.allclose(j, expected / math.sqrt(len(together)), atol=1e-13)
    assert residuals.loss(residuals.values(flat.read())) == pytest.approx(together.square().mean().item(), rel=1e-13)
    step = 1e-6
    for column in range(0, flat.size, 5):
        shift = torch.zeros(flat.size, dtype=DOUBLE)
        shift[column] = step
        ahead, behind = (torch.cat([b for _, b in residuals.rows(flat.read() + sign * shift)]) for sign in (1, -1))
        assert torch.allclose((ahead - behind) / (2 * step), j[:, column], atol=1e-8)


def test_jacobian_with_more_residuals_per_point_than_weights_and_with_complex_ones() -> None:
    w = torch.tensor([1 + 2j, -0.5j], dtype=torch.complex128, requires_grad=True)
    points = torch.linspace(0, 1, 4, dtype=DOUBLE).unsqueeze(1)

    def waves(p: Mapping[str, Tensor], z: Tensor) -> Tensor:
        return torch.cat([(p["w"].sum() * torch.exp(1j * k * z)).real * k for k in range(1, 7)])

    flat = Flat([w], "test")
    residuals = PointwiseResiduals([PointTerm("waves", waves, points)], {"w": w}, flat)
    ((j, _),) = residuals.rows(flat.read())
    k = torch.arange(1, 7, dtype=DOUBLE)
    expected = torch.stack([k * torch.cos(k * points), -k * torch.sin(k * points)], -1).repeat(1, 1, 2).reshape(24, 4) / 2
    assert torch.allclose(j, expected, atol=1e-14)


def test_products_with_the_jacobian_and_its_transpose() -> None:
    x, y = sine(9).tensors
    model = network(3)
    flat = Flat(model.parameters(), "test")
    residual = (model(x) - y).reshape(-1)
    expected = torch.stack([flat.join(torch.autograd.grad(e, flat.parameters, retain_graph=True)) for e in residual])
    j = Linearised(residual, flat)
    g = torch.Generator().manual_seed(1)
    v, u = torch.randn(flat.size, generator=g, dtype=DOUBLE), torch.randn(9, generator=g, dtype=DOUBLE)
    assert torch.allclose(j.forward(v), expected @ v, atol=1e-13) and torch.allclose(j.back(u), expected.T @ u, atol=1e-13)
    for damping in (1e-3, 1.0):
        found = conjugate_gradients(j, residual.detach(), j.back(residual.detach()), damping, 300, 1e-12)
        r = residual.detach()
        solution = torch.linalg.solve(expected.T @ expected + damping * torch.eye(flat.size, dtype=DOUBLE), -expected.T @ r)
        assert torch.allclose(found.step, solution, atol=1e-8)
        assert found.decrease == pytest.approx(float(r.square().sum() - (r + expected @ solution).square().sum()), rel=1e-8)


# ------------------------------------------------------------------------------------------------------------ Gauss-Newton


@pytest.mark.parametrize("solver", ["auto", "qr", "cholesky", "cg"])
def test_gauss_newton_solves_linear_least_squares_in_one_step(solver: str) -> None:
    g = torch.Generator().manual_seed(0)
    points, noise = torch.randn(30, 5, generator=g, dtype=DOUBLE), torch.randn(30, 1, generator=g, dtype=DOUBLE)
    data = torch.cat([points, points.sum(1, keepdim=True) + noise], 1)
    w = torch.zeros(5, dtype=DOUBLE, requires_grad=True)
    closure = Points(w, lambda w, z: (z[:5] @ w - z[5]).reshape(1), data)
    before = closure().item()
    first = sciml.GaussNewton(damping=0.0, solver=solver, tolerance=1e-15)([w]).step(closure)
    best = torch.linalg.lstsq(points, data[:, 5]).solution
    assert first.item() == pytest.approx(before, rel=1e-14) and closure.first is first
    assert (w.detach() - best).abs().max().item() <= 1e-12


@pytest.mark.parametrize("solver", ["auto", "cg"])
def test_gauss_newton_finds_rosenbrocks_minimum_and_never_goes_up(solver: str) -> None:
    w = leaf(-1.2, 1.0)
    closure, optimizer = Given(w, rosenbrock), sciml.GaussNewton(solver=solver)([w])
    losses = [optimizer.step(closure).item() for _ in range(40)]
    assert (w - 1).abs().max().item() <= 1e-10
    assert all(b <= a for a, b in pairwise(losses))


def test_damping_follows_the_gain_ratio() -> None:
    w = leaf(1.0)
    optimizer = sciml.GaussNewton(damping=0.1)([w])
    assert isinstance(optimizer, GaussNewtonSteps)
    optimizer.step(Points(w, lambda w, z: z * w, torch.tensor([[2.0]], dtype=DOUBLE)))
    # J = 2, so the damping is 0.4: w becomes 1 - 4 / 4.4, and the linear model is exact
    assert w.item() == pytest.approx(1 - 4 / 4.4, rel=1e-13)
    assert optimizer.memory["damping"] == pytest.approx(0.1 / 3) and optimizer.memory["growth"] == 2.0
    w = leaf(3.0)  # undamped steps for arctan fly ever farther from 0
    optimizer = sciml.GaussNewton(damping=1e-6, trials=4)([w])
    closure = Points(w, lambda w, z: torch.atan(w * z), torch.ones(1, 1, dtype=DOUBLE))
    optimizer.step(closure)
    assert w.item() == 3.0 and optimizer.memory["damping"] == pytest.approx(1e-6 * 2**10) and optimizer.memory["growth"] == 32.0
    for _ in range(12):
        optimizer.step(closure)
    assert abs(w.item()) <= 1e-10


def test_damping_falls_with_the_cube_of_the_gain() -> None:
    w = leaf(1.0)
    optimizer = sciml.GaussNewton(damping=0.1, bent=False)([w])
    assert isinstance(optimizer, GaussNewtonSteps)
    optimizer.step(Points(w, lambda w, z: z * w**2, ONE))
    step = -2 / 4.4  # J = 2, damping 0.4
    ratio = (1 - (1 + step) ** 4) / (0.4 * step**2 - 2 * step)
    assert w.item() == pytest.approx(1 + step, rel=1e-13) and 1 - (2 * ratio - 1) ** 3 > 0.4
    assert optimizer.memory["damping"] == pytest.approx(0.1 * (1 - (2 * ratio - 1) ** 3), rel=1e-12)


@pytest.mark.parametrize("free", [False, True])
def test_bent_steps_follow_the_curved_path(free: bool) -> None:
    w = leaf(1.0, 0.5)

    def residual(w: Tensor, z: Tensor) -> Tensor:
        return torch.stack([w[0] ** 2 + z[0], z[1] * w[1] + w[0] * w[1]])

    z = torch.tensor([[1.0, 3.0]], dtype=DOUBLE)
    r, j = torch.tensor([2.0, 2.0], dtype=DOUBLE), torch.tensor([[2.0, 0.0], [0.5, 4.0]], dtype=DOUBLE)
    damping = 0.5 if not free else 0.5 * float((j @ (j.T @ r)).square().sum() / (j.T @ r).square().sum()) / float(j.square().sum(0).max())
    system = j.T @ j + damping * float(j.square().sum(0).max()) * torch.eye(2, dtype=DOUBLE)
    step = torch.linalg.solve(system, -j.T @ r)
    second = torch.linalg.solve(system, -j.T @ torch.stack([2 * step[0] ** 2, 2 * step[0] * step[1]]))
    assert 2 * second.norm() < 0.75 * step.norm()
    settings: dict[str, Any] = {"damping": 0.5, "solver": "cg" if free else "qr", "tolerance": 1e-14}
    for bent, expected in ((True, step + second / 2), (False, step)):
        w = leaf(1.0, 0.5)
        sciml.GaussNewton(**settings, bent=bent)([w]).step(Points(w, residual, z))
        assert torch.allclose(w.detach(), torch.tensor([1.0, 0.5], dtype=DOUBLE) + expected, atol=1e-11)


def test_small_damping_is_left_to_the_factors_of_the_jacobian() -> None:
    g = torch.Generator().manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(30, 5, generator=g, dtype=DOUBLE), full_matrices=False)
    points = u @ torch.diag(10.0 ** -torch.arange(0, 15, 3, dtype=DOUBLE)) @ v  # singular values down to 1e-12
    solution = torch.ones(5, dtype=DOUBLE)
    data = torch.cat([points, (points @ solution).unsqueeze(1)], 1)
    errors = {}
    for damping, solver in ((1e-28, "auto"), (1e-28, "qr"), (1e-9, "auto"), (1e-9, "cholesky")):
        w = torch.zeros(5, dtype=DOUBLE, requires_grad=True)
        sciml.GaussNewton(damping=damping, solver=solver, bent=False)([w]).step(Points(w, lambda w, z: (z[:5] @ w - z[5]).reshape(1), data))
        errors[damping, solver] = w.detach() - solution
    assert torch.equal(errors[1e-28, "auto"], errors[1e-28, "qr"]) and float(errors[1e-28, "qr"].norm()) <= 1e-2
    assert torch.equal(errors[1e-9, "auto"], errors[1e-9, "cholesky"]) and float(errors[1e-9, "auto"].norm()) >= 1.0


def test_gauss_newton_stays_at_a_minimum() -> None:
    w = leaf(0.0, 0.0)
    optimizer = sciml.GaussNewton()([w])
    closure = Points(w, lambda w, z: z * w + 1 - z, torch.ones(1, 2, dtype=DOUBLE))
    assert optimizer.step(closure).item() == 0.0 and w.tolist() == [0.0, 0.0] and "damping" not in optimizer.memory


# --------------------------------------------------------------------------------------------------------------------- SOAP


@pytest.mark.parametrize("largest", [4, 3])
def test_soap_is_adam_in_the_eigenbasis_of_the_first_gradient(largest: int) -> None:
    g = torch.Generator().manual_seed(2)
    target, curvature = torch.randn(4, 3, generator=g, dtype=DOUBLE), torch.rand(4, 3, generator=g, dtype=DOUBLE) + 0.5
    w = torch.zeros(4, 3, dtype=DOUBLE, requires_grad=True)

    def loss(w: Tensor) -> Tensor:
        return (curvature * (w - target) ** 2).sum()

    (first,) = torch.autograd.grad(loss(w), w)
    left, right = torch.linalg.eigh(first @ first.T).eigenvectors, torch.linalg.eigh(first.T @ first).eigenvectors
    left = left if largest == 4 else torch.eye(4, dtype=DOUBLE)  # an axis too long for a basis
    soap = sciml.SOAP(lr=0.05, betas=(0.9, 0.99), refresh=1000, largest=largest)([w])
    turned = torch.zeros(4, 3, dtype=DOUBLE, requires_grad=True)
    adam = torch.optim.Adam([turned], lr=0.05, betas=(0.9, 0.99))
    for step in range(30):
        soap.zero_grad()
        loss(w).backward()
        soap.step()
        if step > 0:  # the first step sets the bases alone
            adam.zero_grad()
            loss(left @ turned @ right.T).backward()
            adam.step()
        else:
            assert not w.detach().any()
        assert torch.allclose(w, left @ turned @ right.T, atol=1e-10)
    assert loss(w).item() < 0.3 * loss(torch.zeros_like(w)).item()


def test_soap_follows_the_eigenvectors_and_keeps_means_with_their_directions() -> None:
    g = torch.Generator().manual_seed(5)
    p = torch.zeros(5, 4, dtype=DOUBLE, requires_grad=True)
    scales = torch.tensor([0.01, 3.0, 0.3, 1.0, 0.1], dtype=DOUBLE)
    optimizer = SOAPSteps([p], {"lr": 1e-3, "betas": (0.9, 0.9), "eps": 1e-8, "weight_decay": 0.0, "refresh": 1, "largest": 100})
    for _ in range(60):
        p.grad = scales.unsqueeze(1) * torch.randn(5, 4, generator=g, dtype=DOUBLE)
        optimizer.step()
    memory = optimizer.state[p]
    for basis in memory["bases"]:
        assert torch.allclose(basis.T @ basis, torch.eye(len(basis), dtype=DOUBLE), atol=1e-12)
    turned = memory["bases"][0].T @ memory["moments"][0] @ memory["bases"][0]
    sizes = turned.diagonal()
    assert bool((sizes[:-1] >= sizes[1:]).all()) and float((turned - torch.diag(sizes)).norm()) <= 0.1 * float(turned.norm())
    rows = memory["square"].mean(1)
    assert bool((rows[:-1] > rows[1:]).all())  # the mean squares fall along with the eigenvalues


def test_soap_reorders_mean_squares_with_their_directions() -> None:
    p = torch.zeros(3, 2, dtype=DOUBLE, requires_grad=True)
    optimizer = sciml.SOAP()([p])
    assert isinstance(optimizer, SOAPSteps)
    square = torch.arange(6, dtype=DOUBLE).reshape(3, 2)
    moments = [torch.diag(torch.tensor([1.0, 3.0, 2.0], dtype=DOUBLE)), torch.diag(torch.tensor([1.0, 4.0], dtype=DOUBLE))]
    memory = {"square": square, "moments": moments, "bases": [torch.eye(3, dtype=DOUBLE), torch.eye(2, dtype=DOUBLE)]}
    optimizer._refresh(memory, [0, 1])
    assert torch.equal(memory["square"], square[[1, 2, 0]][:, [1, 0]])
    for basis, order in zip(memory["bases"], ([1, 2, 0], [1, 0]), strict=True):
        assert torch.equal(basis.abs(), torch.eye(len(order), dtype=DOUBLE)[:, order])


def test_soap_leaves_vectors_to_adam_and_decays_weights() -> None:
    v = torch.ones(3, requires_grad=True)
    optimizer = sciml.SOAP(lr=0.1, weight_decay=0.5)([v], lr=0.01)
    for _ in range(2):
        v.grad = torch.full_like(v, 2.0)
        optimizer.step()
    adam = torch.ones(3)
    for _ in range(2):
        adam = adam * (1 - 0.01 * 0.5) - 0.01
    assert torch.allclose(v.detach(), adam, atol=1e-6) and "bases" not in optimizer.state[v]


def test_soap_takes_complex_and_deeper_tensors() -> None:
    g = torch.Generator().manual_seed(0)
    target = torch.randn(3, 2, 4, generator=g, dtype=torch.complex128)
    w = torch.zeros_like(target, requires_grad=True)
    optimizer = sciml.SOAP(lr=0.05, refresh=2)([w])
    for _ in range(300):
        optimizer.zero_grad()
        loss = (w - target).abs().square().sum()
        loss.backward()
        optimizer.step()
    assert [len(q) for q in optimizer.state[w]["bases"]] == [3, 2, 4, 2] and loss.item() <= 1e-3


# ---------------------------------------------------------------------------------------------------------- through the loop


@pytest.mark.parametrize(
    ("optimizer", "epochs", "bound"),
    [
        (sciml.GaussNewton(), 100, 1e-6),
        (sciml.GaussNewton(solver="qr", bent=False), 60, 2e-4),
        (sciml.GaussNewton(solver="cg", inner=200), 40, 1e-3),
        (sciml.SSBroyden(), 20, 1e-3),
        (sciml.LBFGS(), 15, 2e-2),
        (sciml.SOAP(lr=1e-2), 400, 2e-2),
    ],
    ids=str,
)
def test_a_small_network_learns_the_sine(optimizer: Any, epochs: int, bound: float) -> None:
    model, data = network(), sine()
    history = sciml.fit(model, data, loss=Curve(), optimizer=optimizer, epochs=epochs, batch_size=60)
    assert relative_error(model) <= bound
    with torch.no_grad():
        now = (model(data.tensors[0]) - data.tensors[1]).square().mean().item()
    assert now <= history.losses[-1] * (1 + 1e-9) or isinstance(optimizer, sciml.SOAP)
    if not isinstance(optimizer, sciml.SOAP):
        assert history.lr == [1.0] * epochs and all(b <= a * (1 + 1e-12) for a, b in pairwise(history.losses))


def test_terms_with_weights_count_as_the_objective_says() -> None:
    model, objective = network(), Curve(slope=0.7)
    batch = next(iter(torch.utils.data.DataLoader(sine(), batch_size=60)))
    loss = objective.loss(model, batch, torch.Generator()).item()
    history = sciml.fit(model, sine(), loss=objective, optimizer=sciml.GaussNewton(), epochs=40, batch_size=60)
    assert history.losses[0] == pytest.approx(loss, rel=1e-6)  # the batch comes in another order
    x = torch.zeros(1, 1, dtype=DOUBLE, requires_grad=True)
    (slope,) = torch.autograd.grad(model(x).sum(), x)
    assert 1.0 < slope.item() < 2.0  # 3 by the data, 1 by the term


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_objectives_are_told_the_residuals_of_their_terms(name: str) -> None:
    class Noted(Curve):
        def observe(self, terms: Any, values: Any) -> None:
            told.append({term.name: value.detach().square().sum(1).mean().item() for term, value in zip(terms, values, strict=True)})

    told: list[dict[str, float]] = []
    model = network(4)
    x, y = sine().tensors
    expected = (model(x) - y).square().mean().item()
    history = sciml.fit(model, sine(), loss=Noted(slope=0.5), optimizer=SECOND_ORDER[name], epochs=1, batch_size=60)
    assert told[1]["value"] == pytest.approx(expected, rel=1e-12)  # the first call is the one that tries what fits
    assert history.losses[0] == pytest.approx(told[1]["value"] + 0.5 * told[1]["slope"], rel=1e-12)


@pytest.mark.parametrize("name", ["cg", "ssbroyden", "lbfgs"])
def test_neural_operators_train_with_them(name: str) -> None:
    grid = sciml.Grid((16,), (2 * math.pi,))
    torch.manual_seed(0)
    model = sciml.FNO(grid, modes=4, width=4, depth=2).double()
    g = torch.Generator().manual_seed(1)
    u = torch.randn(6, 1, 16, generator=g, dtype=DOUBLE)
    history = sciml.fit(model, (u, u.roll(3, -1)), loss=Whole(), optimizer=SECOND_ORDER[name], epochs=8, batch_size=6)
    assert history.losses[-1] < 0.35 * history.losses[0]
    assert all(b <= a * (1 + 1e-12) for a, b in pairwise(history.losses))


@pytest.mark.parametrize("name", [*SECOND_ORDER, "soap"])
def test_training_goes_on_from_a_checkpoint_to_the_last_bit(name: str, tmp_path: Path) -> None:
    optimizer = sciml.SOAP(refresh=2) if name == "soap" else SECOND_ORDER[name]
    settings: dict[str, Any] = {"loss": Curve(noise=0.01), "optimizer": optimizer, "batch_size": 30, "schedule": "constant"}
    straight, broken = network(5), network(5)
    whole = sciml.fit(straight, sine(), epochs=4, **settings)
    sciml.fit(broken, sine(), epochs=2, checkpoint=tmp_path / "run.ckpt", **settings)
    again = network(5, seed=9)
    rest = sciml.fit(again, sine(), epochs=4, checkpoint=tmp_path / "run.ckpt", resume=True, **settings)
    assert rest.losses == whole.losses
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), again.parameters(), strict=True))
    with pytest.raises(sciml.InputError, match="optimizer"):
        changed = {**settings, "optimizer": sciml.SOAP(refresh=3) if name == "soap" else sciml.GaussNewton(trials=3)}
        sciml.fit(again, sine(), epochs=6, checkpoint=tmp_path / "run.ckpt", resume=True, **changed)


def test_single_precision_serves_and_says_where_it_ends() -> None:
    model = network(8, dtype=torch.float32)

    class Single(Curve):
        def terms(self, model: nn.Module, batch: Any, generator: torch.Generator) -> list[PointTerm]:
            return [term._replace(points=term.points.float()) for term in super().terms(model, batch, generator)]

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sciml.fit(model, sine(dtype=torch.float32), loss=Single(), optimizer=sciml.GaussNewton(trials=3), epochs=120, batch_size=60)
    assert relative_error(model.double()) <= 1e-4
    told = [str(entry.message) for entry in caught if "float32" in str(entry.message)]
    assert len(told) == 1 and told[0].startswith("GaussNewton: no step with a lower loss was found")


# ----------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: sciml.GaussNewton(damping=-1.0), "damping=-1.0"),
        (lambda: sciml.GaussNewton(damping=math.nan), "damping=nan"),
        (lambda: sciml.GaussNewton(tolerance=math.inf), "tolerance=inf"),
        (lambda: sciml.GaussNewton(solver="lu"), "solver='lu'.*auto, qr, cholesky, cg"),
        (lambda: sciml.GaussNewton(trials=0), "trials=0"),
        (lambda: sciml.GaussNewton(inner=1.5), "inner=1.5"),
        (lambda: sciml.SSBroyden(iterations=0), "iterations=0"),
        (lambda: sciml.LBFGS(history=0), "history=0"),
        (lambda: sciml.SOAP(lr=0.0), "lr=0.0"),
        (lambda: sciml.SOAP(betas=(0.9, 1.0)), r"betas=\(0.9, 1.0\)"),
        (lambda: sciml.SOAP(eps=-1.0), "eps=-1.0"),
        (lambda: sciml.SOAP(weight_decay=math.inf), "weight_decay=inf"),
        (lambda: sciml.SOAP(refresh=0), "refresh=0"),
        (lambda: sciml.SOAP()([torch.zeros(2, dtype=torch.float16)]), "SOAP: parameters of torch.float16"),
        (lambda: sciml.SSBroyden()([torch.zeros(MOST + 1, dtype=DOUBLE)]), f"{MOST + 1} weights"),
        (lambda: sciml.LBFGS()([{"params": [leaf(1.0)]}, {"params": [leaf(1.0)]}]), "LBFGS: 2 groups"),
        (lambda: sciml.LBFGS()([leaf(1.0)]).step(), "LBFGS: step.. was called without a closure"),
        (lambda: sciml.GaussNewton()([leaf(1.0)]).step(lambda: leaf(1.0).sum()), "closure without residuals"),
        (lambda: sciml.GaussNewton(solver="qr")([w := leaf(1.0)]).step(Given(w, lambda w: w)), "solver='qr' needs.*solver='cg'"),
        (lambda: sciml.GaussNewton()([leaf(2.0)]).step(Points(leaf(1.0), lambda w, z: w * z, ONE)), "1 parameters that are not"),
    ],
)
def test_settings_that_cannot_work_are_refused(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(sciml.InputError, match=said):
        make()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"loss": lambda p, t: (p - t).square().mean()}, "the objective is no LeastSquares"),
        ({"lr": 0.1}, "the optimiser cannot be made .*lr"),
        ({"schedule": "cosine"}, "schedule='cosine' given with GaussNewton"),
        ({"clip": 1.0}, "clip=1.0 given with GaussNewton"),
        ({"precision": "bf16-mixed"}, "precision='bf16-mixed' given with GaussNewton"),
    ],
)
def test_fit_refuses_what_gauss_newton_cannot_use(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(sciml.InputError, match=said):
        sciml.fit(network(), sine(), **{"loss": Curve(), "optimizer": sciml.GaussNewton(), "epochs": 1, **settings})


def test_plans_know_which_optimiser_they_are_for() -> None:
    plan = Plan(1, None, 1, OneCycle(), None, None, 0, 0, 60.0)
    first, second = torch.optim.Adam([leaf(1.0)]), sciml.SSBroyden()([leaf(1.0)])
    assert for_optimizer(plan, first, None, "bf16-mixed", 4) is plan
    assert for_optimizer(plan, second, None, "full", 1).schedule == Constant()
    with pytest.raises(sciml.InputError, match="SSBroyden runs in one process, and there are 2"):
        for_optimizer(plan, second, None, "full", 2)


# ------------------------------------------------------------------------------------------------------- what is not finite


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_a_loss_that_stops_being_finite_leaves_the_last_good_weights(name: str) -> None:
    class Cliff(Curve):
        """NaN from the third step on, whatever the weights."""

        def terms(self, model: nn.Module, batch: Any, generator: torch.Generator) -> list[PointTerm]:
            (term,) = super().terms(model, batch, generator)
            bad = len(history.epochs) >= 2
            return [term._replace(function=lambda p, z: term.function(p, z) * (math.nan if bad else 1.0))]

    model, good, history = network(5), network(5), SimpleNamespace(epochs=[])

    def reached(fraction: float) -> None:
        history.epochs = [None] * round(5 * fraction)

    settings: dict[str, Any] = {"optimizer": SECOND_ORDER[name], "batch_size": 60}
    with pytest.raises(sciml.BlowUpError, match="not finite in epoch 3.*last ones with a finite loss"):
        sciml.fit(model, sine(), loss=Cliff(), epochs=5, progress=reached, **settings)
    history.epochs = []
    sciml.fit(good, sine(), loss=Curve(), epochs=2, **settings)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), good.parameters(), strict=True))


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_steps_that_would_leave_where_the_loss_is_finite_are_shortened(name: str) -> None:
    w = leaf(4.0)
    # log w: Newton's step from 4 goes to 4 - 4 log 4 < 0, where the loss is NaN
    closure = Points(w, lambda w, z: torch.log(w * z), torch.ones(1, 1, dtype=DOUBLE))
    optimizer = SECOND_ORDER[name]([w])
    for _ in range(25):
        optimizer.step(closure)
    assert w.item() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_a_gradient_that_is_not_finite_is_an_error_that_keeps_the_weights(name: str) -> None:
    w = leaf(0.0, 1.0)
    closure = Points(w, lambda w, z: torch.sqrt(w) * z, torch.ones(1, 2, dtype=DOUBLE))
    with pytest.raises(sciml.BlowUpError, match=r"not finite although the loss is; the weights are those before this step"):
        SECOND_ORDER[name]([w]).step(closure)
    assert w.tolist() == [0.0, 1.0]


def test_normal_equations_are_the_whole_product_in_any_pieces():
    torch.manual_seed(4)
    j, r = torch.randn(40, 2 * BLOCK + 30, dtype=torch.float64), torch.randn(40, dtype=torch.float64)
    j[7:20], r[7:20] = 0.0, 0.0  # a hinge that is not touched
    r[25] = 0.0  # a residual that is met, with a slope
    system = Normal(zip(j.split(13), r.split(13), strict=True))
    assert torch.allclose(system.gram, j.T @ j, rtol=1e-13, atol=1e-12)
    assert torch.allclose(system.gradient, j.T @ r, rtol=1e-13, atol=1e-12)
    assert torch.equal(system.columns, system.gram.diagonal())
