"""Brings heads in from the files of other programs, by what the files hold and not by their names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from engine.errors import AvatarError
from engine.exchange import imports
from engine.exchange.incoming import FIRST, HeadImport, Imported, Wanted
from engine.formats.foreign import kind_of, way_out
from engine.progress import Progress
from engine.registry import discover

KNOWN = "Heads come from .npz avatars, splats as .ply, .splat, .spz or .glb, LAM's .zip, and GaussianAvatars' .ply."
COMPANIONS = ("flame_param.npz",)
"""Names of files that belong to another one and lie beside it."""


@lru_cache(maxsize=1)
def head_imports() -> Mapping[str, HeadImport]:
    """The kinds of files of :mod:`engine.exchange.imports` by name."""
    return discover(imports.__name__, imports.__path__)


def import_head(path: Path, wanted: Wanted, progress: Progress) -> Imported:
    """A file as an avatar.

    Args:
        path: the file; what belongs to it lies beside it.

    Raises:
        AvatarError: it cannot be read, is damaged, or holds no head; the message says what it is instead.
        HeadModelError: the FLAME file is missing, or another one than the head was made with.
        Cancelled: the user asked to stop.
    """
    try:
        with path.open("rb") as file:
            start = file.read(FIRST)
    except OSError as error:
        raise AvatarError(
            f"{path.name} cannot be read ({error.strerror or error}).", f"Check that {path.absolute()} is there."
        ) from error
    for spec in head_imports().values():
        if spec.recognise(path, start):
            return spec.read(path, wanted, progress)
    if not start:
        raise AvatarError(f"{path.name} is empty.", "Copy the file again from where it was made.")
    if (kind := kind_of(path)) is None:
        raise AvatarError(f"{path.name} is of an unknown kind.", KNOWN)
    raise AvatarError(f"{path.name} is {kind.what}, not a head.", way_out(kind, path))
