"""What a file format for splats says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.gaussians.gaussians import Splats


@dataclass(frozen=True)
class SplatFormat:
    """One kind of file.

    Attributes:
        name: its ending without the dot, in small letters. label: for people.
        write: N Gaussians in the engine's axes to a file, all or nothing. Raises OutputError.
        order: its place in lists.
    """

    name: str
    label: str
    write: Callable[[Splats, Path], None]
    order: int = 100
