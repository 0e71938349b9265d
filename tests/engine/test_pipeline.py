"""Photos in, a head out, and a word on every photo that did little for it."""

from dataclasses import replace

import numpy as np
import pytest

from engine import assets
from engine.photos import load_photos
from engine.photos.photo import PhotoSet
from engine.pipeline import Options, reconstruct_photos
from engine.progress import Progress

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photo():
    return load_photos([assets.path("samples/person_b_1.jpg")], Progress()).photos[0]


@pytest.fixture(scope="module")
def warnings_of(photo):
    def made(*changed) -> list[str]:
        photos = (photo, *(replace(photo, name="second.jpg", **changes) for changes in changed))
        result = reconstruct_photos(PhotoSet(photos), "Ada", Options(refine_seconds=0, count=20_000), Progress())
        return [" ".join(photo.warnings) for photo in result.photos]

    return made


def test_the_same_photo_twice_is_said_to_be_no_gain(warnings_of):
    assert sorted("shows nothing that the others do not" in text for text in warnings_of({})) == [False, True]


def test_a_photo_in_other_light_gives_its_face_alone_and_that_is_said(photo, warnings_of):
    shade = np.linspace(0.3, 1.0, photo.image.shape[1], dtype=np.float32)[None, :, None]
    said = warnings_of({"image": photo.image * shade})
    assert sum("only its face is used" in text for text in said) == 1


def test_a_refinement_that_had_too_little_time_says_so(photo):
    options = Options(refine_seconds=0.5, count=20_000)
    made = reconstruct_photos(PhotoSet((photo,)), "Ada", options, Progress())
    assert 0 < made.model.metrics["rounds"] < made.model.metrics["rounds_wanted"]
    assert any("give it longer" in warning for warning in made.photos[0].warnings)
