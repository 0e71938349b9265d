"""Whole heads: duplicate and delete."""

from __future__ import annotations

import bpy

from ..errors import AddonError
from ..rig import copies
from ..rig.heads import Head
from .on_head import OnHead


class GAUSSIAN_HEADS_OT_duplicate_head(OnHead, bpy.types.Operator):
    """Copy the head with its sliders, bones, Gaussians and animation"""

    bl_idname = "gaussian_heads.duplicate_head"
    bl_label = "Duplicate Head"

    def run(self, context: bpy.types.Context, head: Head) -> str:
        _require_object_mode(context)
        return f"{copies.duplicate(head, context).name} is a copy of {head.name}."


class GAUSSIAN_HEADS_OT_delete_head(OnHead, bpy.types.Operator):
    """Remove the head with all its parts; what you parented to it stays"""

    bl_idname = "gaussian_heads.delete_head"
    bl_label = "Delete Head"

    def run(self, context: bpy.types.Context, head: Head) -> str:
        _require_object_mode(context)
        if head.root.library or head.root.override_library:
            raise AddonError(f"{head.name} comes from another file.", "Delete its collection in the Outliner.")
        name = head.name
        copies.delete(head)
        return f"{name} is deleted."


def _require_object_mode(context: bpy.types.Context) -> None:
    if context.mode != "OBJECT":
        raise AddonError("This works in Object Mode only.", "Leave the present mode with Tab first.")


register, unregister = bpy.utils.register_classes_factory(
    (GAUSSIAN_HEADS_OT_duplicate_head, GAUSSIAN_HEADS_OT_delete_head)
)
