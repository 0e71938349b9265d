"""What a studio does: link a head, override it, key it, save the shot, and open it in another Blender."""

import importlib
import json
import os
import subprocess
import sys

import bpy
import pytest

# Another Blender, which has no add-on: what it finds in the shot at frame 5, and where.
OPEN = """
import bpy, json, sys
bpy.ops.wm.open_mainfile(filepath=sys.argv[-1])
bpy.context.scene.frame_set(5)
mesh = next(o for o in bpy.context.scene.objects if o.type == "MESH")
rig = next(o for o in bpy.context.scene.objects if o.type == "ARMATURE")
keys = mesh.data.shape_keys.key_blocks
print(json.dumps([keys["jawOpen"].value, rig.pose.bones["head"].rotation_euler.y, mesh.matrix_world.translation.x]))
"""


@pytest.fixture
def library(addon, avatar_path, tmp_path):
    """A saved file with a head, which is closed again; (its path, the head's collection)."""
    bpy.ops.gaussian_heads.import_head(filepath=str(avatar_path))
    path = tmp_path / "library.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.read_homefile(use_empty=True)
    return path, "Astronaut"


def link(library, instanced):
    path, name = library
    with bpy.data.libraries.load(str(path), link=True) as (_, wanted):
        wanted.collections = [name]
    (collection,) = wanted.collections
    if instanced:
        empty = bpy.data.objects.new(name, None)
        empty.instance_type, empty.instance_collection = "COLLECTION", collection
        bpy.context.scene.collection.objects.link(empty)
        empty.location.x = 2.0
        bpy.context.view_layer.objects.active = empty
    else:
        bpy.context.scene.collection.children.link(collection)
    bpy.context.view_layer.update()
    return collection


def key_face_and_head(addon):
    head = importlib.import_module(f"{addon}.rig.heads").active_head(bpy.context)
    for frame, value in ((1, 0.0), (9, 1.0)):
        head.keys["jawOpen"].value = value
        bpy.ops.gaussian_heads.set_pose(joints={"head"}, angles=(0.0, value, 0.0))
        bpy.context.scene.frame_set(frame)
        head.keys["jawOpen"].value = value
        bpy.ops.gaussian_heads.set_pose(joints={"head"}, angles=(0.0, value, 0.0))
        bpy.ops.gaussian_heads.key_expression()
        bpy.ops.gaussian_heads.key_pose()


def reopened(tmp_path):

    shot = tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(shot))
    said = subprocess.run(
        [sys.executable, "-c", OPEN, shot],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path)},
    ).stdout
    return json.loads(next(line for line in said.splitlines() if line.startswith("[")))


@pytest.mark.parametrize("instanced", [False, True])
def test_a_linked_head_is_made_animatable_and_its_keys_are_saved(addon, library, tmp_path, instanced):
    link(library, instanced)
    assert bpy.ops.gaussian_heads.make_animatable() == {"FINISHED"}
    key_face_and_head(addon)
    jaw, turn, x = reopened(tmp_path)
    assert jaw == pytest.approx(0.5, abs=0.01)
    assert turn == pytest.approx(0.5, abs=0.01)
    assert x == (2.0 if instanced else 0.0)


def test_a_take_of_its_own_on_an_override_is_saved(addon, library, tmp_path):
    link(library, instanced=False)
    bpy.ops.gaussian_heads.make_animatable()
    take = tmp_path / "take.csv"
    rows = [f"{(frame - 1) / 24:.6f},0.5,0.3" for frame in range(1, 10)]
    take.write_text("\n".join(["Time,JawOpen,HeadYaw", *rows]))
    bpy.ops.gaussian_heads.import_capture(filepath=str(take), start=1, place="NLA", neck_share=0.0)
    jaw, turn, _ = reopened(tmp_path)
    assert (jaw, turn) == (pytest.approx(0.5, abs=1e-4), pytest.approx(0.3, abs=1e-4))


def test_blenders_own_override_keeps_the_keys_too(addon, library, tmp_path):
    collection = link(library, instanced=False)
    collection.override_hierarchy_create(bpy.context.scene, bpy.context.view_layer, do_fully_editable=True)
    bpy.context.scene.collection.children.unlink(collection)
    bpy.context.view_layer.update()
    key_face_and_head(addon)
    jaw, turn, _ = reopened(tmp_path)
    assert (jaw, turn) == (pytest.approx(0.5, abs=0.01), pytest.approx(0.5, abs=0.01))


def test_a_linked_head_refuses_before_any_work(addon, library, tmp_path):
    link(library, instanced=False)
    take = tmp_path / "take.csv"
    take.write_text("Timecode,BlendShapeCount,JawOpen\n00:00:00:00.0,61,0.2\n00:00:01:00.0,61,0.4\n")
    ops = bpy.ops.gaussian_heads
    for work in (
        ops.key_expression,
        ops.key_pose,
        ops.reset_expression,
        ops.apply_preset,
        ops.bake_animation,
        ops.add_gaze_target,
        lambda: ops.import_capture(filepath=str(take)),
    ):
        with pytest.raises(RuntimeError, match="linked from another file"):
            work()
    assert not bpy.data.actions
    api = importlib.import_module(f"{addon}.api")
    with pytest.raises(api.AddonError, match="linked from another file"):
        api.set_expression(api.all_heads(bpy.context.scene)[0], {"jawOpen": 1.0})
