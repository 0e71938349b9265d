"""The face is found the same way whatever the photo's size, turn and company, and lies where the contract says."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from engine.arkit import ARKIT_NAMES
from engine.errors import PhotoError
from engine.landmarker import detect_faces
from engine.photos import CROP, MARGIN, WINDOW, Photo, prepare
from engine.photos.landmarks import find_face

Images = Callable[[str], np.ndarray]
Photos = Callable[[str], Photo]

ON_FACE = [1, 4, 5, 6, 151, 199]  # nose, forehead, chin: inside the face from every side


def eye_distance(landmarks: np.ndarray) -> float:
    return float(np.linalg.norm(landmarks[33, :2] - landmarks[263, :2]))


@pytest.mark.parametrize("name", ["astronaut.png", "person_a_2.jpg", "person_b_2.jpg", "stills/45-m7-di-ph.jpg"])
def test_window_matte_and_landmarks(sample_photo: Photos, name: str):
    photo = sample_photo(name)
    assert photo.image.shape == photo.foreground.shape == (WINDOW, WINDOW, 3)
    assert photo.alpha.shape == photo.valid.shape == (WINDOW, WINDOW)
    for values in (photo.image, photo.foreground, photo.alpha, photo.scores):
        assert values.dtype == np.float32
        assert 0 <= values.min() <= values.max() <= 1
    assert photo.landmarks.shape == (478, 3)
    assert (photo.landmarks[:, :2] > MARGIN).all()
    assert (photo.landmarks[:, :2] < MARGIN + CROP).all()
    assert (photo.alpha[~photo.valid] == 0).all()
    assert (photo.image[~photo.valid] == 1).all()

    skin = photo.landmarks[ON_FACE, :2].astype(int)
    assert (photo.alpha[skin[:, 1], skin[:, 0]] > 0.95).all()
    assert photo.alpha[:16].max() < 0.05  # the row above everybody's hair
    assert photo.embedding.shape == (128,)
    assert np.linalg.norm(photo.embedding) == pytest.approx(1, abs=1e-5)


def test_head_fills_the_crop_and_background_is_clear(sample_photo: Photos):
    photo = sample_photo("astronaut.png")
    rows = np.flatnonzero((photo.alpha[:, MARGIN : MARGIN + CROP] > 0.5).any(1))
    chin = photo.landmarks[152, 1]
    assert rows[0] > MARGIN  # hair top inside the crop
    assert 0.55 < (chin - rows[0]) / CROP < 0.70
    assert photo.alpha[MARGIN : MARGIN + 60, MARGIN : MARGIN + 60].max() < 0.02
    assert photo.scores[ARKIT_NAMES.index("mouthSmileLeft")] > 0.5
    assert photo.scores[ARKIT_NAMES.index("jawOpen")] < 0.3
    assert photo.scores[ARKIT_NAMES.index("tongueOut")] == 0


def test_window_pixels_are_the_photo_s(sample_image: Images, sample_photo: Photos):
    """A point's colour in the photo, looked up through ``size`` and ``center`` alone, is the window's colour there."""
    image, photo = sample_image("astronaut.png"), sample_photo("astronaut.png")
    scale = photo.size[0] / image.shape[1]
    smooth = cv2.GaussianBlur(image, (0, 0), 3)
    window = cv2.GaussianBlur(photo.image, (0, 0), 3 * float(scale))
    for x, y in photo.landmarks[ON_FACE, :2]:
        at = (np.array([x, y]) - photo.center) / scale + np.array(image.shape[1::-1]) / 2
        there = smooth[int(at[1]), int(at[0])] / 255
        np.testing.assert_allclose(window[int(y), int(x)], there, atol=0.03)


@pytest.mark.slow
def test_landmarks_repeat(sample_image: Images):
    """Shifting, scaling and turning the photo moves the landmarks along, to 0.4 % of the eye distance."""
    image = sample_image("person_b_1.jpg")
    reference = find_face(image, "reference").face.landmarks
    rng = np.random.default_rng(0)
    refined, direct = [], []
    for _ in range(5):
        angle, scale = rng.uniform(-0.06, 0.06), rng.uniform(0.9, 1.1)
        matrix = cv2.getRotationMatrix2D((358.0, 450.0), np.degrees(angle), scale)
        matrix[:, 2] += rng.uniform(-15, 15, 2)
        moved = cv2.warpAffine(
            image, matrix, image.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        back = cv2.invertAffineTransform(matrix)
        # OpenCV's matrix counts pixel centres from 0, landmarks from 0.5.
        for found, into in ((find_face(moved, "moved").face, refined), (detect_faces(moved)[0], direct)):
            into.append((found.landmarks[:, :2] - 0.5) @ back[:, :2].T + back[:, 2] + 0.5)

    def spread(looks: list[np.ndarray]) -> float:
        return float(np.sqrt(np.var(looks, axis=0).sum(-1)).mean()) / eye_distance(reference)

    assert spread(refined) < 0.004
    assert spread(refined) < 0.7 * spread(direct)
    drift = np.linalg.norm(np.mean(refined, 0) - reference[:, :2], axis=1).mean() / eye_distance(reference)
    assert drift < 0.005


def test_two_people_take_the_largest_with_a_warning(sample_image: Images):
    large, small = sample_image("person_a_2.jpg"), sample_image("person_b_1.jpg")
    small = cv2.resize(small, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    pair = np.full((large.shape[0], large.shape[1] + small.shape[1], 3), 128, np.uint8)
    pair[: large.shape[0], : large.shape[1]] = large
    pair[-small.shape[0] :, large.shape[1] :] = small
    found = find_face(pair, "pair.jpg")
    alone = find_face(large, "alone.jpg")
    assert np.linalg.norm(found.face.center - alone.face.center) < 0.02 * alone.face.height
    assert "pair.jpg shows 2 faces; the largest is used." in found.warnings


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_turned_photo_is_put_upright(sample_image: Images, turn: int):
    image = sample_image("person_a_2.jpg")
    found = find_face(np.rot90(image, turn), "lying.jpg")
    np.testing.assert_array_equal(found.image, image)
    assert "lying.jpg lies on its side or upside down" in found.warnings[0]


@pytest.mark.slow
def test_small_face_and_face_that_fills_the_frame(sample_image: Images):
    image = sample_image("person_a_2.jpg")
    face = find_face(image, "whole").face
    (x, y), half = face.center.astype(int), int(face.height / 2)
    filling = image[y - half + 10 : y + half - 10, x - half + 60 : x + half - 60]
    assert find_face(filling, "filling").face.height == pytest.approx(face.height, rel=0.05)

    scene = np.full((1500, 2000, 3), 128, np.uint8)
    small = cv2.resize(image, None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA)
    scene[900 : 900 + small.shape[0], 300 : 300 + small.shape[1]] = small
    found = find_face(scene, "scene.jpg")
    assert np.linalg.norm(found.face.center - (0.2 * face.center + (300, 900))) < 2
    assert "the result will be soft" in found.warnings[0]
    with pytest.raises(PhotoError, match="The face in far.jpg is only .* pixels high.*at least"):
        find_face(cv2.resize(scene, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA), "far.jpg")


def test_no_face_names_the_photo():
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    landscape = cv2.resize(noise, (800, 600), interpolation=cv2.INTER_CUBIC)
    with pytest.raises(PhotoError, match="No face found in hills.jpg. Use a photo that shows the face"):
        prepare(landscape, "hills.jpg", sha256="")


def test_focal_length_scales_with_the_window(sample_image: Images, sample_photo: Photos):
    image = sample_image("astronaut.png")
    photo = prepare(image, "lens", sha256="", exif_focal=1.5 * image.shape[1])
    assert photo.focal == pytest.approx(1.5 * photo.size[0], rel=1e-5)
    assert sample_photo("astronaut.png").focal is None


def test_bodies_apart_are_dropped(sample_image: Images):
    """A second person in the window leaves no trace in the matte."""
    scene = sample_image("astronaut.png").copy()
    other = cv2.resize(sample_image("person_a_1.jpg"), None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
    scene[: other.shape[0], 345 : 345 + other.shape[1]] = other
    photo = prepare(scene, "two", sha256="")
    scale = photo.size[0] / 512
    corner, opposite = (photo.center + (np.array(at) - 256) * scale for at in ((350, 2), (420, 90)))
    assert (opposite < WINDOW).all()
    there = np.s_[int(corner[1]) : int(opposite[1]), int(corner[0]) : int(opposite[0])]
    assert photo.valid[there].all()
    assert photo.alpha[there].max() < 0.05
