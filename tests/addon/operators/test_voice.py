"""A voice becomes a head's keyframes, and a photo its pose, as scripts ask for it."""

import importlib

import bpy
import pytest

from .test_performance import clip, head, points, strips  # noqa: F401

ops = bpy.ops.gaussian_heads


def uploaded(addon) -> dict:
    engine = importlib.import_module(f"{addon}.engine_client.engine").ENGINE
    return engine.client._json("GET", "/seen")["uploads"][-1]


def test_a_voice_becomes_keys_with_its_sound_and_the_engine_hears_what_was_asked(addon, head, clip):  # noqa: F811
    scene = bpy.context.scene
    scene.render.fps = 25
    done = ops.animate_from_voice(filepath=str(clip), text="Grüß Gott, Bob!", seed=3, liveliness=0.25, start=11)
    assert done == {"FINISHED"}
    assert points(head, "jawOpen")[61] == pytest.approx(0.5)
    (strip,) = strips(scene)
    assert (strip.type, round(strip.frame_start)) == ("SOUND", 11)
    seen = uploaded(addon)
    assert (seen["text"], seen["seed"], seen["liveliness"]) == ("Grüß Gott, Bob!", "3", "0.25")
    with pytest.raises(RuntimeError, match=r"none\.wav is not there"):
        ops.animate_from_voice(filepath=str(clip.with_name("none.wav")))


def test_a_photo_poses_the_head_and_keys_only_where_that_is_wished(addon, head, clip, monkeypatch):  # noqa: F811
    capture = importlib.import_module(f"{addon}.animation.capture")
    performing = importlib.import_module(f"{addon}.animation.performing")
    parsed = capture.parse_capture("Time,JawOpen,EyeLookUpLeft,HeadPitch,HeadYaw,HeadRoll\n0,.5,.4,0,.2,0\n", "a")
    monkeypatch.setattr(performing, "parse_capture", lambda *_: parsed)
    photo = clip.with_name("photo.jpg")
    photo.write_bytes(b"the stand-in does not look")
    bone = head.armature.pose.bones["head"]
    bpy.context.scene.frame_set(7)
    assert ops.pose_from_photo(filepath=str(photo), gaze=False, strength=0.5) == {"FINISHED"}
    assert uploaded(addon)["names"] == ["photo.jpg"]
    assert head.keys["jawOpen"].value == pytest.approx(0.25) and head.keys["eyeLookUpLeft"].value == 0
    assert bone.rotation_euler.y == 0 and head.mesh.data.shape_keys.animation_data is None
    assert ops.pose_from_photo(filepath=str(photo), turn=True, key=True) == {"FINISHED"}
    assert points(head, "jawOpen") == {7: pytest.approx(0.5)} and head.keys["eyeLookUpLeft"].value > 0
    assert bone.rotation_euler.y == pytest.approx(0.2)
