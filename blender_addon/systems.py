"""The systems that turn photos into Gaussians: those that the engine names once it runs, and a list until then."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from .errors import AddonError

DEFAULT_SYSTEM = "surface"
DEFAULT_HEAD = "makehuman"
FLAME = "flame"  # any FLAME file, where a system names the head models that it knows

MOST = 64  # systems that an engine may name
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
LONGEST_LABEL, LONGEST_DESCRIPTION = 60, 500  # characters


@dataclass(frozen=True)
class System:
    """One way from photos to Gaussians.

    Attributes:
        name: the engine's. label: in the panel. description: sentences for the artist, without the last full stop.
        network: whether it was trained.
        heads: names of the head models that it knows; None for any.
    """

    name: str
    label: str
    description: str
    network: bool = False
    heads: tuple[str, ...] | None = None

    def takes(self, head: str) -> bool:
        """Whether it knows a head model: ``makehuman``, otherwise a FLAME file."""
        return self.heads is None or (DEFAULT_HEAD if head == DEFAULT_HEAD else FLAME) in self.heads


@dataclass(frozen=True)
class Weights:
    """A file of weights of the artist's, as the engine sees it.

    Attributes:
        name: by which jobs ask for it. holds, licence: for the artist. system: by name, the one that runs with it.
        head: ``makehuman`` or ``flame``. missing: what is needed beside it. problem: why it cannot be used.
    """

    name: str
    holds: str
    licence: str
    system: str
    head: str
    missing: str
    problem: str


def _network(name: str, label: str, description: str) -> System:
    warning = "Trained on synthetic heads only: try Surface too. Needs the default head"
    return System(name, label, f"{description} {warning}", network=True, heads=(DEFAULT_HEAD,))


# What is offered while no engine runs. Saved files hold a system's place in it: new ones come last, and none goes.
BUILT_IN = (
    System(
        DEFAULT_SYSTEM,
        "Surface",
        "Projects the photos onto a fitted head. The safe choice: for any photos, either head and every machine",
    ),
    _network(
        "match",
        "MATCH",
        "Network that corrects what the photos paint on the head. For sharp photos from several sides; Gaussians only "
        "follow the mesh.",
    ),
    _network(
        "ffavatar",
        "FFAvatar",
        "Network that gathers photos and frames into one look, in any order. For clips and mixed sets; Gaussians also "
        "change with the expression.",
    ),
    _network(
        "avat3r",
        "Avat3r",
        "Network that turns the photos' pixels into Gaussians. For outlines and hair off the mesh; Gaussians also "
        "change with the expression.",
    ),
    _network(
        "uika",
        "UIKA",
        "Network that weighs the photos against each other all over the skin. For few photos, and sides that none "
        "shows; Gaussians only follow the mesh.",
    ),
    _network(
        "flexavatar",
        "FlexAvatar",
        "Network that completes a head from what is there. For a single photo; Gaussians of face, eyes and mouth also "
        "change with the expression.",
    ),
)
_BUILT_IN = {system.name: system for system in BUILT_IN}
_NUMBERS = {system.name: place for place, system in enumerate(BUILT_IN)}


def offered(health: Mapping[str, Any] | None) -> tuple[System, ...]:
    """The systems that an engine says it has, in its order; none where it says nothing of them that makes sense.

    Args:
        health: the engine's answer, which may be anybody's; None where none runs.
    """
    answer = health or {}
    details, names = (
        entries if isinstance(entries := answer.get(key), list) else [] for key in ("system_details", "systems")
    )
    found: dict[str, System] = {}
    for entry in (*details[:MOST], *({"name": name} for name in names[:MOST])):
        system = _read(entry)
        if system is not None:
            found.setdefault(system.name, system)
    return tuple(found.values())[:MOST]


def known(health: Mapping[str, Any] | None) -> tuple[System, ...]:
    """What can be chosen: what the engine offers; the built-in systems where it does not say, or does not run."""
    return offered(health) or BUILT_IN


def weights_in(health: Mapping[str, Any] | None) -> tuple[Weights, ...]:
    """The artist's weights that an engine says it was given; see :func:`offered`."""
    entries = (health or {}).get("weights")
    found = []
    for entry in entries[:MOST] if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            values = {item.name: _text(entry.get(item.name), LONGEST_DESCRIPTION) for item in fields(Weights)}
            if values["name"]:
                found.append(Weights(**values))
    return tuple(found)


