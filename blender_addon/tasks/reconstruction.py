"""The artist's reconstruction: runs in the background and survives undo, saving and other files; then becomes objects.

There is one at a time. Its job lives in a thread of its own; here, a timer shows its progress and builds the head piece
by piece, so that Blender never stands still.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import bpy
from bpy.app.handlers import persistent

from ..engine_client.engine import ENGINE
from ..engine_client.jobs import JobSnapshot, ReconstructionJob
from ..engine_client.messages import MAX_PHOTOS, JobOptions
from ..errors import AddonError
from ..preferences import engine_settings
from ..rig.avatar_file import AvatarFile, read_avatar
from ..rig.build import build, build_steps
from ..rig.heads import Head
from . import handlers
from .arrival import arrive
from .photo_files import PhotoFile
from .redraw import redraw_sidebars

TICK_SECONDS = 0.1
REPORT_SECONDS = 0.5  # between two looks while a script waits
UNDO_MESSAGE = "Reconstruct Head"
PIECE_SECONDS = 0.01  # rest between two pieces of the head, for the artist's events
# While one of these runs, new objects would get in the artist's way.
DRAGGING = ("TRANSFORM_OT_", "SCULPT_OT_", "PAINT_OT_", "WM_OT_radial_control")


@dataclass(frozen=True)
class Request:
    """What to reconstruct: photos and clips in order, the head's name, and how."""

    photos: tuple[PhotoFile, ...]
    name: str
    options: JobOptions

    def __post_init__(self) -> None:
        if not self.photos:
            raise AddonError("There are no photos.", "Add at least one portrait photo in the Photos panel.")
        if len(self.photos) > MAX_PHOTOS:
            raise AddonError(f"{len(self.photos)} photos are too many.", f"Keep the {MAX_PHOTOS} best.")

    def job(self) -> ReconstructionJob[AvatarFile]:
        def prepare() -> None:
            for photo in self.photos:
                photo.prepare()

        ENGINE.configure(engine_settings())
        paths = [photo.path for photo in self.photos]
        return ReconstructionJob(ENGINE, paths, self.name, self.options, read_avatar, prepare)


@dataclass
class Reconstruction:
    """A reconstruction on its way, or the last one.

    Attributes:
        scene_uid: session uid of the scene that gets the head.
        question: why the head waits for the artist's word; empty where it does not.
        holding: why the head waits for a moment; empty where it does not.
        error: why the finished avatar could not become a head.
        head_name: name of the finished head in the scene; empty until then.
    """

    job: ReconstructionJob[AvatarFile]
    scene_uid: int
    question: str = ""
    holding: str = ""
    error: AddonError | None = None
    head_name: str = ""
    shown: JobSnapshot = field(default_factory=JobSnapshot)
    steps: Generator[None, None, Head] | None = None

    @property
    def is_running(self) -> bool:
        """Whether another one would have to wait: everything up to the head in the scene."""
        state = self.job.snapshot().state
        return state not in ("failed", "cancelled") and not (self.head_name or self.question or self.error)

    @property
    def kept(self) -> Path | None:
        return self.job.snapshot().kept


_current: Reconstruction | None = None


def current() -> Reconstruction | None:
    """The reconstruction on its way, or the last one of this session."""
    return _current


def start(context: bpy.types.Context, request: Request) -> None:
    """Begins a reconstruction in the background; the head comes into the context's scene.

    Raises:
        AddonError: one is on its way already.
    """
    global _current
    if _current is not None and _current.is_running:
        raise AddonError("A reconstruction is on its way already.", "Wait for it, or cancel it.")
    _current = Reconstruction(request.job(), context.scene.session_uid)
    _current.job.start()
    _tick_soon()


def run(context: bpy.types.Context, request: Request, show: Callable[[JobSnapshot], None]) -> Head:
    """Reconstructs at once, for scripts. Blocks.

    Args:
        show: called with the state of things whenever it changed.

    Raises:
        AddonError: it failed.
    """
    job = request.job()
    job.start()
    shown = None
    try:
        while not job.wait(REPORT_SECONDS):
            if (snapshot := job.snapshot()) is not shown:
                show(shown := snapshot)
    except BaseException:  # Ctrl-C: the engine must not go on
        job.cancel()
        raise
    show(job.snapshot())
    head = build(job.wait_done(), context)
    arrive(head, context.scene)
    bpy.ops.ed.undo_push(message=UNDO_MESSAGE)
    return head


def cancel() -> None:
    """Cancels what is on its way. A head that is finished, but not in the scene yet, stays at hand."""
    if _current is not None and _current.is_running:
        _current.job.cancel()
        if _current.job.snapshot().state == "done" and _current.steps is None:
            _current.question = "You cancelled when the head was finished."
        redraw_sidebars()


