"""Runs of a neural representation: exact output times, controlled steps, files and interruptions; and the method ``inr``."""

from __future__ import annotations

import csv
import math
import os
import signal
import threading
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import sciml
from sciml.methods import implicit
from sciml.methods.base import Settings
from sciml.methods.registry import find_methods, methods
from sciml.problems import advection, burgers, heat, poisson
from sciml.solvers.tableau import RK4, TABLEAUX
from sciml.surrogates.inr.integrators import Explicit
from sciml.surrogates.inr.kept import Row
from sciml.surrogates.inr.run import HALVINGS

F64 = torch.float64
NARROW: dict[str, Any] = {"width": 6, "depth": 1, "start_tolerance": 1e-7}


def made(dt: float = 0.1, **options: Any) -> sciml.INRStepper:
    problem = advection.krishnapriyan2021(1.0)
    return sciml.INRStepper(problem, dt=dt, grid=problem.grid(24), **{**NARROW, **options})


@cache
def start() -> sciml.INRState:
    return made().start()


def timeless(rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    return [{**asdict(row), "seconds": 0.0} for row in rows]


# -- runs --------------------------------------------------------------------------------------------------------------


def test_a_run_is_its_steps_and_meets_its_times(tmp_path: Path) -> None:
    step = made()
    seen: list[float] = []
    run = sciml.evolve(step, [0.0, 0.2, 0.35, 0.4], progress=seen.append)
    assert [row.dt for row in run.rows] == pytest.approx([0.1, 0.1, 0.075, 0.075, 0.05]) and all(row.taken for row in run.rows)
    assert [row.time for row in run.rows] == pytest.approx([0.1, 0.2, 0.275, 0.35, 0.4])
    assert seen == pytest.approx([0.25, 0.5, 0.6875, 0.875, 1.0]) and seen[-1] == 1.0
    second = step.advance(step.advance(start()), 0.1)
    assert torch.equal(run.weights[0], start().weights) and torch.equal(run.weights[1], second.weights)
    assert torch.equal(run.state(1).weights, second.weights)
    assert run.state(1)[1:] == second[1:] and run.state(0).misfit == run.start == start().misfit
    assert run.weights.shape == (4, step.size) and run.bytes == step.bytes and run.seconds > 0
    grid = step.problem.grid(30)
    u = run.field(grid)
    for time, state in zip(run.times, u, strict=True):
        assert (state - step.problem.exact_state(grid, time)).abs().max() < 1e-6
    ds = run.solution()
    assert ds["u"].dims == ("time", "x") and ds["time"].values.tolist() == [0.0, 0.2, 0.35, 0.4] and ds.attrs["steps"] == 5
    assert torch.equal(sciml.to_tensor(ds), run.field()) and torch.equal(sciml.to_tensor(run.solution(grid)), u)
    run.write(tmp_path / "steps.csv")
    with open(tmp_path / "steps.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["misfit"]) for row in rows] == [row.misfit for row in run.rows] and rows[0]["taken"] == "True"
    assert list(rows[0]) == ["time", "dt", "misfit", "temporal", "iterations", "seconds", "taken", "constraint"]


def test_a_batch_is_one_run() -> None:
    step = made()
    weights = torch.stack([start().weights, step.advance(start()).weights])
    run = sciml.evolve(step, [0.0, 0.1], state=sciml.INRState(weights))
    assert run.weights.shape == (2, 2, step.size) and torch.equal(run.weights[1, 0], weights[1])
    ds = run.solution()
    assert ds.sizes == {"sample": 2, "time": 2, "x": 24} and run.bytes == 2 * step.bytes


def test_runs_go_on_from_a_state() -> None:
    step = made()
    whole = sciml.evolve(step, [0.0, 0.1, 0.2])
    half = sciml.evolve(step, [0.1, 0.2], state=whole.state(1))
    assert torch.equal(half.weights[-1], whole.weights[-1])


def test_steps_that_exceed_the_tolerance_are_taken_as_halves() -> None:
    step = made(0.4, integrator="heun")
    loose, tight = (sciml.evolve(step, [0.0, 0.8], tolerance=t, state=start()) for t in (1e-2, 1e-3))
    wanted = step.problem.exact_state(step.grid, 0.8)
    for run, tolerance in ((loose, 1e-2), (tight, 1e-3)):
        taken = [row for row in run.rows if row.taken]
        refused = [row for row in run.rows if not row.taken]
        assert all(row.misfit + row.temporal <= tolerance for row in taken) and all(row.misfit + row.temporal > tolerance for row in refused)
        assert refused and sum(row.dt for row in taken) == pytest.approx(0.8) and taken[-1].time == pytest.approx(0.8)
        assert all(math.log2(0.4 / row.dt) == pytest.approx(round(math.log2(0.4 / row.dt)), abs=1e-9) for row in run.rows)
        assert run.solution().attrs["steps"] == len(taken)
        assert run.state().misfit == taken[-1].misfit
    assert len(tight.rows) > len(loose.rows)
    errors = [float((run.field()[-1] - wanted).norm() / wanted.norm()) for run in (loose, tight)]
    assert errors[1] < 0.3 * errors[0] and errors[0] < 0.05
    free = sciml.evolve(step, [0.0, 0.8], tolerance=1.0, state=start())
    assert [row.dt for row in free.rows] == [0.4, 0.4]


def test_steps_grow_again() -> None:
    problem = heat.periodic(1, 0.05)  # the fast wave fades first
    step = sciml.INRStepper(problem, dt=0.25, integrator="heun", width=8, depth=1, harmonics=3, start_tolerance=1e-3)
    run = sciml.evolve(step, [0.0, 0.5], tolerance=5e-3)
    taken = [row.dt for row in run.rows if row.taken]
    assert min(taken[:4]) < max(taken[-4:]) and sum(taken) == pytest.approx(0.5)


def test_a_tolerance_out_of_reach() -> None:
    with pytest.raises(sciml.BlowUpError, match=rf"step from t=0 still has the error .* after {HALVINGS} halvings, dt=.*tolerance=1e-15 is asked"):
        sciml.evolve(made(), [0.0, 0.1], tolerance=1e-15, state=start())


def test_without_a_tolerance_the_limit_holds() -> None:
    with pytest.raises(sciml.BlowUpError, match=r"step from t=0 with dt=0\.1 .*limit=1e-15"):
        sciml.evolve(made(limit=1e-15), [0.0, 0.1], state=start())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"times": 3.0}, r"a list of output times is needed, such as \[0\.0, 3\]"),
        ({"times": [0.0]}, "two or more finite output times"),
        ({"times": [0.0, 0.2, 0.1]}, "increase strictly"),
        ({"times": [0.0, math.inf]}, "finite"),
        ({"times": [0.1, 0.2]}, "without a state"),
        ({"tolerance": 0.0}, "tolerance=0.0"),
        ({"tolerance": math.nan}, "tolerance=nan"),
        ({"resume": True}, "give checkpoint= too"),
        ({"checkpoint_every": -1.0}, "checkpoint_every=-1.0"),
        ({"state": sciml.INRState(torch.zeros(3, dtype=F64))}, r"weights of shape \(3,\)"),
        ({"checkpoint": "no/such/folder/run.pt"}, "does not exist"),
    ],
)
def test_refused_runs(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(sciml.InputError, match=words):
        sciml.evolve(made(), **arguments)


def test_only_representations_evolve() -> None:
    stepper: Any = sciml.RK4(advection.krishnapriyan2021().equation, sciml.Grid((8,), (1.0,)), 0.1)
    with pytest.raises(sciml.InputError, match="a RK4 given; a sciml.INRStepper is needed"):
        sciml.evolve(stepper)


# -- interruptions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("integrator", ["rk4", "heun"])
@pytest.mark.parametrize("at", [1, 3, 4])
def test_an_interrupted_run_goes_on_with_the_same_bits(integrator: str, at: int, tmp_path: Path) -> None:
    solver, points = sciml.NaturalGradient(columns=14), sciml.RAD(60, every=2)
    settings: dict[str, Any] = {"times": [0.0, 0.3, 0.5], "state": start(), "tolerance": 5e-3}

    def step() -> sciml.INRStepper:
        return made(integrator=integrator, solver=solver, points=points)

    straight = sciml.evolve(step(), **settings)
    seen: list[float] = []

    def stop(fraction: float) -> None:
        seen.append(fraction)
        if len(seen) == at:
            raise KeyboardInterrupt

    place = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt) as caught:
        sciml.evolve(step(), **settings, checkpoint=place, progress=stop)
    assert caught.value.__notes__ == [f"What was reached is in {place}; resume=True goes on from it."]
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]
    with pytest.raises(sciml.InputError, match="is there already; resume=True goes on from it"):
        sciml.evolve(step(), **settings, checkpoint=place)
    seen = [0.0] * 10
    resumed = sciml.evolve(step(), **settings, checkpoint=place, resume=True, progress=stop)
    assert len(seen) == 10 + 5 - at
    assert torch.equal(resumed.weights, straight.weights) and timeless(resumed.rows) == timeless(straight.rows)
    done = sciml.evolve(step(), **settings, checkpoint=place, resume=True)  # the file stays, and holds all of it
    assert done.rows == resumed.rows and torch.equal(done.weights, straight.weights)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_after_the_step_in_work(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, place = made(), tmp_path / "run.pt"
    attempt = step.attempt

    def interrupted(*arguments: Any) -> sciml.INRState:
        os.kill(os.getpid(), number)
        return attempt(*arguments)

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(step, "attempt", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sciml.evolve(step, [0.0, 0.3], state=start(), checkpoint=place)
    assert signal.getsignal(number) is before
    seen: list[float] = []
    resumed = sciml.evolve(step, [0.0, 0.3], state=start(), checkpoint=place, resume=True, progress=seen.append)
    assert len(seen) == 2 and torch.equal(resumed.weights, sciml.evolve(step, [0.0, 0.3], state=start()).weights)


def test_checkpoints_come_as_often_as_asked(tmp_path: Path) -> None:
    counts = []
    for every in (0.0, 1000.0):
        place, sizes = tmp_path / f"{every}.pt", []
        sciml.evolve(
            made(),
            [0.0, 0.3],
            state=start(),
            checkpoint=place,
            checkpoint_every=every,
            progress=lambda f, place=place, sizes=sizes: sizes.append(place.exists()),
        )
        counts.append(sum(sizes))
        assert place.exists()
    assert counts == [3, 0]


def test_other_runs_and_damaged_files_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "run.pt"
    sciml.evolve(made(), [0.0, 0.2], state=start(), checkpoint=place)
    kept = place.read_bytes()
    for other, times, words in (
        (made(seed=1), [0.0, 0.2], "seed was 0, is 1"),
        (made(0.05), [0.0, 0.2], "dt was 0.1, is 0.05"),
        (made(), [0.0, 0.3], r"times was \[0\.0, 0\.2\], is \[0\.0, 0\.3\]"),
        (made(integrator="heun"), [0.0, 0.2], "integrator was rk4, is heun"),
        (made(solver=sciml.NaturalGradient(iterations=3)), [0.0, 0.2], "solver was"),
        (made(points=sciml.Sobol(99)), [0.0, 0.2], "points was"),
        (sciml.INRStepper(advection.krishnapriyan2021(2.0), dt=0.1, **NARROW), [0.0, 0.2], "problem was"),
    ):
        with pytest.raises(sciml.InputError, match=f"holds another run: .*{words}"):
            sciml.evolve(other, times, state=start(), checkpoint=place, resume=True)
    with pytest.raises(sciml.InputError, match="tolerance was None, is 0.1"):
        sciml.evolve(made(), [0.0, 0.2], state=start(), tolerance=0.1, checkpoint=place, resume=True)
    with pytest.raises(sciml.InputError, match="start was"):
        sciml.evolve(made(), [0.0, 0.2], state=start()._replace(weights=2 * start().weights), checkpoint=place, resume=True)
    assert place.read_bytes() == kept
    content = torch.load(place, weights_only=True)
    for bad, words in (
        (b"", "damaged"),
        (kept[:300], "damaged"),
        ({"format": "other"}, "no checkpoint of evolve"),
        ({**content, "version": 9}, "layout 9"),
    ):
        place.write_bytes(bad) if isinstance(bad, bytes) else torch.save(bad, place)
        with pytest.raises(sciml.InputError, match=words):
            sciml.evolve(made(), [0.0, 0.2], state=start(), checkpoint=place, resume=True)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    place, messages = tmp_path / "run.pt", []

    def second(fraction: float) -> None:
        def run() -> None:
            try:
                sciml.evolve(made(), [0.0, 0.1], state=start(), checkpoint=place, resume=True)
            except sciml.InputError as error:
                messages.append(str(error))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()

    sciml.evolve(made(), [0.0, 0.1], state=start(), checkpoint=place, progress=second)
    assert len(messages) == 1 and "is working with it" in messages[0]


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"integrator": "implicit_midpoint", "solver": sciml.NaturalGradient(columns=9), "points": sciml.RAD(70, every=3, k=2.0)},
        {"dtype": torch.float32, "start_tolerance": 1e-4},
        {"fourier": (5, 1.0), "network": "pirate", "activation": "swish", "adaptive": True, "frequency": 2.0, "seed": 3, "start_tolerance": 0.09},
        {"harmonics": 2, "start_tolerance": 1e-4},
        {"solver": sciml.AdamFit(iterations=3), "points": sciml.Uniform(40), "limit": 5.0},
    ],
    ids=["default", "midpoint", "float32", "features", "harmonics", "adam"],
)
def test_states_are_files(options: dict[str, Any], tmp_path: Path) -> None:
    step = made(**options)
    state = step.start()
    step.save(tmp_path / "state.pt", state, 0.25)
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]
    torch.manual_seed(99)
    for again in (sciml.load_model(tmp_path / "state.pt"), sciml.INRStepper.load(tmp_path / "state.pt")):
        assert again.time == 0.25 and again.state[1:] == state[1:] and torch.equal(again.state.weights, state.weights)
        assert again.step.grid == step.grid and again.step.options == step.options and again.step.dt == step.dt
        assert again.step.points == step.points and again.step.solver == step.solver
        assert torch.equal(again.step.decode(again.state), step.decode(state))
        assert torch.equal(again.step.advance(again.state, 0.2).weights, step.advance(state, 0.2).weights)


