"""A .glb by the letter of glTF 2.0, and as trimesh reads it."""

from __future__ import annotations

import io

import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation

from engine.avatar import Pose, deform, drive, motion
from engine.errors import AvatarError
from engine.exchange.heads.glb import animate_glb, split_at_seams, write_glb
from tests.engine.avatars import make_avatar, with_eigenbasis
from tests.engine.exchange.gltf_reader import Document
from tests.engine.exchange.textured import make_textured

POSE = Pose({"key0": 0.6, "key2": 0.3}, {"neck": (0.1, 0.2, 0), "head": (0, 0.5, 0.2), "jaw": (0.3, 0, 0)})
SH_C0 = 0.28209479177387814


@pytest.fixture(scope="module")
def head():
    return make_textured(with_eigenbasis(make_avatar(gaussians=200)))


@pytest.fixture
def document(head, tmp_path):
    write_glb(head, POSE, tmp_path / "head.glb")
    return Document(tmp_path / "head.glb")


def test_meshes_lie_where_the_engine_says(head, document):
    """With six influences to a vertex, which are two sets of four."""
    weights, turns = motion(head.avatar, POSE)
    moved = deform(head.avatar, weights, turns).numpy()
    source, _, _ = split_at_seams(head.meshes[0])
    np.testing.assert_allclose(document.moved("Ada_head"), moved[source], atol=1e-6)
    assert document.moved("Ada_hair").shape[1] == 3
    for mesh in document.json["meshes"][:2]:
        assert mesh["extras"]["targetNames"] == list(head.avatar.key_names)


def test_keys_move_what_they_move(head, document):
    (primitive,) = document.json["meshes"][0]["primitives"]
    source, _, faces = split_at_seams(head.meshes[0])
    for target, delta in zip(primitive["targets"], head.avatar.key_deltas, strict=True):
        np.testing.assert_array_equal(document.array(target["POSITION"]), delta[source])
    np.testing.assert_array_equal(document.array(primitive["indices"]).reshape(-1, 3), faces)


def test_pictures_lie_where_they_were_baked(head, document):
    for number, mesh in enumerate(head.meshes):
        (primitive,) = document.json["meshes"][number]["primitives"]
        uv = document.array(primitive["attributes"]["TEXCOORD_0"])
        corners = uv[document.array(primitive["indices"]).reshape(-1, 3)]
        np.testing.assert_allclose(corners, (mesh.uv * (1, -1) + (0, 1))[mesh.uv_faces], atol=1e-6)
        material = document.json["materials"][primitive["material"]]
        surface = material["pbrMetallicRoughness"]
        texture = document.json["textures"][surface["baseColorTexture"]["index"]]
        picture = Image.open(io.BytesIO(document.view(document.json["images"][texture["source"]]["bufferView"])))
        np.testing.assert_array_equal(picture.convert("RGBA"), mesh.texture)
        assert (material["alphaMode"] == "MASK") == mesh.see_through
        assert surface["metallicFactor"] == 0


def test_splats_are_as_the_extension_has_them(head, document):
    splats = drive(head.avatar, POSE.expression, POSE.joint_rotations)
    seen = (splats.opacities >= 1 / 255).numpy()
    node = document.node("Ada_splats")
    (primitive,) = document.json["meshes"][node["mesh"]]["primitives"]
    assert primitive["mode"] == 0
    assert primitive["extensions"]["KHR_gaussian_splatting"]["kernel"] == "ellipse"
    assert primitive["extensions"]["KHR_gaussian_splatting"]["colorSpace"] == "srgb_rec709_display"
    assert document.json["extensionsUsed"] == ["KHR_gaussian_splatting"]
    assert "extensionsRequired" not in document.json
    fields = {
        name.removeprefix("KHR_gaussian_splatting:"): document.array(number)
        for name, number in primitive["attributes"].items()
    }
    # Their node hangs on the joint of the turned head; together these leave the splats where the engine has them.
    world = document.world(document.json["nodes"].index(node))
    np.testing.assert_allclose(fields["POSITION"] @ world[:3, :3].T + world[:3, 3], splats.means[seen], atol=1e-6)
    turns = Rotation.from_matrix(world[:3, :3]) * Rotation.from_quat(fields["ROTATION"])
    expected = Rotation.from_quat(splats.quats[seen].numpy(), scalar_first=True)
    assert (turns.inv() * expected).magnitude().max() < 1e-5
    np.testing.assert_array_equal(fields["SCALE"], splats.scales[seen])
    np.testing.assert_array_equal(fields["OPACITY"][:, 0], splats.opacities[seen])
    np.testing.assert_allclose(fields["SH_DEGREE_0_COEF_0"] * SH_C0 + 0.5, splats.colors[seen], atol=1e-6)


def test_a_performance_is_a_clip(head, tmp_path):
    poses = [Pose(), POSE, Pose({"key1": 1.0}, {"eyeLeft": (0, 0.3, 0), "neck": (0, -0.4, 0)})]
    animate_glb(head, poses, 25.0, tmp_path / "head.glb")
    document = Document(tmp_path / "head.glb")
    source, _, _ = split_at_seams(head.meshes[0])
    (clip,) = document.json["animations"]
    for frame, pose in enumerate(poses):
        for channel in clip["channels"]:
            sampler = clip["samplers"][channel["sampler"]]
            times = document.array(sampler["input"])[:, 0]
            np.testing.assert_allclose(times, (0, 1 / 25, 2 / 25), atol=1e-7)
            node = document.json["nodes"][channel["target"]["node"]]
            values = document.array(sampler["output"]).reshape(len(times), -1)[frame].tolist()
            if channel["target"]["path"] == "weights":
                document.json["meshes"][node["mesh"]]["weights"] = values
            else:
                node["rotation"] = values
        moved = deform(head.avatar, *motion(head.avatar, pose)).numpy()
        np.testing.assert_allclose(document.moved("Ada_head"), moved[source], atol=1e-6)


def test_another_program_finds_the_scene(head, document, tmp_path):
    scene = trimesh.load(tmp_path / "head.glb", force="scene")
    splats = drive(head.avatar, POSE.expression, POSE.joint_rotations)
    (points,) = (g for g in scene.geometry.values() if isinstance(g, trimesh.PointCloud))
    (node,) = (n for n in scene.graph.nodes_geometry if scene.graph[n][1].endswith("splats"))
    seen = splats.opacities >= 1 / 255
    placed = trimesh.transform_points(points.vertices, scene.graph[node][0])
    np.testing.assert_allclose(placed, splats.means[seen], atol=1e-6)
    mesh = scene.geometry["Ada_head"]
    np.testing.assert_allclose(mesh.triangles, head.avatar.vertices[head.avatar.faces], atol=1e-7)
    assert mesh.visual.material.baseColorTexture.size == (64, 64)


def test_what_the_avatar_lacks_is_told(head, tmp_path):
    with pytest.raises(AvatarError, match="no shape key 'smile'"):
        write_glb(head, Pose({"smile": 1.0}), tmp_path / "head.glb")
    assert not list(tmp_path.iterdir())
