"""A take's options, as the dialogs and scripts have them; a clip behind the camera, in step with its take."""

import importlib
import shutil

import bpy
import numpy as np
import pytest

from .test_performance import head, points  # noqa: F401  the fixture, too

from ..engine import ROOT  # isort: skip

CLIP = ROOT / "engine" / "assets" / "files" / "samples" / "single_face.mp4"
ops = bpy.ops.gaussian_heads


def write(path):
    rows = [f"00:00:{k // 60:02}:{k % 60:02}.0,61,{k / 180:.4f},{k / 400:.4f}" for k in range(180)]
    path.write_text("Timecode,BlendShapeCount,JawOpen,HeadYaw\n" + "\n".join(rows))
    return str(path)


def test_a_take_goes_onto_the_nla_and_is_cleaned_up_there(head, addon, tmp_path):  # noqa: F811
    path = write(tmp_path / "Line 7.csv")
    assert ops.import_capture(filepath=path, start=11, place="NLA", neck_share=0.0) == {"FINISHED"}
    tracks = [owner.animation_data.nla_tracks[0] for owner in (head.mesh.data.shape_keys, head.armature)]
    assert [(track.name, track.strips[0].name, track.strips[0].frame_start) for track in tracks] == [
        ("Line 7", "Line 7", 11)
    ] * 2
    assert ops.clean_up(take="Line 7", tolerance=0.01) == {"FINISHED"}
    api = importlib.import_module(f"{addon}.api")
    with pytest.raises(RuntimeError, match="no keys there"):
        ops.clean_up()
    with pytest.raises(RuntimeError, match="has no take"):
        ops.clean_up(take="Line 8")
    api.import_capture(head, path, start=11, parts=["JAW"], place="ACTION")
    done = api.clean_up(head, (11, 60), gain=0.5, tolerance=0.001)
    assert done.after < 10
    keyed = points(head, "jawOpen")
    assert keyed[11] == pytest.approx(0.0, abs=1e-3) and max(keyed) > 60


def test_a_punch_is_one_step_to_undo(head, tmp_path):  # noqa: F811
    path, name = write(tmp_path / "line.csv"), head.name
    ops.import_capture(filepath=path, start=1)
    before = points(head, "jawOpen")
    bpy.ops.ed.undo_push(message="Before")
    options = {"parts": {"JAW"}, "punch_in": True, "punch_start": 20, "punch_end": 40}
    assert ops.import_capture("EXEC_DEFAULT", True, filepath=path, start=30, head=name, **options) == {"FINISHED"}
    heads = importlib.import_module(type(head).__module__)
    assert points(heads.all_heads(bpy.context.scene)[0], "jawOpen") != before
    bpy.ops.ed.undo()
    assert points(heads.all_heads(bpy.context.scene)[0], "jawOpen") == before


@pytest.mark.skipif(not CLIP.exists(), reason="the sample clip is not there")
@pytest.mark.parametrize("rate", [24, 30])
def test_the_clip_is_behind_the_camera_in_step(head, tmp_path, rate):  # noqa: F811
    clip = tmp_path / "actor.mp4"
    shutil.copy(CLIP, clip)  # 30 frames a second, 72 of them
    scene = bpy.context.scene
    scene.render.fps = rate
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    for _ in range(2):  # again: it moves along
        ops.animate_from_clip(filepath=str(clip), start=11, sound=False, background=True)
    (view,) = scene.camera.data.background_images
    assert view.image.source == "MOVIE" and scene.camera.data.show_background_images
    for frame in (11, 12, 20, 33, 71, 500):
        scene.frame_set(frame)
        shown = scene.camera.data.evaluated_get(bpy.context.evaluated_depsgraph_get()).background_images[0].image_user
        place = min(frame - shown.frame_start + 1, shown.frame_duration) + shown.frame_offset
        assert place == min(1 + np.floor((frame - 11) * 30 / rate + 1e-6), 72)


def test_a_clip_without_a_camera_is_told(head, tmp_path, capfd):  # noqa: F811
    silent = tmp_path / "silent.mp4"
    silent.write_bytes(b"no picture in here")
    assert ops.animate_from_clip(filepath=str(silent), sound=False, background=True) == {"FINISHED"}
    assert "no camera" in capfd.readouterr().out
