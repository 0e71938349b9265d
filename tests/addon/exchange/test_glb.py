"""A .glb from the engine, as Blender's own importer reads it, without the extension."""

import json

import bpy
import numpy as np
import pytest

from tests.addon.engine import ask_engine

POSE = {
    "expression": {"jawOpen": 0.6, "mouthSmileLeft": 0.8, "eyeBlinkRight": 1.0},
    "joint_rotations": {"neck": (0.1, 0.2, 0), "head": (0.2, 0.5, 0.1), "jaw": (0.2, 0, 0), "eyeLeft": (0, 0.3, 0)},
}
PRECISION = 1e-4  # m


@pytest.fixture(scope="module")
def files(avatar_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("glb")
    (folder / "pose.json").write_text(json.dumps(POSE))
    script = "tests/addon/exchange/engine_export.py"
    ask_engine(script, avatar_path, folder / "pose.json", folder / "head.glb", folder / "truth.npz")
    with np.load(folder / "truth.npz") as truth:
        return folder / "head.glb", dict(truth)


@pytest.fixture
def truth(files):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=str(files[0]))
    return files[1]


def places(points):
    """The engine's axes of [n, 3] points in Blender, whose z is up."""
    found = np.empty(3 * len(points), np.float32)
    points.foreach_get("co", found)
    x, y, z = found.reshape(-1, 3).T
    return np.stack((x, z, -y), axis=1)


@pytest.mark.slow
def test_every_slider_moves_what_it_moves_in_the_engine(truth):
    blocks = bpy.data.objects["Astronaut_head"].data.shape_keys.key_blocks
    rest = places(blocks[0].data)
    np.testing.assert_allclose(rest, truth["rest"], atol=1e-6)
    assert len(blocks) == 1 + 52
    assert blocks["jawOpen"].value == pytest.approx(0.6)
    for block, delta in zip(list(blocks)[1:], truth["deltas"], strict=True):
        np.testing.assert_allclose(places(block.data) - rest, delta, atol=1e-6)


@pytest.mark.slow
def test_the_head_is_in_its_pose_and_bones_move_it(truth):
    head, rig = bpy.data.objects["Astronaut_head"], bpy.data.objects["Astronaut_rig"]
    assert {bone.name for bone in rig.data.bones} == {"torso", "neck", "head", "jaw", "eyeLeft", "eyeRight"}

    def seen():
        evaluated = head.evaluated_get(bpy.context.evaluated_depsgraph_get())
        return places(evaluated.data.vertices)

    assert np.abs(seen() - truth["moved"]).max() < PRECISION
    points = bpy.data.objects["Astronaut_splats"]
    world = np.array(points.matrix_world)
    assert rig.matrix_world.is_identity
    np.testing.assert_allclose(world, np.eye(4), atol=1e-5)
    np.testing.assert_allclose(places(points.data.vertices), truth["means"], atol=1e-6)
    for block in head.data.shape_keys.key_blocks[1:]:
        block.value = 0
    for bone in rig.pose.bones:
        bone.rotation_quaternion = (1, 0, 0, 0)
    bpy.context.view_layer.update()
    assert np.abs(seen() - truth["rest"]).max() < PRECISION
    assert np.abs(np.array(points.matrix_world) - world).max() > 0.1  # the splats turned back with the head


@pytest.mark.slow
def test_the_picture_is_on_the_skin(truth):
    mesh = bpy.data.objects["Astronaut_head"].data
    uv = np.empty(2 * len(mesh.loops), np.float32)
    mesh.uv_layers.active.data.foreach_get("uv", uv)
    corners = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("vertex_index", corners)
    np.testing.assert_allclose(uv.reshape(-1, 2), truth["uv"][corners], atol=1e-6)
    for name, see_through in (("head", False), ("hair", True)):
        material = bpy.data.objects[f"Astronaut_{name}"].material_slots[0].material
        shader = material.node_tree.nodes["Principled BSDF"]
        assert bool(shader.inputs["Alpha"].links) == see_through
        image = shader.inputs["Base Color"].links[0].from_node.image
        assert tuple(image.size) == (64, 64)
        assert image.colorspace_settings.name == "sRGB"
