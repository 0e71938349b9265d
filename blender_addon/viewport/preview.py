"""Engine preview: viewports show frames that the engine renders of the active head, as soon as there are any.

Where there are none (no engine, too slow, a view that it cannot draw), the built-in drawing stays.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import bpy
import gpu
import numpy as np

from ..engine_client.engine import ENGINE
from ..errors import AddonError
from ..rig.extract import Pose, content_key, extract, pose_state
from ..rig.heads import Head, active_head
from ..tasks.changes import CHANGES
from ..tasks.redraw import redraw_sidebars
from ..tasks.watch import start_engine
from . import shader
from .camera import View, engine_camera
from .preview_worker import FrameAnswer, FrameRequest, PreviewWorker

STILL_SECONDS = 0.2  # without movement until a viewport gets its full resolution
CONTENT_SECONDS = 0.5  # without movement until the head is looked at for edits, which takes some milliseconds
STALE_SECONDS = 0.6  # a frame of an older view than that is worse than the built-in drawing
SLOW_SECONDS = 1.5  # for one frame, after which the panel says so
RETRY_SECONDS = 2.0  # between two tries of what failed
RESTART_SECONDS = (3.0, 10.0, 30.0)  # from a failure of the engine to its next start
BUSY_TICK, CALM_TICK = 0.02, 0.1  # s
LARGEST = 4096  # pixels a side, the engine's limit


@dataclass(frozen=True)
class ShownTexture:
    """What a viewport shows of the engine's, and the ``session_uid`` of the point cloud that it shows."""

    texture: gpu.types.GPUTexture
    uid: int


@dataclass
class _Viewport:
    """One viewport's last request, in full and halved resolution, its last answer, and what it shows of that.

    Attributes:
        full: what it has to show. asked_full: whether the last request was for it. asked_at: when that was.
    """

    full: FrameRequest
    asked_full: bool = False
    asked_at: float = 0.0
    answer: FrameAnswer | None = None
    shown: ShownTexture | None = None


@dataclass(frozen=True)
class _Content:
    """What the engine has, or gets, of one head."""

    head_id: str
    version: tuple


