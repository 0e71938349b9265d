"""The engine panel: how the engine is, on what it runs, and what to do when it does not."""

import bpy

from ..engine_client.engine import ENGINE
from ..text import draw_text
from .waiting import draw_engine_on_its_way

ICONS = {
    "stopped": "RADIOBUT_OFF",
    "ready": "CHECKMARK",
    "failed": "ERROR",
}
FACTS = {
    "Device": "device",
    "Splatting": "backend",
    "Threads": "threading_layer",
    "Engine": "version",
    "Python": "python",
    "Torch": "torch",
}


class GAUSSIAN_HEADS_PT_engine(bpy.types.Panel):
    bl_idname = "GAUSSIAN_HEADS_PT_engine"
    bl_label = "Engine"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Gaussian Heads"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 90

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        status = ENGINE.status
        if not draw_engine_on_its_way(layout, context, status):
            box = layout.box()
            box.alert = status.state == "failed"
            draw_text(box, context, status.message, ICONS[status.state])
            if status.hint:
                draw_text(box, context, status.hint)
        if status.health:
            column = layout.column(align=True)
            for label, key in FACTS.items():
                row = column.split(factor=0.35)
                row.label(text=label)
                row.label(text=str(status.health.get(key, "")))
            if reason := status.health.get("device_reason"):
                draw_text(layout, context, str(reason), "INFO")
        row = layout.row(align=True)
        if status.state in ("stopped", "failed"):
            row.operator("gaussian_heads.start_engine", text="Start", icon="PLAY")
        else:
            row.operator("gaussian_heads.stop_engine", text="Stop", icon="PAUSE")
            row.operator("gaussian_heads.restart_engine", text="Restart", icon="FILE_REFRESH")
        layout.operator("gaussian_heads.open_engine_log", icon="TEXT")


register, unregister = bpy.utils.register_classes_factory((GAUSSIAN_HEADS_PT_engine,))
