"""Pose from Photo: one photo's expression onto the head."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, FloatProperty, StringProperty

from ..animation import expressions, performing, photo_pose, poses
from ..animation.capture import Capture
from ..engine_client.jobs import TakeJob
from ..paths import resolve
from ..rig.heads import Head
from .performance import ReadsFile


class GAUSSIAN_HEADS_OT_pose_from_photo(ReadsFile, bpy.types.Operator):
    """Put a photo's expression onto the head at the current frame. One photo does not tell how that face looks at \
rest, so what is its own (thin lips, low brows) comes along"""

    bl_idname = "gaussian_heads.pose_from_photo"
    bl_label = "Pose from Photo"

    filepath: StringProperty(name="Photo", description="A photo of anybody's face", subtype="FILE_PATH")
    filter_glob: StringProperty(
        default="*.jpg;*.jpeg;*.png;*.webp;*.tif;*.tiff;*.bmp;*.heic;*.avif", options={"HIDDEN", "SKIP_SAVE"}
    )
    strength: FloatProperty(
        name="Strength", description="How strong the expression becomes; 1 as seen", default=1.0, min=0.0, max=4.0
    )
    turn: BoolProperty(name="Head Turn", description="Turn the head as in the photo, too", default=False)
    gaze: BoolProperty(name="Gaze", description="Let the eyes look where they do in the photo", default=True)
    key: BoolProperty(name="Key", description="Insert keyframes at the current frame", default=False)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def begin(self) -> TakeJob[Capture]:
        return performing.pose(resolve(self.filepath))

    def run(self, context: bpy.types.Context, head: Head) -> str:
        assert self._job is not None
        recorded = self._job.wait_done(0)
        keys, bones = photo_pose.apply_pose(head, recorded, self.strength, self.turn, self.gaze)
        if self.key:
            frame = context.scene.frame_current
            expressions.key_weights(head, frame, keys)
            poses.key_rotations(head, frame, bones)
        return f"{resolve(self.filepath).name}: {len(keys)} sliders{' and the head' if bones else ''}."


register, unregister = bpy.utils.register_classes_factory((GAUSSIAN_HEADS_OT_pose_from_photo,))
