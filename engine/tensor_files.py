"""Safetensors files of ours: tensors, and one JSON object in the metadata that says what they are."""

from __future__ import annotations

import json
from typing import Any

from safetensors import SafetensorError

from engine import plain_json
from engine.errors import EngineError

VERSION = 1  # of what the objects hold; files from before they said so are of version 1
UNREADABLE = (OSError, SafetensorError, LookupError, TypeError, ValueError, ArithmeticError)
"""What reading such a file can raise where it is damaged or something else; numbers beyond a float are arithmetic."""


def describe(**about: Any) -> str:
    """The object as text, with its version."""
    return json.dumps({"version": VERSION} | about, allow_nan=False)


def read_about(file: Any, key: str, name: str, error: type[EngineError]) -> dict[str, Any]:
    """The object that :func:`describe` made.

    Args:
        file: as ``safe_open`` gives it. key: under which the object is. name: the file's.
        error: what to raise where a newer Gaussian Heads made the file.

    Raises:
        error: see there; anything of :data:`UNREADABLE`.
    """
    about = plain_json.parse((file.metadata() or {})[key])
    if not isinstance(about, dict):
        raise TypeError(f"{key} is no table")
    if (version := about.pop("version", VERSION)) != VERSION:
        raise error(
            f"{name} is of version {version}; this engine reads version {VERSION}.",
            "Update Gaussian Heads, or make the file again with this version.",
        )
    return about
