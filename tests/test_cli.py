"""The command line: what it writes, and how it refuses bad input: one line, no traceback, nothing left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sciml.cli.commands import _intervals
from sciml.cli.listing import plain_equation
from sciml.cli.main import main
from sciml.cli.parsing import parse_dtype, parse_names, parse_points, parse_settings, parse_sizes, parse_value
from sciml.core.errors import InputError
from sciml.core.loading import load_problem, problem_names
from sciml.io.dataset import grid_of
from sciml.io.netcdf import load
from sciml.methods.registry import methods
from sciml.solvers.solve import solve

CASE = "burgers:kassam2005"
SMALL = ["--points", "64", "--end", "0.1", "--times", "2"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_values_of_settings() -> None:
    assert parse_settings(["viscosity=1e-2", "count = 3", "flag=true", "wide-name=off", "law=a=b"]) == {
        "viscosity": 0.01,
        "count": 3,
        "flag": True,
        "wide_name": "off",
        "law": "a=b",
    }
    assert isinstance(parse_value("3"), int) and parse_value("No") is False and parse_value("-2.5") == -2.5
    assert parse_points("128") == 128 and parse_points("128,64") == (128, 64) and parse_points("8x6x4") == (8, 6, 4) and parse_points(None) is None
    assert parse_names("a, b,") == ["a", "b"] and parse_names(None) is None
    assert str(parse_dtype("float32")) == "torch.float32" and parse_dtype(None) is None
    for texts in (["viscosity"], ["=3"], ["a b=3"], ["a="], ["a=1", "a=2"]):
        with pytest.raises(InputError, match="--set"):
            parse_settings(texts)


def test_list_shows_everything(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in [*problem_names(), *methods()]:
        assert sum(line.split()[:1] == [name] for line in lines) == 1
    assert any("u_t = ν u_xx - (u²)_x/2" in line and "Raissi" in line for line in lines)
    assert max(map(len, lines)) <= 200


def test_equations_as_plain_text() -> None:
    assert plain_equation(r"u_t = - \frac{\left(u^{2}\right)_x}{2} + \nu u_{xx}") == "u_t = - (u²)_x/2 + ν u_xx"
    step = r"k = \begin{cases} 1 & \text{for}\: a \leq u \\0 & \text{otherwise} \end{cases}"
    assert plain_equation(step) == "k = 1 if a ≤ u else 0"
    assert plain_equation(r"g = 4 \cos{\left(4 y \right)}") == "g = 4 cos(4 y)"
    assert plain_equation(r"a_t = \frac{b + c}{\mathrm{radius}^{2} d} \\ b_t = 0") == "a_t = (b + c)/(radius² d); b_t = 0"


def test_solve_writes_what_the_library_computes(capsys: pytest.CaptureFixture[str]) -> None:
    outputs = ["--out", "run.nc", "--plot", "run.png", "--animate", "run.gif"]
    assert main(["solve", "burgers:raissi2019", "--set", "viscosity=0.05", *SMALL, "--dt", "0.01", *outputs]) == 0
    said = capsys.readouterr()
    assert [line.split()[-1] for line in said.out.splitlines() if line.startswith("wrote")] == ["run.nc", "run.png", "run.gif"]
    assert sorted(os.listdir()) == ["run.gif", "run.nc", "run.png"]
    ds = load("run.nc")
    expected = solve(load_problem("burgers:raissi2019", {"viscosity": 0.05}), points=64, end=0.1, times=2, dt=0.01)
    assert np.array_equal(ds["u"].values, expected["u"].values) and ds["time"].values.tolist() == [0.0, 0.05, 0.1]
    assert json.loads(ds.attrs["parameters"])["viscosity"] == 0.05 and ds.attrs["dt"] == pytest.approx(0.01)
    assert Path("run.png").read_bytes()[:4] == b"\x89PNG" and Path("run.gif").read_bytes()[:3] == b"GIF"


def test_solve_options(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--samples", "3", "--seed", "5", "--dtype", "float32", "--method", "etdrk2"]
    assert main(["solve", "burgers:li2021", *SMALL, *options, "--out", "a.nc"]) == 0
    ds = load("a.nc")
    assert dict(ds.sizes) == {"sample": 3, "time": 3, "x": 64} and ds["u"].dtype == np.float32 and ds.attrs["method"] == "etdrk2"
    expected = solve(load_problem("burgers:li2021"), points=64, end=0.1, times=2, samples=3, seed=5, method="etdrk2")
    assert np.abs(ds["u"].values - expected["u"].values).max() < 1e-4 * np.abs(expected["u"].values).max()
    assert main(["solve", CASE, *SMALL]) == 0 and "nothing was kept" in capsys.readouterr().out


def test_output_times_by_default_leave_the_published_step_alone() -> None:
    case = load_problem("kuramoto_sivashinsky:kassam2005")  # 600 steps of 0.25
    assert _intervals(case, None, None) == 200 and _intervals(case, 2.5, None) == 10 and _intervals(case, 0.1, None) == 1
    assert _intervals(case, 997 * 0.25, None) == 200  # no divisor serves
    assert _intervals(load_problem("lorenz:sakov2012"), None, None) == 5000
    assert _intervals(load_problem("heat:periodic", {"ndim": 3}), None, None) == 10


def test_solve_of_a_users_own_file() -> None:
    Path("mine.py").write_text(
        "import math, torch, sciml\n"
        "class Heat(sciml.Equation):\n"
        "    def linear(self, u, d): return d.x(u, 2)\n"
        "def problem(rate: float = 1.0) -> sciml.Problem:\n"
        "    start = sciml.Profile(lambda x: rate * torch.sin(x))\n"
        "    return sciml.Problem('mine', Heat(), sciml.Domain.periodic(2 * math.pi), start, 1.0, (16,))\n"
    )
    assert main(["solve", "mine.py", "--set", "rate=3", "--out", "run.nc"]) == 0
    ds = load("run.nc")
    assert np.abs(ds["u"].values[-1] - 3 * np.exp(-1) * np.sin(grid_of(ds).axes()[0].numpy())).max() < 1e-12


def test_compare_writes_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--points", "128", "--end", "0.1", "--times", "2"]
    assert main(["compare", "burgers:raissi2019", "--methods", "etdrk4,cnab2", *options, "--out", "out/"]) == 0
    said = capsys.readouterr()
    assert re.search(r"^etdrk4 +\S+e-1\d", said.out, re.MULTILINE) and "wrote out/report.html" in said.out
    assert "etdrk4" in said.err  # progress
    assert {"report.html", "table.csv", "etdrk4.nc", "cnab2.nc", "solution.png"} <= set(os.listdir("out"))


def test_sizes_of_curves() -> None:
    assert parse_sizes([]) is None and parse_sizes(["16,32"]) == [16, 32]
    assert parse_sizes(["16, 32", "inr=8,12"]) == {"points": [16, 32], "inr": [8, 12]}
    assert parse_sizes(["width=8"]) == {"width": [8]}
    for texts, message in (
        (["16,x"], "no list of whole numbers"),
        (["inr=1.5"], "no list"),
        ([""], "no list"),
        (["=4"], "no name"),
        (["4", "8"], "given before"),
        (["inr=4", "inr=8"], "given before"),
    ):
        with pytest.raises(InputError, match=message):
            parse_sizes(texts)


def test_curves_of_work_and_precision(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--sizes", "8,1", "--sizes", "rk4=16", "--end", "0.1", "--dt", "0.001", "--set", "diffusivity=0.5"]
    assert main(["work-precision", "heat:periodic", "--methods", "etdrk4,rk4", *options, "--out", "out"]) == 0
    said = capsys.readouterr()
    assert re.search(r"^etdrk4 +1  .*at least 2", said.out, re.MULTILINE)
    assert re.search(r"^etdrk4 +8 +64 B +\S+e-1\d .* 100$", said.out, re.MULTILINE)
    assert re.search(r"^rk4 +16 +128 B +\S+e-0\d ", said.out, re.MULTILINE)
    assert "wrote out/report.html" in said.out and "etdrk4_8" in said.err
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert "--sizes etdrk4=1,8 --sizes rk4=16" in page and "--set diffusivity=0.5" in page and "--dt 0.001 --end 0.1" in page
    assert {"report.html", "table.csv", "etdrk4_8.nc", "rk4_16.nc", "work_precision.png"} <= set(os.listdir("out"))


def test_a_method_that_blows_up_is_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["compare", "burgers:raissi2019", "--methods", "etdrk4,rk4", "--points", "1024", "--end", "0.05", "--times", "2", "--dt", "0.001"]
    assert main(command) == 0
    assert re.search(r"^rk4 .*field u", capsys.readouterr().out, re.MULTILINE)
    assert not Path("report/rk4.nc").exists() and Path("report/etdrk4.nc").exists()


NOT_A_REFERENCE = ["compare", "burgers:raissi2019", "--reference", "bad.mat"]
BAD_INPUT = {
    "unknown module": (["solve", "burgerz:raissi2019", "--out", "a.nc"], "Did you mean burgers"),
    "unknown case": (["solve", "burgers:raisi2019", "--out", "a.nc"], "Did you mean raissi2019"),
    "no case": (["solve", "burgers"], "names no case"),
    "missing file": (["solve", "mine.py"], "does not exist"),
    "unknown parameter": (["solve", "burgers:raissi2019", "--set", "viscosty=1"], "Did you mean viscosity"),
    "bad parameter": (["solve", "burgers:raissi2019", "--set", "viscosity=-1"], "must not be negative"),
    "bad set syntax": (["solve", CASE, "--set", "viscosity"], "is not NAME=VALUE"),
    "word for a number": (["solve", "heat:periodic", "--set", "diffusivity=high"], "diffusivity='high' given; a number is needed"),
    "no samples": (["solve", CASE, "--samples", "0"], "at least 1"),
    "seed out of range": (["solve", CASE, "--seed", "99999999999999999999"], "'--seed'"),
    "too many output times": (["solve", CASE, "--times", "1000000000000"], "--times"),
    "more points than memory": (["solve", CASE, "--points", "100000000000000", "--out", "a.nc"], "memory"),
    "points of an ordinary system": (["solve", "lorenz:sakov2012", "--points", "5"], "no space axes"),
    "animation of an ordinary system": (["solve", "lorenz:sakov2012", "--animate", "a.gif"], "use --plot"),
    "trajectory under another suffix": (["solve", CASE, "--out", "a.png", "--plot", "a.png"], "ends in .nc"),
    "unknown method": (["solve", CASE, "--method", "euler", "--out", "a.nc"], "Unknown method 'euler'"),
    "method that does not apply": (["solve", CASE.replace("burgers:kassam2005", "heat:dirichlet"), "--method", "etdrk4"], "periodic"),
    "unknown device": (["solve", CASE, "--device", "abacus", "--out", "a.nc"], "abacus"),
    "absent device": (["solve", CASE, "--device", "cuda:99", "--out", "a.nc"], "cuda:99"),
    "unstable step": (["solve", CASE, "--method", "rk4", "--points", "256", "--dt", "0.05", "--out", "a.nc", "--plot", "a.png"], "smaller step"),
    "negative step": (["solve", CASE, "--dt", "-1", "--out", "a.nc"], "positive"),
    "one point": (["solve", CASE, "--points", "1"], "at least 2"),
    "points of another dimension": (["solve", CASE, "--points", "8,8"], "one entry per axis"),
    "points that are no number": (["solve", CASE, "--points", "many"], "--points 'many'"),
    "no output times": (["solve", CASE, "--times", "0"], "at least 1"),
    "end before the start": (["solve", CASE, "--end", "-1"], "positive"),
    "unknown precision": (["solve", CASE, "--dtype", "float16"], "float64 or float32"),
    "missing folder": (["solve", CASE, "--out", "none/a.nc"], "does not exist"),
    "folder as file": (["solve", CASE, "--out", "."], "is a folder"),
    "unknown picture": (["solve", CASE, "--out", "a.nc", "--plot", "a.xyz"], ".png or .pdf"),
    "unknown animation": (["solve", CASE, "--animate", "a.png"], ".gif"),
    "number expected": (["solve", CASE, "--dt", "soon"], "'--dt'"),
    "unknown option": (["solve", CASE, "--pionts", "3"], "--pionts"),
    "missing argument": (["solve"], "PROBLEM"),
    "unknown command": (["slove", CASE], "slove"),
    "compare: unknown problem": (["compare", "nothing:here"], "Unknown problem"),
    "compare: unknown method": (["compare", CASE, "--methods", "etdrk4,magic"], "Unknown method 'magic'"),
    "compare: unknown device": (["compare", CASE, "--device", "abacus"], "abacus"),
    "compare: absent reference": (["compare", CASE, "--reference", "none.mat"], "no such file"),
    "compare: unreadable reference": (NOT_A_REFERENCE, "cannot be read"),
    "compare: every method fails": (["compare", CASE, "--methods", "rk4", "--points", "256", "--dt", "0.05"], "No method finished"),
    "compare: report into a file": (["compare", CASE, "--out", "bad.mat"], "something else is there"),
    "compare: report under a file": (["compare", CASE, "--out", "bad.mat/report"], "Cannot write"),
    "compare: no method": (["compare", CASE, "--methods", ","], "holds no name"),
    "compare: no method applies": (["compare", "heat:dirichlet", "--methods", "etdrk4"], "etdrk4: does not apply: it needs a domain"),
    "compare: variable without a file": (["compare", CASE, "--var", "u"], "give the file too"),
    "compare: negative budget": (["compare", CASE, "--budget", "-1"], "'--budget'"),
    "compare: no output times": (["compare", CASE, "--times", "0"], "at least 1"),
    "curves: sizes that are no numbers": (["work-precision", CASE, "--sizes", "many"], "--sizes 'many'"),
    "curves: sizes for nothing": (["work-precision", CASE, "--methods", "rk4", "--sizes", "width=8"], "sizes for 'width'"),
    "curves: size zero": (["work-precision", CASE, "--methods", "rk4", "--sizes", "0"], "different whole numbers from 1 on"),
    "curves: an ordinary system": (["work-precision", "lorenz:sakov2012"], "sciml.compare runs it"),
    "curves: every run fails": (["work-precision", CASE, "--methods", "rk4", "--sizes", "256", "--dt", "0.05"], "No run finished"),
    "curves: end before the start": (["work-precision", CASE, "--end", "-1"], "positive"),
    "curves: unknown device": (["work-precision", CASE, "--device", "abacus"], "abacus"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_clear_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.mat").write_bytes(b"this is not a MATLAB file" * 10)
    arguments, message = BAD_INPUT[case]
    assert main(arguments) == 2
    said = capsys.readouterr()
    # a progress bar ends with a carriage return or a newline of its own before the error is said
    lines = [line for line in re.split(r"[\r\n]+", said.err) if line.startswith("sciml: ")]
    assert len(lines) == 1 and message in lines[0] and said.err.rstrip().endswith(lines[0])
    assert "Traceback" not in said.err and said.out == ""
    assert os.listdir() == ["bad.mat"]


def test_errors_that_are_bugs_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("sciml.cli.listing.print_listing", broken)
    with pytest.raises(ZeroDivisionError):
        main(["list"])


def test_system_errors_are_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sciml.cli.listing.print_listing", full)
    assert main(["list"]) == 2
    assert capsys.readouterr().err == "sciml: [Errno 28] No space left on device\n"


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys; from sciml.cli.main import main; c = main(['--help']); sys.exit(c or ('torch' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "compare" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_leaves_nothing_half_written(number: int) -> None:
    """The installed command, stopped in the middle of a run that would take minutes."""
    command = [sys.executable, "-c", "from sciml.cli.main import run; run()", "solve", CASE, "--end", "1e4", "--dt", "1e-3", "--out", "run.nc"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        shown = ""
        while shown.count("%|") < 2:  # the second bar is drawn when the first steps are done, so that there is something to keep
            shown += process.stderr.read(1)
            assert process.poll() is None
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == ""
    said = err.rstrip().splitlines()[-1]
    assert re.fullmatch(r"sciml: interrupted\. The run up to t = [\d.]+ is in run\.nc\.partial; --resume \(resume=True\) goes on with it\.", said)
    assert "Traceback" not in err and os.listdir() == ["run.nc.partial"]
