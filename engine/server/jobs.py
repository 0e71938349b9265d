"""The queue of reconstructions: one runs, a few wait, the last results are kept."""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from engine.errors import PhotoError
from engine.estimate import Estimate, estimated, estimated_acting, estimated_pose, estimated_speech, typical_table
from engine.photos.clips import clip_length, is_clip
from engine.pipeline import Options
from engine.server.errors import ErrorDetail, NotFound, NotReady, QueueFull
from engine.server.helper import ending
from engine.server.uploads import Stored
from engine.server.worker import Acting, Done, Failed, Note, Speaking, Stage, Taking, Task, Worker, replace_names

LOG = logging.getLogger(__name__)
MAX_QUEUED = 8
MAX_KEPT = 16
PATIENCE = 0.4  # seconds in which a cancelled task may stop by itself
POLL = 0.1  # seconds between looks at a cancelled job's patience
State = Literal["queued", "running", "done", "failed", "cancelled"]
AVATAR, TAKE = "avatar.npz", "take.csv"  # what jobs make
FINISHED = ("done", "failed", "cancelled")


class SetAside(BaseModel):
    """A photo that was not used, and the sentence that says why and what to do."""

    name: str
    reason: str


class JobStatus(BaseModel):
    """Where a job stands.

    ``fraction`` is 0..1 of the whole and never falls; ``eta_s`` are the seconds left, null while it waits;
    ``stage_index`` counts from 0; ``photos`` are the names of those used, once it is done. ``warnings`` grow while it
    runs, where something goes otherwise than planned.
    """

    id: str
    name: str
    state: State
    stage: str
    stage_index: int
    stage_count: int
    fraction: float = Field(ge=0, le=1)
    eta_s: float | None
    seconds: dict[str, float]
    set_aside: list[SetAside]
    warnings: list[str]
    photos: list[str]
    error: ErrorDetail | None


@dataclass
class _Job:
    task: Task
    folder: Path
    estimate: Estimate
    state: State = "queued"
    cancelled_at: float | None = None
    notes: list[str] = field(default_factory=list)
    done: Done | None = None
    error: ErrorDetail | None = None

    def status(self) -> JobStatus:
        estimate, done = self.estimate, self.done
        return JobStatus(
            id=self.task.id,
            name=self.task.name,
            state=self.state,
            stage=estimate.stage,
            stage_index=estimate.stage_index,
            stage_count=len(estimate.stages),
            fraction=1.0 if done else estimate.fraction,
            eta_s={"running": estimate.eta(time.monotonic()), "queued": None}.get(self.state, 0.0),
            seconds=dict(done.seconds) if done else {},
            set_aside=[SetAside(name=name, reason=reason) for name, reason in done.set_aside] if done else [],
            warnings=list(done.warnings if done else self.notes),
            photos=list(done.photos) if done else [],
            error=self.error,
        )


def _estimated(options: Taking, source: Stored) -> Estimate:
    """For a take. PhotoError where an actor's clip cannot be read."""
    if isinstance(options, Acting):
        return estimated_acting(_length(source))
    return estimated_speech() if isinstance(options, Speaking) else estimated_pose()


def _length(clip: Stored) -> int:
    """Its number of frames. PhotoError, by the name that the artist knows, where it is no clip."""
    try:
        return clip_length(clip.path)
    except PhotoError as error:
        raise PhotoError(replace_names(error.message, {clip.path.name: clip.shown}), error.hint) from error


