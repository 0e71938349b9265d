"""The process that reconstructs: a crash or a full memory there leaves the server, and every preview, alive."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import Cancelled, EngineError
from engine.server.helper import Helper, begin

if TYPE_CHECKING:
    from engine.avatar import Avatar
    from engine.pipeline import Options
    from engine.progress import Progress

LOG = logging.getLogger(__name__)
REPORT_EVERY = 0.05  # seconds between reports of a running stage


@dataclass(frozen=True)
class Acting:
    """How a performance is read; see :func:`engine.performance.perform`."""

    smoothing: float = 0.5
    neutral: bool = True


@dataclass(frozen=True)
class Speaking:
    """How a voice becomes a take; see :func:`engine.voice.speak`."""

    text: str = ""
    seed: int = 0
    liveliness: float = 0.5


@dataclass(frozen=True)
class Posing:
    """How a photo becomes a take of one sample: there is nothing to choose; see :func:`engine.performance.pose`."""


Taking = Acting | Speaking | Posing  # what becomes a take


@dataclass(frozen=True)
class Task:
    """One reconstruction, or one take.

    Attributes:
        id: the job's.
        name: the avatar's, or the take's.
        photos: stored files; of a take one, the clip, voice or photo. Their names are made up and unique.
        shown: what the artist calls each of them, by its stored name.
        options: what is to be made.
        output: avatar or take to write.
    """

    id: str
    name: str
    photos: tuple[Path, ...]
    shown: Mapping[str, str]
    options: Options | Taking
    output: Path


@dataclass(frozen=True)
class Stage:
    """A report from a running task; ``fraction`` is 0..1 within the stage."""

    stage: str
    fraction: float


@dataclass(frozen=True)
class Note:
    """A sentence that the artist should read although the task goes on."""

    text: str


@dataclass(frozen=True)
class Done:
    """The task's avatar file is written.

    Attributes:
        seconds: per stage. photos: names of those used. set_aside: name and reason of the others. warnings: sentences.
    """

    seconds: Mapping[str, float]
    photos: tuple[str, ...]
    set_aside: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Failed:
    """The task ended without an avatar; ``kind`` is the error's class."""

    kind: str
    message: str
    hint: str


class Worker(Helper):
    """The server's end of the process.

    One thread starts tasks and reads reports; any thread may cancel.
    """

    def __init__(self) -> None:
        super().__init__(_main, "reconstruction")

    def start(self, task: Task) -> None:
        """Begin a task; :meth:`report` follows it. OSError when the process is gone."""
        self.send(task)

    def cancel(self, task_id: str) -> None:
        """Ask the task to stop at its next report."""
        with suppress(OSError):  # gone by itself: its reader notices
            self.send(task_id)

    def report(self, timeout: float) -> Stage | Note | Done | Failed | None:
        """The next report, None after ``timeout`` seconds without one. EOFError or OSError when the process is gone."""
        return self.connection.recv() if self.connection.poll(timeout) else None


def _main(connection: Connection) -> None:
    """The process: tasks one after the other, until the server is gone."""
    begin()
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    cancelled: set[str] = set()

    def listen() -> None:
        while True:
            try:
                message = connection.recv()
            except (EOFError, OSError):
                os._exit(0)  # whatever the other threads do: without a server nobody wants their result
            if isinstance(message, Task):
                tasks.put(message)
            else:
                cancelled.add(message)

    threading.Thread(target=listen, daemon=True).start()
    _prepare()
    while True:
        task = tasks.get()
        connection.send(_run(task, connection, cancelled))
        cancelled.discard(task.id)


def _prepare() -> None:
    """Import, and build what is built once per machine, while no task waits."""
    from engine.heads import load_head
    from engine.threads import share_cores

    share_cores()
    import engine.pipeline  # noqa: F401
    from engine.splatting import warm_up

    try:
        load_head()
    except EngineError as error:
        LOG.warning("%s", error)  # the first job says it to the artist
    warm_up()


def _run(task: Task, connection: Connection, cancelled: set[str]) -> Done | Failed:
    from engine.progress import Progress

    last = (0.0, "")

    def report(stage: str, fraction: float) -> None:
        nonlocal last
        now = time.monotonic()
        if fraction >= 1 or stage != last[1] or now - last[0] >= REPORT_EVERY:
            connection.send(Stage(stage, fraction))
            last = (now, stage)

    try:
        progress = Progress(report, lambda: task.id in cancelled, lambda text: connection.send(Note(text)))
        done = _take(task, progress) if isinstance(task.options, Taking) else _reconstruct(task, progress)
        if task.id in cancelled:
            raise Cancelled
        return done
    except EngineError as error:
        return Failed(type(error).__name__, _shown(error.message, task), _shown(error.hint, task))
    except Exception as error:  # whatever it is, the artist reads it in the panel and the log has the rest
        LOG.exception("The task failed")
        message = f"The engine met an unexpected error ({type(error).__name__}: {error})."
        hint = "Try other photos; the engine's log says more."
        if isinstance(error, MemoryError) or "alloc" in str(error):  # torch's and OpenCV's are RuntimeErrors
            message, hint = "Memory ran out.", "Close other programs, or use fewer or smaller photos."
        return Failed("InternalError", _shown(message, task), hint)


def _reconstruct(task: Task, progress: Progress) -> Done:
    from engine import avatar, pipeline

    assert not isinstance(task.options, Taking)
    made = pipeline.reconstruct(task.photos, task.name, task.options, progress)
    progress.start("files")
    avatar.save(_with_shown_names(made.avatar, task.shown), task.output)
    progress.finish()
    return Done(
        seconds=dict(progress.seconds),
        photos=tuple(_shown(photo.name, task) for photo in made.photos),
        set_aside=tuple((_shown(entry.name, task), _shown(entry.reason, task)) for entry in made.set_aside),
        warnings=(*made.notes, *(_shown(warning, task) for photo in made.photos for warning in photo.warnings)),
    )


def _take(task: Task, progress: Progress) -> Done:
    from engine.heads import load_head
    from engine.performance import notes_of, perform, pose, write_take
    from engine.voice import speak

    (source,) = task.photos
    match task.options:
        case Speaking(text, seed, liveliness):
            speech = speak(source, progress, text, seed, liveliness)
            take, notes = speech.take, speech.notes
        case Posing():
            progress.start("head model")
            take = pose(source, load_head(), progress)
            notes = tuple(notes_of(take))
        case Acting(smoothing, neutral):
            progress.start("head model")
            take = perform(source, load_head(), progress, smoothing, neutral)
            notes = tuple(notes_of(take))
        case _:
            raise TypeError(task.options)
    write_take(take, task.output)
    return Done(dict(progress.seconds), (_shown(source.name, task),), (), tuple(_shown(note, task) for note in notes))


def _shown(text: str, task: Task) -> str:
    return replace_names(text, task.shown)


def replace_names(text: str, shown: Mapping[str, str]) -> str:
    """Put the artist's file names in the place of the stored ones, which are unique random words."""
    for stored, name in shown.items():
        text = text.replace(stored, name)
    return text


def _with_shown_names(made: Avatar, shown: Mapping[str, str]) -> Avatar:
    views = tuple(replace(view, name=replace_names(view.name, shown)) for view in made.views)
    photos = [{**photo, "name": replace_names(photo["name"], shown)} for photo in made.provenance["photos"]]
    residuals = {replace_names(k, shown): v for k, v in made.provenance["metrics"]["landmark_px"].items()}
    metrics = {**made.provenance["metrics"], "landmark_px": residuals}
    return replace(made, views=views, provenance={**made.provenance, "photos": photos, "metrics": metrics})
