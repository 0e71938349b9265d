"""A head that follows a live source: each new sample goes onto its sliders and bones, and nothing is keyed."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace

import bpy
import numpy as np
from bpy.app.handlers import persistent
from mathutils import Quaternion

from .. import plain_json
from ..engine_client.engine import ENGINE
from ..engine_client.live import LiveFeed
from ..engine_client.messages import LiveSettings, LiveStatus, LiveWish
from ..errors import AddonError
from ..files import atomic_write, keep_newest
from ..preferences import engine_settings
from ..rig.heads import Head, find_head
from ..rig.linked import require_local
from ..tasks import handlers
from ..tasks.redraw import redraw_sidebars
from . import expressions, performance, poses
from .capture import Capture, parse_capture

TICK_SECONDS = 1 / 60
LIGHTS_SECONDS = 0.25  # between redraws of the panel
TAKES_KEPT = 50
NEUTRAL = "gaussian_head_neutral"  # of a head's root: its actor's resting face, JSON
FACE_PARTS = {"brows", "eyes", "mouth"}


class Live:
    """One head that follows one source. The engine is started where necessary.

    Args:
        wish: what to listen to; the head's own resting face is added to its settings.
        neck_share: how much of the head's turn the neck does, 0 to 1.

    Raises:
        AddonError: the head is linked from another file without a library override.

    Attributes:
        error: why it is over, where it ended by itself.
    """

    def __init__(self, head: Head, wish: LiveWish, neck_share: float = 0.4):
        require_local(head)
        self.error: AddonError | None = None
        self.wish = replace(wish, settings=replace(wish.settings, neutral=neutral(head)))
        self.neck_share = neck_share
        self._name, self._uid = head.name, head.root.session_uid
        self._shown = 0
        self._start = 1
        ENGINE.configure(engine_settings())
        self._feed = LiveFeed(ENGINE, self.wish)

    @property
    def status(self) -> LiveStatus | None:
        """How the source is; None until it is open."""
        return self._feed.status

    @property
    def is_over(self) -> bool:
        return self._feed.is_over or self.error is not None

    @property
    def is_recording(self) -> bool:
        return self.status is not None and self.status.recorded is not None

    @property
    def head(self) -> Head | None:
        """The head, wherever undo or a new name has brought it; None where it was deleted."""
        root = bpy.data.objects.get(self._name)
        if root is None or root.session_uid != self._uid:
            root = next((obj for obj in bpy.data.objects if obj.session_uid == self._uid), None)
        if root is None or not root.users_scene:
            return None
        self._name = root.name
        return find_head(root)

    def poll(self, seconds: float = 0.0) -> bool:
        """Put the newest sample onto the head; whether there was one that it did not show yet.

        Args:
            seconds: to wait for one, for scripts.

        Raises:
            AddonError: the source, the engine or the head is gone.
        """
        status = self._feed.wait(self._shown, seconds) if seconds else self._feed.status
        if self.error is None:
            self.error = self._feed.error
        head = self.head
        if head is None:
            self.error = self.error or AddonError(f"The head {self._name} is gone.", "Start with another one.")
            self._feed.stop()
        if self.error is not None:
            raise self.error
        if head is None or status is None or status.sequence <= self._shown or not status.weights | status.turns:
            return False
        self._shown = status.sequence
        expressions.set_weights(head, status.weights)
        for name, angles in status.turns.items():
            for joint, (turn,) in performance.joint_turns(name, np.array([angles]), self.neck_share):
                _turn(head, joint, turn)
        return True

    def set(self, settings: LiveSettings) -> None:
        """Filter otherwise from here on; the resting face stays."""
        settings = replace(settings, neutral=self.wish.settings.neutral)
        if settings != self.wish.settings:
            self.wish = replace(self.wish, settings=settings)
            self._feed.set(settings)

    def set_neutral(self) -> None:
        """Take what the face does now for resting, and keep that with the head.

        Raises:
            AddonError: no face is seen now, or the head is gone.
        """
        rest = self._feed.client().live_neutral()
        if (head := self.head) is not None:
            head.root[NEUTRAL] = json.dumps(rest)
        self.wish = replace(self.wish, settings=replace(self.wish.settings, neutral=rest))

    def clear_neutral(self) -> None:
        """Take nothing away any more."""
        if (head := self.head) is not None:
            head.root.pop(NEUTRAL, None)
        settings = replace(self.wish.settings, neutral=None)
        self.wish = replace(self.wish, settings=settings)
        self._feed.set(settings)

    def record(self, start: float | None = None) -> None:
        """Begin a recording, whose take will begin at a frame, the current one by default.

        Raises:
            AddonError: the source is not open.
        """
        self._feed.client().record_live()
        self._start = bpy.context.scene.frame_current if start is None else start

    def receive(self) -> tuple[Capture, str]:
        """End the recording: what was recorded, and its name of subject and time code. In any thread.

        The take's file is kept in the extension's own folder. Raises AddonError: nothing was recorded.
        """
        take, sent = self._feed.client().finish_live()
        name = re.sub(r"[^\w-]+", "_", sent)[:120]
        folder = ENGINE.settings.user_dir / "takes"
        with atomic_write(folder / f"{name}.csv") as temporary:
            temporary.write_bytes(take)
        keep_newest(folder, "*.csv", TAKES_KEPT)
        return parse_capture(take.decode("utf-8", errors="replace"), name), name

    def key(self, recorded: Capture) -> performance.ImportReport:
        """Key what was recorded of the parts that are followed. Raises AddonError: the head is gone."""
        head = self.head
        if head is None:
            raise AddonError(f"The head {self._name} is gone.", "Its take is kept: import it onto another head.")
        shown = self.status.weights if self.status else {}
        recorded = replace(recorded, weights={key: row for key, row in recorded.weights.items() if key in shown})
        wanted = set(self.wish.settings.parts)
        parts = [
            name
            for name, found in (("FACE", wanted & FACE_PARTS), ("HEAD", "head" in wanted), ("EYES", "gaze" in wanted))
            if found
        ]
        scene = head.root.users_scene[0]
        return performance.import_capture(head, recorded, scene, self._start, 1.0, parts, self.neck_share)

    def finish(self) -> performance.ImportReport:
        """End the recording and key it, for scripts."""
        return self.key(self.receive()[0])

    def stop(self) -> None:
        """Follow nothing any more; the head stays as it is."""
        self._feed.stop()

    def join(self, seconds: float = 2.0) -> None:
        """Wait until the engine knows."""
        self._feed.join(seconds)


def _turn(head: Head, joint: str, turn: Quaternion) -> None:
    bone = head.armature.pose.bones.get(joint)
    if bone is not None:  # one that was taken away is said where keys are made
        poses.set_turn(bone, turn)


def neutral(head: Head) -> dict | None:
    """The resting face that is kept with a head; None where there is none, or it is not understood."""
    try:
        kept = plain_json.parse(str(head.root.get(NEUTRAL, "null")))
    except ValueError:
        return None
    return kept if isinstance(kept, dict) else None


_current: Live | None = None
_lights: tuple[float, object] = (0.0, None)


def current() -> Live | None:
    """What the artist started; None where nothing is followed. One that failed stays, with its error."""
    return _current


def start(head: Head, wish: LiveWish, neck_share: float) -> Live:
    """Let a head follow a source, in the place of what was followed before.

    Raises:
        AddonError: see :class:`Live`.
    """
    global _current
    stop()
    _current = Live(head, wish, neck_share)
    if not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick, first_interval=TICK_SECONDS, persistent=True)
    return _current


def stop() -> None:
    """Follow nothing any more."""
    global _current
    if _current is not None:
        _current.stop()
        _current = None
        redraw_sidebars()


def wanted(scene: bpy.types.Scene) -> LiveSettings:
    """The panel's settings."""
    panel = scene.gaussian_heads.live
    parts = sorted(part.lower() for part in panel.parts)
    return LiveSettings(parts, panel.gain, panel.smoothing, panel.mirror)


def tick() -> float | None:
    """Blender's timer: shows the newest sample; costs nothing where there is none."""
    live = _current
    if live is None:
        return None
    if not bpy.app.is_job_running("RENDER"):  # which reads what would be changed
        try:
            live.poll()
        except AddonError:
            redraw_sidebars()
            return None
        if (head := live.head) is not None:
            scene = head.root.users_scene[0]
            live.neck_share = scene.gaussian_heads.live.neck_share
            live.set(wanted(scene))
    _show_lights(live)
    return TICK_SECONDS


def _show_lights(live: Live) -> None:
    global _lights
    now, status = time.monotonic(), live.status
    if now - _lights[0] > LIGHTS_SECONDS:
        lights = status and (status.connected, status.fps, status.dropped, status.refused, status.problem, status.ended)
        if lights != _lights[1]:
            redraw_sidebars()
        _lights = now, lights


@persistent
def _closing(*_: object) -> None:
    stop()


_HANDLERS = (("load_pre", _closing),)


def register() -> None:
    handlers.add(_HANDLERS)


def unregister() -> None:
    handlers.remove(_HANDLERS)
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    if (live := _current) is not None:
        stop()
        live.join()
