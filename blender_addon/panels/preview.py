"""The preview panel: how heads are shown in the 3D View."""

import bpy

from ..compat import HAS_NATIVE_SPLATS, can_write_depth
from ..operators.show import CHOICES
from ..rig.blending import is_matched
from ..rig.heads import Head, active_head
from ..rig.textured import is_lit, is_textured
from ..tasks.errands import Errand
from ..text import draw_text
from ..viewport.draw import DRAWING
from ..viewport.preview import PREVIEW


class GAUSSIAN_HEADS_PT_preview(bpy.types.Panel):
    bl_idname = "GAUSSIAN_HEADS_PT_preview"
    bl_label = "Preview"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Gaussian Heads"
    bl_order = 60

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        settings = context.scene.gaussian_heads.viewport
        if (head := active_head(context)) is not None:
            _draw_show(layout, head)
            if HAS_NATIVE_SPLATS and head.has_splats:
                _draw_match(layout, head)
        column = layout.column(heading="Show")
        column.prop(settings, "show_splats")
        row = column.row()
        row.active = settings.show_splats
        row.prop(settings, "occlude")
        layout.operator(
            "gaussian_heads.toggle_engine_preview", icon="SHADING_RENDERED", depress=settings.engine_preview
        )
        if settings.occlude and not can_write_depth():
            draw_text(layout, context, "Behind Meshes needs Blender 4.4 or newer on this computer.", "INFO")
        if DRAWING.problem:
            draw_text(layout, context, DRAWING.problem, "ERROR")
        if settings.engine_preview:
            if PREVIEW.problem:
                draw_text(layout, context, PREVIEW.problem, "INFO")
            if rate := PREVIEW.frames_per_second:
                layout.label(text=f"{rate:.1f} frames per second")


def _draw_show(layout: bpy.types.UILayout, head: Head) -> None:
    baking = next((work for work in Errand.running if work.title == "Bake"), None)
    row = layout.row(align=True)
    row.enabled = baking is None
    for what, label, _, icon, _ in CHOICES:
        row.operator("gaussian_heads.show_head", text=label, icon=icon, depress=head.shown == what).what = what
    if baking is not None:
        layout.label(text="The engine bakes the mesh …", icon="TIME")
    elif head.shown == "MESH" and is_textured(head):
        row = layout.row(align=True)
        for lit, label in ((True, "Lit"), (False, "As in the Photos")):
            row.operator("gaussian_heads.light_mesh", text=label, depress=is_lit(head) == lit).lit = lit
        row.operator("gaussian_heads.bake_mesh", text="", icon="FILE_REFRESH")


def _draw_match(layout: bpy.types.UILayout, head: Head) -> None:
    if any(work.title == "Match" for work in Errand.running):
        layout.label(text="The engine works out colours …", icon="TIME")
        return
    matched = is_matched(head)
    layout.operator("gaussian_heads.match_blender", icon="COLOR", depress=matched).matched = not matched


register, unregister = bpy.utils.register_classes_factory((GAUSSIAN_HEADS_PT_preview,))
