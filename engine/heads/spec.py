"""What a head model says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.heads.parametric import ParametricHead


@dataclass(frozen=True)
class HeadModelSpec:
    """One kind of head.

    Attributes:
        name: by which it is asked for, where it needs no file; in caches and lists.
        label: for people. description: one sentence, for tooltips.
        suffixes: endings of the files that hold one; empty where it needs none.
        version: of what ``build`` makes; whoever changes that raises it, so that nobody's cache keeps the old one.
        depends_on: bytes that tell apart what ``build`` reads, from the file's path (None without one).
        build: that path, and the default head for models that borrow from it, to the head; may take half a minute.
        order: its place in lists.
    """

    name: str
    label: str
    description: str
    version: int
    depends_on: Callable[[Path | None], bytes]
    build: Callable[[Path | None, Callable[[], ParametricHead]], ParametricHead]
    suffixes: tuple[str, ...] = ()
    order: int = 100
