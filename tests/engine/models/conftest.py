"""The default head, and two photos of one person."""

import pytest

from engine import assets
from engine.heads import load_head
from engine.photos import load_photos
from engine.progress import Progress


@pytest.fixture(scope="session")
def head():
    return load_head()


@pytest.fixture(scope="session")
def pair():
    return load_photos([assets.path(f"samples/person_a_{i}.jpg") for i in (2, 1)], Progress()).photos
