"""A head is one thing: Blender's own commands do to all of it what they do to a part."""

import importlib

import bpy
import pytest


@pytest.fixture
def head(addon, avatar_path):
    bpy.ops.gaussian_heads.import_head(filepath=str(avatar_path))
    bpy.context.view_layer.update()
    return importlib.import_module(f"{addon}.rig.heads").active_head(bpy.context)


def selected() -> set[str]:
    bpy.context.view_layer.update()
    return {obj.name for obj in bpy.context.view_layer.objects.selected}


def names(head) -> set[str]:
    return {part.name for part in head.parts}


def test_picking_one_part_picks_the_head_and_leaving_one_out_leaves_it(head):
    layer = bpy.context.view_layer
    assert selected() == names(head)
    for part in head.parts:
        for obj in layer.objects:
            obj.select_set(False)
        assert selected() == set()
        part.select_set(True)
        assert selected() == names(head)
    head.splats.select_set(False)  # Shift click on a selected head
    assert selected() == set()
    for part in head.parts:
        part.select_set(True)
    selected()
    for part in head.parts:  # a click on the mesh in the Outliner, while all is selected
        part.select_set(part == head.mesh)
    layer.objects.active = head.mesh
    assert selected() == names(head)


@pytest.mark.parametrize("way", ["hide_set", "hide_viewport"])
@pytest.mark.parametrize("number", range(4))
def test_hiding_or_showing_one_part_hides_or_shows_the_head(head, way, number):
    def hide(value):
        part = head.parts[number]
        part.hide_set(value) if way == "hide_set" else setattr(part, way, value)
        bpy.context.view_layer.update()
        bpy.context.view_layer.update()  # objects that come back are evaluated once more
        return {part.visible_get() for part in head.parts}

    assert hide(True) == {False}
    assert hide(False) == {True}


def test_blenders_own_duplicate_and_delete_take_the_whole_head(addon, head):
    scene, find = bpy.context.scene, importlib.import_module(f"{addon}.rig.heads").all_heads
    first = {obj.name for obj in scene.objects}
    bpy.ops.object.duplicate()
    assert len(selected()) == 4
    one, two = find(scene)
    assert two.mesh.modifiers["Armature"].object == two.armature
    two.keys["jawOpen"].value = 1.0
    assert one.keys["jawOpen"].value == 0.0
    bpy.ops.object.delete()
    assert {obj.name for obj in scene.objects} == first


def test_keys_of_the_face_are_keys_of_what_is_selected(addon, head):
    """Blender's editors show the keys of visible, selected objects; the head's own jump goes through all of them."""
    head.keys["jawOpen"].keyframe_insert("value", frame=10)
    head.armature.pose.bones["head"].keyframe_insert("rotation_euler", frame=20)
    head.root.keyframe_insert("location", frame=30.5)
    assert all(part.visible_get() and part.select_get() for part in (head.mesh, head.armature))
    assert not any(part.show_instancer_for_viewport for part in (head.mesh, head.armature))
    scene, frames = bpy.context.scene, []
    while bpy.ops.gaussian_heads.jump_to_key(next=True) == {"FINISHED"}:
        frames.append(scene.frame_current_final)
    while bpy.ops.gaussian_heads.jump_to_key(next=False) == {"FINISHED"}:
        frames.append(scene.frame_current_final)
    assert frames == [10, 20, 30.5, 20, 10]


def test_bones_are_drawn_while_they_are_posed(head):
    assert bpy.ops.gaussian_heads.pose_bones() == {"FINISHED"}
    assert bpy.context.mode == "POSE"
    bpy.context.view_layer.update()
    assert head.armature.show_instancer_for_viewport
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.context.view_layer.update()
    assert not head.armature.show_instancer_for_viewport


def test_a_head_of_an_older_file_becomes_selectable(head, tmp_path):
    for part in head.parts[1:3]:
        part.instance_type, part.show_instancer_for_viewport = "NONE", True
        part.hide_set(True)
    head.mesh.display_type, head.root["gaussian_head"] = "BOUNDS", 1
    path, mesh = str(tmp_path / "old.blend"), head.mesh.name
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    bpy.context.view_layer.update()
    renewed = bpy.data.objects[mesh]
    assert renewed.visible_get() and not renewed.show_instancer_for_viewport
    assert renewed.parent["gaussian_head"] == 3


def test_blender_does_not_draw_the_splats_points(head):
    """They would show nothing, but a weak GPU would redraw a viewport at half its speed."""
    assert head.splats.visible_get() and not head.splats.show_instancer_for_viewport


def test_what_hangs_on_the_mesh_is_there_once(head):
    """Such as glasses that an artist parents to three vertices of the nose."""
    layer, scene = bpy.context.view_layer, bpy.context.scene
    glasses = bpy.data.objects.new("glasses", bpy.data.meshes.new("glasses"))
    scene.collection.objects.link(glasses)
    layer.update()

    def shown() -> list[bool]:
        instances = bpy.context.evaluated_depsgraph_get().object_instances
        return [instance.is_instance for instance in instances if instance.object.name == "glasses"]

    glasses.parent, glasses.parent_type = head.mesh, "VERTEX_3"
    layer.update()
    layer.update()
    assert shown() == [False]
    assert head.mesh.display_type == "BOUNDS"
    glasses.parent = None
    layer.update()
    layer.update()
    assert head.mesh.display_type == "TEXTURED" and not head.mesh.show_instancer_for_viewport


@pytest.mark.parametrize("keep", [False, True])
def test_parenting_a_head_parents_its_root(addon, head, keep):
    find = importlib.import_module(f"{addon}.rig.heads").all_heads
    scene, layer = bpy.context.scene, bpy.context.view_layer
    body = bpy.data.objects.new("body", None)
    scene.collection.objects.link(body)
    body.location = (1, 2, 3)
    head.root.location = (0.5, 0, 0)
    layer.update()
    body.select_set(True)
    layer.objects.active = body
    bpy.ops.object.parent_set(type="OBJECT", keep_transform=keep)
    layer.update()
    layer.update()
    (found,) = find(scene)
    assert found.root.parent == body
    assert {part.parent for part in found.parts[1:]} == {found.root}
    assert all(tuple(part.matrix_world.translation) == (0.5, 0, 0) for part in found.parts)
    bpy.ops.object.parent_clear(type="CLEAR_KEEP_TRANSFORM")
    layer.update()
    layer.update()
    (found,) = find(scene)
    assert found.root.parent is None and {part.parent for part in found.parts[1:]} == {found.root}
    assert all(tuple(part.matrix_world.translation) == (0.5, 0, 0) for part in found.parts)
