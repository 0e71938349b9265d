"""Clean Up: fewer keys that say the same, stronger or weaker parts, limits, and the other side of the face."""

from __future__ import annotations

import time
from collections.abc import Generator

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ..animation.clean_up import Cleaning, CleanReport, clean_up_steps
from ..animation.takes import take_names
from ..errors import AddonError
from ..rig.build import finished
from ..rig.heads import Head, active_head
from .animation import FrameRange
from .on_head import OnHead, head_named
from .take_options import PART_ITEMS

TICK = 0.02  # s
BUSY = 0.05  # s of each tick


def _takes(self: bpy.types.Operator, context: bpy.types.Context, typed: str) -> list[str]:
    head = active_head(context)
    return take_names(head) if head else []


class GAUSSIAN_HEADS_OT_clean_up(FrameRange, OnHead, bpy.types.Operator):
    """Take keyframes away that hardly matter, make parts stronger or weaker, keep them in limits, or swap the sides"""

    bl_idname = "gaussian_heads.clean_up"
    bl_label = "Clean Up"

    take: StringProperty(
        name="Take", description="An action on the head's NLA, as a whole; the active one if left empty", search=_takes
    )
    parts: EnumProperty(
        name="Parts",
        description="What is cleaned up",
        items=PART_ITEMS,
        default={"FACE", "HEAD", "EYES"},
        options={"ENUM_FLAG"},
    )
    tolerance: FloatProperty(
        name="Tolerance", description="How far a slider may then be off at any frame", default=0.01, min=0.0, max=1.0
    )
    angle: FloatProperty(
        name="Angle",
        description="How far a bone may then be turned off at any frame",
        default=0.00872665,
        min=0.0,
        max=1.0,
        subtype="ANGLE",
    )
    gain: FloatProperty(name="Gain", description="How strong the parts become", default=1.0, min=0.0, max=4.0)
    use_limits: BoolProperty(name="Limit", description="Keep sliders within limits")
    lowest: FloatProperty(name="Lowest", description="The lowest value of sliders", default=0.0, min=-10.0, max=10.0)
    highest: FloatProperty(name="Highest", description="The highest value of sliders", default=1.0, min=-10.0, max=10.0)
    mirror: BoolProperty(name="Mirror", description="Swap left and right, and turn and tilt to the other side")
    blend: IntProperty(
        name="Blend",
        description="Frames over which gain, limits and mirror begin and end where keys before and after stay",
        default=5,
        min=1,
    )

    _steps: Generator[float, None, CleanReport] | None = None
    _timer: bpy.types.Timer | None = None

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.frame_start, self.frame_end = self.frames(context)
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: bpy.types.Context) -> set[str]:
        if not self.options.is_invoke or self.options.is_repeat or bpy.app.background:
            return super().execute(context)
        try:
            self._steps = self._begin(context, head_named(context, self.head))
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self._timer = context.window_manager.event_timer_add(TICK, window=context.window)
        context.window_manager.progress_begin(0, 1)
        context.window_manager.modal_handler_add(self)
        context.workspace.status_text_set("Cleaning up (Esc cancels)")
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "ESC":
            self.cancel(context)
            return {"CANCELLED"}
        assert self._steps is not None
        until = time.monotonic() + BUSY
        try:
            while event.type == "TIMER" and time.monotonic() < until:
                context.window_manager.progress_update(next(self._steps))
        except StopIteration as done:
            self.cancel(context)
            self.report({"INFO"}, _told(done.value))
            return {"FINISHED"}
        except AddonError as error:
            self.cancel(context)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"RUNNING_MODAL"}

    def cancel(self, context: bpy.types.Context) -> None:
        if self._steps is None:  # the dialog was left
            return
        self._steps.close()
        context.window_manager.event_timer_remove(self._timer)
        context.window_manager.progress_end()
        context.workspace.status_text_set(None)

    def run(self, context: bpy.types.Context, head: Head) -> str:
        return _told(finished(self._begin(context, head)))

    def _begin(self, context: bpy.types.Context, head: Head) -> Generator[float, None, CleanReport]:
        limits = (self.lowest, self.highest) if self.use_limits else (-float("inf"), float("inf"))
        cleaning = Cleaning(self.tolerance, self.angle, self.gain, *limits, self.mirror, self.blend)
        span = None if self.take else self.frames(context)
        return clean_up_steps(head, context.scene, span, self.parts, cleaning, self.take)


def _told(done: CleanReport) -> str:
    return f"{done.before} keys on {done.curves} curves became {done.after}."


register, unregister = bpy.utils.register_classes_factory((GAUSSIAN_HEADS_OT_clean_up,))
