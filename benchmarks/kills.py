"""Twenty kills at random moments of ``sciml generate``: is a finished chunk ever lost, and are the final files the same bytes?

    python benchmarks/kills.py --out benchmarks/results/kills.json

A data set is generated once without interruption. Then it is generated again and again under ``--resume``: three processes one after the
other get SIGKILL, each at a moment drawn uniformly over the time that the work left to it takes, and a fourth may finish (a kill that comes
too late does not count); five more kills aim at the short time in which the final files are put together. After every kill the checksums of
the finished chunks are compared with those before it. At the end of each data set its file is compared with the uninterrupted one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch

WORDS = ["generate", "burgers:li2021", "--samples", "120", "--points", "256", "--end", "0.2", "--times", "40", "--chunk", "2"]
FILE, CHUNKS = "burgers_li2021.nc", 60


def start(out: Path, *extra: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "import sys; from sciml.cli.main import main; sys.exit(main())", *WORDS, "--out", str(out), *extra]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def chunks(out: Path) -> dict[str, str]:
    return {p.name: checksum(p) for p in sorted(out.with_name(f"{out.name}.partial").glob("chunks/[0-9]*.nc"))}


def moment(out: Path) -> str:
    """What the killed process was doing."""
    partial = out.with_name(f"{out.name}.partial")
    if out.exists():
        return "after the last move"
    if (partial / "finished").exists():
        return "putting the final file together"
    halves = list(partial.glob("chunks/.*"))
    return "before the first chunk" if not chunks(out) and not halves else "writing a chunk" if halves else "solving"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    folder = Path(tempfile.mkdtemp())
    began = time.perf_counter()
    assert start(folder / "whole").wait() == 0
    duration = time.perf_counter() - began
    began = time.perf_counter()
    assert start(folder / "whole").wait() == 0  # it is there already: the time to start and to end
    least = time.perf_counter() - began
    wanted = checksum(folder / "whole" / FILE)
    print(f"uninterrupted: {duration:.1f} s, {(folder / 'whole' / FILE).stat().st_size / 1e6:.1f} MB", flush=True)
    rows: list[dict[str, object]] = []
    lost = finished = identical = 0
    while len(rows) < options.kills + 5:
        out = folder / f"data{finished}"
        known: dict[str, str] = {}
        here = 0
        while True:
            aimed = len(rows) >= options.kills
            process = start(out, "--resume")
            if aimed:
                while process.poll() is None and not (out.with_name(f"{out.name}.partial") / "finished").exists():
                    time.sleep(0.001)
                time.sleep(draw.uniform(0.0, 0.05))
            elif here == 3:
                process.wait()
            else:
                time.sleep(draw.uniform(0.7 * least, least + (duration - least) * (1 - len(known) / CHUNKS)))
            if out.exists():
                process.wait()
                break
            process.send_signal(signal.SIGKILL)
            process.wait()
            doing, now = moment(out), chunks(out)
            if doing != "after the last move":  # which it may have reached since we looked
                lost += sum(now.get(name) != value for name, value in known.items())
                known = now
            here += 1
            rows.append({"kill": len(rows) + 1, "while": doing, "finished_chunks": len(now), "lost_or_changed": lost})
            print(json.dumps(rows[-1]), flush=True)
            if len(rows) == options.kills + 5:
                process = start(out, "--resume")
                process.wait()
                break
        assert process.returncode == 0, "a resumed run failed"
        finished += 1
        identical += checksum(out / FILE) == wanted and not out.with_name(f"{out.name}.partial").exists()
    shutil.rmtree(folder)
    summary = {"kills": len(rows), "chunks_lost_or_changed": lost, "data_sets_finished": finished, "identical_to_uninterrupted": identical}
    print(json.dumps(summary))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        about = {"machine": platform.machine(), "python": platform.python_version(), "torch": torch.__version__, "seed": options.seed}
        content = {**about, "command": WORDS, "uninterrupted_s": round(duration, 2), **summary, "rows": rows}
        options.out.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
