"""Points of physics-informed networks: where samplers put them, and how the terms of a loss are weighed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

import sciml
from sciml.problems import burgers, heat, poisson
from sciml.surrogates.pinn.sampling import Box, Sampler, density
from sciml.training.history import History

F64 = torch.float64
BOX = Box((0.0, -1.0), (2.0, 3.0))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def left(z: Tensor) -> Tensor:
    """A residual of 3 where x < 1, of 1 elsewhere."""
    return torch.where(z[:, 1] < 1, 3.0, 1.0)


@pytest.mark.parametrize("sampler", [sciml.Uniform(4000), sciml.Sobol(4096), sciml.RAD(4096), sciml.RARD(4096)])
def test_points_cover_the_box_evenly_at_the_start(sampler: Sampler) -> None:
    z = sampler.start(BOX, generator())
    assert z.shape == (sampler.n, 2) and z.dtype is F64
    unit = (z - torch.tensor([0.0, -1.0])) / torch.tensor([2.0, 4.0])
    assert float(unit.min()) >= 0 and float(unit.max()) <= 1
    counts = torch.histogramdd(unit, [8, 8], range=[0.0, 1.0, 0.0, 1.0])[0].flatten()
    expected = sampler.n / 64
    chi = float(((counts - expected) ** 2 / expected).sum())  # 63 degrees of freedom: 99.9 % below 104
    assert chi < 104
    assert (chi < 10) == (not isinstance(sampler, sciml.Uniform))  # sequences are far more even than chance
    assert torch.equal(sampler.start(BOX, generator()), z)
    assert not torch.equal(sampler.start(BOX, generator(1)), z)


def test_a_side_of_no_length() -> None:
    z = sciml.Sobol(16).start(Box((0.0, 1.0), (0.0, 2.0)), generator())
    assert torch.equal(z[:, 0], torch.zeros(16, dtype=F64)) and len(z[:, 1].unique()) == 16


def test_density_of_residuals() -> None:
    r = torch.tensor([0.0, 1.0, 3.0], dtype=F64)
    assert torch.allclose(density(r, 1.0, 1.0), r / (4 / 3) + 1)
    assert torch.allclose(density(r, 2.0, 0.0), r**2 / (10 / 3))
    assert torch.allclose(density(r, 0.0, 2.0), torch.full((3,), 3.0, dtype=F64))
    assert torch.allclose(density(1e-200 * r, 2.0, 0.5), density(r, 2.0, 0.5))  # no underflow
    assert torch.equal(density(torch.zeros(3, dtype=F64), 1.0, 1.0), torch.full((3,), 2.0, dtype=F64))


@pytest.mark.parametrize(
    ("k", "c", "share"),
    # half of the box has r = 3, half r = 1: the share of the former is (w3 + c)/(w3 + w1 + 2c) with w = r^k / mean
    [(1.0, 1.0, (1.5 + 1) / (2 + 2)), (2.0, 0.0, 0.9), (0.0, 2.0, 0.5), (1.0, 0.0, 0.75)],
)
def test_points_follow_the_residual(k: float, c: float, share: float) -> None:
    old = sciml.RAD(2000).start(BOX, generator())
    z = sciml.RAD(2000, k=k, c=c, candidates=40000).refresh(old, BOX, left, generator(4))
    found = float((z[:, 1] < 1).double().mean())
    assert z.shape == (2000, 2) and len(z.unique(dim=0)) == 2000
    assert abs(found - share) < 4 * (share * (1 - share) / 2000) ** 0.5 + 0.01  # little is lost to drawing without replacement


def test_defaults_are_the_published_ones() -> None:
    assert (sciml.RAD(9).k, sciml.RAD(9).c) == (1.0, 1.0)
    assert (sciml.RARD(9).k, sciml.RARD(9).c) == (2.0, 0.0)


def test_points_that_are_added() -> None:
    sampler = sciml.RARD(100, add=30, most=150, candidates=5000)
    first = sampler.start(BOX, generator())
    second = sampler.refresh(first, BOX, left, generator(1))
    third = sampler.refresh(second, BOX, left, generator(2))
    assert torch.equal(second[:100], first) and torch.equal(third[:130], second)
    assert (len(second), len(third)) == (130, 150) and sampler.refresh(third, BOX, left, generator(3)) is third
    assert float((third[100:, 1] < 1).double().mean()) > 0.75  # 0.9 expected of 50


def test_few_candidates_with_a_residual() -> None:
    def point(z: Tensor) -> Tensor:
        return (z[:, 1] > 2.95).double()

    z = sciml.RAD(200, k=1, c=0, candidates=1000).refresh(torch.empty(0, 2), BOX, point, generator())
    assert len(z) == 200 and int((z[:, 1] > 2.95).sum()) >= 5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sciml.Uniform(0), "n=0"),
        (lambda: sciml.Sobol(5, every=0), "every=0"),
        (lambda: sciml.RAD(5, k=-1.0), "k=-1.0"),
        (lambda: sciml.RAD(5, c=float("nan")), "c=nan"),
        (lambda: sciml.RAD(5, candidates=4), "candidates=4"),
        (lambda: sciml.RARD(5, add=0), "add=0"),
        (lambda: sciml.RARD(5, most=4), "most=4"),
        (lambda: sciml.PinnObjective(points=100), "points=100 given; give sciml.RAD"),
        (lambda: sciml.PinnObjective(weights={"data": -1.0}), "weight -1.0 of data"),
        (lambda: sciml.PinnObjective(balance="equal"), "balance='equal'"),
        (lambda: sciml.PinnObjective(boundary_points=0), "boundary_points=0"),
    ],
)
def test_settings_that_make_no_sense(make: Any, message: str) -> None:
    with pytest.raises(sciml.InputError, match=message):
        make()


# -- the objective ----------------------------------------------------------------------------------------------------


def pinn_of(problem: sciml.Problem | None = None, **options: Any) -> sciml.PINN:
    torch.manual_seed(0)
    return sciml.PINN(problem or burgers.raissi2019(0.05), width=6, depth=1, **options).train()


def equation_points(objective: sciml.PinnObjective, pinn: sciml.PINN) -> Tensor:
    terms = {t.name: t for t in objective.terms(pinn, None, generator())}
    return terms["equation"].points[:, : 1 + pinn.ndim]


def test_points_change_when_due_and_hang_on_seed_and_step() -> None:
    pinn, objective = pinn_of(), sciml.PinnObjective(points=sciml.RAD(50, every=3))
    seen = []
    for step in range(7):
        objective.prepare(pinn, None, step, 11)
        seen.append(equation_points(objective, pinn))
    assert torch.equal(seen[0], seen[2]) and torch.equal(seen[3], seen[5])
    assert not torch.equal(seen[2], seen[3]) and not torch.equal(seen[5], seen[6])
    other = sciml.PinnObjective(points=sciml.RAD(50, every=3))
    other.prepare(pinn, None, 0, 11)
    objective.prepare(pinn, None, 3, 11)
    other.restore({"points": {"equation": pinn.prepared(seen[2])}, "scales": {}})
    other.prepare(pinn, None, 3, 11)
    assert torch.equal(equation_points(other, pinn), seen[3])
    other.prepare(pinn, None, 0, 12)
    assert not torch.equal(equation_points(other, pinn), seen[0])
    fixed = sciml.PinnObjective(points=sciml.Sobol(50))
    fixed.prepare(pinn, None, 0, 11)
    before = equation_points(fixed, pinn)
    fixed.prepare(pinn, None, 500, 11)
    assert torch.equal(equation_points(fixed, pinn), before)


def test_points_go_where_the_residual_of_the_network_is_large() -> None:
    """A network that is off where x > 0 alone: the sampler must see its residual, not only some residual."""
    pinn, objective = pinn_of(poisson.dirichlet(1)), sciml.PinnObjective(points=sciml.RAD(400, k=2, c=0, every=1))
    pinn.ansatz.state = None
    law = replace(pinn.problem, equation=pinn.problem.equation.with_inputs({"f": lambda x: torch.where(x > 0.5, 1000.0, 0.0) + 0 * x}))
    pinn = pinn_of(law)
    objective.prepare(pinn, None, 0, 0)
    assert abs(float((equation_points(objective, pinn)[:, 1] > 0.5).double().mean()) - 0.5) < 0.05
    objective.prepare(pinn, None, 1, 0)
    assert float((equation_points(objective, pinn)[:, 1] > 0.5).double().mean()) > 0.99


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    pinn = pinn_of(bc="hard", initial="soft")
    data = next(iter([pinn.dataset((0.5, torch.tensor([0.1, 0.2], dtype=F64), torch.tensor([1.0, 2.0], dtype=F64)))[0]]))
    plain = sciml.PinnObjective(points=sciml.Sobol(16), initial_points=8)
    weighed = sciml.PinnObjective(points=sciml.Sobol(16), initial_points=8, weights={"initial": 10.0, "data": 0.5, "equation": 0.0})
    for objective in (plain, weighed):
        objective.prepare(pinn, data, 0, 0)
    loss = plain.loss(pinn, data, generator())
    parts = plain.parts()
    assert set(parts) == {"equation", "initial", "data"}
    assert loss.item() == pytest.approx(sum(parts.values()), rel=1e-12)
    z = equation_points(plain, pinn)
    assert parts["equation"] == pytest.approx(float(pinn.residual(z).square().mean()), rel=1e-9)
    u = pinn(0.5, torch.tensor([0.1, 0.2], dtype=F64))[:, 0]
    assert parts["data"] == pytest.approx(float((u - torch.tensor([1.0, 2.0])).square().mean()), rel=1e-9)
    assert float(weighed.loss(pinn, data, generator())) == pytest.approx(10 * parts["initial"] + 0.5 * parts["data"], rel=1e-9)
    assert weighed.parts()["initial"] == pytest.approx(parts["initial"]) and weighed.parts()["equation"] != weighed.parts()["equation"]  # unknown
    assert float(plain.loss(pinn.eval(), data, generator())) == pytest.approx(parts["data"], rel=1e-9)  # validation: observations alone


def test_unknown_terms_and_other_models_are_refused() -> None:
    with pytest.raises(sciml.InputError, match=r"weight for boundary given; the terms here are data, equation"):
        sciml.PinnObjective(weights={"boundary": 1.0}).prepare(pinn_of(), None, 0, 0)
    with pytest.raises(sciml.InputError, match="trains a sciml.PINN"):
        sciml.PinnObjective().loss(torch.nn.Linear(1, 1), None, generator())


@pytest.mark.parametrize("balance", ["gradients", "ntk"])
def test_balanced_weights_move_and_equalise(balance: str) -> None:
    pinn = pinn_of(initial="soft")
    objective = sciml.PinnObjective(points=sciml.Sobol(64), initial_points=32, balance=balance, balance_every=2)
    objective.prepare(pinn, None, 0, 0)
    start = {k: v for k, v in objective.parts().items() if k.startswith("weight.")}
    assert set(start) == {"weight.equation", "weight.initial"} and min(start.values()) > 1
    measure = _gradients if balance == "gradients" else _traces
    sizes = measure(objective, pinn)
    ratio = sizes["equation"] / sizes["initial"]
    assert start["weight.initial"] / start["weight.equation"] == pytest.approx(ratio, rel=0.2 if balance == "ntk" else 0.5)
    with torch.no_grad():
        for p in pinn.parameters():
            p.mul_(1.7)
    objective.prepare(pinn, None, 1, 0)
    assert {k: objective.parts()[k] for k in start} == start  # not due
    objective.prepare(pinn, None, 2, 0)
    moved = objective.parts()
    fresh = sciml.PinnObjective(points=sciml.Sobol(64), initial_points=32, balance=balance)
    fresh.prepare(pinn, None, 0, 0)
    for name, old in start.items():
        assert moved[name] == pytest.approx(0.9 * old + 0.1 * fresh.parts()[name], rel=1e-6) and moved[name] != old
    loss = objective.loss(pinn, None, generator())
    parts = objective.parts()
    assert loss.item() == pytest.approx(sum(parts[f"weight.{k}"] * parts[k] for k in ("equation", "initial")), rel=1e-9)


def _gradients(objective: sciml.PinnObjective, pinn: sciml.PINN) -> dict[str, float]:
    found = {}
    for term in sciml.PinnObjective(objective.points, objective.initial_points).terms(pinn, None, generator()):
        r = torch.func.vmap(term.function, in_dims=(None, 0))(dict(pinn.named_parameters()), term.points)
        g = torch.autograd.grad(r.square().mean(), list(pinn.parameters()))
        found[term.name] = float(torch.cat([p.flatten() for p in g]).norm())
    return found


def _traces(objective: sciml.PinnObjective, pinn: sciml.PINN) -> dict[str, float]:
    found = {}
    for term in sciml.PinnObjective(objective.points, objective.initial_points).terms(pinn, None, generator()):
        total = 0.0
        for z in term.points:
            g = torch.autograd.grad(term.function(dict(pinn.named_parameters()), z).sum(), list(pinn.parameters()), allow_unused=True)
            total += sum(float(p.square().sum()) for p in g if p is not None)
        found[term.name] = total / len(term.points)
    return found


# -- points of soft conditions ----------------------------------------------------------------------------------------


def moving_walls() -> sciml.Problem:
    """A value on one face and a slope on the other, both of time."""
    domain = sciml.Domain.box(0.0, 2.0, sciml.Dirichlet(lambda t: 1.0 + t**2), sciml.Neumann(lambda t: 3.0 * t))
    return replace(heat.periodic(1), name="heat:own", domain=domain, initial=sciml.Profile(torch.cos), exact=None)


@pytest.mark.parametrize("sampler", [sciml.RAD(20, every=3), sciml.Sobol(20, every=3), sciml.Uniform(20, every=3), sciml.RARD(20, every=3, add=5)])
def test_points_of_soft_conditions_are_new_where_all_points_are(sampler: Sampler) -> None:
    pinn = pinn_of(moving_walls(), bc="soft", initial="soft")
    objective = sciml.PinnObjective(points=sampler, initial_points=16, boundary_points=8)
    seen: list[dict[str, Tensor]] = []
    for step in range(5):
        objective.prepare(pinn, None, step, 4)
        seen.append({t.name: t.points for t in objective.terms(pinn, None, generator())})
    for name in ("initial", "boundary", "slope.x"):
        assert torch.equal(seen[0][name], seen[2][name]) and torch.equal(seen[3][name], seen[4][name])
        assert torch.equal(seen[2][name], seen[3][name]) == isinstance(sampler, sciml.RARD)  # which keeps its points
        assert seen[3][name].shape == seen[0][name].shape
    for rows in (seen[0], seen[4]):
        t, x, u = rows["boundary"].unbind(1)
        assert torch.equal(x, torch.zeros_like(x)) and torch.allclose(u, 1 + t**2, atol=1e-14)
        t, x, g = rows["slope.x"].unbind(1)
        assert torch.equal(x, torch.full_like(x, 2.0)) and torch.allclose(g, 3 * t, atol=1e-14)
        t, x, u = rows["initial"].unbind(1)
        assert not t.any() and torch.equal(u, torch.cos(x)) and float(x.min()) < 0.3 and float(x.max()) > 1.7
    again = sciml.PinnObjective(points=sampler, initial_points=16, boundary_points=8)
    for step in range(5):
        again.prepare(pinn, None, step, 4)
    assert all(torch.equal(t.points, seen[4][t.name]) for t in again.terms(pinn, None, generator()))
    again.prepare(pinn, None, 0, 5)
    assert not torch.equal({t.name: t.points for t in again.terms(pinn, None, generator())}["boundary"], seen[0]["boundary"])


def test_a_training_with_soft_conditions_goes_on_from_its_checkpoint_to_the_last_bit(tmp_path: Path) -> None:
    def objective() -> sciml.PinnObjective:
        return sciml.PinnObjective(points=sciml.RAD(20, every=2), initial_points=8, boundary_points=8, balance="ntk", balance_every=3)

    def pinn() -> sciml.PINN:
        return pinn_of(moving_walls(), bc="soft", initial="soft")

    settings: dict[str, Any] = {"optimizer": torch.optim.Adam, "lr": 1e-2, "schedule": "constant", "seed": 7}
    whole, again, place = pinn(), pinn(), tmp_path / "run.pt"
    history = sciml.fit(whole, loss=objective(), epochs=9, **settings)
    sciml.fit(pinn(), loss=objective(), epochs=5, checkpoint=place, **settings)
    resumed = sciml.fit(again, loss=objective(), epochs=9, checkpoint=place, resume=True, **settings)
    assert resumed.losses == history.losses and resumed.parts == history.parts
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_soft_conditions_hold_after_a_training() -> None:
    pinn = pinn_of(moving_walls(), bc="soft", initial="soft")
    weights = {"boundary": 10.0, "slope.x": 10.0}
    objective = sciml.PinnObjective(points=sciml.Sobol(60, every=10), initial_points=32, boundary_points=16, weights=weights)
    history = sciml.fit(pinn, loss=objective, epochs=25, optimizer=sciml.GaussNewton())
    assert set(history.parts) == {"equation", "initial", "boundary", "slope.x"}
    t = torch.linspace(0.05, 1, 7, dtype=F64)
    assert torch.allclose(pinn(t, 0.0)[:, 0], 1 + t**2, atol=0.05)
    x = torch.full_like(t, 2.0).requires_grad_()
    (slope,) = torch.autograd.grad(pinn(t, x).sum(), x)
    assert torch.allclose(slope, 3 * t, atol=0.2)


# -- pictures ---------------------------------------------------------------------------------------------------------


def lines_of(history: History, path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The panels of the picture that a history draws."""
    figures: list[Any] = []

    class Kept(Figure):
        def savefig(self, *args: Any, **kwargs: Any) -> None:
            figures.append(self)
            super().savefig(*args, **kwargs)

    monkeypatch.setattr("matplotlib.figure.Figure", Kept)
    history.plot(path)
    assert path.read_bytes()[:4] == b"\x89PNG"
    return list(figures[0].axes)


