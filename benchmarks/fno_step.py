"""A training step of FNO beside neuraloperator's of the same size: forward, backward and Adam.

    OMP_NUM_THREADS=2 python benchmarks/fno_step.py --rounds 7 --out benchmarks/results/fno_step.json

Needs neuraloperator (2.0) beside this package. Both models take the same steps on the same data with torch.optim.Adam, in alternating
pairs in this process; a ratio above 1 means that ours is faster, in wall time and in processor time. In all cases but the last ours begins
with neuraloperator's weights, so that the two compute the same; in the last each has its own defaults at the same width, depth and modes
(ours has no perceptrons in its layers, and a linear lifting, as the paper has).
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from sciml import FNO, Grid

CASES: list[tuple[str, int, int, tuple[int, ...], int, dict[str, Any] | None]] = [
    # name, batch, width, points, modes, settings of neuraloperator (None: both have their own defaults)
    ("1-D, default", 20, 64, (1024,), 16, {}),
    ("1-D, no perceptron, linear lifting", 20, 64, (1024,), 16, {"use_channel_mlp": False, "lifting_channel_ratio": 0}),
    ("2-D, default", 8, 32, (64, 64), 12, {}),
    ("1-D, each with its own defaults", 20, 64, (1024,), 16, None),
]


def stepper(model: torch.nn.Module, u: torch.Tensor, target: torch.Tensor) -> Callable[[], float]:
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> float:
        optimiser.zero_grad()
        loss = (model(u) - target).square().mean()
        loss.backward()
        optimiser.step()
        return float(loss)

    return step


def seconds(step: Callable[[], float]) -> tuple[float, float]:
    """Wall time and processor time."""
    start = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def main() -> None:
    from neuralop.models import FNO as Peer

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    print(f"torch {torch.__version__}, neuraloperator {version('neuraloperator')}, {torch.get_num_threads()} threads, {platform.machine()}, seed 0")
    rows = []
    for name, batch, width, shape, modes, settings in CASES:
        torch.manual_seed(0)
        peer = Peer(n_modes=(2 * modes,) * len(shape), in_channels=1, out_channels=1, hidden_channels=width, **(settings or {})).to(arguments.device)
        grid = Grid(shape, (1.0,) * len(shape), dtype=torch.float32, device=torch.device(arguments.device))
        ours = FNO(grid, 1, modes=modes, width=width) if settings is None else FNO.from_neuraloperator(peer.state_dict(), grid).train()
        u, target = (torch.randn(batch, 1, *shape, device=arguments.device) for _ in range(2))
        steps = stepper(peer, u, target), stepper(ours, u, target)
        first = steps[0](), steps[1]()
        pairs = [(seconds(steps[0]), seconds(steps[1])) for _ in range(arguments.rounds)]
        wall, processor = ([a[i] / b[i] for a, b in pairs] for i in range(2))
        ours_ms, peer_ms = (1e3 * statistics.median(pair[i][0] for pair in pairs) for i in (1, 0))
        row = {"case": name, "batch": batch, "width": width, "shape": shape, "modes": modes, "first_losses": first}
        row |= {"ratio": statistics.median(wall), "smallest": min(wall), "largest": max(wall), "processor_ratio": statistics.median(processor)}
        rows.append(row | {"peer_ms": peer_ms, "ours_ms": ours_ms})
        print(
            f"{name:>36}  {statistics.median(wall):5.2f} times faster ({min(wall):.2f} to {max(wall):.2f}), processor time "
            f"{statistics.median(processor):.2f}; {ours_ms:.0f} ms beside {peer_ms:.0f} ms; first losses {first[1]:.6f} and {first[0]:.6f}",
            flush=True,
        )
    if arguments.out:
        record = {
            "torch": torch.__version__,
            "neuraloperator": version("neuraloperator"),
            "threads": torch.get_num_threads(),
            "machine": platform.machine(),
            "device": arguments.device,
            "rounds": arguments.rounds,
            "cases": rows,
        }
        arguments.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
