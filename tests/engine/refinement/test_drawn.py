"""Refinement may not paint over eyes and mouth: there, its goal is the head as it began."""

from dataclasses import replace

import pytest
import torch

from engine import assets
from engine.heads.landmarks import EYE_RIMS
from engine.photos import load_photos
from engine.photos.crop import crop_target
from engine.photos.openings import INNER_LIPS
from engine.photos.photo import CROP, MARGIN
from engine.progress import Progress
from engine.refinement.drawn import keep_drawn


@pytest.fixture(scope="module")
def photo():
    return load_photos([assets.path("samples/person_a_2.jpg")], Progress()).photos[0]


def test_the_goal_is_the_head_where_the_face_is_open_and_the_photo_elsewhere(photo):
    landmarks = photo.landmarks.copy()
    lower = list(INNER_LIPS[1:10])
    landmarks[lower, 1] += 25  # the mouth opens
    target, points = crop_target(photo), landmarks[:, :2] - MARGIN
    opened, image = replace(photo, landmarks=landmarks), torch.full((CROP, CROP, 3), 0.5)
    goal = keep_drawn(target, opened, image, torch.ones(CROP, CROP, 1), torch.zeros(CROP, CROP, 1))
    for rim in (*EYE_RIMS.values(), INNER_LIPS):
        column, row = points[list(rim)].mean(axis=0).round().astype(int)
        assert torch.allclose(goal.image[row, column], torch.tensor(0.5), atol=0.05)
    for column, row in points[[1, 199, 105]].round().astype(int):  # nose, chin, brow
        assert torch.equal(goal.image[row, column], target.image[row, column])
    assert (goal.image != target.image).any(dim=2).float().mean() < 0.08


def test_where_the_head_shows_drawn_parts_they_are_the_goal_too(photo):
    target = crop_target(photo)
    shown = torch.zeros(CROP, CROP, 1)
    shown[200:240, 200:240] = 1
    goal = keep_drawn(target, photo, torch.full((CROP, CROP, 3), 0.5), torch.ones(CROP, CROP, 1), shown)
    assert torch.allclose(goal.image[210:230, 210:230], torch.tensor(0.5), atol=1e-3)
    assert torch.equal(goal.alpha[:190], target.alpha[:190])
