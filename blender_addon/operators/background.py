"""Work in a thread of its own, whose end is told in Blender: starting the engine alone takes seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

import bpy

POLL_SECONDS = 0.1
PIECE_SECONDS = 0.01  # rest between two pieces of what follows, for the artist's events
T = TypeVar("T")


class Background(Generic[T]):
    """Work that has begun.

    Attributes:
        running: all that has not ended.
        name: what is being done, for panels and messages.
    """

    running: list[Background] = []

    def __init__(self, name: str, work: Callable[[], T], finish: Callable[[T], Generator[None, None, str]]):
        """Begin.

        Args:
            work: in the thread; must not touch Blender.
            finish: with its result, in Blender, a piece at a time; returns a sentence on what was done.
        """
        self.name = name
        self._work, self._finish = work, finish
        self._result: list[T] = []
        self._error: Exception | None = None
        self._steps: Generator[None, None, str] | None = None
        self._thread = threading.Thread(target=self._run, name=f"gaussian-heads-{name.lower()}")
        self._thread.start()
        self.running.append(self)
        bpy.app.timers.register(self._poll, first_interval=POLL_SECONDS, persistent=True)

    def _run(self) -> None:
        try:
            self._result.append(self._work())
        except Exception as error:  # a thread has nobody else to tell it to
            self._error = error

    def _poll(self) -> float | None:
        if self._thread.is_alive():
            return POLL_SECONDS
        said = ""
        try:
            if self._error is None:
                if self._steps is None:
                    self._steps = self._finish(self._result[0])
                next(self._steps)
                return PIECE_SECONDS
        except StopIteration as done:
            said = done.value
        except Exception as error:  # an undo may have taken away what it works on
            self._error = error
        self.running.remove(self)
        failed = self._error is not None
        title, icon = (f"{self.name} failed", "ERROR") if failed else (self.name, "CHECKMARK")
        text = str(self._error) if failed else said
        bpy.context.window_manager.popup_menu(lambda menu, _: menu.layout.label(text=text), title=title, icon=icon)
        return None
