"""A take becomes an action of its own, or goes into the middle of what is there, and changes nothing else."""

import bpy
import numpy as np
import pytest

from .test_performance import curve, keyed, take


def playing(evaluated, head, frames) -> np.ndarray:
    """[T, 52 + 9] what a head shows: its sliders, and how its head is turned."""
    rows = []
    for frame in frames:
        weights, turns = evaluated(head, frame)
        rows.append([weights.get(name, 0.0) for name in sorted(head.keys)] + list(turns["head"].reshape(-1)))
    return np.array(rows)


def keys_of(parts, head, name: str) -> list[tuple]:
    points = curve(parts, head, name).keyframe_points
    return [(*point.co, point.interpolation, point.easing) for point in points]


@pytest.mark.slow
def test_two_takes_are_punched_into_an_animation_and_into_each_other(parts, head, evaluated, tmp_path):
    scene = bpy.context.scene
    scene.render.fps = 24
    keyed(head, "jawOpen", (1, 0.1), (31, 0.9), (44, 0.3), (80, 0.7), (90, 0.2))
    keyed(head, "mouthPucker", (1, 0.0), (90, 0.6))
    keyed(head, "browInnerUp", (1, 0.3), (90, 0.9))
    head.armature.pose.bones["head"].rotation_euler = (0.2, -0.1, 0.0)
    parts.poses.key_rotations(head, 20, ["head"])
    frames = np.array([1, 8, 20, 30, 36, *range(39, 72), 80, 95])
    before, brows = playing(evaluated, head, frames), keys_of(parts, head, "browInnerUp")
    jaw = keys_of(parts, head, "jawOpen")
    recorded = take(parts, 3.0)
    place = parts.takes.Placement(span=(40, 60), blend=4)
    parts.performance.import_capture(head, recorded, scene, 10, parts=("JAW", "HEAD"), placement=place)

    after = playing(evaluated, head, frames)
    outside = (frames <= 40) | (frames >= 60)
    np.testing.assert_allclose(after[outside], before[outside], atol=2e-5)
    column = sorted(head.keys).index("jawOpen")
    inside = (frames >= 44) & (frames < 57)
    expected = np.interp((np.arange(44, 57) - 10) / 24, recorded.times, recorded.weights["jawOpen"])
    np.testing.assert_allclose(after[inside, column], expected, atol=1e-5)
    assert keys_of(parts, head, "browInnerUp") == brows
    assert [key for key in keys_of(parts, head, "jawOpen") if not 40 <= key[0] <= 60] == [
        key for key in jaw if not 40 <= key[0] <= 60
    ]
    assert curve(parts, head, "eyeBlinkLeft") is None  # of another part

    place = parts.takes.Placement(span=(50, 70), blend=6)
    parts.performance.import_capture(head, recorded, scene, 30, 0.5, parts=("JAW",), placement=place)
    again = playing(evaluated, head, frames)
    outside = (frames <= 50) | (frames >= 70)
    np.testing.assert_allclose(again[outside], after[outside], atol=2e-5)
    assert np.abs(np.diff(again[5:-2, column])).max() < 0.2  # nothing jumps
    name = head.name
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "punched.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "punched.blend"))
    (head,) = (one for one in parts.heads.all_heads(bpy.context.scene) if one.name == name)
    np.testing.assert_allclose(playing(evaluated, head, frames), again, atol=1e-6)


@pytest.mark.parametrize(("target", "slots"), [("ACTION", True), ("NLA", True), ("NLA", False)])
def test_a_take_of_its_own_plays_like_the_take(parts, head, evaluated, monkeypatch, target, slots, tmp_path):
    monkeypatch.setattr(parts.takes, "HAS_SLOTS", slots)
    scene = bpy.context.scene
    keyed(head, "jawOpen", (1, 0.1), (90, 0.9))
    parts.performance.import_capture(head, take(parts), scene, 11)  # as it plays in the active action
    frames = range(11, 58, 9)
    before = playing(evaluated, head, frames)
    former = head.mesh.data.shape_keys.animation_data.action
    recorded = take(parts)
    placement = parts.takes.Placement(target, "Walla")
    parts.performance.import_capture(head, recorded, scene, 11, placement=placement)
    np.testing.assert_allclose(playing(evaluated, head, frames), before, atol=1e-5)
    owners = (head.mesh.data.shape_keys.animation_data, head.armature.animation_data)
    if target == "NLA":
        assert [owner.action for owner in owners] == [None, None]
        assert all(owner.nla_tracks[-1].strips[0].name.startswith("Walla") for owner in owners)
        assert owners[0].nla_tracks[-1].strips[0].frame_start == 11
        actions = {owner.nla_tracks[-1].strips[0].action for owner in owners}
        assert evaluated(head, 90)[0]["jawOpen"] == pytest.approx(0.9, abs=1e-5)  # what was there plays on
    else:
        actions = {owner.action for owner in owners}
    assert len(actions) == (1 if slots else 2) and all(action.name.startswith("Walla") for action in actions)
    copy = parts.copies.duplicate(head, bpy.context)
    np.testing.assert_allclose(playing(evaluated, copy, frames), before, atol=1e-5)
    former, name = former.name, head.name
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "own.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "own.blend"))
    assert former in bpy.data.actions
    (head,) = (one for one in parts.heads.all_heads(bpy.context.scene) if one.name == name)
    np.testing.assert_allclose(playing(evaluated, head, frames), before, atol=1e-5)


