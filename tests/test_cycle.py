"""Cycles as users meet them: twin experiments, results as files and words, and runs that are interrupted and gone on with."""

from __future__ import annotations

import csv
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import sciml
from sciml.assimilation.cycles import Cycles
from sciml.assimilation.enks import EnKS
from sciml.assimilation.ienks import IEnKS
from sciml.assimilation.stages import Assimilator
from sciml.assimilation.twin import Twin
from sciml.assimilation.variational import FourDVar

LORENZ = "lorenz:sakov2008"
EVERYWHERE = sciml.Observation(sciml.every(1), 1.0)


def lorenz(cycles: int = 12, **options: Any) -> Twin:
    return sciml.twin(LORENZ, EVERYWHERE, cycles, members=10, experiments=2, **options)


def same(one: Cycles, two: Cycles) -> None:
    assert one.times == two.times and one.notes == two.notes and one.series.keys() == two.series.keys()
    for name in one.series:
        assert torch.equal(one.series[name].nan_to_num(7e77), two.series[name].nan_to_num(7e77)), name
    for a, b in (
        (one.mean, two.mean),
        (one.ensemble, two.ensemble),
        (one.ranks, two.ranks),
        (one.smoothed, two.smoothed),
        (one.weights, two.weights),
    ):
        assert (a is None and b is None) or (isinstance(a, Tensor) and isinstance(b, Tensor) and torch.equal(a, b))


def test_the_truth_of_a_twin_solves_the_problem_and_data_scatter_around_it() -> None:
    found = lorenz(200, spin_up=2.0)
    assert found.every == 1 and found.start == pytest.approx(2.0) and found.interval == 0.05
    again = sciml.rollout(found.step, found.truth[0], 5, include_initial=False)
    torch.testing.assert_close(again, found.truth[1:6], rtol=0, atol=1e-10)
    errors = (found.y - found.truth[:, :, 0]).flatten()
    assert abs(float(errors.mean())) < 0.03 and abs(float(errors.std()) - 1) < 0.03
    other = sciml.twin(LORENZ, EVERYWHERE, 200, members=10, experiments=2, spin_up=2.0, seed=1)
    assert not torch.equal(found.y, other.y)
    assert torch.equal(found.y, lorenz(200, spin_up=2.0).y)


def test_first_members_are_spread_around_a_centre_that_is_as_far_from_the_truth() -> None:
    found = sciml.twin(LORENZ, EVERYWHERE, 1, members=400, experiments=30, spin_up=1.0, spread=0.5, every=1)
    now = sciml.rollout(found.step, found.ensemble, 1)[-1]
    deviations = found.ensemble - found.ensemble.mean(1, keepdim=True)
    assert float(deviations.std()) == pytest.approx(0.5, rel=0.02)
    error = now.mean(1) - found.truth[0]  # one short step changes little
    assert float(error.std()) == pytest.approx(0.5, rel=0.1)


def test_the_truth_itself_is_not_moved_by_the_spread_of_the_members() -> None:
    def later(size: float) -> Callable[[Tensor, torch.Generator], Tensor]:
        sizes = [0.0, size]  # of the law of experiments, and of the members
        return lambda states, source: torch.full_like(states, sizes.pop(0))

    moved, still = (sciml.twin(LORENZ, EVERYWHERE, 2, members=3, spin_up=1.0, spread=later(size)) for size in (1.0, 0.0))
    assert torch.equal(moved.truth, still.truth)
    torch.testing.assert_close(moved.ensemble, still.ensemble)  # truth and members are moved alike, so the centre is


def test_without_a_spread_truth_and_members_are_alike() -> None:
    found = sciml.twin(LORENZ, EVERYWHERE, 1, members=200, experiments=3, spin_up=0.0)
    assert float(found.ensemble.std(1).mean()) == pytest.approx(0.001**0.5, rel=0.05)  # as the problem's law says
    climate = sciml.twin(LORENZ, EVERYWHERE, 1, members=100, spin_up=20.0)
    assert float(climate.ensemble.std()) == pytest.approx(3.64, rel=0.05)


