"""Duplicates and deletes whole heads, whose parts are mostly hidden: Blender's own commands take what is selected."""

from __future__ import annotations

import bpy

from .heads import Head, find_head, name_parts

ROOT_FIRST = ("root", "armature", "mesh", "splats")


def duplicate(head: Head, context: bpy.types.Context) -> Head:
    """Copy a head with its keys, bones, Gaussians and animation; the copy is selected. Needs Object Mode."""
    layer = context.view_layer
    parts = [getattr(head, name) for name in ROOT_FIRST]
    hidden = [part.hide_get(view_layer=layer) for part in parts]
    for selected in layer.objects.selected:
        selected.select_set(False, view_layer=layer)
    for part in parts:
        part.hide_set(False, view_layer=layer)
        part.select_set(True, view_layer=layer)
    before = set(context.scene.objects)
    layer.objects.active = head.root
    bpy.ops.object.duplicate()
    copies = [obj for obj in context.scene.objects if obj not in before]
    copy = next(found for obj in copies if (found := find_head(obj)) is not None and found.root == obj)
    name_parts(copy)
    for one in (head, copy):
        for name, hide in zip(ROOT_FIRST, hidden, strict=True):
            part = getattr(one, name)
            part.select_set(False, view_layer=layer)
            part.hide_set(hide, view_layer=layer)
    copy.root.select_set(True, view_layer=layer)
    layer.objects.active = copy.root
    return copy


def delete(head: Head) -> None:
    """Remove a head and its data where nothing else uses them. What is parented to it stays where it is."""
    parts = [getattr(head, name) for name in ROOT_FIRST]
    for part in parts:
        for child in part.children:
            if child not in parts:
                place = child.matrix_world.copy()
                child.parent = None
                child.matrix_world = place
    collections = list(head.root.users_collection)
    data = [part.data for part in parts if part.data is not None]
    bpy.data.batch_remove(parts)
    bpy.data.batch_remove([block for block in data if block.users == 0])
    scenes = {scene.collection for scene in bpy.data.scenes}
    empty = [c for c in collections if c not in scenes and not c.all_objects and not c.children]
    bpy.data.batch_remove(empty)
