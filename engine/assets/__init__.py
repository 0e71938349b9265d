"""Finds the data files that the engine needs; ``engine.assets.fetch`` gets them from package registries."""

from __future__ import annotations

import os
from pathlib import Path

from engine.errors import AssetError


def root() -> Path:
    """Where the files lie: ``GAUSSIAN_HEADS_ASSETS`` where that is set, otherwise ``files`` beside this module."""
    return Path(os.environ.get("GAUSSIAN_HEADS_ASSETS") or Path(__file__).with_name("files"))


def path(name: str) -> Path:
    """The file, or folder of files, of an asset.

    Args:
        name: as in ``pins.toml``, such as ``"face_landmarker.task"`` or ``"makehuman/targets/nose"``.

    Raises:
        AssetError: it has not been fetched.

    Example:
        >>> path("face_landmarker.task").stat().st_size
        3758596
    """
    found = root() / name
    if not found.exists():
        raise AssetError(f"The data file {name} is missing from {root()}.", f"Run `{_command(name)}` to fetch it.")
    return found


def _command(name: str) -> str:
    from engine.assets.pins import packages

    group = next((p.group for p in packages() for m in p.members if name.startswith(m.name)), "engine")
    return "python3 build.py assets" + ("" if group == "engine" else f" --{group}")
