"""The browser with the viewers, and a real head; where there can be no browser, every test says why."""

from __future__ import annotations

import pytest

from building.shell import BUILD
from engine import assets
from engine.avatar import Avatar
from engine.photos import load_photos
from engine.pipeline import Options, reconstruct_photos
from engine.progress import Progress
from tests.viewers.browser import Browser, why_not


@pytest.fixture(scope="session")
def browser() -> Browser:
    if reason := why_not():
        pytest.skip(f"No viewer can be opened here: {reason}")
    browser = Browser(BUILD / "viewers")
    browser.set_up()
    return browser


@pytest.fixture(scope="session")
def avatar() -> Avatar:
    """A person from one photo, with as many Gaussians as usual: small ones are what viewers differ in."""
    photos = load_photos([assets.path("samples/astronaut.png")], Progress())
    return reconstruct_photos(photos, "Ada", Options(refine_seconds=0), Progress()).avatar