def test_rules_and_problems_of_ones_own_are_given_again(tmp_path: Path) -> None:
    place = tmp_path / "state.pt"
    step = made(integrator=Explicit(RK4))
    step.save(place, start())
    with pytest.raises(sciml.InputError, match="integrator= is a rule of your own, give it again"):
        sciml.load_model(place)
    again = sciml.INRStepper.load(place, integrator=Explicit(RK4))
    assert torch.equal(again.step.advance(again.state).weights, made().advance(start()).weights)
    made().save(place, start())
    rules: dict[str, Any] = {"integrator": Explicit(TABLEAUX["heun"]), "solver": sciml.AdamFit(), "points": sciml.Sobol(9)}
    for name, rule in rules.items():
        with pytest.raises(sciml.InputError, match=f"holds its own {name}; leave it out"):
            sciml.INRStepper.load(place, **{name: rule})
    own = replace(advection.krishnapriyan2021(1.0), name="own:wave")
    sciml.INRStepper(own, dt=0.1, **NARROW).save(place, start())
    with pytest.raises(sciml.InputError, match=r"give it: INRStepper\.load\(path, problem="):
        sciml.load_model(place)
    assert torch.equal(sciml.INRStepper.load(place, problem=own).state.weights, start().weights)


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    place = tmp_path / "state.pt"
    made().save(place, start())
    with pytest.raises(sciml.InputError, match=r"holds a state of advection:krishnapriyan2021 .*1\.0.* was given; give the same problem"):
        sciml.INRStepper.load(place, problem=advection.krishnapriyan2021(2.0))
    with pytest.raises(sciml.InputError, match="device=meta given; an INRStepper works on the CPU"):
        sciml.INRStepper.load(place, device="meta")
    pinn = sciml.PINN(burgers.raissi2019(), width=3, depth=1)
    pinn.save(tmp_path / "pinn.pt")
    with pytest.raises(sciml.InputError, match="holds a PINN, not an INRStepper"):
        sciml.INRStepper.load(tmp_path / "pinn.pt")
    with pytest.raises(sciml.InputError, match="holds a INRStepper"):
        sciml.PINN.load(place)
    content = torch.load(place, weights_only=True)
    for change, words in (
        ({"state": {**content["state"], "weights": torch.zeros(3, dtype=F64)}}, r"its state has the shape \(3,\)"),
        ({"state": {**content["state"], "weights": content["state"]["weights"].float()}}, "damaged"),
        ({"state": {"weights": content["state"]["weights"]}}, "do not fit together"),
        ({"config": {**content["config"], "options": {"wide": 3}}}, "do not fit together"),
        ({"config": {k: v for k, v in content["config"].items() if k != "reached"}}, "do not fit together"),
        ({"config": {**content["config"], "solver": {"name": "SGD", "settings": {}}}}, "do not fit together"),
    ):
        torch.save({**content, **change}, place)
        with pytest.raises(sciml.InputError, match=words):
            sciml.load_model(place)


