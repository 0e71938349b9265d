"""The kinds of files of heads: the avatar, what the engine writes for splat viewers, and what it reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import AddonError

AVATAR = ".npz"
IMPORTED = (AVATAR, ".ply", ".splat", ".spz", ".glb", ".zip")  # that heads come from; all but the first by the engine
BUILT_IN = (".ply", ".splat")  # of splats, while no engine says what it writes
MOST = 64  # formats that an engine may name
NAME = re.compile(r"[a-z0-9]{1,16}")


def splat_endings(health: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Endings of the files for splat viewers that an engine writes, with the dot.

    Args:
        health: the engine's answer, which may be anybody's; None where none runs.
    """
    said = (health or {}).get("formats")
    names = [name for name in list(said)[:MOST] if NAME.fullmatch(name)] if isinstance(said, dict) else []
    return tuple(f".{name}" for name in names) or BUILT_IN


def require_ending(path: Path, health: Mapping[str, Any] | None) -> None:
    """Refuse names of files that nothing writes.

    Raises:
        AddonError: this one, and the endings that there are.
    """
    endings = (AVATAR, *splat_endings(health))
    if path.suffix not in endings:
        listed = f"{', '.join(endings[:-1])} or {endings[-1]}"
        raise AddonError(f"{path.name} is of an unknown kind.", f"Choose a name that ends in {listed}.")
