"""Every file that we write, opened in viewers that are not ours and drawn by software, looks as the engine draws it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from engine.avatar import Pose, drive
from engine.exchange.exporting import export, export_formats
from engine.rendering import ORBIT_FILL, orbit_camera
from tests.viewers.viewers import VIEWERS, Viewer, draw, expected, psnr

SIZE = 384  # pixels
FAR = round(80 / ORBIT_FILL)  # the head is 80 pixels high
YAWS = (0, 45, -60)  # degrees
SMILE = Pose({"mouthSmileLeft": 0.8, "jawOpen": 0.3}, {"neck": (0.1, 0.2, 0.0)})
ALIKE = 35.0  # dB
SMALL_ALIKE = 32.0  # dB; 18 to 30 where a face falls away


def decibels(browser, avatar, viewer: Viewer, size: int, pose: Pose, folder) -> dict[str, list[float]]:
    """PSNR of three views of each file that the viewer reads and we write, to the engine's, with the viewer's blur."""
    files = [folder / f"head.{name}" for name in viewer.formats if name in export_formats()]
    for file in files:
        export(avatar, pose, file)
    cameras = [orbit_camera(avatar, math.radians(yaw), width=size, height=size) for yaw in YAWS]
    splats = drive(avatar, pose.expression, pose.joint_rotations)
    references = [expected(splats, camera, viewer.blur) for camera in cameras]
    drawn = draw(browser, folder, [(viewer, file, viewer.like_ours) for file in files], cameras)
    return {
        file.suffix: [psnr(*pair) for pair in zip(each.pictures, references, strict=True)]
        for file, each in zip(files, drawn, strict=True)
    }


@pytest.mark.parametrize("viewer", VIEWERS, ids=lambda viewer: viewer.page)
def test_viewers_draw_what_the_engine_draws(browser, avatar, viewer: Viewer, tmp_path):
    found = decibels(browser, avatar, viewer, SIZE, SMILE, tmp_path)
    assert found
    assert all(min(each) >= ALIKE for each in found.values()), found


def test_a_small_head_keeps_its_face_where_small_splats_are_dropped(browser, avatar, tmp_path):
    """In PlayCanvas as it comes; were larger Gaussians left behind those dropped, dark eyes and mouth would show."""
    (viewer,) = (replace(viewer, formats=("ply",)) for viewer in VIEWERS if viewer.page == "playcanvas")
    (found,) = decibels(browser, avatar, viewer, FAR, Pose(), tmp_path).values()
    assert min(found) >= SMALL_ALIKE, found
