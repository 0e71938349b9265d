"""Paths as artists and scripts write them: ``//`` is the folder of the .blend file, and slashes lean either way."""

from __future__ import annotations

import os
import re
from pathlib import Path

import bpy


def resolve(text: str | Path, library: bpy.types.Library | None = None) -> Path:
    """The file or folder that is meant.

    Args:
        text: ``//`` must come as text: Windows' ``Path`` takes it for the beginning of another computer's name.
        library: the .blend file that ``//`` is relative to; the open one by default.
    """
    text = str(text)
    if text.startswith("//"):
        text = text.replace("\\", "/")  # the .blend file may come from Windows
    return Path(bpy.path.abspath(text, library=library))


def name_of(text: str) -> str:
    """What follows the last slash of either kind; empty for a folder that ends with one."""
    return re.split(r"[\\/]", text)[-1]


def ending_of(text: str) -> str:
    """The ending in small letters, such as ``.jpg``; empty where there is none."""
    return os.path.splitext(name_of(text))[1].lower()