def test_a_spread_given_as_a_function_and_one_experiment_without_its_axis() -> None:
    def uneven(states: Tensor, source: torch.Generator) -> Tensor:
        return torch.randn(states.shape, dtype=states.dtype, generator=source) * torch.linspace(0.1, 1, 40, dtype=states.dtype)

    found = sciml.twin(LORENZ, EVERYWHERE, 2, members=2000, spread=uneven)
    assert tuple(found.truth.shape) == (2, 1, 40) and tuple(found.y.shape) == (2, 40) and tuple(found.ensemble.shape) == (2000, 1, 40)
    torch.testing.assert_close(found.ensemble.std(0)[0], torch.linspace(0.1, 1, 40, dtype=torch.float64), rtol=0.08, atol=0)


def test_data_come_as_often_as_published_and_on_other_models_steps() -> None:
    published = sciml.twin("kuramoto_sivashinsky:bocquet2019", EVERYWHERE, 2, members=2)
    assert published.every == 2 and published.interval == 1.0
    problem = sciml.load_problem(LORENZ)
    half = sciml.RK4(problem.equation, problem.grid(), dt=0.025)
    found = sciml.twin(problem, EVERYWHERE, 3, members=2, step=half)
    assert found.every == 2 and found.step is half
    later = sciml.rollout(sciml.RK4(problem.equation, problem.grid(), dt=0.05), found.truth[0], 2)[-1]
    torch.testing.assert_close(later, found.truth[2], rtol=0, atol=1e-9)


def test_an_imperfect_model_forecasts_another_equation() -> None:
    found = sciml.twin(LORENZ, EVERYWHERE, 2, members=2, step=sciml.Problem(**{**vars(sciml.load_problem(LORENZ)), "equation": Linear()}))
    u = found.ensemble
    torch.testing.assert_close(found.step(u), u * torch.exp(torch.tensor(-0.05, dtype=u.dtype)), rtol=1e-6, atol=0)
    assert float((found.truth[1] - found.truth[0]).abs().max()) > 0.3  # the forcing of the true equation


class Linear(sciml.Equation):
    """u_t = -u, with the fields of Lorenz 96."""

    fields = ("X",)
    lattice = True

    def linear(self, u: Any, d: sciml.Derivatives) -> Any:
        return -u

    def nonlinear(self, u: Any, d: sciml.Derivatives) -> Any:
        return None


class Coarse:
    """A stand-in for a network: single precision, on a grid of its own."""

    dt = 0.01
    grid = sciml.Grid((32,), (2.0,), (True,), (-1.0,), torch.float32)

    def __call__(self, u: Tensor) -> Tensor:
        return u


def test_a_model_on_another_grid_and_in_single_precision_gets_truth_and_members_there() -> None:
    points = sciml.at_points(torch.linspace(-0.9, 0.8, 6))
    found = sciml.twin("burgers:raissi2019", sciml.Observation(points, 1e-9), 2, members=3, points=64, step=Coarse(), every=2, spread=0.1)
    assert found.truth.dtype is torch.float32 and tuple(found.ensemble.shape) == (3, 1, 32) and found.interval == 0.02
    assert found.y.dtype is torch.float32 and found.observation.grid == Coarse.grid
    wide = sciml.twin("burgers:raissi2019", sciml.Observation(points, 1e-9), 1, members=500, points=64, step=Coarse(), every=2, spread=0.1)
    assert float(wide.ensemble.std(0).mean()) == pytest.approx(0.1 * (33 / 64) ** 0.5, rel=0.03)  # waves 0 to 15, and twice the real part of the 16th
    with pytest.raises(sciml.InputError, match="the truth's grid .64,. shows 16 observations, the model's .32,. 8"):
        sciml.twin("burgers:raissi2019", sciml.Observation(sciml.every(4), 0.1), 2, members=3, points=64, step=Coarse(), spread=0.1)


def test_instruments_that_move_are_where_they_are_at_the_time_of_the_data() -> None:
    where = sciml.moving(lambda t: [[(10 * t) % 40], [20.0]], "linear")
    found = sciml.twin(LORENZ, sciml.Observation(where, 1e-9), 3, members=2, spin_up=1.0)
    for k in range(3):
        place = 10 * (found.start + (k + 1) * 0.05)
        j, share = int(place), place % 1
        expected = (1 - share) * found.truth[k, 0, j] + share * found.truth[k, 0, j + 1]
        torch.testing.assert_close(found.y[k, 0], expected, rtol=0, atol=1e-7)


def test_filters_meet_published_figures_on_a_twin() -> None:
    found = sciml.twin(LORENZ, EVERYWHERE, 400, members=24, experiments=3)
    score = found.run(sciml.ETKF(1.013, rotate=True)).score("rmse.a", 150)
    assert 0.15 < float(score.mean()) < 0.21  # 0.18


