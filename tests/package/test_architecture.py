"""The page that shows the house shows the one that stands."""

from __future__ import annotations

import pytest

from building import architecture


def test_the_picture_is_of_these_imports():
    page = architecture.PAGE.read_text("utf-8")
    assert architecture.drawn(page) == page, "Run: python3 build.py architecture"


def test_every_room_is_listed_with_its_purpose():
    page = architecture.PAGE.read_text("utf-8")
    for half in architecture.HALVES:
        for room in (room for row in architecture.layers(half) for room in row):
            (row,) = [line for line in page.splitlines() if line.startswith(f"| `{room}` |") and len(line) > 20][:1]
            assert len(row.split("|")[2].strip()) > 20, room


def test_a_page_without_its_marks_is_refused():
    with pytest.raises(ValueError, match="unpack"):
        architecture.drawn("# Architecture")
