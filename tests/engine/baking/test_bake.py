"""A baked head looks like its Gaussians, and its pieces stay apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.avatar import Avatar, deform, drive
from engine.baking.bake import bake
from engine.baking.cards import make_cards
from engine.baking.flatten import DISTANCE, HEIGHT, Unfolded, flatten
from engine.models.kit.scene import shell_avatar


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return shell_avatar(2_000, torch.device("cpu"))


def test_a_gaussian_lies_where_its_place_on_the_skin_is_in_the_atlas(avatar: Avatar):
    """Against the barycentric map worked out by hand, at rest and with the jaw open."""
    for expression in ({}, {"jawOpen": 1.0}):
        weights = np.array([expression.get(name, 0.0) for name in avatar.key_names])
        vertices = deform(avatar, weights, np.zeros((len(avatar.joint_names), 3))).numpy()
        gaussians = avatar.gaussians
        corners = vertices[avatar.faces[gaussians.triangles]].astype(np.float64)  # [N, 3, 3]
        first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        normals = np.cross(first, second)
        areas = np.linalg.norm(normals, axis=1)
        sound = areas > 1e-8
        normals /= np.where(sound, areas, 1)[:, None]
        splats = drive(avatar, expression)
        flat = flatten(splats, gaussians, Unfolded(vertices, avatar.faces, avatar.uv, avatar.uv_faces), 512)
        for n in np.flatnonzero(sound)[:200]:
            away = splats.means[n].numpy() - corners[n, 0]
            height = away @ normals[n]
            b, c = np.linalg.lstsq(np.column_stack((first[n], second[n])), away - height * normals[n], rcond=None)[0]
            u, v = np.array((1 - b - c, b, c)) @ avatar.uv[avatar.uv_faces[gaussians.triangles[n]]]
            np.testing.assert_allclose(flat.means[n, :2].numpy() + 256, (512 * u, 512 * (1 - v)), atol=0.02)
            assert flat.means[n, 2] == pytest.approx(DISTANCE - HEIGHT * height, abs=0.05)


def test_what_covers_the_skin_is_what_the_picture_shows(avatar: Avatar):
    """Red skin under blue hair is blue, the other way round it is red; and no background comes through anywhere."""
    gaussians = avatar.gaussians
    for lower, upper in ((0, 2), (2, 0)):
        count = len(gaussians.colors)
        layer = torch.arange(count) % 2 == 0
        colors = torch.zeros(count, 3)
        colors[layer, lower], colors[~layer, upper] = 1.0, 1.0
        heights = torch.where(layer, -0.0005, 0.0005)
        offsets = torch.stack((torch.zeros(count), torch.zeros(count), heights), dim=1)
        layered = replace(
            gaussians,
            colors=colors,
            offsets=offsets,
            opacities=torch.ones(count),
            scales=torch.full((count, 3), 0.01),
        )
        texture = bake(replace(avatar, gaussians=layered, eigenbasis=None), 128).meshes[0].texture
        assert (texture[..., :3].sum(axis=2, dtype=int) >= 250).all()  # all of it is red and blue
        shown = texture[..., :3].reshape(-1, 3).mean(axis=0)
        assert shown[upper] > 10 * shown[lower] and shown[1] == 0


def test_what_ends_softly_has_no_hard_seam(avatar: Avatar):
    """Of a chest whose Gaussians are faint, nothing is opaque: not beside its island in the picture either."""
    chest = dict.fromkeys(("torso",), np.ones(len(avatar.vertices), bool))
    faint = replace(avatar.gaussians, opacities=torch.full_like(avatar.gaussians.opacities, 0.01))
    texture = bake(replace(avatar, gaussians=faint, regions=chest), 128).meshes[0].texture
    assert texture[..., 3].max() < 60


def test_a_round_gaussian_is_seen_from_everywhere(avatar: Avatar):
    """Three cards across each other; the flat ones beside it have one. All of them face outwards."""
    offsets = avatar.gaussians.offsets.clone()
    offsets[:2, 2] = 0.02
    scales = avatar.gaussians.scales.clone()
    scales[1] = scales[1].max()
    lifted = replace(avatar, gaussians=replace(avatar.gaussians, offsets=offsets, scales=scales))
    cards = make_cards(lifted, 256)
    assert cards is not None
    corners = cards.vertices[cards.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert len(normals) == 2 * (1 + 3) and (np.einsum("fd,fd->f", normals, corners.mean(axis=1)) > -1e-12).all()
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    round_one = normals[[1, 2, 3]] if np.linalg.matrix_rank(normals[[1, 2, 3]], tol=0.1) == 3 else normals[:3]
    np.testing.assert_allclose(np.abs(round_one @ round_one.T), np.eye(3), atol=1e-4)


def test_hair_stands_off_as_cards_in_its_gaussians_planes(avatar: Avatar):
    offsets = avatar.gaussians.offsets.clone()
    offsets[:40, 2] = 0.02
    parts = torch.zeros_like(avatar.gaussians.parts)
    parts[:20] = 1
    opacities = torch.full_like(avatar.gaussians.opacities, 0.8)
    hairy = replace(avatar, gaussians=replace(avatar.gaussians, offsets=offsets, parts=parts, opacities=opacities))
    cards = bake(hairy, 256).meshes[1]
    assert cards.name == "hair" and cards.see_through and len(cards.faces) >= 80
    splats = drive(hairy, {})
    middles = cards.vertices.reshape(-1, 4, 3).mean(axis=1)
    np.testing.assert_allclose(middles[:40], splats.means[:40].numpy(), atol=5e-4)
    # In the middle of its tile a card has the Gaussian's colour and opacity; at its rim next to none.
    side = 256
    for n in range(40):
        (u, v), low = cards.uv[4 * n : 4 * n + 4].mean(axis=0), cards.uv[4 * n]
        middle = cards.texture[int((1 - v) * side), int(u * side)]
        np.testing.assert_allclose(middle[:3] / 255, splats.colors[n].clamp(0, 1), atol=0.01)
        assert middle[3] / 255 == pytest.approx(0.8, abs=0.05)
        assert cards.texture[int((1 - low[1]) * side) - 1, int(low[0] * side + 0.01), 3] < 20
    # They go with the head as the Gaussians do.
    np.testing.assert_allclose(cards.skin_weights.sum(axis=1), 1, atol=1e-5)
    jaw = avatar.key_names.index("jawOpen")
    moved = drive(replace(hairy, eigenbasis=None), {"jawOpen": 1.0}).means[:40] - splats.means[:40]
    away = cards.key_deltas[jaw].reshape(-1, 4, 3).mean(axis=1)[:40] - moved.numpy()
    assert np.abs(away).max() < 0.012  # but for the turn of a Gaussian's own triangle, on 20 mm of lever