def import_result(context: bpy.types.Context) -> None:
    """Lets a head that waits for the artist's word come into the context's scene.

    Raises:
        AddonError: none waits.
    """
    if _current is None or not (_current.question or _current.error) or _current.job.result is None:
        raise AddonError("No finished head is waiting.", "Reconstruct one, or import an avatar file.")
    _current.scene_uid = context.scene.session_uid
    _current.question, _current.error = "", None
    if bpy.app.background:  # where timers do not run
        while tick() == PIECE_SECONDS:
            pass
    else:
        _tick_soon()


def dismiss() -> None:
    """Forgets the last reconstruction's messages."""
    global _current
    if _current is not None and not _current.is_running:
        _current = None


def tick() -> float | None:
    """Shows progress, then builds one piece of the head; ends its timer where nothing is left to do."""
    running = _current
    if running is None:
        return None
    snapshot = running.job.snapshot()
    if (shown := _as_shown(snapshot)) != running.shown:
        running.shown = shown
        redraw_sidebars()
    if not snapshot.is_over:
        return TICK_SECONDS
    if snapshot.state != "done" or not running.is_running:
        return None
    try:
        return _advance(running)
    except ReferenceError:  # an undo took away what was built so far
        running.steps = None
        return TICK_SECONDS
    except AddonError as error:
        running.error = error
    except Exception as error:  # the panel must say so, not show a head that never comes
        running.error = AddonError(f"The head could not be built ({error}).", "Import its file, which was kept.")
        redraw_sidebars()
        raise
    redraw_sidebars()
    return None


def _as_shown(snapshot: JobSnapshot) -> JobSnapshot:
    """A snapshot as exact as the panel: it need not be drawn again for less than a percent or a second."""
    left = None if snapshot.eta_s is None else round(snapshot.eta_s)
    return replace(snapshot, fraction=round(snapshot.fraction, 2), eta_s=left)


def _advance(running: Reconstruction) -> float | None:
    """One piece of the head; None once nothing is left to do for now."""
    scene = next((scene for scene in bpy.data.scenes if scene.session_uid == running.scene_uid), None)
    if scene is None:
        running.question = "The scene that the head was meant for is no longer open."
        redraw_sidebars()
        return None
    windows = bpy.context.window_manager.windows
    window = next((window for window in windows if window.scene == scene), windows[0] if windows else None)
    place = {"window": window, "scene": scene} if window else {"scene": scene}
    with bpy.context.temp_override(**place):
        holding = _why_not_now()
        if holding != running.holding:
            running.holding = holding
            redraw_sidebars()
        if holding:
            return TICK_SECONDS
        if running.steps is None:
            running.steps = build_steps(running.job.wait_done(0), bpy.context)
        try:
            next(running.steps)
        except StopIteration as done:
            running.steps = None
            arrive(done.value, scene)
            bpy.ops.ed.undo_push(message=UNDO_MESSAGE)
            running.head_name = done.value.name
            redraw_sidebars()
            return None
    return PIECE_SECONDS


def _why_not_now() -> str:
    """What keeps a finished head from coming into the scene: undo would not know it, or the artist is in a drag."""
    if bpy.context.mode not in ("OBJECT", "POSE"):
        return "The head is ready and comes when you leave this mode."
    if bpy.app.is_job_running("RENDER"):
        return "The head is ready and comes after the render."
    for window in bpy.context.window_manager.windows:
        if any(operator.bl_idname.startswith(DRAGGING) for operator in window.modal_operators):
            return "The head is ready and comes after this drag."
    return ""


def _tick_soon() -> None:
    if not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick, first_interval=TICK_SECONDS, persistent=True)


@persistent
def _saving(*_: object) -> None:
    """A file must hold the whole head or none of it."""
    while _current is not None and _current.steps is not None and tick() == PIECE_SECONDS:
        pass


@persistent
def _file_loaded(*_: object) -> None:
    if _current is not None:
        _current.scene_uid = 0  # no scene's: the artist is asked
        if _current.steps is not None:
            with suppress(ReferenceError):  # what was built so far went with the other file
                _current.steps.close()
            _current.steps = None


_HANDLERS = (("save_pre", _saving), ("load_post", _file_loaded))


def register() -> None:
    handlers.add(_HANDLERS)


def unregister() -> None:
    global _current
    handlers.remove(_HANDLERS)
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    if _current is not None:
        _current.job.cancel()
        _current.job.join(2.0)
        _current = None
