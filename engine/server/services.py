"""What the routes work with, and how it starts and ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from engine.device import Drawing
from engine.server.checks import PhotoChecks
from engine.server.folder import WorkFolder
from engine.server.heads import Heads, Previewer
from engine.server.jobs import JobQueue
from engine.server.live import Live


@dataclass
class Services:
    """The server's parts.

    Args:
        folder: for uploads and results. stop: makes the server end. drawing: where previews are drawn.
        weights: the user's own files, by the names under which jobs ask for them.
    """

    folder: WorkFolder
    stop: Callable[[], None]
    drawing: Drawing = field(default_factory=Drawing)
    weights: Mapping[str, Path] = field(default_factory=dict)
    jobs: JobQueue = field(init=False)
    heads: Heads = field(default_factory=Heads)
    previewer: Previewer = field(init=False)
    checks: PhotoChecks = field(default_factory=PhotoChecks)
    live: Live = field(default_factory=Live)

    def __post_init__(self) -> None:
        self.jobs = JobQueue(self.folder.path)
        self.previewer = Previewer(self.drawing)

    def start(self) -> None:
        self.drawing.start()
        self.previewer.start()
        self.jobs.start()

    def close(self) -> None:
        """End everything at once and remove the folder."""
        self.jobs.close()
        self.previewer.close()
        self.checks.close()
        self.live.close()
        self.folder.remove()


def _services(request: Request) -> Services:
    return request.app.state.services


Parts = Annotated[Services, Depends(_services)]
"""A route's parameter of this type is given the server's parts."""
