"""The eyes look at the target, however head and bones are turned."""

import bpy
import numpy as np
import pytest
from mathutils import Euler, Vector


def look_of(head, joint: str) -> tuple[Vector, Vector]:
    """Where the eye is and whither it looks, in the world."""
    rig = head.armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
    bone = rig.pose.bones[joint]
    world = rig.matrix_world @ bone.matrix
    return world.translation, (world.to_3x3() @ Vector((0, 0, 1))).normalized()


def test_eyes_follow_the_target_and_let_go_of_it(parts, head):
    head.root.location, head.root.rotation_euler, head.root.scale = (1, 2, 3), Euler((0.2, -0.1, 0.7)), (2, 2, 2)
    target = parts.gaze.add(head)
    bpy.context.view_layer.update()
    rest = head.root.matrix_world.to_3x3() @ Vector((0, -1, 0))
    assert look_of(head, "eyeLeft")[1].angle(rest) < 0.05  # straight ahead, slightly crossed

    parts.poses.set_rotation(head, "head", (0.2, 0.5, 0.0))
    target.matrix_world.translation = head.root.matrix_world @ Vector((0.3, -0.9, 0.2))
    target.location += Vector((0.1, 0.0, 0.05))
    bpy.context.view_layer.update()
    for joint in parts.gaze.EYES:
        place, look = look_of(head, joint)
        goal = target.matrix_world.translation - place
        assert look.angle(goal) < 1e-3

    assert parts.gaze.add(head) == target and len(head.armature.pose.bones["eyeLeft"].constraints) == 1
    assert parts.gaze.remove(head) and not parts.gaze.remove(head)
    bpy.context.view_layer.update()
    assert parts.gaze.target(head) is None and "Gaze" not in head.armature.pose.bones["eyeLeft"].constraints
    straight = head.root.matrix_world.to_3x3() @ Vector((0, -1, 0))
    turned = look_of(head, "eyeLeft")[1]
    np.testing.assert_allclose(turned.angle(straight), np.arccos(np.cos(0.2) * np.cos(0.5)), atol=1e-3)


def test_half_an_influence_looks_half_way(parts, head):
    target = parts.gaze.add(head, influence=0.5)
    target.location.x += 1.0
    bpy.context.view_layer.update()
    place, look = look_of(head, "eyeLeft")
    goal = target.matrix_world.translation - place
    assert look.angle(goal) == pytest.approx(0.5 * goal.angle(Vector((0, -1, 0))), abs=0.05)


@pytest.mark.parametrize("override", [False, True])
def test_a_head_of_another_file_needs_a_library_override(parts, head, tmp_path, override):
    library, collection = tmp_path / "library.blend", head.root.users_collection[0].name
    bpy.ops.wm.save_as_mainfile(filepath=str(library))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    with bpy.data.libraries.load(str(library), link=True) as (_, wanted):
        wanted.collections = [collection]
    scene.collection.children.link(wanted.collections[0])
    if override:
        wanted.collections[0].override_hierarchy_create(scene, bpy.context.view_layer, do_fully_editable=True)
    (found,) = [one for one in parts.heads.all_heads(scene) if override == (one.root.library is None)]
    if override:
        target = parts.gaze.add(found)
        assert target.users_collection == (scene.collection,) and parts.gaze.target(found) == target
    else:
        with pytest.raises(parts.errors.AddonError, match="library override"):
            parts.gaze.add(found)
        assert all(obj.library is not None for obj in bpy.data.objects)
