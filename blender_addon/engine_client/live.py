"""A live source as the add-on follows it: a thread that always asks for the newest sample. Knows nothing of Blender."""

from __future__ import annotations

import socket
import threading

from ..errors import AddonError
from .client import Client
from .engine import Engine
from .messages import EngineLost, LiveSettings, LiveStatus, LiveWish

WAIT_SECONDS = 0.25  # that a question waits in the engine, at most; so soon new settings count
SOMEWHERE = ("192.0.2.1", 9)  # an address that is nobody's; nothing is sent there


class LiveFeed:
    """The engine's live session, of which there is one at a time: a new one ends the one before.

    Attributes:
        error: why it is over, where it ended by itself.
    """

    _last: LiveFeed | None = None

    def __init__(self, engine: Engine, wish: LiveWish):
        self.error: AddonError | None = None
        self._engine, self._wish = engine, wish
        self._status: LiveStatus | None = None
        self._client: Client | None = None
        self._settings: LiveSettings | None = None
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._before, LiveFeed._last = LiveFeed._last, self
        if self._before is not None:
            self._before.stop()
        self._thread = threading.Thread(target=self._run, name="gaussian-heads-live", daemon=True)
        self._thread.start()

    @property
    def status(self) -> LiveStatus | None:
        """The newest; None until the source is open. A new object exactly when the engine said something."""
        return self._status

    @property
    def is_over(self) -> bool:
        return self._stopped.is_set() or self.error is not None

    def wait(self, after: int, seconds: float) -> LiveStatus | None:
        """The same once there is a sample newer than ``after``, at the latest after so long. Blocks."""

        def come() -> bool:
            return self.is_over or (self._status is not None and self._status.sequence > after)

        with self._changed:
            self._changed.wait_for(come, seconds)
            return self._status

    def client(self) -> Client:
        """The engine that listens.

        Raises:
            AddonError: the source is not open.
        """
        if self.error is not None:
            raise self.error
        if self._client is None or self._stopped.is_set():
            raise AddonError("The live source is not open yet.", "Wait until it is connected.")
        return self._client

    def set(self, settings: LiveSettings) -> None:
        """Filter otherwise, from the next question on."""
        self._settings = settings

    def stop(self) -> None:
        """Ends the session; the engine is told by the thread."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()

    def join(self, seconds: float | None) -> None:
        """Waits until the thread is gone; None for as long as that takes."""
        self._thread.join(seconds)

    def _run(self) -> None:
        client: Client | None = None
        if self._before is not None:
            self._before.join(None)  # it must not end this one's session
            self._before = None
        try:
            client = self._engine.wait_ready(None, self._stopped.is_set)
            status = client.start_live(self._wish)
            self._client = client
            while not self._stopped.is_set():
                settings, self._settings = self._settings, None
                if settings is not None:
                    client.set_live(settings)
                status = client.live(status.sequence, WAIT_SECONDS)
                self._tell(status)
                if not status.running:
                    raise AddonError(status.ended or "The engine listens to something else now.", "Start it again.")
            client.stop_live()
        except EngineLost as error:
            self._fail(self._engine.explain(error, client) if client else error)
        except AddonError as error:
            self._fail(error)
        except Exception as error:  # whatever it is, the panel must not show a source that is none
            self._fail(AddonError(f"The live source failed ({type(error).__name__}: {error}).", "Start it again."))
            raise

    def _tell(self, status: LiveStatus) -> None:
        with self._changed:
            self._status = status
            self._changed.notify_all()

    def _fail(self, error: AddonError) -> None:
        with self._changed:
            if not self._stopped.is_set():
                self.error = error
            self._changed.notify_all()


def own_address() -> str:
    """This computer's address in its network, to be typed into a phone; empty where it is in none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(SOMEWHERE)  # of a socket that sends nothing, only the way is looked up
            return probe.getsockname()[0]
        except OSError:
            return ""
