"""A head goes to a program that blends splats in linear light, as Blender 5.3 does, and looks there as it does here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from engine.avatar import Avatar, Pose, drive, save
from engine.cli import main
from engine.exchange.linear import GREY, View, fit, for_linear_light
from engine.formats.splats.ply import read_ply
from engine.formats.viewers import from_file
from engine.gaussians.eigenbasis import STEPS, Eigenbasis
from engine.gaussians.gaussians import Splats
from engine.models.kit.scene import shell_avatar
from engine.progress import Progress
from engine.rendering import Camera, orbit_around, render
from tests.engine.avatars import PROVENANCE

SMILE = {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "jawOpen": 0.4}


def decoded(colors: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, in float64, with no value below black."""
    colors = np.asarray(colors, np.float64).clip(min=0)
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)


def encoded(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light.clip(min=0.0031308) ** (1 / 2.4) - 0.055)


def in_blender(splats: Splats, camera: Camera) -> np.ndarray:
    """[H, W, 3] sRGB, over grey: each splat's colour is decoded, blended, and the picture encoded."""
    picture = render(replace(splats, colors=torch.from_numpy(decoded(splats.colors.numpy())).float()), camera)
    behind = (1 - picture.alpha[..., None].double().numpy()) * decoded(GREY)
    return encoded((picture.rgb.double().numpy() + behind).clip(0, 1))


def error(splats: Splats, wanted: Splats, cameras: list[Camera]) -> float:
    """Mean difference in 1/255 where the head is."""
    off = []
    for camera in cameras:
        picture = render(wanted, camera)
        there = (picture.alpha > 0.98).numpy()
        off.append(np.abs(in_blender(splats, camera) - picture.over(GREY).double().numpy())[there])
    return 255 * float(np.concatenate(off).mean())


@pytest.fixture(scope="module")
def head() -> Avatar:
    made = shell_avatar(3000, torch.device("cpu"))
    rest = drive(made, {}).means
    colors = (0.5 + 0.25 * torch.sin(40 * rest) + 0.25 * (made.gaussians.colors - 0.5)).clamp(0, 1)
    opacities = torch.linspace(0.2, 0.9, 3000)
    return replace(made, gaussians=replace(made.gaussians, colors=colors, opacities=opacities), provenance=PROVENANCE)


@pytest.fixture(scope="module")
def cameras(head) -> list[Camera]:
    """None of those that are fitted to."""
    return [orbit_around(head.vertices, yaw, 0.3, 200, 200) for yaw in (0.2, 1.9, 3.0, 4.4)]


@pytest.mark.slow
def test_the_colours_are_those_of_least_squares():
    rng = np.random.default_rng(3)
    count, side = 51, 24
    splats = Splats(
        means=torch.from_numpy(rng.normal(0, 0.03, (count, 3))).float(),
        quats=torch.from_numpy(rng.normal(size=(count, 4))).float(),
        scales=torch.from_numpy(rng.uniform(0.004, 0.02, (count, 3))).float(),
        opacities=torch.from_numpy(rng.uniform(0.3, 0.95, count)).float(),
        colors=torch.from_numpy(rng.uniform(0.1, 0.9, (count, 3))).float(),
    )
    cameras = [orbit_around(splats.means.numpy(), yaw, 0.1, side, side) for yaw in np.arange(6.0)]
    views = [View(splats, camera) for camera in cameras]
    colors, opacities = fit(splats.colors, splats.opacities, views, 500, Progress())

    wanted = np.concatenate([render(splats, camera).over(GREY).double().numpy().reshape(-1, 3) for camera in cameras])
    weights = blending_weights(replace(splats, opacities=opacities), cameras)
    behind = (1 - weights.sum(axis=1)) * decoded(GREY)
    for channel in range(3):

        def off(light: np.ndarray, channel=channel) -> np.ndarray:
            return encoded(weights @ light + behind) - wanted[:, channel]

        found = decoded(colors[:, channel].numpy())
        best = least_squares(off, found.clip(1e-9, 1 - 1e-9), bounds=(0, 1), xtol=1e-12, ftol=1e-12, gtol=1e-12)
        left = float(np.square(off(found)).sum()) / 2
        assert best.cost <= left * (1 + 1e-6) and left < best.cost * 1.01
        firm = weights.sum(axis=0) > 10  # what hardly shows may have any colour
        assert firm.sum() > 30
        np.testing.assert_allclose(encoded(found)[firm], encoded(best.x)[firm], atol=0.03)
        before = np.square(
            encoded(decoded(splats.colors[:, channel].numpy()) @ weights.T + behind) - wanted[:, channel]
        )
        assert left < before.sum() / 2 / 4


