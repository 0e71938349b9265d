"""The engine's log: what its process writes to its standard error."""

from __future__ import annotations

import logging.handlers
from pathlib import Path
from typing import IO

from ..files import keep_newest

LOG_BYTES = 1 << 20  # per log file, of which each Blender keeps two
LOGS_KEPT = 6


class Log:
    """The engine's log file, rotated; one per Blender, since two must not write to the same."""

    def __init__(self, path: Path):
        self.last = ""
        self._path = path

    def pump(self, stream: IO[bytes]) -> None:
        """Copies a stream to the file until it ends."""
        handler = self._open()
        with stream:
            for line in stream:
                text = line.decode(errors="replace").rstrip()
                if text:
                    self.last = text.strip()
                handler.emit(logging.makeLogRecord({"msg": text}))
        handler.close()

    def _open(self) -> logging.Handler:
        """The file; nothing where it cannot be written, since the engine blocks if nobody reads what it says."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            keep_newest(self._path.parent, "engine-*.log*", LOGS_KEPT)
            return logging.handlers.RotatingFileHandler(
                self._path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8", errors="replace"
            )
        except OSError:
            return logging.NullHandler()
