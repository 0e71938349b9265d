"""Which heads a scene shows and where: the heads themselves, and instances of collections that hold some."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import bpy
from mathutils import Matrix

from ..rig.heads import MARK, find_head
from ..tasks.changes import CHANGES


@dataclass(frozen=True)
class Place:
    """A head's splats in one of the places where they are shown.

    Attributes:
        obj: the point cloud object. cloud: its evaluated data. matrix: from the object's space to the world.
        shown_by: what decides whether it is shown there: itself, or the empty that stands for its collection.
    """

    obj: bpy.types.Object
    cloud: bpy.types.PointCloud
    matrix: Matrix
    shown_by: bpy.types.Object

    @property
    def uid(self) -> int:
        """The object's ``session_uid``; the same for every place of it."""
        return self.obj.session_uid


def place_of(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> Place:
    """Where an object itself is."""
    evaluated = obj.evaluated_get(depsgraph)
    return Place(obj, evaluated.data, evaluated.matrix_world.copy(), obj)


def placed(
    scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, shows: Callable[[bpy.types.Object], bool]
) -> list[Place]:
    """All splats of a scene, in a fixed order.

    Args:
        shows: which objects of the scene are shown: point clouds of heads, and empties that stand for a collection.
    """
    found = [
        place_of(head.splats, depsgraph) for head in CHANGES.heads(scene) if head.has_splats and shows(head.splats)
    ]
    if CHANGES.has_instances(scene):
        head_of = functools.cache(find_head)  # of a hundred instances, each looks through all objects
        for instance in depsgraph.object_instances:
            obj = instance.object
            if not instance.is_instance or MARK not in obj:
                continue
            # Blender lists what it draws, so the root stands for the splats.
            head, empty = head_of(obj.original), instance.parent.original
            if head is not None and head.has_splats and shows(empty):
                own = place_of(head.splats, depsgraph)
                to_root = obj.original.evaluated_get(depsgraph).matrix_world.inverted() @ own.matrix
                found.append(Place(own.obj, own.cloud, instance.matrix_world @ to_root, empty))
    return found


def is_rendered(obj: bpy.types.Object, layer: bpy.types.ViewLayer) -> bool:
    """Whether F12 would show an object: its camera icon and those of the collections that it is in."""
    if obj.hide_render:
        return False

    def holds(branch: bpy.types.LayerCollection) -> bool:
        if branch.exclude or branch.collection.hide_render:
            return False
        return obj.name in branch.collection.objects or any(holds(child) for child in branch.children)

    return holds(layer.layer_collection)
