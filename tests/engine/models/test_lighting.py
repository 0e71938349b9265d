"""Photos of one person that do not agree: different light, a poor one beside a sharp one."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from engine.heads.rig import make_rig
from engine.models.surface import surface
from engine.models.surface.lighting import fit_light, gains, harmonics, leading_photo
from engine.models.surface.shoot import compare
from engine.progress import Progress
from engine.tracking import track


def test_a_planted_light_is_found_in_spite_of_outliers():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(4000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    leading = rng.uniform(0.2, 0.6, (4000, 3))
    light = np.zeros((9, 3))
    light[:4] = [[-0.2, -0.2, -0.1], [0.25, 0.2, 0.2], [0.1, 0.1, 0.1], [-0.15, -0.1, 0.0]]
    theirs = leading * np.exp(harmonics(torch.from_numpy(normals)).numpy() @ light)
    theirs[:400] = rng.uniform(0, 1, (400, 3))  # hair in one photo, skin in the other
    found = fit_light(theirs, leading, normals, np.ones(4000))
    there = torch.from_numpy(normals)
    error = gains(torch.from_numpy(found), there) / gains(torch.from_numpy(light), there)
    assert (error - 1).abs().max() < 0.08


@pytest.mark.slow
def test_a_poor_photo_does_not_lead_and_does_not_touch_what_the_sharp_one_shows(head, pair):
    sharp = pair[0]
    small = cv2.resize(sharp.image, (96, 96), interpolation=cv2.INTER_AREA)
    soft = cv2.resize(small, sharp.image.shape[:2][::-1], interpolation=cv2.INTER_LINEAR) * 0.8
    poor = replace(sharp, name="poor.jpg", image=soft, foreground=soft, sharpness=sharp.sharpness / 4, density=0.15)
    tracked = track([poor, sharp], head, Progress())
    assert leading_photo([poor, sharp], tracked.views, [1.0, 1.0]) == 1
    both = surface([poor, sharp], tracked, head, Progress(), 20_000)
    assert both.shoot.leading == 1
    alone = surface([sharp], replace(tracked, views=tracked.views[1:]), head, Progress(), 20_000)
    face = torch.from_numpy(head.face_region("face", "lips"))
    one, other = (m.gaussians.colors[face[m.gaussians.triangles] & (m.gaussians.parts == 0)] for m in (both, alone))
    assert len(one) == len(other) and (one - other).abs().mean() < 0.01


@pytest.mark.slow
def test_photos_of_another_light_give_no_hair(head, pair):
    """A side-lit copy is told apart from the same shoot; a copy as it is belongs to it."""
    ramp = np.linspace(1.0, 0.35, pair[0].image.shape[1], dtype=np.float32)[None, :, None]
    lit = replace(pair[0], name="lit.jpg", image=pair[0].image * ramp, foreground=pair[0].foreground * ramp)
    again = replace(pair[0], name="again.jpg")
    photos = [pair[0], again, lit]
    tracked = track(photos, head, Progress())
    shoot = compare(head, make_rig(head, tracked.neutral, tracked.joints), photos, tracked.views)
    assert shoot.leading in (0, 1) and list(shoot.alike) == [True, True, False]
