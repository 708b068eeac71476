"""The optimisers on neural operators and on physics-informed networks of every kind: one interface, and the loss falls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sciml
from sciml.optim.base import SecondOrder
from sciml.problems import burgers, heat
from sciml.training.plan import Plan, for_optimizer
from sciml.training.schedules import OneCycle

F64 = torch.float64
# by what the loss falls at least in so many epochs, for every model below
CASES: dict[str, tuple[Any, int, dict[str, float]]] = {
    "gauss_newton": (sciml.GaussNewton(), 10, {"fno": 1e4, "deeponet": 8.0, "transolver": 15.0, "pinn": 40.0, "lpinn": 20.0}),
    "ssbroyden": (sciml.SSBroyden(), 8, {"fno": 1e6, "deeponet": 1e5, "transolver": 1e3, "pinn": 1e4, "lpinn": 50.0}),
    "lbfgs": (sciml.LBFGS(), 8, {"fno": 1e4, "deeponet": 1e3, "transolver": 20.0, "pinn": 1e3, "lpinn": 10.0}),
    "soap": (sciml.SOAP(lr=1e-2, refresh=2), 100, {"fno": 10.0, "deeponet": 2.0, "transolver": 4.0, "pinn": 1.5, "lpinn": 2.5}),
}


def model_of(name: str) -> Any:
    torch.manual_seed(0)
    grid = sciml.Grid((16,), (2 * math.pi,))
    if name == "fno":
        return sciml.FNO(grid, modes=4, width=4, depth=2)
    if name == "transolver":
        return sciml.Transolver(grid, width=4, depth=1, heads=1, slices=2)
    return sciml.DeepONet(grid, width=8, depth=2, basis=6)


def waves(count: int = 8) -> tuple[Tensor, Tensor]:
    """Sums of two waves, and what the heat equation makes of them."""
    a = torch.randn(count, 2, 1, generator=torch.Generator().manual_seed(1), dtype=F64)
    x = torch.arange(16, dtype=F64) * (2 * math.pi / 16)
    k = torch.tensor([1.0, 2.0], dtype=F64).unsqueeze(1)
    modes = torch.stack([torch.sin(x), torch.cos(2 * x)])
    return (a * modes).sum(1, keepdim=True), (a * torch.exp(-0.3 * k**2) * modes).sum(1, keepdim=True)


@pytest.mark.parametrize("model", ["fno", "deeponet", "transolver"])
@pytest.mark.parametrize("name", CASES)
def test_operators_train_with_every_optimiser(name: str, model: str) -> None:
    optimizer, epochs, factors = CASES[name]
    net, (u, target) = model_of(model), waves()
    before = [p.detach().clone() for p in net.parameters()]
    history = sciml.fit(net, (u, target), loss=sciml.SquaredError(), optimizer=optimizer, epochs=epochs, batch_size=8)
    assert history.optimizer.lower() == name.replace("_", "")
    with torch.no_grad():
        true = ((net(u) - target).square().sum((1, 2)) / target.square().sum((1, 2))).mean().item()
    assert true < history.losses[0] / factors[model]
    assert all(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True) if b.numel() > 1)
    if isinstance(optimizer([torch.zeros(1, dtype=F64, requires_grad=True)]), SecondOrder):
        assert all(b <= a * (1 + 1e-12) for a, b in pairwise(history.losses))


def test_steps_of_gauss_newton_on_an_operator_are_those_of_the_dense_system() -> None:
    """Conjugate gradients without a Jacobian against the Jacobian itself, for the same damping."""
    net, (u, target) = model_of("deeponet"), waves(4)
    flat = torch.cat([p.detach().flatten() for p in net.parameters()])
    names = [name for name, _ in net.named_parameters()]
    sizes = [p.shape for p in net.parameters()]

    def residual(vector: Tensor) -> Tensor:
        parts = vector.split([math.prod(s) for s in sizes])
        weights = {name: part.view(s) for name, part, s in zip(names, parts, sizes, strict=True)}
        out = torch.func.functional_call(net, weights, (u,))
        size = target.square().mean((1, 2), keepdim=True).sqrt()
        return ((out - target) / size).flatten() / math.sqrt(target.numel())

    j, r = torch.func.jacrev(residual)(flat), residual(flat).detach()
    gradient = j.T @ r
    scale = float((j @ gradient).square().sum() / gradient.square().sum())
    step = torch.linalg.solve(j.T @ j + 1e-2 * scale * torch.eye(len(flat), dtype=F64), -gradient)
    optimizer = sciml.GaussNewton(damping=1e-2, bent=False, inner=2000, tolerance=1e-12)
    sciml.fit(net, (u, target), loss=sciml.SquaredError(), epochs=1, batch_size=4, optimizer=optimizer)
    moved = torch.cat([p.detach().flatten() for p in net.parameters()]) - flat
    assert float((moved - step).norm()) < 1e-6 * float(step.norm()) > 0


def test_squared_errors_are_what_they_say() -> None:
    model = nn.Linear(3, 3, bias=False).double()
    u = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    target = torch.cat([u[:3] * 2, torch.zeros(1, 3, dtype=F64)])
    p = model(u).detach()
    size = target.square().sum(1)
    size[3] = 3.0
    generator = torch.Generator()
    assert sciml.SquaredError().loss(model, (u, target), generator).item() == pytest.approx(float(((p - target).square().sum(1) / size).mean()))
    assert sciml.SquaredError(relative=False).loss(model, (u, target), generator).item() == pytest.approx(float((p - target).square().mean()))
    several = torch.stack([target, 3 * target], 1)
    rolled = torch.stack([p, model(p).detach()], 1)
    expected = (rolled - several).square().mean()
    assert sciml.SquaredError(relative=False).loss(model, (u, several), generator).item() == pytest.approx(float(expected))
    with pytest.raises(sciml.InputError, match=r"SquaredError: a prediction of shape \(4, 3\) and a target of shape \(4, 2\)"):
        sciml.SquaredError().loss(model, (u, target[:, :2]), generator)


def test_a_loss_that_is_no_mean_square_names_the_one_to_give() -> None:
    with pytest.raises(sciml.InputError, match=r"no LeastSquares; give loss=sciml.SquaredError\(\)"):
        sciml.fit(model_of("fno"), waves(), optimizer=sciml.GaussNewton(), epochs=1)


def test_lbfgs_of_torch_is_for_one_process() -> None:
    plan = Plan(1, None, 1, OneCycle(), None, None, 0, 0, 60.0)
    made = torch.optim.LBFGS([torch.zeros(2, requires_grad=True)])
    assert for_optimizer(plan, made, None, "full", 1) is plan
    with pytest.raises(sciml.InputError, match=r"torch.optim.LBFGS runs in one process, and there are 3; start one, or use Adam or sciml.SOAP"):
        for_optimizer(plan, made, None, "full", 3)
    for first in (torch.optim.Adam, sciml.SOAP()):
        assert for_optimizer(plan, first([torch.zeros(2, requires_grad=True)]), None, "full", 3) is plan


@pytest.mark.parametrize("kind", ["pinn", "lpinn"])
@pytest.mark.parametrize("name", CASES)
def test_physics_informed_networks_train_with_every_optimiser(kind: str, name: str) -> None:
    torch.manual_seed(0)
    model: Any = (
        sciml.PINN(heat.dirichlet(1), width=8, depth=2)
        if kind == "pinn"
        else sciml.LPINN(burgers.li2021(viscosity=0.1), width=6, depth=1, path_width=6, path_depth=1, end=0.1, points=16)
    )
    optimizer, epochs, factors = CASES[name]
    history = sciml.fit(model, loss=sciml.PinnObjective(sciml.Sobol(60)), optimizer=optimizer, epochs=epochs)
    assert history.losses[-1] < history.losses[0] / factors[kind]


# -- what is not finite -------------------------------------------------------------------------------------------------


class Broken(sciml.PinnObjective):
    """Residuals that are not finite from the fourth step on."""

    def prepare(self, model: nn.Module, batch: Any, step: int, seed: int) -> None:
        self.__dict__["late"] = step >= 3
        super().prepare(model, batch, step, seed)

    def _residual(self, pinn: Any, name: str) -> Any:
        inner, factor = super()._residual(pinn, name), math.nan if self.__dict__.get("late") else 1.0

        def residual(parameters: Mapping[str, Tensor], z: Tensor) -> Tensor:
            return factor * inner(parameters, z)

        return residual


@pytest.mark.parametrize(
    "optimizer",
    [partial(torch.optim.Adam, lr=1e-2), sciml.SSBroyden(iterations=3), sciml.GaussNewton(), sciml.LBFGS(iterations=3), sciml.SOAP()],
    ids=["adam", "ssbroyden", "gauss_newton", "lbfgs", "soap"],
)
def test_a_residual_that_stops_being_finite_leaves_the_last_good_weights(optimizer: Any, tmp_path: Path) -> None:
    def pinn() -> sciml.PINN:
        torch.manual_seed(0)
        return sciml.PINN(heat.dirichlet(1), width=6, depth=1)

    settings: dict[str, Any] = {"optimizer": optimizer, "schedule": "constant"}
    model, good = pinn(), pinn()
    with pytest.raises(sciml.BlowUpError, match=r"not finite in epoch 4.*has the weights from before step 3, the latest with a finite loss"):
        sciml.fit(model, loss=Broken(sciml.Sobol(30)), epochs=6, log=tmp_path / "log.csv", **settings)
    sciml.fit(good, loss=sciml.PinnObjective(sciml.Sobol(30)), epochs=2, **settings)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), good.parameters(), strict=True))
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 4  # three good epochs are on record
