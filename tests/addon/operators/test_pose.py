"""The pose panel's buttons, as scripts call them."""

import importlib
import math

import bpy
import pytest
from mathutils import Vector

ops = bpy.ops.gaussian_heads


@pytest.fixture
def head(addon, avatar_path):
    ops.import_head(filepath=str(avatar_path))
    return importlib.import_module(f"{addon}.rig.heads").active_head(bpy.context)


@pytest.mark.parametrize("mode", ["XYZ", "ZYX", "QUATERNION", "AXIS_ANGLE"])
def test_a_turned_head_looks_where_the_angles_say(head, mode):
    bone = head.armature.pose.bones["head"]
    bone.rotation_mode = mode
    ops.set_pose(joints={"head"}, angles=(math.radians(20), math.radians(40), 0))
    bpy.context.view_layer.update()
    look = bone.matrix.to_3x3() @ Vector((0, 0, 1))
    assert look.x > 0.5 and look.z < -0.2 and look.y < -0.5  # to the subject's left, down, still out of the face
    ops.key_pose(joints={"head"})
    bpy.context.scene.frame_set(20)
    ops.reset_pose()
    assert bone.matrix_basis.to_quaternion().angle == pytest.approx(0, abs=1e-6)
    ops.key_pose(joints={"head"})
    bpy.context.scene.frame_set(1)
    assert (bone.matrix.to_3x3() @ Vector((0, 0, 1))).angle(look) < 1e-5


def test_the_gaze_target_comes_selected_and_goes(head):
    ops.add_gaze_target(distance=0.5)
    target = bpy.context.view_layer.objects.active
    assert target.name == f"{head.name}.gaze" and target.select_get()
    assert (target.matrix_world.translation - head.root.matrix_world.translation).y < -0.4
    ops.remove_gaze_target()  # the target is part of the head, so the head stays the active one
    assert bpy.context.view_layer.objects.active == head.root
    with pytest.raises(RuntimeError, match="No gaze target"):
        ops.remove_gaze_target()
