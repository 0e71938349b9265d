"""A live session: an open source, its filters, what can be said of it, and a recording where one is wanted."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

import numpy as np

from engine.errors import EngineError
from engine.live.filters import Filter, Neutral, Settings
from engine.live.recording import Recorded, Recording
from engine.live.sample import Sample
from engine.live.sources import source
from engine.live.spec import Wish

ALIVE = 1.0  # s without a sample, from which on a source counts as gone
RATED = 1.0  # s over which frames are counted
OVERTAKEN = 0.5  # s; a sample that is older than the last one by less was overtaken on its way
RESTING = 0.5  # s of samples, of which the resting face is the median


@dataclass(frozen=True)
class State:
    """How a session is.

    Attributes:
        connected: whether samples come.
        fps: samples in the last second.
        dropped, refused, problem, ended: see :class:`~engine.live.spec.Counts`.
        subject: as the sender calls it. port: listened on; 0 where none is.
        recorded: samples of the recording; None where none runs.
    """

    connected: bool
    fps: int
    dropped: int
    refused: int
    problem: str
    ended: str
    subject: str
    port: int
    recorded: int | None


class Session:
    """One open source; whoever owns it calls :meth:`step` over and over, and everything else in between.

    Raises:
        EngineError: there is no such source, or it cannot be opened.
    """

    def __init__(self, wish: Wish, settings: Settings):
        self.settings = settings
        self._feed = source(wish.source).open(wish)
        self._filter = Filter()
        self._recording: Recording | None = None
        self._came: deque[float] = deque(maxlen=1000)  # when samples came
        self._raw: deque[tuple[float, Sample]] = deque(maxlen=60)
        self._late = 0
        self._subject = ""

    def step(self, seconds: float) -> Sample | None:
        """Take what came, waiting for at most so long; the newest sample as it is to be shown, None without one."""
        shown = None
        for sample in self._feed.read(seconds):
            now = time.monotonic()
            last = self._raw[-1][1].time if self._raw else -np.inf
            if last - OVERTAKEN < sample.time <= last:
                self._late += 1
                continue
            self._raw.append((now, sample))
            self._came.append(now)
            self._subject = sample.name or self._subject
            shown = self._filter(sample, self.settings)
            if self._recording is not None:
                self._recording.add(shown)
        return shown

    def state(self) -> State:
        now = time.monotonic()
        counts = self._feed.counts
        while self._came and now - self._came[0] > RATED:
            self._came.popleft()
        return State(
            connected=bool(self._raw) and now - self._raw[-1][0] < ALIVE and not counts.ended,
            fps=len(self._came),
            dropped=counts.dropped + self._late,
            refused=counts.refused,
            problem=counts.problem,
            ended=counts.ended,
            subject=self._subject,
            port=getattr(self._feed, "port", 0),
            recorded=None if self._recording is None else len(self._recording),
        )

    def rest(self) -> Neutral:
        """What the face does now: the median of the last half second.

        Raises:
            EngineError: no sample came lately.
        """
        now = time.monotonic()
        recent = [sample for came, sample in self._raw if now - came < RESTING]
        if not recent:
            raise EngineError("No face is seen now.", "Wait until the source is connected.")
        weights = np.median([sample.weights for sample in recent], axis=0)
        turns = np.median([sample.turns for sample in recent], axis=0)
        return Neutral(weights, turns)

    def record(self) -> None:
        """Begin a recording, in the place of one that runs."""
        self._recording = Recording()

    def finish(self) -> Recorded:
        """End the recording.

        Raises:
            EngineError: none runs, or nothing came.
        """
        recording, self._recording = self._recording, None
        if recording is None:
            raise EngineError("Nothing is being recorded.", "Begin a recording first.")
        return recording.finish()

    def close(self) -> None:
        """Give port or camera back."""
        self._feed.close()
