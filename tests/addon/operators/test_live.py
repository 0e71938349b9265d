"""A head follows a live source in Blender: the newest sample only, and nothing is keyed but what is recorded."""

import importlib

import bpy
import pytest

from ..waiting import wait_for

ops = bpy.ops.gaussian_heads


@pytest.fixture
def head(stub, addon, avatar_path):
    ops.import_head(filepath=str(avatar_path))
    yield importlib.import_module(f"{addon}.rig.heads").active_head(bpy.context)
    ops.live_stop()


@pytest.fixture
def live(addon):
    return importlib.import_module(f"{addon}.animation.live")


@pytest.fixture
def api(addon):
    return importlib.import_module(f"{addon}.api")


def ticked(live, condition) -> bool:
    """Whether the timer, which a Blender without window does not run, brings something about."""
    return wait_for(lambda: (live.tick(), condition())[1])


def curve(addon, head, key: str):
    curves = importlib.import_module(f"{addon}.animation.curves")
    return curves.find_curve(head.mesh.data.shape_keys, f'key_blocks["{key}"].value')


def test_the_panel_moves_the_head_and_its_settings_count_at_once(addon, head, live):
    panel = bpy.context.scene.gaussian_heads.live
    panel.neck_share, head.keys["mouthLeft"].value = 0.5, 0.75
    assert ops.live_start() == {"FINISHED"}
    jaw, brow = head.keys["jawOpen"], head.keys["browInnerUp"]
    assert ticked(live, lambda: jaw.value == 0.25) and brow.value == 0.25
    bones = head.armature.pose.bones
    neck, turned = (bones[name].matrix_basis.to_euler("XYZ") for name in ("neck", "head"))
    assert (neck.y + turned.y, neck.x + turned.x) == pytest.approx((0.2, 0.1), abs=0.01) and neck.y > 0.09
    assert live.current().status.connected and live.current().status.fps == 60
    panel.gain, panel.parts = 2.0, {"MOUTH"}
    assert ticked(live, lambda: jaw.value == 0.5)
    brow.value = 0.0
    sequence = live.current().status.sequence
    assert ticked(live, lambda: live.current().status.sequence > sequence + 2)
    assert brow.value == 0.0 and head.keys["mouthLeft"].value == 0.75  # not of a part that follows
    assert curve(addon, head, "jawOpen") is None and head.armature.animation_data is None
    ops.live_stop()
    assert live.current() is None and jaw.value == 0.5


def test_a_recording_is_keyed_from_its_frame_and_kept_as_a_file(addon, head, live, tmp_path):
    scene = bpy.context.scene
    scene.render.fps = 25
    scene.gaussian_heads.live.parts = {"MOUTH"}
    scene.frame_set(11)
    ops.live_start()
    assert ticked(live, lambda: live.current().status is not None)
    assert ops.live_record() == {"FINISHED"}
    scene.frame_set(40)  # the artist looks elsewhere meanwhile
    assert ticked(live, lambda: live.current().is_recording)
    assert ops.live_record() == {"FINISHED"}
    points = {round(point.co[0]): point.co[1] for point in curve(addon, head, "jawOpen").keyframe_points}
    assert points[11] == 0 and points[36] == pytest.approx(0.25) and not set(points) & set(range(37, 61))
    assert head.armature.animation_data is None  # its turn was not followed
    (kept,) = (tmp_path / "user" / "takes").iterdir()
    assert kept.name == "Ada_10-00-00.csv" and kept.read_text().startswith("Time,JawOpen")


def test_the_resting_face_stays_with_the_head(head, live, api, addon):
    engine = importlib.import_module(f"{addon}.engine_client.engine").ENGINE
    with pytest.raises(RuntimeError, match="Nothing is followed live"):
        ops.live_neutral()
    ops.live_start()
    assert ticked(live, lambda: live.current().status is not None)
    assert ops.live_neutral() == {"FINISHED"}
    ops.live_stop()
    rest = {"weights": {"jawOpen": 0.125}, "turns": {"head": [0.1, 0.0, 0.0]}}
    assert live.neutral(head) == rest
    followed = api.live(head, "vmc", port=39540, parts=["mouth"], gain=3.0)
    assert followed.poll(10.0) and head.keys["jawOpen"].value == 0.75
    wish = engine.client._json("GET", "/seen")["live"]
    assert (wish["source"], wish["address"], wish["port"]) == ("vmc", "127.0.0.1", 39540)
    assert wish["settings"]["neutral"] == rest
    followed.clear_neutral()
    assert live.neutral(head) is None and "gaussian_head_neutral" not in head.root
    head.root["gaussian_head_neutral"] = "[" * 9000
    assert live.neutral(head) is None
    followed.stop()


def test_scripts_record_and_are_told_what_is_wrong(head, api, addon):
    followed = api.live(head, "livelinkface")
    assert followed.poll(10.0)
    followed.record(start=101)
    assert wait_for(lambda: followed.poll(0.1) and followed.is_recording)
    done = followed.finish()
    assert (done.first, done.last) == (101, 173) and done.bones == ("neck", "head")
    followed.stop()
    taken = api.live(head, "livelinkface", port=9)
    with pytest.raises(api.AddonError, match="Port 9 of 127.0.0.1 is taken. Close"):
        taken.poll(10.0)
    assert taken.is_over


def test_it_ends_with_its_head_its_file_and_its_source(head, live, addon, avatar_path):
    engine = importlib.import_module(f"{addon}.engine_client.engine").ENGINE
    ops.live_start()
    assert ticked(live, lambda: live.current().status is not None)
    engine.client.stop_live()  # as if the phone's program had ended in the engine
    assert ticked(live, lambda: live.current().is_over)
    assert "switched off" in str(live.current().error) and live.tick() is None
    ops.live_start()
    assert ticked(live, lambda: live.current().status is not None)
    followed, name = live.current(), head.name
    importlib.import_module(f"{addon}.rig.copies").delete(head)
    assert live.tick() is None and f"The head {name} is gone." in str(followed.error)
    ops.import_head(filepath=str(avatar_path))
    ops.live_start()
    again = live.current()
    bpy.ops.wm.read_homefile(use_empty=True)
    assert live.current() is None and again.is_over


def test_undo_leaves_what_is_followed(head, live):
    ops.live_start()
    bpy.ops.ed.undo_push(message="Before")
    assert ticked(live, lambda: head.keys["jawOpen"].value == 0.25)
    bpy.ops.ed.undo_push(message="After")
    bpy.ops.ed.undo()
    assert ticked(live, lambda: live.current().head.keys["jawOpen"].value == 0.25)
