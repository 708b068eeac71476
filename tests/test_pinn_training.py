"""Training of physics-informed networks: accuracy, inverse problems, windows, files, interruptions and what goes wrong."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from broken_optimizer import Poison
from torch import Tensor, nn

import sciml
from sciml.problems import advection, burgers, heat, navier_stokes, poisson
from sciml.surrogates.pinn.march import EndState, end_state
from sciml.surrogates.pinn.states import BandLimited
from sciml.training.staged import SelfTaught, Staged

F64 = torch.float64
LBFGS = partial(torch.optim.LBFGS, line_search_fn="strong_wolfe", max_iter=40, tolerance_grad=0.0, tolerance_change=0.0)


def error_of(solution: Any, problem: sciml.Problem, times: list[float]) -> float:
    grid = problem.grid(tuple(min(n, 64) for n in problem.points))
    u = solution.field(grid, times) if not problem.steady else solution.field(grid).unsqueeze(0)
    truth = torch.stack([problem.exact_state(grid, t) for t in times])
    return float((u - truth).norm() / truth.norm())


def simple(diffusivity: Any = 0.1) -> sciml.Problem:
    """One decaying wave."""

    def exact(t: Any, x: Tensor) -> Tensor:
        return torch.exp(-0.1 * torch.as_tensor(t, dtype=x.dtype) * (2 * math.pi) ** 2) * torch.sin(2 * math.pi * x)

    law = heat.Heat(diffusivity)
    domain = sciml.Domain.periodic(1.0)
    return sciml.Problem("heat:one", law, domain, sciml.Profile(lambda x: torch.sin(2 * math.pi * x)), 0.5, (32,), exact=exact)


def pinn_of(problem: sciml.Problem | None = None, **options: Any) -> sciml.PINN:
    torch.manual_seed(0)
    return sciml.PINN(problem or simple(), **{"width": 10, "depth": 2, **options})


def points(n: int = 100, **options: Any) -> sciml.PinnObjective:
    return sciml.PinnObjective(points=sciml.Sobol(n), **options)


@pytest.mark.parametrize(
    ("problem", "options", "bound"),
    [
        (simple(), {}, 2e-5),
        (heat.dirichlet(1), {}, 1e-4),
        (poisson.neumann(1), {}, 1e-5),
        (burgers.raissi2019(0.1), {}, 2e-3),
    ],
    ids=["heat", "heat in a box", "poisson between closed walls", "burgers"],
)
def test_small_networks_reach_their_accuracy(problem: sciml.Problem, options: dict[str, Any], bound: float) -> None:
    pinn = pinn_of(problem, **options)
    times = [0.0] if problem.steady else [0.0, problem.horizon / 2, problem.horizon]
    before = error_of(pinn, problem, times)
    history = sciml.fit(pinn, loss=points(200), epochs=50, optimizer=sciml.GaussNewton())
    assert error_of(pinn, problem, times) < bound < before / 5
    assert history.parts["equation"] == pytest.approx(history.losses, rel=1e-9)


def test_adam_and_the_default_objective() -> None:
    pinn = pinn_of()
    before = error_of(pinn, simple(), [0.5])
    history = sciml.fit(pinn, epochs=60, optimizer=torch.optim.Adam, lr=1e-2, seed=3)
    assert len(history.epochs) == history.epochs[-1].steps == 60  # an epoch is a step
    assert error_of(pinn, simple(), [0.5]) < before / 3 and not pinn.training
    assert isinstance(pinn, SelfTaught) and isinstance(pinn.objective(), Staged)


def test_a_vorticity_equation_learns_its_streamfunction() -> None:
    problem = replace(navier_stokes.taylor_green(0.1), horizon=0.5)
    pinn = pinn_of(problem, points=16, width=12)
    history = sciml.fit(pinn, loss=points(150), epochs=15, optimizer=sciml.GaussNewton())
    assert history.losses[-1] < 1e-4 * history.losses[0]
    assert error_of(pinn, problem, [0.25, 0.5]) < 0.06


def test_gauss_newton_takes_the_terms_as_they_are() -> None:
    pinn = pinn_of(initial="soft")
    history = sciml.fit(pinn, loss=points(80, initial_points=40), epochs=25, optimizer=sciml.GaussNewton())
    assert error_of(pinn, simple(), [0.0, 0.5]) < 1e-4
    assert set(history.parts) == {"equation", "initial"}
    assert history.losses == pytest.approx([a + b for a, b in zip(*history.parts.values(), strict=True)], rel=1e-6)


# -- inverse problems --------------------------------------------------------------------------------------------------


def observations(n: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    t, x = 0.5 * torch.rand(n, generator=generator, dtype=F64), torch.rand(n, generator=generator, dtype=F64)
    return t, x, torch.exp(-0.1 * (2 * math.pi) ** 2 * t) * torch.sin(2 * math.pi * x)


def test_a_coefficient_is_found_with_the_solution() -> None:
    kappa = nn.Parameter(torch.tensor(0.3))
    pinn = pinn_of(simple(kappa))
    assert dict(pinn.named_parameters())["equation.kappa"] is kappa and kappa.dtype is F64
    history = sciml.fit(pinn, observations(), loss=points(), epochs=10, optimizer=LBFGS, schedule="constant")
    assert kappa.item() == pytest.approx(0.1, abs=2e-4)
    assert set(history.parts) == {"equation", "data"} and history.parts["data"][-1] < 1e-6


def test_without_observations_a_coefficient_that_is_fixed_stays() -> None:
    kappa = nn.Parameter(torch.tensor(0.3), requires_grad=False)
    pinn = pinn_of(simple(kappa))
    sciml.fit(pinn, loss=points(20), epochs=2, optimizer=torch.optim.Adam)
    assert kappa.item() == pytest.approx(0.3)


def test_coefficients_in_tuples_are_parameters_too() -> None:
    speed = nn.Parameter(torch.tensor(1.0, dtype=F64))
    waves = advection.waves(2)
    pinn = pinn_of(replace(waves, equation=advection.AdvectionDiffusion((speed, -0.5), 0.02)))
    assert any(p is speed for p in pinn.parameters())
    z = torch.rand(4, 3, dtype=F64)
    before = pinn.residual_prepared(pinn.prepared(z)).detach()
    with torch.no_grad():
        speed.add_(1.0)
    assert float((pinn.residual_prepared(pinn.prepared(z)) - before).detach().abs().max()) > 1e-2
    (g,) = torch.autograd.grad(points(20).loss(pinn.train(), None, torch.Generator()), [speed])
    assert float(g.abs()) > 0


def test_validation_is_the_misfit_of_observations() -> None:
    pinn = pinn_of()
    history = sciml.fit(pinn, validation=observations(), loss=points(50), epochs=3, optimizer=LBFGS, schedule="constant")
    t, x, u = observations()
    assert history.validation[-1] == pytest.approx(float((pinn(t, x)[:, 0] - u).detach().square().mean()), rel=1e-9)
    assert set(history.parts) == {"equation"}


def test_observed_fields_by_name() -> None:
    def start(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack(navier_stokes.taylor_green_flow(0.0, x, y, 0.1))

    equation = navier_stokes.VelocityPressure(0.1)
    domain = sciml.Domain.periodic((2 * math.pi, 2 * math.pi))
    problem = sciml.Problem("navier_stokes:own", equation, domain, sciml.Profile(start), 1.0, (8, 8))
    pinn = pinn_of(problem).train()
    z = torch.rand(5, 3, dtype=F64)
    table: Any = pinn.dataset((*z.unbind(1), {"v": torch.arange(5.0)}))[0]
    objective = points(8)
    objective.prepare(pinn, table, 0, 0)
    objective.loss(pinn, table, torch.Generator())
    parts = objective.parts()
    assert set(parts) == {f"{term}.{f}" for term in ("equation", "data") for f in "uvp"}
    v = pinn(*z.unbind(1))[:, 1].detach()
    assert parts["data.v"] == pytest.approx(float((v - torch.arange(5.0)).square().mean())) and parts["data.u"] == parts["data.p"] == 0
    r = pinn.residual(objective.terms(pinn, None, torch.Generator())[0].points[:, :3]).detach()
    assert [parts[f"equation.{f}"] for f in "uvp"] == pytest.approx(r.square().mean(0).tolist(), rel=1e-9)
    heavy = points(8, weights={"equation": 2.0, "equation.p": 5.0})
    heavy.prepare(pinn, None, 0, 0)
    expected = 2 * parts["equation.u"] + 2 * parts["equation.v"] + 5 * parts["equation.p"]
    assert float(heavy.loss(pinn, None, torch.Generator()).detach()) == pytest.approx(expected, rel=1e-9)


def test_observations_may_come_as_a_table() -> None:
    pinn = pinn_of()
    t, x = torch.linspace(0, 0.5, 3, dtype=F64), torch.linspace(0, 1, 4, dtype=F64)
    u = torch.arange(12.0, dtype=F64).reshape(3, 4)
    table: Any = pinn.dataset((t[:, None], x, u))[0]
    assert torch.equal(table[:, 2], torch.arange(12.0, dtype=F64)) and torch.equal(table[5, :2], torch.stack([t[1], x[1]]))
    columns: Any = pinn.dataset((t[:, None], 0.5, u[:, :1]))[0]
    assert torch.equal(columns[:, 2], u[:, 0]) and torch.equal(columns[:, 1], torch.full((3,), 0.5, dtype=F64))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((torch.zeros(2), torch.zeros(2)), r"2 entries given to a PINN of heat:one; \(t, x, u\)"),
        ("file.nc", "a str given"),
        ((torch.zeros(2), torch.zeros(2), torch.zeros(3)), r"shape \(3,\) given at points of shape \(2,\)"),
        ((torch.zeros(2), torch.zeros(2), torch.tensor([1.0, math.nan])), "observation 1 of the data is not finite"),
        ((torch.tensor([0.0, 2.0]), torch.zeros(2), torch.zeros(2)), "reach from t=0 to 2"),
        ((torch.zeros(2), torch.zeros(2), {"v": torch.zeros(2)}), "data of v given; the fields are u"),
        ((torch.zeros(2), torch.zeros(2), {"u": torch.zeros(3)}), "observed values of u have shape"),
        ((torch.zeros(0), torch.zeros(0), torch.zeros(0)), "no observation"),
    ],
)
def test_observations_that_do_not_fit(data: Any, message: str) -> None:
    with pytest.raises(sciml.InputError, match=message):
        sciml.fit(pinn_of(), data, epochs=1)


def test_observations_outside_of_a_box() -> None:
    with pytest.raises(sciml.InputError, match="reach from x=0 to 2"):
        sciml.fit(pinn_of(heat.dirichlet(1)), (0.1, torch.tensor([0.0, 2.0]), torch.zeros(2)), epochs=1)
    pinn_of().dataset((0.1, torch.tensor([7.0]).expand(2), torch.zeros(2)))  # a periodic axis has no end


# -- windows -----------------------------------------------------------------------------------------------------------


def test_windows_are_continuous_and_reach_the_end() -> None:
    problem = burgers.raissi2019(0.1)
    marched = sciml.march_pinn(problem, 3, options={"width": 8, "depth": 2}, loss=points(60), epochs=10, optimizer=sciml.GaussNewton(), seed=1)
    assert [w.start for w in marched.pinns] == pytest.approx([0.0, 1 / 3, 2 / 3])
    assert [w.end for w in marched.pinns] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert isinstance(marched.pinns[1].ansatz.state, BandLimited)  # not the network before, which would cost more with every window
    x = torch.linspace(-1, 1, 33, dtype=F64)
    for t in (1 / 3, 2 / 3):
        assert torch.allclose(marched(t - 1e-9, x), marched(t + 1e-9, x), atol=1e-7)
    assert error_of(marched, problem, [0.1, 0.5, 1.0]) < 5e-3
    grid = problem.grid(16)
    assert torch.allclose(marched.field(grid, [0.2, 0.9])[1, 0], marched(0.9, grid.axes()[0])[:, 0])
    assert len(marched.histories) == 3 and isinstance(marched, sciml.Solution)


def test_windows_in_a_box_start_from_the_network_before() -> None:
    first = pinn_of(heat.dirichlet(1), end=0.5)
    state = end_state(first)
    assert isinstance(state, EndState)
    second = pinn_of(heat.dirichlet(1), start=0.5, end=1.0, state=state)
    x = torch.linspace(0, 1, 9, dtype=F64)
    assert torch.equal(second(0.5, x), first(0.5, x))
    assert not any(p.requires_grad for p in second.ansatz.parameters()) and all(p.requires_grad for p in second.network.parameters())
    z = torch.stack([0.5 + 0.5 * x, x], 1)
    assert torch.allclose(second.residual_prepared(second.prepared(z)), second.residual(z), rtol=1e-9, atol=1e-9)


def test_windows_in_single_precision() -> None:
    options = {"width": 4, "depth": 1, "dtype": torch.float32}
    for problem in (heat.dirichlet(1), simple()):
        marched = sciml.march_pinn(problem, 2, options=options, loss=points(10), epochs=1, optimizer=torch.optim.Adam)
        assert {p.dtype for p in marched.parameters()} == {torch.float32}
        x, middle = torch.linspace(0, 1, 5), problem.horizon / 2
        assert torch.allclose(marched(middle, x), marched.pinns[1](middle, x), atol=1e-5)


def test_random_states_have_a_checkpoint_each(tmp_path: Path) -> None:
    def draw(seed: int) -> sciml.PINN:
        return pinn_of(burgers.li2021(), points=32, generator=torch.Generator().manual_seed(seed))

    sciml.fit(draw(1), loss=points(10), epochs=1, optimizer=torch.optim.Adam, checkpoint=tmp_path / "a.pt")
    with pytest.raises(sciml.InputError, match="another training .model"):
        sciml.fit(draw(2), loss=points(10), epochs=1, optimizer=torch.optim.Adam, checkpoint=tmp_path / "a.pt", resume=True)


def test_windows_of_an_ordinary_system() -> None:
    marched = sciml.march_pinn(sciml.load_problem("lorenz:sakov2012"), 2, options={"width": 6}, end=0.02, loss=points(20), epochs=1, optimizer=LBFGS)
    assert torch.allclose(marched(0.01 - 1e-12), marched(0.01 + 1e-12), atol=1e-6) and marched(0.0).shape == (3,)


def test_windows_that_cannot_be() -> None:
    with pytest.raises(sciml.InputError, match="steady"):
        sciml.march_pinn(poisson.dirichlet(1), 2, epochs=1)
    with pytest.raises(sciml.InputError, match="start cannot be set"):
        sciml.march_pinn(simple(), 2, options={"start": 0.0}, epochs=1)
    with pytest.raises(sciml.InputError, match="windows=0"):
        sciml.march_pinn(simple(), 0, epochs=1)


# -- fit --------------------------------------------------------------------------------------------------------------


def test_terms_are_columns_of_the_table(tmp_path: Path) -> None:
    pinn = pinn_of(initial="soft")
    history = sciml.fit(pinn, loss=points(20, balance="gradients"), epochs=4, optimizer=torch.optim.Adam, log=tmp_path / "log.csv")
    with open(tmp_path / "log.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[6:] == ["equation", "initial", "weight.equation", "weight.initial"]
    for i, row in enumerate(rows):
        assert float(row["equation"]) == history.parts["equation"][i] and float(row["loss"]) == history.losses[i]
        total = sum(float(row[k]) * float(row[f"weight.{k}"]) for k in ("equation", "initial"))
        assert total == pytest.approx(float(row["loss"]), rel=1e-9)
    assert history.plot(tmp_path / "losses.png").stat().st_size > 1000


class Stop(Exception):
    """Ends a training from within."""


@pytest.mark.parametrize("balance", [None, "ntk"])
def test_a_training_that_goes_on_ends_with_the_same_weights(tmp_path: Path, balance: str | None) -> None:
    def objective() -> sciml.PinnObjective:
        return sciml.PinnObjective(points=sciml.RARD(20, every=3, add=5), initial_points=10, balance=balance, balance_every=4)

    settings: dict[str, Any] = {"epochs": 12, "optimizer": torch.optim.Adam, "lr": 1e-2, "seed": 5, "checkpoint_every": 0.0}
    whole = pinn_of(initial="soft")
    history = sciml.fit(whole, observations(6), loss=objective(), checkpoint=tmp_path / "whole.pt", **settings)
    broken = pinn_of(initial="soft")

    def stop(fraction: float) -> None:
        if fraction > 0.55:
            raise Stop

    with pytest.raises(Stop):
        sciml.fit(broken, observations(6), loss=objective(), checkpoint=tmp_path / "part.pt", progress=stop, **settings)
    again = pinn_of(initial="soft")
    resumed = sciml.fit(again, observations(6), loss=objective(), checkpoint=tmp_path / "part.pt", resume=True, **settings)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    assert resumed.losses == history.losses and resumed.parts == history.parts
    with pytest.raises(sciml.InputError, match="objective"):
        sciml.fit(pinn_of(initial="soft"), observations(6), loss=points(20), checkpoint=tmp_path / "part.pt", resume=True, **settings)
    with pytest.raises(sciml.InputError, match="model"):
        other = pinn_of(simple(nn.Parameter(torch.tensor(0.2))), initial="soft")
        sciml.fit(other, observations(6), loss=objective(), checkpoint=tmp_path / "part.pt", resume=True, **settings)


@pytest.mark.parametrize(("at", "epochs", "kept"), [(4, 9, 3), (9, 9, 8)])
def test_weights_that_are_not_finite_are_put_back(at: int, epochs: int, kept: int) -> None:
    pinn, good = pinn_of(), pinn_of()
    with pytest.raises(sciml.BlowUpError, match=f"has the weights from before step {kept + 1}, the latest with a finite loss"):
        sciml.fit(pinn, loss=points(20), epochs=epochs, optimizer=partial(Poison, at=at), schedule="constant")
    sciml.fit(good, loss=points(20), epochs=kept, optimizer=partial(Poison, at=99), schedule="constant")
    for a, b in zip(pinn.parameters(), good.parameters(), strict=True):
        assert torch.equal(a, b)


def test_what_fit_refuses() -> None:
    with pytest.raises(sciml.InputError, match="a Linear needs data"):
        sciml.fit(nn.Linear(1, 1), epochs=1)
    with pytest.raises(sciml.InputError, match="batch_size=8 given to a PINN"):
        sciml.fit(pinn_of(), epochs=1, batch_size=8)
    with pytest.raises(sciml.InputError, match="noise"):
        sciml.fit(pinn_of(), epochs=1, noise=0.1)


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "problem",
    [burgers.raissi2019(0.3), burgers.kassam2005(), navier_stokes.taylor_green(mean_flow=(0.5, 0.0)), poisson.neumann(1), burgers.li2021()],
    ids=lambda p: p.name,
)
def test_a_network_from_its_file(problem: sciml.Problem, tmp_path: Path) -> None:
    points = 16 if problem.domain.ndim == 2 else 32
    options: dict[str, Any] = {"points": points, "network": "pirate", "fourier": (4, 0.5), "activation": "sine", "adaptive": True}
    pinn = pinn_of(problem, **options, generator=torch.Generator().manual_seed(9), **({} if problem.steady else {"end": 0.4}))
    pinn.save(tmp_path / "pinn.pt")
    torch.manual_seed(77)
    again = sciml.PINN.load(tmp_path / "pinn.pt")
    grid = problem.grid(8)
    assert torch.equal(again.field(grid), pinn.field(grid)) and again.end == pinn.end and not again.training


def test_a_trained_coefficient_from_its_file(tmp_path: Path) -> None:
    nu = nn.Parameter(torch.tensor(0.3))
    pinn = pinn_of(burgers.raissi2019(viscosity=nu))
    with torch.no_grad():
        nu.fill_(0.125)
    pinn.save(tmp_path / "pinn.pt")
    again = sciml.PINN.load(tmp_path / "pinn.pt")
    assert dict(again.named_parameters())["equation.viscosity"].item() == 0.125


def test_files_of_other_problems_and_models(tmp_path: Path) -> None:
    pinn = pinn_of()
    pinn.save(tmp_path / "own.pt")
    with pytest.raises(sciml.InputError, match=r"heat:one, which is no case of this package; give it: PINN.load\(path, problem="):
        sciml.PINN.load(tmp_path / "own.pt")
    again = sciml.PINN.load(tmp_path / "own.pt", problem=simple())
    assert torch.equal(again.field(), pinn.field())
    with pytest.raises(sciml.InputError, match="do not fit together"):
        sciml.PINN.load(tmp_path / "own.pt", problem=navier_stokes.taylor_green())
    sciml.FNO(burgers.raissi2019().grid(16), modes=4, width=4).save(tmp_path / "fno.pt")
    with pytest.raises(sciml.InputError, match="holds a FNO, not a PINN"):
        sciml.PINN.load(tmp_path / "fno.pt")


def test_windows_of_a_vorticity_meet_although_its_samples_would_not() -> None:
    problem = replace(navier_stokes.taylor_green(0.1), horizon=0.2)
    torch.manual_seed(1)
    options = {"width": 4, "depth": 1, "points": 4}  # the network has more waves than so few samples hold
    marched = sciml.march_pinn(problem, 2, options=options, loss=points(20), epochs=1, optimizer=torch.optim.Adam, lr=1e-2)
    x, y = 6 * torch.rand(2, 20, generator=torch.Generator().manual_seed(0), dtype=F64)
    before, after = (w(0.1, x, y).detach() for w in marched.pinns)
    assert float((before - after).abs().max()) < 1e-7 * float(before.abs().max())


def test_later_windows_start_from_the_weights_before_if_asked() -> None:
    for warm in (True, False):
        torch.manual_seed(0)
        still = partial(torch.optim.SGD, lr=1e-30)  # weights stay where they start
        marched = sciml.march_pinn(simple(), 2, options={"width": 4, "depth": 1}, warm=warm, loss=points(10), epochs=1, optimizer=still)
        first, second = (torch.cat([p.flatten() for p in w.network.parameters()]) for w in marched.pinns)
        assert torch.allclose(first, second, rtol=1e-12, atol=1e-20) == warm
