"""The animation panel's buttons, as scripts call them."""

import importlib
import types

import bpy
import numpy as np
import pytest

ops = bpy.ops.gaussian_heads


@pytest.fixture
def head(addon, avatar_path):
    ops.import_head(filepath=str(avatar_path))
    return importlib.import_module(f"{addon}.rig.heads").active_head(bpy.context)


def test_a_recording_goes_in_and_out_again(head, tmp_path):
    take = tmp_path / "take.csv"
    rows = [f"00:00:{k // 60:02}:{k % 60:02}.125,61,{k / 180:.4f},0.5,{k / 400:.4f}" for k in range(180)]
    take.write_text("Timecode,BlendShapeCount,JawOpen,Drool,HeadYaw\n" + "\n".join([*rows, "00:00:03:00.125,61,0."]))
    bpy.context.scene.render.fps, bpy.context.scene.frame_end = 30, 20
    assert ops.import_capture(filepath=str(take), start=11, neck_share=0.0) == {"FINISHED"}
    assert bpy.context.scene.frame_end == 11 + 89
    written = tmp_path / "out" / "again.csv"
    ops.export_capture(filepath=str(written), frame_start=11, frame_end=100)
    table = np.genfromtxt(written, delimiter=",", names=True, usecols=range(1, 63))
    expected = np.arange(0, 180, 2)
    np.testing.assert_allclose(table["JawOpen"], expected / 180, atol=1e-4)
    np.testing.assert_allclose(table["HeadYaw"], expected / 400, atol=1e-4)
    assert written.read_text().splitlines()[2].startswith("00:00:00:02.000,61,")
    with pytest.raises(RuntimeError, match="cannot be read"):
        ops.import_capture(filepath=str(tmp_path / "none.csv"))
    with pytest.raises(RuntimeError, match="empty"):
        ops.export_capture(filepath=str(written), frame_start=5, frame_end=4)


def test_a_script_has_the_keyframes_of_a_long_recording_at_once(addon, head, tmp_path, monkeypatch):
    class WithWindow:
        """Blender's module, in a session that is not in the background."""

        app = types.SimpleNamespace(background=False)

        def __getattr__(self, name: str) -> object:
            return getattr(bpy, name)

    animation = importlib.import_module(f"{addon}.operators.animation")
    monkeypatch.setattr(animation, "bpy", WithWindow())
    monkeypatch.setattr(animation, "SMALL_FILE", 10)
    take = tmp_path / "take.csv"
    take.write_text("Timecode,BlendShapeCount,JawOpen\n00:00:00:00.0,61,0.2\n00:00:01:00.0,61,0.4\n")
    assert ops.import_capture(filepath=str(take)) == {"FINISHED"}
    assert head.mesh.data.shape_keys.animation_data.action is not None


def test_gaze_is_baked_over_the_scene_s_range(head):
    bpy.context.scene.frame_start, bpy.context.scene.frame_end = 3, 6
    ops.add_gaze_target()
    ops.bake_animation(remove_sources=True)
    assert not head.armature.pose.bones["eyeLeft"].constraints
    assert tuple(head.armature.animation_data.action.frame_range) == (3, 6)


def test_assets_and_animation_go_from_head_to_head(head, avatar_path):
    ops.apply_preset(preset="FEAR")
    ops.key_expression()
    ops.create_expression_asset(asset_name="Fright")
    ops.import_head(filepath=str(avatar_path))
    second = f"{head.name}.001"
    ops.apply_expression_asset(asset="Fright", head=second, strength=0.5)
    keys = importlib.import_module(type(head).__module__).all_heads(bpy.context.scene)[1].keys
    assert keys["browInnerUp"].value == pytest.approx(0.45, abs=1e-6)
    ops.copy_animation(source=head.name, head=second)
    assert keys["browInnerUp"].value == pytest.approx(0.9, abs=1e-6)
    for wrong in ({"asset": "Nothing"}, {}):
        with pytest.raises(RuntimeError, match="asset"):
            ops.apply_expression_asset(head=second, **wrong)


def test_head_operators_are_documented():
    names = ("expression", "pose", "animation", "performance", "clean_up")
    for name in dir(ops):
        operator = getattr(bpy.types, f"GAUSSIAN_HEADS_OT_{name}", None)
        if operator is None or operator.__module__.rpartition(".")[2] not in names:
            continue
        assert operator.bl_rna.description, name
        for prop in operator.bl_rna.properties:
            hidden = prop.is_hidden or prop.identifier == "rna_type"
            assert hidden or prop.description, f"{name}.{prop.identifier}"