@dataclass
class JobQueue:
    """Takes jobs from any thread; its own thread has them done by a :class:`~engine.server.worker.Worker`.

    Args:
        folder: where uploads and results lie; the owner removes it.
    """

    folder: Path
    _jobs: OrderedDict[str, _Job] = field(default_factory=OrderedDict)
    _change: threading.Condition = field(default_factory=threading.Condition)
    _worker: Worker | None = None
    _pace: float = 1.0
    _closed: bool = False

    def start(self) -> None:
        """Start the thread, and with it the process that reconstructs."""
        threading.Thread(target=self._serve, name="jobs", daemon=True).start()

    def close(self) -> None:
        """End the process at once; jobs that run or wait are lost."""
        with self._change:
            self._closed = True
            if self._worker is not None:
                self._worker.kill()
            self._change.notify_all()

    def submit(self, name: str, options: Options | Taking, fill: Callable[[Path], list[Stored]]) -> str:
        """Queue a reconstruction or a take.

        Args:
            name: the avatar's or the take's. options: what is to be made. fill: stores the photos, clip or voice in the
                folder that it is given.

        Returns:
            The job's id.

        Raises:
            QueueFull: too many jobs wait. PhotoError: the clip cannot be read.
        """
        job_id = secrets.token_hex(8)
        folder = self.folder / job_id
        folder.mkdir()
        try:
            photos = fill(folder)
            paths = tuple(photo.path for photo in photos)
            shown = {photo.path.name: photo.shown for photo in photos}
            if isinstance(options, Taking):
                estimate, output = _estimated(options, photos[0]), TAKE
            else:
                clips = sum(map(is_clip, paths))
                estimate, output = estimated(options, len(paths) - clips, clips), AVATAR
            task = Task(job_id, name, paths, shown, options, folder / output)
            with self._change:
                if self.queued >= MAX_QUEUED:
                    raise QueueFull(f"{MAX_QUEUED} jobs wait already.", "Wait until one is done, or cancel one.")
                self._jobs[job_id] = _Job(task, folder, estimate)
                self._change.notify_all()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return job_id

    def status(self, job_id: str) -> JobStatus:
        """Raises NotFound."""
        with self._change:
            return self._find(job_id).status()

    def cancel(self, job_id: str) -> JobStatus:
        """Cancel a job that waits or runs; forget a finished one with its result. Raises NotFound."""
        with self._change:
            job = self._find(job_id)
            if job.state == "queued":
                self._end(job, "cancelled")
            elif job.state == "running":
                if job.cancelled_at is None:
                    job.cancelled_at = time.monotonic()
                    if self._worker is not None:
                        self._worker.cancel(job_id)
            else:
                self._forget(job_id)
            return job.status()

    def result(self, job_id: str, kind: str) -> bytes:
        """The finished file, of the kind :data:`AVATAR` or :data:`TAKE`.

        Raises:
            NotFound: no such job, or it makes something else. NotReady: it is not done.
        """
        with self._change:
            job = self._find(job_id)
            if job.task.output.name != kind:
                raise NotFound(f"The job {job_id!r} makes no {kind}.", "Ask for its own result.")
            if job.state != "done":
                raise NotReady(f"The job is {job.state}; it has no {kind}.", "Ask again when its state is done.")
            return job.task.output.read_bytes()

    def typical_seconds(self) -> dict[str, dict[str, list[float]]]:
        """See :func:`engine.estimate.typical_table`; at the pace of the last job that was done."""
        return {
            system: {quality: [self._pace * seconds for seconds in row] for quality, row in rows.items()}
            for system, rows in typical_table().items()
        }

    @property
    def busy(self) -> bool:
        """Whether a reconstruction runs."""
        return self._count("running") > 0

    @property
    def queued(self) -> int:
        """How many jobs wait."""
        return self._count("queued")

    def _count(self, state: State) -> int:
        with self._change:
            return sum(job.state == state for job in self._jobs.values())

    def _find(self, job_id: str) -> _Job:
        try:
            return self._jobs[job_id]
        except KeyError:
            raise NotFound(f"There is no job {job_id!r}.", "It was forgotten, or the engine was restarted.") from None

    def _forget(self, job_id: str) -> None:
        shutil.rmtree(self._jobs.pop(job_id).folder, ignore_errors=True)

    def _end(self, job: _Job, state: State, error: ErrorDetail | None = None) -> None:
        with self._change:
            job.state, job.error = state, error
            for path in job.task.photos:
                with suppress(OSError):  # a dying process may hold it open; it goes with the folder
                    path.unlink(missing_ok=True)
            finished = [job_id for job_id, other in self._jobs.items() if other.state in FINISHED]
            for job_id in finished[:-MAX_KEPT]:
                self._forget(job_id)

    def _serve(self) -> None:
        while True:
            with self._change:
                if self._closed:
                    return
                if self._worker is None or not self._worker.alive:
                    self._worker = Worker()
                worker = self._worker
                job = next((job for job in self._jobs.values() if job.state == "queued"), None)
                if job is None:
                    self._change.wait()
                    continue
                job.state = "running"
            try:
                self._run(job, worker)
            except (EOFError, OSError):
                if not self._closed:
                    self._lost(job, worker)
            except Exception as error:  # whatever it is, the next job must run
                LOG.exception("A job could not be followed")
                worker.kill()
                message = f"The job met an unexpected error ({type(error).__name__}: {error})."
                detail = ErrorDetail(type="InternalError", message=message, hint="Try again, and report this.")
                self._end(job, "failed", detail)

    def _run(self, job: _Job, worker: Worker) -> None:
        worker.start(job.task)
        while True:
            report = worker.report(POLL)
            with self._change:
                match report:
                    case Stage(stage, fraction):
                        job.estimate.update(stage, fraction, time.monotonic())
                    case Note(text):
                        job.notes.append(text)
                    case Done() if job.cancelled_at is None:
                        job.done = report
                        if not isinstance(job.task.options, Taking):
                            self._pace = job.estimate.pace
                        self._end(job, "done")
                        return
                    case Done() | Failed("Cancelled"):
                        self._end(job, "cancelled")
                        return
                    case Failed(kind, message, hint):
                        self._end(job, "failed", ErrorDetail(type=kind, message=message, hint=hint))
                        return
                if job.cancelled_at is not None and time.monotonic() - job.cancelled_at > PATIENCE:
                    worker.kill()

    def _lost(self, job: _Job, worker: Worker) -> None:
        """The process ended in the middle of a task."""
        worker.kill()  # its pipe may break before it is gone
        code = worker.exit_code
        if job.cancelled_at is not None:
            self._end(job, "cancelled")
            return
        LOG.error("The process that reconstructs ended with %s", code)
        error = ErrorDetail(
            type="WorkerLost",
            message=f"The process that reconstructs ended unexpectedly ({ending(code)}).",
            hint="If memory ran out, close other programs or use fewer photos; the engine's log may say more.",
        )
        self._end(job, "failed", error)
