"""The expression panel's buttons: presets, resetting and keying sliders, carrying expressions between heads."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty

from ..animation import expressions, presets, transfer
from ..animation.groups import GROUPS, group_of
from ..errors import AddonError
from ..rig.heads import Head
from .on_head import OnHead

_VISEME = "VISEME_"
PRESET_ITEMS = (
    *((name.upper(), name.capitalize(), f"The expression “{name}”") for name in presets.EXPRESSIONS),
    *((_VISEME + name.upper(), name, f"The mouth of the sound “{name}”") for name in presets.VISEMES),
)
_PRESET = dict(zip((item[0] for item in PRESET_ITEMS), (*presets.EXPRESSIONS, *presets.VISEMES), strict=True))
GROUP_ITEMS = (
    ("ALL", "All", "Every slider"),
    *((group.upper(), label, f"The sliders of the group “{label}”") for group, label in GROUPS.items()),
)


def _names(head: Head, group: str) -> list[str]:
    return [name for name in head.keys if group in ("ALL", group_of(name).upper())]


class GAUSSIAN_HEADS_OT_apply_preset(OnHead, bpy.types.Operator):
    """Set the head to a ready-made expression, or its mouth to a sound"""

    bl_idname = "gaussian_heads.apply_preset"
    bl_label = "Apply Preset"

    preset: EnumProperty(name="Preset", description="The expression or sound", items=PRESET_ITEMS)
    strength: FloatProperty(
        name="Strength", description="0 is a resting face, 1 the whole expression", default=1.0, min=0.0, max=2.0
    )

    def run(self, context: bpy.types.Context, head: Head) -> None:
        missing = expressions.apply_preset(head, _PRESET[self.preset], self.strength)
        if missing:
            self.report({"WARNING"}, f"{head.name} has no {', '.join(missing)}; the rest is set.")


class GAUSSIAN_HEADS_OT_reset_expression(OnHead, bpy.types.Operator):
    """Bring the sliders back to rest"""

    bl_idname = "gaussian_heads.reset_expression"
    bl_label = "Reset Expression"

    group: EnumProperty(name="Group", description="Which sliders", items=GROUP_ITEMS, options={"SKIP_SAVE"})

    def run(self, context: bpy.types.Context, head: Head) -> None:
        expressions.reset(head, _names(head, self.group))


class GAUSSIAN_HEADS_OT_key_expression(OnHead, bpy.types.Operator):
    """Insert keyframes for the sliders at the current frame"""

    bl_idname = "gaussian_heads.key_expression"
    bl_label = "Key Expression"

    group: EnumProperty(name="Group", description="Which sliders", items=GROUP_ITEMS, options={"SKIP_SAVE"})
    only_changed: BoolProperty(
        name="Only Changed",
        description="Key only sliders that differ from their animation, or from 0 where they have none",
        options={"SKIP_SAVE"},
    )

    def run(self, context: bpy.types.Context, head: Head) -> str:
        scene = context.scene
        names = _names(head, self.group)
        if self.only_changed:
            moved = set(expressions.changed(head, scene.frame_current_final))
            names = [name for name in names if name in moved]
        count = expressions.key_weights(head, scene.frame_current, names)
        return f"Keyed {count} sliders of {head.name} at frame {scene.frame_current}."


class _Clipboard:
    """The copied pose; it lasts as long as Blender runs."""

    snapshot: transfer.Snapshot | None = None


class GAUSSIAN_HEADS_OT_copy_expression(OnHead, bpy.types.Operator):
    """Remember the head's expression and pose, to paste them onto another head"""

    bl_idname = "gaussian_heads.copy_expression"
    bl_label = "Copy Expression"
    changes_head = False
    bl_options = {"REGISTER"}

    with_pose: BoolProperty(
        name="With Pose", description="Also remember how neck, head, jaw and eyes are turned", options={"SKIP_SAVE"}
    )

    def run(self, context: bpy.types.Context, head: Head) -> str:
        _Clipboard.snapshot = transfer.copy_pose(head, self.with_pose)
        return f"Copied the expression of {head.name}."


class GAUSSIAN_HEADS_OT_paste_expression(OnHead, bpy.types.Operator):
    """Set the head to the copied expression, matching sliders by name"""

    bl_idname = "gaussian_heads.paste_expression"
    bl_label = "Paste Expression"

    strength: FloatProperty(
        name="Strength", description="0 keeps the present expression, 1 pastes all of it", default=1.0, min=0.0, max=1.0
    )

    def run(self, context: bpy.types.Context, head: Head) -> None:
        if _Clipboard.snapshot is None:
            raise AddonError("No expression was copied.", "Copy one from a head first.")
        missing = transfer.paste_pose(head, _Clipboard.snapshot, self.strength)
        if missing:
            self.report({"WARNING"}, f"{head.name} has no {', '.join(missing)}.")


register, unregister = bpy.utils.register_classes_factory(
    (
        GAUSSIAN_HEADS_OT_apply_preset,
        GAUSSIAN_HEADS_OT_reset_expression,
        GAUSSIAN_HEADS_OT_key_expression,
        GAUSSIAN_HEADS_OT_copy_expression,
        GAUSSIAN_HEADS_OT_paste_expression,
    )
)