@pytest.mark.parametrize(
    ("analysis", "every"),
    [
        (sciml.ETKF(1.05, rotate=True), 0.0),
        (sciml.EnKF(1.05), 0.0),
        (sciml.LETKF(1.05, radius=4.0, rotate=True), 1e9),
        (sciml.ETKF(sciml.AdaptiveInflation()), 0.0),
        (sciml.ParticleFilter(jitter=0.5), 0.0),
        (EnKS(sciml.ETKF(1.02, rotate=True), lag=3), 0.0),
        (IEnKS(lag=2, inflation=1.05, rotate=True), 0.0),
        (FourDVar(0.05, window=3, shift=2), 1e9),
    ],
    ids=["etkf", "enkf", "letkf", "adaptive", "particle", "enks", "ienks", "4dvar"],
)
def test_an_interrupted_run_goes_on_with_the_same_bits(tmp_path: Path, analysis: Assimilator, every: float) -> None:
    found, path = lorenz(), tmp_path / "run.pt"
    whole = found.run(analysis, burn_in=3)

    def stop(fraction: float) -> None:
        if fraction > 0.4:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt) as caught:
        found.run(analysis, burn_in=3, checkpoint=path, checkpoint_every=every, progress=stop)
    assert "resume=True goes on from it" in caught.value.__notes__[0] and path.exists()
    seen: list[float] = []
    same(found.run(analysis, burn_in=3, checkpoint=path, resume=True, progress=seen.append), whole)
    assert len(seen) == 7  # 5 of 12 were there
    same(found.run(analysis, burn_in=3, checkpoint=path, resume=True, progress=seen.append), whole)
    assert len(seen) == 7  # and now all


def test_notes_and_replaced_members_survive_an_interruption(tmp_path: Path) -> None:
    class Fragile:
        dt, grid = 1.0, sciml.Grid((4,), (4.0,))

        def __call__(self, u: Tensor) -> Tensor:
            return torch.where(u.abs().amax((-1, -2), keepdim=True) > 2.4, torch.nan, 1.05 * u)

    source = torch.Generator().manual_seed(5)
    first = torch.randn(12, 1, 4, dtype=torch.float64, generator=source)
    y = torch.randn(8, 4, dtype=torch.float64, generator=source)

    def run(**options: Any) -> Cycles:
        g = torch.Generator().manual_seed(1)
        return sciml.cycle(Fragile(), sciml.EnKF(1.2), EVERYWHERE, y, first, generator=g, lost="replace", **options)

    whole = run()
    assert whole.notes
    for k in (1, 5):
        stops = threading.Event()

        def stop(fraction: float, at: float = k / 8, stops: threading.Event = stops) -> None:
            if fraction >= at and not stops.is_set():
                stops.set()
                os.kill(os.getpid(), signal.SIGINT)

        path = tmp_path / f"{k}.pt"
        with pytest.raises(KeyboardInterrupt):
            run(checkpoint=path, progress=stop)
        same(run(checkpoint=path, resume=True), whole)


def test_an_error_keeps_what_was_reached_and_no_derivatives(tmp_path: Path) -> None:
    found, path = lorenz(), tmp_path / "run.pt"
    y = found.y.clone()
    y[6, 0, 0] = torch.inf

    def run(data: Tensor, **options: Any) -> Cycles:
        g = torch.Generator().manual_seed(0)
        return sciml.cycle(found.step, sciml.ETKF(1.05), EVERYWHERE, data, found.ensemble.clone().requires_grad_(), generator=g, **options)

    with torch.no_grad(), pytest.raises(sciml.InputError, match="infinite data") as caught:
        run(y, checkpoint=path, checkpoint_every=1e9)
    assert str(path) in caught.value.__notes__[0]
    content = torch.load(path, weights_only=True)
    assert content["position"]["number"] == 6 and len(content["position"]["tally"]["times"]) == 6
    mean = content["position"]["tally"]["mean"]
    assert len(mean) == 6 and mean.untyped_storage().nbytes() == mean.nbytes  # rows that do not exist yet are not in the file


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r(analysis=sciml.ETKF(1.06, rotate=True)), r"analysis was ETKF\(inflation=1.05"),
        (lambda r: r(seed=1), "generator was"),
        (lambda r: r(burn_in=4), "settings was"),
        (lambda r: r(y=True), "y was"),
        (lambda r: r(step=0.04), "model was"),
    ],
)
def test_another_run_is_not_gone_on_with(tmp_path: Path, change: Callable[[Callable[..., Cycles]], Cycles], message: str) -> None:
    found, path = lorenz(3), tmp_path / "run.pt"
    problem = sciml.load_problem(LORENZ)

    def run(analysis: Assimilator | None = None, seed: int = 0, burn_in: int = 0, y: bool = False, step: float = 0.05) -> Cycles:
        return sciml.cycle(
            sciml.RK4(problem.equation, problem.grid(), dt=step),
            analysis or sciml.ETKF(1.05, rotate=True),
            EVERYWHERE,
            found.y + y,
            found.ensemble,
            generator=torch.Generator().manual_seed(seed),
            burn_in=burn_in,
            checkpoint=path,
            resume=path.exists(),
        )

    run()
    run()
    with pytest.raises(sciml.InputError, match=f"holds another run: .*{message}"):
        change(run)


