"""Looks at photos in a process of its own: what a damaged file does to a decoder is not done to the server."""

from __future__ import annotations

import logging
import os
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from engine.server.helper import Helper, begin, ending

if TYPE_CHECKING:
    from engine.photos.check import Verdict

LOG = logging.getLogger(__name__)
IDLE = 120.0  # seconds after which the process, which takes 300 MB, ends until it is needed again


class PhotoChecks:
    """Checks photos one by one, since each may take gigabytes while it is decoded; any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._helper: Helper | None = None

    def check(self, path: Path, shown: str) -> Verdict:
        """What :func:`engine.photos.check_photo` says; a photo that ends the process is not usable.

        Args:
            path: the stored file. shown: what the artist calls it.
        """
        from engine.photos.check import Verdict

        with self._lock:
            answer = self._ask(path)
        if isinstance(answer, Verdict):
            return answer
        why = answer or "the program that reads it crashed, or memory ran out"
        return Verdict(False, f"{shown} cannot be looked at ({why}). Export the photo again, smaller.")

    def _ask(self, path: Path) -> Verdict | str | None:
        """The process' answer, or what kept it from looking; None where it ended."""
        for _ in range(2):
            if self._helper is None or not self._helper.alive:
                self._helper = Helper(_main, "checks")
            try:
                self._helper.send(path)
                return self._helper.connection.recv()
            except (EOFError, OSError):
                self._helper.kill()
                if code := self._helper.exit_code:  # 0 where it ended at this moment, since nobody had asked for long
                    LOG.error("The process that checks photos ended with %s", ending(code))
                    return None
        return None

    def close(self) -> None:
        """End the process at once."""
        if self._helper is not None:
            self._helper.kill()


def _main(connection: Connection) -> None:
    begin()
    from engine.photos import check_photo
    from engine.threads import share_cores

    share_cores()
    while True:
        try:
            if not connection.poll(IDLE):
                os._exit(0)
            path = connection.recv()
        except (EOFError, OSError):
            os._exit(0)  # without a server nobody wants the answer
        try:
            connection.send(check_photo(path))
        except Exception as error:  # whatever it is, the next photo must be looked at
            LOG.exception("A photo could not be looked at")
            connection.send(f"{type(error).__name__}: {error}")