def test_a_strip_is_punched_in_and_an_action_would_hide_it(parts, head, evaluated):
    scene, recorded = bpy.context.scene, take(parts)
    scene.render.fps = 24
    keyed(head, "jawOpen", (1, 0.9), (90, 0.9))
    placement = parts.takes.Placement("NLA", "Line", (20, 40), 5)
    parts.performance.import_capture(head, recorded, scene, 11, parts=("JAW",), placement=placement)
    shown = [evaluated(head, frame)[0]["jawOpen"] for frame in (10, 20, 30, 40, 60)]
    middle = np.interp(19 / 24, recorded.times, recorded.weights["jawOpen"])
    np.testing.assert_allclose(shown, [0.9, 0.9, middle, 0.9, 0.9], atol=1e-5)
    placement = parts.takes.Placement(span=(20, 40))
    with pytest.raises(parts.errors.AddonError, match="would hide"):
        parts.performance.import_capture(head, recorded, scene, 11, parts=("JAW",), placement=placement)
    placement = parts.takes.Placement("NLA", span=(500, 600))
    with pytest.raises(parts.errors.AddonError, match="not into 500"):
        parts.performance.import_capture(head, recorded, scene, 11, placement=placement)


@pytest.mark.slow
def test_clean_up_keeps_to_its_tolerance_at_every_frame(parts, head, evaluated):
    scene = bpy.context.scene
    parts.performance.import_capture(head, take(parts, 4.0), scene, 1, share=0.4)
    frames = range(1, 97)
    before, face = playing(evaluated, head, frames), len(head.keys)
    steps = parts.clean_up.clean_up_steps(
        head, scene, (10, 80), ("FACE", "HEAD"), parts.clean_up.Cleaning(0.01, np.radians(1))
    )
    done = parts.build.finished(steps)
    after = playing(evaluated, head, frames)
    assert done.after < done.before / 3
    assert np.abs(after - before)[:, :face].max() <= 0.01 + 1e-6
    turned = [
        one.reshape(3, 3).T @ two.reshape(3, 3) for one, two in zip(before[:, face:], after[:, face:], strict=True)
    ]
    angles = [np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)) for turn in turned]
    assert max(angles) <= 2 * np.radians(1) + 1e-4  # neck and head together
    np.testing.assert_allclose(after[80:], before[80:], atol=1e-6)


def test_a_take_is_mirrored_made_stronger_and_limited(parts, head, evaluated):
    scene = bpy.context.scene
    scene.render.fps = 24
    recorded = take(parts)
    parts.performance.import_capture(head, recorded, scene, 1, placement=parts.takes.Placement("NLA", "Line"))
    cleaning = parts.clean_up.Cleaning(0.0, 0.0, gain=1.5, highest=0.6, mirror=True)
    parts.build.finished(parts.clean_up.clean_up_steps(head, scene, None, ("FACE", "HEAD"), cleaning, "Line"))
    for frame in (1, 12, 30):
        weights, turns = evaluated(head, frame)
        wanted = 1.5 * np.interp((frame - 1) / 24, recorded.times, recorded.weights["eyeBlinkLeft"])
        assert weights.get("eyeBlinkRight", 0.0) == pytest.approx(min(wanted, 0.6), abs=1e-4)
        assert "eyeBlinkLeft" not in weights
    with pytest.raises(parts.errors.AddonError, match="It has: Line"):
        next(parts.clean_up.clean_up_steps(head, scene, None, ("FACE",), cleaning, "Nothing"))


def test_any_curve_plays_on_beside_a_range(parts, head):
    draw = np.random.default_rng(0)
    for kind in ("BEZIER", "BEZIER", "BEZIER", "LINEAR", "CONSTANT", "BOUNCE", "ELASTIC"):
        for handle in ("AUTO", "AUTO_CLAMPED", "FREE", "VECTOR"):
            keyed(head, "jawOpen", *((float(frame), draw.random()) for frame in (1, 12, 30, 33, 60, 80)))
            found = curve(parts, head, "jawOpen")
            for point in found.keyframe_points:
                point.interpolation, point.handle_left_type, point.handle_right_type = kind, handle, handle
                if handle == "FREE":
                    point.handle_left = point.co[0] - 6 * draw.random(), draw.random()
                    point.handle_right = point.co[0] + 6 * draw.random(), draw.random()
            found.update()
            frames = np.arange(1.0, 95.0)
            before = np.array([found.evaluate(frame) for frame in frames])
            first, last = draw.integers(5, 40), draw.integers(45, 90)
            inside = np.arange(first, last + 1.0)
            share = parts.punch.shares(inside, 3)
            wanted = parts.punch.blended(found, inside, np.full(len(inside), 5.0), share, 0.0)
            parts.punch.replace_between(found, inside, wanted)
            after = np.array([found.evaluate(frame) for frame in frames])
            outside = (frames <= first) | (frames >= last)
            np.testing.assert_allclose(after[outside], before[outside], atol=1e-4, err_msg=f"{kind} {handle}")
            assert found.evaluate((first + last) / 2) == 5.0
            head.mesh.data.shape_keys.animation_data_clear()
