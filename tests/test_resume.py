"""Interrupted runs and comparisons: what was finished stays readable, and going on gives the same bits."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from sciml.cli.main import main
from sciml.core.errors import BlowUpError, InputError
from sciml.core.loading import load_problem
from sciml.core.problem import Problem, Profile
from sciml.io import checkpoint as checkpoint_module
from sciml.io.atomic import WORK, atomic_folder, remove_leftovers
from sciml.io.checkpoint import RECIPE, WORKING, Checkpoint, Reached
from sciml.io.lock import LOCK, exclusive
from sciml.io.netcdf import load
from sciml.io.recipe import code_version
from sciml.report import truth as truth_module
from sciml.report.compare import compare
from sciml.report.truth import CertifiedRun, duration
from sciml.solvers import march
from sciml.solvers.adaptive import DormandPrince
from sciml.solvers.solve import solve

KS = "kuramoto_sivashinsky:kassam2005"
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "etdrk4": (KS, {"points": 64, "dt": 0.05, "times": 3, "end": 21.0}),
    "etdrk4, steps that differ by rounding": (KS, {"points": 64, "dt": 0.05, "times": 7, "end": 1.0}),
    "etdrk4, uneven times, float32, samples": (KS, {"points": 48, "dt": 0.05, "times": (0.0, 0.3, 7.0, 11.0), "samples": 2, "dtype": torch.float32}),
    "cnab2": (KS, {"points": 64, "dt": 0.05, "times": 3, "end": 21.0, "method": "cnab2"}),
    "ab2": (KS, {"points": 32, "dt": 5e-4, "times": 2, "end": 0.2, "method": "ab2"}),
    "ark3, step from the rate": ("burgers:raissi2019", {"points": 32, "times": 3, "end": 0.2, "method": "ark3"}),
    "dopri5": ("burgers:raissi2019", {"points": 32, "times": 3, "end": 0.1, "method": "dopri5"}),
    "rk4 on a bounded domain": ("heat:dirichlet", {"points": 24, "times": 3, "method": "rk4"}),
    "finite_volume": ("burgers:raissi2019_dirichlet", {"points": 24, "times": 3, "end": 0.3}),
    "lorenz": ("lorenz:sakov2012", {"times": 4, "end": 3.0}),
    "filtered ab2, two fields": ("quasi_geostrophic:pyqg_reference", {"points": 16, "times": 3, "end": 7200.0 * 170}),
    "two dimensions": ("navier_stokes:kolmogorov", {"points": 16, "times": 3, "end": 3.0}),
}


class Stop(Exception):
    """An interruption."""


def without_clock(ds: xr.Dataset) -> dict[str, Any]:
    return {key: value for key, value in ds.attrs.items() if key not in ("wall_seconds", "date")}


def check_same(found: xr.Dataset, expected: xr.Dataset) -> None:
    assert list(found.data_vars) == list(expected.data_vars) and without_clock(found) == without_clock(expected)
    for name in expected.variables:
        assert found[name].dtype == expected[name].dtype and np.array_equal(found[name].values, expected[name].values), name


def stopped_after(count: int, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException] = Stop) -> None:
    """Every process-like attempt ends after ``count`` places to go on from."""
    calls = 0
    original = Checkpoint.note

    def note(self: Checkpoint, reached: Reached) -> None:
        nonlocal calls
        original(self, reached)
        calls += 1
        if calls % count == 0:
            raise kind

    monkeypatch.setattr(Checkpoint, "note", note)


# -- one run, in this process ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("count", "every"), [(2, 0.0), (3, 1e9)])
def test_going_on_gives_the_same_bits(case: str, count: int, every: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped again and again, with what was reached written at every opportunity or at the stop alone."""
    name, settings = CASES[case]
    problem = load_problem(name)
    monkeypatch.setattr(march, "CHECK_EVERY", max(1, solve(problem, **settings).attrs.get("steps", 0) // 8))
    expected = solve(problem, **settings)
    stopped_after(count, monkeypatch)
    stops, result = 0, None
    while result is None:
        try:
            with Checkpoint(tmp_path / "work", resume=stops > 0, every=every) as kept:
                result = solve(problem, checkpoint=kept, **settings)
        except Stop as stop:
            stops += 1
            assert stops < 50
            assert f"is in {tmp_path / 'work'}; --resume (resume=True) goes on" in stop.__notes__[0]
    check_same(result, expected)
    assert stops >= 2 and list(tmp_path.iterdir()) == []


def test_an_automatic_step_that_was_cut_stays_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five times the stable step blows up after a while and is cut to a quarter; interruptions come before and after the cut."""
    problem = load_problem(KS)
    real, cuts = march._automatic_step, []
    monkeypatch.setattr(march, "CHECK_EVERY", 2)
    monkeypatch.setattr(march, "_automatic_step", lambda run, u, time: 5 * real(run, u, time))
    settings: dict[str, Any] = {"points": 96, "end": 40.0, "times": 2, "method": "rk4"}
    expected = solve(problem, **settings)
    with monkeypatch.context() as patch:
        stopped_after(2, patch)
        while cuts.count((1, True)) < 2:
            with pytest.raises(Stop), Checkpoint(tmp_path / "work", resume=True, every=0) as kept:
                solve(problem, checkpoint=kept, **settings)
            working = torch.load(tmp_path / "work" / WORKING, weights_only=True)["working"]
            cuts.append((working["retries"], working["within"] > 0))
            assert len(cuts) < 50
    assert (0, True) in cuts
    with Checkpoint(tmp_path / "work", resume=True) as kept:
        check_same(solve(problem, checkpoint=kept, **settings), expected)


def test_steps_are_counted_across_interruptions() -> None:
    """The limit on the number of trial steps is one of the whole integration."""
    problem = load_problem("lorenz:sakov2012")
    pair = DormandPrince(problem.equation, problem.grid(), 0.01, rtol=1e-8, atol=1e-10)
    u, places = problem.initial_state(problem.grid()), []
    expected = pair.integrate(u, [0.0, 0.5, 1.0], note=lambda kept, at: places.append((list(kept), at)))
    taken = places[-1][1].tried
    assert [at.tried for _, at in places] == list(range(1, taken + 1)) and taken > 10
    kept, at = places[taken // 2]
    assert torch.equal(pair.integrate(u, [0.0, 0.5, 1.0], resumed=(list(kept), at), max_steps=taken), expected)
    with pytest.raises(BlowUpError):
        pair.integrate(u, [0.0, 0.5, 1.0], resumed=(list(kept), at), max_steps=taken - 1)


def test_working_values_hold_the_history_and_the_step(tmp_path: Path) -> None:
    problem, settings = load_problem(KS), {"points": 32, "dt": 0.25, "times": 2, "end": 5.0, "method": "cnab2"}
    with pytest.raises(Stop), Checkpoint(tmp_path / "work") as kept:
        solve(problem, checkpoint=kept, **settings)
        raise Stop
    with torch.serialization.safe_globals([checkpoint_module.TwoStepState]):
        content = torch.load(tmp_path / "work" / WORKING, weights_only=True)
    state = content["working"].pop("state")
    assert content["working"] == {"dt": 0.25, "within": 0, "step_dt": 0.25, "smallest": 0.25, "steps": 20, "retries": 0}
    assert (content["states"], content["pieces"], content["time"]) == (3, 1, 5.0)
    step = march.make_stepper(problem, problem.grid(32), "cnab2", 0.25)
    expected = step.march(step.encode(problem.initial_state(problem.grid(32))), 0.0, 20)
    assert torch.equal(state.current, expected.current) and torch.equal(state.slope, expected.slope)


def test_pieces_are_readable_and_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, settings = load_problem("lorenz:sakov2012"), {"times": 8, "end": 4.0}
    expected = solve(problem, **settings)
    stopped_after(5, monkeypatch)
    with pytest.raises(Stop), Checkpoint(tmp_path / "work", every=0) as kept:
        solve(problem, checkpoint=kept, **settings)
    pieces = sorted((tmp_path / "work").glob("*.nc"))
    assert [p.name for p in pieces] == [f"{n:05d}.nc" for n in range(5)]
    parts = []
    for piece in pieces:
        with xr.open_dataset(piece, engine="h5netcdf") as ds:
            parts.append(ds.load())
    assert [list(p["time"].values) for p in parts] == [[0.0, 0.5], [1.0], [1.5], [2.0], [2.5]]
    assert np.array_equal(xr.concat(parts, "time")["x"].values, expected["x"].values[:6]) and parts[0].attrs["problem"] == problem.name
    before = [p.stat().st_ino for p in pieces]
    with pytest.raises(Stop), Checkpoint(tmp_path / "work", resume=True, every=0) as kept:
        assert kept.reached == 2.5
        solve(problem, checkpoint=kept, **settings)
        raise Stop
    assert [p.stat().st_ino for p in pieces] == before and len(list((tmp_path / "work").glob("*.nc"))) == 8


def test_seconds_of_all_processes_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, settings = load_problem("lorenz:sakov2012"), {"times": 3, "end": 1.0}
    stopped_after(2, monkeypatch)
    with pytest.raises(Stop), Checkpoint(tmp_path / "work", every=0) as kept:
        solve(problem, checkpoint=kept, **settings)
    content = torch.load(tmp_path / "work" / WORKING, weights_only=True)
    assert 0 < content["elapsed"] < 60
    torch.save({**content, "elapsed": 1000.0}, tmp_path / "work" / WORKING)
    with Checkpoint(tmp_path / "work", resume=True) as kept:
        ds = solve(problem, checkpoint=kept, **settings)
    assert 1000.0 < ds.attrs["wall_seconds"] < 1060.0


def test_scipy_starts_anew_and_a_blow_up_leaves_nothing(tmp_path: Path) -> None:
    problem, settings = load_problem("lorenz:sakov2012"), {"times": 2, "end": 0.2, "method": "scipy"}
    with pytest.raises(Stop), Checkpoint(tmp_path / "work", every=0) as kept:
        solve(problem, checkpoint=kept, **settings)
        raise Stop
    with Checkpoint(tmp_path / "work", resume=True) as kept:
        assert kept.reached is None
        check_same(solve(problem, checkpoint=kept, **settings), solve(problem, **settings))
    burgers = load_problem("burgers:raissi2019")
    with pytest.raises(BlowUpError), Checkpoint(tmp_path / "work", every=0) as kept:
        solve(burgers, points=256, dt=0.02, times=50, method="rk4", checkpoint=kept)
    assert list(tmp_path.iterdir()) == []


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.fixture
def unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a Lorenz run that was stopped at t = 0.5."""
    with monkeypatch.context() as patch:
        stopped_after(2, patch)
        with pytest.raises(Stop), Checkpoint(tmp_path / "work", every=0) as kept:
            solve(load_problem("lorenz:sakov2012"), times=4, end=1.0, checkpoint=kept)
    return tmp_path / "work"


def go_on(folder: Path, problem: Problem | None = None, **changes: Any) -> xr.Dataset:
    with Checkpoint(folder, resume=True) as kept:
        return solve(problem or load_problem("lorenz:sakov2012"), **{"times": 4, "end": 1.0, "checkpoint": kept, **changes})


def test_an_unfinished_run_is_not_lost_by_forgetting_to_resume(unfinished: Path) -> None:
    with (
        pytest.raises(InputError, match=r"run up to t = 0.5 is in .*work; give --resume .* to go on, or --overwrite .* to start anew"),
        Checkpoint(unfinished),
    ):
        raise AssertionError("must not be reached")
    assert (unfinished / WORKING).is_file() and not (unfinished / LOCK).exists()
    with Checkpoint(unfinished, overwrite=True) as kept:
        assert kept.reached is None and [p.name for p in unfinished.iterdir()] == [LOCK]
    assert not unfinished.exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dt": 0.05}, "dt was 0.01, is 0.05"),
        ({"times": 8}, r"times was \[0.0, 0.25, 0.5, 0.75, 1.0\], is \[0.0, 0.125, 0.25"),
        ({"seed": 3}, "seed was 0, is 3; initial was"),
        ({"method": "dopri5", "dtype": torch.float32}, "(?s)grid was.*float32.*method was rk4, is dopri5"),
        ({"initial": torch.ones(3, dtype=torch.float64)}, "initial was"),
        ({"problem": load_problem("lorenz:sakov2008")}, r"settings: problem was lorenz:sakov2012, is lorenz:sakov2008; parameters was"),
    ],
)
def test_other_settings_are_refused_with_the_differences(unfinished: Path, changes: dict[str, Any], told: str) -> None:
    before = sorted((p.name, p.stat().st_ino) for p in unfinished.iterdir())
    with pytest.raises(InputError, match=told) as caught:
        go_on(unfinished, **changes)
    assert "give --overwrite" in str(caught.value) and sorted((p.name, p.stat().st_ino) for p in unfinished.iterdir()) == before


