"""Selecting heads by their splats: with a click, and with Blender's own box and lasso."""

from __future__ import annotations

import bpy
import numpy as np
from bpy.props import BoolProperty, EnumProperty

from ..rig.heads import Head, select, set_selected
from ..viewport.draw import DRAWING
from ..viewport.pick import Hit, head_at, heads_within
from .keymap import Keymap

SURFACES = {"MESH", "POINTCLOUD"}  # things of other kinds that are nearer than a head are drawn and clicked before it
TICK = 0.02  # s, until Blender's own selection has ended
KEYMAP = Keymap()


class _OnSplats:
    bl_options = {"UNDO", "INTERNAL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.mode == "OBJECT" and context.region_data is not None and DRAWING.is_drawing


class GAUSSIAN_HEADS_OT_select_splats(_OnSplats, bpy.types.Operator):
    """Select the head whose splats are under the mouse"""

    bl_idname = "gaussian_heads.select_splats"
    bl_label = "Select Head"

    toggle: BoolProperty(
        name="Toggle", description="Leave what else is selected; a selected head is deselected", options={"SKIP_SAVE"}
    )

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


class GAUSSIAN_HEADS_OT_select_over(_OnSplats, bpy.types.Operator):
    """Select with Blender's box or lasso, and the heads whose splats it goes over too"""

    bl_idname = "gaussian_heads.select_over"
    bl_label = "Select with Heads"

    lasso: BoolProperty(name="Lasso", description="A free form instead of a box", options={"SKIP_SAVE"})
    mode: EnumProperty(
        name="Mode",
        description="What becomes of what is inside",
        items=(
            ("TOOL", "Tool", "As the tool says"),
            ("SET", "Set", "Select it and nothing else"),
            ("ADD", "Extend", "Select it besides"),
            ("SUB", "Subtract", "Deselect it"),
            ("AND", "Intersect", "Deselect all else"),
            ("XOR", "Difference", "Turn its selection round"),
        ),
        options={"SKIP_SAVE"},
    )
    wait: BoolProperty(name="Wait", description="Until a button is pressed", options={"SKIP_SAVE"})

    _path: list[tuple[int, int]]
    _timer: bpy.types.Timer
    _mode: str
    _is_over: bool

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        name = "select_lasso" if self.lasso else "select_box"
        self._mode = self.mode
        if self.mode == "TOOL":
            tool = context.workspace.tools.from_space_view3d_mode(context.mode)
            ours = tool is not None and name in tool.idname.replace("builtin.", "view3d.")
            self._mode = tool.operator_properties(f"view3d.{name}").mode if tool is not None and ours else "SET"
        x, y = event.mouse_prev_press_x - context.region.x, event.mouse_prev_press_y - context.region.y
        self._path, self._is_over = [] if self.wait else [(x, y)], False
        options = {"mode": self._mode} if self.lasso else {"mode": self._mode, "wait_for_input": self.wait}
        getattr(bpy.ops.view3d, name)("INVOKE_DEFAULT", **options)
        # Ours comes to the events before Blender's own, which runs beside it and gets all of them.
        self._timer = context.window_manager.event_timer_add(TICK, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self._is_over:
            self.cancel(context)
            return {"FINISHED", "PASS_THROUGH"} if self._apply(context) else {"CANCELLED", "PASS_THROUGH"}
        place = event.mouse_region_x, event.mouse_region_y
        if event.type == "ESC" or (event.type == "RIGHTMOUSE" and event.value == "PRESS" and self.wait):
            self.cancel(context)
            return {"CANCELLED", "PASS_THROUGH"}
        if event.value == "PRESS" and event.type in ("LEFTMOUSE", "MIDDLEMOUSE"):
            self._path = [place]
        elif self._path and event.type in ("MOUSEMOVE", "INBETWEEN_MOUSEMOVE"):
            self._path.append(place)
        elif self._path and event.value == "RELEASE" and event.type in ("LEFTMOUSE", "MIDDLEMOUSE", "RIGHTMOUSE"):
            self._path.append(place)
            self._is_over = True
        return {"PASS_THROUGH"}

    def cancel(self, context: bpy.types.Context) -> None:
        context.window_manager.event_timer_remove(self._timer)

    def _apply(self, context: bpy.types.Context) -> bool:
        """Do to heads what Blender did to the objects that it found inside; whether that changed one."""
        path = np.array(self._path)
        layer = context.view_layer

        def is_selected(head: Head) -> bool:
            return head.root.select_get(view_layer=layer)

        found = heads_within(context, lambda pixels: in_polygon(pixels, path) if self.lasso else in_box(pixels, path))
        if self._mode in ("SET", "ADD"):
            changed = [head for head in found if not is_selected(head)]
        else:
            changed = [head for head in found if self._mode == "XOR" or (self._mode == "SUB" and is_selected(head))]
        for head in changed:
            set_selected(head, not is_selected(head), layer)
        if changed and self._mode == "SET":
            layer.objects.active = changed[0].root
        return bool(changed)


def in_box(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """[N] bool: points [N, 2] in the box around the first and the last of [K, 2]."""
    low, high = np.minimum(corners[0], corners[-1]), np.maximum(corners[0], corners[-1])
    return ((points >= low) & (points <= high)).all(axis=1)


def in_polygon(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """[N] bool: points [N, 2] inside a closed line of corners [K, 2], by the even-odd rule."""
    near = ((points >= corners.min(axis=0)) & (points <= corners.max(axis=0))).all(axis=1)
    x, y = points[near].T
    odd = np.zeros(len(x), bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:
            odd ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    inside = np.zeros(len(points), bool)
    inside[near] = odd
    return inside


# Keymap, key, with Shift, with Ctrl, lasso, mode: where Blender's own are.
_OVER = (
    *(
        (f"3D View Tool: Select {'Lasso' if lasso else 'Box'}", ("LEFTMOUSE", "CLICK_DRAG"), shift, ctrl, lasso, mode)
        for lasso in (False, True)
        for shift, ctrl, mode in (
            (False, False, "TOOL"),
            (True, False, "ADD"),
            (False, True, "SUB"),
            (True, True, "AND"),
        )
    ),
    ("3D View", ("B", "PRESS"), False, False, False, "TOOL"),
    ("3D View", ("RIGHTMOUSE", "CLICK_DRAG"), False, True, True, "ADD"),
    ("3D View", ("RIGHTMOUSE", "CLICK_DRAG"), True, True, True, "SUB"),
)
_register, _unregister = bpy.utils.register_classes_factory(
    (GAUSSIAN_HEADS_OT_select_splats, GAUSSIAN_HEADS_OT_select_over)
)


def register() -> None:
    _register()
    for button in ("LEFTMOUSE", "RIGHTMOUSE"):
        for toggle in (False, True):
            KEYMAP.add("3D View", "gaussian_heads.select_splats", (button, "CLICK"), shift=toggle, toggle=toggle)
    for keymap, key, shift, ctrl, lasso, mode in _OVER:
        wait = key[1] == "PRESS"
        KEYMAP.add(keymap, "gaussian_heads.select_over", key, shift=shift, ctrl=ctrl, lasso=lasso, mode=mode, wait=wait)


def unregister() -> None:
    KEYMAP.clear()
    _unregister()
