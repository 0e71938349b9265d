"""A clip, played as if its actor were before a camera now; frames for which there is no time are skipped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from engine.live.spec import SourceSpec, Wish

if TYPE_CHECKING:
    from engine.live.watching import Picture, Watcher


def _open(wish: Wish) -> Watcher:
    from engine.heads import load_head  # large, and for those who listen to a phone needless
    from engine.live.watching import Watcher
    from engine.photos.clips import clip_length

    path = Path(wish.target)
    clip_length(path)  # tells now what is wrong with it
    return Watcher(_pictures(path), load_head())


def _pictures(path: Path) -> Iterator[Picture]:
    from engine.photos.clips import clip_stream

    began = time.monotonic()
    for moment, image in clip_stream(path):
        time.sleep(max(began + moment - time.monotonic(), 0))
        yield moment, image


SPEC = SourceSpec(
    name="clip",
    label="Clip",
    description="A video clip, played as if its actor were before a camera now",
    open=_open,
    target="Clip",
    order=5,
)
