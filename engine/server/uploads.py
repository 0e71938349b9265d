"""Puts uploaded files on the disk under names of our own; the artist's names are only shown."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePath

from fastapi import UploadFile

from engine.photos.clips import CLIP_SUFFIXES
from engine.server.errors import TooLarge

FILE_BYTES = 256_000_000
REQUEST_BYTES = 1_000_000_000
MAX_FILES = 64
SHOWN_LENGTH = 120  # characters of a file's name


@dataclass(frozen=True)
class Stored:
    """An uploaded file: ``path`` on the disk, ``shown`` as the artist calls it."""

    path: Path
    shown: str


def store(upload: UploadFile, folder: Path, most: int = FILE_BYTES) -> Stored:
    """Copy one uploaded file into ``folder``.

    Raises:
        TooLarge: it has more than ``most`` bytes.
    """
    shown = shown_name(upload.filename or "")
    if (upload.size or 0) > most:
        raise TooLarge(f"{shown} is larger than {most / 1e6:.0f} MB.", "Export it at a smaller size.")
    suffix = PurePath(shown).suffix.lower()
    # The suffix tells clips from images, nothing else of the name matters.
    path = folder / (secrets.token_hex(16) + (suffix if suffix in CLIP_SUFFIXES else ""))
    with path.open("xb") as file:
        shutil.copyfileobj(upload.file, file, 1 << 20)
    return Stored(path, shown)


def shown_name(sent: str) -> str:
    """The last part of a file's name as sent, fit to be printed: no folders, no control characters, bounded."""
    last = sent.replace("\\", "/").rstrip("/").rpartition("/")[2]
    printable = "".join(character for character in last if character.isprintable()).strip()
    stem, dot, suffix = printable.rpartition(".")
    if len(printable) > SHOWN_LENGTH and dot and len(suffix) < 10:
        return f"{stem[: SHOWN_LENGTH - len(suffix) - 2]}….{suffix}"
    return printable[:SHOWN_LENGTH] or "photo"
