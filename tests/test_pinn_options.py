"""Every option of networks, objectives and optimisers does something: none is taken and forgotten."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import sciml
from sciml.optim import gauss_newton
from sciml.problems import burgers, heat
from sciml.surrogates.pinn.sampling import Box

F64 = torch.float64
Z = torch.rand(16, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
NETWORK: dict[str, Any] = {
    "width": 5,
    "depth": 3,
    "network": "modified",
    "activation": "sine",
    "fourier": (3, 1.0),
    "frequency": 3.0,
    "harmonics": 3,
    "state": torch.cos(2 * math.pi * torch.arange(32, dtype=F64) / 32).unsqueeze(0),
    "start": 0.02,
    "end": 0.08,
    "points": 16,
    "generator": torch.Generator().manual_seed(5),
    "dtype": torch.float32,
}


def values(kind: type[Any], **options: Any) -> Tensor:
    torch.manual_seed(0)
    small: dict[str, Any] = {"width": 4, "depth": 2, "points": 32, "end": 0.1, **({} if kind is sciml.PINN else {"path_width": 4, "path_depth": 1})}
    model = kind(burgers.li2021(viscosity=0.2), **{**small, **options})
    torch.manual_seed(1)
    for net in (model.network, *([model.path] if kind is sciml.LPINN else [])):
        torch.nn.init.normal_(net.last.weight, std=0.05)
    z = torch.stack([0.03 + 0.04 * Z[:, 0], Z[:, 1]], 1).to(model.dtype)
    found: Tensor = model.values(z).detach()
    return found


@pytest.mark.parametrize("kind", [sciml.PINN, sciml.LPINN])
@pytest.mark.parametrize("name", NETWORK)
def test_options_of_networks(kind: type[Any], name: str) -> None:
    plain, changed = values(kind), values(kind, **{name: NETWORK[name]})
    assert plain.dtype is F64 and bool(torch.isfinite(changed).all())
    assert not torch.equal(plain, changed)


@pytest.mark.parametrize(("name", "value"), [("path_width", 6), ("path_depth", 2)])
def test_options_of_paths(name: str, value: int) -> None:
    assert not torch.equal(values(sciml.LPINN), values(sciml.LPINN, **{name: value}))


def test_adaptive_slopes_start_as_fixed_ones_and_are_weights() -> None:
    assert torch.allclose(values(sciml.PINN), values(sciml.PINN, adaptive=True), atol=1e-14)
    assert sum(name.endswith("slope") for name, _ in sciml.PINN(burgers.raissi2019(), adaptive=True).named_parameters()) == 3


def test_frequencies_multiply_the_first_weights_alone() -> None:
    for network in ("mlp", "modified", "pirate"):
        weights = []
        for frequency in (1.0, 3.0):
            torch.manual_seed(0)
            weights.append(sciml.PINN(burgers.raissi2019(), width=5, depth=2, network=network, frequency=frequency).network)
        first = {id(layer.weight) for layer in weights[0].first()}
        assert first
        for a, b in zip(weights[0].parameters(), weights[1].parameters(), strict=True):
            assert torch.allclose(b, 3 * a if id(a) in first else a)


def test_a_pirate_network_starts_as_a_linear_function_of_its_features() -> None:
    torch.manual_seed(0)
    pinn = sciml.PINN(heat.dirichlet(1), width=5, depth=2, network="pirate")
    v = torch.randn(6, pinn.ansatz.width, generator=torch.Generator().manual_seed(0), dtype=F64)
    middle = (pinn.network(v[:3]) + pinn.network(v[3:])) / 2
    assert torch.allclose(pinn.network((v[:3] + v[3:]) / 2), middle, atol=1e-14)


# -- objectives and samplers ------------------------------------------------------------------------------------------


def trained(objective: sciml.PinnObjective, optimizer: Any = torch.optim.SGD, epochs: int = 5) -> Tensor:
    torch.manual_seed(0)
    pinn = sciml.PINN(heat.dirichlet(1), width=4, depth=1, bc="soft", initial="soft")
    settings: dict[str, Any] = {"lr": 1e-3} if optimizer is torch.optim.SGD else {}
    sciml.fit(pinn, loss=objective, epochs=epochs, optimizer=optimizer, schedule="constant", **settings)
    return torch.cat([p.detach().flatten() for p in pinn.parameters()])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("initial_points", 7),
        ("boundary_points", 7),
        ("weights", {"equation": 2.0}),
        ("weights", {"initial": 0.5}),
        ("balance", "ntk"),
        ("balance", "gradients"),
    ],
)
def test_options_of_the_objective(name: str, value: Any) -> None:
    plain = {"points": sciml.Sobol(20), "initial_points": 16, "boundary_points": 16}
    assert not torch.equal(trained(sciml.PinnObjective(**plain)), trained(sciml.PinnObjective(**{**plain, name: value})))


def test_how_often_weights_are_balanced() -> None:
    made = [trained(sciml.PinnObjective(points=sciml.Sobol(20), balance="ntk", balance_every=n)) for n in (2, 3, 100)]
    assert not torch.equal(made[0], made[1]) and not torch.equal(made[1], made[2])


@pytest.mark.parametrize(
    ("plain", "changed"),
    [
        (sciml.Sobol(20), sciml.Sobol(21)),
        (sciml.Sobol(20), sciml.Sobol(20, every=2)),
        (sciml.Uniform(20), sciml.Uniform(20, every=2)),
        (sciml.RAD(20, every=2), sciml.RAD(20, every=3)),
        (sciml.RAD(20, every=2), sciml.RAD(20, every=2, k=3.0)),
        (sciml.RAD(20, every=2), sciml.RAD(20, every=2, c=0.0)),
        (sciml.RAD(20, every=2), sciml.RAD(20, every=2, candidates=50)),
        (sciml.RARD(20, every=2, add=4), sciml.RARD(20, every=2, add=5)),
        (sciml.RARD(20, every=2, add=4), sciml.RARD(20, every=2, add=4, most=23)),
    ],
    ids=str,
)
def test_options_of_samplers(plain: Any, changed: Any) -> None:
    assert not torch.equal(trained(sciml.PinnObjective(points=plain)), trained(sciml.PinnObjective(points=changed)))


def test_what_samplers_do_by_default() -> None:
    """A hundredth at a time, up to twice the start, from ten candidates a point."""
    box = Box((0.0,), (1.0,))
    asked: list[int] = []

    def size(z: Tensor) -> Tensor:
        asked.append(len(z))
        return z[:, 0]

    points = sciml.RARD(250).start(box, torch.Generator().manual_seed(0))
    assert len(sciml.RARD(250).refresh(points, box, size, torch.Generator())) == 253
    assert len(sciml.RARD(250, add=400).refresh(points, box, size, torch.Generator())) == 500
    sciml.RAD(30).refresh(points, box, size, torch.Generator())
    assert asked == [2500, 2500, 300] and sciml.RAD(30).every == sciml.RARD(30).every == 100 and sciml.Sobol(30).every is None


# -- optimisers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plain", "changed", "epochs"),
    [
        (sciml.GaussNewton(), sciml.GaussNewton(damping=1.0), 2),
        (sciml.GaussNewton(), sciml.GaussNewton(bent=False), 12),
        (sciml.GaussNewton(), sciml.GaussNewton(solver="cg"), 3),
        (sciml.GaussNewton(damping=1e-9), sciml.GaussNewton(damping=1e-9, trials=1), 3),
        (sciml.GaussNewton(solver="cg"), sciml.GaussNewton(solver="cg", inner=3), 3),
        (sciml.GaussNewton(solver="cg"), sciml.GaussNewton(solver="cg", tolerance=0.5), 3),
        (sciml.SSBroyden(), sciml.SSBroyden(iterations=3), 2),
        (sciml.LBFGS(), sciml.LBFGS(iterations=3), 2),
        (sciml.LBFGS(iterations=6), sciml.LBFGS(iterations=6, history=2), 2),
        (sciml.SOAP(), sciml.SOAP(lr=1e-4), 3),
        (sciml.SOAP(), sciml.SOAP(betas=(0.5, 0.95)), 4),
        (sciml.SOAP(), sciml.SOAP(betas=(0.95, 0.5)), 4),
        (sciml.SOAP(), sciml.SOAP(eps=1.0), 3),
        (sciml.SOAP(), sciml.SOAP(weight_decay=0.1), 3),
        (sciml.SOAP(refresh=2), sciml.SOAP(refresh=50), 6),
        (sciml.SOAP(), sciml.SOAP(largest=3), 4),
    ],
    ids=str,
)
def test_options_of_optimisers(plain: Any, changed: Any, epochs: int) -> None:
    objective = {"points": sciml.Sobol(20), "initial_points": 8, "boundary_points": 8}
    a, b = (trained(sciml.PinnObjective(**objective), optimizer, epochs) for optimizer in (plain, changed))
    assert not torch.equal(a, b) and bool(torch.isfinite(b).all())


def test_networks_too_large_for_a_jacobian_are_left_to_conjugate_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = sciml.PinnObjective(points=sciml.Sobol(20), initial_points=8, boundary_points=8)
    dense, free = trained(objective, sciml.GaussNewton(), 2), trained(objective, sciml.GaussNewton(solver="cg"), 2)
    monkeypatch.setattr(gauss_newton, "DENSE", len(dense) - 1)
    assert torch.equal(trained(objective, sciml.GaussNewton(), 2), free) and not torch.equal(dense, free)
    monkeypatch.setattr(gauss_newton, "DENSE", len(dense))
    assert torch.equal(trained(objective, sciml.GaussNewton(), 2), dense)


@pytest.mark.parametrize(
    "make",
    [
        lambda: sciml.PINN(heat.dirichlet(1), widht=4),
        lambda: sciml.LPINN(burgers.raissi2019(), widht=4),
        lambda: sciml.PinnObjective(balanced="ntk"),
        lambda: sciml.RAD(10, K=2),
        lambda: sciml.GaussNewton(dampening=1.0),
        lambda: sciml.SSBroyden(method="BFGS"),
    ],
)
def test_options_that_do_not_exist_are_not_swallowed(make: Any) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        make()
