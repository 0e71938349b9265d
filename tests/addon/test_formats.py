"""Heads are written to the kinds of files that the engine writes, whatever an engine says."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest


@pytest.fixture
def formats(addon):
    return importlib.import_module(f"{addon}.formats")


def test_without_an_engine_there_are_the_usual_ones(formats):
    assert formats.splat_endings(None) == (".ply", ".splat")
    formats.require_ending(Path("head.npz"), None)
    with pytest.raises(formats.AddonError, match=r"head\.toy.*\.npz, \.ply or \.splat"):
        formats.require_ending(Path("head.toy"), None)


def test_a_running_engine_names_its_own(formats):
    health = {"formats": {"ply": "3D Gaussian Splatting", "toy": "a count"}}
    assert formats.splat_endings(health) == (".ply", ".toy")
    formats.require_ending(Path("head.toy"), health)


@pytest.mark.parametrize("said", [None, 3, [], {}, "ply", {"../a": "", "": "", "A" * 20: ""}])
def test_nonsense_is_not_believed(formats, said):
    assert formats.splat_endings({"formats": said}) == formats.BUILT_IN


def test_an_engine_that_names_thousands_is_cut_short(formats):
    assert len(formats.splat_endings({"formats": {f"f{n}": "" for n in range(5000)}})) == formats.MOST
