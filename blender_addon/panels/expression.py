"""The expression panel: the active head's shape keys as sliders, by part of the face."""

from __future__ import annotations

import bpy

from ..animation.groups import GROUPS, NAMES_OF, group_of
from ..api import is_static
from ..operators.expression import PRESET_ITEMS
from ..rig.heads import Head, active_head, require_head
from ..rig.linked import is_local
from ..text import draw_text
from .linked import draw_linked
from .waiting import draw_take_on_its_way

PARENT = "GAUSSIAN_HEADS_PT_expression"


class _InSidebar:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Gaussian Heads"


def _draw_sliders(layout: bpy.types.UILayout, keys: list[bpy.types.ShapeKey]) -> None:
    column = layout.column(align=True)
    for key in keys:
        column.prop(key, "value", text=key.name, slider=True)


def _keys_of(head: Head, group: str) -> list[bpy.types.ShapeKey]:
    if group == "other":
        return [key for name, key in head.keys.items() if group_of(name) == group]
    blocks = head.mesh.data.shape_keys.key_blocks
    return [key for name in NAMES_OF[group] if (key := blocks.get(name)) is not None]


def _lips_collide(mouth: list[bpy.types.ShapeKey]) -> bool:
    """Whether mouthClose closes more than jawOpen opens."""
    close = next((key for key in mouth if key.name == "mouthClose"), None)
    if close is None:
        return False
    opened = close.id_data.key_blocks.get("jawOpen")
    return opened is not None and close.value > opened.value + 0.01


def _draw_presets(layout: bpy.types.UILayout, visemes: bool) -> None:
    for identifier, label, _ in PRESET_ITEMS:
        if identifier.startswith("VISEME_") == visemes:
            layout.operator("gaussian_heads.apply_preset", text=label).preset = identifier


class GAUSSIAN_HEADS_MT_expressions(bpy.types.Menu):
    """Ready-made expressions"""

    bl_idname = "GAUSSIAN_HEADS_MT_expressions"
    bl_label = "Expressions"

    def draw(self, context: bpy.types.Context) -> None:
        _draw_presets(self.layout, visemes=False)


class GAUSSIAN_HEADS_MT_visemes(bpy.types.Menu):
    """Mouths of sounds"""

    bl_idname = "GAUSSIAN_HEADS_MT_visemes"
    bl_label = "Visemes"

    def draw(self, context: bpy.types.Context) -> None:
        _draw_presets(self.layout, visemes=True)


class GAUSSIAN_HEADS_PT_expression(_InSidebar, bpy.types.Panel):
    bl_idname = PARENT
    bl_label = "Expression"
    bl_order = 30

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        head = active_head(context)
        if draw_linked(layout, context):
            return
        if head is None:
            draw_text(layout, context, "Select a head to move its face.", "INFO")
            return
        if is_static(head):
            draw_text(layout, context, "Static splats: Bind to Head makes them move.", "INFO")
            layout.operator("gaussian_heads.bind_head", icon="MOD_ARMATURE")
            return
        settings = context.scene.gaussian_heads.expression
        row = layout.row(align=True)
        row.menu(GAUSSIAN_HEADS_MT_expressions.bl_idname)
        row.menu(GAUSSIAN_HEADS_MT_visemes.bl_idname)
        row.operator("gaussian_heads.reset_expression", text="", icon="LOOP_BACK")
        row = layout.row(align=True)
        row.operator("gaussian_heads.key_expression", text="Key All", icon="KEY_HLT")
        row.operator("gaussian_heads.key_expression", text="Key Changed", icon="KEYINGSET").only_changed = True
        row.operator("gaussian_heads.copy_expression", text="", icon="COPYDOWN")
        row.operator("gaussian_heads.paste_expression", text="", icon="PASTEDOWN")
        if not draw_take_on_its_way(layout, context):
            layout.operator("gaussian_heads.pose_from_photo", icon="IMAGE_DATA")
        row = layout.row(align=True)
        row.prop(settings, "search", text="", icon="VIEWZOOM")
        row.prop(settings, "symmetric", text="", icon="MOD_MIRROR", toggle=True)
        if settings.search:
            word = settings.search.lower()
            found = [key for name, key in head.keys.items() if word in name.lower()]
            if found:
                _draw_sliders(layout, found)
            else:
                draw_text(layout, context, f"No slider is named “{settings.search}”.", "INFO")


class _GroupPanel(_InSidebar):
    """One part of the face; its class names the group."""

    bl_parent_id = PARENT
    bl_options = {"DEFAULT_CLOSED"}
    group = ""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.scene.gaussian_heads.expression.search:
            return False
        head = active_head(context)
        return head is not None and is_local(head) and not is_static(head) and bool(_keys_of(head, cls.group))

    def draw_header_preset(self: bpy.types.Panel, context: bpy.types.Context) -> None:
        row = self.layout.row(align=True)
        for name, icon in (("key_expression", "KEY_HLT"), ("reset_expression", "LOOP_BACK")):
            row.operator(f"gaussian_heads.{name}", text="", icon=icon, emboss=False).group = self.group.upper()

    def draw(self: bpy.types.Panel, context: bpy.types.Context) -> None:
        keys = _keys_of(require_head(context), self.group)
        _draw_sliders(self.layout, keys)
        if self.group == "mouth" and _lips_collide(keys):
            draw_text(self.layout, context, "mouthClose closes the lips of an opened jaw: raise jawOpen too.", "INFO")


def _group_panel(group: str, label: str) -> type:
    name = f"{PARENT}_{group}"
    return type(name, (_GroupPanel, bpy.types.Panel), {"bl_idname": name, "bl_label": label, "group": group})


register, unregister = bpy.utils.register_classes_factory(
    (
        GAUSSIAN_HEADS_MT_expressions,
        GAUSSIAN_HEADS_MT_visemes,
        GAUSSIAN_HEADS_PT_expression,
        *(_group_panel(group, label) for group, label in GROUPS.items()),
    )
)
