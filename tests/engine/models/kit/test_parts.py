"""Patches, rays, places, correspondence: each against something that knows the answer otherwise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from engine.models.kit.attention import Neighbours
from engine.models.kit.backprojection import backproject
from engine.models.kit.correspondence import mesh_correspondence
from engine.models.kit.encoders import Dino, DinoConfig, patchify, pluecker_rays, unpatchify
from engine.models.kit.reproject import aggregate
from engine.models.kit.tokens import LearnedUVTokens, sincos_grid


def look_from(angle: float) -> np.ndarray:
    """[4, 4] world to camera: 1 m away, turned by ``angle`` about the vertical, looking at the origin."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0, -s, 0], [0, -1, 0, 0], [-s, 0, -c, 1], [0, 0, 0, 1]], np.float64)


def test_patches_hold_their_pixels_and_go_back():
    maps = torch.arange(2 * 3 * 8 * 12.0).view(2, 3, 8, 12)
    patches = patchify(maps, 4)
    assert patches.shape == (2, 6, 48)
    assert torch.equal(patches[1, 4].view(4, 4, 3), maps[1, :, 4:8, 4:8].movedim(0, -1))  # second row, second column
    assert torch.equal(unpatchify(patches, 2, 4), maps.movedim(1, -1))


def test_rays_pass_through_the_points_that_pixels_show():
    viewmat, K = torch.from_numpy(look_from(0.4)), torch.tensor([[50.0, 0, 20], [0, 55, 16], [0, 0, 1]]).double()
    rays = pluecker_rays(viewmat, K, height=32, width=40)
    point = torch.tensor([0.07, -0.1, 0.05], dtype=torch.float64)
    camera = viewmat[:3, :3] @ point + viewmat[:3, 3]
    column, row = ((K @ camera)[:2] / camera[2] - 0.5).round().long()
    moment, direction = rays[:, row, column].split(3)
    distance = (torch.linalg.cross(point, direction) - moment).norm()
    assert distance < 0.01  # half a pixel at 1 m is 1 / 100 m
    assert direction.norm().item() == pytest.approx(1)
    assert (direction @ viewmat[2, :3]) > 0  # forward


def test_places_follow_the_written_formula():
    code = sincos_grid(3, 4, 16)
    row, column, m = 2, 3, 1
    frequency = 10_000 ** (-m / 4)
    expected = [f(i * frequency) for i in (column, row) for f in (math.sin, math.cos)]
    assert code[row * 4 + column, m::4].tolist() == pytest.approx(expected, abs=1e-6)
    assert LearnedUVTokens(3, 16)(2).shape == (2, 9, 16)


def test_a_frozen_encoder_stays_frozen():
    encoder = Dino(DinoConfig(32, 2, 2)).train()
    assert not encoder.training and not encoder.vit.model.training
    assert not any(p.requires_grad for p in encoder.parameters())
    image = torch.rand(1, 3, 32, 48)
    first, last = encoder(image, (0, 1))
    assert first.shape == last.shape == (1, 6, 32) and not last.requires_grad
    assert torch.equal(encoder(image)[0], last)


def quad() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A square of 0.4 m facing +z, whose uv is its plane: vertices, faces, uv (v up)."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
    vertices = np.column_stack((0.4 * (corners - 0.5), np.zeros(4)))
    return vertices, np.array([[0, 1, 2], [0, 2, 3]]), corners


@pytest.fixture(scope="module")
def seen() -> dict:
    """The square from three sides, textured with its own uv (u, v down, 0.5)."""
    vertices, faces, uv = quad()
    viewmats = np.stack([look_from(angle) for angle in (-0.5, 0.0, 0.6)])
    Ks = np.broadcast_to(np.array([[150.0, 0, 40], [0, 150, 32], [0, 0, 1]]), (3, 3, 3))
    where = mesh_correspondence([vertices] * 3, faces, uv, faces, viewmats, Ks, height=64, width=80)
    blue = torch.full_like(where.uv[:, :, :1], 0.5)
    images = torch.cat((where.uv, blue), dim=2) * where.mask
    return {"where": where, "images": images, "viewmats": viewmats, "Ks": Ks}


@pytest.mark.slow
def test_mesh_correspondence_names_the_place_that_a_pixel_shows(seen):
    where = seen["where"]
    for view in range(3):
        viewmat, K = seen["viewmats"][view], seen["Ks"][view]
        rows, columns = np.nonzero(where.mask[0, view, 0].numpy())
        assert len(rows) > 1000
        u, down = where.uv[0, view][:, rows, columns].double().numpy()
        world = np.column_stack((0.4 * (u - 0.5), 0.4 * (0.5 - down), np.zeros(len(u))))
        projected = (world @ viewmat[:3, :3].T + viewmat[:3, 3]) @ K.T
        pixels = projected[:, :2] / projected[:, 2:]
        assert np.abs(pixels - np.column_stack((columns, rows)) - 0.5).max() < 1e-3


@pytest.mark.slow
def test_aggregation_puts_colours_where_they_belong(seen):
    where = seen["where"]
    texture = aggregate(seen["images"], where.mask, where.uv, size=16)[0]
    along = torch.arange(16) / 15
    # A texel gathers pixels from half a texel around, so its mean is that near.
    assert (texture[0] - along).abs().max() < 0.5 / 15
    assert (texture[1] - along[:, None]).abs().max() < 0.5 / 15
    assert texture[3].max() == 1 and texture[3].min() > 0.4


@pytest.mark.slow
def test_back_projection_finds_the_colour_of_a_place(seen):
    down, right = torch.meshgrid(torch.linspace(0.1, 0.9, 5), torch.linspace(0.1, 0.9, 5), indexing="ij")
    places = torch.stack((0.4 * (right - 0.5), 0.4 * (0.5 - down), torch.zeros(5, 5)), dim=-1).view(1, 1, 25, 3)
    viewmats, Ks = (torch.from_numpy(np.ascontiguousarray(seen[name])).float()[None] for name in ("viewmats", "Ks"))
    everywhere = Neighbours(torch.tensor([[[0, 80, 160]]]), torch.ones(1, 1, 3), per_view=80)
    colors = backproject(seen["images"].float(), viewmats, Ks, places, everywhere)[0, 0]
    pixel = 1 / (150 * 0.4)  # in uv, for the frontal view; the others are foreshortened
    assert (colors[:, 0] - right.flatten()).abs().max() < pixel
    assert (colors[:, 1] - down.flatten()).abs().max() < pixel
    unseen = Neighbours(everywhere.index, torch.zeros(1, 1, 3), per_view=80)
    assert backproject(seen["images"].float(), viewmats, Ks, places, unseen).abs().max() == 0
