"""Heads that come from another file: what can be changed of them here, and how they become changeable.

A library override of a head holds its objects but not its mesh's data, in which the shape keys are: their keyframes
would be gone with the next load. So the mesh's data are overridden too before anything is written onto them.
"""

from __future__ import annotations

import bpy

from ..errors import AddonError
from .heads import MARK, Head, active_head, find_head


def is_local(head: Head) -> bool:
    """Whether what is changed of the head's face and bones is kept with this file."""
    return head.mesh.data.library is None and not any(part.library for part in head.parts)


def require_local(head: Head) -> None:
    """See to it that the head's face and bones can be changed here, and that the changes are saved.

    Raises:
        AddonError: it is linked from another file, without a library override.
    """
    if any(part.library for part in head.parts):
        raise AddonError(
            f"{head.name} is linked from another file.",
            "Make a library override of it: the sidebar's Make Animatable does.",
        )
    if head.mesh.data.library is not None:
        head.mesh.data.override_create(remap_local_usages=True)


def linked_head(obj: bpy.types.Object | None) -> bpy.types.Object | None:
    """The root of the head from another file that an object is part of, or that its instanced collection holds."""
    head = find_head(obj)
    if head is not None:
        return None if is_local(head) else head.root
    if obj is None or obj.instance_type != "COLLECTION" or obj.instance_collection is None:
        return None
    inside = (inner for inner in obj.instance_collection.all_objects if MARK in inner and inner.library)
    return next(inside, None)


def active_linked(context: bpy.types.Context) -> bpy.types.Object | None:
    """The same of the head that the panels work on."""
    head = active_head(context)
    return linked_head(head.root if head else context.view_layer.objects.active)


def override(obj: bpy.types.Object, context: bpy.types.Context) -> Head:
    """Make a head from another file changeable here, where its instance stood; returns it.

    Args:
        obj: a part of a linked or overridden head, or the empty that stands for its linked collection.

    Raises:
        AddonError: there is no such head, or Blender could not override it.
    """
    root = linked_head(obj)
    if root is None:
        raise AddonError(
            f"{obj.name} is no head from another file.", "Select a linked head, or its collection's empty."
        )
    if root.library is None:  # overridden, but for its mesh's data
        head = find_head(root)
        assert head is not None  # :func:`linked_head` found it
    else:
        instance = obj if obj.instance_type == "COLLECTION" else None
        source = instance.instance_collection if instance else root.users_collection[0]
        source.override_hierarchy_create(context.scene, context.view_layer, reference=instance, do_fully_editable=True)
        made = [
            found
            for found in (find_head(other) for other in context.scene.objects if MARK in other)
            if found and found.root.override_library and found.root.override_library.reference == root
        ]
        if not made:
            raise AddonError(f"Blender could not override {root.name}.", "Link the head's collection, not its objects.")
        head = made[-1]
        if instance is not None:
            head.root.matrix_world = instance.matrix_world @ head.root.matrix_world
            bpy.data.objects.remove(instance)
        elif source.name in context.scene.collection.children:
            context.scene.collection.children.unlink(source)
    require_local(head)
    return head
