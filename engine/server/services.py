"""What the routes work with, and how it starts and ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from engine.server.folder import WorkFolder
from engine.server.heads import Heads, Previewer
from engine.server.jobs import JobQueue


@dataclass
class Services:
    """The server's parts.

    Args:
        folder: for uploads and results. stop: makes the server end.
    """

    folder: WorkFolder
    stop: Callable[[], None]
    jobs: JobQueue = field(init=False)
    heads: Heads = field(default_factory=Heads)
    previewer: Previewer = field(default_factory=Previewer)
    checking: threading.Lock = field(default_factory=threading.Lock)
    """Photos are looked at one by one: each may take gigabytes while it is decoded."""

    def __post_init__(self) -> None:
        self.jobs = JobQueue(self.folder.path)

    def start(self) -> None:
        self.previewer.start()
        self.jobs.start()

    def close(self) -> None:
        """End everything at once and remove the folder."""
        self.jobs.close()
        self.previewer.close()
        self.folder.remove()


def _services(request: Request) -> Services:
    return request.app.state.services


Parts = Annotated[Services, Depends(_services)]
"""A route's parameter of this type is given the server's parts."""
