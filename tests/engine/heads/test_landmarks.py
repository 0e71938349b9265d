"""The landmark correspondence of the default head, checked against views it was not made from."""

import numpy as np
import pytest
import trimesh

from engine.errors import HeadModelError
from engine.heads import load_head
from engine.heads.landmarks import (
    IRISES,
    LEFT_IRIS,
    LOWER_LIP_INNER,
    RIGHT_IRIS,
    UPPER_LIP_INNER,
    detect_in,
    find_landmarks,
    mirror_pairs,
)
from engine.heads.parametric import ParametricHead
from engine.heads.portrait import take_portrait
from engine.landmarker.face import FACE_OVAL

EYE_CORNERS = (33, 133, 362, 263)  # right outer, right inner, left inner, left outer


@pytest.fixture(scope="module")
def head() -> ParametricHead:
    return load_head()


@pytest.fixture(scope="module")
def points(head: ParametricHead) -> np.ndarray:
    corners = head.template[head.faces[head.landmark_triangles]]
    return np.einsum("nk,nkc->nc", head.landmark_barycentrics, corners)


@pytest.mark.slow
def test_agree_with_views_that_were_not_used(head: ParametricHead, points: np.ndarray) -> None:
    """New directions, another light: the detector's lines of sight pass the points within a few millimetres."""
    views = np.deg2rad([(18, 0), (-18, 0), (6, 5), (-6, -5)])
    light = np.array([0.1, 0.4, 1.0])
    portraits = [take_portrait(head.template, head.faces, head.regions, yaw, pitch, light) for yaw, pitch in views]
    misses = []
    for portrait, pixels in zip(portraits, detect_in(portraits), strict=True):
        rays, away = portrait.rays(pixels), points - portrait.eye
        misses.append(np.linalg.norm(np.cross(away, rays), axis=1))
    missed = np.mean(misses, axis=0)
    inner = np.setdiff1d(np.arange(468), FACE_OVAL)
    assert missed[inner].mean() < 1.5e-3
    assert missed[list(FACE_OVAL)].mean() < 4e-3
    assert missed[list(IRISES)].mean() < 2e-3


def test_lie_on_the_right_parts(head: ParametricHead, points: np.ndarray) -> None:
    corners = head.faces[head.landmark_triangles]
    is_iris = np.isin(np.arange(478), IRISES)
    np.testing.assert_array_equal(head.regions["eyes"][corners].all(axis=1), is_iris)
    for name in ("teeth", "tongue", "lashes", "mouth_interior"):
        assert not head.regions[name][corners].all(axis=1).any(), name
    for centre, sign in ((LEFT_IRIS, 1), (RIGHT_IRIS, -1)):
        ball = head.template[head.regions["eyes"] & (sign * head.template[:, 0] > 0)]
        assert points[centre, 2] > ball[:, 2].max() - 5e-4
    x = points[list(EYE_CORNERS), 0]
    assert (np.diff(x) > 0.015).all(), "the subject's right is at negative x"


def test_lips_keep_their_sides(head: ParametricHead) -> None:
    """Upper and lower landmarks touch in the closed mouth, but part when the jaw opens."""
    opened = head.template + head.expression_basis[head.expression_names.index("jawOpen")]
    for mesh, low, high in ((head.template, -0.001, 0.004), (opened, 0.01, 0.05)):
        corners = mesh[head.faces[head.landmark_triangles]]
        points = np.einsum("nk,nkc->nc", head.landmark_barycentrics, corners)
        gap = points[list(UPPER_LIP_INNER), 1] - points[list(LOWER_LIP_INNER), 1]
        assert (gap > low).all()
        assert (gap < high).all()


def test_symmetric_and_trusted_where_it_should_be(head: ParametricHead, points: np.ndarray) -> None:
    pairs = mirror_pairs(points)
    np.testing.assert_array_equal(pairs[pairs], np.arange(478))
    assert [pairs[k] for k in (33, 61, 82, 87, 468, 1)] == [263, 291, 312, 317, 473, 1]
    assert np.linalg.norm(points - points[pairs] * [-1, 1, 1], axis=1).max() < 1.5e-3
    weights = head.landmark_weights
    assert 0 <= weights.min()
    assert weights.max() <= 1
    assert weights[list(FACE_OVAL)].mean() < 0.5 * weights[list(EYE_CORNERS)].mean()


@pytest.mark.slow
def test_no_face_is_an_error() -> None:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.1)
    eyes = (np.abs(ball.vertices[:, 0]) > 0.02) & (ball.vertices[:, 2] > 0.07)
    with pytest.raises(HeadModelError, match="No face"):
        find_landmarks(np.array(ball.vertices), np.array(ball.faces), {"eyes": eyes})
