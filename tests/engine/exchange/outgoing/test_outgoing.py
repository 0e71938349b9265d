"""What of a head goes to files, and how it looks there, near and far."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from engine.avatar import Avatar, Pose, drive
from engine.exchange.outgoing.choosing import most_different, outgoing
from engine.gaussians.gaussians import BoundGaussians, Splats, concatenate, select
from engine.models.kit.scene import HEAD_RADII, shell_avatar
from engine.progress import Progress
from engine.rendering import Camera, render

pytestmark = pytest.mark.slow
CORNERS = ((4, 1, 1), (1, 4, 1), (1, 1, 4), (3, 3, 0), (0, 3, 3), (3, 0, 3))  # sixths


@pytest.fixture(scope="module")
def head() -> Avatar:
    """An egg of fine, smoothly coloured skin around a dark one of large splats, as heads have a skull: of less than
    0.22 pixels where 30 pixels are 0.24 m."""
    made = shell_avatar(2000, torch.device("cpu"))
    inner = replace(
        made.gaussians,
        offsets=made.gaussians.offsets - torch.tensor((0, 0, 0.012)),
        scales=torch.tensor((3e-3, 3e-3, 5e-4)).repeat(2000, 1),
        colors=torch.zeros(2000, 3),
    )
    triangles = torch.arange(len(made.faces)).repeat_interleave(len(CORNERS))
    count = len(triangles)
    skin = BoundGaussians(
        triangles=triangles,
        barycentrics=torch.tensor(CORNERS).repeat(len(made.faces), 1) / 6,
        offsets=torch.zeros(count, 3),
        quats=torch.tensor((1.0, 0, 0, 0)).repeat(count, 1),
        scales=torch.tensor((1.7e-3, 1.7e-3, 1e-4)).repeat(count, 1),
        opacities=torch.full((count,), 0.99),
        colors=torch.zeros(count, 3),
        parts=torch.zeros(count, dtype=torch.uint8),
    )
    places = drive(replace(made, gaussians=skin), {}).means
    skin = replace(skin, colors=0.6 + 0.3 * (30 * places).sin())
    return replace(made, gaussians=concatenate(skin, inner))


def hidden(splats: Splats) -> int:
    """How many of the inner ones there are; the coat lies 4 mm deep at most."""
    return int(((splats.means / torch.tensor(HEAD_RADII)).norm(dim=1) < 0.92).sum())


def camera(pixels: float, yaw: float = 0.0) -> Camera:
    """Of which the egg takes so many pixels."""
    size = round(1.4 * pixels)
    viewmat = np.eye(4)
    viewmat[:3, :3] = np.diag((1.0, -1.0, -1.0)) @ Rotation.from_euler("y", -yaw).as_matrix()
    viewmat[2, 3] = 1.0
    focal = pixels / (2 * HEAD_RADII[1])
    return Camera(viewmat, np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]), size, size)


def as_playcanvas(splats: Splats, view: Camera) -> Splats:
    """Those that PlayCanvas 2.23 draws: of which 2 sqrt(2 (4 s² + 0.3)) ≥ 2, with s the wider of the two projected
    standard deviations in pixels (gsplatCorner.js, minPixelSize)."""
    axes = Rotation.from_quat(splats.quats.double().numpy(), scalar_first=True).as_matrix()
    axes = view.viewmat[:3, :3] @ (axes * splats.scales.double().numpy()[:, None])
    means = splats.means.double().numpy() @ view.viewmat[:3, :3].T + view.viewmat[:3, 3]
    rows = view.K[0, 0] / means[:, 2:, None] * (axes[:, :2] - (means[:, :2] / means[:, 2:])[:, :, None] * axes[:, 2:])
    widest = np.linalg.eigvalsh(rows @ rows.transpose(0, 2, 1))[:, -1]
    drawn = torch.from_numpy(2 * np.sqrt(2 * (4 * widest + 0.3)) >= 2)
    return Splats(*(value[drawn] for value in vars(splats).values()))


def psnr(splats: Splats, wanted: Splats, view: Camera) -> float:
    error = render(splats, view).over(1.0) - render(wanted, view).over(1.0)
    return float(-10 * error.square().mean().log10())


@pytest.fixture(scope="module")
def ready(head) -> Avatar:
    return outgoing(head, [Pose()], Progress(), 1.0, keep_hidden=False)


def test_a_small_head_keeps_its_skin_in_viewers_that_drop_small_splats(head, ready):
    before, after = drive(head, {}), drive(ready, {})
    for yaw in (0.0, 1.0, 3.0):
        view = camera(30, yaw)
        lost, kept = (psnr(as_playcanvas(splats, view), before, view) for splats in (before, after))
        assert kept > 20 and kept > lost + 2.5


def test_near_by_nothing_changes_and_what_is_never_seen_is_gone(head, ready):
    before, after = drive(head, {}), drive(ready, {})
    for yaw in (0.0, 2.0):
        assert psnr(after, before, camera(400, yaw)) > 45
    assert hidden(before) == 2000 and hidden(after) < 200
    kept = outgoing(head, [Pose()], Progress(), 1.0, keep_hidden=True)
    assert hidden(drive(kept, {})) == 2000


def test_thinner_heads_look_the_same_at_the_sizes_that_they_are_for(head):
    before = drive(head, {})
    for share, size, decibels in ((0.5, 300, 33), (0.25, 100, 33), (0.1, 100, 28)):
        thin = outgoing(head, [Pose()], Progress(), share, keep_hidden=False)
        splats = drive(thin, {})
        assert len(splats.means) < share * len(before.means) * 1.35  # the coat comes on top
        assert hidden(splats) < 20
        assert psnr(splats, before, camera(size)) > decibels


def test_the_coat_goes_along_with_the_skin(head, ready):
    pose = Pose(dict.fromkeys(head.key_names[:20], 0.8))
    before, after = (drive(each, pose.expression) for each in (head, ready))
    assert (before.means[: len(before.means) - 2000] - drive(head, {}).means[:-2000]).norm(dim=1).max() > 0.004
    assert psnr(after, before, camera(300)) > 40
    assert psnr(as_playcanvas(after, camera(30)), before, camera(30)) > 20


def test_the_poses_that_stand_for_a_performance_are_far_apart():
    poses = [Pose({"jawOpen": w / 10, "browInnerUp": float(w == 3)}) for w in range(11)]
    chosen = most_different(poses, 3)
    assert [pose.expression["jawOpen"] for pose in chosen] == [0, 0.3, 1.0]
    assert most_different(poses[:1], 4) == poses[:1]


def test_a_head_of_one_splat_is_that_splat(head):
    one = replace(head, gaussians=select(head.gaussians, torch.arange(len(head.gaussians)) == 7))
    for share in (1.0, 0.1):
        assert 1 <= len(outgoing(one, [Pose()], Progress(), share, keep_hidden=False).gaussians) <= 3


def test_a_head_of_nothing_visible_gives_no_splats(head):
    faint = replace(head, gaussians=replace(head.gaussians, opacities=torch.zeros(len(head.gaussians))))
    assert len(outgoing(faint, [Pose()], Progress(), 0.5, keep_hidden=False).gaussians) == 0
