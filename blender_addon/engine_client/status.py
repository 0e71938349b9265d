"""Which engine is asked for, and how it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .client import Client


@dataclass(frozen=True)
class EngineSettings:
    """Which engine to use.

    Attributes:
        extension_dir: folder that holds the ``engine`` package.
        user_dir: the extension's own folder for logs and the last heads.
        local_dir: folder for what can be made again: the unpacked engine and its caches.
        blender_dir: folder of Blender's program, where Windows keeps a library; None where there is none.
        python: interpreter with the engine's dependencies; None for the one that comes with the extension.
        url, token: a running engine to use instead of starting one; empty for none.
        online: whether an engine on another computer may be used.
        device: that makes heads and draws previews, "auto" or "cpu".
        weights: files of weights that the engine may use.
    """

    extension_dir: Path
    user_dir: Path
    local_dir: Path
    blender_dir: Path | None = None
    python: Path | None = None
    url: str = ""
    token: str = ""
    online: bool = False
    device: str = "auto"
    weights: tuple[Path, ...] = ()


@dataclass(frozen=True)
class EngineStatus:
    """How the engine is.

    Attributes:
        state: stopped, unpacking, starting, ready or failed.
        message: one sentence for the panel; ``hint`` says what to do, where something is to be done.
        progress: 0..1 of the unpacking, then of the start.
        left_s: seconds that the unpacking will still take; None if unknown.
        health: versions and device; None unless ready.
        client: None unless ready.
        pid: of the process, None where there is none of ours.
    """

    state: str = "stopped"
    message: str = "The engine is not running; it starts by itself when it is needed."
    hint: str = ""
    progress: float = 0.0
    left_s: float | None = None
    health: dict[str, Any] | None = None
    client: Client | None = None
    pid: int | None = None