def test_checkpoints_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    found, path = lorenz(2), tmp_path / "run.pt"
    path.write_text("nothing")
    with pytest.raises(sciml.InputError, match="is there already"):
        found.run(sciml.ETKF(), checkpoint=path)
    with pytest.raises(sciml.InputError, match="is damaged, or no checkpoint of cycle"):
        found.run(sciml.ETKF(), checkpoint=path, resume=True)
    torch.save({"format": "sciml cycles", "version": 0, "recipe": {}, "position": dict.fromkeys(("number", "state", "generator", "tally"))}, path)
    with pytest.raises(sciml.InputError, match="another version"):
        found.run(sciml.ETKF(), checkpoint=path, resume=True)
    with pytest.raises(sciml.InputError, match="give checkpoint= too"):
        found.run(sciml.ETKF(), resume=True)
    with pytest.raises(sciml.InputError, match="checkpoint_every=-1"):
        found.run(sciml.ETKF(), checkpoint=tmp_path / "b.pt", checkpoint_every=-1.0)
    with pytest.raises(sciml.InputError, match="does not exist"):
        found.run(sciml.ETKF(), checkpoint=tmp_path / "no" / "b.pt")


def test_results_as_datasets_and_files(tmp_path: Path) -> None:
    found = lorenz(4)
    run = found.run(sciml.ETKF(1.05))
    ds = run.to_xarray()
    assert dict(ds.sizes) == {"sample": 2, "time": 4, "x": 40, "rank_of_truth": 11, "member": 10}
    torch.testing.assert_close(torch.from_numpy(ds["X"].values), run.mean[:, :, 0].transpose(0, 1))
    torch.testing.assert_close(torch.from_numpy(ds["X_truth"].values), found.truth[:, :, 0].transpose(0, 1))
    torch.testing.assert_close(torch.from_numpy(ds["X_member"].values), run.ensemble[:, :, 0])
    assert ds["rmse_a"].values.tolist() == run.series["rmse.a"].tolist() and int(ds["ranks"].sum()) == 4 * 2 * 40
    assert ds.attrs["problem"] == LORENZ and ds.attrs["method"] == "ETKF"
    assert sciml.load(run.save(tmp_path / "run.nc", found.problem))["X"].equals(ds["X"])
    rows = list(csv.DictReader(run.save(tmp_path / "run.csv").read_text().splitlines()))
    assert len(rows) == 8 and [row["experiment"] for row in rows[:3]] == ["0", "1", "0"]
    assert float(rows[5]["rmse.a"]) == float(run.series["rmse.a"][2, 1]) and float(rows[5]["time"]) == run.times[2]
    with pytest.raises(sciml.InputError, match="ends in .nc for all results, or in .csv"):
        run.save(tmp_path / "run.txt")
    assert list(run.solution().data_vars) == ["X"] and run.solution()["X"].dims == ("sample", "time", "x")
    run.problem = None
    assert list(run.solution().data_vars) == ["u"] and torch.equal(torch.from_numpy(run.solution()["u"].values), torch.from_numpy(ds["X"].values))


