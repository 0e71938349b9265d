"""Animate from Clip: what an actor's face does in a video becomes the head's keyframes."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, FloatProperty, StringProperty

from ..animation import performing
from ..animation.background import show_clip
from ..animation.capture import Capture
from ..animation.performance import add_sound, first_frame
from ..engine_client.jobs import TakeJob
from ..errors import AddonError
from ..paths import resolve
from ..rig.heads import Head
from ..rig.linked import require_local
from ..tasks.redraw import redraw_sidebars
from .animation import POLL_SECONDS, CaptureOptions
from .on_head import OnHead, head_named


class ReadsFile(OnHead):
    """Base of operators that have the engine make a take of a file: ``begin`` says how, ``run`` what then."""

    _job: TakeJob[Capture] | None = None
    _timer: bpy.types.Timer | None = None

    def begin(self) -> TakeJob[Capture]:
        """Starts to read ``filepath``. May raise :class:`AddonError`."""
        raise NotImplementedError

    def execute(self: bpy.types.Operator, context: bpy.types.Context) -> set[str]:
        try:
            head = head_named(context, self.head)
            require_local(head)
            self.head = head.name  # whatever is selected when the file has been read
            self._job = self.begin()
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        # A script that calls this wants the keyframes when the call returns, and so does the redo panel.
        if self.options.is_invoke and not self.options.is_repeat and not bpy.app.background:
            self._timer = context.window_manager.event_timer_add(POLL_SECONDS, window=context.window)
            context.window_manager.modal_handler_add(self)
            return {"RUNNING_MODAL"}
        self._job.wait()
        return OnHead.execute(self, context)

    def modal(self: bpy.types.Operator, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type != "TIMER" or self._job is None:
            return {"PASS_THROUGH"}
        redraw_sidebars()
        if not self._job.snapshot().is_over:
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        if self._job.snapshot().state == "cancelled":
            return {"CANCELLED"}
        return OnHead.execute(self, context)

    def cancel(self, context: bpy.types.Context) -> None:
        performing.cancel()


class KeysFile(CaptureOptions, ReadsFile):
    """Base of those whose take becomes keyframes, with the file's sound beside them."""

    sound: BoolProperty(name="Sound", description="Put the file's sound into the sequencer, in step", default=True)

    def run(self: bpy.types.Operator, context: bpy.types.Context, head: Head) -> str:
        job = self._job
        assert job is not None
        recorded = job.wait_done(0)
        begin = first_frame(recorded, context.scene, self.start)
        done = self.key(context, head, recorded, job.snapshot().warnings, begin)
        path = resolve(self.filepath)
        if self.sound and not add_sound(context.scene, path, self.start):
            self.report({"INFO"}, f"{path.name} has no sound.")
        return f"{path.name} at {recorded.rate:g} fps: {done}"


class GAUSSIAN_HEADS_OT_animate_from_clip(KeysFile, bpy.types.Operator):
    """Read an actor's face off a video clip, and put the performance onto the head as keyframes"""

    bl_idname = "gaussian_heads.animate_from_clip"
    bl_label = "Animate from Clip"

    filepath: StringProperty(name="Clip", description="A video of anybody's face", subtype="FILE_PATH")
    filter_glob: StringProperty(default="*.mp4;*.m4v;*.mov;*.webm;*.mkv;*.avi", options={"HIDDEN", "SKIP_SAVE"})
    smoothing: FloatProperty(
        name="Smoothing",
        description="How much tremble is taken out, 0 for none; blinks keep their height",
        default=0.5,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    neutral: BoolProperty(
        name="Neutral",
        description="Take the actor's resting face out, so that the head rests when the actor does",
        default=True,
    )
    background: BoolProperty(
        name="Background", description="Show the clip behind what the scene's camera sees, in step"
    )

    def begin(self) -> TakeJob[Capture]:
        return performing.start(resolve(self.filepath), self.smoothing, self.neutral)

    def run(self, context: bpy.types.Context, head: Head) -> str:
        done = super().run(context, head)
        if self.background and (note := show_clip(context.scene, resolve(self.filepath), self.start)):
            self.report({"WARNING"}, note)
        return done


class GAUSSIAN_HEADS_OT_cancel_performance(bpy.types.Operator):
    """Stop reading the file"""

    bl_idname = "gaussian_heads.cancel_performance"
    bl_label = "Cancel"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        performing.cancel()
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (GAUSSIAN_HEADS_OT_animate_from_clip, GAUSSIAN_HEADS_OT_cancel_performance)
)
