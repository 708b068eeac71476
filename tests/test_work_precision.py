"""The memory of a state of every method; curves of error against memory and time through several sizes."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sciml
from sciml.core.problem import Problem
from sciml.methods import implicit, registry
from sciml.methods.base import Method, MethodResult, Run, Settings
from sciml.methods.registry import methods
from sciml.problems import advection, burgers, darcy, heat, lorenz, quasi_geostrophic
from sciml.report.costs import FLOOR, draw_cost, draw_curves
from sciml.report.document import amount
from sciml.report.work_precision import ladders_of

F32 = torch.float32
OFF = 0.5


class Sized(Method):
    """The exact solution plus 1/size, of a state of 10 bytes per unit of size; some sizes fail."""

    description = "exact, off by 1/size"

    def __init__(self, name: str, fails: Callable[[int], BaseException | None] = lambda size: None, size_is: str = "points") -> None:
        self.name, self.fails, self.size_is, self.runs = name, fails, size_is, list[int]()

    def applies(self, problem: Problem) -> str | None:
        return None if problem.exact is not None else "it needs an exact solution"

    def ladder(self, problem: Problem) -> tuple[int, ...]:
        return (2, 8)

    def sized(self, settings: Settings, size: int) -> Settings:
        return replace(settings, width=size)

    def solve(self, problem: Problem, settings: Settings, progress: Any = None) -> Run:
        assert settings.width is not None
        self.runs.append(settings.width)
        failure = self.fails(settings.width)
        if failure is not None:
            raise failure
        grid = problem.grid(settings.points)
        u = torch.stack([problem.exact_state(grid, t) for t in settings.times]) + OFF / settings.width
        return Run(sciml.to_dataset(u, settings.times, grid, problem), "as told", {"state_bytes": 10.0 * settings.width, "steps": 3.0})


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    class Point:
        value = "plugin:METHODS"

        def __init__(self, offered: object) -> None:
            self.offered = offered

        def load(self) -> object:
            return self.offered

    def install(*offered: Method) -> None:
        monkeypatch.setattr(registry, "entry_points", lambda group: [Point(method) for method in offered])

    return install


def wave() -> Problem:
    return heat.periodic()


def size_of(problem: Problem, points: Any, time: float) -> float:
    """Root mean square of the exact solution."""
    return float(problem.exact_state(problem.grid(points), time).square().mean().sqrt())


# -- memory of a state -------------------------------------------------------------------------------------------------


def run(name: str, problem: Problem, **options: Any) -> MethodResult:
    return methods()[name].run(problem, Settings(**{"times": [0.0, 0.01], **options}))


def test_a_state_on_a_grid_is_its_samples() -> None:
    assert run("etdrk4", advection.waves(1), points=24).cost["state_bytes"] == 24 * 8
    assert run("etdrk4", advection.waves(2), points=(8, 12)).cost["state_bytes"] == 8 * 12 * 8
    assert run("rk4", advection.waves(1), points=24, dtype=F32).cost["state_bytes"] == 24 * 4
    assert run("finite_volume", burgers.raissi2019_dirichlet(0.1), points=20, times=[0.0, 0.002, 0.01]).cost["state_bytes"] == 20 * 8
    assert run("rk4", lorenz.sakov2012()).cost["state_bytes"] == 3 * 8  # three unknowns
    layers = quasi_geostrophic.eddy()
    assert run("etdrk4", layers, points=16, times=[0.0, layers.horizon / 1000]).cost["state_bytes"] == 2 * 16 * 16 * 8
    steady = run("spectral_cg", darcy.periodic(), points=16, times=[0.0])  # without the coefficient, which is given
    assert steady.cost["state_bytes"] == 16 * 16 * 8 and len(steady.dataset.data_vars) > 1


def test_a_state_of_a_network_is_its_weights() -> None:
    problem = advection.krishnapriyan2021(1.0)
    weights = 2 * 4 + 4 + (4 * 4 + 4) + 4 + 1  # cos x, sin x; two hidden layers of 4; u
    inr = run("inr", problem, width=4, points=16, dt=0.01)
    assert inr.cost["weights"] == weights and inr.cost["state_bytes"] == 8 * weights
    for name, width in (("pinn", 4), ("lpinn", 3)):
        small = run(name, problem, width=width, points=16, budget=0.2)
        assert small.cost["state_bytes"] == 8 * small.cost["parameters"]
        assert run(name, problem, width=width, points=16, budget=0.2, dtype=F32).cost["state_bytes"] == 4 * small.cost["parameters"]
        assert run(name, problem, width=2 * width, points=16, budget=0.2).cost["parameters"] > 2 * small.cost["parameters"]


def test_an_operator_has_a_model_beside_its_state() -> None:
    result = run("fno", wave(), points=16, times=[0.0, 0.5, 1.0], budget=1.0, dtype=torch.float64)
    assert result.cost["state_bytes"] == 16 * 8 and result.cost["model_bytes"] == 8 * result.cost["parameters"] > 10_000


def test_amounts_of_memory() -> None:
    shown = [amount(v) for v in (0, 840, 1023, 1024, 3320, 2**20, 3 * 2**30)]
    assert shown == ["0 B", "840 B", "1023 B", "1.0 KiB", "3.2 KiB", "1.0 MiB", "3.00 GiB"]


def test_a_comparison_tells_the_memory_of_states(plug_in: Callable[..., None], tmp_path: Path) -> None:
    class Learned(Sized):
        def solve(self, problem: Problem, settings: Settings, progress: Any = None) -> Run:
            found = super().solve(problem, replace(settings, width=4))
            return Run(found.dataset, "", {"state_bytes": 640.0, "model_bytes": 5120.0})

    plug_in(Learned("learned"))
    result = sciml.compare(wave(), ["etdrk4", "learned"], tmp_path / "report", points=32, times=2)
    first, second = result.table
    assert (first["state_bytes"], first["model_bytes"]) == (256.0, "") and (second["state_bytes"], second["model_bytes"]) == (640.0, 5120.0)
    with open(tmp_path / "report" / "table.csv", newline="", encoding="utf-8") as file:
        assert [row["state_bytes"] for row in csv.DictReader(file)] == ["256.0", "640.0"]
    text = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "<th>State</th><th>Peak memory</th>" in text and "<td class=best>256 B</td>" in text and "<td>640 B</td>" in text
    assert "The trained model of learned is another 5.0 KiB." in text

    fig = draw_cost(result.finished)
    time, state, peak = fig.axes
    assert (time.get_xlabel(), state.get_xlabel(), peak.get_xlabel()) == ("wall time (s)", "memory of a state (bytes)", "peak memory (MiB)")
    assert [float(line.get_xdata()[0]) for line in state.lines] == [256.0, 640.0]
    for ax in (time, state):
        assert [float(line.get_ydata()[0]) for line in ax.lines] == [max(e.errors.total, FLOOR) for e in result.finished]
    assert [float(line.get_xdata()[0]) for line in time.lines] == [e.result.wall_s for e in result.finished]
    assert [bar.get_width() for bar in peak.patches] == [e.result.peak_bytes / 2**20 for e in result.finished]
    assert [label.get_text() for label in peak.get_yticklabels()] == ["etdrk4", "learned"]


# -- curves ------------------------------------------------------------------------------------------------------------


def test_curves_of_known_errors(plug_in: Callable[..., None], tmp_path: Path) -> None:
    plug_in(Sized("good"), Sized("patchy", lambda size: sciml.BlowUpError("field u is not finite at t=0.3") if size == 4 else None))
    stages: list[tuple[str, float]] = []
    problem, out = wave(), tmp_path / "curves"
    found = sciml.work_precision(
        problem, ["good", "patchy"], {"good": (8, 2, 4), "patchy": [4, 16]}, out, end=0.5, points=16, progress=lambda *at: stages.append(at)
    )
    rows = found.table
    assert [(r["method"], r["size"], r["state_bytes"]) for r in rows] == [
        ("good", 2, 20.0), ("good", 4, 40.0), ("good", 8, 80.0), ("patchy", 4, ""), ("patchy", 16, 160.0)
    ]  # fmt: skip
    true = size_of(problem, 16, 0.5)
    for row in (*rows[:3], rows[4]):
        assert row["relative_l2_final"] == pytest.approx(OFF / int(row["size"]) / true) and row["steps"] == 3 and float(row["wall_s"]) > 0
    assert rows[3]["failure"] == "field u is not finite at t=0.3" and rows[3]["wall_s"] == ""
    assert ("good_4", 1.0) in stages and {p.name for p in tmp_path.iterdir()} == {"curves"}
    assert {"report.html", "work_precision.png", "table.csv", "good_2.nc", "patchy_16.nc"} < {p.name for p in out.iterdir()}
    assert not (out / "patchy_4.nc").exists()
    with open(out / "table.csv", newline="", encoding="utf-8") as file:
        kept = list(csv.DictReader(file))
    assert [float(r["relative_l2_final"]) for r in kept if r["relative_l2_final"]] == [r["relative_l2_final"] for r in rows if r["wall_s"] != ""]
    assert kept[3]["failure"] == rows[3]["failure"]
    kept_state = sciml.to_tensor(sciml.load(out / "good_4.nc"))[-1]
    assert torch.allclose(kept_state - problem.exact_state(problem.grid(16), 0.5), torch.tensor(OFF / 4, dtype=torch.float64), atol=1e-15)

    text = (out / "report.html").read_text(encoding="utf-8")
    assert "field u is not finite at t=0.3" in text and "<td>160 B</td>" in text and "as told" in text
    sizes = "--sizes good=2,4,8 --sizes patchy=4,16"
    assert f"sciml work-precision heat:periodic --methods good,patchy {sizes} --points 16 --end 0.5 --seed 0 --device cpu" in text

    fig = draw_curves(found.curves, None, "exact solution")
    left, right = fig.axes
    assert left.get_xlabel() == "memory of a state (bytes)" and right.get_xlabel() == "wall time (s)"
    assert left.get_ylabel() == "relative $L_2$ error at the end"
    assert [line.get_xdata().tolist() for line in left.lines] == [[20.0, 40.0, 80.0], [160.0]]
    assert right.lines[0].get_xdata().tolist() == [float(r["wall_s"]) for r in rows[:3]]
    for ax in (left, right):
        assert ax.lines[0].get_ydata().tolist() == pytest.approx([OFF / 2 / true, OFF / 4 / true, OFF / 8 / true])


def test_a_run_of_a_curve_is_a_run_of_its_method(tmp_path: Path) -> None:
    problem = burgers.raissi2019(viscosity=0.1)
    found = sciml.work_precision(problem, ["etdrk4", "inr"], {"points": [16, 32], "inr": [4]}, tmp_path / "curves", end=0.2, points=24, dt=0.1)
    small, large, network = found.table
    for row in (small, large):
        grid = problem.grid(int(row["size"]))
        u = sciml.to_tensor(run("etdrk4", problem, points=grid.shape, times=[0.0, 0.2], dt=0.1).dataset)[-1]
        true = problem.exact_state(grid, 0.2)
        assert row["relative_l2_final"] == pytest.approx(float((u - true).norm() / true.norm()), rel=1e-6)
        assert row["dt"] == 0.1 and row["steps"] == 2 and row["state_bytes"] == 8 * int(row["size"])
    assert float(large["relative_l2_final"]) < 0.2 * float(small["relative_l2_final"])
    assert network["state_bytes"] == 8 * 37 and float(network["relative_l2_final"]) < 0.01 and network["steps"] == 2
    assert sciml.load(tmp_path / "curves" / "inr_4.nc").sizes == {"time": 2, "x": 24}


def test_without_an_exact_solution_the_truth_is_finer_than_every_size(tmp_path: Path) -> None:
    problem = replace(burgers.raissi2019(viscosity=0.2), exact=None, points=(16,), dt=0.1)
    found = sciml.work_precision(problem, ["dopri5"], [12, 40], tmp_path / "curves", end=0.2)
    assert sciml.grid_of(sciml.load(tmp_path / "curves" / "truth.nc")).shape == (80,)
    uncertainty = found.truth.uncertainty(np.array([0.2]))
    assert uncertainty is not None
    known = float(uncertainty[-1])
    assert any("is known to" in note and f"{known:.1e}" in note for note in found.notes)
    exact = sciml.work_precision(replace(problem, exact=burgers.raissi2019(viscosity=0.2).exact), ["dopri5"], [12, 40], tmp_path / "exact", end=0.2)
    assert not exact.notes and not (tmp_path / "exact" / "truth.nc").exists()
    for row, other in zip(found.table, exact.table, strict=True):
        assert float(row["relative_l2_final"]) == pytest.approx(float(other["relative_l2_final"]), rel=1e-3, abs=2 * known)
    shaded = draw_curves(found.curves, 1e-3, "certified run").axes
    assert [ax.patches[0].get_bbox().y1 for ax in shaded] == [1e-3, 1e-3]


def test_steady_problems_have_curves_without_time(tmp_path: Path) -> None:
    found = sciml.work_precision("poisson:periodic", ["finite_volume_cg"], [16, 32, 64], tmp_path / "curves")
    errors = [float(row["relative_l2_final"]) for row in found.table]
    assert [math.log2(a / b) for a, b in pairwise(errors)] == pytest.approx([2, 2], abs=0.1)
    assert "<th>Iterations</th>" in (tmp_path / "curves" / "report.html").read_text(encoding="utf-8")
    with pytest.raises(sciml.InputError, match=r"work_precision: dt given, but poisson:periodic is steady"):
        sciml.work_precision("poisson:periodic", ["finite_volume_cg"], [8], tmp_path / "other", dt=0.1)


def test_what_was_finished_is_not_run_again(plug_in: Callable[..., None], tmp_path: Path) -> None:
    stopped = Sized("stopped", lambda size: KeyboardInterrupt() if size == 4 else None)
    plug_in(stopped)
    options: dict[str, Any] = {"sizes": [2, 4, 6], "end": 0.5, "points": 16}
    with pytest.raises(KeyboardInterrupt) as caught:
        sciml.work_precision(wave(), ["stopped"], out=tmp_path / "curves", **options)
    assert "stopped_2.nc is in" in caught.value.__notes__[0] and stopped.runs == [2, 4] and not (tmp_path / "curves").exists()
    kept = json.loads((tmp_path / "curves.partial" / ".work" / "stopped_2.json").read_text(encoding="utf-8"))
    stopped.fails = lambda size: None
    with pytest.raises(sciml.InputError, match=r"other settings: sizes was"):
        sciml.work_precision(wave(), ["stopped"], out=tmp_path / "curves", resume=True, **{**options, "sizes": [2, 4]})
    found = sciml.work_precision(wave(), ["stopped"], out=tmp_path / "curves", resume=True, **options)
    assert stopped.runs == [2, 4, 4, 6] and found.table[0]["wall_s"] == kept["wall_s"] and found.table[0]["state_bytes"] == 20.0
    assert [p.name for p in tmp_path.iterdir()] == ["curves"]


def test_nothing_is_left_when_every_run_fails(plug_in: Callable[..., None], tmp_path: Path) -> None:
    plug_in(Sized("one", lambda size: ValueError("no idea")))
    with pytest.raises(sciml.BlowUpError, match=r"No run finished on heat:periodic. one, size 2: ValueError: no idea one, size 8: .*no idea$"):
        sciml.work_precision(wave(), ["one"], None, tmp_path / "curves")
    assert list(tmp_path.iterdir()) == []


# -- sizes -------------------------------------------------------------------------------------------------------------


def ladders(names: list[str], sizes: Any, problem: Problem | None = None) -> dict[str, tuple[int, ...]]:
    known = methods()
    return ladders_of([known[name] for name in names], problem or wave(), sizes)


def test_which_sizes_are_run() -> None:
    inr, pinn = methods()["inr"].ladder(wave()), methods()["pinn"].ladder(wave())
    assert ladders(["etdrk4", "inr"], [32, 8]) == {"etdrk4": (8, 32), "inr": tuple(inr)}
    assert ladders(["inr", "pinn"], [32, 8]) == {"inr": (8, 32), "pinn": (8, 32)}
    both = {"points": [16], "width": [5, 6], "rk4": [4]}
    assert ladders(["etdrk4", "rk4", "inr"], both) == {"etdrk4": (16,), "rk4": (4,), "inr": (5, 6)}
    assert ladders(["etdrk4", "pinn"], None, advection.waves(2)) == {"etdrk4": (8, 16, 32, 64), "pinn": tuple(pinn)}
    assert list(inr) == sorted(set(inr)) and list(pinn) == sorted(set(pinn))


@pytest.mark.parametrize(
    ("sizes", "word"),
    [
        ([], "one or more different whole numbers"),
        ([8, 8], "different"),
        ([8, 0], r"\[8, 0\] of points"),
        ([8.0], "whole numbers"),
        ([True], "whole numbers"),
        ({"etdrk4": "16"}, "'16' of etdrk4"),
        ({"etdrk4": 16}, "16 of etdrk4"),
        ({"width": [8]}, r"sizes for 'width' given, which is none of etdrk4, points"),
    ],
)
def test_what_are_no_sizes(sizes: Any, word: str) -> None:
    with pytest.raises(sciml.InputError, match=word):
        ladders(["etdrk4"], sizes)


def test_what_has_no_curves(tmp_path: Path) -> None:
    with pytest.raises(sciml.InputError, match=r"lorenz:sakov2012 is an ordinary system, whose size is given; sciml.compare runs it"):
        sciml.work_precision("lorenz:sakov2012", ["rk4"], [8], tmp_path / "curves")
    with pytest.raises(sciml.InputError, match="lattice|ordinary system"):
        sciml.work_precision("lorenz:sakov2008", ["rk4"], [8], tmp_path / "curves")
    with pytest.raises(sciml.InputError, match=r"parameters \['diffusivity'\] go to a problem given by name"):
        sciml.work_precision(wave(), ["etdrk4"], [8], tmp_path / "curves", parameters={"diffusivity": 1})
    assert list(tmp_path.iterdir()) == []


def test_a_network_too_large_or_too_small_is_a_row(tmp_path: Path) -> None:
    found = sciml.work_precision(wave(), ["etdrk4", "inr"], {"points": [1, 8], "inr": [1]}, tmp_path / "curves", end=0.01, points=16)
    single, good, _ = found.rungs
    assert "at least 2" in single.entry.failure and good.entry.finished is not None
    text = (tmp_path / "curves" / "report.html").read_text(encoding="utf-8")
    assert re.search(r'<td>1</td><td class="failed" colspan="6">[^<]*at least 2', text)


def test_bodies_take_the_published_step_and_fields_one_from_their_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, float | None]] = []

    class Enough(Exception):
        """Nothing need be stepped."""

    def evolve(step: sciml.INRStepper, times: Any, *, tolerance: float | None, **options: Any) -> None:
        asked.append((step.dt, tolerance))
        raise Enough

    monkeypatch.setattr("sciml.surrogates.inr.run.evolve", evolve)
    beam, carried = sciml.load_problem("elasticity:swinging_beam"), advection.krishnapriyan2021(10.0)
    assert beam.dt is not None and carried.dt is not None
    for problem, end, dt in ((beam, 12 * beam.dt, None), (beam, 5 * beam.dt, None), (carried, 0.1, None), (carried, 0.1, 0.03)):
        with pytest.raises(Enough):
            methods()["inr"].solve(problem, Settings([0.0, end], width=4, points=8, dt=dt))
    assert asked[:2] == [(pytest.approx(beam.dt), 0.1), (pytest.approx(beam.dt / 2), 0.1)]  # ten at least, halved where nothing fits
    assert asked[2:] == [(pytest.approx(0.004, rel=0.15), implicit.TOLERANCE), (0.03, None)]  # 4 % of the field per step at speed 10


def test_inr_asks_its_stepper_whether_it_applies() -> None:
    class Frozen(sciml.ResidualForm):
        """Nothing evolves, and no representation is for it."""

        fields = ("u",)

        def residual(self, u: Any, d: Any) -> Any:
            return u

        def latex(self) -> str:
            return "u = 0"

    problem = replace(wave(), equation=Frozen(), exact=None)
    with pytest.raises((sciml.InputError, sciml.UnsupportedError)) as caught:
        sciml.INRStepper(problem, dt=0.1)
    inr = methods()["inr"]
    assert inr.applies(problem) == str(caught.value).rstrip(".") and "heat:periodic" in str(inr.applies(problem))
    assert methods()["etdrk4"].applies(problem) == "it needs an evolution equation, and this problem states a residual only"