class Preview:
    """The preview of all viewports.

    Attributes:
        problem: why the built-in drawing is shown instead, in a sentence; empty if it is not.
    """

    def __init__(self) -> None:
        self.problem = ""
        self._thread: PreviewWorker | None = None
        self._viewports: dict[int, _Viewport] = {}
        self._contents: dict[int, _Content] = {}
        self._poses: dict[int, tuple[tuple, Pose]] = {}
        self._unfit: dict[int, str] = {}  # why a viewport's view cannot be asked for
        self._client: object | None = None
        self._failures = 0
        self._failed_at = 0.0
        self._moved_at = 0.0
        self._unsent = ""  # why the head cannot be sent
        self._timer = self.tick  # one object: Blender tells timers apart by identity

    @property
    def _worker(self) -> PreviewWorker:
        """The thread, between :meth:`_start` and :meth:`stop`."""
        assert self._thread is not None
        return self._thread

    @property
    def frames_per_second(self) -> float:
        """How many frames the engine manages; 0 before the first."""
        seconds = self._thread.frame_seconds if self._thread else 0.0
        return 1.0 / seconds if seconds else 0.0

    def texture(self, context: bpy.types.Context, seen: View, here: Sequence[bpy.types.Object]) -> ShownTexture | None:
        """What to show of the active head; None where the built-in drawing has to.

        Args:
            here: point cloud objects that the viewport shows.
        """
        self._start()
        now = time.monotonic()
        key = context.region.as_pointer()
        self._unfit.pop(key, None)
        head = active_head(context)
        if head is None or head.splats not in here:
            return None
        uid = head.splats.session_uid
        content = self._contents.get(uid)
        if content is None or ENGINE.client is None:
            return None  # the timer sends the head, and says how the engine is
        try:
            viewport = self._follow(context, seen, head, content.head_id, now)
        except AddonError as error:
            self._unfit[key] = str(error)
            return None
        answer = viewport.answer
        if answer is None or answer.request.head_id != content.head_id:
            return None
        fits = answer.request.state == viewport.full.state
        if not fits and now - answer.request.since > STALE_SECONDS:
            return None
        if viewport.shown is None:
            viewport.shown = ShownTexture(_upload(answer.pixels), uid)
        return viewport.shown

    def _follow(self, context: bpy.types.Context, seen: View, head: Head, head_id: str, now: float) -> _Viewport:
        """Ask for a frame if the viewport shows something new."""
        uid, key = head.splats.session_uid, context.region.as_pointer()
        depsgraph = context.evaluated_depsgraph_get()
        matrix = head.splats.evaluated_get(depsgraph).matrix_world
        version = (*CHANGES.version(uid), *(value for row in matrix for value in row))
        if self._poses.get(uid, (None,))[0] != version:
            self._poses[uid] = (version, pose_state(head, depsgraph))
        pose = self._poses[uid][1]
        state = (
            head_id,
            version,
            seen.size,
            tuple(value for m in (seen.view, seen.window) for row in m for value in row),
        )
        viewport = self._viewports.get(key)
        if viewport is None or viewport.full.state != state:
            if max(seen.size) > LARGEST:
                raise AddonError("This viewport is larger than the engine draws.", "Make it smaller.")
            full = FrameRequest(
                key,
                head_id,
                engine_camera(seen, pose.world),
                seen.size,
                pose.expression,
                pose.joint_rotations,
                state,
                now,
            )
            size = tuple(max(side // 2, 1) for side in seen.size)
            half = replace(full, camera=engine_camera(replace(seen, size=size), pose.world), size=size)
            if viewport is None:
                viewport = self._viewports[key] = _Viewport(full)
            viewport.full, viewport.asked_full, viewport.asked_at = full, False, now
            self._moved_at = now
            self._worker.ask(half)
        return viewport

    def _start(self) -> None:
        if self._thread is None:
            self._thread = PreviewWorker(ENGINE)
            self._failures = 0
            if ENGINE.state == "stopped":
                start_engine()
        if not bpy.app.timers.is_registered(self._timer):
            bpy.app.timers.register(self._timer, first_interval=0.0, persistent=True)

    def stop(self) -> None:
        """End the thread and give everything back."""
        if self._thread is not None:
            self._thread.stop()
            self._thread.join(1.0)
            self._thread = None
        if bpy.app.timers.is_registered(self._timer):
            bpy.app.timers.unregister(self._timer)
        self._viewports.clear()
        self._contents.clear()
        self._poses.clear()
        self._unfit.clear()
        self._client = None
        self._say("")

    def tick(self) -> float | None:
        """Runs in Blender's timer while any scene that is shown wants the preview."""
        windows = bpy.context.window_manager.windows
        wanting = [window for window in windows if window.scene.gaussian_heads.viewport.engine_preview]
        if not wanting:
            self.stop()
            _redraw(None)
            return None
        now = time.monotonic()
        if not self._watch_engine(now):
            return CALM_TICK
        self._unsent = ""
        heads = {self._watch_head(window, now) for window in wanting}
        alive = _regions()
        self._viewports = {
            key: viewport
            for key, viewport in self._viewports.items()
            if key in alive and viewport.full.head_id in heads
        }
        self._unfit = {key: text for key, text in self._unfit.items() if key in alive}
        answers = self._worker.take()
        for key, answer in answers.items():
            viewport = self._viewports.get(key)
            if viewport is not None:
                viewport.answer, viewport.shown = answer, None
        if answers:
            _redraw(set(answers))
        waiting = self._ask_again(now)
        return BUSY_TICK if waiting or now - self._moved_at < CONTENT_SECONDS else CALM_TICK

    def _watch_engine(self, now: float) -> bool:
        """Whether there is one; one that failed is started again."""
        status = ENGINE.status
        if status.client is not self._client:
            self._client = status.client
            for viewport in self._viewports.values():
                viewport.asked_at = 0.0
            _redraw(None)
        if status.client is not None:
            self._failures = 0
            return True
        if status.state == "failed":
            if self._failed_at == 0.0:
                self._failed_at = now
            if self._failures < len(RESTART_SECONDS) and now - self._failed_at > RESTART_SECONDS[self._failures]:
                self._failures += 1
                self._failed_at = 0.0
                start_engine()
        else:
            self._failed_at = 0.0
        self._say(f"{status.message} The built-in drawing is shown.")
        return False

    def _watch_head(self, window: bpy.types.Window, now: float) -> str | None:
        """Send the head if the engine does not have it as it is now. Returns its key, None where there is no head."""
        with bpy.context.temp_override(window=window):
            head = active_head(bpy.context)
        if head is None:
            return None
        uid = head.splats.session_uid
        content, version = self._contents.get(uid), CHANGES.version(uid)
        if content is not None and not self._worker.has_head(content.head_id):
            content = None  # pushed out by other heads
        if content is not None and (content.version == version or now - self._moved_at < CONTENT_SECONDS):
            return content.head_id
        try:
            head_id = content_key(head)
            if content is None or content.head_id != head_id:
                self._worker.give_head(head_id, extract(head))
                _redraw(None)
        except AddonError as error:
            self._contents.pop(uid, None)
            self._unsent = str(error)
            return None
        self._contents[uid] = _Content(head_id, version)
        return head_id

    def _ask_again(self, now: float) -> bool:
        """Full resolution for what is still; what failed once more. Whether an answer is on its way."""
        waiting, said = False, next(iter(self._unfit.values()), self._unsent)
        for key, viewport in self._viewports.items():
            if self._worker.is_waiting(key):
                waiting = True
                continue
            problem = self._worker.problem(key)
            if problem is not None and problem.state == viewport.full.state:
                said = problem.text
                if problem.refused:
                    continue
            still = now - viewport.full.since > STILL_SECONDS
            answered = viewport.answer.request if viewport.answer else None
            due = not viewport.asked_full or now - viewport.asked_at > RETRY_SECONDS
            if still and due and answered != viewport.full:
                viewport.asked_full, viewport.asked_at = True, now
                self._worker.ask(viewport.full)
                waiting = True
        if said:
            self._say(f"{said} The built-in drawing is shown.")
        elif self._worker.busy_seconds > SLOW_SECONDS:
            self._say("The engine is slow to answer. The built-in drawing is shown meanwhile.")
        else:
            self._say("")
        return waiting

    def _say(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            redraw_sidebars()


def _upload(pixels: np.ndarray) -> gpu.types.GPUTexture:
    height, width = pixels.shape[:2]
    return shader.texture(np.ascontiguousarray(pixels), (width, height), "RGBA8")


def _regions() -> dict[int, bpy.types.Region]:
    """The regions of all viewports by their pointers."""
    areas = [area for window in bpy.context.window_manager.windows for area in window.screen.areas]
    regions = [region for area in areas if area.type == "VIEW_3D" for region in area.regions]
    return {region.as_pointer(): region for region in regions if region.type == "WINDOW"}


def _redraw(keys: set[int] | None) -> None:
    """Redraw viewports, by their regions' pointers; all with None."""
    for key, region in _regions().items():
        if keys is None or key in keys:
            region.tag_redraw()


PREVIEW = Preview()
