"""How a head is shown: as splats, as a textured mesh that Blender renders by itself, or as both."""

from __future__ import annotations

from collections.abc import Generator

import bpy
import numpy as np
from bpy.props import BoolProperty, EnumProperty

from .. import api
from ..errors import AddonError
from ..rig import blending, textured
from ..rig.baked import Baked
from ..rig.heads import Head, find_head
from ..tasks.errands import Errand
from .on_head import OnHead

SIZES = (
    ("1024", "1024", "For heads far away"),
    ("2048", "2048", "As much as the Gaussians hold"),
    ("4096", "4096", "For close-ups of heads with many Gaussians"),
)
CHOICES = (
    ("SPLATS", "Splats", "The Gaussians, as the photos show them", "OUTLINER_OB_POINTCLOUD", 0),
    ("MESH", "Mesh", "A textured mesh, which Render Image (F12) and every exporter take", "MESH_MONKEY", 1),
    ("BOTH", "Both", "The Gaussians, and the mesh for its shadows: Cycles catches them", "MOD_OPACITY", 2),
)


class GAUSSIAN_HEADS_OT_show_head(OnHead, bpy.types.Operator):
    """Show the head as its Gaussians, as a textured mesh, or as both"""

    bl_idname = "gaussian_heads.show_head"
    bl_label = "Show Head"

    what: EnumProperty(name="Show", description="What is shown of the head", items=CHOICES)
    size: EnumProperty(name="Texture", description="Texels a side of the mesh's pictures", items=SIZES, default="2048")

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        return next(choice[2] for choice in CHOICES if choice[0] == properties.what)

    def run(self, context: bpy.types.Context, head: Head) -> str | None:
        if self.what == "MESH":
            _show_pictures(context)
        if self.what == "SPLATS" or textured.is_textured(head):
            textured.show(head, self.what)
            return None
        if self.options.is_invoke:
            _bake_behind(head, self.what, int(self.size))
            return f"The engine bakes {head.name}'s mesh."
        api.show(head, self.what, size=int(self.size))
        return f"{head.name} has a textured mesh."

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return self.execute(context)


class GAUSSIAN_HEADS_OT_bake_mesh(OnHead, bpy.types.Operator):
    """Bake the mesh's pictures anew, in another size or after the Gaussians changed"""

    bl_idname = "gaussian_heads.bake_mesh"
    bl_label = "Bake Mesh Again"

    size: EnumProperty(name="Texture", description="Texels a side of the mesh's pictures", items=SIZES, default="2048")

    def run(self, context: bpy.types.Context, head: Head) -> str:
        what = "MESH" if head.shown == "SPLATS" else head.shown
        if self.options.is_invoke:
            _bake_behind(head, what, int(self.size))
            return f"The engine bakes {head.name}'s mesh."
        textured.show(api.bake(head, int(self.size)), what)
        return f"{head.name} has a textured mesh."

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self)


class GAUSSIAN_HEADS_OT_light_mesh(OnHead, bpy.types.Operator):
    """Let the scene's light fall on the mesh, or show its pictures as they are, with the light of the photos"""

    bl_idname = "gaussian_heads.light_mesh"
    bl_label = "Light Mesh"

    lit: BoolProperty(name="Lit", description="Whether the scene's light falls on it", default=True)

    def run(self, context: bpy.types.Context, head: Head) -> None:
        if not textured.is_textured(head):
            raise AddonError(f"{head.name} has no textured mesh.", "Show it as a mesh first.")
        textured.light(head, self.lit)


class GAUSSIAN_HEADS_OT_match_blender(OnHead, bpy.types.Operator):
    """Make up for Blender's blending in linear light, which brightens Gaussians. Files keep the head's own colours"""

    bl_idname = "gaussian_heads.match_blender"
    bl_label = "Match Blender's Blending"

    matched: BoolProperty(name="Matched", description="Off gives the head's own colours back", default=True)

    def run(self, context: bpy.types.Context, head: Head) -> str:
        if self.matched and self.options.is_invoke and not blending.is_matched(head):
            _match_behind(head)
            return f"The engine works out {head.name}'s colours."
        api.match_blender(head, self.matched)
        return f"{head.name} {'matches Blender' if self.matched else 'has its own colours'}."

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return self.execute(context)


def _still(root: bpy.types.Object) -> Head:
    """The head that was there when the engine began to work on it."""
    if (found := find_head(root)) is None:
        raise AddonError("The head is gone.", "Choose another.")
    return found


def _match_behind(head: Head) -> None:
    root = head.root

    def finish(looks: np.ndarray) -> Generator[None, None, str]:
        found = _still(root)
        name = found.name
        blending.match(found, looks)
        yield
        bpy.ops.ed.undo_push(message="Match Blender's Blending")
        return f"{name} matches Blender."

    Errand("Match", api.prepare_match(head), finish)


def _show_pictures(context: bpy.types.Context) -> None:
    """In Solid shading a viewport shows materials' plain colours, and so a statue, unless it is told otherwise."""
    view = context.space_data
    if view is not None and view.type == "VIEW_3D":
        shading = view.shading
        if shading.type == "SOLID" and shading.color_type == "MATERIAL":
            shading.color_type = "TEXTURE"


def _bake_behind(head: Head, what: str, size: int) -> None:
    root = head.root

    def finish(baked: Baked) -> Generator[None, None, str]:
        found = _still(root)
        yield from textured.dress_steps(found, baked)
        textured.show(textured.whole(found), what)
        bpy.ops.ed.undo_push(message="Show Head")
        return ""  # it is seen, and a menu would lie over the buttons

    Errand("Bake", api.prepare_bake(head, size), finish)


CLASSES = (
    GAUSSIAN_HEADS_OT_show_head,
    GAUSSIAN_HEADS_OT_bake_mesh,
    GAUSSIAN_HEADS_OT_light_mesh,
    GAUSSIAN_HEADS_OT_match_blender,
)
register, unregister = bpy.utils.register_classes_factory(CLASSES)
