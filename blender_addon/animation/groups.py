"""Which part of the face a shape key belongs to, and which key is its mirror image."""

from __future__ import annotations

from ..arkit import ARKIT_NAMES

# Identifier -> label, in the order of the panel. "other" holds every key that is not ARKit's.
GROUPS: dict[str, str] = {
    "brow": "Brows",
    "eye": "Eyes",
    "cheek": "Cheeks",
    "nose": "Nose",
    "jaw": "Jaw",
    "mouth": "Mouth",
    "tongue": "Tongue",
    "other": "Head Model",
}

# These move the whole part to a side: they are opposites, not a pair that moves together.
SIDEWAYS = frozenset(("jawLeft", "jawRight", "mouthLeft", "mouthRight"))

GROUP_OF: dict[str, str] = {name: next(group for group in GROUPS if name.startswith(group)) for name in ARKIT_NAMES}

NAMES_OF: dict[str, tuple[str, ...]] = {
    group: tuple(name for name in ARKIT_NAMES if GROUP_OF[name] == group) for group in GROUPS
}


def group_of(name: str) -> str:
    """The group's identifier in :data:`GROUPS`."""
    return GROUP_OF.get(name, "other")


def counterpart(name: str) -> str | None:
    """The name of the other side's key, "eyeBlinkRight" for "eyeBlinkLeft"; None for keys without a side."""
    return None if name not in GROUP_OF or name in SIDEWAYS else across(name)


def across(name: str) -> str | None:
    """The key or joint that shows the same on the other side of the face: of those that move sideways, the opposite."""
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return None