def blending_weights(splats: Splats, cameras: list[Camera]) -> np.ndarray:
    """[pixels, N] float64: what each splat has of each pixel, three at a time as red, green and blue."""
    one = torch.eye(len(splats.means))
    pictures = [
        torch.cat([render(replace(splats, colors=part), camera).rgb for part in one.split(3, dim=1)], dim=-1)
        for camera in cameras
    ]
    return torch.cat([picture.reshape(-1, len(one)) for picture in pictures]).double().numpy()


@pytest.mark.slow
def test_a_head_looks_in_linear_light_as_it_does_in_srgb(head, cameras):
    ready = for_linear_light(head, None, Progress())
    colors = ready.gaussians.colors
    assert 0 <= colors.min() and colors.max() <= 1 and 0 <= ready.gaussians.opacities.min()
    for expression in ({}, SMILE):
        own = drive(head, expression)
        assert error(own, own, cameras) > 3
        assert error(drive(ready, expression), own, cameras) < error(own, own, cameras) / 2


@pytest.mark.slow
def test_what_motion_adds_to_colours_is_fitted_along(head, cameras):
    basis = torch.zeros(1, len(head.gaussians), 14)
    basis[..., 11:] = 20 * STEPS[13]
    gains = torch.zeros(len(head.key_names) + 3 * len(head.joint_names), 1)
    gains[head.key_names.index("jawOpen")] = -1.0
    darker = replace(head, eigenbasis=Eigenbasis(basis, gains))
    own = drive(darker, SMILE)
    assert float((drive(head, SMILE).colors - own.colors).mean()) > 0.05
    ready = for_linear_light(darker, None, Progress())
    for expression in (SMILE, {}):
        own = drive(darker, expression)
        assert error(drive(ready, expression), own, cameras) < error(own, own, cameras) / 1.4


@pytest.mark.slow
def test_splats_that_no_camera_sees_keep_their_looks(head):
    nothing = replace(head, gaussians=replace(head.gaussians, opacities=torch.zeros(3000)))
    ready = for_linear_light(nothing, [Pose()], Progress()).gaussians
    assert torch.allclose(ready.colors, head.gaussians.colors, atol=1e-6) and not ready.opacities.any()


@pytest.mark.slow
def test_a_file_is_written_for_programs_that_blend_so(head, cameras, tmp_path, capsys):
    save(head, tmp_path / "head.npz")
    command = ["export", str(tmp_path / "head.npz"), "--expression", "jawOpen=0.5", "-o"]
    assert main([*command, str(tmp_path / "srgb.ply")]) == 0
    assert main([*command, str(tmp_path / "linear.ply"), "--blend", "linear"]) == 0
    ours, theirs = (from_file(read_ply(tmp_path / f"{name}.ply").splats, "colmap") for name in ("srgb", "linear"))
    assert torch.equal(ours.means, theirs.means) and torch.equal(ours.scales, theirs.scales)
    assert error(theirs, ours, cameras) < error(ours, ours, cameras) / 2
    (tmp_path / "take.csv").write_text("Time,JawOpen\n0,0\n0.1,1\n")
    take = ["--performance", str(tmp_path / "take.csv"), "--blend", "linear"]
    assert main(["export", str(tmp_path / "head.npz"), "-o", str(tmp_path / "f#.ply"), *take]) == 0
    first, second = (read_ply(tmp_path / f"f{frame}.ply").splats for frame in (1, 2))
    assert torch.equal(first.colors, second.colors) and not torch.equal(first.means, second.means)
    assert main([*command, str(tmp_path / "head.glb"), "--blend", "linear"]) == 1
    assert ".ply" in capsys.readouterr().err
