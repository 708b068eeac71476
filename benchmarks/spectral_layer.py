"""The spectral layer beside neuraloperator's: forward, forward and backward, peak memory; and the rates of the two ways to evaluate it.

    OMP_NUM_THREADS=2 python benchmarks/spectral_layer.py --rounds 9 --out benchmarks/results/spectral_layer.json
    OMP_NUM_THREADS=2 python benchmarks/spectral_layer.py --rates

Needs neuraloperator (2.0.0) beside this package. Both layers run in this process in alternating pairs; a ratio above 1 means that
ours is faster. Peak memory is that of all tensors alive at once in forward and backward, their gradients among them, without input and weights.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from sciml import SpectralConv
from sciml.spectral.cost import matrix_work, transform_work

CASES = [
    (16, 32, (64, 64), 12),
    (8, 32, (128, 128), 16),
    (4, 32, (256, 256), 16),
    (20, 64, (64, 64), 8),
    (4, 64, (256, 256), 32),
    (20, 64, (1024,), 16),
    (20, 64, (8192,), 16),
    (4, 20, (64, 64, 40), 8),
    (20, 64, (64,), 8),
    (2, 16, (512, 512), 24),
]


def forward(layer: torch.nn.Module, u: torch.Tensor) -> Callable[[], None]:
    def run() -> None:
        with torch.no_grad():
            layer(u)

    return run


def both(layer: torch.nn.Module, u: torch.Tensor) -> Callable[[], None]:
    clear = without_gradients(layer, u)

    def run() -> None:
        clear()
        layer(u).square().sum().backward()

    return run


def without_gradients(layer: torch.nn.Module, u: torch.Tensor) -> Callable[[], None]:
    def clear() -> None:
        u.grad = None
        layer.zero_grad()

    return clear


def seconds(work: Callable[[], None], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats


def paired(ours: Callable[[], None], peer: Callable[[], None], rounds: int) -> dict[str, float]:
    ours(), peer()
    repeats = max(1, round(0.1 / seconds(peer, 1)))
    pairs = [(seconds(peer, repeats), seconds(ours, repeats)) for _ in range(rounds)]
    ratios = [a / b for a, b in pairs]
    return {
        "ratio": statistics.median(ratios),
        "smallest": min(ratios),
        "largest": max(ratios),
        "peer_ms": 1e3 * statistics.median(a for a, _ in pairs),
        "ours_ms": 1e3 * statistics.median(b for _, b in pairs),
    }


def peak(work: Callable[[], None], clear: Callable[[], None], device: str) -> int:
    """The most bytes of tensors alive at once, above those alive before; counted at the allocator, since a process keeps what it once had."""
    work()
    clear()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    events = sorted((e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"), key=lambda e: e.start_ns())
    return max(accumulate(e.nbytes() for e in events))


def beside_neuraloperator(rounds: int, device: str) -> list[dict[str, object]]:
    from neuralop.layers.spectral_convolution import SpectralConv as Peer

    rows = []
    for batch, width, space, m in CASES:
        modes = (m,) * len(space)
        ours = SpectralConv(width, width, modes).to(device)
        # neuraloperator counts both signs along every axis
        peer = Peer(width, width, n_modes=tuple(2 * n for n in modes)).to(device)
        u = torch.randn(batch, width, *space, device=device, requires_grad=True)
        row: dict[str, object] = {"batch": batch, "width": width, "space": space, "modes": m}
        row["forward"] = paired(forward(ours, u), forward(peer, u), rounds)
        row["forward_backward"] = paired(both(ours, u), both(peer, u), rounds)
        row["peak_bytes"] = {name: peak(both(layer, u), without_gradients(layer, u), device) for name, layer in (("ours", ours), ("peer", peer))}
        rows.append(row)
        f, b, memory = row["forward"], row["forward_backward"], row["peak_bytes"]
        name = f"({batch}, {width}, {'x'.join(map(str, space))}, {m})"
        print(
            f"{name:>26}  forward {f['ratio']:5.2f} ({f['smallest']:.2f} to {f['largest']:.2f})   "
            f"forward+backward {b['ratio']:5.2f} ({b['smallest']:.2f} to {b['largest']:.2f})   "
            f"memory {memory['ours'] / 2**20:7.1f} of {memory['peer'] / 2**20:7.1f} MiB",
            flush=True,
        )
    return rows


def geometric(rows: list[dict[str, object]], key: str) -> float:
    return math.exp(statistics.fmean(math.log(row[key]["ratio"]) for row in rows))


def measured_rates(device: str) -> None:
    """Where the two ways cost the same, per size: the quotient of the rates in sciml/spectral/cost.py should be the work's quotient there."""
    for space in ((256,), (1024,), (8192,), (32, 32), (64, 64), (128, 128), (256, 256), (16, 16, 16), (32, 32, 32), (64, 64, 40)):
        batch = max(1, 2**19 // (16 * math.prod(space)))
        u = torch.randn(batch, 16, *space, device=device, requires_grad=True)
        for fraction in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5):
            modes = tuple(max(1, int(n * fraction)) for n in space)
            layers = [SpectralConv(16, 16, modes, path=path).to(device) for path in ("matrices", "transforms")]
            times = [[], []]
            for _ in range(5):
                for kept, layer in zip(times, layers, strict=True):
                    kept.append(seconds(both(layer, u), 3))
            a, b = (statistics.median(t) for t in times)
            quotient = matrix_work(space, modes) / transform_work(space, modes)
            print(f"{space!s:>14} modes {modes!s:>14}   time of transforms {b / a:5.2f}   work of matrices {quotient:6.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rates", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.processor() or platform.machine()}, seed 0")
    if arguments.rates:
        measured_rates(arguments.device)
        return
    rows = beside_neuraloperator(arguments.rounds, arguments.device)
    total = {key: geometric(rows, key) for key in ("forward", "forward_backward")}
    print(f"geometric mean: forward {total['forward']:.2f}, forward+backward {total['forward_backward']:.2f}")
    if arguments.out:
        record = {
            "torch": torch.__version__,
            "neuraloperator": version("neuraloperator"),
            "threads": torch.get_num_threads(),
            "machine": platform.machine(),
            "device": arguments.device,
            "seed": 0,
            "geometric_mean": total,
            "cases": rows,
        }
        arguments.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
