"""What the tests of this folder have in common."""

import importlib

import pytest


@pytest.fixture
def rig(addon):
    names = ("avatar_file", "build", "extract", "heads", "points", "axes", "copies")
    return type("Rig", (), {name: importlib.import_module(f"{addon}.rig.{name}") for name in names})
