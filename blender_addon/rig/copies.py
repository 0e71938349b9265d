"""Duplicates and deletes whole heads, hidden ones too."""

from __future__ import annotations

import bpy

from .heads import Head, find_head, name_parts, select


def duplicate(head: Head, context: bpy.types.Context) -> Head:
    """Copy a head with its keys, bones, Gaussians and animation; the copy is selected. Needs Object Mode."""
    layer = context.view_layer
    hidden = head.root.hide_get(view_layer=layer)
    _hide(head, False, layer)
    select(head, layer)
    before = set(context.scene.objects)
    bpy.ops.object.duplicate()
    copies = [obj for obj in context.scene.objects if obj not in before]
    copy = next(found for obj in copies if (found := find_head(obj)) is not None and found.root == obj)
    name_parts(copy)
    select(copy, layer)
    for one in (head, copy):
        _hide(one, hidden, layer)
    return copy


def _hide(head: Head, hidden: bool, layer: bpy.types.ViewLayer) -> None:
    for part in head.parts:
        part.hide_set(hidden, view_layer=layer)


def delete(head: Head) -> None:
    """Remove a head and its data where nothing else uses them. What is parented to it stays where it is."""
    parts = list(head.parts)
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
