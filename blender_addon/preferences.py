"""The add-on's preferences."""

import bpy


class GaussianHeadsPreferences(bpy.types.AddonPreferences):
    bl_idname = __package__


register, unregister = bpy.utils.register_classes_factory((GaussianHeadsPreferences,))
