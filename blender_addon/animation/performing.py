"""The performance that is being read off a clip: there is one at a time, and the panel shows it."""

from __future__ import annotations

from pathlib import Path

from ..engine_client.engine import ENGINE
from ..engine_client.jobs import PerformanceJob
from ..errors import AddonError
from ..preferences import engine_settings
from .capture import Capture, parse_capture

_current: PerformanceJob[Capture] | None = None


def current() -> PerformanceJob[Capture] | None:
    """The performance on its way; None where there is none."""
    return _current if _current is not None and not _current.snapshot().is_over else None


def start(clip: Path, smoothing: float, neutral: bool) -> PerformanceJob[Capture]:
    """Begins to read a clip in the background.

    Raises:
        AddonError: another one is being read, or the clip is not there.
    """
    global _current
    if current() is not None:
        raise AddonError("A clip is being read already.", "Wait for it, or cancel it in the Animation panel.")
    if not clip.is_file():
        raise AddonError(f"The clip {clip} is not there.", "Choose another one.")
    ENGINE.configure(engine_settings())

    def parse(take: bytes) -> Capture:
        return parse_capture(take.decode("utf-8", errors="replace"), clip.name)

    _current = PerformanceJob(ENGINE, clip, smoothing, neutral, parse)
    _current.start()
    return _current


def cancel() -> None:
    """Ends the one on its way, if there is one."""
    if (job := current()) is not None:
        job.cancel()


def register() -> None:
    pass


def unregister() -> None:
    global _current
    cancel()
    if _current is not None:
        _current.join(2.0)
        _current = None
