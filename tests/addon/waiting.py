"""What tests of background work share: the engine's stand-in, waiting for something, processes that live and die."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

STUB = Path(__file__).parent / "stub"
# A virtual environment's python.exe only starts another one, whose process it is then that counts.
STUB_PYTHON = Path(getattr(sys, "_base_executable", sys.executable) if os.name == "nt" else sys.executable)
KILLED = "signal 9" if os.name == "posix" else "exit code"  # of a process that was killed; Windows has no signals


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid)


def kill(pid: int) -> None:
    """Ends a process as a crash would, without asking it."""
    psutil.Process(pid).kill()


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not (fine := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(fine)
