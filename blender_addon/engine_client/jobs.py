"""Jobs of the engine's, from the artist's files to a parsed result, each followed by a thread of its own."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from ..errors import AddonError
from ..files import atomic_write, keep_newest
from ..systems import require_head
from .client import Client
from .engine import Engine
from .messages import EngineLost, JobOptions, JobStatus

POLL_SECONDS = 0.2
HEADS_KEPT = 10

T = TypeVar("T")


@dataclass(frozen=True)
class JobSnapshot:
    """Where a job stands.

    Attributes:
        state: starting (the engine, then the photos on their way), queued, running, done, failed or cancelled.
        stage: what is being done, in words.
        fraction: 0..1 of the whole, never falls.
        eta_s: seconds that are left; None if unknown.
        message: one sentence; of a failure, what happened.
        hint: what to do after a failure.
        set_aside: name and reason of each photo that was left out.
        photos: names of the photos that were used.
        kept: the finished avatar's file.
        seconds: seconds since the start, up to the end.
    """

    state: str = "starting"
    stage: str = "Engine"
    fraction: float = 0.0
    eta_s: float | None = None
    message: str = ""
    hint: str = ""
    set_aside: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    photos: tuple[str, ...] = ()
    kept: Path | None = None
    seconds: float = 0.0

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")


class EngineJob(Generic[T]):
    """Something that the engine makes of the artist's files, in the background. What it is, subclasses say.

    Args:
        engine: started where necessary.
        paths: the files, the best first.

    Attributes:
        result: what was made of the engine's bytes, once done.
    """

    sending = "Sending photos"
    work = "reconstruction"

    def __init__(self, engine: Engine, paths: Sequence[Path]):
        self.result: T | None = None
        self._engine = engine
        self._paths = list(paths)
        self._missing: tuple[tuple[str, str], ...] = ()
        self._snapshot = JobSnapshot()
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="gaussian-heads-job", daemon=True)
        self._started = time.monotonic()

    def _prepare(self) -> None:
        """Writes those of the files that are none yet. Runs in the job's thread, as all that follows."""

    def _send(self, client: Client, paths: Sequence[Path]) -> str:
        """Sends the files; returns the engine's id of the job."""
        raise NotImplementedError

    def _receive(self, client: Client, job_id: str, status: JobStatus) -> tuple[T, str]:
        """Fetches what is done, and a sentence about it. May raise :class:`AddonError`."""
        raise NotImplementedError

    def start(self) -> None:
        self._thread.start()

    def snapshot(self) -> JobSnapshot:
        """A new object exactly when something changed."""
        return self._snapshot

    def cancel(self) -> None:
        """Ends the job as seen from here at once; the engine is told by the job's thread."""
        self._cancelled.set()
        self._finish(state="cancelled", message="Cancelled.", eta_s=None)

    def wait(self, timeout: float | None = None) -> bool:
        """Blocks until the job is over, however it ended, or the time is up; whether it is over."""
        return self._over.wait(timeout)

    def wait_done(self, timeout: float | None = None) -> T:
        """Blocks until the job is over; returns its result.

        Raises:
            AddonError: it failed, was cancelled, or is not over after ``timeout`` seconds.
        """
        if not self.wait(timeout):
            raise AddonError(f"The {self.work} is still running.", "Wait for it, or cancel it.")
        snapshot = self._snapshot
        if self.result is None or snapshot.state != "done":
            raise AddonError(snapshot.message, snapshot.hint or "Start it again when you like.")
        return self.result

    def join(self, timeout: float) -> None:
        """Waits until the thread is gone, for the end of Blender."""
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _show(self, **changes: object) -> None:
        with self._lock:
            if not self._snapshot.is_over:
                changed = replace(self._snapshot, **changes)  # type: ignore[arg-type]
                if changed != self._snapshot:
                    self._snapshot = changed

    def _finish(self, **changes: object) -> None:
        self._show(seconds=time.monotonic() - self._started, **changes)
        self._over.set()

    def _work(self) -> None:
        client: Client | None = None
        job_id = ""
        try:
            self._prepare()
            paths = self._present()
            client = self._engine.wait_ready(None, self._cancelled.is_set)
            self._show(stage=self.sending)
            job_id = self._send(client, paths)
            status = self._follow(client, job_id)
            if status is not None:
                self.result, message = self._receive(client, job_id, status)
                self._finish(state="done", message=message, fraction=1.0, eta_s=None)
            client.cancel(job_id)  # or, once done, forget: the result is here
            self._engine.ask_again(client)
        except EngineLost as error:
            better = self._engine.explain(error, client) if client else error
            self._finish(state="failed", message=better.message, hint=better.hint, eta_s=None)
        except AddonError as error:
            self._finish(state="failed", message=error.message, hint=error.hint, eta_s=None)
        except Exception as error:  # whatever it is, the panel must not show progress for ever
            message = f"The {self.work} failed ({type(error).__name__}: {error})."
            self._finish(state="failed", message=message, hint="Try again, and report this.", eta_s=None)
            raise

    def _present(self) -> list[Path]:
        """The photos that are still there; the others are set aside."""
        missing = [path for path in self._paths if not path.is_file()]
        self._missing = tuple((path.name, f"{path} is no longer there.") for path in missing)
        self._show(set_aside=self._missing)
        present = [path for path in self._paths if path not in missing]
        if missing and not present:
            raise AddonError(f"None of the files is there; the first is {missing[0]}.", "Add them again.")
        return present

    def _follow(self, client: Client, job_id: str) -> JobStatus | None:
        """Shows the job's progress until the engine is done with it; None where the artist cancelled."""
        while not self._cancelled.wait(POLL_SECONDS):
            status = client.job(job_id)
            self._show(
                stage=status.stage.capitalize() or "Waiting",
                fraction=max(self._snapshot.fraction, min(status.fraction, 1.0)),
                eta_s=status.eta_s,
                set_aside=self._missing + tuple((entry["name"], entry["reason"]) for entry in status.set_aside),
                warnings=tuple(status.warnings),
                photos=tuple(status.photos),
                state="queued" if status.state == "queued" else "running",
            )
            if status.state == "done":
                return status
            if status.state == "failed" and status.error is not None:
                raise AddonError(status.error["message"], status.error["hint"])
            if status.state not in ("queued", "running"):
                raise AddonError(f"The engine cancelled the {self.work}.", "Start it again.")
        return None