def test_pictures_show_every_term_and_every_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinn = pinn_of(moving_walls(), bc="soft", initial="soft")
    objective = sciml.PinnObjective(points=sciml.Sobol(16), initial_points=8, boundary_points=8, balance="ntk", balance_every=2)
    history = sciml.fit(pinn, loss=objective, epochs=5, optimizer=torch.optim.Adam)
    above, below = lines_of(history, tmp_path / "terms.png", monkeypatch)
    terms = ["equation", "initial", "boundary", "slope.x"]
    drawn = {line.get_label(): line for line in above.lines}
    assert list(drawn) == ["training", *terms]
    assert list(drawn["training"].get_ydata()) == history.losses and drawn["training"].get_color() == "#0072B2"
    found = {line.get_label(): line for line in below.lines}
    assert list(found) == terms
    for name in terms:
        assert list(drawn[name].get_ydata()) == history.parts[name]
        assert list(found[name].get_ydata()) == history.parts[f"weight.{name}"]
        assert found[name].get_linestyle() == "--" and drawn[name].get_linestyle() == "-" and found[name].get_color() == drawn[name].get_color()
    assert len({line.get_color() for line in above.lines}) == 5
    for panel in (above, below):  # the legend stands beside the lines, not on them
        panel.figure.draw_without_rendering()
        box = panel.get_legend().get_window_extent()
        assert box.x0 >= panel.get_window_extent().x1 and box.x1 <= panel.figure.bbox.x1 + 1
        assert panel.get_yscale() == "log"
    history.write(tmp_path / "terms.csv")
    header, *rows = (tmp_path / "terms.csv").read_text().splitlines()
    assert header.split(",")[6:] == [*terms, *(f"weight.{name}" for name in terms)] and len(rows) == 5
    assert [float(v) for v in rows[3].split(",")[6:]] == [v[3] for v in history.parts.values()]


