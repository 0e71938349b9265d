"""Asks the engine about each photo of the lists, one after the other, while the artist works."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator
from queue import Empty, SimpleQueue

import bpy
from bpy.app.handlers import persistent

from ..engine_client.client import Client
from ..engine_client.engine import ENGINE
from ..engine_client.messages import EngineLost, PhotoVerdict
from ..errors import AddonError
from . import handlers
from .photo_files import PhotoFile, photo_file, photo_key
from .redraw import redraw_sidebars

TICK_SECONDS = 0.2
WAITING_SECONDS = 1.0  # until the engine is ready

# What comes back for a photo: the engine's verdict, an error, or None where the engine went away.
_Answer = PhotoVerdict | AddonError | None

_in_flight: set[str] = set()
_answers: SimpleQueue[tuple[str, _Answer]] = SimpleQueue()
_thread: threading.Thread | None = None
_ending = threading.Event()


def request() -> None:
    """Photos may be there that nobody looked at; cheap, call it after any change of a list."""
    if not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick, persistent=True)


def tick() -> float | None:
    """Enters what came back, sends what is new; ends its timer where nothing is left to do or nobody to ask."""
    _enter_answers()
    client = ENGINE.client
    if not _in_flight and client is not None:
        _send(client)
    if _in_flight:
        return TICK_SECONDS
    return WAITING_SECONDS if ENGINE.state in ("unpacking", "starting") else None


def _items() -> Iterator[bpy.types.PropertyGroup]:
    for scene in bpy.data.scenes:
        yield from scene.gaussian_heads.photos.items


def _send(client: Client) -> None:
    """Hands every photo without a verdict to a thread."""
    global _thread
    batch: list[tuple[str, PhotoFile]] = []
    for item in _items():
        if item.state not in ("UNCHECKED", "CHECKING"):
            continue
        try:
            file = photo_file(item)
        except AddonError as error:
            item.state, item.message = "BAD", str(error)
            continue
        item.state = "CHECKING"
        if (key := photo_key(item)) not in _in_flight:
            _in_flight.add(key)
            batch.append((key, file))
    if batch:
        redraw_sidebars()
        _thread = threading.Thread(target=_ask, args=(client, batch), name="gaussian-heads-photos", daemon=True)
        _thread.start()


def _ask(client: Client, batch: list[tuple[str, PhotoFile]]) -> None:
    """The thread: every photo of the batch gets an answer, even where the engine goes away."""
    is_lost = False
    for key, file in batch:
        answer: _Answer = None
        try:
            if not is_lost and not _ending.is_set():
                file.prepare()
                answer = client.check_photo(file.path)
        except EngineLost as error:
            ENGINE.explain(error, client)
            is_lost = True
        except AddonError as error:
            answer = error
        except Exception as error:  # every photo gets an answer
            traceback.print_exc()
            answer = AddonError(f"This photo could not be checked ({type(error).__name__}: {error}).", "Report this.")
        _answers.put((key, answer))


def _enter_answers() -> None:
    answers: dict[str, _Answer] = {}
    try:
        while True:
            key, answer = _answers.get_nowait()
            answers[key] = answer
    except Empty:
        pass
    if not answers:
        return
    _in_flight.difference_update(answers)
    for item in _items():
        if item.state == "CHECKING" and (key := photo_key(item)) in answers:
            item.state, item.message = _verdict(answers[key])
    redraw_sidebars()


def _verdict(answer: _Answer) -> tuple[str, str]:
    """State and message of a photo."""
    if answer is None:
        return "UNCHECKED", ""
    if isinstance(answer, AddonError):
        return "BAD", str(answer)
    if not answer.usable:
        return "BAD", answer.message
    if answer.warnings:
        return "WARNING", " ".join(answer.warnings)
    return "GOOD", answer.message


@persistent
def _list_changed(*_: object) -> None:
    request()


# What can bring back a list with photos that were not judged, or are not being judged any more.
_HANDLERS = tuple((name, _list_changed) for name in ("load_post", "undo_post", "redo_post"))


def register() -> None:
    _ending.clear()
    handlers.add(_HANDLERS)


def unregister() -> None:
    handlers.remove(_HANDLERS)
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    _ending.set()
    if _thread is not None:
        _thread.join(2.0)
    _in_flight.clear()
