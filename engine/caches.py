"""Where what can be made again is kept when the usual place cannot be written: a folder of the user's own."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def own_folder() -> Path:
    """A folder in the system's temporary one that nobody else can write to; made where it is missing.

    Raises:
        OSError: it cannot be made, or somebody else made it. What is in it may be run.
    """
    user = os.getuid() if os.name == "posix" else 0
    folder = Path(tempfile.gettempdir(), f"gaussian_heads_cache_{user}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if os.name == "posix" and (not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o077):
        raise PermissionError(f"{folder} is not this user's alone")
    return folder


def is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
