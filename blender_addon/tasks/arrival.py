"""A head that has just come: it stands beside the others, and the viewports show it."""

from __future__ import annotations

import bpy
from mathutils import Vector

from ..rig.heads import Head, all_heads, find_head

ABREAST = 0.6  # m from head to head: shoulders are narrower
ROOM = 3.0  # m; what is larger may stand around a head
Box = tuple[Vector, Vector]  # lowest and highest corner, in the world


def arrive(head: Head, scene: bpy.types.Scene) -> None:
    """Put a new head beside what stands where it would stand, and let the scene's viewports show it.

    Other heads and things of a person's size make way necessary, such as the cube of a new file; rooms do not.
    Viewports that look through a camera stay as they are.
    """
    layer = bpy.context.view_layer
    layer.update()
    boxes = [_around(other.root.matrix_world.translation) for other in all_heads(scene) if other.root != head.root]
    boxes += [
        _box(obj)
        for obj in layer.objects
        if obj.type == "MESH" and obj.visible_get() and find_head(obj) is None and max(obj.dimensions) < ROOM
    ]
    place = head.root.matrix_world.translation.copy()
    while any(_overlap(_around(place), box) for box in boxes):
        place.x += ABREAST
    head.root.location = place
    for window in bpy.context.window_manager.windows:
        if window.scene == scene and head.root.select_get(view_layer=window.view_layer):
            _frame_selected(window)


def _around(place: Vector) -> Box:
    half = Vector.Fill(3, 0.45 * ABREAST)
    return place - half, place + half


def _box(obj: bpy.types.Object) -> Box:
    corners = [obj.matrix_world @ Vector(corner) for corner in obj.bound_box]
    return Vector(map(min, zip(*corners, strict=True))), Vector(map(max, zip(*corners, strict=True)))


def _overlap(one: Box, other: Box) -> bool:
    return all(one[0][k] < other[1][k] and other[0][k] < one[1][k] for k in range(3))


def _frame_selected(window: bpy.types.Window) -> None:
    for area in window.screen.areas:
        if area.type != "VIEW_3D" or area.spaces.active.region_3d.view_perspective == "CAMERA":
            continue
        region = next(region for region in area.regions if region.type == "WINDOW")
        with bpy.context.temp_override(window=window, area=area, region=region):
            bpy.ops.view3d.view_selected()
