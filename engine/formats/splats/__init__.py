"""Files for splat viewers: every module of this package is one format, and says what it is in its ``SPEC``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from engine.errors import EngineError
from engine.formats.spec import SplatFormat
from engine.gaussians.gaussians import Splats
from engine.registry import discover


@lru_cache(maxsize=1)
def splat_formats() -> Mapping[str, SplatFormat]:
    """Every format by its name, which is its files' ending without the dot."""
    return discover(__name__, __path__)


def format_of(path: Path) -> SplatFormat:
    """The format that a file's name asks for.

    Raises:
        EngineError: no format has that ending.
    """
    if (found := splat_formats().get(path.suffix.lower().removeprefix("."))) is None:
        endings = " or ".join(f".{name}" for name in splat_formats())
        raise EngineError(f"{path.name} is of an unknown kind.", f"Choose a name that ends in {endings}.")
    return found


def write_splats(splats: Splats, path: Path) -> None:
    """Write N Gaussians in the engine's axes to a file of the kind that its name asks for.

    Raises:
        EngineError: see :func:`format_of`. OutputError: the file cannot be written.
    """
    format_of(path).write(splats, path)
