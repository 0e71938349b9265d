"""After a bake, plain keyframes show what drivers, NLA and constraints showed before."""

import bpy
import numpy as np
import pytest


@pytest.fixture
def busy(parts, head):
    """A head moved by all that Blender has: keys, a driver, NLA, a moving gaze target and a Copy Rotation."""
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, 12
    parts.expressions.set_weights(head, {"mouthSmileLeft": 0.2})
    parts.expressions.key_weights(head, 1, ["mouthSmileLeft"])
    parts.expressions.set_weights(head, {"mouthSmileLeft": 0.9})
    parts.expressions.key_weights(head, 9, ["mouthSmileLeft"])
    shape_keys = head.mesh.data.shape_keys
    data = shape_keys.animation_data
    strip = data.nla_tracks.new().strips.new("Smile", 1, data.action)
    strip.frame_start = 3
    data.action = None

    driver = head.keys["browInnerUp"].driver_add("value").driver
    driver.type = "SUM"
    variable = driver.variables.new()
    variable.targets[0].id_type, variable.targets[0].id = "KEY", shape_keys
    variable.targets[0].data_path = parts.symmetry.key_path("mouthSmileLeft")

    parts.poses.set_rotation(head, "head", (0.1, 0.0, 0.0))
    parts.poses.key_rotations(head, 1, ["head"])
    parts.poses.set_rotation(head, "head", (-0.2, 0.6, 0.1))
    parts.poses.key_rotations(head, 12, ["head"])
    control = bpy.data.objects.new("control", None)
    scene.collection.objects.link(control)
    for frame, angle in ((1, -0.4), (12, 0.8)):
        control.rotation_euler = (angle, 0.0, angle / 2)
        control.keyframe_insert("rotation_euler", frame=frame)
    copy = parts.poses.require_bone(head, "neck").constraints.new("COPY_ROTATION")
    copy.target, copy.influence = control, 0.5

    target = parts.gaze.add(head, 0.5)
    for frame, x in ((1, -0.4), (12, 0.4)):
        target.location.x = x
        target.keyframe_insert("location", frame=frame)
    return head


@pytest.mark.parametrize("remove", [False, True])
def test_a_bake_looks_like_the_live_head_at_every_frame(parts, busy, evaluated, remove):
    frames = range(1, 13)
    live = [evaluated(busy, frame) for frame in frames]
    assert live[0][0] != live[-1][0] and np.abs(live[0][1]["eyeLeft"] - live[-1][1]["eyeLeft"]).max() > 0.2

    done = parts.bake.bake(busy, bpy.context.scene, 1, 12, remove_sources=remove)

    assert (done.frames, done.keys, done.bones) == (12, 2, 5)
    for frame, (weights, turns) in zip(frames, live, strict=True):
        baked_weights, baked_turns = evaluated(busy, frame)
        assert baked_weights == pytest.approx(weights, abs=1e-5)
        for joint, wanted in turns.items():
            np.testing.assert_allclose(baked_turns[joint], wanted, atol=2e-5)
    assert (parts.gaze.target(busy) is None) == remove
    assert [c.mute for c in busy.armature.pose.bones["neck"].constraints] == ([] if remove else [True])
    assert [d.mute for d in busy.mesh.data.shape_keys.animation_data.drivers] == ([] if remove else [True])


def test_a_bake_of_a_part_keeps_the_rest(parts, head, evaluated):
    for frame, value in ((1, 0.0), (10, 1.0), (20, 0.5)):
        parts.expressions.set_weights(head, {"jawOpen": value})
        parts.expressions.key_weights(head, frame, ["jawOpen"])
    before = {frame: evaluated(head, frame)[0].get("jawOpen", 0.0) for frame in (5, 6, 7, 8, 20)}
    parts.bake.bake(head, bpy.context.scene, 5, 8, step=2, joints=())
    curve = parts.curves.find_curve(head.mesh.data.shape_keys, parts.symmetry.key_path("jawOpen"))
    assert [point.co[0] for point in curve.keyframe_points] == [1, 5, 7, 8, 10, 20]
    for frame in (5, 7, 8, 20):
        assert evaluated(head, frame)[0]["jawOpen"] == pytest.approx(before[frame], abs=1e-5)


def test_a_range_without_frames_is_refused(parts, head):
    with pytest.raises(parts.errors.AddonError, match="cannot be baked"):
        parts.bake.bake(head, bpy.context.scene, 5, 4)
