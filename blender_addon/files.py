"""Writes files all or nothing: a reader sees the old file or the whole new one, never a half."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import AddonError


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; it takes the place of ``path`` when the block ends well.

    The folder is made where it is missing. The temporary name has the suffix of ``path``.

    Raises:
        AddonError: the folder is read-only or missing, or the disk is full; an older file stays as it was.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise AddonError(
            f"{path.name} cannot be written into {path.parent} ({error.strerror or error}).",
            "Free some space, or choose another folder.",
        ) from error
    finally:
        with suppress(OSError):  # the error above is what matters
            temporary.unlink(missing_ok=True)


def keep_newest(folder: Path, pattern: str, count: int) -> None:
    """Delete all but the newest files of a folder; those that cannot be deleted, open elsewhere for example, stay."""
    dated = []
    for path in folder.glob(pattern):
        with suppress(OSError):
            dated.append((path.stat().st_mtime, path))
    for _, path in sorted(dated)[:-count]:
        with suppress(OSError):
            path.unlink()
