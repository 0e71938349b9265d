"""Draws the bones of a head over its splats, which would hide what Blender draws of them."""

from __future__ import annotations

import bpy
import gpu
from gpu_extras.batch import batch_for_shader

from ..compat import point_shader

WIDTH = 2.0  # pixels
KNOB = 7.0  # pixels, at a bone's lower end


def draw_bones(context: bpy.types.Context, armature: bpy.types.Object) -> None:
    """Draw an armature that is in pose mode as sticks, with the theme's colours for selected and active bones."""
    theme = context.preferences.themes[0].view_3d
    pose = armature.evaluated_get(context.evaluated_depsgraph_get()).pose
    selected = {bone.name for bone in context.selected_pose_bones_from_active_object or ()}
    active = {context.active_pose_bone.name} & selected if context.active_pose_bone else set()
    kinds = (
        ((*theme.wire, 1.0), [bone for bone in pose.bones if bone.name not in selected]),
        ((*theme.bone_pose, 1.0), [bone for bone in pose.bones if bone.name in selected - active]),
        ((*theme.bone_pose_active, 1.0), [bone for bone in pose.bones if bone.name in active]),
    )
    gpu.state.blend_set("ALPHA")
    gpu.state.depth_test_set("NONE")
    with gpu.matrix.push_pop():
        gpu.matrix.multiply_matrix(armature.matrix_world)
        for color, bones in kinds:
            _sticks([tuple(point) for bone in bones for point in (bone.head, bone.tail)], color)
    gpu.state.blend_set("NONE")


def _sticks(points: list[tuple[float, ...]], color: tuple[float, ...]) -> None:
    """Lines between each two points, with a knob at the first of them."""
    if not points:
        return
    lines = gpu.shader.from_builtin("POLYLINE_UNIFORM_COLOR")
    lines.bind()
    lines.uniform_float("viewportSize", gpu.state.viewport_get()[2:])
    lines.uniform_float("lineWidth", WIDTH)
    lines.uniform_float("color", color)
    batch_for_shader(lines, "LINES", {"pos": points}).draw(lines)
    knobs = point_shader()
    gpu.state.point_size_set(KNOB)
    knobs.bind()
    knobs.uniform_float("color", color)
    batch_for_shader(knobs, "POINTS", {"pos": points[::2]}).draw(knobs)
