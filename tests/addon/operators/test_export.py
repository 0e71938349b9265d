"""A head comes in from a file and goes out again."""

import importlib

import bpy
import numpy as np
import pytest


def test_a_head_is_imported_undone_and_exported(addon, avatar_path, tmp_path):
    bpy.ops.ed.undo_push(message="before")
    assert bpy.ops.gaussian_heads.import_head(filepath=str(avatar_path)) == {"FINISHED"}
    assert bpy.data.objects["Astronaut"]["gaussian_head"] == 3
    copy = tmp_path / "copy.npz"
    assert bpy.ops.gaussian_heads.export_head(filepath=str(copy)) == {"FINISHED"}
    with np.load(avatar_path) as before, np.load(copy) as after:
        assert set(before.files) == set(after.files)
        np.testing.assert_array_equal(before["quats"], after["quats"])


def test_a_damaged_file_and_an_unknown_ending_are_reported(addon, avatar_path, tmp_path):
    broken = tmp_path / "broken.npz"
    broken.write_bytes(avatar_path.read_bytes()[:5000])
    with pytest.raises(RuntimeError, match=r"broken\.npz is no avatar file"):
        bpy.ops.gaussian_heads.import_head(filepath=str(broken))
    assert not bpy.data.objects
    bpy.ops.gaussian_heads.import_head(filepath=str(avatar_path))
    with pytest.raises(RuntimeError, match="unknown kind"):
        bpy.ops.gaussian_heads.export_head(filepath=str(tmp_path / "head.obj"))
    with pytest.raises(RuntimeError, match="cannot be written"):
        bpy.ops.gaussian_heads.export_head(filepath=str(broken / "head.npz"))


def test_a_head_is_duplicated_and_deleted_whole(addon, avatar_path):
    heads = importlib.import_module(f"{addon}.rig.heads")
    scene = bpy.context.scene
    bpy.ops.gaussian_heads.import_head(filepath=str(avatar_path))
    (head,) = heads.all_heads(scene)
    head.keys["jawOpen"].value = 1.0
    head.keys["jawOpen"].keyframe_insert("value", frame=1)
    glasses = bpy.data.objects.new("A pair of glasses", bpy.data.meshes.new("glasses"))
    scene.collection.objects.link(glasses)
    glasses.parent = head.root
    head.root.location = (1, 0, 0)
    bpy.context.view_layer.update()
    assert heads.find_head(glasses) == head  # what is parented to a head does not take its place

    assert bpy.ops.gaussian_heads.duplicate_head() == {"FINISHED"}
    copy = heads.active_head(bpy.context)
    assert copy.name == "Astronaut.001"
    assert copy.mesh.name == "Astronaut.001.head"
    assert set(bpy.context.view_layer.objects.selected) == set(copy.parts)
    assert copy.mesh.data != head.mesh.data
    assert copy.splats.modifiers[0].node_group == head.splats.modifiers[0].node_group
    bpy.ops.gaussian_heads.reset_expression(head="Astronaut.001")
    assert head.keys["jawOpen"].value == 1.0

    assert bpy.ops.gaussian_heads.delete_head(head="Astronaut") == {"FINISHED"}
    assert [head.name for head in heads.all_heads(scene)] == ["Astronaut.001"]
    assert glasses.parent is None
    assert glasses.matrix_world.translation.x == 1
    assert bpy.ops.gaussian_heads.delete_head() == {"FINISHED"}
    assert [obj.name for obj in bpy.data.objects] == ["A pair of glasses"]
    assert not bpy.data.armatures
    assert not bpy.data.pointclouds


def test_a_changed_rig_is_told_and_other_heads_still_export(addon, avatar_path, tmp_path):
    bpy.ops.gaussian_heads.import_head(filepath=str(avatar_path))
    bpy.data.objects["Astronaut.rig"].data.bones["jaw"].name = "chin"
    with pytest.raises(RuntimeError, match=r"no longer built as a head .*jaw"):
        bpy.ops.gaussian_heads.export_head(filepath=str(tmp_path / "head.npz"))


def test_a_head_is_exported_by_name_in_the_chosen_format(addon, avatar_path, tmp_path):
    for _ in range(2):
        bpy.ops.gaussian_heads.import_head(filepath=str(avatar_path))
    bpy.ops.gaussian_heads.export_head(head="Astronaut", filepath=str(tmp_path / "first"))
    with np.load(tmp_path / "first.npz") as written:
        assert b'"name": "Astronaut"' in written["metadata"].tobytes()
    with pytest.raises(RuntimeError, match="no head “Nobody”"):
        bpy.ops.gaussian_heads.export_head(head="Nobody", filepath=str(tmp_path / "none"))


def test_the_menu_offers_what_the_engine_writes(addon, avatar_path, tmp_path, monkeypatch):
    engine = importlib.import_module(f"{addon}.engine_client.engine")
    bpy.ops.gaussian_heads.import_head(filepath=str(avatar_path))
    with pytest.raises(TypeError, match=r"not found in \('\.npz', '\.glb', .*'\.zip'\)"):
        bpy.ops.gaussian_heads.export_head(filepath=str(tmp_path / "head"), file_format=".toy")
    monkeypatch.setattr(type(engine.ENGINE), "health", property(lambda self: {"formats": {"toy": "A count"}}))
    with pytest.raises(TypeError, match=r"not found in \('\.npz', '\.toy'\)"):
        bpy.ops.gaussian_heads.export_head(filepath=str(tmp_path / "head"), file_format=".glb")
    assert bpy.ops.gaussian_heads.export_head(filepath=str(tmp_path / "head"), file_format=".npz") == {"FINISHED"}


def test_a_head_that_is_being_edited_is_not_exported_as_it_was_before(addon, avatar_path, tmp_path):
    bpy.ops.gaussian_heads.import_head(filepath=str(avatar_path))
    bpy.context.view_layer.objects.active = bpy.data.objects["Astronaut.head"]
    bpy.ops.object.mode_set(mode="EDIT")
    with pytest.raises(RuntimeError, match="Leave Edit Mode"):
        bpy.ops.gaussian_heads.export_head(filepath=str(tmp_path / "head.npz"))
    bpy.ops.object.mode_set(mode="OBJECT")
    assert bpy.ops.gaussian_heads.export_head(filepath=str(tmp_path / "head.npz")) == {"FINISHED"}