# -- the method --------------------------------------------------------------------------------------------------------


def settings(**options: Any) -> Settings:
    return Settings(**{"times": [0.0, 0.02, 0.05], "points": 24, **options})


def test_inr_is_a_method_that_runs_when_it_is_named() -> None:
    problem = burgers.raissi2019(viscosity=0.1)
    known = methods()["inr"]
    assert not known.default and "inr" not in {m.name for m in find_methods(None, problem)}
    before = torch.random.get_rng_state()
    seen: list[float] = []
    result = known.run(problem, settings(), seen.append)
    assert torch.equal(torch.random.get_rng_state(), before) and seen == sorted(seen) and seen[-1] == 1.0
    found = sciml.to_tensor(result.dataset)
    grid = problem.grid(24)
    for u, time in zip(found, (0.0, 0.02, 0.05), strict=True):
        assert float((u - problem.exact_state(grid, time)).norm() / problem.exact_state(grid, time).norm()) < 1e-5
    assert set(result.cost) == {"start_s", "steps", "dt", "weights", "state_bytes", "step_s"}
    assert result.cost["weights"] == 337 and result.cost["state_bytes"] == 8 * 337 and result.cost["steps"] == 10
    assert result.cost["dt"] == pytest.approx(0.005) and "4 % of the field changes in it" in result.notes and "337 weights, float64" in result.notes
    assert result.dataset.attrs["method"] == "inr" and result.dataset.attrs["seed"] == 0


