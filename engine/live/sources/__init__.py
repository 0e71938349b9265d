"""The live sources by name: every module of this package is one, and says what it is in its ``SPEC``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from engine.errors import EngineError
from engine.live.spec import SourceSpec
from engine.registry import discover


@lru_cache(maxsize=1)
def sources() -> Mapping[str, SourceSpec]:
    """Every live source by its name, in the order of lists."""
    return discover(__name__, __path__)


def source(name: str) -> SourceSpec:
    """Raises: EngineError: there is no source of that name."""
    if name not in sources():
        raise EngineError(f"There is no live source called {name}.", f"Choose one of: {', '.join(sources())}.")
    return sources()[name]
