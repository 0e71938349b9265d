"""Where a head comes from, as its avatar file said it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from .. import plain_json
from .build import METADATA
from .heads import Head


def provenance(head: Head) -> dict[str, Any]:
    """The avatar's ``provenance``; empty where the artist has changed it into something else."""
    text = head.root.get(METADATA)
    return _read(text) if isinstance(text, str) else {}


@lru_cache(maxsize=16)  # panels ask at every redraw
def _read(text: str) -> dict[str, Any]:
    try:
        found = plain_json.parse(text)
    except ValueError:
        return {}
    found = found.get("provenance") if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
