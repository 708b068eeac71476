"""``sciml assimilate``: what it prints and writes, what it refuses, and how it goes on after an interruption."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import sciml
from sciml.assimilation.methods import ANALYSES, analysis, options_of
from sciml.cli.assimilate import chosen_methods, noise_of, observed
from sciml.cli.main import main
from sciml.report.assimilate import assimilate
from sciml.surrogates.operators.fno import FNO

SMALL = ["lorenz:sakov2008", "--members", "10", "--cycles", "9", "--every", "1"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line with which bad input is answered."""
    assert main(["assimilate", *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("sciml: ")
    assert not Path("assimilation").exists() and not Path("assimilation.partial").exists()
    return lines[-1]


def test_scores_are_printed_beside_published_ones_and_everything_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--method", "etkf,letkf", "--radius", "4", "--inflation", "1.05", "--rotate", "--experiments", "2"]
    assert main(["assimilate", *SMALL, *words]) == 0
    out = capsys.readouterr().out.splitlines()
    rows = {row["method"]: row for row in csv.DictReader(Path("assimilation/scores.csv").read_text().splitlines())}
    assert out[0].split() == ["method", "rmse.f", "rmse.a", "spread.a", "crps", "consistency", "wall", "time"]
    assert out[1].split()[:3] == ["etkf", f"{float(rows['etkf']['rmse.f']):.4g}", f"{float(rows['etkf']['rmse.a']):.4g}"]
    assert "published" in out and any(line.split()[-1] == "0.22" and "LETKF N=7" in line for line in out)
    assert out[-1] == "wrote assimilation/report.html and 7 more files beside it"
    assert {p.name for p in Path("assimilation").iterdir()} == {".sciml-report", "report.html", "scores.csv"} | {
        f"{name}.{kind}" for name in ("etkf", "letkf") for kind in ("nc", "csv", "png")
    }
    kept = sciml.load("assimilation/letkf.nc")
    assert float(rows["letkf"]["rmse.a"]) == pytest.approx(float(kept["rmse_a"].isel(time=slice(3, None)).mean()))
    error = ((kept["X"] - kept["X_truth"]) ** 2).mean("x") ** 0.5
    assert float(abs(error.transpose("time", "sample") - kept["rmse_a"]).max()) < 1e-12
    assert float(rows["etkf"]["standard_error"]) > 0
    page = Path("assimilation/report.html").read_text()
    assert "published: ETKF N=24" in page and "sciml assimilate lorenz:sakov2008" in page and page.count("data:image/png") >= 3


def test_the_command_on_the_page_makes_the_same_scores(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*SMALL, "--observe", "every:2", "--noise", "0.5", "--seed", "3", "--method", "enkf", "--option", "inflation=1.1", "--spread", "0.4"]
    assert main(["assimilate", *words, "--spin-up", "1", "--burn-in", "2", "--dt", "0.04", "--channels", "0", "--out", "one"]) == 0
    text = Path("one/report.html").read_text().split("<h2>To repeat this</h2><pre>")[1].split("</pre>")[0]
    assert main([*text.split()[1:], "--out", "two"]) == 0
    one, two = (list(csv.DictReader((Path(name) / "enkf.csv").read_text().splitlines())) for name in ("one", "two"))
    assert one == two and len(one) == 9


def test_the_seed_is_that_of_the_methods_and_published_noise_is_a_variance() -> None:
    experiment = sciml.twin("lorenz:sakov2008", sciml.Observation(sciml.every(1), 1.0), 2, members=5)
    one, two, three = (assimilate(experiment, ["enkf"], f"run{i}", seed=seed).rows[0].run for i, seed in enumerate((0, 1, 1)))
    assert one is not None and two is not None and three is not None
    assert torch.equal(two.ensemble, three.ensemble) and not torch.equal(one.ensemble, two.ensemble)
    assert noise_of(None, sciml.load_problem("lorenz:bocquet2010_m40")) == 1.5 and noise_of(0.3, experiment.problem) == 0.3


def test_list_names_the_analyses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.split("ANALYSES")[1].splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(ANALYSES)


def test_options_go_to_the_methods_that_have_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert chosen_methods(["etkf", "letkf"], {"radius": 2.0, "inflation": 1.1}) == {
        "etkf": {"inflation": 1.1},
        "letkf": {"radius": 2.0, "inflation": 1.1},
    }
    assert "--radius given, which none of the methods has: etkf has inflation, rotate" in refused(capsys, *SMALL, "--radius", "3")
    assert "method 'kalman' is not known; choose etkf, letkf" in refused(capsys, *SMALL, "--method", "kalman")
    assert "LETKF: give radius=" not in refused(capsys, *SMALL, "--method", "letkf", "--radius", "-3")


@pytest.mark.parametrize("name", ANALYSES)
def test_every_method_runs_by_its_name(name: str) -> None:
    found = sciml.twin("lorenz:sakov2008", sciml.Observation(sciml.every(1), 1.0), 3, members=10, spread=0.5, spin_up=1.0)
    run = found.run(analysis(name))
    assert len(run.times) == 3 and float(run.series["rmse.a"][-1]) < 1.0
    assert options_of(name)


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(sciml.InputError, match="method etkf: radius is no option of it; it has inflation, rotate"):
        analysis("etkf", {"radius": 1.0})
    with pytest.raises(sciml.InputError, match="cannot be used"):
        analysis("etkf", {"inflation": []})
    with pytest.raises(sciml.InputError, match="no method given"):
        assimilate(sciml.twin("lorenz:sakov2008", sciml.Observation(sciml.every(1), 1.0), 2, members=3), {})
    with pytest.raises(sciml.InputError, match="burn_in=2 given for 2 cycles"):
        assimilate(sciml.twin("lorenz:sakov2008", sciml.Observation(sciml.every(1), 1.0), 2, members=3), ["etkf"], burn_in=2)


def test_instruments_by_words() -> None:
    line = sciml.Grid((32,), (4.0,), (True,), (-2.0,))
    u = torch.cos(torch.pi * line.axes()[0]).unsqueeze(0)

    def seen(text: str, grid: sciml.Grid = line, state: torch.Tensor = u) -> torch.Tensor:
        return sciml.Observation(observed(text, grid, None, 1), 1.0, grid=grid)(state)

    assert torch.equal(seen("every:8"), u[0, ::8])
    torch.testing.assert_close(seen("points:0.25,1"), torch.cos(torch.pi * torch.tensor([0.25, 1.0], dtype=torch.float64)))
    assert len(seen("fourier:3")) == 7 and float(seen("fourier:3")[3]) == pytest.approx(0.5**0.5)
    torch.testing.assert_close(seen("average:0.5"), u[0] * torch.sin(torch.tensor(torch.pi / 4)).double() / (torch.pi / 4), rtol=0, atol=1e-7)
    places = observed("random:50", line, None, 1).locations(line, 1, 0.0)
    assert places is not None and float(places.min()) > -2 and float(places.max()) < 2 and len(places.unique()) == 50
    plane = sciml.Grid((8, 8), (1.0, 1.0))
    assert len(seen("fourier:2", plane, torch.zeros(1, 8, 8, dtype=torch.float64))) == 25


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing:here"], "Unknown problem"),
        ([*SMALL, "--observe", "every"], "write every:4, random:20"),
        ([*SMALL, "--observe", "some:3"], "--observe 'some:3' is not known"),
        ([*SMALL, "--observe", "every:x"], "'x' is no number; write every:4"),
        ([*SMALL, "--observe", "every:1.5"], "one whole number is needed"),
        ([*SMALL, "--observe", "average:1,2"], "one number is needed"),
        ([*SMALL, "--observe", "average:inf"], "one number is needed"),
        ([*SMALL, "--channels", "a"], "no numbers of fields"),
        ([*SMALL, "--channels", "1"], "the state has 1 fields"),
        ([*SMALL, "--noise", "0"], "standard deviations must be positive"),
        ([*SMALL, "--burn-in", "9"], "--burn-in 9 given for 9 cycles"),
        ([*SMALL, "--model", "missing.pt"], "missing.pt"),
        ([*SMALL, "--model", "missing.pt", "--imperfect", "points=40"], "--model and --imperfect given"),
        ([*SMALL, "--set", "forcing"], "--set 'forcing' is not NAME=VALUE"),
        ([*SMALL, "--members", "0"], "--members"),
        (["burgers:raissi2019", "--spread", "0.1"], "--noise is needed: burgers:raissi2019 publishes no errors"),
        (["burgers:raissi2019", "--noise", "0.1"], "give spread="),
        (["poisson:periodic", "--noise", "0.1"], "no evolution in time"),
    ],
)
def test_bad_input_is_answered_in_one_line(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert message in refused(capsys, *words)


def test_a_method_that_fails_is_a_row_and_all_failing_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["lorenz:sakov2008", "--members", "10", "--cycles", "6", "--observe", "fourier:2"]
    assert main(["assimilate", *words, "--method", "letkf,etkf", "--radius", "4"]) == 0
    out = capsys.readouterr().out
    assert "letkf" in out and "the data have no places" in out and out.splitlines()[2].startswith("etkf  ")
    assert "the data have no places" in Path("assimilation/report.html").read_text()
    assert main(["assimilate", *words, "--method", "letkf", "--radius", "4", "--out", "other"]) == 2
    assert "No method finished on lorenz:sakov2008. letkf: LETKF: the data have no places" in capsys.readouterr().err
    assert not Path("other").exists() and not Path("other.partial").exists()


def test_an_interrupted_experiment_is_gone_on_with(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*SMALL, "--method", "etkf,enkf", "--rotate"]
    assert main(["assimilate", *words, "--out", "whole"]) == 0
    genuine = sciml.ETKF.moments
    calls = []

    def interrupted(self: Any, prior: Any) -> Any:
        calls.append(prior.time)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return genuine(self, prior)

    monkeypatch.setattr(sciml.ETKF, "moments", interrupted)
    assert main(["assimilate", *words]) == 130
    error = capsys.readouterr().err
    assert "interrupted." in error and "--resume" in error
    assert main(["assimilate", *words]) == 2 and "give --resume" in capsys.readouterr().err
    assert main(["assimilate", *words, "--seed", "1", "--resume"]) == 2
    assert "holds another run" in capsys.readouterr().err
    assert main(["assimilate", *words, "--resume"]) == 0
    assert len(calls) == 9  # none twice
    for name in ("etkf", "enkf"):
        assert (Path("assimilation") / f"{name}.csv").read_text() == (Path("whole") / f"{name}.csv").read_text()
    assert not list(Path("assimilation").glob("*.pt")) and not Path("assimilation.partial").exists()


def trained(path: Path, change: Callable[[FNO], None] | None = None) -> None:
    grid = sciml.load_problem("burgers:raissi2019").grid(32, dtype=torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = FNO(grid, 1, modes=(4,), width=4, depth=1, dt=0.01, residual=True)
    model.save(path)


def test_forecasts_by_a_trained_model_and_by_an_imperfect_problem(capsys: pytest.CaptureFixture[str]) -> None:
    trained(Path("fno.pt"))
    words = [
        "burgers:raissi2019",
        "--noise",
        "0.05",
        "--spread",
        "0.2",
        "--members",
        "8",
        "--cycles",
        "4",
        "--points",
        "64",
        "--observe",
        "points:-0.5,0,0.5",
    ]
    assert main(["assimilate", *words, "--model", "fno.pt", "--every", "2"]) == 0
    kept = sciml.load("assimilation/etkf.nc")
    assert kept.sizes["x"] == 32 and str(kept["u"].dtype) == "float32" and kept["time"].values.tolist() == pytest.approx([0.02, 0.04, 0.06, 0.08])
    words = ["burgers:li2021", "--noise", "0.05", "--members", "8", "--cycles", "4", "--points", "32", "--dt", "0.01", "--every", "5"]
    assert main(["assimilate", *words, "--imperfect", "viscosity=0.02", "--out", "imperfect"]) == 0
    assert main(["assimilate", *words, "--out", "perfect"]) == 0
    one, two = (sciml.load(Path(name) / "etkf.nc") for name in ("imperfect", "perfect"))
    assert one["u_truth"].equals(two["u_truth"])
    assert float(one["rmse_f"][0, 0]) != float(two["rmse_f"][0, 0]) and float(abs(one["u"]).mean()) > 1.05 * float(abs(two["u"]).mean())
    capsys.readouterr()
