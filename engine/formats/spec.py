"""What a file format for splats says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.gaussians.gaussians import Splats


@dataclass(frozen=True)
class Read:
    """What a file held.

    Attributes:
        splats: N ≥ 1 Gaussians, finite, with quaternions of length 1; in the file's own axes.
        notes: sentences for whoever asked, on what was left out.
    """

    splats: Splats
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SplatFormat:
    """One kind of file.

    Attributes:
        name: its ending without the dot, in small letters. label: for people.
        write: N Gaussians to a file as they are, in their order and axes, all or nothing. Raises OutputError.
        read: the same back. Raises AvatarError, which names the file, for what is no such file or cannot be read.
        axes: of :data:`engine.formats.viewers.AXES`, those that programs expect in such files.
        order: its place in lists.
    """

    name: str
    label: str
    write: Callable[[Splats, Path], None]
    read: Callable[[Path], Read]
    axes: str = "colmap"
    order: int = 100
