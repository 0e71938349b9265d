"""The server's live session: one at a time, in a process of its own; only its newest sample is kept."""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError
from engine.server.errors import NotListening
from engine.server.helper import Helper, ending
from engine.server.live_process import Finish, Open, Record, Report, Rest, Said, main

if TYPE_CHECKING:
    from engine.live.filters import Neutral, Settings
    from engine.live.recording import Recorded
    from engine.live.sample import Sample
    from engine.live.session import State
    from engine.live.spec import Wish

LOG = logging.getLogger(__name__)
ABANDONED = 30.0  # s without a question, after which a session ends: whoever started it is gone
PATIENCE = 120.0  # s until an order counts as lost; a webcam's first start builds the head model


@dataclass(frozen=True)
class Moment:
    """What is known now.

    Attributes:
        sequence: of the newest sample; it rises over all sessions of the server's life.
        state: None before the first report, and where nothing is listened to.
        sample: the newest; None where there was none in this session.
        ended: why the session's process ended, where it did by itself.
        parts: that the samples are of.
    """

    sequence: int = 0
    state: State | None = None
    sample: Sample | None = None
    ended: str = ""
    parts: tuple[str, ...] = ()


class Live:
    """For any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ordering = threading.Lock()
        self._helper: Helper | None = None
        self._answers: queue.SimpleQueue[Said] = queue.SimpleQueue()
        self._now = Moment()
        self._parts: tuple[str, ...] = ()
        self._asked = 0.0

    def start(self, wish: Wish, settings: Settings) -> None:
        """Open a source, in the place of the one before.

        Raises:
            EngineError: it cannot be opened.
        """
        with self._ordering:
            self._end()
            helper, self._answers = Helper(main, "live"), queue.SimpleQueue()
            with self._changed:
                self._asked = time.monotonic()
                self._helper, self._now, self._parts = helper, Moment(self._now.sequence), settings.parts
            reader = threading.Thread(target=self._read, args=(helper, self._answers), name="live", daemon=True)
            reader.start()
            try:
                self._order(Open(wish, settings))
            except EngineError:
                self._end()
                raise
            with self._changed:
                self._changed.wait_for(lambda: self._now.state is not None or self._helper is None, PATIENCE)

    def stop(self) -> None:
        """End the session, if there is one; a recording that runs is lost."""
        with self._ordering:
            self._end()

    def close(self) -> None:
        """End the process at once."""
        if self._helper is not None:
            self._helper.kill()

    def wait(self, after: int, seconds: float) -> Moment:
        """What is known as soon as there is a sample newer than ``after``, or at the latest after so long."""
        with self._changed:
            self._asked = time.monotonic()
            self._changed.wait_for(lambda: self._now.sequence > after or self._helper is None, seconds)
            return self._now

    def set(self, settings: Settings) -> None:
        """Filter otherwise from here on. Raises NotListening."""
        with self._ordering:
            self._order(settings)
            self._parts = settings.parts

    def rest(self) -> Neutral:
        """Take what the face does now for resting. Raises NotListening, EngineError: no face is seen."""
        with self._ordering:
            neutral = self._order(Rest()).neutral
        assert neutral is not None
        return neutral

    def record(self) -> None:
        """Begin a recording. Raises NotListening."""
        with self._ordering:
            self._order(Record())

    def finish(self) -> Recorded:
        """End the recording. Raises NotListening, EngineError: there is none, or nothing came."""
        with self._ordering:
            recorded = self._order(Finish()).recorded
        assert recorded is not None
        return recorded

    def _order(self, order: Any) -> Said:
        if self._helper is None:
            raise NotListening("Nothing is listened to.", "Start a live source first.")
        try:
            self._helper.send(order)
            said = self._answers.get(timeout=PATIENCE)
        except (OSError, queue.Empty) as error:
            raise EngineError("The live source does not answer.", "Start it again.") from error
        if said.error is not None:
            raise EngineError(*said.error)
        return said

    def _end(self) -> None:
        with self._changed:
            helper, self._helper, self._now = self._helper, None, Moment(self._now.sequence)
            self._changed.notify_all()
        if helper is not None:
            helper.kill()
            helper.exit_code  # noqa: B018 - waits until the port is free for the next one

    def _read(self, helper: Helper, answers: queue.SimpleQueue[Said]) -> None:
        try:
            while True:
                message = helper.connection.recv()
                if isinstance(message, Said):
                    answers.put(message)
                else:
                    self._note(helper, message)
        except (EOFError, OSError):
            why = f"The live source's program ended with {ending(helper.exit_code)}."
            answers.put(Said((why, "Start it again.")))
            with self._changed:
                if helper is self._helper:
                    self._helper, self._now = None, Moment(self._now.sequence, ended=why)
                    self._changed.notify_all()

    def _note(self, helper: Helper, report: Report) -> None:
        if time.monotonic() - self._asked > ABANDONED:
            LOG.info("Nobody asks for the live source any more: it ends")
            helper.kill()
            return
        with self._changed:
            if helper is self._helper:
                came = report.sample is not None
                newest = report.sample if came else self._now.sample
                self._now = Moment(self._now.sequence + came, report.state, newest, parts=self._parts)
                self._changed.notify_all()
