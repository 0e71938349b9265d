"""A head as a textured mesh: what F12 and other programs get of it, and what becomes of it in an artist's hands."""

import importlib
import io
import zipfile
from pathlib import Path

import bpy
import numpy as np
import pytest

from ..engine import ask_engine

POSE = {"jawOpen": 0.7, "mouthSmileLeft": 0.5, "browInnerUp": 1.0}
TO = {
    "fbx": lambda path: bpy.ops.export_scene.fbx(
        filepath=path, use_selection=True, add_leaf_bones=False, path_mode="COPY", embed_textures=True
    ),
    "glb": lambda path: bpy.ops.export_scene.gltf(filepath=path, use_selection=True, export_animations=False),
    "usdc": lambda path: bpy.ops.wm.usd_export(
        filepath=path, selected_objects_only=True, export_armatures=True, export_shapekeys=True
    ),
}
FROM = {
    "fbx": lambda path: bpy.ops.import_scene.fbx(filepath=path),
    "glb": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    "usdc": lambda path: bpy.ops.wm.usd_import(filepath=path),
}
TURN = (0.1, 0.3, -0.05)  # of the head's bone, radians


@pytest.fixture(scope="module")
def baked_file(avatar_path, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("baked") / "head.zip"
    ask_engine(Path(__file__).with_name("bake_head.py"), avatar_path, path)
    return path.read_bytes()


@pytest.fixture
def parts(addon):
    names = ("avatar_file", "baked", "build", "copies", "extract", "heads", "textured")
    return type("Parts", (), {name: importlib.import_module(f"{addon}.rig.{name}") for name in names})


@pytest.fixture
def head(parts, avatar_path, baked_file, monkeypatch):
    monkeypatch.setattr(parts.textured, "FOLLOWED", 1e-5)  # the sample's short hair hardly moves with the face
    head = parts.build.build(parts.avatar_file.read_avatar(avatar_path), bpy.context)
    for _ in parts.textured.dress_steps(head, parts.baked.read_baked(baked_file)):
        pass
    head = parts.heads.find_head(head.root)
    parts.textured.show(head, "MESH")
    return head


def take_pose(head):
    for name, weight in POSE.items():
        head.keys[name].value = weight
    bone = head.armature.pose.bones["head"]
    bone.rotation_mode, bone.rotation_euler = "XYZ", TURN
    bpy.context.view_layer.update()


def evaluated(obj) -> np.ndarray:
    """[V, 3] in the world."""
    done = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = done.to_mesh()
    places = np.empty((len(mesh.vertices), 3), np.float32)
    mesh.vertices.foreach_get("co", places.reshape(-1))
    done.to_mesh_clear()
    return places @ np.array(done.matrix_world.to_3x3()).T + np.array(done.matrix_world.translation)


def test_hair_goes_where_its_gaussians_go(parts, head, avatar_path):
    assert head.hair is not None and head.hair.data.shape_keys is not None
    gaussians = parts.avatar_file.read_avatar(avatar_path)
    some = slice(None, None, 100)
    at_rest = evaluated(head.hair).reshape(-1, 4, 3).mean(axis=1)[some]
    splats_at_rest = splat_places(head)
    take_pose(head)
    moved, splats = evaluated(head.hair).reshape(-1, 4, 3).mean(axis=1)[some], splat_places(head)
    away = np.linalg.norm(at_rest[:, None] - splats_at_rest[None], axis=2)
    nearest = away.argmin(axis=1)
    assert np.median(away.min(axis=1)) < 0.0005 and len(gaussians.triangles) == len(splats)
    error = np.linalg.norm((moved - at_rest) - (splats[nearest] - splats_at_rest[nearest]), axis=1)
    assert np.linalg.norm(moved - at_rest, axis=1).max() > 0.02
    assert np.median(error) < 0.001 and np.quantile(error, 0.95) < 0.004


def splat_places(head) -> np.ndarray:
    for modifier in head.splats.modifiers:
        modifier.show_viewport = True
    cloud = head.splats.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    places = np.empty((len(cloud.points), 3), np.float32)
    cloud.attributes["position"].data.foreach_get("vector", places.reshape(-1))
    return places


def test_each_way_of_showing_renders_what_it_says(parts, head):
    shown = {}
    for what in ("SPLATS", "MESH", "BOTH"):
        parts.textured.show(head, what)
        meshes = (head.mesh, head.hair)
        shown[what] = (
            {part.hide_render for part in meshes},
            {part.is_shadow_catcher for part in meshes},
            {part.show_instancer_for_viewport for part in meshes},
            head.has_splats,
        )
    assert shown == {
        "SPLATS": ({True}, {False}, {False}, True),
        "MESH": ({False}, {False}, {True}, False),
        "BOTH": ({False}, {True}, {False}, True),
    }


def test_f12_shows_the_picture_as_it_is_and_in_the_scenes_light(parts, head, tmp_path):
    """Unlit it is the picture whatever the lamps do; lit it is black where there is no light."""
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 4, False
    scene.render.resolution_x = scene.render.resolution_y = 48
    scene.render.film_transparent, scene.view_settings.view_transform = True, "Standard"
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    scene.camera.location, scene.camera.rotation_euler = (0, -1.2, 0), (np.pi / 2, 0, 0)
    seen = {}
    for lit in (False, True):
        parts.textured.light(head, lit)
        assert parts.textured.is_lit(head) == lit
        scene.render.filepath = str(tmp_path / f"{lit}.png")
        bpy.ops.render.render(write_still=True)
        image = bpy.data.images.load(scene.render.filepath)
        seen[lit] = np.array(image.pixels[:]).reshape(48, 48, 4)
    solid = seen[False][seen[False][..., 3] > 0.99]
    assert len(solid) > 150 and solid[:, 0].mean() > solid[:, 2].mean() > 0.1  # hair and skin
    assert (seen[True][..., 3] > 0.99).sum() > 150 and seen[True][..., :3].max() < 0.02


@pytest.mark.parametrize("kind", ["fbx", "glb", "usdc"])
def test_blenders_own_exporters_take_the_whole_head(parts, head, tmp_path, kind):
    """Mesh, skeleton, 52 keys and picture; in the same pose, the face of what comes back lies where it was."""
    names = list(head.keys)
    take_pose(head)
    corners = np.unique([vertex for face in head.mesh.data.polygons for vertex in face.vertices])
    expected = evaluated(head.mesh)[corners]  # beside them, there are some without faces, for the eigenbasis
    for name in POSE:
        head.keys[name].value = 0
    head.armature.pose.bones["head"].rotation_euler = (0, 0, 0)
    path = str(tmp_path / f"head.{kind}")
    parts.heads.select(head, bpy.context.view_layer)
    TO[kind](path)
    bpy.ops.wm.read_homefile(use_empty=True)
    FROM[kind](path)
    meshes = [obj for obj in bpy.data.objects if obj.type == "MESH" and obj.data.shape_keys]
    mesh = max(meshes, key=lambda obj: len(obj.data.shape_keys.key_blocks))
    keys = mesh.data.shape_keys.key_blocks
    if kind == "usdc":  # two meshes with a key of one name each: Blender numbers one of them
        for key in keys:
            key.name = key.name.rstrip("0123456789")
    assert sorted(key.name for key in keys[1:]) == sorted(names) and len(names) >= 52
    rig = next(modifier.object for modifier in mesh.modifiers if modifier.type == "ARMATURE")
    assert {"head", "neck", "jaw", "eyeLeft", "eyeRight"} <= set(rig.pose.bones.keys())
    pictures = [node.image for node in mesh.data.materials[0].node_tree.nodes if node.type == "TEX_IMAGE"]
    assert pictures and tuple(pictures[0].size) == (256, 256) and len(bpy.data.images) >= 2  # hair's as well
    for name, weight in POSE.items():
        keys[name].value = weight
    turn_like(rig.pose.bones["head"])
    bpy.context.view_layer.update()
    again = evaluated(mesh)
    away = np.linalg.norm(again[:, None] - expected[None], axis=2).min(axis=0)
    assert np.quantile(away, 0.999) < 1e-4 and away.max() < 2e-4


def turn_like(bone) -> None:
    """The same turn about the world's axes, whatever way an importer laid the bone."""
    from mathutils import Euler

    ours = Euler((np.pi / 2, 0, 0)).to_matrix()  # our bones point up: their own axes in the armature
    turn = ours @ Euler(TURN, "XYZ").to_matrix() @ ours.transposed()
    own = (bone.id_data.matrix_world.to_3x3().normalized() @ bone.bone.matrix_local.to_3x3()).normalized()
    bone.rotation_mode = "QUATERNION"
    bone.rotation_quaternion = (own.transposed() @ turn @ own).to_quaternion()


def test_pictures_and_hair_are_copied_saved_and_deleted_with_the_head(parts, head, tmp_path):
    copy = parts.copies.duplicate(head, bpy.context)
    assert copy.hair is not None and copy.hair.name == f"{copy.name}.hair" and copy.shown == "MESH"
    target = copy.hair.data.shape_keys.animation_data.drivers[0].driver.variables[0].targets[0].id
    assert target == copy.mesh.data.shape_keys  # its hair follows its own face
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "two.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "two.blend"))
    both = parts.heads.all_heads(bpy.context.scene)
    assert len(both) == 2 and all(one.hair and parts.textured.is_textured(one) for one in both)
    assert all(image.packed_file for image in bpy.data.images if image.source == "FILE")
    parts.copies.delete(both[1])
    assert len([obj for obj in bpy.data.objects if obj.type == "MESH"]) == 2
    parts.textured.strip(both[0])
    assert parts.heads.find_head(both[0].root).hair is None and not parts.textured.is_textured(both[0])


def test_the_head_still_goes_back_to_the_engine_as_it_came(parts, head, avatar_path):
    """Pictures and hair are beside the avatar, no part of it."""
    with np.load(io.BytesIO(parts.extract.extract(head))) as again, np.load(avatar_path) as before:
        np.testing.assert_array_equal(again["vertices"], before["vertices"])
        np.testing.assert_array_equal(again["faces"], before["faces"])


def test_what_is_no_bake_is_refused(addon, parts, baked_file):
    error = importlib.import_module(f"{addon}.errors").AddonError
    cut = io.BytesIO()
    with zipfile.ZipFile(cut, "w") as archive:
        archive.writestr("head.png", b"no picture")
    for wrong in (b"", b"PK" + b"\0" * 90, baked_file[: len(baked_file) // 2], cut.getvalue()):
        with pytest.raises(error):
            parts.baked.read_baked(wrong)
