"""The head in Blender moves as the engine says, and goes on doing so where neither engine nor add-on is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from mathutils import Matrix, Quaternion, Vector

from ..engine import ask_engine

JOINTS = ("neck", "head", "jaw", "eyeLeft", "eyeRight")


@pytest.fixture
def head(rig, avatar_path):
    return rig.build.build(rig.avatar_file.read_avatar(avatar_path), bpy.context)


def take_pose(head, expression, joint_rotations):
    for name, weight in expression.items():
        head.keys[name].value = weight
    for name, rotvec in joint_rotations.items():
        bone = head.armature.pose.bones[name]
        bone.rotation_mode = "QUATERNION"
        bone.rotation_quaternion = Quaternion(Vector(rotvec).normalized(), Vector(rotvec).length)
    bpy.context.view_layer.update()


def random_pose(seed, names):
    rng = np.random.default_rng(seed)
    expression = {name: float(rng.uniform(0, 1)) for name in rng.choice(names, 9, replace=False)}
    return {"expression": expression, "joint_rotations": {j: rng.normal(0, 0.25, 3).tolist() for j in JOINTS}}


def evaluated(rig, head):
    cloud = head.splats.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    names = ("position", "rotation", "scale", "radiance:base")
    return {name: rig.points.read_attribute(cloud, name) for name in names}


def angles(a, b):
    """Radians between rotations given as quaternions."""
    a, b = (q / np.linalg.norm(q, axis=1, keepdims=True) for q in (a.astype(float), b.astype(float)))
    return 2 * np.arccos(np.clip(np.abs((a * b).sum(1)), 0, 1))


def poses_beside_the_engine(rig, head, avatar_path, poses, tmp_path):
    """Blender in every pose, places, rotations and scales checked, beside all that the engine says of it."""
    (tmp_path / "poses.json").write_text(json.dumps(poses))
    words = [Path(__file__).with_name("engine_truth.py"), avatar_path, tmp_path / "poses.json", tmp_path / "truth.npz"]
    ask_engine(*words)
    truth = np.load(tmp_path / "truth.npz")
    quarter_turn = Matrix(rig.axes.ENGINE_TO_BLENDER.tolist()).to_quaternion()
    for number, pose in enumerate(poses):
        for key in head.keys.values():
            key.value = 0
        take_pose(head, pose["expression"], pose["joint_rotations"] or dict.fromkeys(JOINTS, (0, 0, 1e-12)))
        seen = evaluated(rig, head)
        distance = np.linalg.norm(seen["position"] - rig.axes.to_blender(truth[f"means_{number}"]), axis=1)
        assert distance.max() < 1e-4
        turned = np.array([quarter_turn @ Quaternion(q) for q in truth[f"quats_{number}"]])
        assert np.quantile(angles(seen["rotation"], turned), 0.9999) < 1e-3
        np.testing.assert_allclose(seen["scale"], truth[f"scales_{number}"], rtol=2e-3, atol=1e-6)
        yield number, seen, truth


def test_splats_follow_keys_and_bones_as_the_engine_says(rig, head, avatar_path, tmp_path):
    poses = [random_pose(seed, list(head.keys)) for seed in range(3)]
    for number, seen, truth in poses_beside_the_engine(rig, head, avatar_path, poses, tmp_path):
        colors = seen["radiance:base"][:, :3] * 0.28209479177387814 + 0.5
        np.testing.assert_allclose(colors, truth[f"colors_{number}"], atol=1e-5)
        np.testing.assert_allclose(seen["radiance:base"][:, 3], truth[f"opacities_{number}"], atol=1e-6)


def test_without_the_add_on_a_saved_head_still_animates(rig, head, tmp_path):
    pose = random_pose(7, list(head.keys))
    head.armature.pose.bones["jaw"].keyframe_insert("rotation_euler", frame=1)
    take_pose(head, pose["expression"], {})
    for name in pose["expression"]:
        head.keys[name].keyframe_insert("value", frame=1)
        head.keys[name].value = 0
        head.keys[name].keyframe_insert("value", frame=11)
    head.armature.pose.bones["jaw"].rotation_euler = (0.3, 0, 0)
    head.armature.pose.bones["jaw"].keyframe_insert("rotation_euler", frame=11)
    frames = {}
    for frame in (1, 4, 11):
        bpy.context.scene.frame_set(frame)
        frames[str(frame)] = evaluated(rig, head)["position"]
    assert not np.allclose(frames["1"], frames["11"], atol=1e-3)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "head.blend"))
    script = """
import sys, bpy, numpy as np
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
assert not hasattr(bpy.types.Scene, "gaussian_heads")
splats = next(o for o in bpy.data.objects if o.type == "POINTCLOUD")
frames = {}
for frame in (11, 4, 1):
    bpy.context.scene.frame_set(frame)
    cloud = splats.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    flat = np.empty(3 * len(cloud.points), np.float32)
    cloud.attributes["position"].data.foreach_get("vector", flat)
    frames[str(frame)] = flat.reshape(-1, 3)
