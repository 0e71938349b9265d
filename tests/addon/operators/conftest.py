"""An artist's Blender whose engine only speaks the protocol; every job results in the same real avatar."""

import importlib
from types import SimpleNamespace

import bpy
import pytest

from ..waiting import STUB, STUB_PYTHON


@pytest.fixture
def parts(addon, tmp_path, monkeypatch):
    names = {
        "engine": "engine_client.engine",
        "messages": "engine_client.messages",
        "errors": "errors",
        "preferences": "preferences",
        "photo_checks": "tasks.photo_checks",
        "photo_files": "tasks.photo_files",
        "reconstruction": "tasks.reconstruction",
        "watch": "tasks.watch",
        "heads": "rig.heads",
    }
    found = {key: importlib.import_module(f"{addon}.{name}") for key, name in names.items()}
    monkeypatch.setattr(found["preferences"], "user_dir", lambda: tmp_path / "user")
    return SimpleNamespace(**found)


@pytest.fixture
def stub(parts, addon, avatar_path, monkeypatch):
    """The add-on with the engine's stand-in; yields its parts."""
    monkeypatch.setenv("STUB_AVATAR", str(avatar_path))
    monkeypatch.setattr(parts.preferences, "EXTENSION_DIR", STUB)
    bpy.context.preferences.addons[addon].preferences.engine_python = str(STUB_PYTHON)
    return parts
