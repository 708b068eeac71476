"""Wall time and peak memory of a piece of work.

On CUDA the peak is PyTorch's own count of allocated bytes. On the host PyTorch's allocations are invisible to
``tracemalloc``, so the resident set of the process is watched: Linux keeps its high-water mark in
``/proc/self/status``, which writing 5 to ``/proc/self/clear_refs`` resets; where that is refused a thread samples
the resident set instead. Free memory is handed back to the system first, so that an earlier run's does not hide the
present one's. The figure is what came on top of what was resident at the start: exact for CUDA, to about a megabyte
on Linux, a lower bound elsewhere.
"""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

import torch

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")


class Meter:
    """``with Meter("cpu") as m: work()``; then ``m.wall_s`` (seconds) and ``m.peak_bytes``."""

    wall_s: float = 0.0
    peak_bytes: int = 0

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self._sampler: _Sampler | None = None

    def __enter__(self) -> Meter:
        _warm_up(self.device)
        gc.collect()
        _return_free_memory()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        else:
            self._before = resident_bytes()
            if not _reset_high_water():
                self._sampler = _Sampler()
                self._sampler.start()
        self._start = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.wall_s = time.perf_counter() - self._start
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.device)
        elif self._sampler is not None:
            peak = self._sampler.stop()
        else:
            peak = _status_bytes("VmHWM")
        self.peak_bytes = max(peak - self._before, 0)


class _Sampler(threading.Thread):
    """Largest resident set seen, every few milliseconds."""

    def __init__(self, interval: float = 0.005) -> None:
        super().__init__(daemon=True)
        self.interval = interval
        self.peak = resident_bytes()
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(self.interval):
            self.peak = max(self.peak, resident_bytes())

    def stop(self) -> int:
        self._done.set()
        self.join()
        return max(self.peak, resident_bytes())


def resident_bytes() -> int:
    """Resident set of this process now; where the system does not tell, its largest so far."""
    if STATUS.exists():
        return _status_bytes("VmRSS")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status_bytes(key: str) -> int:
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return 0


def _reset_high_water() -> bool:
    try:
        CLEAR_REFS.write_text("5")
    except OSError:
        return False
    return True


def _return_free_memory() -> None:
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
        if trim is not None:
            trim(0)


def _warm_up(device: torch.device) -> None:
    """Load what PyTorch loads on first use (thread pool, matrix library, CUDA context), so that no run pays for it."""
    a = torch.ones((64, 64), device=device)
    (a @ a).sum().item()
