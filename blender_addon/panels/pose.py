"""The pose panel: the turns of neck, head, jaw and eyes as sliders, and the gaze target."""

from __future__ import annotations

import bpy

from ..animation import gaze
from ..animation.poses import rotation_channel
from ..rig.heads import Head, active_head
from ..text import draw_text
from .linked import draw_linked

# Joint -> label, and the labels of the axes that make sense for it: x, y, z of the bone.
_SLIDERS = (
    ("neck", "Neck", ("Nod", "Turn", "Tilt")),
    ("head", "Head", ("Nod", "Turn", "Tilt")),
    ("jaw", "Jaw", ("Open", "Sideways", "Twist")),
    ("eyeLeft", "Left Eye", ("Down", "Left")),
    ("eyeRight", "Right Eye", ("Down", "Left")),
)


class GAUSSIAN_HEADS_PT_pose(bpy.types.Panel):
    bl_idname = "GAUSSIAN_HEADS_PT_pose"
    bl_label = "Pose"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Gaussian Heads"
    bl_order = 40

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        head = active_head(context)
        if draw_linked(layout, context):
            return
        if head is None:
            draw_text(layout, context, "Select a head to turn it.", "INFO")
            return
        row = layout.row(align=True)
        row.operator("gaussian_heads.key_pose", icon="KEY_HLT")
        row.operator("gaussian_heads.reset_pose", icon="LOOP_BACK")
        layout.operator("gaussian_heads.pose_bones", icon="POSE_HLT")
        for joint, label, axes in _SLIDERS:
            _draw_joint(layout, head, joint, label, axes)
        _draw_gaze(layout, head)


def _draw_joint(layout: bpy.types.UILayout, head: Head, joint: str, label: str, axes: tuple[str, ...]) -> None:
    bone = head.armature.pose.bones.get(joint)
    if bone is None:
        layout.label(text=f"{label}: the bone “{joint}” is missing", icon="ERROR")
        return
    column = layout.column(align=True)
    column.label(text=label)
    channel = rotation_channel(bone)
    if channel == "rotation_euler":
        for index, axis in enumerate(axes):
            column.prop(bone, channel, index=index, text=axis)
    else:
        column.prop(bone, channel, text="")


def _draw_gaze(layout: bpy.types.UILayout, head: Head) -> None:
    found = gaze.constraints(head)
    if not found:
        layout.operator("gaussian_heads.add_gaze_target", icon="HIDE_OFF")
        return
    column = layout.column(align=True)
    column.label(text="Gaze Target")
    for constraint, label in zip(found, ("Left Eye Follows", "Right Eye Follows"), strict=False):
        column.prop(constraint, "influence", text=label, slider=True)
    row = column.row(align=True)
    row.operator("gaussian_heads.add_gaze_target", text="Back to Front")
    row.operator("gaussian_heads.remove_gaze_target", text="Remove")


register, unregister = bpy.utils.register_classes_factory((GAUSSIAN_HEADS_PT_pose,))
