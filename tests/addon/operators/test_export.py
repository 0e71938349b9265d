"""A head comes in from a file and goes out again."""

import bpy
import numpy as np
import pytest


def test_a_head_is_imported_undone_and_exported(addon, avatar_path, tmp_path):
    bpy.ops.ed.undo_push(message="before")
    assert bpy.ops.gaussian_heads.import_head(filepath=str(avatar_path)) == {"FINISHED"}
    assert bpy.data.objects["Astronaut"]["gaussian_head"] == 1
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