def require_head(name: str, head: str, health: Mapping[str, Any] | None, weights: str | None = None) -> None:
    """Refuse a head model that a system does not know. The engine answers for systems that nothing is known of.

    Args:
        head: ``makehuman``, otherwise a FLAME file.
        weights: the name of the artist's own weights; None for the engine's.

    Raises:
        AddonError: this one and this system, or these weights.
    """
    if weights:
        mine = next((each for each in weights_in(health) if each.name == weights), None)
        if mine is not None and mine.head and mine.head != (DEFAULT_HEAD if head == DEFAULT_HEAD else FLAME):
            needed = mine.missing or "the default head"
            raise AddonError(f"The weights {weights} know another head model.", f"They need {needed}.")
        return
    system = next((system for system in known(health) if system.name == name), _BUILT_IN.get(name))
    if system is not None and not system.takes(head):
        raise AddonError(
            f"The system {name} {'is a network that ' if system.network else ''}only knows the default head.",
            f"Choose the default head, or the system {DEFAULT_SYSTEM}.",
        )


def number(name: str) -> int:
    """What Blender saves of a choice: the same for the same name, whatever else there is to choose.

    Less than 2^24, since Blender's menus take these numbers through floats.
    """
    by_hash = 1 << 23 | int.from_bytes(hashlib.sha256(name.encode()).digest()[:3], "big") >> 1
    return _NUMBERS.get(name, by_hash)


Item = tuple[str, str, str, str, int]  # of an EnumProperty: identifier, name, description, icon, number


@functools.cache  # and never emptied: Blender does not own the strings of such items, and may look at them at any time
def menu_items(systems: tuple[System, ...], kept: tuple[str, ...]) -> list[Item]:
    """The panel's menu.

    Args:
        systems: what can be chosen.
        kept: names that stay, since they may have been chosen before, whether or not they are among the systems.
    """
    items = {number(system.name): (system.name, system.label, system.description, "NONE") for system in systems}
    for name in kept:
        label = _BUILT_IN[name].label if name in _BUILT_IN else name
        warning = "Not among the systems that are known now: choose another, or use the engine that it belongs to"
        items.setdefault(number(name), (name, label, warning, "ERROR"))
    return [(*words, place) for place, words in items.items()]


def _read(entry: object) -> System | None:
    """A system from an engine's answer; None without a name. What else is wrong with it is left out."""
    if not isinstance(entry, dict) or not isinstance(name := entry.get("name"), str) or not NAME.fullmatch(name):
        return None
    before = _BUILT_IN.get(name, System(name, name, "A system of this engine"))
    if set(entry) == {"name"}:
        return before
    heads = entry.get("heads")
    return System(
        name,
        _text(entry.get("label"), LONGEST_LABEL) or before.label,
        _text(entry.get("description"), LONGEST_DESCRIPTION) or before.description,
        entry.get("network") is True,
        tuple(_names(heads)) if isinstance(heads, list) else None,
    )


def _names(entries: Iterable[object]) -> list[str]:
    return [entry for entry in list(entries)[:MOST] if isinstance(entry, str) and NAME.fullmatch(entry)]


def _text(value: object, longest: int) -> str:
    """One line of text; empty where it is none, or too long."""
    text = " ".join(value.split()) if isinstance(value, str) and len(value) <= longest else ""
    return text.removesuffix(".") if text.isprintable() else ""  # Blender adds a full stop to descriptions
