"""Writes a whole head as one USD package (.usdz), for Omniverse, Houdini, Maya and what else reads UsdSkel.

A package is the one of USD's kinds of files that carries its pictures; unzipped, it is a .usdc with these beside it.
USD itself, a package of 30 MB, need not be installed where nobody asks for it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from engine.atomic import atomic_write
from engine.avatar import Avatar, Pose
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
    try:
        from engine.exchange.usd import write_package
    except ImportError as error:
        raise EngineError(
            f"Writing {path.name} needs USD, which is not installed ({error}).",
            f"Install it for the engine: {sys.executable} -m pip install usd-core",
        ) from error
    with atomic_write(path) as temporary, tempfile.TemporaryDirectory() as folder:
        write_package(head, pose, temporary, Path(folder))


def _write(avatar: Avatar, pose: Pose, path: Path) -> None:
    write_usdz(bake(avatar), pose, path)


SPEC = HeadFormat(name="usdz", label="textured mesh with bones and sliders, and splats (USD)", write=_write, order=51)
