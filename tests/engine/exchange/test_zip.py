"""A .zip as LAM's renderer takes it apart, with its arithmetic: npm ``gaussian-splat-renderer-for-lam`` 0.0.8."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest
import torch
from plyfile import PlyData

from engine.avatar import Pose, deform, drive, motion
from engine.exchange.heads import zip as lam
from tests.engine.avatars import make_avatar
from tests.engine.exchange.gltf_reader import Document


@pytest.fixture(scope="module")
def avatar():
    return make_avatar(gaussians=200, joints=7)


class Lam:
    """What the renderer has after it unpacked a file into ``folder``."""

    def __init__(self, path, folder):
        with zipfile.ZipFile(path) as archive:
            (inside,) = (entry.filename for entry in archive.infolist() if entry.is_dir())
            archive.extractall(folder)
        self.skin, self.animation = (Document(folder / inside / f"{name}.glb") for name in ("skin", "animation"))
        self.offsets = PlyData.read(io.BytesIO((folder / inside / "offset.ply").read_bytes()))["vertex"]
        self.order = json.loads((folder / inside / "vertex_order.json").read_text())
        (self.mesh,) = self.skin.json["meshes"]
        (self.primitive,) = self.mesh["primitives"]
        self.vertices = self.skin.array(self.primitive["attributes"]["POSITION"])
        self.bones = [self.skin.json["nodes"][number]["name"] for number in self.skin.json["skins"][0]["joints"]]

    def columns(self, *names):
        return np.stack([self.offsets[name] for name in names], axis=1)

    def centers(self, weights):
        """Where the renderer draws the Gaussians."""
        moved = self.vertices + self.columns("x", "y", "z")
        targets = dict(zip(self.mesh["extras"]["targetNames"], self.primitive["targets"], strict=True))
        for name, weight in weights.items():
            moved = moved + weight * self.skin.array(targets[name]["POSITION"])
        skin, number = self.skin.json["skins"][0], self.bones.index("head")
        inverse = self.skin.array(skin["inverseBindMatrices"])[number].reshape(4, 4).T
        bone = self.skin.world(skin["joints"][number]) @ inverse
        return moved @ bone[:3, :3].T + bone[:3, 3]


def test_the_renderer_sees_the_head_where_its_camera_looks(avatar, tmp_path):
    lam.write_zip(avatar, Pose(), tmp_path / "Ada.zip")
    read = Lam(tmp_path / "Ada.zip", tmp_path)
    splats = drive(avatar, {})
    np.testing.assert_allclose(read.centers({}), splats.means.numpy() + (0, 1.6, 0), atol=1e-6)
    np.testing.assert_allclose(read.columns("f_dc_0", "f_dc_1", "f_dc_2"), splats.colors, atol=1e-6)
    np.testing.assert_allclose(1 / (1 + np.exp(-read.offsets["opacity"])), splats.opacities, atol=2e-6)
    np.testing.assert_allclose(np.exp(read.columns("scale_0", "scale_1", "scale_2")), splats.scales, rtol=1e-5)
    np.testing.assert_allclose(read.columns("rot_0", "rot_1", "rot_2", "rot_3"), splats.quats, atol=1e-6)
    assert read.order == list(range(200))
    assert read.bones[0] == "hip"
    assert not {"animations"} & set(read.skin.json)


def test_sliders_move_gaussians_with_the_skin_below(avatar, tmp_path):
    lam.write_zip(avatar, Pose(), tmp_path / "Ada.zip")
    read = Lam(tmp_path / "Ada.zip", tmp_path)
    weights = {"key0": 0.7, "key2": 0.4}
    vertices = deform(avatar, *motion(avatar, Pose(weights))).numpy() - avatar.vertices
    corners = avatar.faces[avatar.gaussians.triangles.numpy()]
    below = np.einsum("nc,nck->nk", avatar.gaussians.barycentrics.numpy(), vertices[corners])
    np.testing.assert_allclose(read.centers(weights) - read.centers({}), below, atol=1e-6)


def test_the_pose_is_in_the_clips_that_the_renderer_counts_on(avatar, tmp_path):
    turn = (0.1, 0.5, 0.0)
    lam.write_zip(avatar, Pose({}, {"head": turn}), tmp_path / "Ada.zip")
    read = Lam(tmp_path / "Ada.zip", tmp_path)
    clips = read.animation.json["animations"]
    assert len(clips) == 2 + 1 + 0 + 6 + 3  # hello, idle, listen, speak, think
    names = [node["name"] for node in read.animation.json["nodes"]]
    for clip in clips:
        quats = {
            names[channel["target"]["node"]]: read.animation.array(clip["samplers"][channel["sampler"]]["output"])
            for channel in clip["channels"]
        }
        half = np.linalg.norm(turn) / 2
        expected = (*np.array(turn) / (2 * half) * np.sin(half), np.cos(half))
        np.testing.assert_allclose(quats["head"], [expected, expected], atol=1e-6)
        np.testing.assert_allclose(quats["jaw"], [(0, 0, 0, 1)] * 2, atol=1e-6)


def test_what_does_not_fit_into_its_texture_is_left_out(avatar, tmp_path, monkeypatch):
    monkeypatch.setattr(lam, "TEXELS", 150 * (1 + len(avatar.key_names)))
    lam.write_zip(avatar, Pose(), tmp_path / "Ada.zip")
    read = Lam(tmp_path / "Ada.zip", tmp_path)
    assert len(read.vertices) == len(read.offsets) == 150
    assert (1 / (1 + np.exp(-read.offsets["opacity"])) >= 1 / 255).all()


def test_a_head_whose_gaussians_sit_on_its_vertices_keeps_its_triangles(avatar, tmp_path):
    """As LAM's own heads are."""
    count = len(avatar.vertices)
    faces = np.array([np.argwhere(avatar.faces == vertex)[0] for vertex in range(count)])
    gaussians = dataclasses.replace(
        make_avatar(gaussians=count).gaussians,
        triangles=torch.from_numpy(faces[:, 0]),
        barycentrics=torch.eye(3)[faces[:, 1]],
    )
    lam.write_zip(dataclasses.replace(avatar, gaussians=gaussians), Pose(), tmp_path / "Ada.zip")
    read = Lam(tmp_path / "Ada.zip", tmp_path)
    np.testing.assert_array_equal(read.skin.array(read.primitive["indices"]).reshape(-1, 3), avatar.faces)
    np.testing.assert_allclose(read.vertices, avatar.vertices + np.float32([0, 1.6, 0]), atol=1e-6)
