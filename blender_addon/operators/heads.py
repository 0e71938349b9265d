"""Whole heads: duplicate, delete, override, pose in Pose Mode, jump between keyframes."""

from __future__ import annotations

import bpy

from ..animation.curves import SAME_FRAME, key_frames
from ..errors import AddonError
from ..rig import copies
from ..rig.heads import Head, active_head, find_head, select
from ..rig.linked import active_linked, override
from .keymap import Keymap
from .on_head import OnHead

KEYMAP = Keymap()


class GAUSSIAN_HEADS_OT_duplicate_head(OnHead, bpy.types.Operator):
    """Copy the head with its sliders, bones, Gaussians and animation"""

    bl_idname = "gaussian_heads.duplicate_head"
    bl_label = "Duplicate Head"
    changes_head = False

    def run(self, context: bpy.types.Context, head: Head) -> str:
        _require_object_mode(context)
        return f"{copies.duplicate(head, context).name} is a copy of {head.name}."


class GAUSSIAN_HEADS_OT_delete_head(OnHead, bpy.types.Operator):
    """Remove the head with all its parts; what you parented to it stays"""

    bl_idname = "gaussian_heads.delete_head"
    bl_label = "Delete Head"
    changes_head = False

    def run(self, context: bpy.types.Context, head: Head) -> str:
        _require_object_mode(context)
        if head.root.library or head.root.override_library:
            raise AddonError(f"{head.name} comes from another file.", "Delete its collection in the Outliner.")
        name = head.name
        copies.delete(head)
        return f"{name} is deleted."


class GAUSSIAN_HEADS_OT_make_animatable(bpy.types.Operator):
    """Override a head that is linked from another file, so that its face and bones can be keyed here"""

    bl_idname = "gaussian_heads.make_animatable"
    bl_label = "Make Animatable"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        cls.poll_message_set("Select a head that is linked from another file, or the empty of its collection.")
        return context.mode == "OBJECT" and active_linked(context) is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            active = active_head(context)
            head = override(active.root if active else context.view_layer.objects.active, context)
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        select(head, context.view_layer)
        self.report({"INFO"}, f"{head.name} can be animated here; its form stays linked.")
        return {"FINISHED"}


class GAUSSIAN_HEADS_OT_pose_bones(OnHead, bpy.types.Operator):
    """Show the head's bones and turn them in Pose Mode; Ctrl Tab leads back"""

    bl_idname = "gaussian_heads.pose_bones"
    bl_label = "Pose Bones"

    def run(self, context: bpy.types.Context, head: Head) -> None:
        _require_object_mode(context)
        select(head, context.view_layer)
        context.view_layer.objects.active = head.armature
        bpy.ops.object.mode_set(mode="POSE")


class GAUSSIAN_HEADS_OT_jump_to_key(bpy.types.Operator):
    """Go to the next keyframe of the active head: of its face, its bones or the whole"""

    bl_idname = "gaussian_heads.jump_to_key"
    bl_label = "Jump to Keyframe of Head"
    bl_options = {"INTERNAL"}  # as Blender's own, it is no step to undo

    next: bpy.props.BoolProperty(name="Next", description="Forward, not back", default=True)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.mode == "OBJECT" and find_head(context.view_layer.objects.active) is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        head, scene = find_head(context.view_layer.objects.active), context.scene
        assert head is not None  # see poll
        now = scene.frame_current_final
        owners = head.mesh.data.shape_keys, head.armature, head.root
        frames = [frame for owner in owners for frame in key_frames(owner)]
        ahead = [frame for frame in frames if (frame > now + SAME_FRAME if self.next else frame < now - SAME_FRAME)]
        if not ahead:
            self.report({"INFO"}, f"{head.name} has no more keyframes in this direction.")
            return {"CANCELLED"}
        frame = min(ahead) if self.next else max(ahead)
        scene.frame_set(int(frame // 1), subframe=frame % 1)
        return {"FINISHED"}


def _require_object_mode(context: bpy.types.Context) -> None:
    if context.mode != "OBJECT":
        raise AddonError("This works in Object Mode only.", "Leave the present mode with Tab first.")


_register, _unregister = bpy.utils.register_classes_factory(
    (
        GAUSSIAN_HEADS_OT_duplicate_head,
        GAUSSIAN_HEADS_OT_delete_head,
        GAUSSIAN_HEADS_OT_make_animatable,
        GAUSSIAN_HEADS_OT_pose_bones,
        GAUSSIAN_HEADS_OT_jump_to_key,
    )
)


def register() -> None:
    _register()
    for key, forward in (("UP_ARROW", True), ("DOWN_ARROW", False)):
        KEYMAP.add("Frames", "gaussian_heads.jump_to_key", (key, "PRESS"), next=forward)


def unregister() -> None:
    KEYMAP.clear()
    _unregister()