class ReconstructionJob(EngineJob[T]):
    """Photos to an avatar.

    Args:
        paths: photos and clips, the best first.
        name: of the head.
        options: see :class:`JobOptions`.
        parse: turns the avatar's bytes into what the caller builds from; runs in the job's thread, and its
            AddonError becomes the job's.
        prepare: writes those of ``paths`` that are no files yet; runs in the job's thread first.

    Raises:
        AddonError: the system does not know the head model.
    """

    def __init__(
        self,
        engine: Engine,
        paths: Sequence[Path],
        name: str,
        options: JobOptions,
        parse: Callable[[bytes], T],
        prepare: Callable[[], None] = lambda: None,
    ):
        super().__init__(engine, paths)
        require_head(options.system, options.head, engine.health, options.weights)
        self.name = name
        self._options = options
        self._parse = parse
        self._prepare = prepare  # type: ignore[method-assign]

    def _send(self, client: Client, paths: Sequence[Path]) -> str:
        return client.create_job(paths, self.name, self._options, self._cancelled.is_set)

    def _receive(self, client: Client, job_id: str, status: JobStatus) -> tuple[T, str]:
        self._show(stage="Receiving the head", eta_s=0.0)
        avatar = client.avatar(job_id)
        try:
            self._show(kept=keep_avatar(avatar, self._engine.settings.user_dir / "heads", self.name))
        except AddonError as error:  # the head can still be imported
            self._show(warnings=(*status.warnings, str(error)))
        count = len(status.photos)
        return self._parse(avatar), f"Made from {count} photo{'s' if count != 1 else ''}."


class TakeJob(EngineJob[T]):
    """A clip, a voice or a photo to a take.

    Args:
        path: the file.
        send: sends it, given the engine's client, the file and a function that says whether to stop; returns the id.
        parse: turns the take's bytes, CSV, into what the caller keys; runs in the job's thread.
    """

    sending = "Sending the file"
    work = "performance"

    def __init__(
        self,
        engine: Engine,
        path: Path,
        send: Callable[[Client, Path, Callable[[], bool]], str],
        parse: Callable[[bytes], T],
    ):
        super().__init__(engine, [path])
        self._send_file, self._parse = send, parse

    def _send(self, client: Client, paths: Sequence[Path]) -> str:
        return self._send_file(client, paths[0], self._cancelled.is_set)

    def _receive(self, client: Client, job_id: str, status: JobStatus) -> tuple[T, str]:
        return self._parse(client.take(job_id)), "Read."


def keep_avatar(avatar: bytes, folder: Path, name: str) -> Path:
    """Writes a finished avatar beside the last ones, of which ten stay, so that no crash can lose it.

    Raises:
        AddonError: the folder cannot be written.
    """
    safe = re.sub(r"[^\w-]+", "_", name).strip("_")[:60] or "head"
    dated = f"{safe}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, number = folder / f"{dated}.npz", 1
    while path.exists():  # made in the same second
        number += 1
        path = folder / f"{dated}-{number}.npz"
    with atomic_write(path) as temporary:
        temporary.write_bytes(avatar)
    keep_newest(folder, "*.npz", HEADS_KEPT)
    return path
