"""The engine panel's buttons."""

import bpy

from ..engine_client.engine import ENGINE
from ..errors import AddonError
from ..tasks import watch


class GAUSSIAN_HEADS_OT_start_engine(bpy.types.Operator):
    bl_idname = "gaussian_heads.start_engine"
    bl_label = "Start Engine"
    bl_description = "Start the engine in the background; it also starts by itself when it is needed"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        cls.poll_message_set("The engine is running.")
        return ENGINE.state in ("stopped", "failed")

    def execute(self, context: bpy.types.Context) -> set[str]:
        watch.start_engine()
        return {"FINISHED"}


class GAUSSIAN_HEADS_OT_stop_engine(bpy.types.Operator):
    bl_idname = "gaussian_heads.stop_engine"
    bl_label = "Stop Engine"
    bl_description = "Stop the engine and free its memory; a running reconstruction is lost"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        cls.poll_message_set("The engine is not running.")
        return ENGINE.state not in ("stopped", "failed")

    def execute(self, context: bpy.types.Context) -> set[str]:
        ENGINE.stop()
        return {"FINISHED"}


class GAUSSIAN_HEADS_OT_restart_engine(bpy.types.Operator):
    bl_idname = "gaussian_heads.restart_engine"
    bl_label = "Restart Engine"
    bl_description = "Stop the engine and start it again, with the settings of the preferences"

    def execute(self, context: bpy.types.Context) -> set[str]:
        ENGINE.stop()
        watch.start_engine()
        return {"FINISHED"}


class GAUSSIAN_HEADS_OT_open_engine_log(bpy.types.Operator):
    bl_idname = "gaussian_heads.open_engine_log"
    bl_label = "Open Log"
    bl_description = "Show what the engine wrote, in this system's own viewer"

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            path = ENGINE.log_path
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if not path.exists():
            self.report({"ERROR"}, "The engine has not written a log yet. Start it first.")
            return {"CANCELLED"}
        if bpy.app.background:
            self.report({"INFO"}, f"The log is {path}.")
        else:
            bpy.ops.wm.path_open(filepath=str(path))
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (
        GAUSSIAN_HEADS_OT_start_engine,
        GAUSSIAN_HEADS_OT_stop_engine,
        GAUSSIAN_HEADS_OT_restart_engine,
        GAUSSIAN_HEADS_OT_open_engine_log,
    )
)
