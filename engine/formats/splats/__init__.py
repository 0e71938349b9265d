"""Files for splat viewers: every module of this package is one format, and says what it is in its ``SPEC``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from engine.formats.spec import SplatFormat
from engine.registry import discover


@lru_cache(maxsize=1)
def splat_formats() -> Mapping[str, SplatFormat]:
    """Every format by its name, which is its files' ending without the dot."""
    return discover(__name__, __path__)
