"""What kinds of files that heads come from say of themselves, and what comes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.avatar import Avatar
from engine.progress import Progress


@dataclass(frozen=True)
class Wanted:
    """How a file shall come in.

    Attributes:
        name: the avatar's.
        head: path of the user's FLAME file, for files that lie on it; None where there is none.
    """

    name: str
    head: Path | None = None


@dataclass(frozen=True)
class Imported:
    """A head that came in.

    Attributes:
        avatar: ready to be saved. notes: sentences on what was assumed and what was left out.
        take: the performance that was recorded with it, [T] by column of a take's CSV; None where there is none.
    """

    avatar: Avatar
    notes: tuple[str, ...] = ()
    take: Mapping[str, np.ndarray] | None = None


@dataclass(frozen=True)
class HeadImport:
    """One kind of file that heads come from.

    Attributes:
        name: its own. label: for people. suffixes: of files' names, with the dot, in small letters.
        recognise: whether a file is one, by its path and its first :data:`FIRST` bytes. Nothing else is read then.
        read: the file as an avatar. Raises EngineError, which names the file; Cancelled.
        order: who is asked first; the first that recognises a file reads it.
    """

    name: str
    label: str
    suffixes: tuple[str, ...]
    recognise: Callable[[Path, bytes], bool]
    read: Callable[[Path, Wanted, Progress], Imported]
    order: int = 100


FIRST = 1 << 20  # bytes: the whole header of every .ply, and what a .glb says of its meshes