def test_a_single_term_is_the_loss_and_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = sciml.fit(pinn_of(), loss=sciml.PinnObjective(sciml.Sobol(8)), epochs=3, optimizer=sciml.GaussNewton())
    alone = History([replace(row, parts={"equation": row.loss}) for row in history.epochs], "epochs")
    (panel,) = lines_of(alone, tmp_path / "one.png", monkeypatch)
    assert [line.get_label() for line in panel.lines] == ["training"]


def test_every_soft_face_has_its_points() -> None:
    faces = (sciml.Dirichlet(1.0), sciml.Dirichlet(lambda t: 2.0 + t), sciml.Neumann(3.0), sciml.Neumann(lambda t: 4.0 + t))
    box = sciml.Domain.box((0.0, 0.0), (1.0, 3.0), *faces)
    problem = replace(heat.periodic(2), name="heat:own", domain=box, initial=sciml.Profile(lambda x, y: x + y), exact=None)
    pinn, objective = pinn_of(problem, bc="soft"), sciml.PinnObjective(points=sciml.Sobol(8, every=1), boundary_points=6)
    for step in range(2):
        objective.prepare(pinn, None, step, 0)
        rows = {t.name: t.points for t in objective.terms(pinn, None, generator())}
        assert set(rows) == {"equation", "boundary", "slope.y"} and all(len(rows[name]) == 12 for name in ("boundary", "slope.y"))
        t, x, y, u = rows["boundary"].unbind(1)
        assert torch.equal(x, torch.tensor([0.0] * 6 + [1.0] * 6, dtype=F64)) and torch.allclose(u, torch.where(x == 0, 1.0, 2 + t))
        assert 0 < float(y.min()) < float(y.max()) < 3
        t, x, y, g = rows["slope.y"].unbind(1)
        assert torch.equal(y, torch.tensor([0.0] * 6 + [3.0] * 6, dtype=F64)) and torch.allclose(g, torch.where(y == 0, 3.0, 4 + t))
