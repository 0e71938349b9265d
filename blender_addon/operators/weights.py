"""The buttons of the list of weights in the preferences."""

import bpy
from bpy.props import IntProperty, StringProperty

from ..preferences import engine_changed, get_preferences


class GAUSSIAN_HEADS_OT_add_weights(bpy.types.Operator):
    bl_idname = "gaussian_heads.add_weights"
    bl_label = "Add Weights"
    bl_description = "Let networks run with weights that you trained or obtained. A running engine is stopped"

    filepath: StringProperty(name="File", description="A .safetensors file", subtype="FILE_PATH")
    filter_glob: StringProperty(default="*.safetensors", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        preferences = get_preferences()
        if preferences is None or not self.filepath.lower().endswith(".safetensors"):
            self.report({"ERROR"}, "This is no file of weights. Choose one that ends in .safetensors.")
            return {"CANCELLED"}
        preferences.weights.add().path = self.filepath  # which tells the engine
        return {"FINISHED"}


class GAUSSIAN_HEADS_OT_remove_weights(bpy.types.Operator):
    bl_idname = "gaussian_heads.remove_weights"
    bl_label = "Remove Weights"
    bl_description = "Take the file off the list; it stays where it is. A running engine is stopped"

    index: IntProperty(name="Place", description="Place in the list, from 0", min=0)

    def execute(self, context: bpy.types.Context) -> set[str]:
        preferences = get_preferences()
        if preferences is None or self.index >= len(preferences.weights):
            self.report({"ERROR"}, "There are no such weights. Choose a place in the list.")
            return {"CANCELLED"}
        preferences.weights.remove(self.index)
        engine_changed()
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (GAUSSIAN_HEADS_OT_add_weights, GAUSSIAN_HEADS_OT_remove_weights)
)
