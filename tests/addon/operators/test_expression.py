"""The expression panel's buttons, as scripts call them."""

import importlib
from collections.abc import Iterator, Mapping

import bpy
import pytest

ops = bpy.ops.gaussian_heads


@pytest.fixture
def head(addon, avatar_path):
    """A real head that is not the active object, with an undo step behind it."""
    ops.import_head(filepath=str(avatar_path))
    bpy.ops.ed.undo_push(message="Import")
    return importlib.import_module(f"{addon}.rig.heads")


def weights(heads) -> dict[str, float]:
    head = heads.active_head(bpy.context)
    return {name: round(key.value, 4) for name, key in head.keys.items() if key.value}


def test_a_preset_sets_what_it_says_and_undo_takes_it_back(head):
    ops.apply_preset(preset="VISEME_U")
    bpy.ops.ed.undo_push(message="Before")
    ops.apply_preset("EXEC_DEFAULT", True, preset="SURPRISE", strength=0.5)
    set_now = weights(head)
    assert set_now["browInnerUp"] == 0.45 and set_now["jawOpen"] == 0.225 and "mouthPucker" not in set_now
    bpy.ops.ed.undo()
    assert weights(head) == {"jawOpen": 0.15, "mouthFunnel": 0.2, "mouthPucker": 0.75}
    bpy.ops.ed.redo()
    assert weights(head) == set_now
    ops.apply_preset(preset="NEUTRAL")
    assert weights(head) == {}


def test_only_what_changed_is_keyed_and_a_group_is_reset_alone(head, addon):
    curves = importlib.import_module(f"{addon}.animation.curves")
    shape_keys = head.active_head(bpy.context).mesh.data.shape_keys
    ops.apply_preset(preset="SMILE")
    ops.key_expression(only_changed=True)
    keyed = {curve.data_path for curve in curves.channels(shape_keys).fcurves}
    assert len(keyed) == len(weights(head)) == 10
    bpy.context.scene.frame_set(10)
    ops.reset_expression(group="MOUTH")
    assert {name[:5] for name in weights(head)} == {"cheek", "eyeSq"}
    ops.key_expression(only_changed=True)  # the resting mouth differs from its curve; eyes and cheeks do not
    ends = {curve.data_path: len(curve.keyframe_points) for curve in curves.channels(shape_keys).fcurves}
    assert sorted(ends.values()) == [1] * 4 + [2] * 6
    ops.key_expression(group="TONGUE")
    assert len(curves.channels(shape_keys).fcurves) == 11


def test_an_expression_goes_to_the_head_that_is_named(head, avatar_path):
    ops.import_head(filepath=str(avatar_path))
    bpy.context.view_layer.objects.active = None
    with pytest.raises(RuntimeError, match="No Gaussian head is active"):
        ops.reset_expression()
    ops.apply_preset(preset="ANGER", head="Astronaut")
    ops.copy_expression(head="Astronaut")
    ops.paste_expression(head="Astronaut.001", strength=0.5)
    first, second = head.all_heads(bpy.context.scene)
    for name, key in second.keys.items():
        assert key.value == pytest.approx(0.5 * first.keys[name].value, abs=1e-6)
    with pytest.raises(RuntimeError, match="The scene has: Astronaut, Astronaut.001"):
        ops.reset_expression(head="Nobody")


def test_a_preset_says_which_sliders_a_head_has_not(head, capsys):
    active = head.active_head(bpy.context)
    active.mesh.shape_key_remove(active.keys["cheekSquintLeft"])
    ops.apply_preset(preset="SMILE")
    assert active.keys["mouthSmileLeft"].value == 0.75
    assert "has no cheekSquintLeft" in capsys.readouterr().out


def test_scripts_may_give_any_mapping(head, addon):
    class Half(Mapping):
        """Both of a pair at a half; unlike a dict, it cannot be joined with one by |."""

        def __getitem__(self, name: str) -> float:
            return 0.5

        def __iter__(self) -> Iterator[str]:
            yield from ("mouthSmileLeft", "mouthSmileRight")

        def __len__(self) -> int:
            return 2

    ops.apply_preset(preset="SURPRISE")
    importlib.import_module(f"{addon}.api").set_expression(head.active_head(bpy.context), Half())
    assert weights(head) == {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}