def test_a_result_without_truth_or_batch_and_with_several_fields_has_names_too() -> None:
    found = sciml.twin("lorenz:sakov2012", sciml.Observation(sciml.every(1), 1.4), 3, members=4)
    run = sciml.cycle(found.step, sciml.ETKF(), found.observation, found.y, found.ensemble, generator=torch.Generator(), every=25)
    assert list(run.solution().data_vars) == ["u0", "u1", "u2"]
    ds = run.to_xarray(found.problem)
    assert {"x", "y", "z", "x_member", "spread_a"} <= set(ds.data_vars) and "rmse_a" not in ds and "ranks" not in ds
    torch.testing.assert_close(torch.from_numpy(ds["z"].values), run.mean[:, 2])


def explained(spread: float, noise: float, distance: float, missing: bool = False, rows: int = 30) -> str:
    """One analysis of independent members of a given spread, with data so far from their mean."""
    source = torch.Generator().manual_seed(2)

    class Still:
        dt, grid = 1.0, sciml.Grid((6,), (6.0,))

        def __call__(self, u: Tensor) -> Tensor:
            return u

    ensemble = spread * torch.randn(rows, 1, 6, dtype=torch.float64, generator=source)
    y = torch.full((1, 6), torch.nan if missing else distance, dtype=torch.float64)
    run = sciml.cycle(Still(), sciml.ETKF(), sciml.Observation(sciml.every(1), noise), y, ensemble, generator=source)
    return run.explain(0)


def test_explanations_tell_small_increments_apart() -> None:
    assert "no data. The analysis is the forecast" in explained(1.0, 1.0, 1.0, missing=True)
    assert "believes itself" in explained(0.1, 1.0, 5.0)
    assert "the forecast is the better source" in explained(0.1, 1.0, 1.0)
    assert "agree better than spread and errors" in explained(1.0, 1.0, 0.05)
    assert "differ more than spread and errors allow" in explained(1.0, 1.0, 6.0)
    usual = explained(1.0, 1.0, 1.2)
    assert "small because" not in usual and "6 data" in usual
    assert "Nearly all spread is along one direction" in explained(1.0, 1.0, 1.2, rows=2)


def test_an_explanation_has_the_numbers_of_the_cycle() -> None:
    run = lorenz(4).run(sciml.ETKF(1.05))
    text = run.explain(2, 1)
    for name in ("spread.f", "spread.a", "increment", "innovation", "gain", "dof", "rmse.f", "rmse.a"):
        assert f"{float(run.series[name][2, 1]):.3g}" in text
    assert "Cycle 2, t = 0.15: 40 data" in text and run.explain(-2, 1) == text
    prior, noise = 0.03**2, 1.0
    assert float(run.series["gain"][0].mean()) == pytest.approx(prior / (prior + noise), rel=0.2)
    with pytest.raises(sciml.InputError, match="4 cycles and 2 experiments"):
        run.explain(4)
    with pytest.raises(sciml.InputError, match="experiment 2"):
        run.explain(0, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spread": 0.0}, "spread=0.0 given"),
        ({"spread": lambda states, source: states[0]}, "spread gave deviations"),
        ({"spin_up": -1.0}, "spin_up=-1.0"),
        ({"every": 0}, "every=0"),
        ({"experiments": 0}, "experiments=0"),
        ({"method": "scipy"}, "takes no steps of fixed length"),
        ({"step": sciml.load_problem("lorenz:sakov2012")}, "has other fields or another domain"),
        ({"step": Coarse()}, "covers another domain"),
        ({"step": torch.nn.Linear(3, 3)}, "a Linear given as the model, which makes no steps"),
    ],
)
def test_twins_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((sciml.InputError, sciml.UnsupportedError), match=message):
        sciml.twin(LORENZ, EVERYWHERE, 2, **{"members": 2, **options})


def test_twins_of_problems_that_cannot_be_forecast_are_refused() -> None:
    with pytest.raises(sciml.InputError, match="always the same, so members would be equal; give spread="):
        sciml.twin("burgers:raissi2019", EVERYWHERE, 2)
    with pytest.raises(sciml.UnsupportedError, match="has no evolution in time"):
        sciml.twin(STEADY, EVERYWHERE, 2)
    with pytest.raises(sciml.BlowUpError, match="does not stay finite"):
        sciml.twin(LORENZ, EVERYWHERE, 20, members=2, dt=2.0)
    still = Coarse()
    vars(still)["dt"] = None
    with pytest.raises(sciml.InputError, match="without a time step"):
        sciml.twin("burgers:raissi2019", EVERYWHERE, 2, spread=0.1, step=still)


STEADY = next(name for name in sciml.problem_names() if sciml.load_problem(name).steady)
