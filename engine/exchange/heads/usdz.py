"""Writes a whole head as one USD package (.usdz), for Omniverse, Houdini, Maya and what else reads UsdSkel.

A package is the one of USD's kinds of files that carries its pictures; unzipped, it is a .usdc with these beside it.
USD itself, a package of 30 MB, need not be installed where nobody asks for it.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from engine.atomic import atomic_write
from engine.avatar import Pose
from engine.baking.bake import bake
from engine.baking.textured import TexturedHead
from engine.errors import EngineError
from engine.exchange.spec import HeadFormat


def write_usdz(head: TexturedHead, pose: Pose, path: Path) -> None:
    """Write a baked head, with ``pose`` set on its joints and blend shapes.

    Raises:
        EngineError: USD is not installed. AvatarError: the avatar has no such key or joint. OutputError: the file
            cannot be written.
    """
    _write(head, [pose], None, path)


def animate_usdz(head: TexturedHead, poses: Sequence[Pose], rate: float, path: Path) -> None:
    """Write a baked head that goes through poses from frame 1 on, ``rate`` in a second, splats included.

    Raises:
        As :func:`write_usdz`.
    """
    _write(head, poses, rate, path)


def _write(head: TexturedHead, poses: Sequence[Pose], rate: float | None, path: Path) -> None:
    try:
        from engine.exchange.usd import write_package
    except ImportError as error:
        raise EngineError(
            f"Writing {path.name} needs USD, which is not installed ({error}).",
            f"Install it for the engine: {sys.executable} -m pip install usd-core",
        ) from error
    with atomic_write(path) as temporary, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        write_package(head, poses, rate, temporary, Path(folder))


SPEC = HeadFormat(
    name="usdz",
    label="textured mesh with bones and sliders, and splats (USD)",
    write=lambda avatar, pose, path: write_usdz(bake(avatar), pose, path),
    order=51,
    animate=lambda avatar, poses, rate, path: animate_usdz(bake(avatar), poses, rate, path),
)
