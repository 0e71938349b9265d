"""One person's photos agree, two persons' do not; outliers are set aside with their reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from engine.photos import Photo, embed
from engine.photos.outliers import BLURRED, SAME_PERSON, set_aside_outliers

Photos = Callable[[str], Photo]
PEOPLE = {
    "a": ["person_a_1.jpg", "person_a_2.jpg"],
    "b": ["person_b_1.jpg", "person_b_2.jpg"],
    "c": ["astronaut.png"],
    "d": ["stills/45-m7-di-ph.jpg"],
}


@pytest.mark.slow
def test_same_person_agrees_and_others_do_not(sample_photo: Photos):
    who = [(person, sample_photo(name).embedding) for person, names in PEOPLE.items() for name in names]
    for (one, a), (other, b) in combinations(who, 2):
        assert (a @ b > 0.5) if one == other else (a @ b < 0.3)


@pytest.mark.slow
def test_embedding_of_the_window_equals_the_photo_s(sample_photo: Photos):
    """Renders are compared in the window: cutting it out of the photo must not change who it is."""
    for name in ("astronaut.png", "person_b_2.jpg"):
        photo = sample_photo(name)
        again = embed((photo.image * 255).round().astype(np.uint8), photo.landmarks)
        assert again @ photo.embedding > 0.97


@pytest.mark.slow
def test_another_person_is_set_aside(sample_photo: Photos):
    a1, a2, b1 = (sample_photo(name) for name in ("person_a_1.jpg", "person_a_2.jpg", "person_b_1.jpg"))
    result = set_aside_outliers([b1, a1, a2])
    assert [photo.name for photo in result.photos] == ["person_a_1.jpg", "person_a_2.jpg"]
    (other,) = result.set_aside
    assert other.name == "person_b_1.jpg"
    assert other.reason.startswith("person_b_1.jpg shows another person (similarity 0.")
    assert other.reason.endswith(f"the others agree at {a1.embedding @ a2.embedding:.2f}). "
                                 "Remove it or reconstruct it on its own.")  # fmt: skip


@pytest.mark.slow
def test_of_two_that_disagree_the_first_stays(sample_photo: Photos):
    a, b = sample_photo("person_a_2.jpg"), sample_photo("person_b_1.jpg")
    assert a.embedding @ b.embedding < SAME_PERSON
    for first, second in ((a, b), (b, a)):
        result = set_aside_outliers([first, second])
        assert result.photos == (first,)
        assert f"{first.name} is kept" in result.set_aside[0].reason


def test_blurred_photo_is_set_aside(sample_photo: Photos):
    sharp = sample_photo("person_b_1.jpg")
    blurred = replace(sharp, name="moved.jpg", sharpness=0.5 * BLURRED * sharp.sharpness)
    result = set_aside_outliers([sharp, replace(sharp, name="twin.jpg"), blurred])
    assert [photo.name for photo in result.photos] == ["person_b_1.jpg", "twin.jpg"]
    assert result.set_aside[0].reason.startswith("moved.jpg is too blurred to help")
    assert result.set_aside[0].reason.endswith("Replace it by a sharper one.")
