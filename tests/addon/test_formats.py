"""Heads are written to the kinds of files that the engine writes, whatever an engine says."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest


@pytest.fixture
def formats(addon):
    return importlib.import_module(f"{addon}.formats")


def endings(formats, health):
    return [each.ending for each in formats.known(health)]


def test_without_an_engine_there_are_the_usual_ones(formats):
    assert endings(formats, None) == [".npz", ".glb", ".usdz", ".ply", ".splat", ".spz", ".zip"]
    assert formats.glob(formats.known(None)) == "*.npz;*.glb;*.usdz;*.ply;*.splat;*.spz;*.zip"
    formats.require_ending(Path("head.glb"), None)
    with pytest.raises(formats.AddonError, match=r"head\.toy.*\.npz, .* or \.zip"):
        formats.require_ending(Path("head.toy"), None)


def test_a_running_engine_names_its_own(formats):
    health = {"formats": {"glb": "what the engine calls it", "toy": "a count\n"}}
    items = formats.menu_items(formats.known(health))
    assert [item[:2] for item in items] == [
        (".npz", "Avatar (.npz)"), (".glb", "glTF (.glb)"), (".toy", "a count (.toy)"),
    ]  # fmt: skip
    formats.require_ending(Path("head.toy"), health)
    with pytest.raises(formats.AddonError):
        formats.require_ending(Path("head.ply"), health)


@pytest.mark.parametrize("said", [None, 3, [], {}, "ply", {"../a": "", "": "", "A" * 20: ""}])
def test_nonsense_is_not_believed(formats, said):
    assert formats.known({"formats": said}) == formats.known(None)


@pytest.mark.parametrize("words", [None, 3, [], "\0", "x" * 5000])
def test_nonsense_about_a_format_is_left_out(formats, words):
    _, toy = formats.known({"formats": {"toy": words}})
    assert len(toy.label) <= formats.LONGEST and toy.label.isprintable() and toy.label


def test_an_engine_that_names_thousands_is_cut_short(formats):
    assert len(formats.known({"formats": {f"f{n}": "" for n in range(5000)}})) == 1 + formats.MOST
