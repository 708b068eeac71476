"""Data sets that are interrupted or shared by processes: the same bits, nothing lost, and one clear message."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import xarray as xr
from generating import CASE, SMALL, counted, expected, recipe, stop_at

import sciml
from sciml.cli.main import main
from sciml.core.errors import BlowUpError, InputError, SciMLError
from sciml.generation import chunks
from sciml.generation.recipe import Recipe
from sciml.generation.work import Abandoned, Team, gathered
from sciml.io.lock import exclusive
from sciml.io.netcdf import load
from sciml.problems import burgers

WORDS = ["--points", "32", "--end", "0.02", "--times", "2", "--chunk", "2"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# -------------------------------------------------------------------------------------------------------- interruption


def test_an_interrupted_run_goes_on_with_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (sciml.generate(CASE, 6, "whole", **SMALL) / "burgers_li2021.nc").read_bytes()
    with pytest.raises(KeyboardInterrupt) as stopped:
        sciml.generate(CASE, 6, "data", progress=stop_at(0.75), **SMALL)
    assert stopped.value.__notes__ == [f"2 of 3 chunks are finished in {Path('data.partial').absolute()}; --resume (resume=True) goes on."]
    assert not Path("data").exists() and sorted(os.listdir("data.partial/chunks")) == ["00000.nc", "00001.nc"]
    with xr.open_dataset("data.partial/chunks/00001.nc", engine="h5netcdf") as ds:
        assert ds["sample"].values.tolist() == [2, 3]
        assert np.array_equal(ds["u"].values, load("whole/burgers_li2021.nc")["u"].values[2:4])
    kept = {p.name: p.read_bytes() for p in Path("data.partial/chunks").iterdir()}
    with pytest.raises(InputError, match=r"holds 2 of 3 chunks of this data set; --resume \(resume=True\) goes on, --overwrite"):
        sciml.generate(CASE, 6, "data", **SMALL)
    for options in ({}, {"resume": True}):
        with pytest.raises(InputError, match=r"holds 2 finished chunks of another data set \(seed 0 there, 5 here\); --overwrite"):
            sciml.generate(CASE, 6, "data", seed=5, **options, **SMALL)
    assert {p.name: p.read_bytes() for p in Path("data.partial/chunks").iterdir()} == kept
    Path("data.partial/chunks/.00002.77.partial.nc").write_bytes(b"half")  # of a killed process
    Path("data.partial/finished").mkdir()
    Path("data.partial/finished/.burgers.77.partial.nc").write_bytes(b"half")
    solved = counted(monkeypatch)
    fractions: list[float] = []
    sciml.generate(CASE, 6, "data", resume=True, progress=fractions.append, **SMALL)
    assert solved == [2] and (Path("data") / "burgers_li2021.nc").read_bytes() == whole
    assert sorted(os.listdir()) == ["data", "whole"] and sorted(os.listdir("data")) == ["burgers_li2021.nc", "recipe.json"]
    assert fractions[0] > 4 / 6 and fractions[-1] == 1.0 and fractions == sorted(fractions)


def test_overwrite_discards_an_interrupted_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        sciml.generate(CASE, 6, "data", seed=5, progress=stop_at(0.75), **SMALL)
    solved = counted(monkeypatch)
    sciml.generate(CASE, 4, "data", overwrite=True, **SMALL)
    assert solved == [2, 2] and load("data/burgers_li2021.nc")["u"].shape[0] == 4 and os.listdir() == ["data"]


def test_damaged_chunks_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (sciml.generate(CASE, 8, "whole", **SMALL) / "burgers_li2021.nc").read_bytes()
    for options in ({"seed": 9}, {}):
        with pytest.raises(KeyboardInterrupt):
            sciml.generate(CASE, 8, f"data{len(options)}", progress=stop_at(0.99), **options, **SMALL)
    folder = Path("data0.partial/chunks")
    good = (folder / "00000.nc").read_bytes()
    value = load(folder / "00000.nc")["u"].values[1, 1].tobytes()
    at = good.index(value)
    (folder / "00000.nc").write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])  # one bit of one value
    (folder / "00001.nc").write_bytes((folder / "00001.nc").read_bytes()[:-100])
    (folder / "00002.nc").write_bytes(Path("data1.partial/chunks/00002.nc").read_bytes())  # of another seed
    solved = counted(monkeypatch)
    sciml.generate(CASE, 8, "data0", resume=True, **SMALL)
    assert solved == [2, 2, 2, 2] and Path("data0/burgers_li2021.nc").read_bytes() == whole


def test_a_chunk_that_changes_before_it_is_put_together_is_noticed() -> None:
    made = recipe(burgers.li2021())
    work = chunks.WorkFolder(Path("work"), made)
    Path("work/chunks").mkdir(parents=True)
    ds = expected(burgers.li2021(), range(2), points=32, end=0.02, times=2)
    work.write(0, ds)
    assert work.read(0).identical(ds) and work.present() == [0] and work.intact(0) and not work.intact(1)
    other = chunks.WorkFolder(Path("work"), replace(made, seed=1))
    with pytest.raises(InputError, match=r"00000.nc is not what was written there; --resume"):
        other.read(0)


def test_without_a_finished_chunk_nothing_is_left() -> None:
    with pytest.raises(KeyboardInterrupt) as stopped:
        sciml.generate(CASE, 4, "data", progress=stop_at(0.0), **SMALL)
    assert not getattr(stopped.value, "__notes__", []) and not os.listdir()


def test_a_process_killed_after_the_last_move_leaves_a_finished_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(self: chunks.WorkFolder) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(chunks.WorkFolder, "remove", killed)
        sciml.generate(CASE, 4, "data", **SMALL)
    assert sorted(os.listdir()) == ["data", "data.partial"]
    solved = counted(monkeypatch)
    sciml.generate(CASE, 4, "data", **SMALL)
    assert solved == [] and os.listdir() == ["data"]


def test_a_second_process_is_refused() -> None:
    with pytest.raises(KeyboardInterrupt):
        sciml.generate(CASE, 4, "data", progress=stop_at(0.6), **SMALL)
    refused = pytest.raises(InputError, match=rf"another process \(pid {os.getpid()}\) is generating into it")
    with exclusive(Path("data.partial"), "generating into it"), refused:
        sciml.generate(CASE, 4, "data", resume=True, **SMALL)
    sciml.generate(CASE, 4, "data", resume=True, **SMALL)
    assert os.listdir() == ["data"]


def test_a_full_disk_keeps_what_is_finished(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (sciml.generate(CASE, 6, "whole", **SMALL) / "burgers_li2021.nc").read_bytes()
    original = Path.write_bytes

    def write_bytes(path: Path, content: Any) -> int:
        if path.name.startswith(".00002") and content:
            original(path, bytes(content)[:100])
            raise OSError(28, "No space left on device")
        return original(path, content)

    words = ["generate", CASE, "--samples", "6", "--out", "data", *WORDS]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_bytes)
        assert main(words) == 2
    said = messages(capsys.readouterr().err)
    assert len(said) == 1 and "No space left on device" in said[0] and "2 of 3 chunks are finished in" in said[0] and "--resume" in said[0]
    assert sorted(os.listdir("data.partial/chunks")) == ["00000.nc", "00001.nc"] and not Path("data").exists()
    assert main([*words, "--resume"]) == 0 and Path("data/burgers_li2021.nc").read_bytes() == whole


def test_a_trajectory_that_blows_up_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BlowUpError) as error:
        sciml.generate(CASE, 4, "data", points=64, dt=0.5, end=50.0, times=2, chunk=2, method="rk4")
    assert error.value.__notes__ == ["This happened while samples 0 to 1 were solved together."] and not os.listdir()


# ----------------------------------------------------------------------------------------------------- several processes


def start(words: list[str], **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "import sys; from sciml.cli.main import main; sys.exit(main())", *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(6000):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError(f"{path} did not appear")


def messages(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("sciml:")]


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_signals_keep_finished_chunks(number: int, code: int) -> None:
    words = ["generate", CASE, "--samples", "200", "--points", "256", "--times", "10", "--out", "data", "--chunk", "1"]
    process = start(words)
    wait_for(Path("data.partial/chunks/00002.nc"), process)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    made = sorted(p for p in Path("data.partial/chunks").iterdir() if not p.name.startswith("."))
    assert 3 <= len(made) < 200 and not Path("data").exists()
    for index, path in enumerate(made):
        with xr.open_dataset(path, engine="h5netcdf") as ds:
            assert ds["sample"].values.tolist() == [index] and np.isfinite(ds["u"].values).all()
    if code == 130:
        (line,) = messages(said)
        assert f"{len(made)} of 200 chunks are finished in {Path('data.partial').absolute()}" in line and "--resume" in line


def test_a_disk_that_takes_the_chunks_but_not_the_final_file(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing stands under the final name, and the chunks stay."""
    words = ["generate", CASE, "--samples", "8", "--points", "256", "--end", "0.01", "--times", "8", "--chunk", "1", "--out", "data"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
        assert main(words) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    (line,) = messages(capsys.readouterr().err)
    assert "File too large" in line and "8 of 8 chunks are finished" in line
    assert not Path("data").exists() and len(os.listdir("data.partial/chunks")) == 8
    assert main([*words, "--resume"]) == 0 and load("data/burgers_li2021.nc")["u"].shape == (8, 9, 256)


def test_two_processes_give_the_bits_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", CASE, "--samples", "5", "--points", "64", "--end", "0.05", "--times", "2"]
    Path("run.py").write_text("import sys\nfrom sciml.cli.main import main\nsys.exit(main())\n")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "run.py"]
    done = subprocess.run([*launcher, *words, "--chunk", "1", "--out", "two"], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("5 samples, netcdf") == 1
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert main([*words, "--chunk", "1", "--out", "one"]) == 0
        assert torch.get_num_threads() == 2, "the number of threads is the caller's again"
    finally:
        torch.set_num_threads(before)
    name = "burgers_li2021.nc"
    assert Path("two", name).read_bytes() == Path("one", name).read_bytes()
    one, two = (json.loads(Path(folder, "recipe.json").read_text()) for folder in ("one", "two"))
    assert one["key"] == two["key"] and (one["made"]["processes"], two["made"]["processes"]) == (1, 2)
    assert not Path("two.partial").exists() and not Path("one.partial").exists()


def test_an_error_in_one_process_ends_all_with_one_message() -> None:
    """Chunk 1 belongs to the second process and blows up; the first one stops although its own chunks are sound."""
    Path("steep.py").write_text(STEEP)
    words = ["generate", "steep.py", "--samples", "400", "--out", "data", "--chunk", "1", "--times", "20"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    both = [start(words, RANK=str(rank), LOCAL_RANK=str(rank), **place) for rank in (0, 1)]
    (_, first), (_, second) = (process.communicate(timeout=200) for process in both)
    assert [process.returncode for process in both] == [2, 2], first + second
    (line,) = messages(first)
    assert "samples 1 to 1 were solved together" in line and not messages(second)
    assert not Path("data").exists() and len(list(Path("data.partial/chunks").glob("*.nc"))) < 390


STEEP = """
from dataclasses import replace
import torch, sciml
from sciml.generation.draws import sample_generator
from sciml.problems import burgers
bad = sample_generator(0, 1).initial_seed()
def law(grid, generator):
    (x,) = grid.points()
    size = 1e7 if generator.initial_seed() == bad else torch.rand(1, generator=generator, dtype=torch.float64)
    return size * torch.sin(2 * torch.pi * x)
problem = replace(burgers.li2021(), initial=sciml.RandomLaw(law), points=(64,), name="steep")
"""


def test_work_is_shared_in_turn_and_errors_are_everybodys(monkeypatch: pytest.MonkeyPatch) -> None:
    team = Team(1, 3, 0)
    assert team.share([0, 2, 4, 5, 9]) == [2, 9] and Team(0, 1, 0).share([3, 4]) == [3, 4]
    assert Team(0, 1, 0).exchange("alone") == ["alone"]
    monkeypatch.setattr(Team, "wait", lambda self, meanwhile: meanwhile())
    theirs: list[Exception | None] = [None, None, InputError("bad chunk")]
    monkeypatch.setattr(Team, "exchange", lambda self, mine: [mine, *theirs])
    with pytest.raises(InputError, match="bad chunk"):
        team.together(lambda: 3)

    def give_up() -> None:
        raise Abandoned("another")

    with pytest.raises(InputError, match="bad chunk"):
        team.together(give_up)
    theirs[2] = None
    with pytest.raises(Abandoned):
        team.together(give_up)
    assert team.together(lambda: 3) == 3


def test_a_process_that_is_gone_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*args: Any, **options: Any) -> None:
        raise RuntimeError("Connection closed by peer\nmore")

    monkeypatch.setattr(dist, "all_gather_object", gone)
    monkeypatch.setattr(dist, "all_reduce", gone)
    for call in (lambda: Team(0, 2, 0).exchange(1), lambda: Team(0, 2, 0).wait(lambda: None)):
        with pytest.raises(SciMLError, match="Another process of this run has ended; what it had finished is kept"):
            call()


def test_processes_that_cannot_meet_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match="WORLD_SIZE=2 says that several processes work together.*start them with torchrun"), gathered():
        pass


def test_processes_that_ask_for_different_things_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = recipe(burgers.li2021(), seed=4)
    original = Team.exchange
    monkeypatch.setattr(Team, "exchange", lambda self, mine: [other, mine] if isinstance(mine, Recipe) else original(self, mine))
    with pytest.raises(InputError, match="would not make the same data set .*seed 4 there, 0 here"):
        sciml.generate(CASE, 4, "data", **SMALL)
    assert not os.listdir()
