"""A head with an eigenbasis moves in Blender as the engine says, by keys and bones alone."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from .test_avatar_file import repack
from .test_build import evaluated, poses_beside_the_engine, random_pose, take_pose

COMPONENTS = 5
STEPS = np.array((0.001,) * 3 + (0.02,) * 4 + (0.05,) * 3 + (0.1,) + (0.01,) * 3)
SH_C0 = 0.28209479177387814


@pytest.fixture(scope="module")
def still_path(avatar_path, tmp_path_factory) -> Path:
    """The sample avatar without its eigenbasis, as other makers' avatars are: its looks never change."""
    path = tmp_path_factory.mktemp("motion") / "still.npz"
    path.write_bytes(repack(avatar_path, eigenbasis=None, eigenbasis_gains=None))
    return path


@pytest.fixture(scope="module")
def moving_path(avatar_path, tmp_path_factory) -> Path:
    """The sample avatar with a random eigenbasis: millimetres of offset, tenths of a radian, and looks that change."""
    rng = np.random.default_rng(11)
    with np.load(avatar_path) as data:
        shape = (COMPONENTS, len(data["triangles"]), 14)
        rows = len(data["key_starts"]) - 1 + 3 * len(data["joint_parents"])
    basis = rng.uniform(-1, 1, shape).astype(np.float16)
    gains = rng.normal(0, 2.0, (rows, COMPONENTS)).astype(np.float32)
    path = tmp_path_factory.mktemp("motion") / "moving.npz"
    path.write_bytes(repack(avatar_path, eigenbasis=basis, eigenbasis_gains=gains))
    return path


@pytest.fixture
def head(rig, moving_path):
    return rig.build.build(rig.avatar_file.read_avatar(moving_path), bpy.context)


def looks(seen):
    """Colours and opacities as the engine has them."""
    return seen["radiance:base"][:, :3] * SH_C0 + 0.5, seen["radiance:base"][:, 3]


def test_splats_change_with_keys_and_bones_as_the_engine_says(rig, head, moving_path, tmp_path):
    poses = [random_pose(seed, list(head.keys)) for seed in range(3)] + [{"expression": {}, "joint_rotations": {}}]
    for number, seen, truth in poses_beside_the_engine(rig, head, moving_path, poses, tmp_path):
        colors, opacities = looks(seen)
        np.testing.assert_allclose(colors, truth[f"colors_{number}"], atol=1e-3)
        np.testing.assert_allclose(opacities, truth[f"opacities_{number}"], atol=1e-3)
        if number == 0:
            moved = np.abs(truth["opacities_0"] - truth["opacities_3"]), np.abs(truth["colors_0"] - truth["colors_3"])
            assert all(change.max() > 0.05 for change in moved)


def test_moving_the_head_or_its_mesh_changes_no_look(rig, head):
    take_pose(head, {"jawOpen": 1.0}, {"neck": (0.1, 0.4, 0)})
    before = evaluated(rig, head)
    head.root.matrix_world = Matrix.Translation((1, 2, 3)) @ Matrix.Rotation(0.7, 4, "X") @ Matrix.Scale(1.5, 4)
    head.mesh.location = head.armature.location = (0, 0.1, 0)
    bpy.context.view_layer.update()
    after = evaluated(rig, head)
    np.testing.assert_allclose(after["radiance:base"], before["radiance:base"], atol=1e-4)
    np.testing.assert_allclose(after["scale"], before["scale"], rtol=1e-3)
    np.testing.assert_allclose(after["position"], before["position"] + (0, 0.1, 0), atol=1e-5)


def test_without_the_add_on_a_saved_or_appended_head_still_changes(rig, head, tmp_path):
    pose = random_pose(7, list(head.keys))
    take_pose(head, pose["expression"], pose["joint_rotations"])
    seen = evaluated(rig, head)
    library, collection = tmp_path / "head.blend", head.root.users_collection[0].name
    bpy.ops.wm.save_as_mainfile(filepath=str(library))
    script = """
import sys, bpy, numpy as np
library, collection, out = sys.argv[1:]
def look():
    assert not bpy.app.handlers.depsgraph_update_post and not bpy.app.handlers.frame_change_post
    splats = next(o for o in bpy.data.objects if o.type == "POINTCLOUD")
    cloud = splats.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    found = {}
    for name, prop, width in ("position", "vector", 3), ("rotation", "value", 4), ("radiance:base", "color", 4):
        flat = np.empty(width * len(cloud.points), np.float32)
        cloud.attributes[name].data.foreach_get(prop, flat)
        found[name] = flat.reshape(-1, width)
    return found
bpy.ops.wm.open_mainfile(filepath=library)
assert not hasattr(bpy.types.Scene, "gaussian_heads")
np.savez(out + "/opened.npz", **look())
bpy.ops.wm.read_factory_settings(use_empty=True)
with bpy.data.libraries.load(library) as (_, wanted):
    wanted.collections = [collection]
bpy.context.scene.collection.children.link(wanted.collections[0])
np.savez(out + "/appended.npz", **look())
"""
    words = [sys.executable, "-c", script, library, collection, tmp_path]
    subprocess.run(words, check=True, env={**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path)})
    for name in ("opened", "appended"):
        again = np.load(tmp_path / f"{name}.npz")
        for field in again.files:
            np.testing.assert_array_equal(again[field], seen[field], err_msg=f"{name} {field}")


