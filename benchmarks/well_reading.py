"""Reading a file of the Well in windows of one state in and one out, beside the Well's own data set, and the memory it takes.

    python benchmarks/well_reading.py --out benchmarks/results/well_reading.json

The file (1000 trajectories of 21 x 64 x 64 in float32, 344 MB) is made in a temporary folder; both read the same windows of it through
PyTorch's DataLoader with two workers, in turns, after a round that is not counted. The peer is taken as it comes, and with everything but the
fields switched off. Memory is the largest resident set of the parent and of each worker in a fresh interpreter, above the resident
set of one that has imported torch and nothing else.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

SEED = 0
STEPS, SIDE = 21, 64
BARE = {"return_grid": False, "boundary_return_type": None}


def make(folder: Path, trajectories: int) -> None:
    import xarray as xr

    import sciml

    rng = np.random.default_rng(SEED)
    x = np.arange(SIDE) / SIDE
    attrs = {"parameters": json.dumps({"viscosity": 0.1}), "boundaries": json.dumps([["periodic", "periodic"]] * 2)}

    def chunks() -> Iterator[xr.Dataset]:
        for start in range(0, trajectories, 50):
            count = min(50, trajectories - start)
            values = rng.standard_normal((count, STEPS, SIDE, SIDE), dtype=np.float32)
            coords = {"sample": np.arange(count), "time": np.arange(STEPS) * 0.1, "x": x, "y": x}
            yield xr.Dataset({"u": (("sample", "time", "x", "y"), values)}, coords, attrs)

    sciml.write_well(folder, chunks(), trajectories, split=(trajectories, 0, 0))


def dataset(which: str, folder: Path) -> Dataset:
    if which == "ours":
        import sciml

        return sciml.open_data(folder, split="train").windows(1, 1)
    from the_well.data import WellDataset

    return WellDataset(path=str(folder), well_split_name="train", **(BARE if which == "peer, fields only" else {}))


class Listed(torch.utils.data.Sampler):
    """The windows of a round, in their order; the loaders of one round share it."""

    def __init__(self) -> None:
        self.indices: list[int] = []

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


def states(batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The fields before and after, each ``(batch, x, y)``."""
    if isinstance(batch, dict):
        return batch["input_fields"][:, 0, ..., 0], batch["output_fields"][:, 0, ..., 0]
    return batch.before[:, 0, 0], batch.after[:, 0, 0]


def seconds(loader: Iterable[Any]) -> float:
    begin = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - begin


def speed(folder: Path, windows: int, rounds: int, batch: int, shuffled: bool) -> dict[str, Any]:
    names = ("ours", "peer", "peer, fields only")
    order = Listed()
    loaders = {name: DataLoader(dataset(name, folder), batch, sampler=order, num_workers=2, persistent_workers=True) for name in names}
    every = len(loaders["ours"].dataset)
    if len(loaders["peer"].dataset) != every:
        raise SystemExit(f"the two count {every} and {len(loaders['peer'].dataset)} windows")
    rng = np.random.default_rng(SEED)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for k in range(rounds + 1):
        first = int(rng.integers(every - windows + 1))
        order.indices = (rng.permutation(every)[:windows] if shuffled else np.arange(first, first + windows)).tolist()
        if k == 0:
            for ours, peer in zip(loaders["ours"], loaders["peer"], strict=True):
                if not all(torch.equal(a, b) for a, b in zip(states(ours), states(peer), strict=True)):
                    raise SystemExit("the two read different numbers")
            seconds(loaders["peer, fields only"])
            continue
        for name in names if k % 2 else reversed(names):
            taken[name].append(seconds(loaders[name]))
    row: dict[str, Any] = {"batch": batch, "shuffled": shuffled, "windows": windows, "rounds": rounds}
    for name in names:
        row[f"{name}: microseconds per window"] = round(statistics.median(taken[name]) / windows * 1e6, 1)
    for name in names[1:]:
        quotients = [a / b for a, b in zip(taken["ours"], taken[name], strict=True)]
        row[f"ours / {name}"] = {k: round(f(quotients), 4) for k, f in (("median", statistics.median), ("smallest", min), ("largest", max))}
    return row


def resident(process: int | str, entry: str) -> float:
    """MiB, from the kernel's account: VmRSS is the resident set now, VmHWM the largest so far."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(entry):
            return int(line.split()[1]) / 1024
    return 0.0


def measure_memory(which: str, folder: Path, windows: int) -> None:
    """Print the peaks of this process and its workers; for an interpreter of its own."""
    workers: dict[int, float] = {}
    order = Listed()
    order.indices = np.random.default_rng(SEED).permutation(1000)[:windows].tolist()
    for i, _ in enumerate(DataLoader(dataset(which, folder), 16, sampler=order, num_workers=2)):
        if i % 10 == 0:
            workers |= {child.pid: resident(child.pid, "VmHWM") for child in multiprocessing.active_children() if child.pid}
    print(json.dumps({"parent": resident("self", "VmHWM"), "workers": list(workers.values())}))


def memory(folder: Path) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}

    def answer(code: str) -> str:
        return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout

    torch_alone = float(answer("import torch\nprint([int(x.split()[1]) / 1024 for x in open('/proc/self/status') if x.startswith('VmRSS')][0])"))
    row: dict[str, Any] = {"torch alone, MiB": round(torch_alone, 1)}
    for which in ("ours", "peer"):
        code = f"from pathlib import Path\nimport well_reading\nwell_reading.measure_memory({which!r}, Path({str(folder)!r}), 1000)"
        found = json.loads(answer(code))
        row[which] = {
            "parent above torch, MiB": round(found["parent"] - torch_alone, 1),
            "workers above torch, MiB": [round(m - torch_alone, 1) for m in found["workers"]],
        }
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trajectories", type=int, default=1000)
    parser.add_argument("--windows", type=int, default=2000, help="windows per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version(), "seed": SEED}
    versions = {name: version(name) for name in ("torch", "h5py", "numpy", "xarray", "the_well", "sciml-pde")}
    print(", ".join(f"{k} {v}" for k, v in {**machine, **versions}.items()))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "random"
        make(folder, arguments.trajectories)
        size = sum(path.stat().st_size for path in folder.rglob("*.hdf5"))
        rows = []
        for batch, shuffled in ((16, False), (16, True), (1, False), (1, True)):
            row = speed(folder, arguments.windows, arguments.rounds, batch, shuffled)
            rows.append(row)
            print(json.dumps(row), flush=True)
        used = memory(folder)
        print(json.dumps(used))
    if arguments.out:
        result = {"machine": machine, "versions": versions, "file_bytes": size, "rows": rows, "memory": used}
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
