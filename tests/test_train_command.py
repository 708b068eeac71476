"""``sciml train`` and the method ``fno``: from a problem or from files to a model whose figures are those of its file."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import sciml
from sciml.cli.main import main
from sciml.methods.base import Settings
from sciml.methods.operators import PERTURBATION, TrainedFNO, smooth
from sciml.methods.registry import find_methods, methods
from sciml.training.evaluate import forecasts, mean_loss, step_of

SMALL = ["--points", "16", "--end", "0.2", "--times", "4", "--samples", "10", "--epochs", "2", "--width", "4", "--depth", "1", "--modes", "4"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIML_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def train(*arguments: str | Path) -> int:
    return main(["train", *map(str, arguments)])


def number(text: str, output: str) -> float:
    found = re.search(text + r"\D*([0-9.]+e[+-]\d+)", output)
    assert found is not None, output
    return float(found[1])


def test_from_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model.pt"
    assert train("fno", "burgers:li2021", "--out", out, "--log", tmp_path / "log.csv", "--lag", "2", *SMALL) == 0
    said = capsys.readouterr().out
    model = sciml.load_model(out)
    assert isinstance(model, sciml.FNO) and model.dt == pytest.approx(0.1) and model.residual
    assert (model.width, model.depth, model.grid.shape, model.grid.dtype) == (4, 1, (16,), torch.float32)
    folder = sciml.generate("burgers:li2021", 10, points=16, end=0.2, times=4)
    data = sciml.open_data(folder)
    test = sciml.pairs(data, 2, samples=slice(9, 10), dtype=torch.float32)
    assert "24 pairs for training, 3 for validation, 3 for the test" in said
    batch = test.__getitems__(range(3))
    expected = sciml.relative_l2(model(batch.u), batch.target).item()
    assert number("one step: relative L2 error", said) == pytest.approx(expected, rel=1e-3)
    assert mean_loss(model, test) == pytest.approx(expected, rel=1e-5)
    assert "1 runs of 0.2" in said and "0% blew up" in said and f"wrote {out}" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.csv", "model.pt"]
    first = {name: value.clone() for name, value in model.state_dict().items()}
    assert train("fno", "burgers:li2021", "--out", out, "--lag", "2", *SMALL) == 0
    again = sciml.load_model(out).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())


def test_states_instead_of_changes_and_events_for_tensorboard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = tmp_path / "board"
    assert train("fno", "burgers:li2021", "--out", tmp_path / "m.pt", "--direct", "--tensorboard", board, *SMALL) == 0
    assert not sciml.load_model(tmp_path / "m.pt").residual
    assert f"wrote {board}" in capsys.readouterr().out and len(list(board.glob("events.out.tfevents.*"))) == 1


@pytest.mark.parametrize("name", ["ffno", "transolver"])
def test_other_models(name: str, tmp_path: Path) -> None:
    options = SMALL if name == "ffno" else SMALL[:-2]
    assert train(name, "burgers:li2021", "--out", tmp_path / "m.pt", *options, "--width", "8") == 0
    assert type(sciml.load_model(tmp_path / "m.pt")).__name__ == {"ffno": "FactorisedFNO", "transolver": "Transolver"}[name]


@pytest.mark.parametrize("format", ["well", "pdebench"])
def test_from_files_of_other_formats(format: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sciml.generate("burgers:li2021", 10, tmp_path / "data", format=format, points=16, end=0.2, times=4)
    assert train("fno", folder, "--out", tmp_path / "m.pt", *SMALL[8:]) == 0
    said = capsys.readouterr().out
    assert "32 pairs for training, 4 for validation, 4 for the test" in said
    assert sciml.load_model(tmp_path / "m.pt").dt == pytest.approx(0.05)


@pytest.mark.parametrize(("sample", "part"), [(3, "training"), (9, "test")])
def test_data_that_are_not_finite_are_told(sample: int, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ds = sciml.solve(sciml.load_problem("burgers:li2021"), points=16, end=0.2, times=4, samples=10)
    ds["u"].values[sample, 2, 5] = math.nan
    assert train("fno", sciml.save(ds, tmp_path / "data.nc"), "--out", tmp_path / "m.pt", *SMALL[8:]) == 2
    assert re.search(rf"^sciml: Sample \d+, \d+ of the {part} data holds numbers that are not finite", capsys.readouterr().err, re.MULTILINE)


def test_from_steady_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("fno", "darcy:li2021", "--out", tmp_path / "m.pt", "--points", "12", "--samples", "5", *SMALL[8:]) == 0
    said = capsys.readouterr().out
    model = sciml.load_model(tmp_path / "m.pt")
    assert model.dt is None and model.grid.ndim == 2 and not model.residual
    assert "3 pairs for training" in said and "test, solution" in said and "blew up" not in said


def test_an_interrupted_command_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    straight, broken = tmp_path / "straight.pt", tmp_path / "broken.pt"
    assert train("fno", "burgers:li2021", "--out", straight, *SMALL) == 0
    from sciml.training.loop import Loop

    real, count = Loop._share_clock, 0

    def counted(self: Loop, asked: Any) -> tuple[bool, bool]:
        nonlocal count
        count += 1
        ended, due = real(self, asked)
        return ended or count == 3, due

    monkeypatch.setattr(Loop, "_share_clock", counted)
    assert train("fno", "burgers:li2021", "--out", broken, "--batch-size", "32", *SMALL) == 130
    assert "--resume" in capsys.readouterr().err and (tmp_path / "broken.pt.partial").exists() and not broken.exists()
    assert train("fno", "burgers:li2021", "--out", broken, *SMALL) == 2
    assert "--resume goes on" in capsys.readouterr().err
    assert train("fno", "burgers:li2021", "--out", broken, "--resume", "--lr", "0.1", *SMALL) == 2
    assert "another training" in capsys.readouterr().err
    assert train("fno", "burgers:li2021", "--out", broken, "--resume", *SMALL) == 0
    a, b = (sciml.load_model(path).state_dict() for path in (straight, broken))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["unet", "burgers:li2021"], "use fno, ffno, transolver"),
        (["fno", "burgers:nobody"], "nobody"),
        (["fno", "missing.nc"], "no such file"),
        (["fno", "missing/"], "no such file"),
        (["fno", "empty"], "holds no file"),
        (["fno", "halves"], "there are train"),
        (["fno", "torn"], "data/valid/burgers_li2021.hdf5 is missing, of 4 files that were generated there"),
        (["fno", "data", "--points", "8"], "are for problems"),
        (["fno", "two"], "at least 3"),
        (["fno", "data", "--lag", "4"], "at most 3"),
        (["fno", "data", "--modes", "40"], "modes"),
        (["transolver", "data", "--modes", "4"], "--modes is no option of transolver"),
        (["fno", "data", "--precision", "half"], "precision"),
        (["fno", "data", "--device", "cuda:99"], "cannot be used"),
        (["fno", "data", "--log", "log.txt"], ".csv"),
        (["fno", "uneven", "--log", "log.csv"], "equally spaced"),
    ],
)
def test_bad_input(arguments: list[str], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    if arguments[1] == "torn":
        sciml.generate("burgers:li2021", 10, "torn", points=8, end=0.3, times=3, format="well")
        (tmp_path / "torn" / "data" / "valid" / "burgers_li2021.hdf5").unlink()
    if arguments[1] == "halves":
        sciml.generate("burgers:li2021", 10, "whole", points=8, end=0.3, times=3, format="well")
        (tmp_path / "whole" / "data" / "train").rename(tmp_path / "train")
        (tmp_path / "halves").mkdir()
        (tmp_path / "train").rename(tmp_path / "halves" / "train")
    source = arguments[1]
    if source in ("two", "data", "uneven"):
        times = [0.0, 0.1, 0.3] if source == "uneven" else 3
        sciml.generate("burgers:li2021", 2 if source == "two" else 4, tmp_path / source, points=8, end=0.3, times=times)
    assert train(*arguments, "--out", "m.pt") == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert word in message and message.startswith("sciml: ")
    assert not (tmp_path / "m.pt").exists() and not (tmp_path / "m.pt.partial").exists()


def test_forecasts_of_a_perfect_and_of_a_poor_model(tmp_path: Path) -> None:
    folder = sciml.generate("advection:krishnapriyan2021", 1, tmp_path / "wave", points=16, end=0.5, times=5)
    data = sciml.open_data(folder)
    problem = sciml.load_problem("advection:krishnapriyan2021")
    exact = sciml.ETDRK4(problem.equation, data.grid, dt=step_of(data, 1))
    found = forecasts(exact, data, 1)
    assert found.error < 1e-6 and found.until == math.inf and found.blown_up == 0.0 and found.horizon == pytest.approx(0.5) and found.runs == 1

    class Grow:
        dt, grid = exact.dt, data.grid

        def __call__(self, u: torch.Tensor) -> torch.Tensor:
            return 5.0 * u  # while the wave turns by 3 radians per step

    poor = forecasts(Grow(), data, 1)
    assert poor.blown_up == 1.0 and poor.error > 100 and poor.until == pytest.approx(0.1 * 0.2 / (1 - math.cos(3.0)), rel=1e-6)
    with pytest.raises(sciml.InputError, match="lag=9"):
        forecasts(exact, data, 9)


def settings(**options: Any) -> Settings:
    return Settings(**{"times": [0.0, 0.05, 0.1], "points": 16, "budget": 1.0, **options})


def test_the_method_learns_and_says_from_what() -> None:
    problem = sciml.load_problem("burgers:li2021")
    method = methods()["fno"]
    assert not method.default and method not in find_methods(None, problem)
    seen: list[float] = []
    result = method.run(problem, settings(budget=8.0), seen.append)
    truth = sciml.to_tensor(sciml.solve(problem, points=16, times=[0.0, 0.05, 0.1], seed=0))
    found = sciml.to_tensor(result.dataset)
    assert found.dtype == torch.float32 and torch.allclose(found[0].double(), truth[0], atol=1e-6)
    still = sciml.relative_l2(truth[:1].expand(2, -1, -1), truth[1:]).item()  # of a forecast that nothing changes
    assert sciml.relative_l2(found[1:].double(), truth[1:]).item() < 0.9 * still  # how far it comes hangs on the machine
    assert "drawn from the initial law" in result.notes and "trajectories" in result.notes
    assert set(result.cost) == {"data_s", "training_s", "forecast_s", "parameters", "state_bytes", "model_bytes"}
    assert result.cost["data_s"] + result.cost["training_s"] < 16
    assert seen == sorted(seen) and seen[0] > 0 and seen[-1] <= 0.95 + 1e-9


def test_the_method_is_honest_about_deterministic_problems() -> None:
    problem = sciml.load_problem("kuramoto_sivashinsky:kassam2005")
    result = methods()["fno"].run(problem, settings(times=[0.0, 1.0, 2.0], points=32))
    assert f"times 1 + r, r smooth, random and up to {PERTURBATION:g}" in result.notes


def test_perturbations_are_smooth_bounded_and_random() -> None:
    generator = torch.Generator().manual_seed(0)
    for grid in (sciml.Grid((64,), (3.0,)), sciml.Grid((24, 32), (1.0, 2.0), (True, False), (1.0, -1.0))):
        draws = [smooth(grid, generator) for _ in range(40)]
        sizes = [float(r.abs().max()) for r in draws]
        assert max(sizes) <= PERTURBATION and max(sizes) > 0.6 * PERTURBATION and min(sizes) < 0.4 * PERTURBATION
        assert all(r.shape == grid.shape for r in draws) and not torch.equal(draws[0], draws[1])
        power = torch.fft.rfft(draws[0].mean(tuple(range(1, grid.ndim))) if grid.ndim > 1 else draws[0]).abs()
        assert power[5:].max() < 1e-10 * power.max()


@pytest.mark.parametrize(
    ("name", "word"), [("lorenz:sakov2012", "ordinary system"), ("darcy:li2021", "evolution equation"), ("lorenz:sakov2008", "ordinary system")]
)
def test_where_the_method_does_not_apply(name: str, word: str) -> None:
    assert word in (TrainedFNO().applies(sciml.load_problem(name)) or "")


def test_a_step_must_suit_all_times_and_need_not_know_the_time() -> None:
    problem = sciml.load_problem("burgers:li2021")
    with pytest.raises(sciml.InputError, match="equally spaced"):
        methods()["fno"].run(problem, settings(times=[0.0, 0.1, 0.3]))
    with pytest.raises(sciml.InputError, match="budget=0"):
        methods()["fno"].run(problem, settings(budget=0.0))

    class Forced(sciml.Equation):
        autonomous = False

        def nonlinear(self, u: Any, d: Any) -> Any:
            return d.time - u

    from dataclasses import replace

    assert "depends on time" in (TrainedFNO().applies(replace(problem, equation=Forced())) or "")
