"""The take that is being made of a clip, a voice or a photo: there is one at a time, and the panel shows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..engine_client.client import Client
from ..engine_client.engine import ENGINE
from ..engine_client.jobs import TakeJob
from ..errors import AddonError
from ..preferences import engine_settings
from .capture import Capture, parse_capture

_current: TakeJob[Capture] | None = None


def current() -> TakeJob[Capture] | None:
    """The take on its way; None where there is none."""
    return _current if _current is not None and not _current.snapshot().is_over else None


def start(clip: Path, smoothing: float, neutral: bool) -> TakeJob[Capture]:
    """Begins to read a clip in the background.

    Raises:
        AddonError: another file is being read, or the clip is not there.
    """

    def send(client: Client, path: Path, is_cancelled: Callable[[], bool]) -> str:
        return client.create_performance(path, smoothing, neutral, is_cancelled)

    return _begin(clip, send)


def speak(voice: Path, text: str, seed: int, liveliness: float) -> TakeJob[Capture]:
    """Begins to move lips by a voice in the background.

    Args:
        voice: a sound, or a clip with one. text: what is said, in English, or "".
        seed: of blinks, brows and small motion. liveliness: how much of them, 0..1.

    Raises:
        AddonError: another file is being read, or the sound is not there.
    """

    def send(client: Client, path: Path, is_cancelled: Callable[[], bool]) -> str:
        return client.create_speech(path, text, seed, liveliness, is_cancelled)

    return _begin(voice, send)


def pose(photo: Path) -> TakeJob[Capture]:
    """Begins to read the expression off a photo in the background: a take of one sample.

    Raises:
        AddonError: another file is being read, or the photo is not there.
    """
    return _begin(photo, Client.create_pose)


def _begin(path: Path, send: Callable[[Client, Path, Callable[[], bool]], str]) -> TakeJob[Capture]:
    global _current
    if current() is not None:
        raise AddonError("A file is being read already.", "Wait for it, or cancel it in the Animation panel.")
    if not path.is_file():
        raise AddonError(f"The file {path} is not there.", "Choose another one.")
    ENGINE.configure(engine_settings())

    def parse(take: bytes) -> Capture:
        return parse_capture(take.decode("utf-8", errors="replace"), path.name)

    _current = TakeJob(ENGINE, path, send, parse)
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