def test_other_code_is_refused(unfinished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("from sciml.problems.lorenz import sakov2012\nproblem = sakov2012()\n")
    problem = load_problem("lorenz:sakov2012")
    own = tmp_path / "law.py"
    versions = []
    for text in ("1.0", "1.0", "2.0"):
        own.write_text(f"import torch\ndef law():\n    return torch.full((3,), {text})\n")
        names: dict[str, Any] = {}
        exec(compile(own.read_text(), str(own), "exec"), names)
        versions.append(code_version(replace(problem, initial=Profile(names["law"])), ("core",)))
    assert versions[0] == versions[1] != versions[2] and code_version(problem, ("core",)) != code_version(problem, ("core", "solvers"))
    monkeypatch.setattr("sciml.solvers.solve.code_version", lambda problem, parts: "another")
    with pytest.raises(InputError, match=r"other settings: code was \w+, is another\."):
        go_on(unfinished)


def test_damage_is_refused(unfinished: Path) -> None:
    whole = {name: (unfinished / name).read_bytes() for name in (WORKING, RECIPE, "00000.nc", "00001.nc")}
    content = torch.load(unfinished / WORKING, weights_only=True)
    assert content["states"] == 3

    def damage(name: str, data: bytes | None) -> None:
        for path, text in whole.items():
            (unfinished / path).write_bytes(text)
        if data is None:
            (unfinished / name).unlink()
        else:
            (unfinished / name).write_bytes(data)

    cases = [(name, whole[name][: len(whole[name]) // 2]) for name in whole] + [(WORKING, b""), ("00001.nc", None), (RECIPE, None), (RECIPE, b"[]")]
    for name, data in cases:
        damage(name, data)
        with pytest.raises(InputError, match=rf"{name} (is damaged|cannot be read).*give --overwrite"):
            go_on(unfinished)
    torch.save({"surprise": os.getcwd}, unfinished / WORKING)
    with pytest.raises(InputError, match="is damaged"):
        go_on(unfinished)
    damage(WORKING, whole[WORKING])
    torch.save({**content, "states": 7}, unfinished / WORKING)
    with pytest.raises(InputError, match="holds 3 states where 7 are expected"):
        go_on(unfinished)
    damage(WORKING, whole[WORKING])
    check_same(go_on(unfinished), solve(load_problem("lorenz:sakov2012"), times=4, end=1.0))


def test_pieces_of_a_process_killed_between_two_writes_do_not_count(unfinished: Path) -> None:
    shutil.copy(unfinished / "00000.nc", unfinished / "00002.nc")
    shutil.copy(unfinished / "00000.nc", unfinished / ".00003.4711.partial.nc")
    with pytest.raises(Stop), Checkpoint(unfinished, resume=True) as kept:
        ds = solve(load_problem("lorenz:sakov2012"), times=4, end=1.0, checkpoint=kept)
        check_same(ds, solve(load_problem("lorenz:sakov2012"), times=4, end=1.0))
        raise Stop
    assert sorted(p.name for p in unfinished.iterdir()) == ["00000.nc", "00001.nc", "00002.nc", RECIPE, WORKING]
    assert load(unfinished / "00002.nc")["time"].values.tolist() == [0.75, 1.0]


def test_wrong_use_of_a_checkpoint(tmp_path: Path, unfinished: Path) -> None:
    problem = load_problem("lorenz:sakov2012")
    for settings, message in (
        ({"every": -1.0}, "every=-1.0"),
        ({"every": float("nan")}, "every=nan"),
        ({"resume": True, "overwrite": True}, "gives it up"),
    ):
        with pytest.raises(InputError, match=message):
            Checkpoint(tmp_path / "a", **settings)
    with pytest.raises(InputError, match="inside its own `with` block"):
        solve(problem, times=1, end=0.1, checkpoint=Checkpoint(tmp_path / "a"))
    with pytest.raises(InputError, match="one run"), Checkpoint(tmp_path / "a") as kept:
        solve(problem, times=1, end=0.1, checkpoint=kept)
        solve(problem, times=1, end=0.1, checkpoint=kept)
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds thesis.tex, which no checkpoint wrote"), Checkpoint(tmp_path / "b", overwrite=True):
        raise AssertionError("must not be reached")
    with Checkpoint(unfinished, overwrite=True) as kept:
        solve(problem, times=1, end=0.1, checkpoint=kept)
        (unfinished / "notes.txt").write_text("mine")
    assert [p.name for p in unfinished.iterdir()] == ["notes.txt"] and [p.name for p in (tmp_path / "b").iterdir()] == ["thesis.tex"]


# -- locks -------------------------------------------------------------------------------------------------------------


def test_one_process_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "work"
    with exclusive(folder, "cooking"):
        with (
            pytest.raises(InputError, match=rf"work: another process \(pid {os.getpid()}\) is cooking; wait for it or choose another --out"),
            exclusive(folder, "cooking"),
        ):
            raise AssertionError("must not be reached")
        assert (folder / LOCK).is_file()
    assert not folder.exists()
    folder.mkdir()
    (folder / LOCK).write_text("pid 4711")  # a killed process leaves the file but not the lock
    (folder / "result").touch()
    with exclusive(folder, "cooking"):
        assert (folder / LOCK).read_text() == f"pid {os.getpid()}"
    assert [p.name for p in folder.iterdir()] == ["result"]
    with pytest.raises(InputError, match=r"Cannot write .*result: File exists"), exclusive(folder / "result", "cooking"):
        raise AssertionError("must not be reached")


def test_lock_of_a_file_that_was_removed_in_between_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = fcntl.flock, []

    def flock(lock: int, how: int) -> None:
        calls.append(how)
        if len(calls) == 1:  # the owner before us ends here
            (tmp_path / "work" / LOCK).unlink()
            (tmp_path / "work").rmdir()
        real(lock, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with exclusive(tmp_path / "work", "cooking"):
        assert len(calls) == 2 and (tmp_path / "work" / LOCK).is_file()


@pytest.mark.parametrize(("number", "works"), [(errno.ENOSYS, True), (errno.EIO, False)])
def test_file_systems_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, works: bool) -> None:
    def flock(lock: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    if works:
        with exclusive(tmp_path / "work", "cooking"):
            assert (tmp_path / "work").is_dir()
    else:
        with pytest.raises(InputError, match="Cannot write .*Input/output error"), exclusive(tmp_path / "work", "cooking"):
            raise AssertionError("must not be reached")


def test_a_folder_that_is_renamed_keeps_no_lock(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "report") as folder:
        (folder / "a.txt").touch()
        (folder / WORK).mkdir()
        with pytest.raises(InputError, match="is writing a report there"), atomic_folder(tmp_path / "report", overwrite=True):
            raise AssertionError("must not be reached")
        assert (folder / "a.txt").exists()
    assert sorted(p.name for p in (tmp_path / "report").iterdir()) == [".sciml-report", "a.txt"]
    with pytest.raises(InputError, match="resume and overwrite given"), atomic_folder(tmp_path / "report", resume=True, overwrite=True):
        raise AssertionError("must not be reached")


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    for name in (".run.12.partial.nc", ".run.5.12.partial.nc", ".run.x.partial.nc", "run.nc", ".run.12.partial"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "run.nc")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".run.12.partial", ".run.5.12.partial.nc", ".run.x.partial.nc", "run.nc"]


# -- real processes and real signals -----------------------------------------------------------------------------------


def command(arguments: list[str], folder: str, threads: int) -> None:
    """The command line in a process of its own, its messages in a file."""
    os.chdir(folder)
    torch.set_num_threads(threads)
    said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    for number in (1, 2):
        os.dup2(said, number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = main(arguments)
    sys.stderr.flush()
    os._exit(code)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sciml.cli.commands"])
    started: list[Any] = []

    def begin(*arguments: str) -> Any:
        process = context.Process(target=command, args=(list(arguments), str(tmp_path), torch.get_num_threads()))
        started.append(process)
        process.start()
        return process

    yield begin
    for process in started:
        process.kill()
        process.join()


def number_of(path: Path) -> int:
    """Which file stands under a name; 0 for none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def wait_for(process: Any, happened: Callable[[], bool]) -> bool:
    """Wait until it happened (True) or the process has ended (False)."""
    until = time.monotonic() + 60
    while not happened():
        if not process.is_alive():
            return False
        assert time.monotonic() < until
        time.sleep(0.001)
    return True


RUNS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "etdrk4": ([KS, "--points", "64", "--dt", "0.05", "--times", "3", "--end", "60"], {"points": 64, "dt": 0.05, "times": 3, "end": 60.0}),
    "cnab2": (
        [KS, "--points", "64", "--dt", "0.05", "--times", "3", "--end", "60", "--method", "cnab2"],
        {"points": 64, "dt": 0.05, "times": 3, "end": 60.0, "method": "cnab2"},
    ),
    "dopri5": (
        ["burgers:raissi2019", "--points", "32", "--times", "4", "--end", "0.1", "--method", "dopri5"],
        {"points": 32, "times": 4, "end": 0.1, "method": "dopri5"},
    ),
    "finite_volume": (["burgers:raissi2019_dirichlet", "--points", "24", "--times", "20"], {"points": 24, "times": 20}),
    "lorenz": (["lorenz:sakov2012", "--times", "30", "--end", "6"], {"times": 30, "end": 6.0}),
}


@pytest.mark.parametrize("case", RUNS)
def test_killed_and_stopped_processes_go_on_with_the_same_bits(case: str, start: Callable[..., Any], tmp_path: Path) -> None:
    """Three ways to end a process, each at some moment after it has written one more checkpoint; the sleep makes the moment vary."""
    arguments, settings = RUNS[case]
    partial, rng, ended = tmp_path / "run.nc.partial", random.Random(case), []
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGTERM, None):
        process = start("solve", *arguments, "--out", "run.nc", "--checkpoint-every", "30" if number is None else "0", *["--resume"] * bool(ended))
        before = number_of(partial / WORKING)
        if number is not None and wait_for(process, lambda before=before: number_of(partial / WORKING) not in (0, before)):
            time.sleep(rng.uniform(0, 0.004))
            os.kill(process.pid, number)
        process.join(60)
        said = (tmp_path / "said.txt").read_text()
        if process.exitcode == 0:
            break
        assert process.exitcode == (-9 if number == signal.SIGKILL else 130), said
        if number != signal.SIGKILL:
            assert "sciml: interrupted. The run up to t = " in said and "is in run.nc.partial; --resume" in said and "Traceback" not in said
        assert not (tmp_path / "run.nc").exists()
        load(partial / "00000.nc")
        ended.append(number)
    assert len(ended) >= 3 and process.exitcode == 0
    assert "going on with the interrupted run up to t = " in said
    check_same(load(tmp_path / "run.nc"), solve(load_problem(arguments[0]), **settings))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.nc", "said.txt"]


def test_a_second_run_to_the_same_place_is_refused(start: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["solve", KS, "--points", "64", "--dt", "1e-4", "--end", "1000", "--out", "run.nc", "--checkpoint-every", "0"]
    first = start(*arguments)
    assert wait_for(first, lambda: (tmp_path / "run.nc.partial" / WORKING).exists())
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(InputError, match=rf"another process \(pid {first.pid}\) is solving into it"),
        Checkpoint(tmp_path / "run.nc.partial", resume=True),
    ):
        raise AssertionError("must not be reached")
    assert main([*arguments, "--overwrite"]) == 2 and first.is_alive()


def test_interruption_says_when_nothing_is_kept(start: Callable[..., Any], tmp_path: Path) -> None:
    process = start("solve", KS, "--points", "64", "--dt", "1e-4", "--end", "1000")
    assert wait_for(process, lambda: "%|" in (tmp_path / "said.txt").read_text() if (tmp_path / "said.txt").exists() else False)
    os.kill(process.pid, signal.SIGTERM)
    process.join(60)
    said = (tmp_path / "said.txt").read_text().splitlines()[-1]
    assert process.exitcode == 130 and said == "sciml: interrupted. Nothing was kept; with --out run.nc a run can be gone on with."


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Space runs out at the tenth file, again at the first one of the next attempt, and then while the result itself is written."""
    monkeypatch.chdir(tmp_path)
    real, left = Path.write_bytes, 9

    def write_bytes(self: Path, data: Any) -> int:
        nonlocal left
        if len(data) and left <= 0:
            real(self, bytes(data)[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left -= len(data) > 0
        return real(self, data)

    arguments = ["solve", "lorenz:sakov2012", "--times", "10", "--end", "2", "--out", "run.nc", "--checkpoint-every"]
    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    assert main([*arguments, "0"]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sciml: ")]
    assert len(said) == 1 and "No space left on device" in said[0] and "The run up to t = 0.8 is in run.nc.partial; --resume" in said[0]
    content = sorted(p.name for p in Path("run.nc.partial").iterdir())
    assert content == [*(f"{n:05d}.nc" for n in range(5)), RECIPE, WORKING]  # the last piece was written and counts for nothing
    assert main([*arguments, "0", "--resume"]) == 2
    left = 0
    assert main([*arguments, "1e9", "--resume"]) == 2 and not Path("run.nc").exists()
    left = 10**9
    capsys.readouterr()
    assert main([*arguments, "0", "--resume"]) == 0
    check_same(load("run.nc"), solve(load_problem("lorenz:sakov2012"), times=10, end=2.0))
    assert os.listdir() == ["run.nc"]


def test_options_need_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, message in (
        (["solve", "lorenz:sakov2012", "--resume"], "concern the unfinished run beside --out"),
        (["solve", "lorenz:sakov2012", "--out", "a.nc", "--resume", "--overwrite"], "gives it up"),
        (["solve", "lorenz:sakov2012", "--out", "a.nc", "--checkpoint-every", "-1"], "--checkpoint-every"),
        (["compare", "heat:dirichlet", "--resume", "--overwrite"], "gives it up"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err and os.listdir() == []


# -- comparisons -------------------------------------------------------------------------------------------------------

METHODS = ["cnab2", "etdrk4", "rk4"]
COMPARISON = ["--methods", ",".join(METHODS), "--points", "32", "--dt", "0.02", "--end", "2", "--times", "10"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_comparison_goes_on_after_the_finished_methods(number: int, start: Callable[..., Any], tmp_path: Path) -> None:
    """Stopped after the certified run and the first method: both are taken over as they are, and the whole is what it would have been."""
    case = "kuramoto_sivashinsky:kassam2005"
    partial, done = tmp_path / "report.partial", tmp_path / "report.partial" / WORK / "cnab2.json"
    process = start("compare", case, *COMPARISON)
    assert wait_for(process, done.exists)
    os.kill(process.pid, number)
    process.join(60)
    said = (tmp_path / "said.txt").read_text()
    assert process.exitcode == (130 if number == signal.SIGTERM else -9) and not (tmp_path / "report").exists()
    if number == signal.SIGTERM:
        assert "truth.nc are in report.partial; --resume (resume=True) goes on from there." in said.splitlines()[-1]
    again = start("compare", case, *COMPARISON)
    again.join(60)
    assert again.exitcode == 2 and "An interrupted report with cnab2.nc" in (tmp_path / "said.txt").read_text()
    other = start("compare", case, *COMPARISON, "--seed", "1", "--resume")
    other.join(60)
    assert other.exitcode == 2 and "seed was 0, is 1" in (tmp_path / "said.txt").read_text()
    kept = {name: (partial / name).read_bytes() for name in ("cnab2.nc", "truth.nc")}
    cost = json.loads(done.read_text())
    process = start("compare", case, *COMPARISON, "--resume")
    process.join(120)
    assert process.exitcode == 0, (tmp_path / "said.txt").read_text()
    report = tmp_path / "report"
    assert (report / "cnab2.nc").read_bytes() == kept["cnab2.nc"] and not partial.exists() and not (report / WORK).exists()
    expected = compare(case, METHODS, tmp_path / "whole", points=32, dt=0.02, end=2.0, times=10)
    for name in (*METHODS, "truth"):
        check_same(load(report / f"{name}.nc"), load(tmp_path / "whole" / f"{name}.nc"))
    assert (report / "errors.csv").read_bytes() == (tmp_path / "whole" / "errors.csv").read_bytes()
    assert f"cnab2,{expected.table[0]['relative_l2_final']}" in (report / "table.csv").read_text()
    assert f",{cost['wall_s']},{cost['peak_bytes']}," in (report / "table.csv").read_text()


def test_what_a_comparison_had_is_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sciml.methods.classical import Classical

    settings: dict[str, Any] = {"points": 32, "dt": 0.02, "end": 1.0, "times": 5}
    real, made = Classical.solve, []

    def counted(self: Classical, *arguments: Any) -> Any:
        made.append(self.name)
        if len(made) == 2:
            raise KeyboardInterrupt
        return real(self, *arguments)

    monkeypatch.setattr(Classical, "solve", counted)
    with pytest.raises(KeyboardInterrupt) as caught:
        compare(KS, ["cnab2", "etdrk4"], tmp_path / "report", **settings)
    assert caught.value.__notes__ == [f"cnab2.nc, truth.nc are in {tmp_path / 'report.partial'}; --resume (resume=True) goes on from there."]
    monkeypatch.setattr(CertifiedRun, "make", None)
    with pytest.raises(InputError, match="methods was .*cnab2.*is .*rk4"):
        compare(KS, ["cnab2", "rk4"], tmp_path / "report", resume=True, **settings)
    result = compare(KS, ["cnab2", "etdrk4"], tmp_path / "report", resume=True, **settings)
    assert made == ["cnab2", "etdrk4", "etdrk4"] and isinstance(result.truth, CertifiedRun) and len(result.finished) == 2
    assert result.finished[0].result.cost == {"state_bytes": 256.0, "dt": pytest.approx(0.02), "steps": 50.0}
    assert result.finished[0].result.notes == "step: asked for"


def test_a_part_that_is_not_whole_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"points": 24, "times": 2}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("sciml.report.compare.write_document", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
        compare("heat:dirichlet", ["rk4", "dopri5"], tmp_path / "report", **settings)
    partial = tmp_path / "report.partial"
    (partial / "rk4.nc").write_bytes((partial / "rk4.nc").read_bytes()[:500])
    (partial / WORK / "dopri5.json").unlink()
    found = compare("heat:dirichlet", ["rk4", "dopri5"], tmp_path / "report", resume=True, **settings)
    whole = compare("heat:dirichlet", ["rk4", "dopri5"], tmp_path / "whole", **settings)
    for mine, theirs in zip(found.finished, whole.finished, strict=True):
        check_same(mine.result.dataset, theirs.result.dataset)
        assert mine.errors.final == theirs.errors.final


def test_a_long_certified_run_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three halves of the points and twice the steps, and twice the points and four times the steps: 20.5 times the first run in 2-D."""
    problem, seen, calls = load_problem("navier_stokes:taylor_green"), [], []

    def slow(*arguments: Any, **settings: Any) -> xr.Dataset:
        calls.append((settings["points"], settings.get("dt")))
        ds = solve(*arguments, **settings)
        ds.attrs["wall_seconds"] = 600.0
        return ds

    monkeypatch.setattr(truth_module, "solve", slow)
    CertifiedRun.make(problem, (8, 8), [0.0, 0.1], 0, lambda label, done: seen.append((label, done)))
    dt = calls[1][1] * 2
    assert calls == [((8, 8), None), ([12, 12], dt / 2), ([16, 16], dt / 4)]
    labels = list(dict.fromkeys(label for label, _ in seen))
    assert labels[0] == "certified reference" and labels[1:] == [
        "certified reference, about 3.4 h (fewer points, a shorter end or a reference file shorten it)"
    ]
    fractions = [done for _, done in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert [duration(s) for s in (130, 5000, 7200, 200000)] == ["2 min", "83 min", "2.0 h", "2 days"]
