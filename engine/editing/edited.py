"""What an edit gives back, and how it is written down in the avatar."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

import engine
from engine.avatar import Avatar


@dataclass(frozen=True)
class Edited:
    """avatar: the result. notes: sentences for the user: what was approximated on the way."""

    avatar: Avatar
    notes: tuple[str, ...]


def provenance(operation: str, options: Mapping[str, Any], notes: tuple[str, ...], *sources: Avatar) -> dict[str, Any]:
    """Where an edited avatar comes from: the photos of all sources, and the edit with its options."""
    photos = [dict(photo) for source in sources for photo in source.provenance["photos"]]
    return {
        "photos": photos,
        "head_model": dict(sources[0].provenance["head_model"]),
        "versions": {"engine": engine.__version__, "torch": torch.__version__},
        "options": {"edit": operation, "sources": [source.name for source in sources], **options},
        "metrics": {},
        "notes": list(notes),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
