"""Expressions, assets and whole animations go from one head to another by name."""

import bpy
import numpy as np
import pytest


def test_a_face_is_pasted_onto_a_head_of_another_model(parts, head, other):
    parts.expressions.set_weights(head, {"mouthSmileLeft": 0.8, "eyeBlinkRight": 0.3, "tongueOut": 0.6})
    parts.poses.set_rotation(head, "jaw", (0.2, 0.0, 0.0))
    parts.expressions.set_weights(other, {"expression_001": -1.5, "browInnerUp": 0.4})
    missing = parts.transfer.paste_pose(other, parts.transfer.copy_pose(head))
    assert missing == ("tongueOut",)
    weights = parts.expressions.weights(other)
    assert {name: round(w, 5) for name, w in weights.items() if w} == {
        "mouthSmileLeft": 0.8, "eyeBlinkRight": 0.3, "expression_001": -1.5
    }  # fmt: skip
    assert parts.poses.rotation(other.armature.pose.bones["jaw"]) == pytest.approx((0.2, 0, 0), abs=1e-6)
    assert set(parts.transfer.paste_pose(head, parts.transfer.copy_pose(other))) == {"expression_001"}


def test_an_animation_is_copied_with_its_shape(parts, head, other, evaluated):
    for frame, value in ((1, 0.0), (10, 0.8), (20, 0.1)):
        parts.expressions.set_weights(head, {"jawOpen": value, "tongueOut": value / 2})
        parts.expressions.key_weights(head, frame, ["jawOpen", "tongueOut"])
        parts.poses.set_rotation(head, "neck", (0.3 * value, value, 0.0))
        parts.poses.key_rotations(head, frame, ["neck"])
    parts.expressions.key_weights(other, 300, ["jawOpen", "cheekPuff"])
    copied, missing = parts.transfer.copy_animation(head, other)
    assert (copied, missing) == (4, ("tongueOut",))
    for frame in np.arange(1, 21, 2.5):
        (weights, turns), (again, turned) = evaluated(head, frame), evaluated(other, frame)
        assert again.get("jawOpen", 0.0) == pytest.approx(weights.get("jawOpen", 0.0), abs=1e-6)
        np.testing.assert_allclose(turned["neck"], turns["neck"], atol=1e-6)
    curve = parts.curves.find_curve(other.mesh.data.shape_keys, parts.symmetry.key_path("cheekPuff"))
    assert [point.co[0] for point in curve.keyframe_points] == [300]
    for owner in (head.mesh.data.shape_keys, head.armature):
        owner.animation_data_clear()
    with pytest.raises(parts.errors.AddonError, match="no keyframes"):
        parts.transfer.copy_animation(head, other)


def test_heads_that_share_an_action_keep_it(parts, head, other):
    parts.expressions.set_weights(head, {"jawOpen": 0.7})
    parts.expressions.key_weights(head, 1, ["jawOpen"])
    parts.poses.set_rotation(head, "neck", (0.3, 0.1, 0.0))
    parts.poses.key_rotations(head, 5, ["neck"])
    owners = [(one.mesh.data.shape_keys, one.armature) for one in (head, other)]

    def share(mine, its) -> None:
        data = its.animation_data_create()
        data.action = mine.animation_data.action
        if hasattr(data, "action_slot"):
            data.action_slot = mine.animation_data.action_slot

    def keys(one) -> list:
        found = [(one.mesh.data.shape_keys, parts.symmetry.key_path("jawOpen"))]
        found.append((one.armature, parts.poses.rotation_path(one.armature.pose.bones["neck"])))
        return [[tuple(point.co) for point in parts.curves.find_curve(*at).keyframe_points] for at in found]

    before = keys(head)
    with pytest.raises(parts.errors.AddonError, match="itself"):
        parts.transfer.copy_animation(head, head)
    share(owners[0][0], owners[1][0])
    copied, missing = parts.transfer.copy_animation(head, other)
    assert copied in (3, 4) and not missing  # the bone's alone
    assert keys(head) == keys(other) == before
    share(owners[0][1], owners[1][1])
    with pytest.raises(parts.errors.AddonError, match="share"):
        parts.transfer.copy_animation(head, other)
    assert keys(head) == keys(other) == before


def test_an_expression_asset_is_saved_and_used_by_another_file(parts, head, other, tmp_path):
    parts.expressions.apply_preset(head, "smile")
    parts.poses.set_rotation(head, "head", (0.0, 0.5, 0.1))
    wanted = parts.expressions.weights(head)
    action = parts.pose_assets.create(head, "Grin")
    assert parts.pose_assets.assets() == [action] and action.asset_data is not None
    assert tuple(action.frame_range) == (1, 1)
    path = tmp_path / "library.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True)
    bpy.data.actions.remove(action)

    parts.expressions.reset(other)
    missing = parts.pose_assets.apply_from_library(other, path, "Grin", strength=0.5)
    assert missing == () and not bpy.data.libraries and "Grin" not in bpy.data.actions
    for name, weight in parts.expressions.weights(other).items():
        assert weight == pytest.approx(0.5 * wanted.get(name, 0.0), abs=1e-6)
    parts.pose_assets.apply_from_library(other, path, "Grin")
    assert parts.poses.rotation(other.armature.pose.bones["head"]) == pytest.approx((0, 0.5, 0.1), abs=1e-5)
    with bpy.data.libraries.load(str(path), link=True) as (_, linked):
        linked.actions = ["Grin"]
    parts.pose_assets.apply_from_library(other, path, "Grin")
    assert list(bpy.data.libraries) == [linked.actions[0].library]  # what the artist linked stays
    with pytest.raises(parts.errors.AddonError, match="no action"):
        parts.pose_assets.apply_from_library(other, path, "Frown")
    (tmp_path / "torn.blend").write_bytes(b"BLENDER")
    with pytest.raises(parts.errors.AddonError, match="cannot be read"):
        parts.pose_assets.apply_from_library(other, tmp_path / "torn.blend", "Grin")


def test_presets_close_lips_only_as_far_as_the_jaw_is_open(parts):
    every = parts.presets.EXPRESSIONS | parts.presets.VISEMES
    assert len(parts.presets.EXPRESSIONS) == 7 and len(parts.presets.VISEMES) == 15
    for name, weights in every.items():
        assert set(weights) <= set(parts.arkit.ARKIT_NAMES), name
        assert all(0 <= weight <= 1 for weight in weights.values()), name
        assert weights.get("mouthClose", 0) <= weights.get("jawOpen", 0), name
        for key, weight in weights.items():
            other = parts.groups.counterpart(key)
            assert other is None or weights[other] == weight, (name, key)


def test_a_spoken_sound_leaves_the_smile_in_the_eyes(parts, head):
    parts.expressions.apply_preset(head, "smile")
    parts.expressions.apply_preset(head, "PP", strength=0.5)
    weights = parts.expressions.weights(head)
    assert weights["cheekSquintLeft"] == pytest.approx(0.4) and weights["mouthSmileLeft"] == 0
    assert weights["mouthClose"] == pytest.approx(weights["jawOpen"]) and weights["jawOpen"] == pytest.approx(0.06)
