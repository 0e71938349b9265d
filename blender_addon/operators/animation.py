"""The animation panel's buttons: captures in and out, baking, assets, and copying animation between heads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ..animation import bake, capture, performance, pose_assets, transfer
from ..errors import AddonError
from ..files import atomic_write
from ..paths import resolve
from ..properties import NECK_SHARE
from ..rig.heads import Head
from .on_head import OnHead, head_named
from .pose import EVERY_JOINT, JOINT_ITEMS
from .take_options import PART_ITEMS, TakeOptions

POLL_SECONDS = 0.1
SMALL_FILE = 2 * 2**20  # bytes; is read in less than 100 ms


class _Reading:
    """A capture that is read in a thread of its own."""

    def __init__(self, path: Path, rate: float):
        self.result: capture.Capture | None = None
        self.error: AddonError | None = None
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(path, rate), name="gaussian-heads-capture")
        self._thread.start()

    def _work(self, path: Path, rate: float) -> None:
        try:
            self.result = capture.read_capture(path, rate, self._cancelled.is_set)
        except AddonError as error:
            self.error = error

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def cancel(self) -> None:
        self._cancelled.set()
        self._thread.join()

    def take(self) -> capture.Capture:
        """What was read, once done. May raise :class:`AddonError`."""
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result


class CaptureOptions(TakeOptions):
    """What is wanted of a capture or a clip: the operators' shared properties, and how they become keyframes."""

    start: IntProperty(name="Start Frame", description="The frame of the recording's beginning", default=1)
    strength: FloatProperty(
        name="Strength", description="How strong the performance becomes; 1 as recorded", default=1.0, min=0.0, max=4.0
    )
    parts: EnumProperty(
        name="Parts",
        description="What is taken from the recording",
        items=PART_ITEMS,
        default={"FACE", "HEAD"},
        options={"ENUM_FLAG"},
    )
    neck_share: FloatProperty(**NECK_SHARE)
    flip_turn: BoolProperty(
        name="Mirror Turns", description="Turn and tilt to the other side, for recordings that were mirrored"
    )
    every_sample: BoolProperty(
        name="Every Sample",
        description="One keyframe per row of the recording, between frames too, instead of one per frame of the scene",
    )

    def invoke(self: bpy.types.Operator, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not self.properties.is_property_set("start"):
            self.start = context.scene.frame_current
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def key(
        self: bpy.types.Operator,
        context: bpy.types.Context,
        head: Head,
        recorded: capture.Capture,
        notes: Sequence[str],
        start: float,
    ) -> str:
        """Key the head from a frame on, and report ``notes`` and what was left out; what was done, as words."""
        done = performance.import_capture(
            head,
            recorded,
            context.scene,
            start,
            self.strength,
            self.parts,
            self.neck_share,
            self.flip_turn,
            self.every_sample,
            self.placement(resolve(self.filepath).stem),
        )
        for note in (*done.notes, *recorded.skipped, *notes):
            self.report({"WARNING"}, note)
        bones = f" and {len(done.bones)} bones" if done.bones else ""
        return f"{done.keys} shape keys{bones}, frames {done.first:g} to {done.last:g}."


class GAUSSIAN_HEADS_OT_import_capture(CaptureOptions, OnHead, bpy.types.Operator):
    """Bring a Live Link Face recording, or another CSV with ARKit's names, onto the head as keyframes"""

    bl_idname = "gaussian_heads.import_capture"
    bl_label = "Import Capture"

    filepath: StringProperty(name="File", description="The recording, a CSV file", subtype="FILE_PATH")
    filter_glob: StringProperty(default="*.csv", options={"HIDDEN", "SKIP_SAVE"})
    capture_rate: FloatProperty(
        name="Recorded FPS", description="Frames per second of the recording; 0 finds them out", min=0.0, max=1000.0
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        self._reading: _Reading | None = None
        path = resolve(self.filepath)
        # A script that calls this wants the keyframes when the call returns, and so does the redo panel.
        by_hand = self.options.is_invoke and not self.options.is_repeat and not bpy.app.background
        if by_hand and path.is_file() and path.stat().st_size > SMALL_FILE:
            self._reading = _Reading(path, self.capture_rate)
            self._timer = context.window_manager.event_timer_add(POLL_SECONDS, window=context.window)
            context.window_manager.modal_handler_add(self)
            context.workspace.status_text_set(f"Reading {path.name} (Esc cancels)")
            return {"RUNNING_MODAL"}
        return super().execute(context)

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        assert self._reading is not None
        if event.type == "ESC":
            self._reading.cancel()
        elif event.type != "TIMER" or not self._reading.done:
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        context.workspace.status_text_set(None)
        return super().execute(context)

    def run(self, context: bpy.types.Context, head: Head) -> str:
        path, reading = resolve(self.filepath), self._reading
        recorded = reading.take() if reading is not None else capture.read_capture(path, self.capture_rate)
        notes = [f"Ignored columns: {', '.join(recorded.ignored)}."] if recorded.ignored else []
        return f"{path.name} at {recorded.rate:g} fps: {self.key(context, head, recorded, notes, self.start)}"


class FrameRange:
    """A range of frames, the scene's by default."""

    frame_start: IntProperty(name="Start", description="The first frame", default=1)
    frame_end: IntProperty(name="End", description="The last frame", default=250)

    def frames(self: bpy.types.Operator, context: bpy.types.Context) -> tuple[int, int]:
        """First and last frame; what was not given is the scene's."""
        given, scene = self.properties.is_property_set, context.scene
        return (
            self.frame_start if given("frame_start") else scene.frame_start,
            self.frame_end if given("frame_end") else scene.frame_end,
        )


class GAUSSIAN_HEADS_OT_export_capture(OnHead, FrameRange, bpy.types.Operator):
    """Write the head's animation as a Live Link Face CSV"""

    bl_idname = "gaussian_heads.export_capture"
    bl_label = "Export Capture"
    changes_head = False
    bl_options = {"REGISTER"}

    filepath: StringProperty(name="File", description="The CSV file to write", subtype="FILE_PATH")
    filter_glob: StringProperty(default="*.csv", options={"HIDDEN", "SKIP_SAVE"})
    check_existing: BoolProperty(default=True, options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not self.filepath:
            self.filepath = "capture.csv"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def run(self, context: bpy.types.Context, head: Head) -> str:
        path = resolve(self.filepath)
        first, last = self.frames(context)
        if last < first:
            raise AddonError(f"The range {first} to {last} is empty.", "Choose an end that is not before the start.")
        recorded = performance.export_capture(head, context.scene, first, last)
        with atomic_write(path) as temporary:
            temporary.write_text(capture.write_capture(recorded.times, recorded.weights, recorded.angles), "utf-8")
        if recorded.ignored:
            self.report({"WARNING"}, f"ARKit has no {', '.join(recorded.ignored)}.")
        return f"Wrote {last - first + 1} frames of {head.name} to {path.name}."


class GAUSSIAN_HEADS_OT_bake_animation(OnHead, FrameRange, bpy.types.Operator):
    """Turn all that moves the head (drivers, NLA, constraints, the gaze target) into plain keyframes"""

    bl_idname = "gaussian_heads.bake_animation"
    bl_label = "Bake Animation"

    step: IntProperty(name="Step", description="Frames from one keyframe to the next", default=1, min=1, max=1000)
    joints: EnumProperty(
        name="Bones", description="What is baked", items=JOINT_ITEMS, default=EVERY_JOINT, options={"ENUM_FLAG"}
    )
    remove_sources: BoolProperty(
        name="Remove Sources",
        description="Take drivers, constraints and the gaze target away instead of only muting them",
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.frame_start, self.frame_end = self.frames(context)
        return context.window_manager.invoke_props_dialog(self)

    def run(self, context: bpy.types.Context, head: Head) -> str:
        first, last = self.frames(context)
        done = bake.bake(head, context.scene, first, last, self.step, self.joints, self.remove_sources)
        return f"Baked {done.frames} frames of {head.name}: {done.keys} shape keys and {done.bones} bones."


class GAUSSIAN_HEADS_OT_copy_animation(OnHead, bpy.types.Operator):
    """Give this head the keyframes of another head, matching shape keys and bones by name"""

    bl_idname = "gaussian_heads.copy_animation"
    bl_label = "Copy Animation from Head"

    source: StringProperty(name="From", description="Name of the head whose animation is copied")

    def run(self, context: bpy.types.Context, head: Head) -> str:
        if not self.source:
            raise AddonError("No head to copy from was named.", "Choose one in the panel's menu.")
        copied, missing = transfer.copy_animation(head_named(context, self.source), head)
        context.scene.frame_set(context.scene.frame_current, subframe=context.scene.frame_subframe)
        if missing:
            self.report({"WARNING"}, f"{head.name} has no {', '.join(missing)}.")
        return f"Copied {copied} animation channels from {self.source} to {head.name}."


class GAUSSIAN_HEADS_OT_create_expression_asset(OnHead, bpy.types.Operator):
    """Keep the head's expression and pose as an asset for the asset browser"""

    bl_idname = "gaussian_heads.create_expression_asset"
    bl_label = "Create Expression Asset"
    changes_head = False

    asset_name: StringProperty(name="Name", description="Name of the asset", default="Expression", maxlen=63)
    with_pose: BoolProperty(
        name="With Pose", description="Also keep how neck, head, jaw and eyes are turned", default=True
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self)

    def run(self, context: bpy.types.Context, head: Head) -> str:
        action = pose_assets.create(head, self.asset_name, self.with_pose)
        return f"Created the asset “{action.name}”; it is saved with this file."


class GAUSSIAN_HEADS_OT_apply_expression_asset(OnHead, bpy.types.Operator):
    """Set the head to an expression asset: one of this file, or the one that is active in the asset browser"""

    bl_idname = "gaussian_heads.apply_expression_asset"
    bl_label = "Apply Expression Asset"

    asset: StringProperty(
        name="Asset",
        description="Name of the asset; the asset browser's active one if left empty",
        options={"SKIP_SAVE"},
    )
    library: StringProperty(
        name="Library",
        description="The .blend file that holds the asset; this file if left empty",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    strength: FloatProperty(
        name="Strength", description="0 keeps the present pose, 1 is the asset's", default=1.0, min=0.0, max=1.0
    )

    def run(self, context: bpy.types.Context, head: Head) -> None:
        name, library = self.asset, self.library
        if not name:
            active = context.asset
            if active is None or active.id_type != "ACTION":
                raise AddonError("No expression asset is active.", "Click one in the asset browser, or name one.")
            name, library = active.name, "" if active.local_id else active.full_library_path
        if library:
            missing = pose_assets.apply_from_library(head, resolve(library), name, self.strength)
        else:
            action = bpy.data.actions.get(name)
            if action is None:
                raise AddonError(f"This file has no asset “{name}”.", "Choose one of the panel's list.")
            missing = pose_assets.apply(head, action, self.strength)
        if missing:
            self.report({"WARNING"}, f"{head.name} has no {', '.join(missing)}.")


CLASSES = (
    GAUSSIAN_HEADS_OT_import_capture,
    GAUSSIAN_HEADS_OT_export_capture,
    GAUSSIAN_HEADS_OT_bake_animation,
    GAUSSIAN_HEADS_OT_copy_animation,
    GAUSSIAN_HEADS_OT_create_expression_asset,
    GAUSSIAN_HEADS_OT_apply_expression_asset,
)
register, unregister = bpy.utils.register_classes_factory(CLASSES)
