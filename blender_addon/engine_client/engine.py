"""The engine as the add-on sees it: how it is, its start and its end, and what became of it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import AddonError
from .client import Client
from .messages import EngineLost
from .process import GRACE_SECONDS, Life
from .runtime import release
from .status import EngineSettings, EngineStatus


class Engine:
    """The engine as the add-on sees it. Nothing here blocks but :meth:`wait_ready`, :meth:`explain`, :meth:`close`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._settings: EngineSettings | None = None
        self._status = EngineStatus()
        self._life: Life | None = None
        self._ending: list[Life] = []

    @property
    def status(self) -> EngineStatus:
        """A snapshot; a new object exactly when something changed."""
        return self._status

    @property
    def state(self) -> str:
        return self._status.state

    @property
    def message(self) -> str:
        return self._status.message

    @property
    def progress(self) -> float:
        return self._status.progress

    @property
    def health(self) -> dict[str, Any] | None:
        return self._status.health

    @property
    def client(self) -> Client | None:
        """The ready engine's client, otherwise None."""
        return self._status.client

    @property
    def settings(self) -> EngineSettings:
        if self._settings is None:
            raise AddonError("The engine has not been set up.", "Enable the extension again.")
        return self._settings

    @property
    def log_path(self) -> Path:
        """This Blender's log of the engine; may not exist yet."""
        return self.settings.user_dir / "logs" / f"engine-{os.getpid()}.log"

    def configure(self, settings: EngineSettings) -> None:
        """Sets which engine to use from the next start on; a running one of other settings is stopped."""
        if settings != self._settings:
            self.stop()
            self._settings = settings

    def start(self) -> None:
        """Starts the engine unless it is on its way or ready."""
        settings, log_path = self.settings, self.log_path
        with self._changed:
            if self._status.state not in ("stopped", "failed"):
                return
            self._life = life = Life(settings, log_path, self._publish)
            self._set(EngineStatus("starting", "The engine is starting."))
            life.thread.start()

    def stop(self) -> None:
        """Ends the engine. Its process is gone a moment later."""
        with self._changed:
            if self._life is not None:
                self._life.ending.set()
                self._ending = [life for life in self._ending if life.thread.is_alive()] + [self._life]
                self._life = None
            self._set(EngineStatus())

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """Ends the engine and waits until its process and threads are gone, for the end of Blender."""
        self.stop()
        for life in self._ending:
            life.thread.join(2 * GRACE_SECONDS)
        self._ending = []
        release()

    def wait_ready(self, timeout: float | None = None, is_cancelled: Callable[[], bool] = lambda: False) -> Client:
        """Starts the engine where necessary and waits for it. Blocks.

        Args:
            timeout: seconds; None waits as long as the engine is on its way (unpacking takes minutes).

        Raises:
            AddonError: the engine cannot be started, or not in time; cancelled meanwhile.
        """
        if not is_cancelled():
            self.start()
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while (status := self._status).state in ("unpacking", "starting"):
                if is_cancelled() or (deadline is not None and time.monotonic() > deadline):
                    raise AddonError("The engine is not ready yet.", "Wait until the Engine panel says so.")
                self._changed.wait(0.1)
        if status.client is None:
            raise AddonError(status.message, status.hint or "Start it in the Engine panel.")
        return status.client

    def explain(self, error: EngineLost, client: Client) -> AddonError:
        """Why a client's engine no longer answers, said better than the connection can. Blocks for a moment.

        Where the engine is another's (a URL), it counts as failed from here on, so that the next start asks again.
        """
        with self._changed:
            if self._status.client is client:
                self._changed.wait_for(lambda: self._status.client is not client, 1.0)
            if self._status.client is client and self._status.pid is None:
                self._set(EngineStatus("failed", error.message, error.hint))
            if self._status.state == "failed":
                return AddonError(self._status.message, self._status.hint)
        return error

    def ask_again(self, client: Client) -> None:
        """Ask a ready engine how it is once more: how quick it is shows when it has worked. Blocks."""
        health = client.health()
        with self._changed:
            if self._status.client is client:
                self._set(replace(self._status, health=health))

    def _publish(self, life: Life, status: EngineStatus) -> None:
        with self._changed:
            if life is self._life:
                self._set(status)

    def _set(self, status: EngineStatus) -> None:
        """Call with the lock held."""
        if status != self._status:
            self._status = status
            self._changed.notify_all()


ENGINE = Engine()
