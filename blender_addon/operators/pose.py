"""The pose panel's buttons: turning, resetting and keying bones, and the gaze target."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, FloatVectorProperty

from ..animation import gaze, poses
from ..errors import AddonError
from ..rig.heads import Head
from .on_head import OnHead

JOINT_ITEMS = (
    ("neck", "Neck", "The neck, which carries the head"),
    ("head", "Head", "The head"),
    ("jaw", "Jaw", "The lower jaw"),
    ("eyeLeft", "Left Eye", "The subject's left eye"),
    ("eyeRight", "Right Eye", "The subject's right eye"),
)
EVERY_JOINT = {item[0] for item in JOINT_ITEMS}
_NO_GAZE = ("No gaze target is there.", "Add one first.")


class GAUSSIAN_HEADS_OT_set_pose(OnHead, bpy.types.Operator):
    """Turn a part of the head about the head's own axes"""

    bl_idname = "gaussian_heads.set_pose"
    bl_label = "Set Pose"

    joints: EnumProperty(
        name="Parts", description="What is turned", items=JOINT_ITEMS, default={"head"}, options={"ENUM_FLAG"}
    )
    angles: FloatVectorProperty(
        name="Pitch, Yaw, Roll",
        description="Downward, to the subject's left, and tilted to the subject's right",
        size=3,
        subtype="EULER",
    )

    def run(self, context: bpy.types.Context, head: Head) -> None:
        for joint in self.joints:
            poses.set_rotation(head, joint, self.angles)


class GAUSSIAN_HEADS_OT_reset_pose(OnHead, bpy.types.Operator):
    """Turn neck, head, jaw and eyes back to rest"""

    bl_idname = "gaussian_heads.reset_pose"
    bl_label = "Reset Pose"

    joints: EnumProperty(
        name="Parts", description="What is reset", items=JOINT_ITEMS, default=EVERY_JOINT, options={"ENUM_FLAG"}
    )

    def run(self, context: bpy.types.Context, head: Head) -> None:
        poses.reset(head, self.joints)


class GAUSSIAN_HEADS_OT_key_pose(OnHead, bpy.types.Operator):
    """Insert keyframes for neck, head, jaw and eyes at the current frame"""

    bl_idname = "gaussian_heads.key_pose"
    bl_label = "Key Pose"

    joints: EnumProperty(
        name="Parts", description="What is keyed", items=JOINT_ITEMS, default=EVERY_JOINT, options={"ENUM_FLAG"}
    )

    def run(self, context: bpy.types.Context, head: Head) -> str:
        frame = context.scene.frame_current
        return f"Keyed {poses.key_rotations(head, frame, self.joints)} bones of {head.name} at frame {frame}."


class GAUSSIAN_HEADS_OT_add_gaze_target(OnHead, bpy.types.Operator):
    """Put an empty in front of the face, and let the eyes follow it"""

    bl_idname = "gaussian_heads.add_gaze_target"
    bl_label = "Add Gaze Target"

    distance: FloatProperty(
        name="Distance", description="How far in front of the eyes", default=1.0, min=0.05, subtype="DISTANCE"
    )
    influence: FloatProperty(
        name="Influence",
        description="0 leaves the eyes to their keys, 1 to the target",
        default=1.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    select: BoolProperty(
        name="Select", description="Select the target, to move it at once", default=True, options={"SKIP_SAVE"}
    )

    def run(self, context: bpy.types.Context, head: Head) -> None:
        target = gaze.add(head, self.distance, self.influence)
        if self.select and context.mode == "OBJECT" and target.name in context.view_layer.objects:
            for obj in context.selected_objects:
                obj.select_set(False)
            target.select_set(True)
            context.view_layer.objects.active = target


class GAUSSIAN_HEADS_OT_remove_gaze_target(OnHead, bpy.types.Operator):
    """Take the gaze target away; the eyes go back to their own keys"""

    bl_idname = "gaussian_heads.remove_gaze_target"
    bl_label = "Remove Gaze Target"

    def run(self, context: bpy.types.Context, head: Head) -> None:
        was_active = context.view_layer.objects.active == gaze.target(head)
        if not gaze.remove(head):
            raise AddonError(*_NO_GAZE)
        if was_active:
            context.view_layer.objects.active = head.root


register, unregister = bpy.utils.register_classes_factory(
    (
        GAUSSIAN_HEADS_OT_set_pose,
        GAUSSIAN_HEADS_OT_reset_pose,
        GAUSSIAN_HEADS_OT_key_pose,
        GAUSSIAN_HEADS_OT_add_gaze_target,
        GAUSSIAN_HEADS_OT_remove_gaze_target,
    )
)
