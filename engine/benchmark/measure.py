"""How things are measured: medians after a warm-up, memory, and on what machine it was."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

REPEATS, WARM_UP = 9, 2

os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else the profiler tells standard error about each start and stop


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Of one run, by a clock."""
    started = clock()
    work()
    return clock() - started


def median_seconds(
    work: Callable[[], object], device: torch.device, repeats: int = REPEATS, warm_up: int = WARM_UP
) -> float:
    """The median of ``repeats`` runs after ``warm_up`` runs; each ends when the device has finished its work."""

    def complete() -> None:
        work()
        synchronise(device)

    for _ in range(warm_up):
        complete()
    return statistics.median(seconds(complete) for _ in range(repeats))


def synchronise(device: torch.device) -> None:
    """Wait for a CUDA device; a CPU has nothing outstanding."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """The most that PyTorch's tensors on the device hold at once during one run, above what they held before it.

    On the CPU the profiler records every allocation, which slows the run down: do not time it.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        synchronise(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        recorded.export_chrome_trace(str(trace))  # the profiler's only public list of single allocations
        events = json.loads(trace.read_text())["traceEvents"]
    held = peak = 0
    for event in sorted((e for e in events if e.get("name") == "[memory]"), key=lambda e: e["ts"]):
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return peak


def machine() -> dict[str, object]:
    """What the numbers were measured on: ``cpu``, ``cores``, ``torch`` (version) and ``threads``."""
    return {"cpu": _cpu_name(), "cores": os.cpu_count(), "torch": torch.__version__, "threads": torch.get_num_threads()}


def process_peak_gb() -> float | None:
    """Largest resident size of this process so far in 10⁹ bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _cpu_name() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
