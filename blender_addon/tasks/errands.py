"""What takes the engine seconds and nobody wants to wait for: work in a thread, an end on Blender's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import nullcontext
from typing import Generic, TypeVar

import bpy

from ..errors import AddonError

POLL_SECONDS = 0.1
PIECE_SECONDS = 0.01  # rest between two pieces of the end, for the artist's events
T = TypeVar("T")


class Errand(Generic[T]):
    """Starts at once; its end is told in a small menu.

    Attributes:
        running: all that have not ended.
        title: what it is.
    """

    running: list[Errand] = []

    def __init__(self, title: str, work: Callable[[], T], done: Callable[[T], Generator[None, None, str]]):
        """Begin. Both functions may raise AddonError.

        Args:
            work: done in a thread, without Blender's data.
            done: takes its result on Blender's own thread, in pieces of less than 100 ms, and says in a sentence what
                has become of it; an empty one is not shown.
        """
        self.title = title
        self._done = done
        self._result: list[T] = []
        self._error: Exception | None = None
        self._steps: Generator[None, None, str] | None = None
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
        try:
            if self._error:
                raise self._error
            if self._steps is None:
                self._steps = self._done(self._result[0])
            windows = bpy.context.window_manager.windows  # timers run outside of any
            with bpy.context.temp_override(window=windows[0]) if windows else nullcontext():
                next(self._steps)
            return PIECE_SECONDS
        except StopIteration as done:
            title, text, icon = self.title, str(done.value), "CHECKMARK"
        except Exception as error:  # an undo may have taken away what the end works on
            known = isinstance(error, AddonError)
            title, icon = f"{self.title} failed", "ERROR"
            text = str(error) if known else f"{type(error).__name__}: {error}"
        self.running.remove(self)
        if not text:
            return None
        if bpy.app.background:  # a menu without a window ends Blender
            print(f"{title}: {text}")
        else:
            bpy.context.window_manager.popup_menu(lambda menu, _: menu.layout.label(text=text), title=title, icon=icon)
        return None
