"""The server's temporary folder: gone when it ends, and gone at the next start when it was killed."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "gaussian_heads_engine_"


class WorkFolder:
    """A private folder, in the system's temporary folder, for uploads and results.

    A lock file beside it, which the system unlocks however the process ends, tells other engines that it is in use. It
    is there before the folder, so that a folder whose lock is free has no owner.

    Attributes:
        path: the folder.
    """

    def __init__(self) -> None:
        parent = Path(tempfile.gettempdir())
        _remove_stale(parent)
        self.path = parent / f"{PREFIX}{secrets.token_hex(8)}"
        self._lock = FileLock(_lock_path(self.path), mode=0o600, thread_local=False)
        self._lock.acquire(timeout=0)
        self.path.mkdir(mode=0o700)

    def new(self) -> Path:
        """An empty folder in it."""
        own = self.path / f"request_{secrets.token_hex(8)}"
        own.mkdir()
        return own

    @contextmanager
    def for_request(self) -> Iterator[Path]:
        """An empty folder in it for one request, which goes with it."""
        own = self.new()
        try:
            yield own
        finally:
            shutil.rmtree(own, ignore_errors=True)

    def remove(self) -> None:
        """Delete the folder with all that is in it."""
        _delete(self.path, self._lock)


def _remove_stale(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(Timeout, OSError):  # its engine is alive, or another one removes it at this moment
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and (os.name == "nt" or found.st_uid == os.getuid()):
                lock = FileLock(_lock_path(folder), mode=0o600, thread_local=False)
                lock.acquire(timeout=0)
                _delete(folder, lock)


def _delete(folder: Path, lock: FileLock) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # what another program holds open stays until the next start
    lock.release()
    if not folder.exists():
        _lock_path(folder).unlink(missing_ok=True)


def _lock_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")