def test_a_duplicate_changes_on_its_own(rig, head):
    rest = evaluated(rig, head)
    copy = rig.copies.duplicate(head, bpy.context)
    assert copy.mesh.data != head.mesh.data
    take_pose(copy, {"jawOpen": 1.0}, {"jaw": (0.3, 0, 0)})
    assert np.abs(evaluated(rig, copy)["radiance:base"] - rest["radiance:base"]).max() > 0.05
    np.testing.assert_array_equal(evaluated(rig, head)["radiance:base"], rest["radiance:base"])


def test_it_goes_back_into_an_avatar_file_unchanged(rig, head, moving_path):
    before = rig.avatar_file.read_avatar(moving_path)
    after = rig.avatar_file.read_avatar(rig.extract.extract(head))
    assert after.arrays.keys() == before.arrays.keys()
    np.testing.assert_array_equal(after.arrays["eigenbasis"], before.arrays["eigenbasis"])
    for field, array in before.arrays.items():
        np.testing.assert_allclose(after.arrays[field], array, rtol=1e-5, atol=2e-7, err_msg=field)


def test_a_head_that_lost_a_part_of_it_is_refused(rig, addon, head):
    error = importlib.import_module(f"{addon}.errors").AddonError
    attributes = head.splats.data.attributes
    attributes.remove(attributes[f"gs_basis_offset_{COMPONENTS - 1}"])
    with pytest.raises(error, match="no longer built as a head"):
        rig.extract.extract(head)


def test_the_head_mesh_keeps_its_order_its_bounds_and_its_surface(rig, head, still_path):
    plain = rig.build.build(rig.avatar_file.read_avatar(still_path), bpy.context)
    count = len(plain.mesh.data.vertices)
    places = [np.array([v.co for v in each.mesh.data.vertices]) for each in (plain, head)]
    np.testing.assert_array_equal(places[1][:count], places[0])
    corners = [np.array([p.vertices for p in each.mesh.data.polygons]) for each in (plain, head)]
    np.testing.assert_array_equal(corners[0], corners[1])
    for each in (plain, head):
        take_pose(each, dict.fromkeys(list(each.keys)[:52], 1.0), {"neck": (0.5, 0.5, 0.2), "jaw": (0.4, 0, 0)})
    depsgraph = bpy.context.evaluated_depsgraph_get()
    boxes = [np.array(list(map(tuple, each.mesh.evaluated_get(depsgraph).bound_box))) for each in (plain, head)]
    np.testing.assert_allclose(boxes[1], boxes[0], atol=1e-6)
    # and a head without an eigenbasis has nothing of it
    assert not any(name.startswith("gs_basis") for name in plain.splats.data.attributes.keys())
    assert plain.splats.modifiers[0].node_group != head.splats.modifiers[0].node_group
    assert {node.bl_idname for node in plain.splats.modifiers[0].node_group.nodes}.isdisjoint(
        {"GeometryNodeRepeatInput", "GeometryNodePoints"}
    )


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("eigenbasis", lambda basis, gains: (basis[:, :-1], gains)),
        ("eigenbasis", lambda basis, gains: (basis * np.float16(9), gains)),
        ("eigenbasis", lambda basis, gains: (None, gains)),
        ("eigenbasis", lambda basis, gains: (basis[:0], gains[:, :0])),
        ("eigenbasis", lambda basis, gains: (np.tile(basis, (7, 1, 1)), np.tile(gains, (1, 7)))),
        ("eigenbasis_gains", lambda basis, gains: (basis, gains[:-3])),
        ("eigenbasis_gains", lambda basis, gains: (basis, gains[:, :-1])),
        ("eigenbasis_gains", lambda basis, gains: (basis, gains * np.float32(np.nan))),
        ("eigenbasis_gains", lambda basis, gains: (basis, None)),
    ],
)
def test_an_eigenbasis_that_does_not_fit_is_refused_by_name(rig, addon, moving_path, field, change):
    error = importlib.import_module(f"{addon}.errors").AddonError
    with np.load(moving_path) as data:
        basis, gains = (
            None if array is None else np.ascontiguousarray(array)
            for array in change(data["eigenbasis"], data["eigenbasis_gains"])
        )
    with pytest.raises(error, match=f"field '{field}'"):
        rig.avatar_file.read_avatar(repack(moving_path, eigenbasis=basis, eigenbasis_gains=gains))
