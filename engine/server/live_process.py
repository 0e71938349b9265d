"""The process that listens or watches: a decoder that crashes, or a face that costs time, leaves the server alone."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from engine.errors import EngineError
from engine.server.helper import begin

if TYPE_CHECKING:
    from engine.live.filters import Neutral, Settings
    from engine.live.recording import Recorded
    from engine.live.sample import Sample
    from engine.live.session import Session, State
    from engine.live.spec import Wish

STEP = 0.02  # s without a sample, after which whoever asks for something is heard
SAY_EVERY = 0.2  # s between reports without a sample


@dataclass(frozen=True)
class Open:
    """Open a source; the first thing that the process is told."""

    wish: Wish
    settings: Settings


@dataclass(frozen=True)
class Rest:
    """Take what the face does now for resting."""


@dataclass(frozen=True)
class Record:
    """Begin a recording."""


@dataclass(frozen=True)
class Finish:
    """End the recording."""


@dataclass(frozen=True)
class Said:
    """The answer to an order, :class:`Settings` included.

    Attributes:
        error: message and hint, where it could not be done.
        neutral: of :class:`Rest`. recorded: of :class:`Finish`.
    """

    error: tuple[str, str] | None = None
    neutral: Neutral | None = None
    recorded: Recorded | None = None


@dataclass(frozen=True)
class Report:
    """How the session is, and the newest sample where one came since the last report."""

    state: State
    sample: Sample | None


def main(connection: Connection) -> None:
    """The process: one session, until the server is gone or ends it."""
    begin(yields=False)
    from engine.live.session import Session

    try:
        order = connection.recv()
        try:
            session = Session(order.wish, order.settings)
        except EngineError as error:
            connection.send(Said((error.message, error.hint)))
            os._exit(0)
        connection.send(Said())
        said = 0.0
        while True:
            while connection.poll():
                connection.send(_obey(session, connection.recv()))
            sample, now = session.step(STEP), time.monotonic()
            if sample is not None or now - said > SAY_EVERY:
                connection.send(Report(session.state(), sample))
                said = now
    except (EOFError, OSError):
        os._exit(0)  # without a server nobody wants what it says


def _obey(session: Session, order: Settings | Rest | Record | Finish) -> Said:
    try:
        match order:
            case Rest():
                neutral = session.rest()
                session.settings = replace(session.settings, neutral=neutral)
                return Said(neutral=neutral)
            case Record():
                session.record()
            case Finish():
                return Said(recorded=session.finish())
            case _:
                session.settings = order
        return Said()
    except EngineError as error:
        return Said((error.message, error.hint))
