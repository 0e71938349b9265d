"""Writes files all or nothing: a reader sees the old file or the whole new one, never a half."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.errors import OutputError

FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
HELD = {5, 32, 33}  # Windows: access denied, sharing violation, lock violation
TRIES, PAUSE = 20, 0.05  # s between them
PREFIX = ".gaussian-heads-"  # of files that are being written
STALE = 24 * 3600.0  # s
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a temporary file beside ``path`` that takes its place when the block ends well.

    The temporary file keeps the suffix of ``path``, since writers choose their format by it. When the block raises, it
    is removed and an older file at ``path`` stays as it was.

    Example:
        >>> with atomic_write("head.npz") as temporary:
        ...     temporary.write_bytes(data)

    Raises:
        OutputError: the folder is missing or read-only, or the disk is full. Any other exception passes unchanged.
    """
    target = Path(path)
    if not target.name:
        raise OutputError(f"{target} is a folder, not a file name.", "Name the file to write.")
    if is_stream(target):
        with _written_through(target) as temporary:
            yield temporary
        return
    with suppress(OSError):
        target = target.resolve() if target.is_symlink() else target  # the link stays, what it points to is replaced
    temporary = target.with_name(f"{PREFIX}{secrets.token_hex(8)}{target.suffix}")
    _remove_stale(target.parent)
    try:
        # Created here, exclusively, so that the permissions are the user's ordinary ones and nothing is overwritten.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        _flush(temporary)
        replace(temporary, target)
    except OSError as error:
        raise output_error(target, error) from error
    finally:
        with suppress(OSError):  # after the replacement, or without a folder, there is nothing to remove
            temporary.unlink()
    if os.name == "posix":
        with suppress(OSError):  # the file is complete already; some network folders cannot be flushed
            _flush(target.parent)


def is_stream(path: str | os.PathLike[str]) -> bool:
    """Whether what is at ``path`` takes bytes but is no file: a pipe, a terminal, ``/dev/null``."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextmanager
def _written_through(target: Path) -> Iterator[Path]:
    """A file whose content goes into ``target`` when the block ends well: nothing could take that one's place."""
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder, f"content{target.suffix}")
        temporary.touch()
        yield temporary
        try:
            with temporary.open("rb") as source, target.open("wb") as stream:
                shutil.copyfileobj(source, stream)
        except OSError as error:
            raise output_error(target, error) from error


def _remove_stale(folder: Path) -> None:
    """Remove what processes that were killed while they wrote have left; nothing is written for so long."""
    with suppress(OSError):
        for path in folder.glob(f"{PREFIX}*"):
            with suppress(OSError):
                if time.time() - path.lstat().st_mtime > STALE:
                    path.unlink()


def replace(source: Path, target: Path) -> None:
    """Put a file in another's place; on Windows again for a moment while a virus scanner or an indexer looks at it.

    Raises:
        OSError: that is not possible.
    """
    for _ in range(TRIES):
        try:
            return os.replace(source, target)
        except PermissionError as error:
            if getattr(error, "winerror", None) not in HELD:
                raise
            time.sleep(PAUSE)
    os.replace(source, target)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        OutputError: that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {folder} cannot be made ({error.strerror}).", "Choose another folder."
        ) from error


def check_writable(path: str | os.PathLike[str]) -> None:
    """Find out before long work whether ``path`` can be written at all; nothing is left behind, nothing replaced.

    Raises:
        OutputError: the folder is missing or read-only, or the disk is full.
    """

    if Path(path).is_dir():
        raise OutputError(f"{path} is a folder, not a file name.", "Name the file to write.")

    class Enough(Exception):
        pass

    with suppress(Enough), atomic_write(path):
        raise Enough


def _flush(path: Path) -> None:
    """Wait until a file's data, or a folder's list of names, is on the disk."""
    mode = os.O_RDONLY if path.is_dir() else os.O_RDWR
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def output_error(target: Path, error: OSError) -> OutputError:
    """Why ``target`` could not be written, and the way out that fits."""
    folder = target.parent.absolute()
    if error.errno in FULL:
        return OutputError(
            f"{target.name} does not fit into the folder {folder}: the disk is full.",
            "Free some space or choose a folder on another disk.",
        )
    if error.errno in FORBIDDEN:
        return OutputError(
            f"{target.name} may not be written into the folder {folder}.",
            "Choose a folder that you may write to, and close programs that hold the file open.",
        )
    if not folder.is_dir():
        return OutputError(f"The folder {folder} does not exist.", "Create it or choose another folder.")
    return OutputError(
        f"{target.name} cannot be written into the folder {folder} ({error.strerror or error}).",
        "Choose another name or folder.",
    )
