"""The export panel: avatar files in and out, splat files for other programs."""

import bpy

from ..rig.heads import active_head


class GAUSSIAN_HEADS_PT_export(bpy.types.Panel):
    bl_idname = "GAUSSIAN_HEADS_PT_export"
    bl_label = "Import and Export"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Gaussian Heads"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 80

    def draw(self, context: bpy.types.Context) -> None:
        column = self.layout.column()
        column.operator("gaussian_heads.import_head", icon="IMPORT")
        column.operator("gaussian_heads.export_head", icon="EXPORT")
        if head := active_head(context):
            column.label(text=f"{head.name}: {len(head.splats.data.points):,} Gaussians", icon="OUTLINER_OB_POINTCLOUD")
            row = column.row(align=True)
            row.operator("gaussian_heads.duplicate_head", text="Duplicate", icon="DUPLICATE")
            row.operator("gaussian_heads.delete_head", text="Delete", icon="TRASH")


register, unregister = bpy.utils.register_classes_factory((GAUSSIAN_HEADS_PT_export,))
