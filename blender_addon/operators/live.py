"""The live panel's buttons: follow a source, take the resting face away, record a take."""

from __future__ import annotations

from collections.abc import Generator

import bpy
from bpy.props import BoolProperty, FloatProperty

from ..animation import live
from ..animation.capture import Capture
from ..animation.live import Live
from ..engine_client.messages import LiveWish
from ..errors import AddonError
from ..paths import resolve
from ..properties import LISTEN
from ..rig.heads import Head
from ..tasks.errands import Errand
from .on_head import OnHead

UNDO_MESSAGE = "Record Live Take"


def _running() -> Live:
    """What is followed now. Raises AddonError: nothing."""
    followed = live.current()
    if followed is None or followed.is_over:
        raise AddonError("Nothing is followed live.", "Start a source in the Live panel.")
    return followed


class GAUSSIAN_HEADS_OT_live_start(OnHead, bpy.types.Operator):
    """Let the head follow the source. Starts the engine where necessary; nothing is keyed"""

    bl_idname = "gaussian_heads.live_start"
    bl_label = "Go Live"
    bl_options = {"REGISTER"}  # what a head shows live is no step of undo

    def run(self, context: bpy.types.Context, head: Head) -> str:
        panel = context.scene.gaussian_heads.live
        target = ""
        if panel.source == "CLIP":
            path = resolve(panel.clip)
            if not path.is_file():
                raise AddonError(f"The clip {path} is not there.", "Choose another one.")
            target = str(path.absolute())
        elif panel.source == "WEBCAM":
            target = str(panel.camera)
        elif panel.source == "IFACIALMOCAP":
            target = panel.phone.strip()
        wish = LiveWish(panel.source.lower(), LISTEN[panel.listen], panel.port, target, live.wanted(context.scene))
        live.start(head, wish, panel.neck_share)
        return f"{head.name} follows {panel.bl_rna.properties['source'].enum_items[panel.source].name}."


class GAUSSIAN_HEADS_OT_live_stop(bpy.types.Operator):
    """Follow the source no longer; the head stays as it is"""

    bl_idname = "gaussian_heads.live_stop"
    bl_label = "Stop"
    bl_options = {"REGISTER"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        live.stop()
        return {"FINISHED"}


class GAUSSIAN_HEADS_OT_live_neutral(bpy.types.Operator):
    """Take what the actor's face does now for resting; kept with the head"""

    bl_idname = "gaussian_heads.live_neutral"
    bl_label = "Set Neutral"
    bl_options = {"REGISTER"}

    clear: BoolProperty(name="Clear", description="Take nothing away any more", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            followed = _running()
            if self.clear:
                followed.clear_neutral()
            else:
                followed.set_neutral()
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class GAUSSIAN_HEADS_OT_live_record(bpy.types.Operator):
    """Record what the head follows, from the current frame on; a second time, end the recording and key it"""

    bl_idname = "gaussian_heads.live_record"
    bl_label = "Record"
    bl_options = {"REGISTER"}  # the step of undo is made when the keys are there

    start: FloatProperty(name="Start Frame", description="Frame of the take's beginning", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            followed = _running()
            if not followed.is_recording:
                followed.record(self.start if self.properties.is_property_set("start") else None)
            elif bpy.app.background:  # a script wants the keys when the call returns
                self.report({"INFO"}, _keyed(followed, *followed.receive()))
            else:
                Errand("Record", followed.receive, lambda received: _key(followed, *received))
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


def _key(followed: Live, recorded: Capture, name: str) -> Generator[None, None, str]:
    yield
    return _keyed(followed, recorded, name)


def _keyed(followed: Live, recorded: Capture, name: str) -> str:
    done = followed.key(recorded)
    bpy.ops.ed.undo_push(message=UNDO_MESSAGE)
    return f"{name}: {done.keys} shape keys, frames {done.first:g} to {done.last:g}. {' '.join(done.notes)}".strip()


register, unregister = bpy.utils.register_classes_factory(
    (
        GAUSSIAN_HEADS_OT_live_start,
        GAUSSIAN_HEADS_OT_live_stop,
        GAUSSIAN_HEADS_OT_live_neutral,
        GAUSSIAN_HEADS_OT_live_record,
    )
)
