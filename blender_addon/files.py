"""Writes files all or nothing: a reader sees the old file or the whole new one, never a half. Says what went wrong."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import AddonError

FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
# Windows: access denied, sharing violation, lock violation. The first has other causes as well.
HELD = (5, 32, 33)
MAX_PATH = 260  # characters, where Windows says only that there is no such file
PATIENCE = 1.0  # s for a virus scanner or an indexer to let go of a file
PAUSE = 0.05  # s


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; it takes the place of ``path`` when the block ends well.

    The folder is made where it is missing. The temporary name has the suffix of ``path``.

    Raises:
        AddonError: the file cannot be written; an older file stays as it was.
    """
    temporary = path.with_name(f".{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        patiently(lambda: os.replace(temporary, path))
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):  # the error above is what matters
            patiently(lambda: temporary.unlink(missing_ok=True))


def keep_newest(folder: Path, pattern: str, count: int) -> None:
    """Delete all but the newest files of a folder; those that cannot be deleted, open elsewhere for example, stay.

    A date in the future is that of a clock that was wrong, and so of a file that is older than those made today.
    """
    dated, latest = [], time.time() + PATIENCE
    for path in folder.glob(pattern):
        with suppress(OSError):
            made = path.stat().st_mtime
            dated.append((made if made < latest else 0.0, path))
    for _, path in sorted(dated)[:-count]:
        with suppress(OSError):
            path.unlink()


def patiently(act: Callable[[], None]) -> None:
    """Do something to a file; on Windows again and again for a moment while another program looks at it."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return act()
        except PermissionError as error:
            if getattr(error, "winerror", None) not in HELD or time.monotonic() > until:
                raise
        time.sleep(PAUSE)


def unwritable(path: Path, error: OSError) -> AddonError:
    """Why a file could not be written, and the way out that fits."""
    held = getattr(error, "winerror", None)
    if error.errno in FULL:
        hint = "Free some space, or choose another folder."
    elif held in HELD[1:] or (held in HELD and path.is_file()):
        hint = "Close the program that has it open, or choose another name."
    elif error.errno in FORBIDDEN:
        hint = "Choose a folder that you may write to."
    elif _is_too_long(path, error):
        hint = "Choose a shorter name, or a folder that is less deep."
    else:
        hint = "Choose another folder."
    return AddonError(f"{path.name} cannot be written into {path.parent} ({error.strerror or error}).", hint)


def unreadable(path: Path, error: OSError, otherwise: str) -> AddonError:
    """Why a file could not be read, and the way out that fits; ``otherwise`` is that of a file that is not there."""
    if getattr(error, "winerror", None) in HELD[1:]:
        hint = "Close the program that has it open, and try again."
    elif os.name == "nt" and error.errno == errno.EACCES:  # open() does not say more
        hint = "Close the program that may have it open, or use a copy in a folder of your own."
    elif error.errno in FORBIDDEN:
        hint = "Allow yourself to read it, or use a copy in a folder of your own."
    elif _is_too_long(path, error):
        hint = "Give it a shorter name, or move it to a folder that is less deep."
    else:
        hint = otherwise
    return AddonError(f"{path.name} cannot be read ({error.strerror or error}).", hint)


def _is_too_long(path: Path, error: OSError) -> bool:
    if error.errno == errno.ENAMETOOLONG:
        return True
    return os.name == "nt" and error.errno == errno.ENOENT and len(str(path.absolute())) >= MAX_PATH


def require_readable(path: Path) -> None:
    """Find out before any work whether a file can be read.

    Raises:
        AddonError: it cannot.
    """
    try:
        path.open("rb").close()
    except OSError as error:
        raise unreadable(path, error, "Check the path.") from error
