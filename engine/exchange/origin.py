"""Where an imported head comes from, as its avatar says it."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import engine
from engine.photos.load import file_sha256

UNKNOWN = "that of the imported file"


def origin(path: Path, kind: str, model: str, licence: str, notes: Sequence[str]) -> dict[str, Any]:
    """An avatar's provenance.

    Args:
        path: the file. kind: which of :mod:`engine.exchange.imports` read it, or ``static``.
        model, licence: of the head model that its mesh is.
    """
    return {
        "kind": kind,
        "photos": [],
        "source": {"name": path.name, "sha256": file_sha256(path)},
        "head_model": {"name": model, "licence": licence},
        "versions": {"engine": engine.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "options": {},
        "metrics": {},
        "notes": list(notes),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
