"""Sample photos for the tests of the photo stage."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from engine import assets
from engine.photos import Photo, prepare
from engine.photos.decode import decode


@pytest.fixture(scope="session")
def sample_path() -> Callable[[str], Path]:
    return lambda name: assets.path(f"samples/{name}")


@pytest.fixture(scope="session")
def sample_image(sample_path: Callable[[str], Path]) -> Callable[[str], np.ndarray]:
    """[H, W, 3] uint8 of a sample by name."""
    return lru_cache(lambda name: decode(sample_path(name)).image)


@pytest.fixture(scope="session")
def sample_photo(sample_image: Callable[[str], np.ndarray]) -> Callable[[str], Photo]:
    """A sample prepared once per session."""
    return lru_cache(lambda name: prepare(sample_image(name), name, sha256="0" * 64))
