"""The kinds of files of heads: the avatar, what the engine writes for other programs, and what it reads."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import AddonError

AVATAR = ".npz"
IMPORTED = (AVATAR, ".ply", ".splat", ".spz", ".glb", ".zip")  # that heads come from; all but the first by the engine
MOST = 64  # formats that an engine may name
LONGEST = 80  # characters of what it says of one
NAME = re.compile(r"[a-z0-9]{1,16}")


@dataclass(frozen=True)
class Format:
    """One kind of file. ``ending``: with the dot. ``label``, ``description``: in menus, without the last full stop."""

    ending: str
    label: str
    description: str


AVATAR_FORMAT = Format(AVATAR, "Avatar", "The whole head with its sliders and bones, to bring into Blender again")
BUILT_IN = (  # while no engine says what it writes
    Format(".glb", "glTF", "Textured mesh with bones and sliders, and the splats, for most programs and engines"),
    Format(".usdz", "USD", "The same for film and Omniverse, with the splats in USD's own schema"),
    Format(".ply", "3D Gaussian Splatting", "The Gaussians as they look now, for splat viewers"),
    Format(".splat", "Splat", "The same, smaller, for viewers in browsers"),
    Format(".spz", "SPZ", "The same, smallest, for Niantic's and Khronos' tools"),
    Format(".zip", "LAM", "Gaussians with sliders, for LAM's renderer in browsers"),
)
_BUILT_IN = {each.ending: each for each in BUILT_IN}


def known(health: Mapping[str, Any] | None) -> tuple[Format, ...]:
    """What heads are written to, the avatar file first.

    Args:
        health: the engine's answer, which may be anybody's; None where none runs.
    """
    said = (health or {}).get("formats")
    entries = list(said.items())[:MOST] if isinstance(said, dict) else []
    offered = tuple(_read(name, words) for name, words in entries if NAME.fullmatch(name))
    return (AVATAR_FORMAT, *(offered or BUILT_IN))


def require_ending(path: Path, health: Mapping[str, Any] | None) -> None:
    """Refuse names of files that nothing writes.

    Raises:
        AddonError: this one, and the endings that there are.
    """
    endings = [each.ending for each in known(health)]
    if path.suffix not in endings:
        listed = f"{', '.join(endings[:-1])} or {endings[-1]}"
        raise AddonError(f"{path.name} is of an unknown kind.", f"Choose a name that ends in {listed}.")


def glob(formats: tuple[Format, ...]) -> str:
    """What a file browser shows."""
    return ";".join(f"*{each.ending}" for each in formats)


@functools.cache  # and never emptied: Blender does not own the strings of such items, and may look at them at any time
def menu_items(formats: tuple[Format, ...]) -> list[tuple[str, str, str]]:
    """Of an EnumProperty: identifier, name, description."""
    return [(each.ending, f"{each.label} ({each.ending})", each.description) for each in formats]


def _read(name: str, words: object) -> Format:
    """A format from an engine's answer; those that are known here say more of themselves."""
    label = "".join(char for char in words if char.isprintable())[:LONGEST] if isinstance(words, str) else ""
    return _BUILT_IN.get(f".{name}", Format(f".{name}", label or name, "For other programs"))
