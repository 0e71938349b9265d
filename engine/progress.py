"""Progress and cancellation, passed down every stage; no stage knows who listens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.errors import Cancelled


@dataclass
class Progress:
    """Reports stages to a listener and stops work when asked.

    Args:
        on_update: called as ``on_update(stage, fraction)``; ``fraction`` is 0..1 within the stage.
        is_cancelled: polled at every report; when it answers True, :class:`~engine.errors.Cancelled` is raised.
        on_note: called with every sentence of :meth:`note`.

    Attributes:
        seconds: wall-clock seconds spent per finished stage, in order. notes: what :meth:`note` was given.
    """

    on_update: Callable[[str, float], None] = lambda stage, fraction: None
    is_cancelled: Callable[[], bool] = lambda: False
    on_note: Callable[[str], None] = lambda text: None
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _stage: str = ""
    _started: float = 0.0

    def start(self, stage: str) -> None:
        """Close the running stage, if any, and open the next."""
        self.finish()
        self._stage, self._started = stage, time.perf_counter()
        self.update(0.0)

    def update(self, fraction: float) -> None:
        """Report the running stage's fraction (0..1). Call at least every half second of work.

        Raises:
            Cancelled: the user asked to stop.
        """
        if self.is_cancelled():
            raise Cancelled
        self.on_update(self._stage, min(max(fraction, 0.0), 1.0))

    def note(self, text: str) -> None:
        """Say a sentence that the user should read although the work goes on."""
        self.notes.append(text)
        self.on_note(text)

    def finish(self) -> None:
        """Close the running stage and book its time."""
        if self._stage:
            spent = time.perf_counter() - self._started
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + spent
            self.on_update(self._stage, 1.0)
            self._stage = ""
