"""The guide that the extension carries: README and docs as pages that a browser shows without a network."""

import re
from pathlib import Path

import pytest

pytest.importorskip("markdown_it")
from building import guide


def test_every_link_and_picture_of_the_guide_is_in_it(tmp_path: Path) -> None:
    guide.make(tmp_path / "guide")
    pages = {path.name: path.read_text("utf-8") for path in (tmp_path / "guide").glob("*.html")}
    assert {"index.html", "animation.html", "scripting.html", "licences.html"} <= set(pages)
    assert "<h1>Gaussian Heads</h1>" in pages["index.html"]
    for name, text in pages.items():
        links = re.findall(r'(?:href|src)="([^"]*)"', text)
        here = [link.partition("#")[0] for link in links if "://" not in link and link[0] != "#"]
        assert all((tmp_path / "guide" / link).is_file() for link in here), name
        assert not re.search(r"<link|<script|@import", text)
    assert "animation.html" in pages["index.html"] and "<table>" in pages["index.html"]
