"""A clip of an actor becomes a head's keyframes, as scripts ask for it; the panel does the same in the background."""

import importlib
import wave

import bpy
import pytest

ops = bpy.ops.gaussian_heads


@pytest.fixture
def head(stub, addon, avatar_path):
    ops.import_head(filepath=str(avatar_path))
    return importlib.import_module(f"{addon}.rig.heads").active_head(bpy.context)


@pytest.fixture
def clip(tmp_path):
    """The stand-in does not look into it; Blender finds a sound there."""
    path = tmp_path / "actor.mp4"
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    return path


def points(head, key: str) -> dict[int, float]:
    curves = importlib.import_module(f"{head.__class__.__module__.rpartition('.rig')[0]}.animation.curves")
    curve = curves.find_curve(head.mesh.data.shape_keys, f'key_blocks["{key}"].value')
    return {round(point.co[0]): point.co[1] for point in curve.keyframe_points}


def strips(scene):
    editor = scene.sequence_editor
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def test_a_clip_becomes_keys_and_its_sound_goes_along(head, clip):
    scene = bpy.context.scene
    scene.render.fps = 25
    assert ops.animate_from_clip(filepath=str(clip), start=11, smoothing=0.25, neutral=False) == {"FINISHED"}
    keyed = points(head, "jawOpen")
    assert keyed[11] == 0 and keyed[36] == pytest.approx(0.25) and keyed[61] == pytest.approx(0.5)
    assert not set(keyed) & set(range(37, 61))  # where the actor was not seen
    assert max(keyed) == 86 <= scene.frame_end
    (strip,) = strips(scene)
    assert (strip.type, round(strip.frame_start)) == ("SOUND", 11)
    ops.animate_from_clip(filepath=str(clip), start=21)  # again, elsewhere: the sound moves along
    (strip,) = strips(scene)
    assert round(strip.frame_start) == 21


def test_the_engine_is_asked_for_what_the_artist_chose_and_forgets_it(stub, head, clip):
    ops.animate_from_clip(filepath=str(clip), smoothing=0.25, neutral=False, sound=False)
    engine = importlib.import_module(f"{head.__class__.__module__.rpartition('.rig')[0]}.engine_client.engine").ENGINE
    seen = engine.client._json("GET", "/seen")
    upload = seen["uploads"][-1]
    assert (upload["names"], upload["smoothing"], upload["neutral"]) == (["actor.mp4"], "0.25", "false")
    assert bpy.context.scene.sequence_editor is None or not len(strips(bpy.context.scene))


def test_what_cannot_be_read_is_said_before_anything_is_sent(head, tmp_path):
    with pytest.raises(RuntimeError, match=r"none\.mp4 is not there"):
        ops.animate_from_clip(filepath=str(tmp_path / "none.mp4"))
    with pytest.raises(RuntimeError, match="no head"):
        ops.animate_from_clip(filepath=str(tmp_path / "none.mp4"), head="Nobody")


def test_a_clip_without_sound_is_keyed_all_the_same(head, tmp_path):
    silent = tmp_path / "silent.mp4"
    silent.write_bytes(b"no sound in here")
    assert ops.animate_from_clip(filepath=str(silent)) == {"FINISHED"}
    assert points(head, "jawOpen")


def test_one_clip_is_read_at_a_time_and_can_be_cancelled(stub, addon, head, clip, monkeypatch):
    monkeypatch.setenv("STUB", "slow")
    performing = importlib.import_module(f"{addon}.animation.performing")
    job = performing.start(clip, 0.5, True)
    with pytest.raises(RuntimeError, match="being read already"):
        ops.animate_from_clip(filepath=str(clip))
    ops.cancel_performance()
    assert job.snapshot().state == "cancelled" and performing.current() is None
