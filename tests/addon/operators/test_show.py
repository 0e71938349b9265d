"""An artist shows a head as a mesh: the first time it is baked, then it is a click, and undo takes it back."""

import importlib
from pathlib import Path

import bpy
import pytest

from ..engine import ask_engine


@pytest.fixture
def head(addon, avatar_path, tmp_path, monkeypatch):
    """A head, and an engine that bakes it once more than it is asked to would fail."""
    path = tmp_path / "head.zip"
    ask_engine(Path(__file__).parents[1] / "rig" / "bake_head.py", avatar_path, path)
    api, baked = (importlib.import_module(f"{addon}.{name}") for name in ("api", "rig.baked"))
    answers = [path.read_bytes()]
    monkeypatch.setattr(api, "prepare_bake", lambda head, size: lambda: baked.read_baked(answers.pop()))
    bpy.ops.gaussian_heads.import_head(filepath=str(avatar_path))
    bpy.ops.ed.undo_push(message="import")
    return lambda: importlib.import_module(f"{addon}.rig.heads").active_head(bpy.context)


def test_a_head_becomes_a_mesh_and_splats_again(addon, head):
    assert bpy.ops.gaussian_heads.show_head(what="MESH") == {"FINISHED"}
    assert head().shown == "MESH" and head().hair is not None and not head().mesh.hide_render
    assert bpy.ops.gaussian_heads.light_mesh(lit=False) == {"FINISHED"}
    bpy.ops.ed.undo_push(message="show")
    assert bpy.ops.gaussian_heads.show_head(what="SPLATS") == {"FINISHED"}
    assert head().shown == "SPLATS" and head().mesh.hide_render
    assert bpy.ops.gaussian_heads.show_head(what="BOTH") == {"FINISHED"}  # without the engine: it has its pictures
    assert head().shown == "BOTH" and head().mesh.is_shadow_catcher


def test_a_bake_that_fails_leaves_the_pictures_that_there_are(addon, head, monkeypatch):
    bpy.ops.gaussian_heads.show_head(what="MESH")
    api, errors = (importlib.import_module(f"{addon}.{name}") for name in ("api", "errors"))

    def no_engine():
        raise errors.AddonError("The engine is gone.", "Start it.")

    monkeypatch.setattr(api, "prepare_bake", lambda head, size: no_engine)
    with pytest.raises(RuntimeError, match="The engine is gone"):
        bpy.ops.gaussian_heads.bake_mesh()
    assert head().mesh.data.materials and head().hair is not None and head().shown == "MESH"


def test_without_pictures_there_is_nothing_to_light(head):
    with pytest.raises(RuntimeError, match="no textured mesh"):
        bpy.ops.gaussian_heads.light_mesh(lit=False)
