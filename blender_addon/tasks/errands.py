"""What takes the engine seconds and nobody wants to wait for: work in a thread, an end on Blender's own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import bpy

from ..errors import AddonError

POLL_SECONDS = 0.1
T = TypeVar("T")


class Errand(Generic[T]):
    """Starts at once; its end is told in a small menu.

    Args:
        title: what it is. work: done in a thread, without Blender's data. done: takes its result on Blender's own
            thread, and says in a sentence what has become of it. Both may raise AddonError.
    """

    running: list[Errand] = []

    def __init__(self, title: str, work: Callable[[], T], done: Callable[[T], str]):
        self._title, self._done = title, done
        self._result: list[T] = []
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, args=(work,), name=f"gaussian-heads {title}")
        self._thread.start()
        self.running.append(self)
        bpy.app.timers.register(self._poll, first_interval=POLL_SECONDS, persistent=True)

    def _work(self, work: Callable[[], T]) -> None:
        try:
            self._result.append(work())
        except Exception as error:  # a thread has nobody else to tell it to
            self._error = error

    def _poll(self) -> float | None:
        if self._thread.is_alive():
            return POLL_SECONDS
        self.running.remove(self)
        try:
            if self._error:
                raise self._error
            text, say = self._done(self._result[0]), {"title": self._title, "icon": "CHECKMARK"}
        except Exception as error:
            text, say = str(error), {"title": f"{self._title} failed", "icon": "ERROR"}
            if not isinstance(error, AddonError):
                text = f"{type(error).__name__}: {error}"
        if bpy.app.background:  # a menu without a window ends Blender
            print(f"{say['title']}: {text}")
        else:
            bpy.context.window_manager.popup_menu(lambda menu, _: menu.layout.label(text=text), **say)
        return None
