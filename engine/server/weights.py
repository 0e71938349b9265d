"""The user's own weights, which requests ask for by name: whoever can send one cannot make the server open any file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from engine.errors import AssetError
from engine.heads import DEFAULT
from engine.models.official.contents import look_into
from engine.server.errors import Refusal


class WeightsDetails(BaseModel):
    """A file of weights for people: what it ``holds``, the ``system`` that runs with it, ``head``: the model that it
    knows, ``missing``: what is needed beside it. ``problem``: why it cannot be used; the others are empty then."""

    name: str
    holds: str
    licence: str
    system: str
    head: str
    missing: str
    problem: str


def by_name(paths: Sequence[Path]) -> dict[str, Path]:
    """The files by their names; of several of one name, the later ones get a number."""
    found: dict[str, Path] = {}
    for path in dict.fromkeys(paths):
        number, name = 1, path.name
        while name in found:
            number += 1
            name = f"{path.stem} {number}{path.suffix}"
        found[name] = path
    return found


def chosen(weights: Mapping[str, Path], name: str) -> str:
    """The file that a request names; "" where it names none.

    Raises:
        Refusal: there is none of that name.
    """
    if name and name not in weights:
        known = f"Choose one of: {', '.join(weights)}." if weights else "Add the file in the preferences first."
        raise Refusal(f"There are no weights called {name}.", known)
    return str(weights[name]) if name else ""


def details(weights: Mapping[str, Path]) -> list[WeightsDetails]:
    """What is in each file, by its header."""
    return [_details(name, path) for name, path in weights.items()]


def _details(name: str, path: Path) -> WeightsDetails:
    try:
        holds = look_into(path)
    except AssetError as error:
        problem = f"{error.message} {error.hint}"
        return WeightsDetails(name=name, holds="", licence="", system="", head="", missing="", problem=problem)
    return WeightsDetails(
        name=name,
        holds=holds.label,
        licence=holds.licence,
        system=holds.system,
        head="flame" if holds.official else DEFAULT,
        missing=holds.missing,
        problem="",
    )
