"""The preview panel: how heads are shown in the 3D View."""

import bpy

from ..compat import can_write_depth
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


register, unregister = bpy.utils.register_classes_factory((GAUSSIAN_HEADS_PT_preview,))