np.savez(sys.argv[2], **frames)
"""
    words = [sys.executable, "-c", script, tmp_path / "head.blend", tmp_path / "again.npz"]
    subprocess.run(words, check=True, env={**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path)})
    again = np.load(tmp_path / "again.npz")
    for frame, positions in frames.items():
        np.testing.assert_array_equal(again[frame], positions)


def test_two_heads_and_a_duplicate_move_on_their_own(rig, head, avatar_path):
    other = rig.build.build(rig.avatar_file.read_avatar(avatar_path), bpy.context)
    assert other.root.name == f"{head.root.name}.001"
    assert other.splats.name == f"{other.root.name}.splats"
    rest = evaluated(rig, head)["position"]
    take_pose(other, {"jawOpen": 1.0}, {"neck": (0, 0.5, 0)})
    np.testing.assert_array_equal(evaluated(rig, head)["position"], rest)
    bpy.ops.object.select_all(action="DESELECT")
    for part in (head.root, head.mesh, head.armature, head.splats):
        part.hide_set(False)
        part.select_set(True)
    bpy.ops.object.duplicate()
    third = next(h for h in rig.heads.all_heads(bpy.context.scene) if h.root not in (head.root, other.root))
    assert not {third.mesh, third.armature, third.splats} & {head.mesh, head.armature, head.splats}
    third.keys["jawOpen"].value = 1.0
    bpy.context.view_layer.update()
    assert np.abs(evaluated(rig, third)["position"] - rest).max() > 0.005
    if third.mesh.data != head.mesh.data:
        np.testing.assert_array_equal(evaluated(rig, head)["position"], rest)


def test_appended_and_overridden_heads_animate(rig, head, tmp_path):
    library = tmp_path / "library.blend"
    collection = head.root.users_collection[0].name
    bpy.ops.wm.save_as_mainfile(filepath=str(library))
    for link in (False, True):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        with bpy.data.libraries.load(str(library), link=link) as (_, wanted):
            wanted.collections = [collection]
        scene = bpy.context.scene
        if link:
            scene.collection.children.link(wanted.collections[0])
            wanted.collections[0].override_hierarchy_create(scene, bpy.context.view_layer, do_fully_editable=True)
        else:
            scene.collection.children.link(wanted.collections[0])
        found = [h for h in rig.heads.all_heads(scene) if h.root.library is None]
        assert len(found) == 1
        rest = evaluated(rig, found[0])["position"]
        take_pose(found[0], {"jawOpen": 1.0}, {"head": (0, 0.3, 0)})
        assert np.abs(evaluated(rig, found[0])["position"] - rest).max() > 0.01


def test_a_head_goes_back_into_an_avatar_file_unchanged(rig, head, avatar_path):
    before = rig.avatar_file.read_avatar(avatar_path)
    after = rig.avatar_file.read_avatar(rig.extract.extract(head))
    assert after.metadata == before.metadata | {"name": head.name}
    for field, array in before.arrays.items():
        np.testing.assert_allclose(after.arrays[field], array, rtol=1e-5, atol=2e-7, err_msg=field)


def test_what_the_artist_sculpted_goes_along_and_changes_the_key(rig, head):
    key = rig.extract.content_key(head)
    head.keys["jawOpen"].value = 1.0
    bpy.context.view_layer.update()
    assert rig.extract.content_key(head) == key
    head.keys["jawOpen"].data[10].co.z += 0.01
    assert rig.extract.content_key(head) != key
    after = rig.avatar_file.read_avatar(rig.extract.extract(head))
    assert 10 in after.key_vertices[slice(*after.key_starts[24:26])]


@pytest.mark.parametrize("seed", range(3))
def test_the_pose_read_back_is_the_pose_that_was_set(rig, head, seed):
    pose = random_pose(seed, list(head.keys))
    take_pose(head, pose["expression"], pose["joint_rotations"])
    head.root.location = (1, 2, 3)
    bpy.context.view_layer.update()
    read = rig.extract.pose_state(head, bpy.context.evaluated_depsgraph_get())
    assert read.expression == pytest.approx(pose["expression"], abs=1e-6)
    for joint in JOINTS:
        np.testing.assert_allclose(read.joint_rotations[joint], pose["joint_rotations"][joint], atol=1e-5)
    np.testing.assert_allclose(read.world @ (0, 0, 0, 1), (1, 2, 3, 1), atol=1e-6)


def test_building_in_steps_leaves_the_artist_in_edit_mode(rig, avatar_path):
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.object.mode_set(mode="EDIT")
    scenes = len(bpy.data.scenes)
    head = rig.build.build(rig.avatar_file.read_avatar(avatar_path), bpy.context)
    assert bpy.context.mode == "EDIT_MESH"
    assert len(bpy.data.scenes) == scenes
    assert {b.name for b in head.armature.data.bones} == {"torso", *JOINTS}


def test_undo_takes_the_head_away_and_redo_brings_it_back(rig, avatar_path):
    bpy.context.preferences.edit.use_global_undo = True
    bpy.ops.ed.undo_push(message="before")
    rig.build.build(rig.avatar_file.read_avatar(avatar_path), bpy.context)
    bpy.ops.ed.undo_push(message="Import Head")
    bpy.ops.ed.undo()
    assert not rig.heads.all_heads(bpy.context.scene)
    bpy.ops.ed.redo()
    (head,) = rig.heads.all_heads(bpy.context.scene)
    rest = evaluated(rig, head)["position"]
    take_pose(head, {"jawOpen": 1.0}, {})
    assert np.abs(evaluated(rig, head)["position"] - rest).max() > 0.005
