"""Orbit cameras and sheets on a ball that is red on its left and blue on its right."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.avatar import Avatar
from engine.errors import OutputError
from engine.evaluation.reenactment import Comparison, truth_of
from engine.evaluation.sheet import LABEL, TILE, comparison_strip, contact_sheet
from engine.photos.photo import Photo, matted
from engine.rendering import ORBIT_FILL, orbit_camera, render_avatar


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (0.7, 0.3), (-1.0, -0.5), (3.0, 1.2)])
def test_orbit_camera_looks_at_the_middle_upright(toy_avatar: Avatar, yaw: float, pitch: float) -> None:
    camera = orbit_camera(toy_avatar, yaw, pitch, width=320, height=200)
    rotation, shift = camera.viewmat[:3, :3], camera.viewmat[:3, 3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    middle = camera.K @ (rotation @ np.array([0.0, 0.05, 0.02]) + shift)
    np.testing.assert_allclose(middle[:2] / middle[2], (160, 100), atol=1e-3)
    above = camera.K @ (rotation @ np.array([0.0, 0.15, 0.02]) + shift)
    assert above[1] / above[2] < 100 and above[0] / above[2] == pytest.approx(160, abs=1e-3)
    place = -rotation.T @ shift - (0.0, 0.05, 0.02)
    distance = np.linalg.norm(place)
    expected = (math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch))
    np.testing.assert_allclose(place / distance, expected, atol=1e-6)


def test_positive_yaw_shows_the_left_side(toy_avatar: Avatar) -> None:
    def colour(degrees: float) -> np.ndarray:
        camera = orbit_camera(toy_avatar, math.radians(degrees), width=128, height=128)
        return render_avatar(toy_avatar, {}, {}, camera, background=0.0).sum((0, 1)).numpy()

    assert colour(80)[0] > 5 * colour(80)[2]
    assert colour(-80)[2] > 5 * colour(-80)[0]
    # Turning the head to its left (about +y) shows the right side, as a camera on the right does.
    camera = orbit_camera(toy_avatar, 0.0, width=128, height=128)
    turned = render_avatar(toy_avatar, {}, {"head": (0.0, math.radians(80), 0.0)}, camera, background=0.0)
    assert turned[..., 2].sum() > 5 * turned[..., 0].sum()


def test_the_head_fills_its_share_and_keys_move_it(toy_avatar: Avatar) -> None:
    camera = orbit_camera(toy_avatar, 0.0, width=256, height=256)
    rest = render_avatar(toy_avatar, {}, {}, camera)
    lifted = render_avatar(toy_avatar, {"jawOpen": 1.0}, {}, camera)
    rows = [torch.nonzero((image < 0.5).any(-1).any(1)).flatten() for image in (rest, lifted)]
    assert len(rows[0]) / 256 == pytest.approx(ORBIT_FILL, abs=0.05)
    assert rows[0][0] - rows[1][0] == pytest.approx(ORBIT_FILL * 256 * 0.05 / 0.2, abs=2)


def test_contact_sheet_and_strip(toy_avatar: Avatar, toy_photo: Callable[..., Photo], tmp_path: Path) -> None:
    photos = {"one.jpg": matted(toy_photo(0)), "not a view.jpg": matted(toy_photo(1))}
    contact_sheet(toy_avatar, photos, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (9 * TILE, 3 * (TILE + LABEL))
        pixels = np.asarray(sheet).astype(float) / 255
    photo = truth_of(toy_photo(0)).over(1.0).numpy()
    halves = photo.reshape(TILE, 2, TILE, 2, 3).mean((1, 3))
    assert np.abs(pixels[:TILE, :TILE] - halves).mean() < 0.02
    rows, columns = np.nonzero((pixels[:TILE, TILE : 2 * TILE] < 0.5).any(-1))
    # The ball lies in the middle of the window, hence of the crop: 20 cm wide, seen from 98 cm at 900 px.
    assert (rows.mean(), columns.mean()) == pytest.approx((TILE / 2 - 0.5, TILE / 2 - 0.5), abs=0.7)
    assert np.ptp(columns) == pytest.approx(900 * 0.2 / 0.98 / 2, abs=4)
    sweep = pixels[TILE + LABEL :][:TILE]
    red, blue = ((sweep[:, :, i] > 0.5) & (sweep[:, :, 2 - i] < 0.5) for i in (0, 2))
    assert blue[:, :TILE].sum() > 2 * red[:, :TILE].sum() and red[:, -TILE:].sum() > 2 * blue[:, -TILE:].sum()

    photo = torch.from_numpy(photo)
    one = Comparison("a very long name of a clip that cannot fit.mp4#123", photo, photo + 0.5, photo + 1)
    comparison_strip([one, one], tmp_path / "strip.png")
    with Image.open(tmp_path / "strip.png") as strip:
        assert strip.size == (3 * TILE, 2 * (TILE + LABEL))
    with pytest.raises(OutputError, match="does not exist"):
        comparison_strip([one], tmp_path / "nowhere" / "strip.png")
