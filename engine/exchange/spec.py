"""What a file format for heads says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.avatar import Avatar, Pose


@dataclass(frozen=True)
class HeadFormat:
    """One kind of file that an avatar is written to.

    Attributes:
        name: its ending without the dot, in small letters. label: for people.
        write: an avatar to a file, all or nothing: in the pose, where the format has no rig, and otherwise at rest with
            that pose set. Raises EngineError.
        order: its place in lists.
    """

    name: str
    label: str
    write: Callable[[Avatar, Pose, Path], None]
    order: int = 100
