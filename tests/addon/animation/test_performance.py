"""A capture becomes keyframes where the animator wants them, and nowhere else."""

import bpy
import numpy as np
import pytest


def take(parts, seconds: float = 2.0, rate: float = 60.0):
    """A blink, a mouth and turns at 60 rows a second, with a gap where the phone stuttered."""
    times = np.arange(0, seconds, 1 / rate)
    times = np.concatenate((times[:20], times[27:]))
    weights = {"eyeBlinkLeft": 0.5 - 0.5 * np.cos(7 * times), "jawOpen": times / seconds, "eyeLookUpLeft": times / 9}
    turns = {"head": np.column_stack((0.3 * np.sin(3 * times), 0.5 * np.sin(2 * times), 0.2 * np.cos(times)))}
    turns |= {name: np.column_stack((0.1 * times, -0.2 * times, 0 * times)) for name in ("eyeLeft", "eyeRight")}
    return parts.capture.Capture(times, weights, turns, rate, (), ())


def euler_matrix(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """Rz Ry Rx, written out."""
    cx, cy, cz, sx, sy, sz = *np.cos((pitch, yaw, roll)), *np.sin((pitch, yaw, roll))
    return np.array(
        (
            (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
            (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
            (-sy, cy * sx, cy * cx),
        )
    )


def keyed(head, key: str, *pairs: tuple[float, float]) -> None:
    for frame, value in pairs:
        head.keys[key].value = value
        head.keys[key].keyframe_insert("value", frame=frame)


def curve(parts, head, name: str) -> bpy.types.FCurve:
    return parts.curves.find_curve(head.mesh.data.shape_keys, parts.symmetry.key_path(name))


def frames_of(points) -> list[float]:
    return [point.co[0] for point in points]


def test_a_60_fps_capture_enters_a_24_fps_scene_that_is_already_animated(parts, head, evaluated):
    scene = bpy.context.scene
    scene.render.fps, scene.frame_start, scene.frame_end = 24, 1, 60
    keyed(head, "jawOpen", (1, 0.0), (40, 0.9), (70, 0.2), (400, 0.7))
    keyed(head, "cheekPuff", (50, 0.8))  # not in the capture
    early = curve(parts, head, "jawOpen").keyframe_points[0]
    early.interpolation, early.handle_right_type = "BEZIER", "FREE"
    early.handle_right = (9.0, 0.4)
    recorded = take(parts)

    done = parts.performance.import_capture(head, recorded, scene, start=30)

    last = 30 + int(recorded.times[-1] * 24)
    assert (done.first, done.last, scene.frame_start, scene.frame_end) == (30, last, 1, last)
    assert frames_of(curve(parts, head, "jawOpen").keyframe_points) == [1, *range(30, last + 1), 400]
    assert frames_of(curve(parts, head, "cheekPuff").keyframe_points) == [50]
    first = curve(parts, head, "jawOpen").keyframe_points[0]
    assert first.interpolation == "BEZIER" and first.handle_right_type == "FREE"
    np.testing.assert_allclose(first.handle_right, (9.0, 0.4), atol=1e-5)
    assert {point.interpolation for point in curve(parts, head, "eyeBlinkLeft").keyframe_points} == {"LINEAR"}
    for frame in (30, 37, 38, 39, 52, last):  # 37 to 39 lie in the gap
        weights, turns = evaluated(head, frame)
        seconds = (frame - 30) / 24
        for name, values in recorded.weights.items():
            assert weights.get(name, 0.0) == pytest.approx(np.interp(seconds, recorded.times, values), abs=1e-5)
        rows = [np.interp(seconds, recorded.times, column) for column in recorded.angles["head"].T]
        np.testing.assert_allclose(turns["head"], euler_matrix(*rows), atol=1e-5)
        np.testing.assert_allclose(turns["eyeLeft"], np.eye(3), atol=1e-6)
    assert evaluated(head, 50)[0]["cheekPuff"] == pytest.approx(0.8)


def test_the_same_take_again_replaces_itself(parts, head):
    scene = bpy.context.scene
    for strength in (1.0, 0.5):
        parts.performance.import_capture(head, take(parts), scene, 10, strength)
    points = curve(parts, head, "jawOpen").keyframe_points
    assert frames_of(points) == list(range(10, 10 + len(points)))
    assert points[-1].co[1] == pytest.approx(0.5 * 1.0, abs=0.02)


def test_every_sample_keeps_what_was_recorded_between_frames(parts, head):
    recorded = take(parts)
    bpy.context.scene.render.fps = 24
    parts.performance.import_capture(head, recorded, bpy.context.scene, 1, every_sample=True)
    points = curve(parts, head, "eyeBlinkLeft").keyframe_points
    np.testing.assert_allclose(frames_of(points), 1 + recorded.times * 24, atol=1e-4)
    np.testing.assert_allclose([point.co[1] for point in points], recorded.weights["eyeBlinkLeft"], atol=1e-6)


def test_the_neck_takes_its_share_and_mirrored_turns_go_the_other_way(parts, head, evaluated):
    recorded = take(parts)
    scene = bpy.context.scene
    done = parts.performance.import_capture(head, recorded, scene, 1, parts=("HEAD",), share=0.4, flip_turn=True)
    assert done.keys == 0 and set(done.bones) == {"neck", "head"}
    rate = parts.performance.scene_rate(scene)
    for frame in (1, 20, 40):
        turns = evaluated(head, frame)[1]
        pitch, yaw, roll = (np.interp((frame - 1) / rate, recorded.times, c) for c in recorded.angles["head"].T)
        np.testing.assert_allclose(turns["neck"] @ turns["head"], euler_matrix(pitch, -yaw, -roll), atol=1e-5)
    whole, neck = (np.arccos((np.trace(m) - 1) / 2) for m in (turns["neck"] @ turns["head"], turns["neck"]))
    assert neck == pytest.approx(0.4 * whole, abs=1e-4)


def test_eye_bones_carry_the_gaze_in_the_place_of_the_keys(parts, head, evaluated):
    done = parts.performance.import_capture(head, take(parts), bpy.context.scene, 1, parts=("FACE", "EYES"))
    assert any("eyeLook" in note for note in done.notes)
    weights, turns = evaluated(head, 40)
    assert "eyeLookUpLeft" not in weights and weights["jawOpen"] > 0.5
    forward = turns["eyeLeft"] @ (0, 0, 1)
    assert forward[1] < -0.1 and forward[0] < -0.2  # down, and to the subject's right


def test_what_a_head_cannot_show_is_told(parts, other):
    recorded = parts.capture.parse_capture("tongueOut,jawOpen\n" + "0.5,0.5\n" * 30)
    other.keys["jawOpen"].driver_add("value")
    with pytest.raises(parts.errors.AddonError, match="no key for tongueOut.*hold jawOpen"):
        parts.performance.import_capture(other, recorded, bpy.context.scene, 1)


def test_an_exported_performance_plays_the_same_on_another_head(parts, head, other, evaluated):
    scene = bpy.context.scene
    scene.render.fps = 25
    parts.performance.import_capture(head, take(parts), scene, 5, share=0.3)
    exported = parts.performance.export_capture(head, scene, 5, 45)
    text = parts.capture.write_capture(exported.times, exported.weights, exported.angles)
    parts.performance.import_capture(other, parts.capture.parse_capture(text), scene, 105, share=0.3)
    for frame in range(5, 46, 4):
        (weights, turns), (again, turned) = evaluated(head, frame), evaluated(other, frame + 100)
        for name in parts.arkit.ARKIT_NAMES:
            assert again.get(name, 0.0) == pytest.approx(weights.get(name, 0.0), abs=1e-5)
        np.testing.assert_allclose(turned["neck"] @ turned["head"], turns["neck"] @ turns["head"], atol=1e-4)
