"""Selecting heads by their splats: with a click, and with Blender's own box, lasso and circle."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty

from ..rig.heads import select, set_selected
from ..viewport import gestures
from ..viewport.draw import DRAWING
from ..viewport.pick import Hit, head_at, heads_within
from .keymap import Keymap

SURFACES = {"MESH", "POINTCLOUD"}  # of other kinds, Blender draws what is before a head as if it were not there
UNDO_MESSAGE = "Select Heads"
KEYMAP = Keymap()


class GAUSSIAN_HEADS_OT_select_splats(bpy.types.Operator):
    """Select the head whose splats are under the mouse"""

    bl_idname = "gaussian_heads.select_splats"
    bl_label = "Select Head"
    bl_options = {"UNDO", "INTERNAL"}

    toggle: BoolProperty(
        name="Toggle", description="Leave what else is selected; a selected head is deselected", options={"SKIP_SAVE"}
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.mode == "OBJECT" and context.region_data is not None and DRAWING.is_drawing

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        place = event.mouse_region_x, event.mouse_region_y
        hit = head_at(context, *place)
        if hit is None or _something_before(context, place, hit):
            return {"PASS_THROUGH"}
        layer = context.view_layer
        if self.toggle:
            set_selected(hit.head, not hit.head.root.select_get(view_layer=layer), layer)
        else:
            select(hit.head, layer)
        return {"FINISHED"}


def _something_before(context: bpy.types.Context, place: tuple[int, int], hit: Hit) -> bool:
    """Whether Blender finds a lamp, a camera or an empty there that is nearer than the head."""
    layer = context.view_layer
    before, active = list(layer.objects.selected), layer.objects.active
    bpy.ops.view3d.select(location=place, deselect_all=True)
    found = [obj for obj in layer.objects.selected if obj not in hit.head.parts and obj.type not in SURFACES]
    for obj in list(layer.objects.selected):
        obj.select_set(False, view_layer=layer)
    for obj in before:
        obj.select_set(True, view_layer=layer)
    layer.objects.active = active
    to_view = context.region_data.view_matrix
    return any(-(to_view @ obj.matrix_world.translation).z < hit.metres for obj in found)


def _after_gesture(context: bpy.types.Context, gesture: gestures.Gesture) -> None:
    """Do to heads what a box, lasso or circle did to the objects that Blender found inside."""
    found, layer = heads_within(context, gesture.inside), context.view_layer
    if gesture.mode in ("SET", "ADD"):
        changed = [head for head in found if not head.root.select_get(view_layer=layer)]
        for head in changed:
            set_selected(head, True, layer)
        if changed and gesture.mode == "SET":
            layer.objects.active = changed[0].root
    else:
        changed = [head for head in found if head.root.select_get(view_layer=layer) or gesture.mode == "XOR"]
        for head in changed:
            set_selected(head, not head.root.select_get(view_layer=layer), layer)
    if changed:
        bpy.ops.ed.undo_push(message=UNDO_MESSAGE)


_register, _unregister = bpy.utils.register_classes_factory((GAUSSIAN_HEADS_OT_select_splats,))


def register() -> None:
    _register()
    gestures.ENDED.append(_after_gesture)
    for button in ("LEFTMOUSE", "RIGHTMOUSE"):
        for toggle in (False, True):
            key = button, "CLICK"
            KEYMAP.add(("3D View", "VIEW_3D"), "gaussian_heads.select_splats", key, shift=toggle, toggle=toggle)


def unregister() -> None:
    KEYMAP.clear()
    gestures.ENDED.remove(_after_gesture)
    _unregister()
