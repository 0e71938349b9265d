"""The animation panel: captures, baking, expression assets, animation of other heads."""

from __future__ import annotations

import bpy

from ..animation import pose_assets
from ..rig.heads import active_head, all_heads
from ..text import draw_text
from .linked import draw_linked
from .waiting import draw_take_on_its_way


class GAUSSIAN_HEADS_MT_expression_assets(bpy.types.Menu):
    """Expression assets of this file"""

    bl_idname = "GAUSSIAN_HEADS_MT_expression_assets"
    bl_label = "Apply Asset"

    def draw(self, context: bpy.types.Context) -> None:
        actions = pose_assets.assets()
        for action in actions:
            self.layout.operator("gaussian_heads.apply_expression_asset", text=action.name).asset = action.name
        if not actions:
            self.layout.label(text="This file has no expression assets yet")


class GAUSSIAN_HEADS_MT_copy_animation(bpy.types.Menu):
    """Heads whose animation can be copied"""

    bl_idname = "GAUSSIAN_HEADS_MT_copy_animation"
    bl_label = "Copy Animation from"

    def draw(self, context: bpy.types.Context) -> None:
        active = active_head(context)
        others = [head for head in all_heads(context.scene) if active is None or head.root != active.root]
        for head in others:
            self.layout.operator("gaussian_heads.copy_animation", text=head.name).source = head.name
        if not others:
            self.layout.label(text="The scene has no other head")


class GAUSSIAN_HEADS_PT_animation(bpy.types.Panel):
    bl_idname = "GAUSSIAN_HEADS_PT_animation"
    bl_label = "Animation"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Gaussian Heads"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 50

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        if draw_linked(layout, context):
            return
        if active_head(context) is None:
            draw_text(layout, context, "Select a head to animate it.", "INFO")
            return
        if not draw_take_on_its_way(layout, context):
            column = layout.column(align=True)
            column.operator("gaussian_heads.animate_from_clip", icon="FILE_MOVIE")
            column.operator("gaussian_heads.animate_from_voice", icon="SPEAKER")
        column = layout.column(align=True)
        column.operator("gaussian_heads.import_capture", icon="IMPORT")
        column.operator("gaussian_heads.export_capture", icon="EXPORT")
        column = layout.column(align=True)
        column.operator("gaussian_heads.bake_animation", icon="ACTION")
        column.operator("gaussian_heads.clean_up", icon="IPO_EASE_IN_OUT")
        layout.menu(GAUSSIAN_HEADS_MT_copy_animation.bl_idname)
        column = layout.column(align=True)
        column.operator("gaussian_heads.create_expression_asset", icon="ASSET_MANAGER")
        column.menu(GAUSSIAN_HEADS_MT_expression_assets.bl_idname)


def _draw_in_asset_browser(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    asset = context.asset
    if asset is not None and asset.id_type == "ACTION":
        menu.layout.separator()
        menu.layout.operator("gaussian_heads.apply_expression_asset", text="Apply to Gaussian Head")


_register, _unregister = bpy.utils.register_classes_factory(
    (GAUSSIAN_HEADS_MT_expression_assets, GAUSSIAN_HEADS_MT_copy_animation, GAUSSIAN_HEADS_PT_animation)
)


def register() -> None:
    _register()
    bpy.types.ASSETBROWSER_MT_context_menu.append(_draw_in_asset_browser)


def unregister() -> None:
    bpy.types.ASSETBROWSER_MT_context_menu.remove(_draw_in_asset_browser)
    _unregister()
