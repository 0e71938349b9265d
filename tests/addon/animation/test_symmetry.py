"""With Symmetric on, a slider takes its mirror image along when a hand moves it, and never otherwise."""

import bpy
import pytest


@pytest.fixture
def hand(head):
    """A function that moves a slider as an artist does, with Symmetric on."""
    bpy.context.scene.gaussian_heads.expression.symmetric = True

    def move(name: str, value: float) -> None:
        head.keys[name].value = value
        bpy.context.view_layer.update()

    return move


def value(head, name: str) -> float:
    return pytest.approx(head.keys[name].value, abs=1e-6)


def test_both_sides_move_together_and_sideways_keys_do_not(head, hand):
    hand("eyeBlinkLeft", 0.7)
    assert value(head, "eyeBlinkRight") == 0.7
    hand("mouthSmileRight", 0.4)
    assert value(head, "mouthSmileLeft") == 0.4
    hand("jawLeft", 0.5)
    hand("mouthRight", 0.5)
    assert value(head, "jawRight") == 0 and value(head, "mouthLeft") == 0
    bpy.context.scene.gaussian_heads.expression.symmetric = False
    hand("eyeBlinkLeft", 0.1)
    assert value(head, "eyeBlinkRight") == 0.7


def test_keyed_values_are_edited_but_scrubbing_and_curve_edits_are_left_alone(parts, head, hand):
    scene = bpy.context.scene
    for frame, wanted in ((1, 0.0), (11, 1.0)):
        head.keys["eyeBlinkLeft"].value = wanted
        parts.expressions.key_weights(head, frame, ["eyeBlinkLeft"])
    parts.expressions.reset(head)
    for frame in (1, 4, 6):
        scene.frame_set(frame)
        bpy.context.view_layer.update()
        assert value(head, "eyeBlinkRight") == 0
    assert value(head, "eyeBlinkLeft") == 0.5

    hand("eyeBlinkLeft", 0.9)  # not keyed yet
    assert value(head, "eyeBlinkRight") == 0.9
    scene.frame_set(6)
    assert value(head, "eyeBlinkLeft") == 0.5  # the key frames win again

    curve = parts.curves.find_curve(head.mesh.data.shape_keys, parts.symmetry.key_path("eyeBlinkLeft"))
    before = head.keys["eyeBlinkRight"].value
    curve.keyframe_points[1].co[1] = 0.2
    curve.update()
    head.mesh.data.shape_keys.animation_data.action.update_tag()
    bpy.context.view_layer.update()
    scene.frame_set(6)
    bpy.context.view_layer.update()
    assert value(head, "eyeBlinkLeft") == 0.1 and head.keys["eyeBlinkRight"].value == before


def test_auto_keying_keys_both_sides(parts, head, hand):
    bpy.context.scene.tool_settings.use_keyframe_insert_auto = True
    head.keys["browDownLeft"].value = 0.6  # what Blender does when a slider is moved
    head.keys["browDownLeft"].keyframe_insert("value", frame=bpy.context.scene.frame_current)
    bpy.context.view_layer.update()
    curve = parts.curves.find_curve(head.mesh.data.shape_keys, parts.symmetry.key_path("browDownRight"))
    assert curve is not None and curve.evaluate(bpy.context.scene.frame_current) == pytest.approx(0.6)


def test_what_the_add_on_sets_stays_lopsided(parts, head, hand):
    parts.expressions.set_weights(head, {"eyeBlinkLeft": 1.0})
    bpy.context.view_layer.update()
    assert value(head, "eyeBlinkRight") == 0
    hand("eyeBlinkLeft", 0.5)
    assert value(head, "eyeBlinkRight") == 0.5


def test_driven_sides_and_other_meshes_are_not_touched(parts, head, hand):
    mesh = bpy.data.meshes.new("face")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    face = bpy.data.objects.new("face", mesh)
    bpy.context.scene.collection.objects.link(face)
    for name in ("Basis", "eyeBlinkLeft", "eyeBlinkRight"):
        face.shape_key_add(name=name).value = 0.0
    bpy.context.view_layer.update()
    blocks = mesh.shape_keys.key_blocks
    blocks["eyeBlinkLeft"].value = 0.5
    bpy.context.view_layer.update()
    assert blocks["eyeBlinkRight"].value == 0

    driver = head.keys["noseSneerRight"].driver_add("value").driver
    driver.type = "SUM"
    hand("noseSneerLeft", 0.8)
    assert value(head, "noseSneerRight") == 0


def test_heads_of_every_scene_follow(parts, head, hand, avatar_path):
    hand("eyeBlinkLeft", 0.7)
    first, second = bpy.context.scene, bpy.data.scenes.new("Second")
    second.gaussian_heads.expression.symmetric = True
    bpy.context.window.scene = second
    # A head that comes into the second scene is looked for while that scene is the one that is updated.
    there = parts.build.build(parts.avatar_file.read_avatar(avatar_path), bpy.context)
    assert there.root.users_scene == (second,)
    bpy.context.view_layer.update()
    there.keys["eyeBlinkLeft"].value = 0.3
    bpy.context.view_layer.update()
    assert value(there, "eyeBlinkRight") == 0.3
    bpy.context.window.scene = first
    hand("eyeBlinkLeft", 0.2)
    assert value(head, "eyeBlinkRight") == 0.2