def test_the_step_is_the_one_asked_for_or_follows_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implicit, "SIZES", {1: {"width": 6, "depth": 1}})
    problem = advection.krishnapriyan2021(10.0)
    asked = methods()["inr"].run(problem, settings(dt=0.025))
    assert asked.cost["steps"] == 3 and asked.cost["dt"] == pytest.approx(0.015) and "asked for" in asked.notes
    chosen = methods()["inr"].run(problem, settings())  # |u_t|/|u| is the speed
    assert chosen.cost["dt"] == pytest.approx(0.004, rel=0.15) and chosen.cost["steps"] == pytest.approx(13, abs=1)


@pytest.mark.parametrize(
    ("problem", "word"),
    [
        (poisson.periodic(1), "problems in time"),
        ("lorenz:sakov2012", "ordinary system"),
        ("allen_cahn:front", "changes in time"),
        ("quasi_geostrophic:eddy", "single potential"),
    ],
)
def test_where_the_method_does_not_apply(problem: Any, word: str) -> None:
    given = sciml.load_problem(problem) if isinstance(problem, str) else problem
    with pytest.raises(sciml.UnsupportedError, match=word):
        methods()["inr"].run(given, settings())


def test_the_method_works_on_the_cpu() -> None:
    with pytest.raises(sciml.InputError, match="inr works on the CPU, but device=meta"):
        methods()["inr"].solve(advection.krishnapriyan2021(), settings(device="meta"))


def test_random_states_are_those_of_the_other_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implicit, "START", 1e-2)
    monkeypatch.setattr(implicit, "SIZES", {1: {"width": 8, "depth": 1, "harmonics": 3}})
    problem = burgers.li2021()
    step: Any = methods()["inr"]
    solved = sciml.solve(problem, points=24, times=[0.0, 0.01], seed=3)
    state: Tensor = sciml.to_tensor(step.run(problem, settings(times=[0.0, 0.0005], dt=0.0005, seed=3)).dataset)[0]
    assert float((state - sciml.to_tensor(solved)[0]).norm() / state.norm()) < 0.02
