"""Writes an avatar to a file of the kind that its name asks for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from engine.avatar import Avatar, Pose, drive
from engine.errors import EngineError
from engine.exchange import heads
from engine.exchange.spec import HeadFormat
from engine.formats.spec import SplatFormat
from engine.formats.splats import splat_formats
from engine.registry import discover


@lru_cache(maxsize=1)
def head_formats() -> Mapping[str, HeadFormat]:
    """The formats of :mod:`engine.exchange.heads` by name."""
    return discover(heads.__name__, heads.__path__)


def export_formats() -> dict[str, HeadFormat]:
    """Everything that an avatar is written to, by its name; formats for splats alone first."""
    return {name: _splats_of_head(spec) for name, spec in splat_formats().items()} | dict(head_formats())


def format_of(path: Path) -> HeadFormat:
    """The format that a file's name asks for.

    Raises:
        EngineError: no format has that ending.
    """
    known = export_formats()
    if (found := known.get(path.suffix.lower().removeprefix("."))) is None:
        endings = " or ".join(f".{name}" for name in known)
        raise EngineError(f"{path.name} is of an unknown kind.", f"Choose a name that ends in {endings}.")
    return found


def export(avatar: Avatar, pose: Pose, path: Path) -> None:
    """Write an avatar in a pose.

    Raises:
        EngineError: see :func:`format_of`. AvatarError: the avatar has no such key or joint. OutputError: the file
            cannot be written.
    """
    format_of(path).write(avatar, pose, path)


def _splats_of_head(spec: SplatFormat) -> HeadFormat:
    def write(avatar: Avatar, pose: Pose, path: Path) -> None:
        spec.write(drive(avatar, pose.expression, pose.joint_rotations), path)

    return HeadFormat(spec.name, spec.label, write, spec.order)
