"""Synthetic views as photos: every pixel and point where the true tracking says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from engine.photos.photo import CROP, INNER, MARGIN, WINDOW, matted
from engine.synthetic import SyntheticSample, sample
from engine.synthetic.portraits import portrait, true_tracking
from engine.synthetic.shelf import ShelvedSample

VIEWS, SIZE = 2, 256


@pytest.fixture(scope="module")
def one() -> SyntheticSample:
    return sample(14, VIEWS, SIZE, same_expression=False)


@pytest.mark.parametrize("view", range(VIEWS))
def test_pixels_land_where_the_tracking_says(one, view):
    """The skin under a pixel's centre, seen by the tracked camera, is where the photo has that pixel's colour."""
    photo, tracked = portrait(one, view), true_tracking(one, range(VIEWS)).views[view]
    rows, columns = np.nonzero(one.visible[view])
    points = one.posed_positions[view][rows, columns].astype(np.float64)
    seen = (points @ tracked.viewmat[:3, :3].T + tracked.viewmat[:3, 3]) @ tracked.K.T
    x, y = (seen[:, :2] / seen[:, 2:]).T
    np.testing.assert_allclose(x, MARGIN + (columns + 0.5) * CROP / SIZE, atol=0.02)
    np.testing.assert_allclose(y, MARGIN + (rows + 0.5) * CROP / SIZE, atol=0.02)
    truth = one.rgb[view][rows, columns]
    apart = {}
    for down, right in ((0, 0), (0, 0.5), (0, -0.5), (0.5, 0), (-0.5, 0)):
        where = (y - 0.5 + down, x - 0.5 + right)
        found = np.stack([map_coordinates(photo.image[..., c], where, order=1) for c in range(3)], axis=1)
        apart[down, right] = np.abs(found - truth).mean()
    assert min(apart, key=lambda shift: apart[shift]) == (0, 0)
    assert apart[0, 0] < 0.01  # the enlarging's blur


def test_windows_hold_the_person_over_nothing(one):
    photo = portrait(one, 1)
    assert photo.image.shape == (WINDOW, WINDOW, 3) and photo.image.dtype == np.float32
    outside = np.ones((WINDOW, WINDOW), bool)
    outside[INNER, INNER] = False
    assert not photo.alpha[outside].any() and not photo.valid[outside].any() and photo.valid[INNER, INNER].all()
    assert (photo.image[outside] == 1).all()
    over_white = one.rgb[1] + (1 - one.alpha[1][..., None]) * (1 - one.background)
    inside = one.alpha[1] > 0.99
    small = photo.foreground[INNER, INNER].reshape(SIZE, 2, SIZE, 2, 3).mean((1, 3))
    assert np.abs(small - over_white)[inside].mean() < 0.01
    foreground = photo.foreground * photo.alpha[..., None] + 1 - photo.alpha[..., None]
    small = foreground[INNER, INNER].reshape(SIZE, 2, SIZE, 2, 3).mean((1, 3))
    assert np.abs(small - over_white).mean() < 0.005  # the rim too: the background is not in the colours
    assert matted(photo)[0, 0].tolist() == [1, 1, 1]


def test_bytes_make_the_same_photo(one):
    small = ShelvedSample.of(one)
    for view in range(VIEWS):
        fine, coarse = portrait(one, view), portrait(small, view)
        assert np.abs(fine.image - coarse.image).max() < 1 / 255
        assert np.abs(fine.alpha - coarse.alpha).max() < 1 / 255
        solid = fine.alpha > 0.5  # where it is nearly nothing, its colour is too
        assert np.abs(fine.foreground - coarse.foreground)[solid].max() < 0.02


def test_tracking_is_the_truth_in_the_order_asked_for(one):
    tracked = true_tracking(one, [1, 0])
    assert [view.name for view in tracked.views] == ["1", "0"]
    np.testing.assert_array_equal(tracked.neutral, one.neutral)
    np.testing.assert_array_equal(tracked.views[0].expression, one.expression[1])
    np.testing.assert_array_equal(tracked.views[0].joint_rotations, one.joint_rotations[1])
    assert tracked.views[0].K[2].tolist() == [0, 0, 1]
