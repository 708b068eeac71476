"""A training that was interrupted, killed or shared among processes ends as one that was not; its files are whole and its own."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from training_run import GRID, mean_square, model, same, states, train, weights

import sciml
from sciml.training.history import Epoch, History

RUN = Path(__file__).with_name("training_run.py")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


class Stop(BaseException):
    pass


@pytest.mark.parametrize("more", [{}, {"patience": 1, "ema": None}], ids=["averaged", "best"])
@pytest.mark.parametrize("steps", [1, 9, 10, 23])
def test_a_resumed_training_is_the_uninterrupted_one(steps: int, more: dict[str, Any], tmp_path: Path) -> None:
    options = {"noise": 0.05, "epochs": 3, **more}
    straight = model()
    expected = train(straight, **options)
    broken = model()
    count = 0

    def step(module: nn.Module, given: Any) -> None:
        nonlocal count
        count += module.training
        if count > steps:
            raise Stop

    handle = broken.register_forward_pre_hook(step)
    place = tmp_path / "run.ckpt"
    with pytest.raises(Stop):
        train(broken, **options, checkpoint=place, checkpoint_every=0)
    handle.remove()
    resumed = model()
    for p in resumed.parameters():
        nn.init.zeros_(p)
    found = train(resumed, **options, checkpoint=place, resume=True)
    assert same(weights(resumed), weights(straight))
    assert found.losses == expected.losses and found.validation == expected.validation and found.lr == expected.lr
    finished = model()
    again = train(finished, **options, checkpoint=place, resume=True)  # nothing is left to do
    assert again.losses == expected.losses and same(weights(finished), weights(straight))
    assert [p.name for p in tmp_path.iterdir()] == ["run.ckpt"]


def test_an_interruption_is_taken_between_steps_and_kept(tmp_path: Path) -> None:
    straight = model()
    train(straight)
    network, place, count = model(), tmp_path / "run.ckpt", 0

    def press(module: nn.Module, given: Any) -> None:
        nonlocal count
        count += module.training
        if count == 13:
            count += 1
            os.kill(os.getpid(), signal.SIGINT)

    handle = network.register_forward_pre_hook(press)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt) as caught:
        train(network, checkpoint=place)
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    assert any("resume=True" in note and str(place) in note for note in caught.value.__notes__)
    assert torch.load(place, weights_only=True)["state"]["step"] == 13
    handle.remove()
    resumed = model()
    train(resumed, checkpoint=place, resume=True)
    assert same(weights(resumed), weights(straight))


def test_a_killed_process_is_gone_on_with(tmp_path: Path) -> None:
    place, out = tmp_path / "run.ckpt", tmp_path / "out.pt"
    arguments = [sys.executable, str(RUN), str(out), f"checkpoint={str(place)!r}", "checkpoint_every=0", "resume=True", "epochs=40"]
    process = subprocess.Popen(arguments, env=ENVIRONMENT)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not place.exists():
        time.sleep(0.01)
    time.sleep(0.3)
    process.kill()
    process.wait()
    reached = torch.load(place, weights_only=True)["state"]["step"]
    assert 0 < reached < 40 * 9 and not out.exists()
    resumed, straight = model(), model()
    with pytest.raises(sciml.InputError, match="epochs: 40 there"):
        train(resumed, checkpoint=place, resume=True, epochs=39)
    found = train(resumed, checkpoint=place, resume=True, epochs=40)
    expected = train(straight, epochs=40)
    assert found.losses == expected.losses and same(weights(resumed), weights(straight))


def test_two_processes_train_the_same_weights_as_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(RUN)]
    two = tmp_path / "two.pt"
    done = subprocess.run([*command, str(two), "batch_size=3", "epochs=2"], env=ENVIRONMENT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    alone = model()
    expected = train(alone, batch_size=3, epochs=2)  # 25 samples: batches of 1 + 2, and a last one of one for two processes
    for path in (two, tmp_path / "two.pt.1"):
        found = torch.load(path, weights_only=True)
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(found["state"][name], value, rtol=1e-9, atol=1e-12)
        assert found["losses"] == pytest.approx(expected.losses, rel=1e-10)
        assert found["validation"] == pytest.approx(expected.validation, rel=1e-9)


def test_the_process_group_ends_before_python_does() -> None:
    text = (
        "import atexit, torch, training_run\n"
        "atexit.register(lambda: print('left' if not torch.distributed.is_initialized() else 'still there'))\n"  # runs after fit's own
        "training_run.train(training_run.model(), epochs=1, strategy='ddp')\n"
        "print('there' if torch.distributed.is_initialized() else 'missing')\n"
    )
    done = subprocess.run([sys.executable, "-c", text], cwd=RUN.parent, env=ENVIRONMENT, capture_output=True, text=True, timeout=100)
    assert done.stdout.split("\n")[-3:] == ["there", "left", ""], done.stderr


# -- files ------------------------------------------------------------------------------------------------------------


def test_log_and_history(tmp_path: Path) -> None:
    history = train(model(), epochs=2, log=tmp_path / "log.csv")
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [float(row["loss"]) for row in rows] == history.losses
    assert [float(row["validation"]) for row in rows] == history.validation
    assert [(row["epoch"], row["steps"]) for row in rows] == [("1", "9"), ("2", "18")]
    assert history.plot(tmp_path / "loss.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(sciml.InputError, match="must end in"):
        history.plot(tmp_path / "loss.txt")
    with pytest.raises(sciml.InputError, match="nothing to draw"):
        History().plot(tmp_path / "none.png")
    assert Epoch(**history.state()[1]) == history.epochs[1]


def test_budget_ends_a_training_and_drives_its_schedule() -> None:
    history = train(model(), epochs=None, budget=0.3, schedule="cosine")
    assert history.ended == "budget" and 0.3 <= history.seconds[-1] < 2.0
    assert history.lr[-1] < 0.002 < history.lr[0] <= 0.01
    both = train(model(), epochs=1, budget=100.0)
    assert both.ended == "epochs" and both.epochs[-1].steps == 9


def test_a_checkpoint_belongs_to_one_training(tmp_path: Path) -> None:
    place = tmp_path / "run.ckpt"
    train(model(), checkpoint=place, epochs=1, schedule="constant")
    with pytest.raises(sciml.InputError, match="is there already"):
        train(model(), checkpoint=place, epochs=1, schedule="constant")
    longer, straight = model(), model()
    train(longer, checkpoint=place, epochs=2, schedule="constant", resume=True)
    train(straight, epochs=2, schedule="constant")
    assert same(weights(longer), weights(straight))
    content = torch.load(place, weights_only=True)
    content["state"]["seconds"] = 1000.0
    torch.save(content, tmp_path / "old.ckpt")
    network = model()
    more = train(network, checkpoint=tmp_path / "old.ckpt", epochs=3, schedule="constant", resume=True)
    assert more.seconds[1] < 100 < 1000 < more.seconds[2]  # time counts on from the kept time
    spent = train(model(), checkpoint=tmp_path / "old.ckpt", epochs=9, budget=1000.0, schedule="constant", resume=True)
    assert spent.ended == "budget" and len(spent.epochs) == 3
    other: list[tuple[nn.Module, dict[str, Any], str]] = [
        (sciml.FNO(GRID, modes=3, width=5, depth=2, dt=0.1), {}, "model"),
        (sciml.FNO(GRID, modes=3, width=4, depth=2, dt=0.2), {}, "model"),
        (sciml.FNO(sciml.Grid((8,), (2.0,)), modes=3, width=4, depth=2, dt=0.1), {}, "model"),
        (model(), {"batch_size": 2}, "batch_size: 3 there, 2 here"),
        (model(), {"seed": 6}, "seed"),
        (model(), {"clip": None}, "clip"),
        (model(), {"ema": None}, "ema"),
        (model(), {"optimizer": torch.optim.SGD}, "optimizer"),
        (model(), {"loss": mean_square}, "objective"),
        (model(), {"noise": 0.1}, "objective"),
        (model(), {"schedule": "cosine"}, "schedule"),
    ]
    for network, options, word in other:
        with pytest.raises(sciml.InputError, match=f"another training.*{word}"):
            train(network, **{"checkpoint": place, "epochs": 2, "schedule": "constant", "resume": True, **options})
    with pytest.raises(sciml.InputError, match="data: 25 samples.*there, 20 samples"):
        sciml.fit(model(), sciml.pairs(states(4)), epochs=1, checkpoint=place, resume=True)
    changed = states(5).clone()
    changed.view(-1)[changed.numel() // 2] += 1.0
    with pytest.raises(sciml.InputError, match="data: 25 samples.*there, 25 samples"):
        sciml.fit(model(), sciml.pairs(changed), epochs=1, checkpoint=place, resume=True)
    for content, word in ((b"nonsense", "damaged"), (place.read_bytes()[:500], "damaged")):
        bad = tmp_path / "bad.ckpt"
        bad.write_bytes(content)
        with pytest.raises(sciml.InputError, match=word):
            train(model(), checkpoint=bad, resume=True)
    torch.save({"format": "other"}, bad)
    with pytest.raises(sciml.InputError, match="no checkpoint"):
        train(model(), checkpoint=bad, resume=True)
    torch.save({"format": "sciml training", "version": 99}, bad)
    with pytest.raises(sciml.InputError, match="another version"):
        train(model(), checkpoint=bad, resume=True)
    from sciml.io.lock import exclusive

    with exclusive(tmp_path / "held.ckpt.lock", "training with it"), pytest.raises(sciml.InputError, match="another process"):
        train(model(), checkpoint=tmp_path / "held.ckpt")
