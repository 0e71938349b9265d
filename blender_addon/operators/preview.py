"""The preview panel's button."""

import bpy

from ..errors import AddonError
from ..rig.heads import require_head


class GAUSSIAN_HEADS_OT_toggle_engine_preview(bpy.types.Operator):
    bl_idname = "gaussian_heads.toggle_engine_preview"
    bl_label = "Engine Preview"
    bl_description = (
        "Show frames that the engine renders of the active head, as it will look in other programs, instead of the "
        "built-in drawing. Starts the engine where necessary"
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.gaussian_heads.viewport
        if not settings.engine_preview:
            try:
                require_head(context)
            except AddonError as error:
                self.report({"ERROR"}, str(error))
                return {"CANCELLED"}
        settings.engine_preview = not settings.engine_preview
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((GAUSSIAN_HEADS_OT_toggle_engine_preview,))
