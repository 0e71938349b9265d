"""A head gets looks for Blender's own drawing, keeps its own in files, and gets them back."""

import importlib
from types import SimpleNamespace

import bpy
import numpy as np
import pytest

from ..waiting import wait_for


@pytest.fixture
def parts(addon, avatar_path, monkeypatch):
    """A head in a Blender that draws Gaussians, and an engine that has looks for it, once."""
    names = ("api", "errors", "rig.blending", "rig.extract", "rig.heads", "rig.points")
    found = {name.split(".")[-1]: importlib.import_module(f"{addon}.{name}") for name in names}
    monkeypatch.setattr(found["api"], "HAS_NATIVE_SPLATS", True)
    bpy.ops.gaussian_heads.import_head(filepath=str(avatar_path))
    bpy.ops.ed.undo_push(message="import")
    count = len(found["heads"].active_head(bpy.context).splats.data.points)
    answers = [np.random.default_rng(0).random((count, 4), np.float32)]
    sent = []
    client = SimpleNamespace(put_head=lambda key, avatar: sent.append((key, avatar)), linear=lambda key: answers.pop())
    monkeypatch.setattr(found["api"], "ENGINE", SimpleNamespace(wait_ready=lambda: client))
    looks = answers[0]
    return SimpleNamespace(**found, sent=sent, looks=looks, head=lambda: found["heads"].active_head(bpy.context))


def radiance(parts) -> np.ndarray:
    return parts.points.read_attribute(parts.head().splats.data, "radiance:base")


def test_blender_draws_other_looks_and_files_keep_the_heads_own(parts):
    before, avatar, key = radiance(parts), parts.extract.extract(parts.head()), parts.extract.content_key(parts.head())
    assert bpy.ops.gaussian_heads.match_blender() == {"FINISHED"}
    assert parts.blending.is_matched(parts.head()) and parts.sent == [(key, avatar)]
    drawn = radiance(parts)
    np.testing.assert_allclose(drawn[:, :3] * parts.points.SH_C0 + 0.5, parts.looks[:, :3], atol=1e-6)
    np.testing.assert_array_equal(drawn[:, 3], parts.looks[:, 3])
    assert parts.extract.extract(parts.head()) == avatar and parts.extract.content_key(parts.head()) == key

    assert bpy.ops.gaussian_heads.match_blender() == {"FINISHED"}  # the engine has no second answer
    np.testing.assert_array_equal(radiance(parts), drawn)
    assert bpy.ops.gaussian_heads.match_blender(matched=False) == {"FINISHED"}
    np.testing.assert_array_equal(radiance(parts), before)
    assert not parts.blending.is_matched(parts.head())


def test_undo_takes_it_back(parts):
    before = radiance(parts)
    bpy.ops.gaussian_heads.match_blender()
    bpy.ops.ed.undo_push(message="match")
    bpy.ops.ed.undo()
    assert not parts.blending.is_matched(parts.head())
    np.testing.assert_array_equal(radiance(parts), before)


def test_the_button_works_while_the_artist_goes_on(parts, addon):
    errands, show = (importlib.import_module(f"{addon}.{name}") for name in ("tasks.errands", "operators.show"))
    show._match_behind(parts.head())
    assert not parts.blending.is_matched(parts.head())
    (errand,) = errands.Errand.running
    assert wait_for(lambda: not errand._thread.is_alive(), 60)
    while errand._poll() is not None:
        pass
    assert parts.blending.is_matched(parts.head())


def test_looks_of_another_head_are_not_taken(parts):
    with pytest.raises(parts.errors.AddonError, match="changed meanwhile"):
        parts.blending.match(parts.head(), parts.looks[1:])
    assert not parts.blending.is_matched(parts.head())


def test_a_blender_that_draws_no_gaussians_needs_none(parts, monkeypatch):
    monkeypatch.setattr(parts.api, "HAS_NATIVE_SPLATS", False)
    with pytest.raises(RuntimeError, match="leaves Gaussians to the add-on"):
        bpy.ops.gaussian_heads.match_blender()
    assert not parts.blending.is_matched(parts.head())
