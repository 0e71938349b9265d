"""Writes an avatar to a file of the kind that its name asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from engine.avatar import Avatar, Pose, drive
from engine.errors import EngineError
from engine.exchange import heads
from engine.exchange.linear import for_linear_light
from engine.exchange.outgoing.choosing import most_different, outgoing
from engine.exchange.spec import HeadFormat
from engine.formats.foreign import TOOL
from engine.formats.spec import SplatFormat
from engine.formats.splats import splat_formats
from engine.formats.viewers import to_file
from engine.progress import Progress
from engine.registry import discover

TYPICAL = 4  # poses of a performance that are looked at before its splats are merged
DISPLAY, LINEAR = "srgb", "linear"
BLENDS = {
    DISPLAY: "viewers that blend splats as they were trained, most of them",
    LINEAR: "programs that blend them in linear light, as Blender 5.3",
}
"""In what light a file's splats will be blended: their colours differ."""
PACKED = {  # endings that splat viewers know and that other programs pack
    "compressed.ply": "a compressed PLY",
    "sog": "a SOG",
    "ksplat": "a .ksplat",
}


@lru_cache(maxsize=1)
def head_formats() -> Mapping[str, HeadFormat]:
    """The formats of :mod:`engine.exchange.heads` by name."""
    return discover(heads.__name__, heads.__path__)


def export_formats() -> dict[str, SplatFormat | HeadFormat]:
    """Everything that an avatar is written to, by its name; formats for splats alone first."""
    return {**splat_formats(), **head_formats()}


def format_of(path: Path) -> SplatFormat | HeadFormat:
    """The format that a file's name asks for.

    Raises:
        EngineError: no format has that ending, or all of it means another format than its last part does.
    """
    known, name = export_formats(), path.name.lower()
    for ending, what in PACKED.items():
        if name.endswith(f".{ending}"):
            raise EngineError(
                f"{path.name} would be {what}, which is not written here.",
                f"Export {path.name[: -len(ending)]}ply, then run: {TOOL} {path.name[: -len(ending)]}ply {path.name}",
            )
    first, *last = name.split(".")[-2:]
    if not last or last[0] not in known:
        endings = " or ".join(f".{name}" for name in known)
        raise EngineError(f"{path.name} is of an unknown kind.", f"Choose a name that ends in {endings}.")
    if "." in name[: -len(last[0]) - 1] and first in known:
        raise EngineError(
            f"{path.name} ends like two kinds of file, .{first} and .{last[0]}.", "Choose a name with one ending."
        )
    return known[last[0]]


def export(
    avatar: Avatar,
    pose: Pose,
    path: Path,
    axes: str | None = None,
    share: float = 1.0,
    progress: Progress | None = None,
    blend: str = DISPLAY,
) -> None:
    """Write an avatar in a pose.

    Args:
        axes: of :data:`engine.formats.viewers.AXES`, for files of splats alone; the format's own by default.
        share: of the Gaussians that can be seen, 0 to 1, for files of splats alone; they are merged to so many.
        blend: of :data:`BLENDS`, for files of splats alone.

    Raises:
        EngineError: see :func:`format_of`; or the format has one way to lay heads, and all Gaussians. AvatarError: the
            avatar has no such key or joint. OutputError: the file cannot be written. Cancelled: the user asked to stop.
    """
    wanted = format_of(path)
    if isinstance(wanted, SplatFormat):
        _write_splats(wanted, avatar, pose, path, axes, share, progress or Progress(), blend)
    elif axes is not None or share < 1 or blend != DISPLAY:
        raise EngineError(f"Axes, a share of the splats and their blending are not for {path.name}.", _only_splats())
    else:
        wanted.write(avatar, pose, path)


def export_frames(
    avatar: Avatar,
    poses: Sequence[Pose],
    paths: Sequence[Path],
    axes: str | None,
    share: float,
    progress: Progress,
    blend: str = DISPLAY,
) -> None:
    """Write splats for each of many poses, with the same Gaussians in the same order in every file.

    Args:
        axes, share, blend: see :func:`export`.

    Raises:
        EngineError: the files are not of splats alone. The rest as :func:`export`; what was written stays.
    """
    spec = format_of(paths[0])
    if not isinstance(spec, SplatFormat):
        raise EngineError(f"{paths[0].name} holds a head that moves, not one of many frames.", _only_splats())
    progress.start("splats")
    looked_at = most_different(poses, TYPICAL if share < 1 else 1)
    ready = outgoing(avatar, looked_at, progress, share, keep_hidden=share == 1)
    if blend == LINEAR:
        ready = for_linear_light(ready, most_different(poses, TYPICAL), progress)
    progress.start("frames")
    for number, (pose, path) in enumerate(zip(poses, paths, strict=True)):
        progress.update(number / len(poses))
        spec.write(to_file(drive(ready, pose.expression, pose.joint_rotations), axes or spec.axes), path)
    progress.finish()


def _write_splats(
    spec: SplatFormat,
    avatar: Avatar,
    pose: Pose,
    path: Path,
    axes: str | None,
    share: float,
    progress: Progress,
    blend: str,
) -> None:
    progress.start("splats")
    ready = outgoing(avatar, [pose], progress, share, keep_hidden=False)
    if blend == LINEAR:
        ready = for_linear_light(ready, [pose], progress)
    spec.write(to_file(drive(ready, pose.expression, pose.joint_rotations), axes or spec.axes), path)
    progress.finish()


def _only_splats() -> str:
    return f"Choose a name that ends in {' or '.join(f'.{name}' for name in splat_formats())}."
