"""What tests of background work share: the engine's stand-in, waiting for something, whether a process lives."""

import os
import time
from collections.abc import Callable
from pathlib import Path

STUB = Path(__file__).parent / "stub"


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not (fine := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(fine)
